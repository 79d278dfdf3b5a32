"""`zoo leaderboard`."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.cli.flags import RECORDS, TABLES, Verbs, add_conditions, add_verb, read_conditions, warn
from zoo.collector import paused
from zoo.errors import UserError


def add(verbs: Verbs) -> None:
    """Add the verb and its flags."""
    parser = add_verb(verbs, "leaderboard", run, "the tables of everything measured")
    parser.add_argument("--results", **RECORDS)
    parser.add_argument("--sort", default="miou", metavar="M", help="miou (default), latency, memory, … or a column")
    parser.add_argument("--format", choices=TABLES, help="default: table, or FILE's ending")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it, with a plot of mIoU over latency beside")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write it as one page for a browser: form, plot, cards"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when FILE is not what the records say")
    parser.add_argument("--by-runtime", action="store_true", help="which model runs in which runtime, and why not")
    add_conditions(parser)


@paused()
def run(arguments: argparse.Namespace) -> int:
    """Run it and return its exit code."""
    if arguments.check and arguments.output is None:
        raise UserError("--check compares a file with the records: name it with --output FILE")
    if arguments.by_runtime:
        return _by_runtime(arguments)

    from zoo.report.leaderboard import leaderboard, render

    board = leaderboard(arguments.results, sort=arguments.sort, **read_conditions(arguments))
    warn(board.warnings)
    if arguments.output is None and arguments.html is None:
        print(render(board, arguments.format or "table"), end="")
        return 0

    from zoo.report.output import stale, write

    if arguments.check:
        lines = stale(board, arguments.output, arguments.format)
        print("\n".join(lines) or f"{arguments.output} says what the records say")
        return 1 if lines else 0
    written = write(board, arguments.output, arguments.format) if arguments.output else []
    for path in [*written, *(write(board, arguments.html, "html") if arguments.html else [])]:
        print(f"wrote {path}")
    return 0


def _by_runtime(arguments: argparse.Namespace) -> int:
    if arguments.format not in (None, "md") or arguments.sort != "miou":
        raise UserError("--by-runtime is a page in the order of the catalog; leave --format and --sort away")

    from zoo.report.markdown import is_stale, write_page
    from zoo.report.runtimes import read, runtimes_page

    found, output = read(arguments.results, **read_conditions(arguments)), arguments.output
    warn(found.warnings)
    page = runtimes_page(found.records)
    if output is None:
        print(page, end="")
    elif arguments.check:
        stale = is_stale(page, output)
        print(f"{output} {'is out of date' if stale else 'says what the records say'}")
        return int(stale)
    else:
        write_page(page, output)
        print(f"wrote {output}")
    return 0
