"""Training as a person sees it: a progress bar with loss, rate and time left; plain lines when there is no terminal."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


class LiveTraining:
    """Called with (step, loss, images a second) after each step."""

    def __init__(self, console: Console, model: str, total: int) -> None:
        self.console, self.model, self.total = console, model, total
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(model, total=total, loss=float("nan"), rate=0.0)
        self.started = self.last_line = time.monotonic()
        self.first_step: int | None = None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, step: int, loss: float, rate: float) -> None:
        """Show one step."""
        self.progress.update(self.task, completed=step, loss=loss, rate=rate)
        now = time.monotonic()
        if self.first_step is None:
            self.first_step, self.started = step, now
        elif not self.console.is_terminal and (now - self.last_line >= LINE_EVERY_S or step == self.total):
            self.last_line = now
            left = (now - self.started) / max(step - self.first_step, 1) * (self.total - step)
            self.console.print(
                f"{self.model}: step {step}/{self.total}, loss {loss:.3f}, {rate:.1f} images/s, {left:.0f} s left"
            )
