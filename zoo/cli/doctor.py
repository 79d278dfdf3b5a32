"""`zoo doctor`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import CACHE, DATA, Verbs, add_verb, make_console, refuse


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(
        verbs, "doctor", run, "look over a dataset, or this machine before a sweep: what is wrong, what to do"
    )
    parser.add_argument("--data", **DATA)
    parser.add_argument("--cache", **CACHE)
    parser.add_argument("--full", action="store_true", help="decode every file, and search for near-duplicates")
    parser.add_argument(
        "--machine", action="store_true", help="look at this machine in place of a dataset: load, clocks, cores, memory"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if arguments.machine:
        return _machine(arguments)

    from zoo.doctor import examine
    from zoo.report.doctor import show_report
    from zoo.report.progress import LiveImages

    with LiveImages(make_console(stderr=True), "looking at frames") as live:
        report = examine(arguments.data, full=arguments.full, cache=arguments.cache, on_image=live)
    print(show_report(report, arguments.format), end="")
    return 0 if report.healthy else 1


def _machine(arguments: argparse.Namespace) -> int:
    refuse(arguments, ("data", "full"), "--machine looks at the machine and at no dataset")

    from zoo.measure.checkup.examine import examine_machine
    from zoo.report.machine import show_machine

    report = examine_machine(cache=arguments.cache)
    print(show_machine(report, arguments.format), end="")
    return 0 if report.healthy else 1
