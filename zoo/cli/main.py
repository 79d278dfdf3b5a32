"""The command line: a verb is a file, which parses, makes one call and prints.

These files alone import inside functions, so that `--help` answers before anything heavy is loaded.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from zoo import __version__
from zoo.advice import Given, carried, giving
from zoo.cli.flags import FOLDERS, Parser
from zoo.errors import UserError

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else each process looks through all that is installed

VERBS = {
    "list": "listing",
    "info": "info",
    "weights": "weights",
    "train": "train",
    "eval": "evaluate",
    "predict": "predict",
    "bench": "bench",
    "export": "export",
    "leaderboard": "leaderboard",
    "serve": "serve",
    "pick": "pick",
    "compare": "compare",
    "share": "share",
    "merge": "merge",
    "verify": "verify",
    "doctor": "doctor",
    "cache": "cache",
    "data": "data",
}
"""The file of each, as `zoo --help` lists them."""
EPILOG = """\
examples:
  zoo list --tag core                       the models, and what each is
  zoo info pidnet_s                         one of them: licences, cost, where it stands, what next
  zoo bench --models all                    measure every model on this machine (synthetic streets, a smoke test)
  zoo bench --models core --data DIR --preset camvid
  zoo leaderboard                           the tables of everything measured
  zoo serve                                 the same as a page, in a browser
  zoo pick --max-latency 50ms --max-memory 2GiB

exit codes: 0 done; 1 nothing qualifies (pick), a file loses more than it may (export --require) or is out of date
  (--check), a number is not the published one for no known reason or a record not that of its samples (verify), a
  record was left out (merge, share), a dataset has errors or a machine is not at rest (doctor), a repeated run gave
  other weights (train --repeat), or some images could not be predicted (predict) or weights fetched (weights fetch);
  2 a mistake in what was asked for; 3 some cell of a sweep, or a side of a pair, failed, or nothing was measured to
  choose from (pick); 4 more is lost than was allowed, 5 whether it is is not known (compare --fail-on); 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    words = sys.argv[1:] if argv is None else argv
    arguments = make_parser([verb for verb in words[:1] if verb in VERBS] or VERBS).parse_args(words)
    with giving(_given(arguments)):
        return _run(arguments)


def _given(arguments: argparse.Namespace) -> Given | None:
    """What finds by verb the folders that were named and that it takes too; of several for one flag none is meant."""
    folders = {}
    for name in FOLDERS:
        value = getattr(arguments, name, None)
        values = value if isinstance(value, list) else [value]
        if len(values) == 1 and values[0]:
            folders[f"--{name}"] = str(values[0])
    return functools.partial(_taken, folders) if folders else None


def _taken(folders: Mapping[str, str]) -> dict[str, dict[str, str]]:
    from zoo.cli.reference import verbs_of
    from zoo.store import SHIPPED

    return {
        name: {
            flag: value
            for flag, value in folders.items()
            if (action := verb._option_string_actions.get(flag)) is not None  # noqa: SLF001
            and value != action.default
            and not (value == SHIPPED and action.default and not Path(value).exists())  # it is read, never written
        }
        for name, verb in verbs_of(make_parser())
    }


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.verb(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"zoo: {carried(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nzoo: interrupted; everything finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def make_parser(names: Iterable[str] = VERBS) -> Parser:
    """Verbs and their flags: all, or those that are asked for."""
    parser = Parser(
        prog="zoo",
        description="Which semantic-segmentation model should I deploy on my hardware, and can I trust the answer?",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in names:
        importlib.import_module(f"zoo.cli.{VERBS[name]}").add(verbs)
    return parser
