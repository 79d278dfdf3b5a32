"""How flags of the command line behave, whatever the verb: one line for a mistake, and no value lost without a word."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from zoo.errors import UserError
from zoo.units import parse_whole


def count(text: str) -> int:
    """Read a whole number, for argparse."""
    try:
        return parse_whole(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class Once(argparse.Action):
    """Stores a flag's value, and refuses another for the same flag: which of two is meant is not known."""

    taken: Any = None

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Keep the value."""
        if option is not None and self.taken not in (None, values):
            raise argparse.ArgumentError(self, f"given as {self.taken} and as {values}; give it once")
        self.taken = values
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """One line for a mistake, as everywhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("action", None, Once)

    def error(self, message: str) -> NoReturn:
        """Print the mistake and where to read on; exit with 2."""
        self.exit(2, f"zoo: {message}; see `{self.prog} --help`\n")


def add_conditions(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which rows of the records are meant (`score.filtering.select`)."""
    group = parser.add_argument_group("which rows", "a repeated flag, or commas, means any of its values")
    for flag, metavar, text in (
        ("--models", "M,…", "names, globs or tags"),
        ("--device", "NAME,…", "such as nvidia-h200"),
        ("--dataset", "NAME,…", "a name, a version of it (camvid@3f2a8c11), or none"),
        ("--recipe", "NAME,…", "likewise"),
        ("--input-size", "HxW,…", None),
        ("--runtime", "R,…", None),
        ("--precision", "P,…", None),
        ("--batch", "N,…", None),
        ("--threads", "N,…", None),
        ("--resize", "R,…", "fit, stretch or none"),
    ):
        group.add_argument(flag, action="append", metavar=metavar, help=text)
    group.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="any other condition, such as split=val"
    )
    group.add_argument("--no-quick", action="store_true", help="leave smoke tests out")
