"""What the name of a frame tells of where it was taken."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
