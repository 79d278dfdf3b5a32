"""Instance-weighted counts, from which iIoU is derived, as the official evaluation has them.

IoU is decided by the few objects that are large in the image. For iIoU each pixel of an object weighs the average size
of its class over the object's own size, so that every object counts alike (Cordts et al., "The Cityscapes Dataset for
Semantic Urban Scene Understanding", CVPR 2016, section 4.1). Objects are known for eight classes, and for the two
categories all of whose labels have them.

Source: `evalPixelLevelSemanticLabeling.py` of https://github.com/mcordts/cityscapesScripts, with its two subtleties: a
false positive is not weighted, and a category also takes predictions of its labels that are no class (a car predicted
as *caravan* is a right *vehicle*).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.confusion import Runs
from zoo.labels import CITYSCAPES, LABELS

_PER_LABEL = 1000
"""An instance's value is `label id * 1000 + n`; smaller values are label ids of what has no instances, or of crowds."""

_AVERAGE_PIXELS = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
"""Average size of an instance, from the official table `avgClassSize`."""

CLASS_NAMES = tuple(label.name for label in LABELS if label.has_instances and not label.ignore_in_eval)
CATEGORY_NAMES = tuple(
    category
    for category in dict.fromkeys(CITYSCAPES.class_categories)
    if all(label.has_instances for label in LABELS if label.category == category and label.id >= 0)
)
TARGETS = (*CLASS_NAMES, *CATEGORY_NAMES)
"""What is counted (T)."""

_RIGHT = np.array([[target in (label.name, label.category) for label in LABELS if label.id >= 0] for target in TARGETS])
"""`(T, label ids)`: whether a label is a right answer for a target; ids 0 to 33 stand in the table in order."""
_MEMBERS = np.array(
    [[target in names for names in zip(CITYSCAPES.class_names, CITYSCAPES.class_categories, strict=True)]
     for target in TARGETS]
)  # fmt: skip
"""`(T, K)`: whether a class belongs to a target."""
_TARGETS_OF = {
    label.id: [TARGETS.index(label.name), TARGETS.index(label.category)]
    for label in LABELS
    if label.name in CLASS_NAMES
}
"""By label id: the targets an instance counts for, its class and its category."""
_WITHOUT_CLASS = {label.id for label in LABELS if label.has_instances and label.ignore_in_eval}


class Seen(NamedTuple):
    """What was predicted on each instance of an image."""

    ids: npt.NDArray[np.uint16]
    """`(instances,)` values in the instance map, ascending."""
    pixels: npt.NDArray[np.int64]
    """`(instances, 256)` pixels by the prediction's value."""


def see_instances(runs: Runs, instances: npt.NDArray[np.uint16], prediction: npt.NDArray[np.uint8]) -> Seen:
    """Count the pixels of each instance by what was predicted there.

    Args:
        runs: Of both maps.
        instances: `(H, W)`: `label id * 1000 + n` on objects, less elsewhere.
        prediction: `(H, W)`, in any encoding.

    Raises:
        ValueError: instances of a label that has none.
    """
    values = instances.ravel()[runs.starts]
    on_object = values > _PER_LABEL
    ids, number = np.unique(values[on_object], return_inverse=True)
    strange = set((ids // _PER_LABEL).tolist()) - _TARGETS_OF.keys() - _WITHOUT_CLASS
    if strange:
        raise ValueError(f"instances of label {min(strange)}, which has none")
    codes = number << 8 | prediction.ravel()[runs.starts[on_object]]
    pixels = np.bincount(codes, weights=runs.lengths[on_object], minlength=len(ids) << 8).astype(np.int64)
    return Seen(ids, pixels.reshape(len(ids), 256))


def instance_counts(
    seen: Seen, pairs: npt.NDArray[np.int64], label_ids: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Weighted true positives, weighted false negatives and false positives of every target, `(T, 3)`.

    Args:
        seen: Of one image.
        pairs: `(K, 256)` counted pixels by true class and by the prediction's value.
        label_ids: `(256,)` the label id each value of a prediction stands for.
    """
    right = _RIGHT[:, label_ids]  # T, 256
    counts = np.zeros((len(TARGETS), 3))
    counts[:, 2] = (~_MEMBERS @ pairs * right).sum(axis=1)
    for value, pixels in zip(seen.ids.tolist(), seen.pixels, strict=True):
        if value // _PER_LABEL in _WITHOUT_CLASS:
            continue
        targets = _TARGETS_OF[value // _PER_LABEL]
        size, hit = pixels.sum(), (pixels * right[targets]).sum(axis=1)
        weight = _AVERAGE_PIXELS[TARGETS[targets[0]]] / size
        counts[targets, 0] += weight * hit
        counts[targets, 1] += weight * (size - hit)
    return counts
