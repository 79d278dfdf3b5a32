"""`zoo list`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import TABLES, Verbs, add_verb


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "list", run, "the models of the zoo")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names, globs such as 'deeplab*', or tags")
    parser.add_argument("--tag", help="core, fast, mobile, realtime or transformer")
    parser.add_argument("--format", choices=TABLES, default="table")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.catalog import select
    from zoo.report.models import show_models

    print(show_models(select(arguments.patterns or ["all"], tag=arguments.tag), arguments.format), end="")
    return 0
