"""Two rows told apart: what a tie is, here for all verbs.

Whether two sets of weights differ in mIoU, or in IoU of a class, is told by a paired bootstrap over the same images
(`zoo-miou/1`) where the records have per-image counts beside them; all else by `comparing.tie`. A difference smaller
than matters is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from zoo.errors import UserError
from zoo.lazy import Lazy
from zoo.score.accuracy import COUNTS, Draws, class_intervals, miou_draws, miou_gain_interval
from zoo.score.comparing import tie
from zoo.score.metrics import CLASS_IOU, metric_of
from zoo.score.reading import Sources
from zoo.score.rows import Row
from zoo.store import samples

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from zoo.record import Resampled
    from zoo.score import summary
    from zoo.score.accuracy import Interval
else:
    np, summary = Lazy("numpy"), Lazy("zoo.score.summary")

PAIRED = "a paired bootstrap over the same images"
SPREAD = "the spread over seeds"
INTERVAL = "the 95 % interval"
QUANTILES = {
    f"{scope}_p{digits}_s": (name, q)
    for scope, name in (("pipeline", "pipeline_s"), ("latency", "network_s"))
    for digits, q in (("90", 0.9), ("99", 0.99), ("999", 0.999))
}
"""By key of the metric: which samples its interval is made from, and what is read off them."""
MISSED = "missed_share"
SPANNED = (*QUANTILES, MISSED)
"""Metrics whose intervals no record states, beside IoU of each class."""
_SCOPES = "pipeline_s", "network_s"
_Z = 1.96
"""Standard deviations that hold 95 %."""


@dataclass(frozen=True)
class PairedTest:
    """Two sets of weights told apart on the same images, by mIoU or IoU of a class: paired bootstrap (`zoo-miou/1`)."""

    verdict: Literal["better", "worse", "tie"]
    """What the second is; a tie where the interval holds 0, or the gain is smaller than matters."""
    gain: float
    """IoU of the second minus that of the first."""
    interval: tuple[float, float]
    """95 %, of the gain."""
    resampled: Resampled
    image_count: int

    @property
    def said(self) -> tuple[str, str, str]:
        """The gain and its interval in points, with as many digits as tell the interval from 0."""
        digits = 2
        if self.verdict != "tie":
            digits = max(digits, -math.floor(math.log10(100 * min(map(abs, self.interval)))))
        gain, low, high = (f"{100 * value:+.{digits}f}" for value in (self.gain, *self.interval))
        return gain, low, high


class Tie(NamedTuple):
    """Whether two rows are alike in a metric."""

    tie: bool | None
    """`None` where it is not known."""
    by: str
    """What tells: `PAIRED`, `SPREAD`, `INTERVAL`, or the smallest difference that matters."""


def _is_class(key: str) -> bool:
    return key.startswith(f"{CLASS_IOU}.")


def _is_iou(key: str) -> bool:
    return key == "miou" or _is_class(key)


def _is_sampled(key: str) -> bool:
    """Whether no record states the metric's interval."""
    return key in SPANNED or _is_class(key)


def _of(counts: npt.NDArray[np.int32], key: str, classes: Sequence[str]) -> npt.NDArray[np.int32]:
    """The counts that an IoU is made of: those of all classes, or of one, whose mean is its own."""
    return counts[:, :, [classes.index(key.partition(".")[2])]] if _is_class(key) else counts


def _are_apart(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether two intervals share nothing: then no paired test need be drawn, as it would find the same.

    A difference deviates by no more than both sides together, however they go along with each other.
    """
    return one is not None and other is not None and (one[1] < other[0] or other[1] < one[0])


def hull(intervals: Iterable[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Return what several intervals span together; `None` where one is not known, or there is none."""
    known = list(intervals)
    ends = [interval for interval in known if interval is not None]
    if not ends or len(ends) < len(known):
        return None
    return min(low for low, _ in ends), max(high for _, high in ends)


def _of_share(row: Row) -> tuple[float, float] | None:
    """Wilson's interval of missed deadlines (https://doi.org/10.1080/01621459.1927.10502953): 0 of 100 may be 4 %."""
    share, count = row.value(MISSED), row.value("frame_count")
    if share is None or not count:
        return None
    middle, spread = share + _Z**2 / (2 * count), _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    whole = 1 + _Z**2 / count
    return max((middle - spread) / whole, 0.0), (middle + spread) / whole


@dataclass(frozen=True)
class Pairs:
    """Rows held against each other; the counts beside their records are read once."""

    sources: Sources = field(default_factory=dict, repr=False)
    _counts: dict[Path, tuple[list[str], npt.NDArray[np.int32]]] = field(default_factory=dict, repr=False)
    _seconds: dict[tuple[Path, str], npt.NDArray[np.float64]] = field(default_factory=dict, repr=False)
    _draws: dict[tuple[Path, str, tuple[str, ...]], Draws | None] = field(default_factory=dict, repr=False)
    """By file, metric and order of the images: of many pairs, each side is scored once."""
    _tests: dict[tuple[Path, Path, str], PairedTest] = field(default_factory=dict, repr=False)
    _classes: dict[Path, tuple[Interval | None, ...]] = field(default_factory=dict, repr=False)

    def tie(self, one: Row, other: Row, key: str) -> Tie:
        """Return whether two rows are alike in a metric, and what tells."""
        value, others_value, metric = one.value(key), other.value(key), metric_of(key)
        if value is None or others_value is None:
            return Tie(None, "")
        if metric.alike(value, others_value):
            return Tie(True, f"less than {metric.said_least} apart")
        if _is_iou(key) and not _are_apart(one.interval(key), other.interval(key)):
            try:
                return Tie(self.test(one, other, key).verdict == "tie", PAIRED)
            except UserError:
                pass  # then their intervals have to do
        if _is_sampled(key):
            span, others = (self.span(row, key) for row in (one, other))
            return Tie(None, "") if span is None or others is None else Tie(not _are_apart(span, others), INTERVAL)
        over_seeds = key == "miou" and (one.miou_spread is not None or other.miou_spread is not None)
        known = tie(one, other, key)
        return Tie(known, "" if known is None else SPREAD if over_seeds else INTERVAL)

    def test(self, one: Row, other: Row, key: str = "miou") -> PairedTest:
        """Tell two sets of weights apart by the per-image counts beside their records.

        Args:
            one: The first.
            other: The second.
            key: Of mIoU, or of IoU of a class.

        Raises:
            UserError: a record has none, they are of other images, or a row is a mean over seeds.
        """
        value, others_value = one.value(key), other.value(key)
        if value is None or others_value is None or max(one.seed_count, other.seed_count) > 1:
            raise UserError("a paired test takes the mIoU of one set of weights each")
        try:
            first, second = (self.sources[row.part(key).identity] for row in (one, other))
        except KeyError:
            raise UserError("their records are not at hand") from None
        files = first.file, second.file
        if (*files, key) not in self._tests:
            if list(one.class_iou) != list(other.class_iou):
                raise UserError("they were not counted on the same images and classes")
            (low, high, resampled), count = self._gain(files, key, list(one.class_iou))
            alike = low <= 0 <= high or metric_of(key).alike(value, others_value)
            verdict: Literal["better", "worse", "tie"] = "tie" if alike else "better" if low > 0 else "worse"
            self._tests[*files, key] = PairedTest(verdict, others_value - value, (low, high), resampled, count)
        return self._tests[*files, key]

    def _gain(self, files: tuple[Path, Path], key: str, classes: Sequence[str]) -> tuple[Interval, int]:
        """What the second may have more than the first, and of how many images."""
        (names, _), (other_names, _) = map(self._image_counts, files)
        if sorted(names) != sorted(other_names):
            raise UserError("they were not counted on the same images and classes")
        first, second = (self._drawn(file, key, names, classes) for file in files)
        interval = miou_gain_interval(first, second) if first and second else None
        if interval is None:
            raise UserError("there are too few images")
        return interval, len(names)

    def span(self, row: Row, key: str) -> tuple[float, float] | None:
        """Return what a metric might as well have been: as `Row.span` does, and of `SPANNED` their 95 % interval.

        That of a quantile, and of IoU of a class, is read off the samples; `None` where those are too few, or not at
        hand.
        """
        if not _is_sampled(key):
            return row.span(key)
        return hull(self._interval(part, key) for part in row.measured if part.value(key) == row.value(key))

    def _interval(self, row: Row, key: str) -> tuple[float, float] | None:
        if key == MISSED:
            return _of_share(row)
        if _is_class(key):
            return self.class_spans(row).get(key.partition(".")[2])
        name, q = QUANTILES[key]
        return summary.quantile_interval(self.seconds(row, name), q)

    def class_spans(self, row: Row) -> dict[str, tuple[float, float] | None]:
        """Return the 95 % interval of IoU by class name; none of a mean over seeds, nor where no counts are at hand."""
        source = self.sources.get(row.identity)
        if source is None or row.seed_count > 1:
            return {}
        if source.file not in self._classes:
            try:
                names, counts = self._image_counts(source.file)
            except UserError:
                self._classes[source.file] = ()
            else:
                self._classes[source.file] = class_intervals(counts, names)
        found = self._classes[source.file]
        return {name: one and (one.low, one.high) for name, one in zip(row.class_iou, found, strict=False)}

    def seconds(self, row: Row, name: str) -> npt.NDArray[np.float64]:
        """Return a row's samples of a scope, such as `pipeline_s`, in order; none where they are not at hand."""
        place = row.identity
        if place not in self.sources:
            return np.empty(0)
        file = self.sources[place].file
        if (file, name) not in self._seconds:
            try:
                arrays = samples(file, *_SCOPES)
            except UserError:  # a damaged sidecar: its record still stands
                arrays = {}
            for scope in _SCOPES:
                self._seconds[file, scope] = np.sort(arrays.get(scope, np.empty(0)))
        return self._seconds[file, name]

    def _drawn(self, file: Path, key: str, names: list[str], classes: Sequence[str]) -> Draws | None:
        """Draws of the images of a record in the order of `names`."""
        known = file, key, tuple(names)
        if known not in self._draws:
            own, counts = self._image_counts(file)
            place_of = {name: place for place, name in enumerate(own)}
            counts = _of(counts[:, [place_of[name] for name in names]], key, classes)
            self._draws[known] = miou_draws(counts, names)
        return self._draws[known]

    def _image_counts(self, file: Path) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Image names and their counts `(3, images, K)`: true positives, false positives, false negatives."""
        if file not in self._counts:
            arrays = samples(file, "image_names", *COUNTS)
            if "image_names" not in arrays:
                raise UserError(f"{file} has no per-image counts beside it")
            counts = np.stack([arrays[name] for name in COUNTS])
            self._counts[file] = arrays["image_names"].tolist(), counts
        return self._counts[file]
