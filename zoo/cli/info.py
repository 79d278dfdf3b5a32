"""`zoo info`."""

from __future__ import annotations

import argparse

from zoo.cli.flags import RECORDS, Verbs, add_verb, read_size, warn


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "info", run, "one model: paper, licences, sizes, cost by part, where it stands, what next")
    parser.add_argument("model", metavar="MODEL", help="see `zoo list`; or one of your own")
    parser.add_argument(
        "--input-size",
        default="1024x2048",
        metavar="HxW",
        help="where MACs are counted (default: 1024x2048)",
    )
    parser.add_argument("--no-parts", action="store_true", help="do not build it to count its parts: answer at once")
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    from zoo.report.info import info, show_info, show_parts

    size = read_size(arguments.input_size)
    assert size is not None
    found = info(arguments.model, arguments.results)
    warn(found.warnings)
    if arguments.format == "table":
        print(show_info(found), end="", flush=True)  # what follows takes seconds
    parts = None
    if not arguments.no_parts:
        try:
            from zoo.measure.macs import count_parts
            from zoo.models.build import build_for_counting
        except ImportError:
            warn(["parameters and MACs by part: PyTorch builds the network, and is not here"])
        else:
            parts = count_parts(build_for_counting(found.spec), size)
    if arguments.format == "json":
        print(show_info(found, "json", parts=parts, input_size=size), end="")
    elif parts is not None:
        print(show_parts(parts, size), end="")
    return 0
