"""Confusion matrices: the one thing accuracy is counted in.

A matrix is `np.int64 (K, K + 1)`: row = truth, column = prediction, and the last column holds predictions of no class
on counted pixels. Equal, entry for entry, to the official evaluation (`evalPixelLevelSemanticLabeling.py` of
https://github.com/mcordts/cityscapesScripts), whose matrix has one column per label id instead of the last one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.spec import IGNORE_INDEX

_CHUNK = 1 << 16  # pixels whose 8-byte codes stay in the second-level cache
_SAMPLE_STRIDE = 61  # a prime, so that no pattern of the image hides from the sample
_MAX_RUN_SHARE = 1 / 8  # more runs than this per pixel, and counting pixel by pixel is faster


class Counts(NamedTuple):
    """True positives, false positives and false negatives per class, each `np.int64 (K,)`."""

    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    fn: npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Stretches of pixels, in the order of the flat map; each `np.intp (runs,)`."""

    starts: npt.NDArray[np.intp]
    lengths: npt.NDArray[np.intp]


def confusion_matrix(
    truth: npt.NDArray[np.uint8],
    prediction: npt.NDArray[np.uint8],
    num_classes: int,
    ignore_index: int = IGNORE_INDEX,
) -> npt.NDArray[np.int64]:
    """Count every pixel whose truth is not ignored.

    Args:
        truth: Train ids of any shape: 0 to K - 1, or `ignore_index`.
        prediction: Train ids of the same shape; K and above means "none of the classes", which is a miss.
        num_classes: K, at most 254.
        ignore_index: Truth that counts nowhere.

    Returns:
        `(K, K + 1)`: row = truth, column = prediction, last column = any prediction of no class.
    """
    assert 0 < num_classes < 255, "train ids are uint8, and one value is left for what is ignored"
    by_truth = count_pairs(truth, prediction, num_classes)  # (256, K + 1)
    by_truth[ignore_index] = 0
    assert not by_truth[num_classes:].any(), f"truth holds values that are neither one of {num_classes} nor ignored"
    return by_truth[:num_classes]


def count_pairs(
    truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], last: int = 255
) -> npt.NDArray[np.int64]:
    """Count the pixels of every pair of values.

    Label maps are piecewise constant, so runs of equal (truth, prediction) pairs are counted with their lengths instead
    of pixel by pixel; maps that are mostly noise are counted plainly.

    Args:
        truth: Values of any shape.
        prediction: Values of the same shape; those above `last` are counted as `last`.
        last: Largest value of a prediction that is told apart.

    Returns:
        `(256, last + 1)`: row = value of the truth, column = value of the prediction.
    """
    assert truth.dtype == prediction.dtype == np.uint8, "label maps are uint8"
    assert truth.shape == prediction.shape, f"truth {truth.shape} and prediction {prediction.shape} differ in shape"
    truth, prediction = truth.ravel(), prediction.ravel()
    if _is_noise(truth, prediction):
        return _count_pixels(truth, prediction, last)
    return count_runs(find_runs(truth, prediction), truth, prediction, last)


def find_runs(first: npt.NDArray[np.unsignedinteger], *others: npt.NDArray[np.unsignedinteger]) -> Runs:
    """Find the stretches of pixels over which none of the maps, all of one shape, changes."""
    first = first.ravel()
    changes = np.empty(first.size, np.bool_)
    changes[:1] = True
    np.not_equal(first[1:], first[:-1], out=changes[1:])
    for other in others:
        changes[1:] |= other.ravel()[1:] != other.ravel()[:-1]
    starts = np.flatnonzero(changes)
    return Runs(starts, np.diff(starts, append=first.size))


def count_runs(
    runs: Runs, truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], last: int = 255
) -> npt.NDArray[np.int64]:
    """`count_pairs` where the runs of both maps are known."""
    codes = np.minimum(prediction.ravel()[runs.starts], last).astype(np.intp) << 8 | truth.ravel()[runs.starts]
    # float64 weights are exact up to 2^53 pixels
    joint = np.bincount(codes, weights=runs.lengths, minlength=(last + 1) << 8).astype(np.int64)
    return joint.reshape(last + 1, 256).T.copy()


def counts(confusion: npt.NDArray[np.int64]) -> Counts:
    """Per-class counts of a `(K, K + 1)` matrix; a miss is a false negative of its truth, nobody's false positive."""
    tp = np.diagonal(confusion).copy()  # not a view, which would keep the matrix of every image alive
    return Counts(tp, confusion[:, :-1].sum(axis=0) - tp, confusion.sum(axis=1) - tp)


def _is_noise(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]) -> bool:
    """Whether so many of a sample of neighbours differ that runs are not worth finding."""
    changes = truth[1::_SAMPLE_STRIDE] != truth[:-1:_SAMPLE_STRIDE]
    changes |= prediction[1::_SAMPLE_STRIDE] != prediction[:-1:_SAMPLE_STRIDE]
    return bool(np.count_nonzero(changes) > changes.size * _MAX_RUN_SHARE)


def _count_pixels(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], last: int) -> npt.NDArray[np.int64]:
    """`count_pairs` pixel by pixel, by the codes `prediction * 256 + truth`."""
    if prediction.max(initial=0) > last:
        prediction = np.minimum(prediction, np.uint8(last))
    joint = np.zeros((last + 1) << 8, np.int64)
    pairs = np.zeros((_CHUNK, 8), np.uint8)  # the two low bytes of a code; read as int64 they need no arithmetic
    codes = pairs.view("<i8")[:, 0]
    for start in range(0, truth.size, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        size = truth[chunk].size
        pairs[:size, 0] = truth[chunk]
        pairs[:size, 1] = prediction[chunk]
        joint += np.bincount(codes[:size], minlength=joint.size)
    return joint.reshape(last + 1, 256).T.copy()
