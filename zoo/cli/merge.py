"""`zoo merge`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import Verbs, add_verb, make_console, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "merge", run, "take the records of other machines in, each held against its own samples")
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SRC",
        help="a folder of records, a .zip or .tar of one, or shipped: what came with zoo",
    )
    parser.add_argument("--into", default="results", metavar="DIR", help="the results folder (default: results)")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.exchange import merge
    from zoo.report.progress import LiveImages

    with LiveImages(make_console(stderr=True), "merging", "records") as live:
        merged = merge(arguments.sources, arguments.into, live)
    warn([f"left out {line}" for line in merged.left_out])
    counts = {f"new in {arguments.into}": len(merged.added), "there already": merged.known_count}
    counts["left out"] = len(merged.left_out)
    print(f"records: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    return 1 if merged.left_out else 0
