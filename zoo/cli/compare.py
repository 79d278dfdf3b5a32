"""`zoo compare`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import RECORDS, Verbs, add_conditions, add_verb, read_conditions, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "compare", run, "two measured models side by side")
    parser.add_argument("a", metavar="A", help="a model's name or a record's file")
    parser.add_argument(
        "b", metavar="B", help="the same of the other; MODEL,runtime=R,precision=P … where a name is not enough"
    )
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    add_conditions(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.report.compare import compare, show_comparison

    comparison = compare(arguments.a, arguments.b, arguments.results, **read_conditions(arguments))
    warn(comparison.warnings)
    print(show_comparison(comparison, arguments.format), end="")
    return 0
