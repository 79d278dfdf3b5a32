"""A sweep as a person sees it: a line per finished cell, and below them what is under way, with the time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from zoo.advice import carried
from zoo.bench.sweep import Event
from zoo.record import Record
from zoo.score.metrics import METRICS, SHOWN, SHOWN_OF_PACED
from zoo.score.rows import text_of
from zoo.score.trust import grade

NAME_WIDTH = 44
WIDTH = 13


class Live:
    """Shows `Event`s: rows and a progress bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[what]}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None, left="", what="")
        self.first_cell_at: float | None = None
        self.measured_count = 0

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.record is not None:
            if self.measured_count == 0:
                self.console.print(header(event.record), soft_wrap=True)
            self.measured_count += 1
            self.console.print(row(event.record), soft_wrap=True)
        elif event.model and self.first_cell_at is None:
            self.first_cell_at = time.monotonic()
        elif not event.model:
            self.console.print(Text(carried(event.note), style="dim"))
        self.progress.update(
            self.task,
            total=event.total,
            completed=event.done,
            what=f"{event.model} {event.note}",
            left=self._time_left(event),
        )

    def note(self, model: str, note: str) -> None:
        """Show a line of progress of what measures nothing."""
        self(Event(model, 0, 0, note))

    def _time_left(self, event: Event) -> str:
        if self.first_cell_at is None or self.measured_count == 0:
            return ""
        per_cell = (time.monotonic() - self.first_cell_at) / self.measured_count
        minutes, seconds = divmod(round(per_cell * (event.total - event.done)), 60)
        return f"about {minutes}:{seconds:02d} left"


def header(record: Record) -> Text:
    """Titles and units over `row`, and what kind of numbers follow."""
    shown = [METRICS[key] for key in _shown(record)]
    names = "".join(f"{metric.title if len(metric.title) < WIDTH else metric.name:>{WIDTH}}" for metric in shown)
    units = "".join(f"{metric.unit:>{WIDTH}}" for metric in shown)
    images = record.dataset.name if record.dataset else "random images, no accuracy"
    kind = f"{images}, quick: a smoke test" if record.config.get("quick") else images
    kind += f", paced at {rate_hz:g} Hz" if (rate_hz := record.config.get("rate_hz")) else ""
    return Text(f"measured on {kind}\n{'model':<{NAME_WIDTH}}{names}  grade\n{'':<{NAME_WIDTH}}{units}", style="bold")


def _shown(record: Record) -> tuple[str, ...]:
    """Keys of the numbers of a line."""
    return SHOWN_OF_PACED if record.config.get("rate_hz") else SHOWN


def row(record: Record) -> Text:
    """One finished cell as one line."""
    artifact = record.artifact
    name = artifact.model
    if artifact.runtime != "none" and (artifact.runtime, artifact.precision) != ("eager", "fp32"):
        name += f" {artifact.runtime} {artifact.precision}"
    if len(record.config.get("input_sizes", ())) > 1:
        name += f" {text_of(artifact.input_size)}"
    if record.config.get("seeds", 1) > 1 and artifact.weights.seed is not None:
        name += f" seed {artifact.weights.seed}"
    if record.failure is not None:
        return Text(f"{name:<{NAME_WIDTH}} {record.status}: {record.failure.reason}", style="red")
    line = Text(f"{name:<{NAME_WIDTH}}")
    for key in _shown(record):
        metric = METRICS[key]
        line.append(f"{metric.show(metric.of(record)):>{WIDTH}}")
    return line.append(f"  {grade(record)[0] or ''}")
