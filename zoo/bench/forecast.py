"""What a sweep would do and how long that takes, from how long its like took: what `zoo bench --dry-run` prints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median

from zoo.bench.cell import steps_of
from zoo.bench.plan import Cell, Setting, cell_key
from zoo.config import TrainConfig
from zoo.record import Record
from zoo.report.terminal import print_to_text, simple_table
from zoo.units import show_size

HEADER = ("model", "weights", "runtime", "input", "about", "state")


@dataclass(frozen=True)
class Line:
    """One cell, and what the sweep would do with it."""

    cell: Cell
    finished: bool
    trains: bool
    """Whether its weights would be trained for it; other cells of the same training wait for it."""
    seconds: float | None
    """How long it may take; `None`: nothing like it has been measured on this machine."""

    @property
    def state(self) -> str:
        """In words."""
        if self.finished:
            return "finished"
        if self.cell.refused:
            return f"refused: {self.cell.refused}"
        return "to train first" if self.trains else "to measure"

    @property
    def weights(self) -> str:
        """As a table shows them."""
        return "" if self.cell.is_baseline else self.cell.weights.label


@dataclass(frozen=True)
class Forecast:
    """All cells of a sweep in its order."""

    lines: tuple[Line, ...]

    @property
    def seconds(self) -> float:
        """Of the cells whose time can be estimated."""
        return sum(line.seconds or 0.0 for line in self.lines)

    @property
    def unknown_count(self) -> int:
        """Cells whose time cannot be estimated."""
        return sum(line.seconds is None for line in self.lines)


def forecast(setting: Setting, cells: Sequence[Cell], finished: Collection[str], records: Sequence[Record]) -> Forecast:
    """Say what a sweep would do with each cell.

    Args:
        setting: What the cells share.
        cells: As `plan.cells` lists them.
        finished: Keys of cells that are.
        records: From which the time is estimated.
    """
    own = [
        record
        for record in sorted(records, key=lambda record: record.started_at)
        if record.status == "ok" and record.device.slug == setting.survey.device.slug
    ]
    lines, trained = [], set[object]()
    for cell in cells:
        is_finished = cell_key(cell, setting) in finished
        trains = cell.recipe is not None and not (is_finished or cell.refused) and cell.training not in trained
        seconds: float | None = 0.0
        if not is_finished and not cell.refused:
            seconds = _measuring(cell, setting, own)
            if trains and cell.recipe is not None:
                training = _training(cell, cell.recipe, own)
                seconds = None if seconds is None or training is None else seconds + training
            if trains:
                trained.add(cell.training)
        lines.append(Line(cell, is_finished, trains, seconds))
    return Forecast(tuple(lines))


def show_forecast(found: Forecast) -> str:
    """Return a table of the cells and the sum below it."""
    rows = []
    for line in found.lines:
        cell = line.cell
        about = "?" if line.seconds is None else f"{line.seconds:.0f} s" if line.seconds else ""
        runtime = "" if cell.is_baseline else f"{cell.runtime} {cell.precision}"
        rows.append([cell.spec.name, line.weights, runtime, show_size(cell.input_size), about, line.state])
    open_lines = [line for line in found.lines if not line.finished and not line.cell.refused]
    said = [
        (
            f"cells to measure: {len(open_lines)}, finished before: {sum(line.finished for line in found.lines)}, "
            f"refused: {sum(bool(line.cell.refused and not line.finished) for line in found.lines)}; "
            f"about {found.seconds / 60:.1f} min"
        )
    ]
    if found.unknown_count:
        said.append(f"not counted: {found.unknown_count} cells, of whose like this machine has no record")
    return print_to_text(simple_table(HEADER, rows, left=len(HEADER))) + "".join(f"{line}\n" for line in said)


def _measuring(cell: Cell, setting: Setting, records: Sequence[Record]) -> float | None:
    """Seconds of the newest record of the same model, runtime and precision, else the median of the nearest like."""
    wanted = {"start", *steps_of(cell, setting)}
    like = [record for record in records if record.is_baseline == cell.is_baseline]
    if not cell.is_baseline:
        like = [record for record in like if record.quick == setting.config.quick]
    facts = {"model": cell.spec.name, "runtime": cell.runtime, "precision": cell.precision}
    for same in (("model", "runtime", "precision"), ("runtime", "precision"), ("runtime",)):
        spent = [
            sum(seconds for step, seconds in record.seconds.items() if step in wanted)
            for record in like
            if all(getattr(record.artifact, fact) == facts[fact] for fact in same)
        ]
        if spent:
            return spent[-1] if "model" in same else median(spent)
    return None


def _training(cell: Cell, recipe: TrainConfig, records: Sequence[Record]) -> float | None:
    """Seconds of the newest training of the same model, as many times as it has more steps."""
    like = [
        record
        for record in records
        if record.artifact.model == cell.spec.name and "train" in record.seconds and record.artifact.weights.step_count
    ]
    exactly = [record for record in like if record.artifact.weights.recipe_hash == recipe.recipe_hash]
    if not like:
        return None
    newest = (exactly or like)[-1]
    return newest.seconds["train"] / (newest.artifact.weights.step_count or recipe.steps) * recipe.steps
