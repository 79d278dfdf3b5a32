"""A frame as far as it was looked at, and the words that all findings share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.data.headers import Header
from zoo.data.layout import Frame
from zoo.report.doctor import Finding, Severity
from zoo.spec import IGNORE_INDEX, DatasetSpec, Size


@dataclass(frozen=True)
class Seen:
    """A frame as far as it was looked at."""

    frame: Frame
    size: Size | None
    image_fault: str
    """What the loader says against the image, empty for nothing."""
    label_fault: str
    values: NDArray[np.int64] | None
    """`(256,)` pixels of each value in a label map that was decoded."""
    headers: tuple[Header | None, Header | None]
    """Of the image and of the label map."""
    hash: NDArray[np.bool_] | None
    """`(HASH_SIDE²,)` bits of an image that was decoded with `full`."""


def meanings(frame: Frame, spec: DatasetSpec) -> dict[int, int]:
    """Value in a frame's label file → train id."""
    if frame.has_train_ids:
        return {value: value for value in (*range(spec.num_classes), IGNORE_INDEX)}
    return spec.label_to_train_id


def class_pixels(look: Seen, spec: DatasetSpec) -> tuple[tuple[int, ...], int]:
    """Pixels of each class, and those that count nowhere."""
    counts = np.zeros(IGNORE_INDEX + 1, np.int64)
    known = meanings(look.frame, spec)
    for value, pixels in enumerate(look.values if look.values is not None else ()):
        counts[known.get(value, IGNORE_INDEX)] += pixels
    return tuple(counts[: spec.num_classes].tolist()), int(counts[IGNORE_INDEX])


def finding_of(severity: Severity, what: str, advice: str, files: Iterable[Path]) -> Finding:
    """A finding about files."""
    return Finding(severity, what, advice, tuple(map(str, files)))
