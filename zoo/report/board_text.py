"""The leaderboard for people at a terminal: what does not fit is left out, and said."""

from __future__ import annotations

import textwrap
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from zoo.collector import paused
from zoo.report.board import Board, Cell, Line, Table
from zoo.report.marks import BEST, FRONT
from zoo.report.terminal import (
    UNBROKEN,
    WIDE,
    grid,
    paragraphs,
    print_to_text,
    say_hidden,
    simple_table,
    text_width,
    widest,
)
from zoo.score.trust import REMEDIES

WORDS = frozenset({"weights", "published", "grade", "why"})
"""Columns that hold words, not numbers."""


@paused()
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
        legend = "   ".join(f"{mark} {text}".replace(" ", UNBROKEN) for mark, text in marks.items())
        parts += paragraphs([legend, *_remedies(board)], available, "dim")
    return print_to_text(Group(*parts), width=width, plain=plain)


def _remedies(board: Board) -> list[str]:
    """What to do about each kind of thing that speaks against some row's timing."""
    doubted = {remedy for table in board.tables for line in table.lines for remedy in line.row.grade_remedies}
    said = {kind: f"not A for {kind}: {remedy}" for kind, remedy in REMEDIES.items() if remedy in doubted}
    few = said.pop("few samples", None)
    again = ["then measure anew: the same `zoo bench …` with `--rerun`"] if said else []
    return [*said.values(), *again, *([few] if few else [])]  # that is asked of another preset, not of the same


def _render(table: Table, available: int) -> list[RenderableType]:
    parts: list[RenderableType] = [*paragraphs([table.title], available, "bold")]
    if table.caution:
        parts += paragraphs([table.caution], available, "bold yellow")
    if table.failed:
        parts.append(Text(f"Not ok: {sum(len(labels) for labels, _ in table.failed)}", style="bold red"))
        parts += paragraphs((f"  {', '.join(labels)} · {reason}" for labels, reason in table.failed), available)
    parts += paragraphs(table.notes, available)
    if table.lines and any(table.columns[index].key == "weights" for index in _fitting(table, available)[1]):
        table, said = _abbreviated(table)
        parts += paragraphs([said], available, "dim")
    if table.fastest:
        header, *rows = map(list, table.fastest)
        header = ["\n".join(textwrap.wrap(title, 9, break_long_words=False)) for title in header]
        parts.append(Text("Fastest artifact of each model", style="bold"))
        parts.append(simple_table(header, rows, left=len(header) - 2))
        parts.append(Text())
    if table.lines:
        shown, hidden = _fitting(table, available)
        header = ["", "model", *(_header(table.columns[index].title) for index in shown)]
        words = {0, 1} | {2 + place for place, index in enumerate(shown) if table.columns[index].key in WORDS}
        lacking = say_hidden([table.columns[index].title for index in hidden], available)
        parts += [Text(line, style="dim") for line in lacking]
        lines = [_line(table, line, cells, shown) for line, cells in table.printed]
        parts.append(grid(header, lines, words=frozenset(words)))
    return parts


def _header(title: str) -> str:
    """`"pipeline p50 ms"` on two lines."""
    first, _, rest = title.partition(" ")
    return f"{first}\n{rest}" if rest else first


def _line(table: Table, line: Line, known: list[Cell], shown: list[int]) -> list[tuple[str, str]]:
    front = FRONT in line.marks
    cells = [(line.marks, "cyan" if front else "red")]
    cells.append((line.label, "italic" if line.row.baseline else "bold" if front else ""))
    for index in shown:
        text, best = known[index]
        star = "" if table.columns[index].key in WORDS else BEST if best else " "  # points stay under each other
        cells.append((text + star, "bold green" if best else ""))
    return cells


def _fitting(table: Table, available: int) -> tuple[list[int], list[int]]:
    """Split the columns into those that fit beside whole model names and those that do not."""
    widths = [
        max(widest(_header(column.title).split("\n")), widest([cell.text for cell in cells]) + 1)
        for column, cells in zip(table.columns, table.cells, strict=True)
    ]
    shown = list(range(len(table.columns)))
    hidden: list[int] = []
    names = max(2, *(len(line.marks) for line in table.lines)) + widest([line.label for line in table.lines])
    while len(shown) > 1 and names + 4 + sum(widths[index] + 2 for index in shown) > available:
        dropped = min(shown, key=lambda index: table.columns[index].keep)
        shown.remove(dropped)
        hidden.append(dropped)
    return shown, sorted(hidden)


def _abbreviated(table: Table) -> tuple[Table, str]:
    """The table with a short mark behind each name in place of the column of weights, and what the marks mean."""
    place = next(place for place, column in enumerate(table.columns) if column.key == "weights")
    texts = dict.fromkeys(cell.text for cell in table.cells[place] if cell.text)
    marks = {text: f"w{number}" for number, text in enumerate(texts, 1)}
    lines = tuple(
        line._replace(label=f"{line.label} {marks.get(cell.text, '')}".rstrip())
        for line, cell in zip(table.lines, table.cells[place], strict=True)
    )
    columns = (*table.columns[:place], *table.columns[place + 1 :])
    varying = table.fastest[0].index("weights") if table.fastest and "weights" in table.fastest[0] else None
    fastest = tuple(
        tuple(marks.get(text, text) if column == varying else text for column, text in enumerate(cells))
        for cells in table.fastest
    )
    said = "weights: " + ", ".join(f"{mark} {text}" for text, mark in marks.items())
    return replace(table, columns=columns, lines=lines, fastest=fastest), said
