"""How an int8 artifact was made, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import counted
from zoo.protocol import DEFAULT_WAY

if TYPE_CHECKING:  # rows that were kept need neither
    from zoo.quantisation import Quantisation
    from zoo.record import Record


def int8_text(found: Quantisation) -> str:
    """Return the way, and what it loses where that was measured, as a sentence without its end."""
    if found.holds is None:
        return f"{found.way}, not held against fp32: {found.why_unmeasured or 'nothing to measure on'}"
    lost = {one.way: one.miou_lost for one in found.attempts if one.miou_lost is not None}
    on = f"{100 * lost[found.way]:.1f} points of mIoU on {counted(found.image_count, 'train image')}"
    if not found.holds:
        return f"{found.way}, the best of {len(lost)} that were tried, none of which holds: loses {on}"
    default = None if found.way == DEFAULT_WAY else lost.get(DEFAULT_WAY)
    instead = "" if default is None else f"; {DEFAULT_WAY} loses {100 * default:.1f}"
    return f"{found.way}: loses {on}{instead}"


def needs_saying(found: Quantisation | None) -> bool:
    """Whether it is not simply the default, held against fp32 and found to keep its mIoU."""
    return found is not None and found.holds is not None and not (found.holds and found.way == DEFAULT_WAY)


def int8_of(record: Record) -> Quantisation | None:
    """Return how a record's artifact was quantised; `None` where it was not, or that is not known."""
    return record.build.quantisation if record.build else None
