"""mIoU over latency, one panel per table, as an SVG that is the same for the same records."""

from __future__ import annotations

import hashlib
import io
import math
import textwrap
from itertools import pairwise
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from zoo.report.board import Board, Line, Table, X, Y
from zoo.score.comparing import family_of
from zoo.score.metrics import METRICS
from zoo.score.rows import Row

WIDTH_IN, PANEL_IN = 9.0, 5.2
INK, MUTED, ACCENT, WARN = "#1f2933", "#8a94a0", "#0b6e99", "#b4442c"
RUNTIMES = {
    "eager": ("o", ACCENT),
    "compile": ("s", "#7a5195"),
    "aoti": ("D", "#c2588d"),
    "onnxruntime": ("^", "#3d8b4f"),
    "openvino": ("v", "#c77d0a"),
    "tensorrt": ("P", "#5b6b00"),
}
"""Marker and colour of each runtime, where a panel has several."""
OTHER_RUNTIME = ("X", INK)
CLAIM = "published for Cityscapes val, at its authors' input size; not measured here"
"""What a hollow triangle that points left says."""
MANY_POINTS = 12
"""A panel with more names only some of them: see `_named`."""
STYLE: Any = {"svg.hashsalt": "zoo", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 9}

_STEPS = [(radius, angle) for radius in (7, 14, 24, 36, 50, 66) for angle in range(0, 360, 15)]
"""Places tried for a label, nearest first: points away from its mark, degrees."""
FAR_POINTS = 9
"""A label farther from its mark has a leader."""
Pixels: TypeAlias = NDArray[np.float64]


def svg(board: Board) -> str | None:
    """Return the plot of every table that has both numbers, or published ones, or `None` when none has."""
    figure = draw(board)
    return None if figure is None else to_svg(figure, fingerprint(board))


def to_svg(figure: Figure, points: str) -> str:
    """Return a figure as an SVG without a date, the fingerprint of what it shows inside."""
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None, "Description": f"points {points}"})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def fingerprint(board: Board) -> str:
    """Return a hash of everything a plot shows, whatever version of the drawing library drew it."""
    shown = [
        (
            *(table.title, table.caution, line.name, line.row in table.front),
            *(line.row.value(X), line.row.interval(X), line.row.value(Y), line.row.span(Y)),
        )
        for table in board.tables
        if table.points
        for line in table.lines
    ]
    claims = [(table.title, line.name, *_claimed(line)) for table in board.tables for line in table.claims]
    return digest([shown, claims] if claims else shown)


def digest(shown: object) -> str:
    """Return the fingerprint of what a picture shows."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def draw(board: Board) -> Figure | None:
    """Draw the panels; `None` when no row has a latency and an mIoU, measured or published."""
    tables = [table for table in board.tables if table.points or table.claims]
    if not tables:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, PANEL_IN * len(tables)), layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        panels = figure.subplots(len(tables), squeeze=False)[:, 0]
        for axes, table in zip(panels, tables, strict=True):
            _panel(axes, table)
        canvas.draw()  # settles the layout, so that labels can be placed by what is really there
        figure.set_layout_engine("none")
        for axes, table in zip(panels, tables, strict=True):
            _place_labels(axes, table)
    return figure


def _xy(row: Row) -> tuple[float, float]:
    return (row.value(X) or 0) * METRICS[X].scale, (row.value(Y) or 0) * METRICS[Y].scale


def _claimed(line: Line) -> tuple[float, float]:
    """Where the published mIoU of a line stands."""
    assert line.row.published is not None
    return _xy(line.row)[0], line.row.published.claim.miou * METRICS[Y].scale


def _panel(axes: Any, table: Table) -> None:
    points = [_xy(line.row) for line in table.points]
    claims = [_claimed(line) for line in table.claims]
    runtimes = sorted({line.row.runtime for line in table.points})
    for (x, y), line in zip(points, table.points, strict=True):
        on_front = line.row in table.front
        marker, colour = RUNTIMES.get(line.row.runtime, OTHER_RUNTIME) if len(runtimes) > 1 else ("o", ACCENT)
        edge = colour if on_front or len(runtimes) > 1 else MUTED
        if (interval := line.row.interval(X)) is not None:
            bar = [end * METRICS[X].scale for end in interval]
            axes.plot(bar, [y, y], color=edge, linewidth=1, zorder=2)
        if (span := line.row.span(Y)) is not None:
            axes.plot([x, x], [end * METRICS[Y].scale for end in span], color=edge, linewidth=1, alpha=0.4, zorder=2)
        axes.scatter(x, y, s=34, marker=marker, color=colour if on_front else "white", edgecolors=edge, zorder=3)
    if len(runtimes) > 1:
        for name in runtimes:
            marker, colour = RUNTIMES.get(name, OTHER_RUNTIME)
            axes.scatter([], [], s=34, marker=marker, color=colour, label=name)
    if claims:
        axes.scatter(
            *zip(*claims, strict=True), s=44, marker="<", facecolors="none", edgecolors=MUTED, zorder=2.5, label=CLAIM
        )
    if claims or len(runtimes) > 1:
        title = "filled: on the front" if len(runtimes) > 1 else None
        axes.legend(loc="best", fontsize=8, title=title, title_fontsize=8)
    front = [_xy(row) for row in table.front] if points else []
    if front:
        axes.step(*zip(*front, strict=True), where="post", color=ACCENT, linewidth=1.2, alpha=0.6, zorder=1)
    for line in table.lines:
        if points and line.row.baseline and line.row.miou is not None:
            level = line.row.miou * METRICS[Y].scale
            axes.axhline(level, color=WARN, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
            axes.annotate(
                line.row.model, (1, level), (-3, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", color=WARN, fontsize=8,
            )  # fmt: skip
    xs = [x for x, _ in (*points, *claims)]
    if max(xs) > 4 * min(xs) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0.12, y=0.12)
    bars = "; bar: 95 % interval" if points else ""
    axes.set_xlabel(f"pipeline latency p50, ms (image in memory → label map in memory{bars})", color=INK)
    known = any(line.row.span(Y) for line in table.points)
    scored = f"mIoU, %{' (bar: spread over seeds, else 95 % interval)' if known else ''}"
    axes.set_ylabel(scored if points else "mIoU as published, %", color=INK)
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    caution = textwrap.wrap(table.caution, 140)
    title = textwrap.fill(table.title, 116)
    axes.set_title(title, loc="left", fontsize=9.5, color=INK, pad=6 + 12 * len(caution))
    axes.annotate("\n".join(caution), (0, 1), (0, 4), "axes fraction", "offset points", fontsize=8, color=WARN)


def _place_labels(axes: Any, table: Table) -> None:
    """Put each name where it costs least (`_cost`), those of the front first; draw a thin leader when far."""
    renderer = axes.figure.canvas.get_renderer()
    pixels_per_point = axes.figure.dpi / 72
    far = FAR_POINTS * pixels_per_point
    frame = axes.get_window_extent(renderer).extents
    spots = [(line, _xy(line.row)) for line in table.points] or [(line, _claimed(line)) for line in table.claims]
    front = table.front if table.points else ()
    marks = axes.transData.transform([spot for _, spot in spots] + [_claimed(line) for line in table.claims])
    taken = [_around(mark, 10, 10) for mark in marks]
    taken += _front_boxes(axes, table) if front else []
    if (legend := axes.get_legend()) is not None:
        taken.append(legend.get_window_extent(renderer).extents)
    named, several = _named(table), len({line.row.runtime for line in table.points}) > 1
    order = sorted(
        (index for index, (line, _) in enumerate(spots) if line.row.key in named),
        key=lambda index: spots[index][0].row not in front,
    )
    for index in order:
        line, spot = spots[index]
        on_front = line.row in front
        _, colour = RUNTIMES.get(line.row.runtime, OTHER_RUNTIME)
        label = line.name.replace(f" {line.row.runtime}", "") if several else line.label  # its marker says it
        text = axes.annotate(
            label, spot, textcoords="offset points", xytext=(0, 0), ha="center", va="center",
            fontsize=8, fontweight="bold" if on_front else "normal",
            color=colour if several else INK if on_front else "#52606d",
        )  # fmt: skip
        size, mark = text.get_window_extent(renderer).size, marks[index]
        others = np.array(taken[:index] + taken[index + 1 :]).reshape(-1, 4)
        rivals = np.delete(marks, index, axis=0)
        steps = [_step(radius * pixels_per_point, angle, size) for radius, angle in _STEPS]
        boxes = [_around(mark + step, *size) for step in steps]
        costs = [_cost(box, mark, others, rivals, frame, far) for box in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        text.set_position(steps[best] / pixels_per_point)
        end = _nearest(boxes[best], mark)
        if math.dist(mark, end) > far:
            axes.plot(
                *zip(spot, axes.transData.inverted().transform(end), strict=True),
                color=MUTED, linewidth=0.5, alpha=0.7, zorder=1.5,
            )  # fmt: skip


def _step(radius: float, angle: float, size: Pixels) -> Pixels:
    """From a mark to the middle of a label: `radius` pixels, and half of the label."""
    return np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))]) * (radius + size / 2)


def _cost(box: Pixels, mark: Pixels, others: Pixels, rivals: Pixels, frame: Pixels, far: float) -> float:
    """Square pixels that a label there, or its leader, covers; more where it is far, or nearer to another mark.

    Args:
        box: The label's place, as all boxes (x0, y0, x1, y1).
        mark: (2,) what it names.
        others: (N, 4) what is to be seen: marks, labels, the front.
        rivals: (M, 2) marks of others.
        frame: What it should stay in.
        far: Pixels from which on it has a leader.
    """
    end = _nearest(box, mark)
    away = math.dist(mark, end)
    leader = [_around(point, 3, 3) for point in np.linspace(mark, end, 2 + int(away / 3))]
    covered = _overlaps(box, others).sum() + sum(_overlaps(piece, others).sum() for piece in leader)
    outside = np.prod(box[2:] - box[:2]) - _overlaps(box, frame[None])[0]
    cost = 4 * covered + 4 * outside + 2 * away
    if away <= far and len(rivals):  # without a leader the nearest mark seems meant
        nearest = min(math.dist(_nearest(box, rival), rival) for rival in rivals)
        cost += 60 * max(0.0, away + 3 - nearest)
    return float(cost)


def _around(centre: Pixels, width: float, height: float) -> Pixels:
    half = np.array([width, height]) / 2
    return np.concatenate([centre - half, centre + half])


def _nearest(box: Pixels, point: Pixels) -> Pixels:
    """The point of a box that is nearest to another."""
    return np.clip(point, box[:2], box[2:])


def _overlaps(box: Pixels, others: Pixels) -> Pixels:
    """(N,) areas that a box shares with each of (N, 4) others, in square pixels."""
    width, height = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).T
    return width * height  # type: ignore[no-any-return]


def _named(table: Table) -> set[str]:
    """Keys of the rows that get a name: all, or of each model the fastest and both ends of its part of the front.

    Of many published ones: those that no other is published to beat at less latency.
    """
    if not table.points:
        spots = {line.row.key: _claimed(line) for line in table.claims}
        if len(spots) <= MANY_POINTS:
            return set(spots)
        return {
            key
            for key, (x, y) in spots.items()
            if not any(ox <= x and oy >= y and (ox, oy) != (x, y) for ox, oy in spots.values())
        }
    if len(table.points) <= MANY_POINTS:
        return {line.row.key for line in table.points}
    first = {family_of(row): row.key for row in reversed(table.front)}
    last = {family_of(row): row.key for row in table.front}
    return {*first.values(), *last.values(), *(row.key for row in table.best)}


def _front_boxes(axes: Any, table: Table) -> list[Pixels]:
    """Small boxes along the steps of the Pareto front, so that names keep off the line."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(axes.transData.transform([_xy(row) for row in table.front])):
        boxes += [_around(np.array([x, y0]), 5, 4) for x in np.arange(x0, x1, 5)]
        boxes += [_around(np.array([x1, y]), 4, 5) for y in np.arange(y0, y1, 5)]
    return boxes
