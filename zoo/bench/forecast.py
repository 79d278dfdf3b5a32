"""What a sweep would do and how long that takes, and what of it fits a budget: what `zoo bench --dry-run` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from zoo.bench.gauge import Gauge
from zoo.bench.past import Past, Spent
from zoo.bench.plan import Cell, Setting, cell_key, rounds
from zoo.errors import UserError, counted
from zoo.report.terminal import fitted_table, fitted_text
from zoo.units import show_duration, show_size

HEADER = ("model", "weights", "runtime", "input", "about", "state")
_DROPPED = ("input", "weights")
"""Columns that a narrow terminal goes without, the first of them first."""


@dataclass(frozen=True)
class Line:
    """One cell, and what the sweep would do with it."""

    cell: Cell
    finished: bool
    trains: bool
    """Whether its weights would be trained for it; other cells of the same training wait for it."""
    seconds: float | None
    """How long it may take; `None`: nothing like it has been measured on this machine."""
    is_rough: bool = False
    """Estimated by what its network computes, not by records."""
    left_out: bool = False
    """It does not fit the budget."""

    @property
    def is_open(self) -> bool:
        """Whether it is still to be measured."""
        return not (self.finished or self.cell.refused)

    @property
    def state(self) -> str:
        """In words."""
        if self.left_out:
            return "left out"
        if self.finished:
            return "finished"
        if self.cell.refused:
            return "refused"
        return "to train first" if self.trains else "to measure"

    @property
    def weights(self) -> str:
        """As a table shows them."""
        return "" if self.cell.is_baseline else self.cell.weights.label


@dataclass(frozen=True)
class Forecast:
    """All cells of a sweep in its order."""

    lines: tuple[Line, ...]
    macs_per_s: float | None = None
    """Of a probe of this machine, where something had to be estimated by it."""
    budget_s: float | None = None

    @property
    def kept(self) -> tuple[Line, ...]:
        """What would be measured, or was."""
        return tuple(line for line in self.lines if not line.left_out)

    @property
    def left_out(self) -> tuple[Line, ...]:
        """What does not fit the budget."""
        return tuple(line for line in self.lines if line.left_out)

    @property
    def seconds(self) -> float:
        """Of the cells that would be measured and whose time can be estimated."""
        return sum(line.seconds or 0.0 for line in self.kept)

    @property
    def unknown_count(self) -> int:
        """Cells whose time cannot be estimated."""
        return sum(line.seconds is None for line in self.kept)


def forecast(
    setting: Setting,
    cells: Sequence[Cell],
    finished: Collection[str],
    records: Sequence[Spent],
    gauge: Gauge | None = None,
) -> Forecast:
    """Say what a sweep would do with each cell.

    Args:
        setting: What the cells share.
        cells: As `plan.cells` lists them.
        finished: Keys of cells that are.
        records: From which the time is estimated.
        gauge: Estimates what has no like among them.
    """
    past = Past(setting, records)
    done = {index for index, cell in enumerate(cells) if finished and cell_key(cell, setting) in finished}
    open_cells = [cell for index, cell in enumerate(cells) if index not in done and not cell.refused]
    beside = _beside(open_cells, setting.trainings_at_once)
    lines, trained = [], set[object]()
    for index, cell in enumerate(cells):
        is_finished = index in done
        trains = cell.recipe is not None and not (is_finished or cell.refused) and cell.training not in trained
        seconds: float | None = 0.0
        is_rough = False
        if not is_finished and not cell.refused:
            seconds, is_rough = _measuring(cell, past, gauge)
            if trains and cell.recipe is not None:
                trained.add(cell.training)
                training = past.training(cell, cell.recipe)
                if training is not None:
                    training /= beside[cell.training]
                elif gauge is not None:  # its probe has all the threads: half of them for each of two is the same
                    training, is_rough = gauge.training(cell, cell.recipe), True
                seconds = None if seconds is None or training is None else seconds + training
        lines.append(Line(cell, is_finished, trains, seconds, is_rough))
    return Forecast(tuple(lines), None if gauge is None else gauge.macs_per_s)


def _beside(cells: Sequence[Cell], at_once: int) -> dict[object, int]:
    """How many trainings run beside each other, itself among them, by `Cell.training`."""
    found = dict[object, int]()
    for together in rounds(cells, at_once):
        names = {cell.training for cell in together} - {None}
        found |= dict.fromkeys(names, min(len(names), at_once))
    return found


def fit(found: Forecast, budget_s: float) -> Forecast:
    """Order a forecast by time, slowest last, and leave out what does not fit; cells of one training stay together.

    What has no estimate stands behind what has one. The baseline, which all are held against, is the first.

    Args:
        found: As `forecast` returns it.
        budget_s: Seconds there are.

    Raises:
        UserError: nothing fits.
    """
    groups = [
        list(together) for _, together in groupby(enumerate(found.lines), key=lambda at: at[1].cell.training or at[0])
    ]
    ordered = sorted(([line for _, line in group] for group in groups), key=_urgency)
    lines, spent_s, full = list[Line](), 0.0, False
    for group in ordered:
        wanted = any(line.is_open for line in group)
        spent_s += sum(line.seconds or 0.0 for line in group)
        full = full or (wanted and spent_s > budget_s)
        lines += [replace(line, left_out=full and line.is_open) for line in group]
    fitted = replace(found, lines=tuple(lines), budget_s=budget_s)
    models = [line for line in fitted.lines if line.is_open and not line.cell.is_baseline]
    if models and all(line.left_out for line in models):
        first = models[0]
        raise UserError(
            f"nothing fits the {show_duration(max(budget_s, 0.0))} left of the budget: {first.cell.spec.name}, "
            f"which takes least, takes about {show_duration(first.seconds or 0.0)}; give more with --budget"
        )
    return fitted


def _urgency(group: Sequence[Line]) -> tuple[bool, bool, float]:
    """The baseline, then what is known by its time, then what is not."""
    known = [line.seconds for line in group if line.seconds is not None]
    return not group[0].cell.is_baseline, len(known) < len(group), sum(known)


def show_forecast(found: Forecast) -> str:
    """Return a table of the cells and the sum below it."""
    rows = []
    for line in found.lines:
        cell = line.cell
        about = "?" if line.seconds is None else f"{line.seconds:.0f} s" if line.seconds else ""
        runtime = "" if cell.is_baseline else f"{cell.runtime} {cell.precision}"
        rows.append([cell.spec.name, line.weights, runtime, show_size(cell.input_size), about, line.state])
    table, hidden = fitted_table(HEADER, rows, left=len(HEADER), drop=_DROPPED)
    below = "".join(f"{line}\n" for line in summary(found))
    return fitted_text(table, hidden, whole="a wider terminal has all") + below


def summary(found: Forecast) -> list[str]:
    """Return the sum of a forecast, what of it does not fit its budget, and what it was estimated by, a line each."""
    open_lines = [line for line in found.kept if line.is_open]
    lines = [
        (
            f"cells to measure: {len(open_lines)}, finished before: {sum(line.finished for line in found.lines)}, "
            f"refused: {sum(bool(line.cell.refused and not line.finished) for line in found.lines)}; "
            f"about {found.seconds / 60:.1f} min"
        )
    ]
    refused = Counter(
        f"{line.cell.runtime} {line.cell.precision}: {line.cell.refused}"
        for line in found.kept
        if line.state == "refused"
    )
    lines += [f"refused: {counted(count, 'cell')} of {why}" for why, count in refused.items()]
    if found.left_out:
        names = ", ".join(dict.fromkeys(line.cell.spec.name for line in found.left_out))
        left = show_duration(max(found.budget_s or 0.0, 0.0))
        lines.append(f"left out, since the budget leaves {left} for cells, slowest last: {names}")
    if any(line.is_rough for line in found.lines) and found.macs_per_s:
        rough = counted(sum(line.is_rough for line in found.lines), "cell")
        lines.append(
            f"rough: {rough}, of whose like this machine has no record, by their multiply-accumulates and a "
            f"probe of the machine ({found.macs_per_s / 1e9:.0f} G a second)"
        )
    if found.unknown_count:
        lines.append(f"not counted: {counted(found.unknown_count, 'cell')}, of whose like this machine has no record")
    return lines


def _measuring(cell: Cell, past: Past, gauge: Gauge | None) -> tuple[float | None, bool]:
    """Seconds of a cell whose weights are there, and whether that is rough."""
    exactly = past.exactly(cell)
    rough = gauge.measuring(cell) if exactly is None and gauge is not None else None
    if rough is not None:
        return rough, True
    return (past.nearly(cell) if exactly is None else exactly), False
