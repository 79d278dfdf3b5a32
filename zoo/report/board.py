"""The leaderboard before it has a format: which rows stand in which table, in which order, with which marks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from zoo.collector import paused
from zoo.errors import UserError
from zoo.frames import CITYSCAPES_NAME
from zoo.report.marks import FASTEST, FRONT, HURT, LOST, MARKS, UNDER
from zoo.report.notes import notes
from zoo.report.quoted import notes_on, quoted
from zoo.report.titles import caution_of, shared_weights, titles
from zoo.score.comparing import (
    ARTIFACT,
    Fastest,
    Group,
    baseline_for,
    family_of,
    fastest_of_each,
    group_of,
    latest,
    pareto_front,
    tell_apart,
)
from zoo.score.filtering import class_among
from zoo.score.metrics import CLASS_LOSS, COST, METRICS, NO_PRICE, Metric, metric_named, metric_of
from zoo.score.reading import NO_MODEL_YET, Sources
from zoo.score.rows import WHOLE, Row, text_of

X, Y = "pipeline_p50_s", "miou"
"""What the Pareto marks and the plot are drawn over: the latency a user waits for."""


@dataclass(frozen=True)
class Column:
    """A column of the printed tables: a metric, or the facts about trust."""

    key: str
    title: str
    keep: int
    """A terminal too narrow for all columns drops those with the smallest number first."""


_WORST = metric_of(CLASS_LOSS)
_NUMBERS = tuple(Column(metric.key, metric.column, metric.keep) for metric in METRICS.values() if metric.column)
COLUMNS: tuple[Column, ...] = (
    Column("weights", "weights", 14),
    Column("seed_count", "seeds", 13),
    *_NUMBERS[:2],  # mIoU and what was lost of it
    Column(_WORST.key, _WORST.column, _WORST.keep),
    Column("published", "published mIoU %", 12),
    *_NUMBERS[2:],
    Column("grade", "grade", 5),
    Column("why", "why not A", 0),
)
"""A table shows those that some row of it has a value of; weights that all rows share are said in its title."""
MAY_BE_MORE: dict[str, Callable[[Row], bool]] = {
    "mac_count": lambda row: bool(row.uncounted_ops),
    "largest_batch": lambda row: not row.largest_batch_is_limit,
}
"""By key: whether what a row counted is the least it may be (`≥`)."""


class Cell(NamedTuple):
    """The text of one value, and whether it is the best of its column."""

    text: str
    best: bool = False


class Line(NamedTuple):
    """One row of a printed table."""

    row: Row
    label: str
    """Beside the column of weights, where the table has one."""
    name: str
    """What tells the row apart where it stands alone."""
    marks: str
    """Some of `MARKS`."""


@dataclass(frozen=True)
class Table:
    """One comparable group."""

    group: Group
    title: str
    caution: str
    """Printed before the numbers; empty for a full run on real images."""
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    """Sorted by mIoU or another metric, then by latency; the baseline stands where its number puts it."""
    fastest: tuple[tuple[str, ...], ...]
    """Fastest artifact of each model, as text, a header first; empty where no model has several artifacts."""
    failed: tuple[tuple[tuple[str, ...], str], ...]
    """Reason, after the labels of the cells that are not ok for it."""
    notes: tuple[str, ...]
    front: tuple[Row, ...]
    best: tuple[Row, ...]
    """The fastest row of each model."""
    best_values: Mapping[str, float]
    """By key of the columns in which one is marked."""

    @cached_property
    def cells(self) -> tuple[list[Cell], ...]:
        """By column, and in it by line; put into words when they are asked for, which a page of many rows does not."""
        rows = [line.row for line in self.lines]
        return tuple(_cells(column.key, rows, self.best_values.get(column.key)) for column in self.columns)

    @property
    def printed(self) -> list[tuple[Line, list[Cell]]]:
        """Each line with its cells."""
        return [(line, [column[place] for column in self.cells]) for place, line in enumerate(self.lines)]

    @property
    def is_smoke_test(self) -> bool:
        """Whether nobody chooses by its mIoU (`_is_smoke_test`)."""
        return _is_smoke_test(self.group, [line.row for line in self.lines])

    @property
    def points(self) -> tuple[Line, ...]:
        """The lines that can be drawn: those with both numbers, which of a smoke test say nothing."""
        if self.claims and self.is_smoke_test:
            return ()
        return tuple(line for line in self.lines if line.row.value(X) is not None and line.row.value(Y) is not None)

    @property
    def claims(self) -> tuple[Line, ...]:
        """Of each model with a published mIoU its fastest line; none beside an mIoU of other images."""
        rows = [line.row for line in self.lines]
        is_scored = any(row.miou is not None for row in rows) and not self.is_smoke_test
        if self.group.dataset != CITYSCAPES_NAME and is_scored:
            return ()
        timed = [line for line in self.lines if line.row.published and line.row.value(X) is not None]
        fastest = {line.row.model: line for line in sorted(timed, key=lambda line: -(line.row.value(X) or 0))}
        return tuple(line for line in self.lines if line is fastest.get(line.row.model))


class Members(NamedTuple):
    """What a table is made of."""

    group: Group
    rows: tuple[Row, ...]
    """Best first; those that are not ok too."""
    baseline: Row | None
    """Counted on the same images."""
    hidden: tuple[Row, ...]
    """fp32 that a filter hides, which stands behind what is said of the others."""

    @property
    def good(self) -> list[Row]:
        """Rows that are ok, without the baseline."""
        return [row for row in self.rows if row.status == "ok" and not row.baseline]

    @property
    def shown(self) -> list[Row]:
        """Rows that have a line, in any order."""
        return [*self.good, *([self.baseline] if self.baseline else [])]


@dataclass(frozen=True)
class Board:
    """All tables of a results folder, made when they are asked for: CSV and JSON take rows alone."""

    members: tuple[Members, ...]
    """Of each table, in their order."""
    rows: tuple[Row, ...]
    """All rows, for CSV and JSON."""
    sort: str = "miou"
    """Metric that the rows of a table are sorted by."""
    warnings: tuple[str, ...] = ()
    """Files that could not be read."""
    sources: Sources = field(default_factory=dict, repr=False)
    """The records behind the rows, for a page's cards."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """The conditions that the rows were chosen by, as a person types them."""
    asked_models: tuple[str, ...] = ()
    columns: frozenset[str] | None = None
    """Keys of the only ones that the tables may have; `None`: any that a row has a value of."""

    @cached_property
    @paused()
    def tables(self) -> tuple[Table, ...]:
        """One per device, dataset, mode and output size, full runs before quick ones."""
        sort, said = metric_named(self.sort), titles({one.group: one.rows for one in self.members})
        return tuple(_table(one, title, sort, self.columns) for one, title in zip(self.members, said, strict=True))

    @property
    def marks(self) -> dict[str, str]:
        """The marks that some row has, each with what it says."""
        used = {mark for table in self.tables for line in table.lines for mark in line.marks}
        return {mark: text for mark, text in MARKS.items() if mark in used}

    @property
    def can_be_drawn(self) -> bool:
        """True when some row has both numbers of the plot, or a published one in place of its own."""
        return any(table.points or table.claims for table in self.tables)


@paused()
def make_board(rows: Iterable[Row], sort: str = "miou", among: Iterable[Row] = ()) -> Board:
    """Sort rows into tables.

    Args:
        rows: What is shown.
        sort: Metric that rows are sorted by, best first: whatever `metric_named` takes.
        among: All there is: fp32 that a filter hides stands here for what int8 or another runtime is held against.

    Raises:
        UserError: no such metric, or none that a record has, as of a class.
    """
    metric = metric_named(sort)
    if metric is COST:
        raise UserError(NO_PRICE)
    found = list(rows)
    metric = class_among(metric, found)
    hidden = _hidden_fp32(found, among)
    rows = sorted(latest(found), key=lambda row: _order(row, metric))
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in [row for row in rows if not row.baseline] or rows:  # the baseline alone is a table too
        groups[group_of(row)].append(row)
    baselines = [row for row in rows if row.baseline]
    members = [
        Members(group, tuple(alike), baseline_for(group, baselines), tuple(hidden[group]))
        for group, alike in groups.items()
    ]
    members.sort(key=lambda one: _group_order(one.group, one.rows))
    return Board(tuple(members), tuple(rows), metric.key)


def _hidden_fp32(shown: list[Row], among: Iterable[Row]) -> dict[Group, list[Row]]:
    """By group the newest fp32 rows that a filter hides."""
    known = {row.identity for row in shown}
    fp32 = [row for row in among if row.precision == "fp32" and not row.baseline]
    found: dict[Group, list[Row]] = defaultdict(list)
    if all(row.identity in known for row in fp32):
        return found
    for row in latest(fp32):
        if row.status == "ok" and row.identity not in known:
            found[group_of(row)].append(row)
    return found


def _order(row: Row, metric: Metric) -> tuple[object, ...]:
    """Best first, as it is shown, then latency, then names, so that the same records always give the same file."""
    unknown, value = float("inf"), row.value(metric.key)
    seen = unknown if value is None else metric.seen(value)
    return (
        -seen if metric.better == "higher" and value is not None else seen,
        row.pipeline_p50_s if row.pipeline_p50_s is not None else unknown,
        row.model,
        row.runtime,
        row.precision,
        row.device,
        row.key,
    )


def _group_order(group: Group, rows: Sequence[Row]) -> tuple[object, ...]:
    """Full runs before quick ones, then those not paced, then those with accuracy; then by name and size."""
    unscored = all(row.miou is None for row in rows)
    named = group.device, group.dataset or "", group.split or "", group.mode != WHOLE
    return group.quick, group.rate_hz or 0.0, unscored, *named, group.output_size, group.batch_size, *map(str, group)


def _table(members: Members, title: str, sort: Metric, only: frozenset[str] | None) -> Table:
    group, rows, baseline, hidden = members
    good, shown = members.good, members.shown
    labels = dict(zip((row.key for row in rows), tell_apart(rows, beside="weights"), strict=True))
    names = dict(zip((row.key for row in rows), tell_apart(rows), strict=True))
    fastest = fastest_of_each(good, hidden)
    several = len({family_of(row) for row in good}) < len(good)
    under = [row for row in good if baseline and row.miou is not None and row.miou < (baseline.miou or 0)]
    sunk = {row.key for row in under}
    # A fixed map takes no time: it beats what is under it. And nobody chooses by a smoke test.
    front = [] if _is_smoke_test(group, good) else pareto_front((row for row in good if row.key not in sunk), X, Y)
    marked = {
        FRONT: {row.key for row in front},
        FASTEST: {one.row.key for one in fastest if several},
        LOST: {row.key for row in good if row.loses_miou},
        HURT: {row.key for row in good if row.hurt_classes},
        UNDER: sunk,
    }
    marks: dict[str, str] = defaultdict(str)
    for mark in MARKS:
        for key in marked[mark]:
            marks[key] += mark
    ranked = [row for row in good if row.key not in sunk]
    best = {
        key: (max if metric.better == "higher" else min)(values)
        for key, metric in METRICS.items()
        if metric.marked and len(values := _values(key, ranked if metric.averaged else good)) > 1
    }
    noise = sunk if group.quick else set()
    if noise or baseline:  # else they come in this order
        shown.sort(
            key=lambda row: (row.key in noise and sort.averaged, *_order(row, METRICS[X] if row.key in noise else sort))
        )
    alike = shared_weights(rows) is not None
    columns = tuple(
        column
        for column in COLUMNS
        if only is None or column.key in only
        if (shown and not alike if column.key == "weights" else _is_known(column.key, shown))
    )
    lines = [
        Line(
            row,
            label=f"{row.model} (baseline)" if row is baseline else labels[row.key],
            name=f"{row.model} (baseline)" if row is baseline else names[row.key],
            marks=marks.get(row.key, ""),
        )
        for row in shown
    ]
    said: tuple[str, ...] = (NO_MODEL_YET,)
    if any(not row.baseline for row in rows):
        said = notes(group, good, under, fastest if several else [], hidden)
    if only is not None and "published" not in only:
        beside = set(notes_on(shown))
        said = tuple(note for note in said if note not in beside)
    failed: dict[str, list[str]] = defaultdict(list)
    planned = tell_apart(rows, (*ARTIFACT, "weights")) if any(row.status != "ok" for row in rows) else ()
    for row, name in sorted(zip(rows, planned, strict=False), key=lambda pair: pair[0].model):
        if row.status != "ok":
            failed[f"{row.status}: {row.reason or 'no reason was recorded'}"].append(name)
    return Table(
        group,
        title,
        caution_of(group, rows),
        columns,
        tuple(lines),
        _fastest(fastest) if several and fastest else (),
        tuple((tuple(names), reason) for reason, names in failed.items()),
        said,
        tuple(front),
        tuple(one.row for one in fastest),
        best,
    )


def _values(key: str, rows: list[Row]) -> set[float]:
    return {value for row in rows if (value := row.numbers[key]) is not None}


def _fastest(fastest: list[Fastest]) -> tuple[tuple[str, ...], ...]:
    facts = [
        *("model", "runtime", "precision"),
        *(field for field in ("input_size", "weights") if len({getattr(one.row, field) for one in fastest}) > 1),
    ]
    header = (*(field.removesuffix("_size") for field in facts), "pipeline p50 ms", "vs eager fp32")
    lines = [
        (
            *(text_of(getattr(one.row, fact)) for fact in facts),
            METRICS["pipeline_p50_s"].show(one.row.pipeline_p50_s),
            "n/a" if one.speedup is None else f"{one.speedup:.2f}x",
        )
        for one in fastest
    ]
    return header, *lines


def _is_known(key: str, rows: list[Row]) -> bool:
    """Whether some row has something to show in a column; that the reference loses nothing says nothing."""
    match key:
        case "grade":
            return any(row.grade is not None for row in rows)
        case "pipeline_p99_s":  # the tail is the point of paced calls
            return any(row.rate_hz is not None and row.value(key) is not None for row in rows)
        case "published":
            return any(row.published is not None for row in rows)
        case "why":
            return any(row.doubts for row in rows)
        case "seed_count":
            return any(row.seed_count > 1 for row in rows)
        case "miou_lost":
            return any(row.miou_lost is not None and not row.is_reference for row in rows)
        case "class-loss":
            return any(row.hurt_classes for row in rows)
        case _:
            return any(row.numbers[key] is not None for row in rows)


def _cells(key: str, rows: list[Row], best: float | None) -> list[Cell]:
    """A column, from its first row to its last."""
    match key:
        case "grade":
            return [Cell(row.grade or "") for row in rows]
        case "why":
            return [Cell(", ".join(row.grade_reasons)) for row in rows]
        case "seed_count":
            return [Cell(str(row.seed_count or "")) for row in rows]
        case "weights":
            return [Cell(row.weights) for row in rows]
        case "published":
            return [Cell(quoted(row)) for row in rows]
        case _:
            metric = metric_of(key)
            said = None if best is None else metric.show(best)
            return [_number(metric, row, row.value(key), said) for row in rows]


def _number(metric: Metric, row: Row, value: float | None, best: str | None) -> Cell:
    key = metric.key
    if value is None:
        return Cell("" if row.baseline else "n/a")
    said = metric.show(value)
    text = row.show(key) if key == "miou" else said  # with its spread or interval
    if key == CLASS_LOSS and row.worst_class is not None and value > 0:
        return Cell(f"{row.worst_class[0]} {text}")
    if key in MAY_BE_MORE and MAY_BE_MORE[key](row):
        text = f"≥{text}"
    return Cell(text, best=said == best and not row.baseline)


def _is_smoke_test(group: Group, rows: Iterable[Row]) -> bool:
    """Whether few samples were taken and the images are drawn ones: its mIoU is shown, and chooses nothing."""
    return group.quick and any(row.synthetic for row in rows)
