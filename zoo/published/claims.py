"""What somebody stated of a checkpoint or a network, as a row carries it along: licences, and an mIoU. Plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # rows that were kept are shown without pydantic
    from zoo.spec import Size

OTHER_WEIGHTS = "other weights of this architecture"


@dataclass(frozen=True, slots=True)
class Stated:
    """Something that somebody stated, and where."""

    value: str
    """`"unknown"` where nobody did."""
    source: str = ""
    """URL; empty for what is unknown."""


UNKNOWN = Stated(value="unknown")
CITYSCAPES_TERMS = Stated(value="Cityscapes: non-commercial", source="https://www.cityscapes-dataset.com/license/")


@dataclass(frozen=True, slots=True)
class Claim:
    """An mIoU its authors published."""

    miou: float
    """On Cityscapes val, 0 to 1."""
    protocol: str
    """In a few words: `whole`, `slide 1024x1024`, `labels at 512x1024` …"""
    source: str
    """URL."""

    @property
    def word(self) -> str:
        """The protocol in one word: `whole`, `slide`, the size of images, or `labels@` that of labels."""
        words = {"slide": "slide", "image": self.size, "labels": f"labels@{self.size}"}
        return words.get(self.protocol.split()[0], self.protocol.partition(",")[0])

    @property
    def size(self) -> str:
        """The size that the protocol names first, `1024x1024`; empty for none."""
        size = re.search(r"\d+x\d+", self.protocol)
        return size[0] if size else ""


class Quote(NamedTuple):
    """A published mIoU, and what it was counted with."""

    claim: Claim
    weights: str
    """As a record labels them, `published mmseg`; or `OTHER_WEIGHTS`."""
    input_size: Size | None
    """What those weights are fed with; null where it is not known."""
