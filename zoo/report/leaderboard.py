"""`zoo leaderboard`: read a results folder, give its tables in one of the formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.lazy import Lazy
from zoo.report.board import Board, make_board
from zoo.report.markdown import board_markdown
from zoo.score.filtering import each_of, models_of, require_fields, select
from zoo.score.reading import read_rows
from zoo.score.rows import COLUMNS, Row, text_of

if TYPE_CHECKING:
    from zoo.report import board_text
    from zoo.report.page import build
else:  # only a page needs numpy and records, only a terminal rich
    board_text, build = Lazy("zoo.report.board_text"), Lazy("zoo.report.page.build")

Format = Literal["table", "md", "csv", "json", "html"]


def leaderboard(
    results: Path | str | None = None,
    *,
    models: Sequence[str] = (),
    sort: str = "miou",
    **conditions: object,
) -> Board:
    """Read the newest record of each cell and sort them into tables.

    Args:
        results: The folder of records; `None`: `results`, else those that come with zoo.
        models: Only these: names, globs or tags.
        sort: What the rows of a table are sorted by, best first: a key of `METRICS` or an objective of `pick`.
        conditions: Only rows with these values, or one of a list: `device`, `dataset`, `recipe`, `input_size`,
            `preset`, `quick`, … (`score.filtering.select`).

    Returns:
        The board; `render` gives its text, and its `warnings` name the files that could not be read.

    Raises:
        UserError: no readable record, or none that matches; nothing to sort by.
    """
    require_fields(conditions, "results", "models", "sort")
    found, names = read_rows(results), models_of(models)
    board = make_board(select(found.rows, models=names, **conditions), sort, found.rows)
    asked = {name: ",".join(map(text_of, each_of(value))) for name, value in conditions.items() if value is not None}
    return replace(board, warnings=found.warnings, sources=found.sources, asked=asked, asked_models=names)


def render(board: Board, form: Format = "table", *, width: int | None = None, plain: bool = False) -> str:
    """Return a board as text.

    Args:
        board: What to show.
        form: `table` for people, `md` for a page, `csv` and `json` for programs: SI units, fractions, all columns;
            `html` one file that a browser opens.
        width: Columns of `table`; `None`: the terminal's.
        plain: `table` without colours even on a terminal.
    """
    match form:
        case "table":
            return board_text.board_text(board, width=width, plain=plain)
        case "md":
            return board_markdown(board)
        case "csv":
            return rows_csv(board.rows)
        case "json":
            return rows_json(board.rows)
        case "html":
            return build.board_html(board)


def rows_json(rows: Iterable[Row]) -> str:
    """Return rows as a JSON list of objects; sizes are `[height, width]`, times ISO 8601."""
    return json.dumps([row.as_dict() for row in rows], indent=1, default=_json) + "\n"


def rows_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV with a header; sizes are `HxW`, nothing where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_csv(value) for value in row.as_dict().values()] for row in rows)
    return out.getvalue()


def _json(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def _csv(value: Any) -> Any:
    match value:
        case (int(), int()):
            return text_of(value)
        case tuple():
            return "; ".join(str(item) for item in value)
        case dict():
            return "; ".join(f"{name} {'n/a' if number is None else number}" for name, number in value.items())
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case _:
            return value
