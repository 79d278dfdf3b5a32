"""Training as a person sees it: a progress bar with loss, rate and time left; plain lines when there is no terminal."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console

from zoo.report.progress import LINE_EVERY_S, progress_bar


class LiveTraining:
    """Is `on_step` of `train_model`; its methods `prepared` and `validated` are `on_frame` and `on_validation`."""

    def __init__(self, console: Console, model: str, total: int) -> None:
        self.console, self.model, self.total = console, model, total
        self.progress = progress_bar(console, "{task.fields[facts]}")
        self.frames = self.progress.add_task("prepare frames", total=None, visible=False, facts="")
        self.steps = self.progress.add_task(model, total=total, visible=False, facts="")
        self.last_line = time.monotonic()
        self.first: tuple[int, float] | None = None
        """The first step that was seen, and when."""

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def prepared(self, done: int, total: int) -> None:
        """Show how many frames are decoded."""
        self.progress.update(self.frames, completed=done, total=total, visible=done < total)
        if self._line_is_due(last=done == total):
            self.console.print(f"prepared {done} of {total} frames")

    def __call__(self, step: int, loss: float, images_per_s: float) -> None:
        """Show one step."""
        facts = f"loss {loss:.3f}, {images_per_s:.1f} images/s"
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
            self.progress.reset(self.steps, completed=step, total=self.total, visible=True)
        self.progress.update(self.steps, completed=step, facts=facts)
        first_step, began = self.first
        if step > first_step and self._line_is_due(last=step == self.total):
            left = (now - began) / (step - first_step) * (self.total - step)
            self.console.print(f"{self.model}: step {step}/{self.total}, {facts}, {left:.0f} s left")

    def validated(self, step: int, miou: float | None, class_iou: dict[str, float | None]) -> None:
        """Print the scores of one validation, in percent."""
        classes = ", ".join(f"{name} {100 * iou:.1f}" for name, iou in class_iou.items() if iou is not None)
        score = "n/a" if miou is None else f"{100 * miou:.1f} %"
        self.console.print(f"{self.model}: step {step}, mIoU {score} on val ({classes})")

    def _line_is_due(self, *, last: bool) -> bool:
        """Whether to print a plain line now, where there is no terminal."""
        now = time.monotonic()
        if self.console.is_terminal or (now - self.last_line < LINE_EVERY_S and not last):
            return False
        self.last_line = now
        return True
