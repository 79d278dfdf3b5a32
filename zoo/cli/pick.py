"""`zoo pick`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import RECORDS, Verbs, add_conditions, add_verb, only_given, read_conditions, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "pick", run, "one model, with its reason")
    parser.add_argument("--max-latency", metavar="T", help="such as 50ms or p99:50ms, from uint8 image to label map")
    parser.add_argument("--max-memory", metavar="SIZE", help="such as 500MiB, 2GB or 0.5G")
    parser.add_argument("--max-params", metavar="N", help="such as 10M or 1e7")
    parser.add_argument("--min-miou", metavar="X", help="a fraction, such as 0.6, or percent: 60%% or 60")
    parser.add_argument("--objective", default="miou", help="miou (default), latency, memory, params or macs")
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--explain", action="store_true", help="why each of the others lost")
    add_conditions(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.picker import parse_latency, pick
    from zoo.report.choice import show_choice
    from zoo.units import parse_bytes, parse_count, parse_share

    latency, max_latency_s = parse_latency(arguments.max_latency) if arguments.max_latency else (None, None)
    choice = pick(
        arguments.results,
        max_latency_s=max_latency_s,
        **only_given(latency=latency),
        max_memory_bytes=parse_bytes(arguments.max_memory) if arguments.max_memory else None,
        max_param_count=parse_count(arguments.max_params) if arguments.max_params else None,
        min_miou=parse_share(arguments.min_miou) if arguments.min_miou else None,
        objective=arguments.objective,
        **read_conditions(arguments),
    )
    warn(choice.warnings)
    print(show_choice(choice, arguments.format, explain=arguments.explain), end="")
    return 0 if choice.winner is not None else 1
