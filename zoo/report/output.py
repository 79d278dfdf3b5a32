"""The leaderboard as files: the text, its plot beside it, and whether both are up to date."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import write_all
from zoo.lazy import Lazy
from zoo.report.board import COLUMNS, Board, make_board
from zoo.report.leaderboard import Format, render
from zoo.report.markdown import Block, fill_blocks, has_blocks
from zoo.report.titles import CAUTION
from zoo.score.fields import FIELDS
from zoo.score.filtering import select
from zoo.score.metrics import metric_named

if TYPE_CHECKING:
    from zoo.report import plot, waterfall
else:  # what holds no picture needs no matplotlib
    plot, waterfall = Lazy("zoo.report.plot"), Lazy("zoo.report.waterfall")

FORMATS: dict[str, Format] = {".md": "md", ".csv": "csv", ".json": "json", ".txt": "table", ".html": "html"}
HEADING = "# Leaderboard\n\n<!-- Written by `zoo leaderboard --output`; changes by hand are lost. -->\n"


@dataclass(frozen=True)
class Picture:
    """A drawing of a board that stands beside a page."""

    board: Board
    svg: Callable[[Board], str | None]
    fingerprint: Callable[[Board], str]


def write(board: Board, output: Path, form: Format | None = None) -> list[Path]:
    """Write the leaderboard to a file and its plot beside it (`FILE`'s stem + `.svg`); return what was written.

    HTML is one file and holds its plot. A page that holds leaderboard markers keeps everything outside of them.

    Raises:
        UserError: an unknown suffix, a page written by somebody else, or a folder that cannot be written to.
    """
    text, plots = _contents(board, output, form)
    drawn = {path: svg.encode() for path, picture in plots.items() if (svg := picture.svg(picture.board))}
    try:
        write_all(drawn | {output: text.encode()})  # the page last: it shows the plots
    except OSError as error:
        advice = how_to_write(error, "another file")
        raise UserError(f"cannot write {output}: {reason(error)}; {advice}") from error
    return [output, *drawn]


def stale(board: Board, output: Path, form: Format | None = None) -> list[str]:
    """Return what is out of date, a line each; nothing when the files say what the records say.

    Raises:
        UserError: an unknown suffix, or a page written by somebody else.
    """
    text, plots = _contents(board, output, form)
    lines = []
    if _read(output) != text:
        lines.append(f"{output} {'is out of date' if output.is_file() else 'is missing'}")
    for path, picture in plots.items():
        # Another version of the drawing library draws the same points differently: compare the points.
        drawn = re.search(r"points ([0-9a-f]{16})", _read(path))
        if drawn is None or drawn[1] != picture.fingerprint(picture.board):
            lines.append(f"{path} {'is out of date' if path.is_file() else 'is missing'}")
    return lines


def _contents(board: Board, output: Path, form: Format | None) -> tuple[str, dict[Path, Picture]]:
    """The text of `output`, and each picture beside it; none where there is nothing to draw."""
    form = form or FORMATS.get(output.suffix.lower())
    if form is None:
        raise UserError(f"{output}: --output takes a name that ends in {', '.join(FORMATS)}, or add --format")
    if form == "html":
        return render(board, form), {}
    beside = output.with_suffix(".svg")
    plots = {beside: Picture(board, plot.svg, plot.fingerprint)} if board.can_be_drawn else {}
    if form != "md":
        return render(board, form, plain=True), plots
    page = _read(output)
    if has_blocks(page):
        plots = {}

        def fill(block: Block) -> str:
            part = make_board(select(board.rows, **_filters(block)), board.sort, board.rows)
            if block.best:
                part = _best_of(part)
            if block.columns:
                part = _narrowed(part, block.columns)
            if block.waterfall is not None:
                if not waterfall.can_be_drawn(part):
                    raise UserError(f"no record for waterfall={block.waterfall} knows the stages of its pipeline")
                plots[output.parent / block.waterfall] = Picture(part, waterfall.svg, waterfall.fingerprint)
                return f"![Where the time of a frame goes]({block.waterfall})"
            if block.plot is None or not part.can_be_drawn:
                return render(part, "md")
            plots[output.parent / block.plot] = Picture(part, plot.svg, plot.fingerprint)
            return f"{_picture(block.plot)}\n\n{render(part, 'md')}"

        try:
            return fill_blocks(page, fill), plots
        except UserError as error:
            raise UserError(f"{output}: {error}") from error
    if page and not page.startswith(HEADING):
        raise UserError(
            f"{output} was not written by `zoo leaderboard`, so it is left alone; put the lines "
            "`<!-- leaderboard:begin -->` and `<!-- leaderboard:end -->` where the tables should stand, "
            "or name another file"
        )
    picture = f"\n{_picture(beside.name)}\n" if plots else ""
    return f"{HEADING}{picture}\n{CAUTION.capitalize()}.\n\n{render(board, 'md')}", plots


def _picture(path: str) -> str:
    return f"![mIoU over latency]({path})"


def _best_of(board: Board) -> Board:
    """The same tables with a row per model: its fastest artifact that loses no accuracy; and the baseline."""
    best = {row.key for table in board.tables for row in table.best}
    return make_board([row for row in board.rows if row.baseline or row.key in best], board.sort, board.rows)


def _narrowed(board: Board, names: Sequence[str]) -> Board:
    """The same tables with no other columns than these, nor notes on them."""
    known = {column.key for column in COLUMNS}
    keys = {name if name in known else metric_named(name).key for name in names}
    if unknown := keys - known:
        raise UserError(f"leaderboard marker: {', '.join(sorted(unknown))} is no column of the tables")
    return replace(board, columns=frozenset(keys))


def _filters(block: Block) -> dict[str, Any]:
    values = {key: value.split(",") for key, value in block.filters.items()}
    return {key: [FIELDS[key].parse(one) for one in found] if key in FIELDS else found for key, found in values.items()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
