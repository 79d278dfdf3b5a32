"""A fleet as a person sees it: a line per finished cell, and below them a table of its devices, with the time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from zoo.bench.live import header, line_width, print_line, print_note, print_once, refusal, row
from zoo.errors import counted
from zoo.fleet.sweep import FleetEvent
from zoo.units import show_duration

MAX_NODE, MAX_DEVICE, NUMBER_WIDTH, GAP = 22, 22, 7, 2
"""Columns of the table, in characters."""
REST = 4
"""Lines of a terminal beside those of devices: titles, how many more there are, the sum, the prompt."""
REFRESH_S = 0.2
"""How often the table is drawn at most: a thousand devices answer more often than one reads."""


class LiveFleet:
    """Shows `FleetEvent`s: a table that changes on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self.shown_header = False
        self.due = 0.0
        self.refused = set[str]()

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: FleetEvent) -> None:
        """Show one event."""
        if event.record is not None and (refused := refusal(event.record)):
            print_once(self.console, f"{event.record.device.slug}: {refused}", self.refused)
        elif event.record is not None:
            width = line_width(self.console) - MAX_DEVICE - GAP
            if not self.shown_header:
                print_line(self.console, header(event.record, width))
                self.shown_header = True
            line = row(event.record, width)
            line.append(f"  {event.record.device.slug}", style="dim")
            print_line(self.console, line)
        elif event.note:
            print_note(self.console, event.note)
        if self.live and event.seats and time.monotonic() >= self.due:
            below = Text(summary(event))
            self.live.update(Group(table(event, self.console.width, self.console.height - REST), below), refresh=True)
            self.due = time.monotonic() + REFRESH_S


def table(event: FleetEvent, width: int, height: int) -> Table:
    """A line for each device, cut to the width of a terminal where it is long, and as many as it has room for."""
    shown = event.seats[: max(height, 1)]
    device_width = min(max((len(seat.device) for seat in shown), default=0), MAX_DEVICE)
    node_width = min(max((len(seat.node) for seat in shown), default=0), MAX_NODE)
    does_width = max(width - node_width - device_width - 3 * NUMBER_WIDTH - 6 * GAP, NUMBER_WIDTH)
    made = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
    for title in ("node", "device", "does"):
        made.add_column(title, no_wrap=True)
    for title in ("for", "done", "failed"):
        made.add_column(title, justify="right", no_wrap=True, min_width=NUMBER_WIDTH)
    for seat in shown:
        node, device, does = Text(seat.node), Text(seat.device), Text(seat.does)
        node.truncate(node_width, overflow="ellipsis")
        device.truncate(device_width, overflow="ellipsis")
        does.truncate(does_width, overflow="ellipsis")
        spent = "" if seat.for_s is None else show_duration(round(seat.for_s))
        failed = Text(str(seat.failed), style="red" if seat.failed else "")
        made.add_row(node, device, does, spent, str(seat.done), failed)
    if len(shown) < len(event.seats):
        made.add_row(f"and {len(event.seats) - len(shown)} more")
    return made


def summary(event: FleetEvent) -> str:
    """Of all devices, in one line."""
    parts = [f"{event.done} of {counted(event.total, 'cell')}"]
    if event.failed:
        parts.append(f"{event.failed} failed")
    if event.left_s is not None:
        parts.append(f"about {show_duration(round(event.left_s))} left")
    return ", ".join(parts)
