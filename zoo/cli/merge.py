"""`zoo merge`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import Verbs, add_verb, make_console, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "merge", run, "take the records of other machines in, each held against its own samples")
    parser.add_argument("sources", nargs="+", metavar="SRC", help="a folder of records, or a .zip or .tar of one")
    parser.add_argument("--into", default="results", metavar="DIR", help="the results folder (default: results)")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.exchange import merge
    from zoo.report.progress import LiveImages

    with LiveImages(make_console(stderr=True), "merging", "records") as live:
        merged = merge(arguments.sources, arguments.into, live)
    warn([f"left out {line}" for line in merged.left_out])
    known = f"; {merged.known_count} were there already" if merged.known_count else ""
    left_out = f"; {len(merged.left_out)} are left out" if merged.left_out else ""
    print(f"{len(merged.added)} new records in {arguments.into}{known}{left_out}")
    return 1 if merged.left_out else 0
