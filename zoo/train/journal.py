"""What happened in a run, step by step: `log.csv`, `validation.csv`, and the same as curves for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.tensorboard import SummaryWriter

from zoo.state_dict import write_atomic

LOG, VALIDATION, CURVES = "log.csv", "validation.csv", "events.out.tfevents.*"


class LogRow(NamedTuple):
    """One step of `log.csv`."""

    step: int
    """1 is the first."""
    loss: float
    learning_rate: float
    miou: float | None
    """Where this step was validated."""


class Validation(NamedTuple):
    """One row of `validation.csv`."""

    step: int
    miou: float | None
    class_iou: tuple[float | None, ...]
    """In the order of the classes; `None` for one that is neither true nor predicted."""


class Journal:
    """The rows of a run, kept in memory and written whole.

    Args:
        folder: The run's.
        class_names: Of the dataset.
        curves: Write TensorBoard's event files too.
    """

    def __init__(self, folder: Path, class_names: Sequence[str], *, curves: bool) -> None:
        self.folder, self.class_names = folder, class_names
        self.log: list[LogRow] = []
        self.validations: list[Validation] = []
        self.with_curves = curves
        self._curves: SummaryWriter | None = None

    @property
    def step_count(self) -> int:
        """Steps that were done."""
        return len(self.log)

    @property
    def best_miou(self) -> float | None:
        """Highest mIoU seen."""
        return max((row.miou for row in self.validations if row.miou is not None), default=None)

    def add(self, loss: float, rate: float, images_per_s: float) -> None:
        """Note one step."""
        step = self.step_count + 1
        self.log.append(LogRow(step, loss, rate, None))
        self._draw(step, {"train/loss": loss, "train/learning_rate": rate, "train/images_per_s": images_per_s})

    def validated(self, miou: float | None, class_iou: tuple[float | None, ...]) -> None:
        """Note that the weights after the last step were scored."""
        self.log[-1] = self.log[-1]._replace(miou=miou)
        self.validations.append(Validation(self.step_count, miou, class_iou))
        by_class = {f"iou/{name}": iou for name, iou in zip(self.class_names, class_iou, strict=True)}
        self._draw(self.step_count, {"val/miou": miou, **by_class})

    def write(self) -> None:
        """Bring all of it to the disk.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        write_atomic(self.folder / LOG, lambda draft: _write(draft, LogRow._fields, self.log))
        if self.validations:
            rows = [(row.step, row.miou, *row.class_iou) for row in self.validations]
            header = ("step", "miou", *self.class_names)
            write_atomic(self.folder / VALIDATION, lambda draft: _write(draft, header, rows))
        if self._curves:
            self._curves.flush()

    def close(self) -> None:
        """End TensorBoard's files."""
        if self._curves:
            self._curves.close()

    def state(self) -> dict[str, Any]:
        """The rows as plain lists."""
        return {
            "log": [list(row) for row in self.log],
            "validations": [[row.step, row.miou, list(row.class_iou)] for row in self.validations],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.log = [LogRow(*row) for row in state["log"]]
        self.validations = [Validation(step, miou, tuple(ious)) for step, miou, ious in state["validations"]]

    def _draw(self, step: int, values: dict[str, float | None]) -> None:
        if not self.with_curves:
            return
        if self._curves is None:  # what an interrupted run drew beyond its last saved step is hidden
            self._curves = SummaryWriter(str(self.folder), purge_step=step)
        for name, value in values.items():
            if value is not None:
                self._curves.add_scalar(name, value, step)


def read_losses(folder: Path) -> tuple[float, ...]:
    """One loss per step; empty where no log is."""
    path = folder / LOG
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(float(row["loss"]) for row in csv.DictReader(file))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
