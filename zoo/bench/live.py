"""A sweep as a person sees it: a line per finished cell, and below them what is under way, with the time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from zoo.advice import carried
from zoo.bench.sweep import Event
from zoo.record import Record
from zoo.report.terminal import WIDE, wrapped
from zoo.score.metrics import METRICS, SHOWN, SHOWN_OF_PACED, Metric
from zoo.score.rows import text_of
from zoo.score.trust import grade

NAME_WIDTH, LEAST_NAME_WIDTH = 44, 22
WIDTH = 13
GRADE_WIDTH = 7
"""Columns of a line, in characters."""


class Live:
    """Shows `Event`s: rows and a progress bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn(
                "{task.fields[what]}",
                style="dim",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),  # it alone gives way
            ),
            console=console,
            expand=True,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None, left="", what="")
        self.first_cell_at: float | None = None
        self.measured_count = 0
        self.refused = set[str]()
        """What was said of these, which is the same for each of their cells."""

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.record is not None and (refused := refusal(event.record)):
            print_once(self.console, refused, self.refused)
        elif event.record is not None:
            if self.measured_count == 0:
                print_line(self.console, header(event.record, line_width(self.console)))
            self.measured_count += 1
            print_line(self.console, row(event.record, line_width(self.console)))
        elif event.model and self.first_cell_at is None:
            self.first_cell_at = time.monotonic()
        elif not event.model:
            print_note(self.console, event.note)
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


def line_width(console: Console) -> int:
    """Columns of a line: a terminal's, else as many as it wants."""
    return console.width if console.is_terminal else WIDE


def print_line(console: Console, line: Text) -> None:
    """Print one cell's line; in a file it is one line, however long."""
    console.print(line, soft_wrap=not console.is_terminal)


def print_note(console: Console, note: str) -> None:
    """Print what is no cell's: as wide as a terminal, and in a file one line, however long."""
    for line in wrapped(note, console.width) if console.is_terminal else [carried(note)]:
        print_line(console, Text(line, style="dim"))


def print_once(console: Console, note: str, said: set[str]) -> None:
    """Print a note that is not among what was said, and remember it there."""
    if note not in said:
        said.add(note)
        print_note(console, note)


def refusal(record: Record) -> str:
    """What a device does not run, whatever the model, and why; empty for a cell that was begun."""
    if record.failure is None or record.failure.step != "plan":
        return ""
    return f"refused: {record.artifact.runtime} {record.artifact.precision}: {record.failure.reason}"


def header(record: Record, width: int = WIDE) -> Text:
    """Titles and units over `row`, and what kind of numbers follow."""
    shown, name_width = _shown(record, width)
    names = "".join(f"{metric.title if len(metric.title) < WIDTH else metric.name:>{WIDTH}}" for metric in shown)
    units = "".join(f"{metric.unit:>{WIDTH}}" for metric in shown)
    images = record.dataset.name if record.dataset else "random images, no accuracy"
    kind = f"{images}, quick: a smoke test" if record.config.get("quick") else images
    kind += f", paced at {rate_hz:g} Hz" if (rate_hz := record.config.get("rate_hz")) else ""
    return Text(f"measured on {kind}\n{'model':<{name_width}}{names}  grade\n{'':<{name_width}}{units}", style="bold")


def _shown(record: Record, width: int) -> tuple[list[Metric], int]:
    """The numbers of a line of some width, those that decide first; and the columns that are left to the name."""
    shown = [METRICS[key] for key in (SHOWN_OF_PACED if record.config.get("rate_hz") else SHOWN)]
    count = max((width - LEAST_NAME_WIDTH - GRADE_WIDTH) // WIDTH, 1)
    return shown[:count], min(NAME_WIDTH, max(width - GRADE_WIDTH - WIDTH * len(shown[:count]), 1))


def row(record: Record, width: int = WIDE) -> Text:
    """One finished cell as one line; a name that is too long for its column stands on a line of its own."""
    shown, name_width = _shown(record, width)
    artifact = record.artifact
    name = artifact.model
    if artifact.runtime != "none" and (artifact.runtime, artifact.precision) != ("eager", "fp32"):
        name += f" {artifact.runtime} {artifact.precision}"
    if len(record.config.get("input_sizes", ())) > 1:
        name += f" {text_of(artifact.input_size)}"
    if record.config.get("seeds", 1) > 1 and artifact.weights.seed is not None:
        name += f" seed {artifact.weights.seed}"
    if record.failure is not None:
        return Text(f"{name:<{name_width}} {record.status}: {record.failure.reason}", style="red")
    line = Text(f"{name:<{name_width}}" if len(name) <= name_width else f"{name}\n{'':<{name_width}}")
    for metric in shown:
        line.append(f"{metric.show(metric.of(record)):>{WIDTH}}")
    return line.append(f"  {grade(record)[0] or ''}".rstrip())
