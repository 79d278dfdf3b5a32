"""`zoo pick`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Literal

from zoo.advice import carried
from zoo.cli.flags import RECORDS, Verbs, add_conditions, add_verb, only_given, read_conditions, warn
from zoo.collector import paused
from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.score.limits import Limit

EPILOG = """\
METRIC is latency, p90, p99, p99.9 (image to label map), network, network-p99, cold-start, missed, memory, file, energy,
params, macs, throughput, miou, iou.CLASS, class-loss.CLASS (points of IoU lost against fp32), class-loss (of the worst
class), grade, cost (of a million images, with --price), or any other of the tables. VALUE has its unit: 50ms, 1GiB,
10M, 60%, 0.2J, B.
Several --device: one model that keeps every limit on all of them; a number counts where it is worst.

exit codes: 0 chosen; 1 nothing qualifies; 2 a mistake in what was asked for; 3 nothing was measured to choose from
"""


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "pick", run, "one model, with its reason")
    parser.epilog = EPILOG
    for end, text in (("max", "at most, such as latency=50ms or memory=1GiB"), ("min", "at least, such as miou=60%%")):
        parser.add_argument(f"--{end}", action="append", default=[], metavar="METRIC=VALUE", help=f"{text}; repeatable")
    parser.add_argument("--max-latency", metavar="T", help="such as 50ms or p99:50ms, from uint8 image to label map")
    parser.add_argument("--max-memory", metavar="SIZE", help="the same as --max memory=SIZE")
    parser.add_argument("--max-params", metavar="N", help="the same as --max params=N")
    parser.add_argument("--min-miou", metavar="X", help="the same as --min miou=X")
    parser.add_argument("--at", metavar="RATE", help="frames a second to keep up with, such as 10hz")
    parser.add_argument("--for", dest="purpose", choices=("sale",), help="only what is known to be free to be sold")
    parser.add_argument("--accept", choices=("published",), help="a published mIoU where none was measured")
    parser.add_argument("--maximize", metavar="METRIC", help="what is made best (default: miou)")
    parser.add_argument("--minimize", metavar="METRIC", help="the same of what is better lower, such as latency")
    parser.add_argument("--objective", metavar="METRIC", help="the same, whichever is better")
    parser.add_argument(
        "--price", metavar="P/h", help="what an hour costs, such as 2.49/h: then what a million images do, `cost`"
    )
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--explain", action="store_true", help="the whole elimination, and why each of the others lost")
    add_conditions(parser)


@paused()
def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.picker.candidates import NothingMeasuredError
    from zoo.picker.pick import pick
    from zoo.report.choice import show_choice
    from zoo.units import parse_price

    price = parse_price(arguments.price) if arguments.price else None
    try:
        choice = pick(
            arguments.results,
            limits=_limits(arguments),
            objective=_objective(arguments),
            sale=arguments.purpose == "sale",
            at=arguments.at,
            accept=[arguments.accept] if arguments.accept else (),
            price=price,
            **read_conditions(arguments),
        )
    except NothingMeasuredError as error:
        print(f"zoo: {carried(str(error))}", file=sys.stderr)
        return 3
    warn(choice.warnings)
    print(show_choice(choice, arguments.format, explain=arguments.explain, price=price), end="")
    return 0 if choice.winner is not None else 1


def _limits(arguments: argparse.Namespace) -> list[Limit]:
    from zoo.score.limits import Limit, parse_latency
    from zoo.units import parse_pairs

    pairs: tuple[tuple[Literal["max", "min"], dict[str, str]], ...] = (
        ("max", parse_pairs("--max", arguments.max, "latency=50ms")),
        ("min", parse_pairs("--min", arguments.min, "miou=0.5")),
        ("max", only_given(memory=arguments.max_memory, params=arguments.max_params)),
        ("min", only_given(miou=arguments.min_miou)),
    )
    limits = [Limit.of(end, name, value) for end, given in pairs for name, value in given.items()]
    return limits + ([parse_latency(arguments.max_latency)] if arguments.max_latency else [])


def _objective(arguments: argparse.Namespace) -> str:
    """What is made best.

    Raises:
        UserError: two are named, or a direction that would choose the worst.
    """
    from zoo.score.metrics import metric_named

    flags = {"maximize": "higher", "minimize": "lower", "objective": ""}
    given = {flag: value for flag in flags if (value := getattr(arguments, flag)) is not None}
    if len(given) > 1:
        raise UserError(f"{' and '.join(f'--{flag} {value}' for flag, value in given.items())}: one thing is made best")
    for flag, value in given.items():
        better = metric_named(value).better
        if flags[flag] not in ("", better):
            other = "minimize" if flag == "maximize" else "maximize"
            raise UserError(f"{value} is better {better}: --{flag} would choose the worst; ask for --{other} {value}")
    return next(iter(given.values()), "miou")
