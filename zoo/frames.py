"""What the name of a frame tells of where it was taken, and how many frames Cityscapes has."""

from __future__ import annotations

import re
from collections.abc import Iterable

CITYSCAPES_NAME = "cityscapes"
"""As a record names it."""

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
OFFICIAL_SIZES = {split: sum(cities.values()) for split, cities in OFFICIAL_CITIES.items()}
"""Number of frames of each Cityscapes split."""

_NAME = re.compile(r"([^\W\d_].*_\d{6})_\d{6}")


def sequence_of(name: str) -> str | None:
    """Return the recording a frame was taken from: `<city>_<seq>` of `<city>_<6 digits>_<6 digits>`, as Cityscapes has.

    `None` where a name has not these three parts, since it does not tell: `2007_000032` is a year, not a recording.
    """
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def shared_sequences(names: Iterable[str], others: Iterable[str]) -> tuple[str, ...] | None:
    """Return the recordings that two lists of frames share, sorted; `None` where some name does not tell its own.

    Nothing is shared with no frames at all.
    """
    others = list(others)
    if not others:
        return ()
    some, rest = ({sequence_of(name) for name in group} for group in (names, others))
    shared = some & rest - {None}
    if not shared and None in some | rest:
        return None
    return tuple(sorted(name for name in shared if name))
