"""Work on many images, and transfers, as a person sees them. Free of torch."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

LINE_EVERY_S = 10.0
ROOMY = 110
"""Columns in which a bar stands whole beside the longest names."""


def progress_bar(console: Console, facts: str) -> Progress:
    """A bar with count, `facts` (rich's format of a task), time passed and time left; nothing without a terminal.

    In a narrow one the bar is short, the time passed is left out, and the name alone is cut: numbers stay whole.
    """
    whole, narrow = Column(no_wrap=True), console.width < ROOMY
    name = Column(ratio=1, no_wrap=True, overflow="ellipsis") if narrow else whole
    return Progress(
        TextColumn("{task.description}", table_column=name),
        BarColumn(bar_width=8 if narrow else 40),
        MofNCompleteColumn(table_column=whole),
        TextColumn(facts),
        *([] if narrow else [TimeElapsedColumn(table_column=whole)]),
        TextColumn("left"),
        TimeRemainingColumn(table_column=whole),
        console=console,
        disable=not console.is_terminal,
        expand=narrow,
    )


class _Live:
    """A progress bar of one task, shown from its first call on."""

    def __init__(self, console: Console, name: str, progress: Progress) -> None:
        self.console, self.name, self.progress = console, name, progress
        self.task = progress.add_task(name, total=None, visible=False)
        self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


class LiveImages(_Live):
    """Called with (images done, images in all): a progress bar; lines where there is no terminal; silent for one.

    `unit` is what is counted, where it is not images.
    """

    def __init__(self, console: Console, name: str, unit: str = "images") -> None:
        super().__init__(console, name, progress_bar(console, unit))
        self.unit = unit

    def __call__(self, done: int, total: int) -> None:
        """Show that an image is done."""
        self.progress.update(self.task, completed=done, total=total, visible=total > 1)
        now = time.monotonic()
        if not self.console.is_terminal and total > 1 and (now - self.last_line >= LINE_EVERY_S or done == total):
            self.last_line = now
            self.console.print(f"{self.name}: {done}/{total} {self.unit}")


class LiveBytes(_Live):
    """Called with (bytes here, bytes in all or `None`): a progress bar; lines where there is no terminal."""

    def __init__(self, console: Console, name: str) -> None:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        super().__init__(console, name, progress)

    def __call__(self, done: int, total: int | None) -> None:
        """Show that bytes have come."""
        self.progress.update(self.task, completed=done, total=total, visible=True)
        now = time.monotonic()
        if not self.console.is_terminal and now - self.last_line >= LINE_EVERY_S:
            self.last_line = now
            whole = "" if total is None else f" of {total / 2**20:.1f}"
            self.console.print(f"{self.name}: {done / 2**20:.1f}{whole} MiB")
