"""`zoo compare`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import RECORDS, Verbs, add_conditions, add_verb, read_conditions, read_words, warn
from zoo.collector import paused

LOST, NOT_KNOWN = 4, 5
"""Exit codes of `--fail-on`."""
EPILOG = """\
WHAT is a model (unet), one of its artifacts (unet,runtime=openvino,precision=int8), a date (unet@2026-11-01: as things
stood at the end of that day, UTC), or a record's file: one row each, of which the first is what the others are held
against. A folder, a device (nvidia-h200), conditions (runtime=openvino) or a date alone (@2026-11-01) is all that is
there: each artifact is held against the same one of the first. Several --results are compared with each other.

--fail-on takes METRIC:AMOUNT, the metrics those of `zoo pick`, slower another word for latency: percent of what it was,
or an amount in its own unit (p99:2ms, memory:10MiB); of mIoU and class IoU points. Only what is no tie counts as lost.

exit codes: 0 done, and with --fail-on nothing is lost; 2 a mistake in what was asked for, or nothing may be compared;
4 with --fail-on: a loss is larger than allowed; 5 with --fail-on: nothing is known to be lost, but something that was
asked is not known or not comparable
"""


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "compare", run, "rows, models, devices, dates or folders against the first of them")
    parser.epilog = EPILOG
    parser.add_argument("what", nargs="*", metavar="WHAT", help="two or more: see below")
    parser.add_argument("--results", **RECORDS, action="append")
    parser.add_argument(
        "--fail-on",
        action="append",
        metavar="METRIC:AMOUNT,…",
        help="end with 4 where more is lost, such as slower:5%%,miou:0.5",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    add_conditions(parser)


@paused()
def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.report.compare import compare
    from zoo.report.compare_text import show_comparison
    from zoo.score.limits import LossLimit, require_once

    limits = [LossLimit.parse(word) for word in read_words(arguments.fail_on) or ()]
    require_once("--fail-on", limits)
    comparison = compare(*arguments.what, results=arguments.results, **read_conditions(arguments))
    warn(comparison.warnings)
    print(show_comparison(comparison, arguments.format, limits=limits), end="")
    kinds = {loss.kind for loss in comparison.losses(limits)}
    return LOST if "lost" in kinds else NOT_KNOWN if kinds else 0
