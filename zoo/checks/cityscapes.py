"""Folders that hold Cityscapes itself, or a part of it, against what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.checks.seen import Seen, counted, finding_of
from zoo.data.layout import OFFICIAL_SIZES, Listing
from zoo.report.doctor import Finding
from zoo.score import text_of
from zoo.spec import Size

OFFICIAL_FRAME: Size = (1024, 2048)
# fmt: off
OFFICIAL_CITIES: dict[str, dict[str, int]] = {
    "train": {
        "aachen": 174, "bochum": 96, "bremen": 316, "cologne": 154, "darmstadt": 85, "dusseldorf": 221, "erfurt": 109,
        "hamburg": 248, "hanover": 196, "jena": 119, "krefeld": 99, "monchengladbach": 94, "strasbourg": 365,
        "stuttgart": 196, "tubingen": 144, "ulm": 95, "weimar": 142, "zurich": 122,
    },
    "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
    "test": {"berlin": 544, "bielefeld": 181, "bonn": 46, "leverkusen": 58, "mainz": 298, "munich": 398},
}
# fmt: on
"""Frames of each city of Cityscapes."""


def against_cityscapes(root: Path, listing: Listing, seen: Sequence[Seen]) -> Iterator[Finding]:
    """Compare with Cityscapes, city by city, where most images are of its cities."""
    split, official = listing.split, OFFICIAL_CITIES.get(listing.split, {})
    found = Counter(paths[0].parent.name for paths in listing.images.values())
    other = sorted(found.keys() - official.keys())
    official_count = sum(found[city] for city in official)
    if 2 * official_count <= found.total():
        return
    if other:
        yield finding_of(
            "warning", f"images of {split} of no city of Cityscapes: {', '.join(other)}",
            "remove them: numbers are not Cityscapes' with them",
            [root / "leftImg8bit" / split / city for city in other],
        )  # fmt: skip
    differing = {city: count for city, count in official.items() if found[city] != count}
    if differing:
        cities = ", ".join(f"{city} {found[city]} of {count}" for city, count in differing.items())
        yield finding_of(
            "error", f"{split} has {official_count} of Cityscapes' {OFFICIAL_SIZES[split]} images: {cities}",
            "fetch the missing ones again, or name the cities otherwise: numbers are not Cityscapes' without them",
            [root / "leftImg8bit" / split / city for city in differing if found[city]],
        )  # fmt: skip
    resized = [look.frame.image for look in seen if look.size not in (None, OFFICIAL_FRAME)]
    if resized:
        yield finding_of(
            "warning", f"{counted(resized, 'image')} of {split} not of Cityscapes' size, {text_of(OFFICIAL_FRAME)}",
            "fetch the originals: mIoU is counted at the size of the label maps, and published figures at that size",
            resized,
        )  # fmt: skip
