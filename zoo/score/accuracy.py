"""Accuracy follows `zoo-miou/1`: functions of one confusion matrix `(K, K + 1)`.

Row = truth, column = prediction, last column = a prediction of no class, which is a miss.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from zoo.frames import sequence_of
from zoo.lazy import Lazy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from zoo.record import InstanceCounts, Record, Resampled
else:
    np = Lazy("numpy")

Confusion: TypeAlias = "tuple[tuple[int, ...], ...] | npt.NDArray[np.int64]"
"""As a record keeps it, or as it was counted."""

COUNTS = ("true_positives", "false_positives", "false_negatives")
"""What is counted of each image and class, as a sidecar names it."""
RESAMPLES = 2000
"""Draws of a bootstrap."""
BOOTSTRAP_SEED = 0
DRAWN_AT_ONCE = 1 << 22
"""Units: 20,000 images drawn 2,000 times at once would be 1 GiB."""
_ENDS = 0.025, 0.975
"""Quantiles that an interval of 95 % ends at."""
MIN_SEQUENCES = 10
"""Fewer than these are too few to be drawn from: two of them give three different draws."""


class Sums(NamedTuple):
    """Pixels of each class, `(K,)`: all that scores are made of."""

    hit: list[int]
    """True and predicted."""
    true: list[int]
    predicted: list[int]


def sums(confusion: Confusion) -> Sums:
    """Return what rows and columns of a matrix add up to, in Python's integers: numpy is slower for so few."""
    matrix, found = _latest[0]
    if confusion is matrix:  # all metrics of one record after the other
        return found
    rows = confusion if isinstance(confusion, tuple) else confusion.tolist()
    found = Sums(
        [row[place] for place, row in enumerate(rows)],
        list(map(sum, rows)),
        list(map(sum, zip(*rows, strict=True)))[: len(rows)],
    )
    if isinstance(confusion, tuple):  # what can be changed is not remembered
        _latest[0] = confusion, found
    return found


_latest: list[tuple[Confusion, Sums]] = [((), Sums([], [], []))]
"""The matrix that was last summed, and its sums; one alone."""


def class_iou(confusion: Confusion) -> list[float | None]:
    """Return IoU per class `(K,)`: tp / (tp + fp + fn); `None` where a class is neither true nor predicted."""
    return [
        hit / union if (union := true + predicted - hit) else None
        for hit, true, predicted in zip(*sums(confusion), strict=True)
    ]


def class_accuracy(confusion: Confusion) -> list[float | None]:
    """Return recall per class `(K,)`; `None` where a class is never true."""
    found = sums(confusion)
    return [hit / true if true else None for hit, true in zip(found.hit, found.true, strict=True)]


def miou(confusion: Confusion) -> float | None:
    """Return mean IoU over the classes that are true or predicted anywhere; `None` for an empty matrix."""
    return _mean(class_iou(confusion))


def mean_class_accuracy(confusion: Confusion) -> float | None:
    """Return mean recall over the classes that are true anywhere; `None` for an empty matrix."""
    return _mean(class_accuracy(confusion))


def pixel_accuracy(confusion: Confusion) -> float | None:
    """Return the share of counted pixels that are labelled right; `None` for an empty matrix."""
    found = sums(confusion)
    return _share(sum(found.hit), sum(found.true))


def class_shares(confusion: Confusion) -> list[float]:
    """Return the share of the counted pixels that are of each class, `(K,)`."""
    true = sums(confusion).true
    total = max(sum(true), 1)
    return [count / total for count in true]


def category_iou(confusion: Confusion, class_categories: Sequence[str]) -> dict[str, float | None]:
    """Return IoU per category by name, confusions inside a category forgiven, as the official evaluation has it.

    Args:
        confusion: `(K, K + 1)`.
        class_categories: Category of each class (`DatasetSpec.class_categories`).
    """
    _, true, predicted = sums(confusion)
    members: dict[str, list[int]] = {}
    for place, name in zip(range(len(true)), class_categories, strict=True):
        members.setdefault(name, []).append(place)
    found = {}
    for name, places in members.items():
        hit = int(sum(sum(map(confusion[row].__getitem__, places)) for row in places))
        found[name] = _share(hit, sum(true[place] + predicted[place] for place in places) - hit)
    return found


def instance_iou(counts: Mapping[str, InstanceCounts]) -> dict[str, float | None]:
    """Return instance-weighted IoU (iIoU) by name: tp / (tp + fp + fn); `None` for neither true nor predicted."""
    return {
        name: _share(count.true_positives, count.true_positives + count.false_positives + count.false_negatives)
        for name, count in counts.items()
    }


def mean_of(by_name: Mapping[str, float | None]) -> float | None:
    """Return the mean of what is known; `None` where nothing is."""
    known = [value for value in by_name.values() if value is not None]
    return sum(known) / len(known) if known else None


class Interval(NamedTuple):
    """A 95 % interval by bootstrap, and what was resampled."""

    low: float
    high: float
    resampled: Resampled


def miou_interval(counts: npt.NDArray[np.integer], image_names: Sequence[str]) -> Interval | None:
    """Return the 95 % interval of mIoU, by percentile bootstrap over images; `None` for fewer than two.

    Frames of one sequence resemble each other, so whole sequences are drawn; where there are fewer than
    `MIN_SEQUENCES`, nothing but their frames can be, and the interval is too narrow.

    Args:
        counts: `(3, images, K)` true positives, false positives, false negatives (the sidecar has them).
        image_names: Of the images, in order; a name that does not tell its sequence (`sequence_of`) counts alone.
    """
    draws = miou_draws(counts, image_names)
    return None if draws is None else _interval(*draws)


def class_intervals(counts: npt.NDArray[np.integer], image_names: Sequence[str]) -> tuple[Interval | None, ...]:
    """Return the 95 % interval of each class's IoU, drawn as by `miou_interval`; empty for fewer than two images.

    `None` for a class that no draw shows.
    """
    if len(image_names) < 2:
        return ()
    units, resampled = _units(image_names)
    iou = _resampled_iou(counts, units)
    lows, highs = np.quantile(iou, _ENDS, axis=0).tolist()  # NaN where some draw does not show the class
    return tuple(
        Interval(low, high, resampled) if not math.isnan(low) else _interval(draws, resampled)
        for low, high, draws in zip(lows, highs, iou.T, strict=True)
    )


class Draws(NamedTuple):
    """One set of weights scored on every draw of a bootstrap."""

    scores: npt.NDArray[np.float64]
    """mIoU of each draw, `(RESAMPLES,)`, NaN for one without a counted pixel; of the same images in the same order all
    weights are given the same draws."""
    resampled: Resampled


def miou_draws(counts: npt.NDArray[np.integer], image_names: Sequence[str]) -> Draws | None:
    """Return mIoU on every draw of the images, as `miou_interval` draws them; `None` for fewer than two."""
    if len(image_names) < 2:
        return None
    units, resampled = _units(image_names)
    iou = _resampled_iou(counts, units)
    known = ~np.isnan(iou)
    return Draws(_ratio(np.where(known, iou, 0).sum(axis=1), known.sum(axis=1)), resampled)


def miou_gain_interval(first: Draws, second: Draws) -> Interval | None:
    """Return the 95 % interval of the second mIoU minus the first, by paired bootstrap: each draw serves both.

    Args:
        first: Of some images, by `miou_draws`.
        second: Of the same images in the same order.
    """
    return _interval(second.scores - first.scores, first.resampled)


def _units(image_names: Sequence[str]) -> tuple[npt.NDArray[np.intp], Resampled]:
    """What is drawn: the unit `(images,)` each image belongs to."""
    sequences, units = np.unique([sequence_of(name) or name for name in image_names], return_inverse=True)
    if MIN_SEQUENCES <= len(sequences) < len(image_names):
        return units, "sequences"
    return np.arange(len(image_names)), "frames of few sequences" if len(sequences) < len(image_names) else "images"


def _resampled_iou(counts: npt.NDArray[np.integer], units: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Score each draw, `(RESAMPLES, K)`; equal `units` give equal draws. NaN for a class that a draw does not show."""
    unit_count = int(units.max()) + 1
    sums = np.zeros((unit_count, 3, counts.shape[2]))  # float64 is exact up to 2^53 pixels
    np.add.at(sums, units, counts.swapaxes(0, 1))
    times, block = _draws(unit_count), max(1, DRAWN_AT_ONCE // unit_count)
    parts = (times[start : start + block].astype(np.float64) for start in range(0, RESAMPLES, block))
    tp, fp, fn = np.concatenate([part @ sums.swapaxes(0, 1) for part in parts], axis=1)  # RESAMPLES, K each
    return _ratio(tp, tp + fp + fn)


@functools.lru_cache(maxsize=1)  # one model against many draws the same
def _draws(unit_count: int) -> npt.NDArray[np.uint16]:
    """How often each draw has each unit, `(RESAMPLES, unit_count)`."""
    dice = np.random.default_rng(BOOTSTRAP_SEED)
    times = np.empty((RESAMPLES, unit_count), np.uint16)
    block = max(1, DRAWN_AT_ONCE // unit_count)
    for start in range(0, RESAMPLES, block):
        count = min(block, RESAMPLES - start)
        drawn = dice.integers(unit_count, size=(count, unit_count)) + unit_count * np.arange(count)[:, None]
        times[start : start + count] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return times


def _interval(values: npt.NDArray[np.float64], resampled: Resampled) -> Interval | None:
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    low, high = np.quantile(values, _ENDS)
    return Interval(float(low), float(high), resampled)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _sum(known) / len(known) if known else None


def _sum(values: list[float]) -> float:
    """What `np.sum` returns, bit for bit, since added in its order: reading records takes no import of numpy."""
    if len(values) > 128:
        half = len(values) // 16 * 8
        return _sum(values[:half]) + _sum(values[half:])
    found, whole = 0.0, len(values) // 8 * 8
    if whole:
        lanes = values[:8]
        for start in range(8, whole, 8):
            lanes = list(map(add, lanes, values[start : start + 8]))
        a, b, c, d, e, f, g, h = lanes
        found = ((a + b) + (c + d)) + ((e + f) + (g + h))
    return functools.reduce(add, values[whole:], found)


def confusion_of(record: Record) -> Confusion | None:
    """Return a record's confusion matrix, `(K, K + 1)`."""
    return None if record.accuracy is None else record.accuracy.confusion
