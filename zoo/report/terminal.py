"""Tables for people at a terminal: rich decides colours and width; plain text when the output is no terminal."""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.control import strip_control_codes
from rich.segment import Segment
from rich.text import Text

from zoo.advice import carried, carried_command

WIDE = 160
"""Columns of text that goes into a file, or into a pipe where `COLUMNS` does not say."""

UNBROKEN = "\N{NO-BREAK SPACE}"
_COMMAND = re.compile(r"`[^`]+`")
_BEFORE_UNIT = re.compile(r"(?<=[\d\]]) (?=(?:%|ms|s|MiB|M|G|J|points)(?:\W|$))")


def print_to_text(renderable: RenderableType, *, width: int | None = None, plain: bool = False) -> str:
    """Return what rich would print to this terminal; plain and `WIDE` where the output is none.

    Args:
        renderable: Anything rich can print.
        width: Columns; `None`: the terminal's, or those `COLUMNS` asks for.
        plain: No colours, whatever the output is.
    """
    console = Console(file=io.StringIO() if plain else None, highlight=False, width=width)
    if width is None:
        console.width = WIDE if plain else text_width()
    with console.capture() as capture:
        console.print(renderable, crop=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def text_width() -> int:
    """Columns of the terminal, or those `COLUMNS` asks for; `WIDE` where the output is no terminal."""
    console = Console()
    return console.width if console.is_terminal or os.environ.get("COLUMNS", "").isdecimal() else WIDE


def wrapped(text: str, width: int | None = None, *, prefix: str = "") -> list[str]:
    """Return a sentence as lines, those after the first indented, each behind `prefix`; names are not broken.

    Nor is a command that fits into a line, since it is copied from there.

    Args:
        text: The sentence; spaces in front of it stay.
        width: Columns; `None`: the terminal's.
        prefix: Before every line.
    """
    width, rest = max(width or text_width(), 20), f"{prefix}{text[: len(text) - len(text.lstrip())]}  "

    def whole(found: re.Match[str]) -> str:
        return found[0].replace(" ", UNBROKEN) if len(rest) + len(found[0]) < width else found[0]

    lines = textwrap.wrap(
        _COMMAND.sub(whole, _BEFORE_UNIT.sub(UNBROKEN, carried(text))),
        width,
        initial_indent=prefix,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(UNBROKEN, " ") for line in lines]


def paragraphs(texts: Iterable[str], width: int, style: str = "") -> list[Text]:
    """Each sentence as `wrapped` has it, to stand among what rich prints."""
    return [Text(line, style=style) for text in texts for line in wrapped(text, width)]


def wrapped_command(says: str, command: str, width: int, *, prefix: str = "") -> list[str]:
    """Say what a command does, and return it as lines that a shell takes as one; a flag stays with its value."""
    whole = re.sub(r"( --?[a-z][a-z-]*) (?!-)", f"\\1{UNBROKEN}", carried_command(command))
    lines = wrapped(f"    {whole}", width - 2, prefix=prefix)
    return [*wrapped(f"  {says}:", width, prefix=prefix), *(f"{line} \\" for line in lines[:-1]), lines[-1]]


@dataclass(frozen=True)
class Grid:
    """Lines of (text, style) that stand as they are: rich prints them without laying them out once more."""

    lines: Sequence[Sequence[tuple[str, str]]]

    @property
    def plain(self) -> list[str]:
        """Its lines as text."""
        return ["".join(text for text, _ in line).rstrip() for line in self.lines]

    def __rich_console__(self, console: Console, _options: ConsoleOptions) -> Iterator[Segment]:
        for line in self.lines:
            for text, style in line:
                yield Segment(text, console.get_style(style) if style else None)
            yield Segment.line()


def simple_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> Grid:
    """Return a table whose first `left` columns hold words and the others numbers."""
    return grid(header, [[(cell, "") for cell in row] for row in rows], words=frozenset(range(left)))


def fitted_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, drop: Sequence[str], width: int | None = None
) -> tuple[Grid, list[str]]:
    """As `simple_table`, but where it is wider than the terminal without the columns of `drop`, as many as need be.

    Args:
        header: Titles, each another.
        rows: The cells.
        left: So many columns hold words.
        drop: Titles of columns that may be left out, the first of them first.
        width: Columns; `None`: the terminal's.

    Returns:
        The table, and the titles that it is without.
    """
    width, places, hidden = width or text_width(), list(range(len(header))), list[str]()
    wide = {title: widest(column) for title, *column in zip(header, header, *rows, strict=True)}
    for title in drop:
        if sum(wide[header[place]] + 2 for place in places) - 2 <= width:
            break
        places.remove(header.index(title))
        hidden.append(title)
    kept = [[line[place] for place in places] for line in (header, *rows)]
    return simple_table(kept[0], kept[1:], left=sum(place < left for place in places)), hidden


def say_hidden(titles: Sequence[str], width: int | None = None, *, whole: str = "--format csv has all") -> list[str]:
    """Say in lines which columns there was no room for, and where they are; no line where there was for all."""
    names = ", ".join(title.replace(" ", UNBROKEN) for title in titles)
    return wrapped(f"hidden in this width: {names} ({whole})", width) if titles else []


def fitted_text(table: Grid, hidden: Sequence[str], *, whole: str = "--format csv has all") -> str:
    """A table of `fitted_table` as text, below what is said of the columns it is without."""
    return "".join(f"{line}\n" for line in say_hidden(hidden, whole=whole)) + print_to_text(table)


def grid(header: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], *, words: frozenset[int]) -> Grid:
    """Lay out cells (text, style) under titles of one or two lines; columns of `words` stand left, others right."""
    titles = [title.split("\n") for title in header]
    height = max(len(lines) for lines in titles)
    titles = [[""] * (height - len(lines)) + lines for lines in titles]
    widths = [widest((*titles[column], *(row[column][0] for row in rows))) for column in range(len(header))]
    bold = [[(lines[index], "bold") for lines in titles] for index in range(height)]
    rule = [("─" * (sum(widths) + 2 * (len(widths) - 1)), "")]
    lines = [[_aligned(row, widths, words) for row in part] for part in (bold, rows)]
    return Grid([*lines[0], rule, *lines[1]])


def _aligned(row: Sequence[tuple[str, str]], widths: Sequence[int], words: frozenset[int]) -> list[tuple[str, str]]:
    """One line; what has no style is joined."""
    line: list[tuple[str, str]] = []
    plain = ""
    for column, (cell, style) in enumerate(row):
        text, width = cell, widths[column]
        if not cell.isascii():
            width += len(cell) - cell_len(cell)
        if not cell.isprintable():
            text = strip_control_codes(cell)
        text = text.ljust(width) if column in words else text.rjust(width)
        if style:
            line += [(plain, ""), (text, style)]
            plain = "  "
        else:
            plain += text + "  "
    line.append((plain.rstrip(), ""))
    return line


def widest(texts: Sequence[str]) -> int:
    """How many columns the widest of some texts takes."""
    return max(map(len if "".join(texts).isascii() else cell_len, texts), default=0)
