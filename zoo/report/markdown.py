"""GitHub tables, and the generated blocks of a page between two comment markers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from zoo.errors import UserError
from zoo.report.board import COLUMNS, FRONT, UNDER, Board, Line, Table, show_reason

BEGIN = "<!-- leaderboard:begin"
END = "<!-- leaderboard:end -->"
LEGEND = (
    f"**bold** best of its column · {FRONT} on the Pareto front of mIoU and pipeline latency · {UNDER} under baseline"
)


def board_markdown(board: Board) -> str:
    """Return the tables as Markdown, a heading each."""
    parts = [_table(table) for table in board.tables]
    if any(table.lines for table in board.tables):
        parts.append(LEGEND)
    return "\n\n".join(parts) + "\n"


def grid(header: list[str], rows: list[list[str]], *, left: int = 1) -> str:
    """Return a GitHub table whose first `left` columns hold words and the others numbers."""
    rule = [":--" if index < left else "--:" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in (header, rule, *rows))


@dataclass(frozen=True)
class Block:
    """A generated block of a page: what its begin marker asks for."""

    filters: dict[str, str]
    """From `key=value` words of the marker: `device`, `dataset`, `recipe`, `input_size`, `quick` (`yes`, `no`)."""
    plot: str | None
    """From `plot=PATH`: where its picture lies, relative to the page."""


FILTERS = ("device", "dataset", "recipe", "input_size", "quick")
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
    for word in words.split():
        key, equals, value = word.partition("=")
        if not equals or key not in (*FILTERS, "plot"):
            raise UserError(
                f"leaderboard marker: {word!r} is none of {', '.join(f'{name}=…' for name in FILTERS)}, plot=…"
            )
        if key == "quick" and value not in ("yes", "no"):
            raise UserError(f"leaderboard marker: quick is yes or no; got {word!r}")
        values[key] = value
    return Block({key: value for key, value in values.items() if key != "plot"}, values.get("plot"))


def _table(table: Table) -> str:
    parts = [f"### {table.title}"]
    if table.caution:
        parts.append(f"> **{table.caution}**")
    if table.lines:
        shown = [index for index in range(len(COLUMNS)) if any(line.cells[index].text for line in table.lines)]
        header = ["", "model", *(COLUMNS[index].title for index in shown)]
        parts.append(grid(header, [_line(line, shown) for line in table.lines], left=2))
    if table.failed:
        parts.append("Not ok:\n\n" + "\n".join(f"- `{label}` · {show_reason(row)}" for label, row in table.failed))
    parts += table.notes
    return "\n\n".join(parts)


def _line(line: Line, shown: list[int]) -> list[str]:
    cells = [f"**{cell.text}**" if cell.best else cell.text for cell in (line.cells[index] for index in shown)]
    return [line.marks, f"`{line.label}`", *cells]


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
