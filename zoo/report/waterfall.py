"""Where the time of a frame goes: the pipeline's stages as stacked bars, one panel per table, as an SVG."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from zoo.report.board import Board, Table, X
from zoo.report.plot import INK, MUTED, STYLE, WARN, WIDTH_IN, digest, to_svg
from zoo.score.comparing import Family, family_of, tell_apart
from zoo.score.metrics import METRICS
from zoo.score.rows import Row

BAR_IN, FRAME_IN = 0.34, 1.3
HATCH = "//"
STAGES = {
    "copy_in": ("copy in", "#b8c4ce"),
    "preprocess": ("resize and normalise", "#7fb3c8"),
    "network": ("network", "#0b6e99"),
    "upsample_argmax": ("upsample + argmax", "#e09f3e"),
    "copy_out": ("copy out", "#5c6b78"),
}
"""Name and colour of each stage, in order."""
WHOLE = ("one graph", "#d5dde3")
"""Of an artifact whose stages cannot be told apart."""


def svg(board: Board) -> str | None:
    """Return the picture of every table that knows its stages, or `None` when none does."""
    figure = draw(board)
    return None if figure is None else to_svg(figure, fingerprint(board))


def can_be_drawn(board: Board) -> bool:
    """Whether some row that is shown knows its stages."""
    return any(_bars(table) for table in board.tables)


def fingerprint(board: Board) -> str:
    """Return a hash of everything the picture shows, whatever version of the drawing library drew it."""
    return digest(
        [(table.title, [(name, row.stages, row.value(X)) for name, row in _bars(table)]) for table in board.tables]
    )


def draw(board: Board) -> Figure | None:
    """Draw the panels; `None` when no row knows its stages."""
    panels = [(table.title, bars) for table in board.tables if (bars := _bars(table))]
    if not panels:
        return None
    heights = [BAR_IN * len(bars) + FRAME_IN for _, bars in panels]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, sum(heights)), layout="constrained")
        every = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for axes, (title, bars) in zip(every, panels, strict=True):
            _panel(axes, title, bars)
        whole = [Patch(facecolor=WHOLE[1], hatch=HATCH, edgecolor=MUTED, linewidth=0, label=WHOLE[0])]
        handles = [
            *(Patch(color=colour, label=name) for name, colour in STAGES.values()),
            *(whole if any(not row.stages for _, bars in panels for _, row in bars) else []),
            Line2D([], [], color=WARN, linewidth=1.6, label="whole pipeline"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return figure


def _bars(table: Table) -> list[tuple[str, Row]]:
    """Name and row of each bar: eager fp32 and the fastest artifact of every model that knows its stages."""
    models: dict[Family, list[Row]] = {}
    for line in table.lines:
        if line.row.value(X) is not None and (line.row.is_reference or line.row in table.best):
            models.setdefault(family_of(line.row), []).append(line.row)
    rows = [
        row
        for shown in models.values()
        if any(row.stages for row in shown)
        for row in sorted(shown, key=lambda row: not row.is_reference)
    ]
    return list(zip(tell_apart(rows), rows, strict=True))


def _panel(axes: Any, title: str, bars: list[tuple[str, Row]]) -> None:
    scale = METRICS[X].scale
    for place, (_, row) in enumerate(bars):
        start = 0.0
        total = (row.value(X) or 0) * scale
        for stage, seconds in row.stages.items():
            axes.barh(place, seconds * scale, left=start, height=0.62, color=STAGES[stage][1])
            start += seconds * scale
        if not row.stages:
            axes.barh(place, total, height=0.62, color=WHOLE[1], hatch=HATCH, edgecolor=MUTED, linewidth=0)
        axes.plot([total, total], [place - 0.42, place + 0.42], color=WARN, linewidth=1.6)
        axes.annotate(
            METRICS[X].show(row.value(X)), (max(start, total), place), (5, 0), textcoords="offset points", va="center",
            fontsize=8, color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.margins(x=0.08)
    axes.set_xlabel("ms, medians", color=INK)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(textwrap.fill(title, 78), loc="left", fontsize=9.5, color=INK)
