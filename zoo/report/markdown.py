"""GitHub tables, pages that are written whole, and the generated blocks of a page between two comment markers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import write_all
from zoo.score.fields import FIELDS

if TYPE_CHECKING:
    from zoo.report.board import Board, Cell, Line, Table

BEGIN = "<!-- leaderboard:begin"
END = "<!-- leaderboard:end -->"


def write_page(text: str, output: Path) -> None:
    """Write a page.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        write_all({output: text.encode()})
    except OSError as error:
        advice = how_to_write(error, "another file")
        raise UserError(f"cannot write {output}: {reason(error)}; {advice}") from error


def is_stale(text: str, output: Path) -> bool:
    """Whether a file is not the page that `write_page` would write."""
    try:
        return output.read_text(encoding="utf-8") != text
    except (OSError, UnicodeDecodeError):
        return True


def board_markdown(board: Board) -> str:
    """Return the tables as Markdown, a heading each."""
    parts = [_table(table) for table in board.tables]
    if any(table.lines for table in board.tables):
        parts.append(
            " · ".join(("**bold** best of its column", *(f"{mark} {text}" for mark, text in board.marks.items())))
        )
    return "\n\n".join(parts) + "\n"


def grid(header: list[str], rows: list[list[str]], *, left: int = 1) -> str:
    """Return a GitHub table whose first `left` columns hold words and the others numbers."""
    rule = [":--" if index < left else "--:" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in (header, rule, *rows))


@dataclass(frozen=True)
class Block:
    """A generated block of a page: what its begin marker asks for."""

    filters: dict[str, str]
    """From `key=value` words of the marker: `FILTERS`; commas between several values, `quick` is `yes` or `no`, quotes
    around a value with a space."""
    plot: str | None
    """From `plot=PATH`: where the picture above its tables lies, relative to the page."""
    waterfall: str | None
    """From `waterfall=PATH`: where the picture of its stages lies, which then stands alone, without tables."""
    best: bool
    """From `rows=best`: of each model the fastest artifact that loses no accuracy, and the baseline."""
    columns: tuple[str, ...]
    """From `columns=A,B`: only these, by the names that `--sort` takes; empty: all that have a value."""


FILTERS = (*FIELDS, "models")
PICTURES = ("plot", "waterfall")
SHAPES = ("rows", "columns")
_BLOCK = re.compile(
    rf"^{re.escape(BEGIN)}(?P<words>[^>\n]*)-->[ ]*\n(?P<body>.*?)^{re.escape(END)}", re.MULTILINE | re.DOTALL
)


def has_blocks(page: str) -> bool:
    """Whether a page asks for generated tables."""
    return any(line.startswith((BEGIN, END)) for line in page.splitlines())


def fill_blocks(page: str, fill: Callable[[Block], str]) -> str:
    """Return the page with every block's body replaced by `fill(block)`; all else stays as it is.

    Raises:
        UserError: a begin without an end or the reverse, or an unknown word in a marker.
    """
    lines = page.splitlines()
    begins, ends = (sum(line.startswith(marker) for line in lines) for marker in (BEGIN, END))
    blocks = list(_BLOCK.finditer(page))
    if not len(blocks) == begins == ends:
        raise UserError(
            f"{begins} leaderboard begin markers and {ends} end markers that pair {len(blocks)} times; "
            f"each block starts with a line `{BEGIN} … -->` and ends with a line `{END}`"
        )

    def replace(match: re.Match[str]) -> str:
        block = _parse(match["words"])
        return f"{BEGIN}{match['words']}-->\n{fill(block).rstrip()}\n{END}"

    return _BLOCK.sub(replace, page)


def _parse(words: str) -> Block:
    values: dict[str, str] = {}
    try:
        split = shlex.split(words)
    except ValueError as error:
        raise UserError(f"leaderboard marker: {words.strip()!r} cannot be read: {error}") from None
    for word in split:
        key, equals, value = word.partition("=")
        if not equals or key not in (*FILTERS, *PICTURES, *SHAPES):
            known = ", ".join(f"{name}=…" for name in (*FILTERS, *PICTURES, *SHAPES))
            raise UserError(f"leaderboard marker: {word!r} is none of {known}")
        if key == "quick" and value not in ("yes", "no"):
            raise UserError(f"leaderboard marker: quick is yes or no; got {word!r}")
        if key == "rows" and value != "best":
            raise UserError(f"leaderboard marker: rows is best, or left away for all of them; got {word!r}")
        if values.setdefault(key, value) != value:
            raise UserError(
                f"leaderboard marker: {key} is given as {values[key]} and as {value}; use commas: {key}=A,B"
            )
    filters = {key: value for key, value in values.items() if key in FILTERS}
    columns = tuple(values["columns"].split(",")) if "columns" in values else ()
    return Block(filters, values.get("plot"), values.get("waterfall"), "rows" in values, columns)


def _table(table: Table) -> str:
    parts = [f"### {table.title}"]
    if table.caution:
        parts.append(f"> **{table.caution}**")
    if table.lines:
        header = ["", "model", *(column.title for column in table.columns)]
        left = 3 if table.columns[:1] and table.columns[0].key == "weights" else 2
        parts.append(grid(header, [_line(*one) for one in table.printed], left=left))
    if table.fastest:
        header, *rows = map(list, table.fastest)
        parts += ["Fastest artifact of each model:", grid(header, rows, left=len(header) - 2)]
    if table.failed:
        lines = (f"- {', '.join(f'`{label}`' for label in labels)} · {reason}" for labels, reason in table.failed)
        parts.append("Not ok:\n\n" + "\n".join(lines))
    parts += table.notes
    return "\n\n".join(parts)


def _line(line: Line, cells: Iterable[Cell]) -> list[str]:
    return [line.marks, f"`{line.label}`", *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)]


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
