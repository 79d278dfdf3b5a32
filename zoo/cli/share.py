"""`zoo share`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import RESULTS, Verbs, add_verb, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "share", run, "pack up what was measured here, for a pull request or another machine")
    parser.add_argument("--results", **RESULTS)
    parser.add_argument("--output", metavar="FILE", help="a .zip, else a folder (default: zoo-<device>.zip)")
    parser.add_argument("--quick", action="store_true", help="take smoke tests along")
    parser.add_argument("--failed", action="store_true", help="take cells along that have no numbers")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.exchange import share

    shared = share(arguments.results, arguments.output, quick=arguments.quick, failed=arguments.failed)
    warn([f"left out {line}" for line in shared.left_out])
    counts = {"in it": len(shared.records), **shared.unasked}
    print(
        f"wrote {shared.output} ({shared.byte_count / 2**10:,.0f} KiB of files); "
        f"records: {', '.join(f'{count} {what}' for what, count in counts.items())}\n"
        f"1. in a checkout of zoo: `zoo merge {shared.output}`, then `zoo verify --records`\n"
        "2. `zoo leaderboard --output README.md` and `--output results/README.md` write the tables anew\n"
        "3. commit these files, and open a pull request with the check boxes of results/README.md"
    )
    return 1 if shared.left_out else 0
