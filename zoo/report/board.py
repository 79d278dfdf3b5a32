"""The leaderboard before it has a format: which rows stand in which table, in which order, with which marks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from zoo.score import (
    METRICS,
    NO_MODEL_YET,
    Group,
    Row,
    baseline_for,
    differences,
    group_of,
    latest,
    pareto_front,
    tell_apart,
    text_of,
)

X, Y = "pipeline_p50_s", "miou"
"""What the Pareto marks and the plot are drawn over: the latency a user waits for."""

BEST, FRONT, UNDER = "★", "◆", "▼"
NAMES = {"dataset_fingerprint": "images", "recipe_hash": "recipe", "thread_count": "threads"}
"""Group fields as a title says them, where their own name would not do."""


@dataclass(frozen=True)
class Column:
    """A column of the printed tables: a metric, or the facts about trust."""

    key: str
    title: str
    keep: int
    """A terminal too narrow for all columns drops those with the smallest number first."""


COLUMNS: tuple[Column, ...] = (
    Column("miou", "mIoU %", 9),
    Column("pipeline_p50_s", "pipeline p50 ms", 8),
    Column("latency_p50_s", "network p50 ms", 7),
    Column("latency_p99_s", "network p99 ms", 3),
    Column("peak_memory_bytes", "memory MiB", 6),
    Column("param_count", "params M", 5),
    Column("mac_count", "MACs G", 4),
    Column("pixel_accuracy", "pixel acc. %", 1),
    Column("grade", "grade", 2),
    Column("why", "why not A", 0),
)
MARKED = frozenset({"miou", "pipeline_p50_s", "latency_p50_s", "latency_p99_s", "peak_memory_bytes", "param_count"}) | {
    "mac_count",
    "pixel_accuracy",
}


@dataclass(frozen=True)
class Cell:
    """The text of one value, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One row of a printed table."""

    row: Row
    label: str
    marks: str
    """`FRONT`, `UNDER` or nothing."""
    cells: tuple[Cell, ...]
    """In the order of `COLUMNS`."""


@dataclass(frozen=True)
class Table:
    """One comparable group."""

    group: Group
    title: str
    caution: str
    """Printed before the numbers; empty for a full run on real images."""
    lines: tuple[Line, ...]
    """Sorted by mIoU, then by latency; the baseline stands where its mIoU puts it."""
    failed: tuple[tuple[str, Row], ...]
    """Label and row of each cell that is not ok."""
    notes: tuple[str, ...]
    front: tuple[Row, ...]

    @property
    def points(self) -> tuple[Line, ...]:
        """The lines that can be drawn: those with both numbers."""
        return tuple(line for line in self.lines if line.row.value(X) is not None and line.row.value(Y) is not None)


@dataclass(frozen=True)
class Board:
    """All tables of a results folder."""

    tables: tuple[Table, ...]
    rows: tuple[Row, ...]
    """What the tables are made of, for CSV and JSON."""
    warnings: tuple[str, ...] = ()
    """Files that could not be read."""

    @property
    def can_be_drawn(self) -> bool:
        """True when some row has both numbers of the plot."""
        return any(table.points for table in self.tables)


def make_board(rows: Iterable[Row]) -> Board:
    """Sort rows into tables: one per device, dataset, recipe and sizes, full runs before quick ones."""
    rows = sorted(latest(rows), key=_order)
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in [row for row in rows if not row.baseline] or rows:  # the baseline alone is a table too
        groups[group_of(row)].append(row)
    titles = {group: _title(group, members) for group, members in groups.items()}
    tables = []
    for group in sorted(groups, key=lambda group: _group_order(group, groups[group])):
        alike = [other for other in groups if titles[other] == titles[group]]
        said = [f"{NAMES.get(field, field)} {text_of(getattr(group, field))}" for field in differences(*alike)]
        title = " · ".join((titles[group], *said))
        tables.append(_table(group, title, groups[group], baseline_for(group, rows)))
    return Board(tuple(tables), tuple(rows))


def show_reason(row: Row) -> str:
    """Return why a cell is not ok, as one line."""
    return f"{row.status}: {row.reason or 'no reason was recorded'}"


def _order(row: Row) -> tuple[object, ...]:
    """Best first: mIoU, then latency, then names, so that the same records always give the same file."""
    unknown = float("inf")
    return (
        -row.miou if row.miou is not None else unknown,
        row.pipeline_p50_s if row.pipeline_p50_s is not None else unknown,
        row.model,
        row.runtime,
        row.precision,
        row.device,
        row.key,
    )


def _group_order(group: Group, rows: list[Row]) -> tuple[object, ...]:
    """Full runs before quick ones, those with accuracy before those without; then by name and size."""
    unscored = all(row.miou is None for row in rows)
    return group.quick, unscored, *("" if value is None else value for value in group[1:8]), *map(str, group[8:])


def _table(group: Group, title: str, rows: list[Row], baseline: Row | None) -> Table:
    good = [row for row in rows if row.status == "ok" and not row.baseline]
    labels = dict(zip((row.key for row in rows), tell_apart(rows), strict=True))
    under = [row for row in good if baseline and row.miou is not None and row.miou < (baseline.miou or 0)]
    front = pareto_front((row for row in good if row not in under), X, Y)  # a fixed map takes no time: it beats those
    best = {
        key: (max if METRICS[key].better == "higher" else min)(values)
        for key in MARKED
        if len(values := {value for row in good if (value := row.value(key)) is not None}) > 1
    }
    lines = []
    for row in sorted([*good, *([baseline] if baseline else [])], key=_order):
        marks = FRONT if row in front else UNDER if row in under else ""
        label = f"{row.model} (baseline)" if row is baseline else labels[row.key]
        lines.append(Line(row, label, marks, tuple(_cell(column.key, row, best) for column in COLUMNS)))
    failed = tuple((labels[row.key], row) for row in sorted(rows, key=attrgetter("model")) if row.status != "ok")
    notes = _notes(group, good, under) if any(not row.baseline for row in rows) else (NO_MODEL_YET,)
    return Table(group, title, _caution(group, rows), tuple(lines), failed, notes, tuple(front))


def _cell(key: str, row: Row, best: dict[str, float]) -> Cell:
    if key == "grade":
        return Cell(row.grade or "")
    if key == "why":
        return Cell(", ".join(row.grade_reasons))
    value = row.value(key)
    if value is None:
        return Cell("" if row.baseline else "n/a")
    at_least = "≥" if key == "mac_count" and row.uncounted_ops else ""
    return Cell(at_least + METRICS[key].show(value), best=value == best.get(key) and not row.baseline)


def _title(group: Group, rows: list[Row]) -> str:
    steps = {row.step_count for row in rows if row.status == "ok"}
    step_count = next(iter(steps)) if len(steps) == 1 else None
    dataset = group.dataset or "no dataset"
    if any(row.synthetic for row in rows) and "synthetic" not in dataset:
        dataset += " (synthetic)"
    recipe = "no training" if group.recipe == "none" else f"recipe {group.recipe}"
    shared = [
        next(iter(values))
        for field in ("runtime", "precision")
        if len(values := {getattr(row, field) for row in rows if not row.baseline}) == 1
    ]
    return " · ".join(
        (
            "QUICK" if group.quick else "",
            group.device,
            dataset + (f" {group.split}" if group.split else ""),
            recipe + (f" ({step_count} steps)" if step_count is not None else ""),
            f"input {text_of(group.input_size)} → {text_of(group.output_size)}",
            f"batch {group.batch_size}",
            *shared,
        )[0 if group.quick else 1 :]
    )


def _caution(group: Group, rows: list[Row]) -> str:
    parts = []
    if group.quick:
        steps = sorted({row.step_count for row in rows if row.step_count is not None})
        after = f" after {' or '.join(str(step) for step in steps)} training steps" if 0 < len(steps) < 3 else ""
        parts.append(f"QUICK — a smoke test: mIoU{after} says nothing about the architecture.")
    if any(row.synthetic for row in rows):
        parts.append("The images are synthetic: drawn, not photographed.")
    return " ".join(parts)


def _notes(group: Group, good: list[Row], under: list[Row]) -> tuple[str, ...]:
    notes = []
    missing = [row.model for row in good if row.miou is None]
    if missing:
        which = f"{len(missing)} of {len(good)} models" if len(missing) > 1 else missing[0]
        train = "`zoo train MODEL --data DIR --config RECIPE`"
        if group.dataset is None:
            notes.append(
                f"no mIoU: accuracy was not asked for. To fill it: `zoo bench --data DIR` after {train}, "
                "or with `--checkpoint MODEL=FILE`."
            )
        else:
            notes.append(
                f"no mIoU for {which}: no trained weights were found. To fill it: {train}, then `zoo bench` again; "
                "or `zoo bench --checkpoint MODEL=FILE`."
            )
    if under:
        names = ", ".join(row.model for row in under)
        notes.append(f"{UNDER} under the baseline, which answers every image with the same map: {names}")
    machines = {row.machine_id for row in good}
    if len(machines) > 1:
        notes.append(f"these rows come from {len(machines)} machines of this name: compare their latency with care")
    if any(row.latency_p50_s is not None and row.latency_p99_s is None for row in good):
        notes.append("p99 needs 100 samples; rows that say n/a have fewer")
    uncounted = sorted({name for row in good for name in row.uncounted_ops})
    if uncounted:
        notes.append(f"≥: the MAC counter does not know {', '.join(uncounted)}")
    return tuple(notes)
