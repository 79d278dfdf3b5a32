"""Tables for people at a terminal: rich decides colours and width; plain text when the output is no terminal."""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from zoo.report.board import BEST, FRONT, Board, Line, Table

WORDS = frozenset({"weights", "published", "grade", "why"})
"""Columns that hold words, not numbers."""

WIDE = 160
"""Columns of text that goes into a file, or into a pipe where `COLUMNS` does not say."""

_UNBROKEN = "\N{NO-BREAK SPACE}"
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

    Args:
        text: The sentence; spaces in front of it stay.
        width: Columns; `None`: the terminal's.
        prefix: Before every line.
    """
    indent = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(
        _BEFORE_UNIT.sub(_UNBROKEN, text),
        max(width or text_width(), 20),
        initial_indent=prefix,
        subsequent_indent=f"{prefix}{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_UNBROKEN, " ") for line in lines]


def board_text(board: Board, *, width: int | None = None, plain: bool = False) -> str:
    """Return the whole leaderboard as text.

    What matters most stands last, where a terminal stops scrolling: the first table, and in each its rows.
    """
    available = width or (WIDE if plain else text_width())
    parts: list[RenderableType] = []
    for table in reversed(board.tables):
        parts += [*_render(table, available), Text()]
    if any(table.lines for table in board.tables):
        marks = {BEST: "best of its column"} | board.marks
        legend = "   ".join(f"{mark} {text}".replace(" ", _UNBROKEN) for mark, text in marks.items())
        parts += [Text(line, style="dim") for line in wrapped(legend, available)]
    return print_to_text(Group(*parts), width=width, plain=plain)


def simple_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> Text:
    """Return a table whose first `left` columns hold words and the others numbers."""
    return _grid(header, [[(cell, "") for cell in row] for row in rows], words=frozenset(range(left)))


def _grid(header: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], *, words: frozenset[int]) -> Text:
    """Lay out cells (text, style) under titles of one or two lines; columns of `words` stand left, others right.

    One `Text` instead of rich's own table, which takes ten times as long.
    """
    titles = [title.split("\n") for title in header]
    height = max(len(lines) for lines in titles)
    titles = [[""] * (height - len(lines)) + lines for lines in titles]
    widths = [max(map(cell_len, (*titles[column], *(row[column][0] for row in rows)))) for column in range(len(header))]
    bold = [[(lines[index], "bold") for lines in titles] for index in range(height)]
    rule = [[("─" * (sum(widths) + 2 * (len(widths) - 1)), "")]]
    grid = Text(no_wrap=True, overflow="ignore")
    for row in (*bold, *rule, *rows):
        for column, (text, style) in enumerate(row):
            gap = " " * (widths[column] - cell_len(text))
            grid.append(text + gap if column in words else gap + text, style or None)
            grid.append("  " if column < len(row) - 1 else "\n")
    grid.right_crop()
    return grid


def _render(table: Table, available: int) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(table.title, style="bold")]
    if table.caution:
        parts.append(Text(table.caution, style="bold yellow"))
    if table.failed:
        parts.append(Text(f"Not ok: {sum(len(labels) for labels, _ in table.failed)}", style="bold red"))
        parts += [Padding(Text(f"{', '.join(labels)} · {reason}"), (0, 0, 0, 2)) for labels, reason in table.failed]
    parts += [Text(line) for note in table.notes for line in wrapped(note, available)]
    if table.lines and any(table.columns[index].key == "weights" for index in _fitting(table, available)[1]):
        table, said = _abbreviated(table)
        parts += [Text(line, style="dim") for line in wrapped(said, available)]
    if table.fastest:
        header, *rows = map(list, table.fastest)
        parts.append(Text("Fastest artifact of each model", style="bold"))
        parts.append(simple_table(header, rows, left=len(header) - 2))
        parts.append(Text())
    if table.lines:
        shown, hidden = _fitting(table, available)
        header = ["", "model", *(_header(table.columns[index].title) for index in shown)]
        words = {0, 1} | {2 + place for place, index in enumerate(shown) if table.columns[index].key in WORDS}
        if hidden:
            names = ", ".join(table.columns[index].title for index in hidden)
            parts.append(Text(f"hidden in this width: {names} (--format csv has all)", style="dim"))
        lines = [_line(table, line, shown) for line in table.lines]
        parts.append(_grid(header, lines, words=frozenset(words)))
    return parts


def _header(title: str) -> str:
    """`"pipeline p50 ms"` on two lines."""
    first, _, rest = title.partition(" ")
    return f"{first}\n{rest}" if rest else first


def _line(table: Table, line: Line, shown: list[int]) -> list[tuple[str, str]]:
    front = FRONT in line.marks
    cells = [(line.marks, "cyan" if front else "red")]
    cells.append((line.label, "italic" if line.row.baseline else "bold" if front else ""))
    for index in shown:
        cell = line.cells[index]
        star = "" if table.columns[index].key in WORDS else BEST if cell.best else " "  # points stay under each other
        cells.append((cell.text + star, "bold green" if cell.best else ""))
    return cells


def _fitting(table: Table, available: int) -> tuple[list[int], list[int]]:
    """Split the columns into those that fit beside whole model names and those that do not."""
    widths = [
        max(
            *(cell_len(part) for part in _header(column.title).split("\n")),
            *(cell_len(line.cells[index].text) + 1 for line in table.lines),
        )
        for index, column in enumerate(table.columns)
    ]
    shown = list(range(len(table.columns)))
    hidden: list[int] = []
    names = max(2, *(len(line.marks) for line in table.lines)) + max(cell_len(line.label) for line in table.lines)
    while len(shown) > 1 and names + 4 + sum(widths[index] + 2 for index in shown) > available:
        dropped = min(shown, key=lambda index: table.columns[index].keep)
        shown.remove(dropped)
        hidden.append(dropped)
    return shown, sorted(hidden)


def _abbreviated(table: Table) -> tuple[Table, str]:
    """The table with a short mark behind each name in place of the column of weights, and what the marks mean."""
    place = next(place for place, column in enumerate(table.columns) if column.key == "weights")
    texts = dict.fromkeys(text for line in table.lines if (text := line.cells[place].text))
    marks = {text: f"w{number}" for number, text in enumerate(texts, 1)}
    lines = tuple(
        replace(
            line,
            label=f"{line.label} {marks.get(line.cells[place].text, '')}".rstrip(),
            cells=(*line.cells[:place], *line.cells[place + 1 :]),
        )
        for line in table.lines
    )
    columns = (*table.columns[:place], *table.columns[place + 1 :])
    varying = table.fastest[0].index("weights") if table.fastest and "weights" in table.fastest[0] else None
    fastest = tuple(
        tuple(marks.get(text, text) if column == varying else text for column, text in enumerate(cells))
        for cells in table.fastest
    )
    said = "weights: " + ", ".join(f"{mark} {text}" for text, mark in marks.items())
    return replace(table, columns=columns, lines=lines, fastest=fastest), said
