"""How flags of the command line behave, whatever the verb: one line for a mistake, and no value lost without a word."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from zoo.advice import carried
from zoo.errors import UserError, did_you_mean
from zoo.score.fields import FIELDS
from zoo.units import parse_pairs, parse_whole

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.spec import Size
    from zoo.weights.source import Source

DATA: dict[str, Any] = {
    "metavar": "DIR",
    "help": "Cityscapes layout (default: CITYSCAPES_DATASET, else synthetic streets)",
}
RESULTS: dict[str, Any] = {"metavar": "DIR", "default": "results", "help": "folder of the records (default: results)"}
RECORDS: dict[str, Any] = {
    "metavar": "DIR",
    "help": "folder of the records, or shipped: those that came with zoo (default: results, else shipped)",
}
"""`RESULTS` of a verb that only reads."""
CACHE: dict[str, Any] = {
    "metavar": "DIR",
    "type": Path,
    "help": "for drawn data, built artifacts and published weights (default: ZOO_CACHE, else the user's cache)",
}
RUNS: dict[str, Any] = {"metavar": "DIR", "help": "folder of training runs (default: ZOO_RUNS, else runs)"}
INPUT_SIZE: dict[str, Any] = {
    "metavar": "HxW",
    "help": "what the network sees, such as 512x1024 (default: as it was trained, else the frame's size)",
}
WEIGHTS: dict[str, Any] = {
    "metavar": "W",
    "help": "auto (default: its newest finished run, else what is on this machine), random, run[:RECIPE[:SEED]], "
    "published[:TAG], own, or a FILE",
}
FOLDERS = ("data", "runs", "cache", "results")
"""Flags that say where things are: what a verb advises goes on there."""
DEVICE: dict[str, Any] = {"metavar": "D", "help": "auto, cpu, cuda, cuda:0 or mps"}
FLEET: dict[str, Any] = {
    "metavar": "ADDRESS",
    "help": "let a Ray cluster do it: ray://HOST:10001, or local for one of this machine alone",
}
TABLES = ("table", "json", "csv", "md")


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
        """Keep the value; none is that of a shell's variable that is not set."""
        if option is not None and values == "":
            raise argparse.ArgumentError(self, "got an empty value; give one, or leave the flag away")
        if option is not None and self.taken not in (None, values):
            raise argparse.ArgumentError(self, f"given as {self.taken} and as {values}; give it once")
        self.taken = values
        setattr(namespace, self.dest, values)


class Help(argparse.HelpFormatter):
    """What stands below the flags keeps its paragraphs, and of examples its lines and columns."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        told = []
        for paragraph in text.strip().split("\n\n"):
            lines = paragraph.splitlines()
            kept = lines if any(line.startswith("  zoo ") for line in lines) else [" ".join(paragraph.split())]
            told.append("\n".join(part for line in kept for part in _hanging(line, width, indent)))
        return "\n\n".join(told)


def _hanging(line: str, width: int, indent: str) -> list[str]:
    """A line as lines, those after the first under its second column where it has one."""
    first, gap, _ = re.split(r"(?<=\S)( {3,})", line, maxsplit=1) if "   " in line.strip() else ("  ", "", "")
    return textwrap.wrap(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=indent + " " * len(first + gap),
        break_long_words=False,
        break_on_hyphens=False,
    )


class Parser(argparse.ArgumentParser):
    """One line for a mistake, as everywhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"formatter_class": Help, **kwargs})
        self.register("action", None, Once)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse here what is not known, so that the verb's own help is named, not that of all of them."""
        known, others = super().parse_known_args(args, namespace)
        if others:
            nearest = did_you_mean(others[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(others)}{nearest and '.' + nearest}")
        return known, others

    def error(self, message: str) -> NoReturn:
        """Print the mistake and where to read on; exit with 2."""
        self.exit(2, f"zoo: {message}; see `{self.prog} --help`\n")


def add_conditions(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which rows of the records are meant (`score.filtering.select`)."""
    group = parser.add_argument_group("which rows", "a repeated flag, or commas, means any of its values")
    group.add_argument("--models", action="append", metavar="M,…", help="names, globs or tags")
    for field in FIELDS.values():
        if field.flag:
            group.add_argument(field.flag, dest=field.name, action="append", metavar=field.metavar, help=field.help)
    group.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="any other condition, such as split=val"
    )
    group.add_argument("--no-quick", action="store_true", help="leave smoke tests out")


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001  it has no other name


def add_verb(verbs: Verbs, name: str, run: Callable[[argparse.Namespace], int] | None, text: str) -> Parser:
    """Add a verb, whose flags the caller adds."""
    added: Parser = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
    added.set_defaults(verb=run)
    return added


def make_console(*, stderr: bool = False) -> Console:
    """A console that leaves a reader who has gone to `main`."""
    from rich.console import Console

    class Piped(Console):
        """Leaves a reader that has gone to `main`, as `print` does."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Piped(highlight=False, stderr=stderr)


def only_given(**values: Any) -> dict[str, Any]:
    """Keep the flags that were given."""
    return {key: value for key, value in values.items() if value is not None}


def read_changes(pairs: list[str], **flags: Any) -> dict[str, Any]:
    """What `--set` and the flags that stand for a key ask for."""
    from zoo.config import parse_set

    changes, given = parse_set(pairs), only_given(**flags)
    for key in given.keys() & changes.keys():
        raise UserError(f"{key} is given by its own flag and by --set {key}; give it once")
    return changes | given


def refuse(arguments: argparse.Namespace, flags: Sequence[str], why: str) -> None:
    """Refuse flags that would be ignored."""
    for flag in flags:
        value = getattr(arguments, flag)
        if value is not None and value is not False and value != []:
            raise UserError(f"{why}; leave --{flag.replace('_', '-')} away")


def require_fleet(arguments: argparse.Namespace, flags: Sequence[str]) -> None:
    """Refuse flags that speak of a fleet where there is none."""
    if not arguments.fleet:
        refuse(arguments, flags, "without --fleet there is no fleet to choose from")


def read_size(text: str | None) -> Size | None:
    """Read `HxW` where it was given."""
    from zoo.units import parse_size

    return parse_size(text) if text else None


def read_conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Which rows of the records are meant; a flag that is repeated or holds commas means any of its values."""
    found: dict[str, Any] = {"models": read_words(arguments.models) or []}
    found |= {field.name: read_words(getattr(arguments, field.name)) for field in FIELDS.values() if field.flag}
    found["quick"] = ["no"] if arguments.no_quick else None
    for name, value in parse_pairs("--where", arguments.where, "split=val").items():
        if found.get(name) is not None:
            raise UserError(f"{name} is asked for by its own flag and by --where; give it once")
        found[name] = read_words([value])
    return {
        name: [FIELDS[name].parse(word) for word in words] if words and name in FIELDS else words
        for name, words in found.items()
    }


def read_words(values: Sequence[str] | None) -> list[str] | None:
    """Flatten repeated and comma-separated values, where they were given.

    Raises:
        UserError: they were, and there is none.
    """
    if values is None:
        return None
    words = [stripped for value in values for word in value.split(",") if (stripped := word.strip())]
    if not words:
        raise UserError(f"a flag that takes several values got {','.join(values)!r}; name some, or leave it away")
    return words


def read_numbers(text: str | None) -> list[float] | None:
    """Read `0.75,1,1.25` where it was given."""
    try:
        return None if text is None else [float(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"numbers are separated by commas, such as 0.75,1,1.25; got {text!r}") from None


def read_label_values(values: Sequence[str] | None) -> list[int] | None:
    """Read `19,255` where it was given."""
    words = read_words(values) or []
    if not all(word.isdecimal() for word in words):
        raise UserError(f"--void takes values of label maps, such as 19 or 19,255; got {','.join(words)!r}")
    return [int(word) for word in words] or None


def read_triple(text: str | None) -> tuple[float, ...] | None:
    """Read `R,G,B` where it was given."""
    numbers = read_numbers(text)
    if numbers is not None and len(numbers) != 3:
        raise UserError(f"three numbers for red, green and blue, such as 0.485,0.456,0.406; got {text!r}")
    return None if numbers is None else tuple(numbers)


def say_weights(model: str, source: Source) -> None:
    """Print which weights a verb took, apart from its answer."""
    print(f"{model}: {carried(source.said)}", file=sys.stderr)


def warn(warnings: Sequence[str]) -> None:
    """Print each on its own line, apart from the answer."""
    for warning in warnings:
        print(f"zoo: {carried(warning)}", file=sys.stderr)
