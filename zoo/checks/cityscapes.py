"""Folders that hold Cityscapes itself, or a part of it, against what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from zoo.checks.seen import Seen, finding_of
from zoo.data.listing import Listing
from zoo.errors import counted
from zoo.frames import OFFICIAL_CITIES, OFFICIAL_SIZES
from zoo.report.doctor import Finding, Severity
from zoo.score.rows import text_of
from zoo.spec import Size

OFFICIAL_FRAME: Size = (1024, 2048)


def against_cityscapes(listing: Listing, seen: Sequence[Seen]) -> Iterator[Finding]:
    """Compare with Cityscapes, city by city, where most images are of its cities.

    A part of it, and other people's streets in cities of its, are as good as any data: what differs is noted. It is a
    warning where most of what was published is there, so that the rest is likely to have been lost.
    """
    split, official = listing.split, OFFICIAL_CITIES.get(listing.split, {})
    found = Counter(listing.city(paths[0]) for paths in listing.images.values())
    other = sorted(found.keys() - official.keys() - {""})
    official_count = sum(found[city] for city in official)
    if 2 * official_count <= found.total():
        return
    severity: Severity = "warning" if 2 * official_count > OFFICIAL_SIZES[split] else "note"
    if other:
        yield finding_of(
            severity, f"images of {split} of no city of Cityscapes: {', '.join(other)}",
            "numbers are not Cityscapes' with them: remove them if they should be",
            [listing.folder / city for city in other],
        )  # fmt: skip
    differing = {city: count for city, count in official.items() if found[city] != count}
    if differing:
        there = [f"{city} {found[city]} of {count}" for city, count in differing.items() if found[city]]
        lacking = sum(not found[city] for city in differing)
        cities = ", ".join([*there, *([f"{lacking} cities not there"] if lacking else [])])
        yield finding_of(
            severity, f"{split} has {official_count} of Cityscapes' {OFFICIAL_SIZES[split]} images: {cities}",
            "nothing to do where a part is meant, whose scores are those of a part; else fetch the rest",
            [listing.folder / city for city in differing if found[city]],
        )  # fmt: skip
    resized = [look.frame.image for look in seen if look.size not in (None, OFFICIAL_FRAME)]
    if resized:
        yield finding_of(
            severity, f"{counted(len(resized), 'image')} of {split} not of Cityscapes' size, {text_of(OFFICIAL_FRAME)}",
            "mIoU is counted at the size of the label maps, and published figures at that size",
            resized,
        )  # fmt: skip
