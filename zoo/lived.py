"""Latency as it is lived, as a record keeps it: calls that wait for a frame's time, and the first call of a process."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from zoo.allowed import Amount, Count, Number, Rate
from zoo.protocol import COLD_PROTOCOL
from zoo.spec import Facts


class Paced(Facts):
    """How paced calls kept their deadlines (zoo-paced/1, rule 3); how long they took is in `Record.speed`."""

    rate_hz: Rate
    """Frames that come due a second."""
    frame_count: Number
    """Frames that came due, from the first that was counted to the last that was begun."""
    late_count: Count
    """Of these, answered after the next one was due."""
    dropped_count: Count
    """Of these, never begun: the call before was still running when they came due."""
    lateness_p50_s: Amount | None
    """How long after its deadline a late answer came, the median; null where none was late, as is the next."""
    lateness_max_s: Amount | None

    @model_validator(mode="after")
    def _no_more_are_missed_than_came_due(self) -> Self:
        if self.late_count + self.dropped_count > self.frame_count:
            raise ValueError("late_count and dropped_count are more than frame_count")
        if (self.lateness_p50_s or 0) > (self.lateness_max_s or 0):
            raise ValueError("lateness_p50_s is more than lateness_max_s")
        return self

    @property
    def missed_share(self) -> float:
        """Share of the frames without an answer before the next one was due."""
        return (self.late_count + self.dropped_count) / self.frame_count


class Start(Facts):
    """One fresh process on its way to its first label map, in seconds (zoo-cold/1, rule 2)."""

    import_s: Amount
    """From the start of the process until its libraries are there: the interpreter and what it imports."""
    load_s: Amount
    """From the file on disk to what can be called."""
    first_call_s: Amount
    """From the `uint8` image to its label map."""

    @property
    def total_s(self) -> float:
        """All three."""
        return self.import_s + self.load_s + self.first_call_s


class ColdStart(Facts):
    """From a file on disk to the first label map, in processes of its own (`zoo-cold/1`)."""

    protocol: str = COLD_PROTOCOL
    loaded_by: Literal["runtime", "zoo"]
    """`runtime`: the file that ships, by its runtime's library; `zoo`: by this package (zoo-cold/1, rule 3)."""
    starts: tuple[Start, ...] = Field(min_length=1)

    @property
    def typical(self) -> Start:
        """The one whose total is the median, of an even number the slower of the middle two."""
        return sorted(self.starts, key=lambda start: start.total_s)[len(self.starts) // 2]
