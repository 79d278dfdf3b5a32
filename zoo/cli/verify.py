"""`zoo verify`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.cli.flags import RESULTS, TABLES, Verbs, add_verb, make_console, warn
from zoo.errors import UserError


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "verify", run, "what is measured here against what is published: parameters, MACs, mIoU")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names, globs such as 'deeplab*', or tags")
    parser.add_argument("--results", **RESULTS)
    parser.add_argument("--format", choices=TABLES, default="table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page (default of --check: verify.md)")
    parser.add_argument("--check", action="store_true", help="exit 1 when FILE is not what is counted and recorded now")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if (arguments.output or arguments.check) and arguments.patterns:
        raise UserError("the page holds all models; leave the names away, or --output and --check")
    from zoo.report.progress import LiveImages
    from zoo.report.verified import is_stale, show_lines, unexplained, write
    from zoo.verify import verify

    with LiveImages(make_console(stderr=True), "counting", "networks") as live:
        found = verify(arguments.patterns or ["all"], arguments.results, live)
    warn(found.warnings)
    page, doubts = arguments.output or Path(arguments.results) / "verify.md", unexplained(found.lines)
    stale = arguments.check and is_stale(found.lines, page)
    if arguments.check:
        print(f"{page} {'is out of date' if stale else 'says what is counted and recorded now'}")
    elif arguments.output:
        write(found.lines, page)
        print(f"wrote {page}")
    else:
        print(show_lines(found.lines, arguments.format), end="")
    print("".join(f"{line}\n" for line in doubts), end="", file=sys.stderr)
    return 1 if doubts or stale else 0
