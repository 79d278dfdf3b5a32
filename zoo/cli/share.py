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
    models = len({record.artifact.model for record in shared.records if not record.is_baseline})
    unasked = "".join(f"; {count} {what} left out" for what, count in shared.unasked.items())
    size = f"{shared.byte_count / 2**20:.1f} MiB"
    print(
        f"wrote {shared.output}: {len(shared.records)} records of {models} models, {size}{unasked}\n"
        f"1. in a checkout of zoo: `zoo merge {shared.output}`, then `zoo verify --records`\n"
        "2. `zoo leaderboard --output README.md` and `--output results/leaderboard.md` write the tables anew\n"
        "3. commit these files, and open a pull request with the check boxes of results/README.md"
    )
    return 1 if shared.left_out else 0
