"""`zoo verify`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.cli.flags import RECORDS, TABLES, Verbs, add_verb, make_console, refuse, warn
from zoo.errors import UserError


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "verify", run, "what is measured here against what is published: parameters, MACs, mIoU")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names, globs such as 'deeplab*', or tags")
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--records", action="store_true", help="hold each record against its own samples instead")
    parser.add_argument("--format", choices=TABLES, help="default: table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page (default of --check: verify.md)")
    parser.add_argument("--check", action="store_true", help="exit 1 when FILE is not what is counted and recorded now")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if arguments.records:
        return _audit(arguments)
    if (arguments.output or arguments.check) and arguments.patterns:
        raise UserError("the page holds all models; leave the names away, or --output and --check")
    from zoo.report.markdown import is_stale, write_page
    from zoo.report.progress import LiveImages
    from zoo.report.verified import show_lines, unexplained
    from zoo.store import DEFAULT
    from zoo.verify import verify

    is_page = arguments.output or arguments.check
    results = arguments.results or (DEFAULT if is_page else None)
    with LiveImages(make_console(stderr=True), "counting", "networks") as live:
        found = verify(arguments.patterns or ["all"], results, live)
    warn(found.warnings)
    page, doubts = arguments.output or Path(results or DEFAULT) / "verify.md", unexplained(found.lines)
    stale = arguments.check and is_stale(show_lines(found.lines, "md"), page)
    if arguments.check:
        print(f"{page} {'is out of date' if stale else 'says what is counted and recorded now'}")
    elif arguments.output:
        write_page(show_lines(found.lines, "md"), page)
        print(f"wrote {page}")
    else:
        print(show_lines(found.lines, arguments.format or "table"), end="")
    print("".join(f"{line}\n" for line in doubts), end="", file=sys.stderr)
    return 1 if doubts or stale else 0


def _audit(arguments: argparse.Namespace) -> int:
    """Make every summary of every record again from its samples."""
    if arguments.patterns:
        raise UserError("--records holds every record of a folder against its samples; leave the names away")
    refuse(arguments, ("output", "check", "format"), "--records writes no page")
    from zoo.report.progress import LiveImages
    from zoo.score.audit import audit
    from zoo.store import DEFAULT, folder_to_read

    own = DEFAULT if arguments.results is None and DEFAULT.exists() else arguments.results  # though it holds nothing
    folder, said = folder_to_read(own)
    warn(said)
    with LiveImages(make_console(stderr=True), "recomputing", "records") as live:
        found = audit(folder, live)
    print("".join(f"{fault}\n" for fault in found.faults), end="")
    outcome = f"faults: {len(found.faults)}" if found.faults else "every summary is that of its samples"
    print(f"records in {folder}: {found.record_count}; {outcome}")
    return 1 if found.faults else 0
