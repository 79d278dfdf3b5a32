"""How int8 was made: a part of a record."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from zoo.allowed import Count, Loss
from zoo.spec import Facts


class Attempt(Facts):
    """One way of making int8 that was tried."""

    way: str
    miou_lost: Loss | None = None
    """Against fp32 eager of the same weights; null where it was not tried."""
    why_not: str = ""


class Quantisation(Facts):
    """How int8 was made, and what it was held against when it was."""

    way: str
    """Such as `"min-max calibration"`, the default."""
    holds: bool | None = None
    """Whether no more of fp32's mIoU was lost than may be; null where that could not be measured."""
    attempts: tuple[Attempt, ...] = ()
    """In the order they were tried; the best of them was kept."""
    image_count: Count = 0
    """Of the train split, that they were measured on: what a row's own accuracy is counted on chose nothing."""
    why_unmeasured: str = ""

    @model_validator(mode="after")
    def _what_was_kept_was_tried(self) -> Self:
        if self.holds is not None and self.way not in {one.way for one in self.attempts if one.miou_lost is not None}:
            raise ValueError(f"int8 is said to be held against fp32, and what {self.way!r} loses is not said")
        return self
