"""The table of metrics: every number that can be read off a record, with its unit and where better is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.record import Accuracy, InstanceCounts, Latency, Record
from zoo.score.accuracy import (
    Confusion,
    category_iou,
    confusion_of,
    instance_iou,
    mean_class_accuracy,
    mean_of,
    miou,
    pixel_accuracy,
)

Better = Literal["higher", "lower"]

LEAST_SHARE = 0.01
"""Smallest relative difference that matters of what is timed or counted: as much lies between two runs of one cell."""


@dataclass(frozen=True)
class Metric:
    """One number that can be read off a record: what it is called, where better is, and how a human reads it."""

    key: str
    """Column of `Row`, in SI units."""
    title: str
    unit: str
    """Unit of `show`'s text."""
    better: Better | None
    of: Callable[[Record], float | None]
    scale: float = 1.0
    """Units of `show` per SI unit."""
    decimals: int | None = None
    """Digits after the point; `None`: three significant digits."""
    least: float | None = None
    """Smallest difference that matters, in SI units; `None`: `LEAST_SHARE` of the larger value."""
    exact: bool = False
    """Whether a second measurement finds the same: without an interval, what differs by more than matters is apart."""

    def show(self, value: float | None) -> str:
        """Return the number for a human, without its unit: `"12.3"`, or `"n/a"`."""
        if value is None or not math.isfinite(value):
            return "n/a"
        scaled = value * self.scale
        if self.decimals is not None:
            return f"{round(scaled, self.decimals) + 0.0:.{self.decimals}f}"  # + 0.0: never "-0.0"
        digits = 2 - math.floor(math.log10(abs(scaled))) if scaled else 2
        return f"{scaled:.{min(max(digits, 0), 6)}f}"

    def say(self, value: float | None) -> str:
        """Return the number with its unit: `"12.3 ms"`."""
        text = self.show(value)
        return text if text == "n/a" else f"{text} {self.unit}".rstrip()

    def beats(self, value: float, other: float) -> bool:
        """Whether `value` is strictly better than `other`."""
        return value > other if self.better == "higher" else value < other

    def alike(self, value: float, other: float) -> bool:
        """Whether two values differ by less than matters."""
        least = LEAST_SHARE * max(abs(value), abs(other)) if self.least is None else self.least
        return value == other or abs(value - other) < least

    @property
    def said_least(self) -> str:
        """The smallest difference that matters, in words: `"0.1 points"`, `"1 %"`."""
        return f"{LEAST_SHARE:.0%}".replace("%", " %") if self.least is None else f"{self.least * self.scale:g} points"


def _network(read: Callable[[Latency], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if record.speed is None or record.speed.network is None else read(record.speed.network)


def _pipeline(read: Callable[[Latency], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if record.speed is None or record.speed.pipeline is None else read(record.speed.pipeline)


def _most_images_per_s(record: Record) -> float | None:
    """Throughput is a scenario of its own (zoo-lat/2, rule 8), never 1 / latency."""
    return (
        None
        if record.throughput is None
        else max((rate.images_per_s for rate in record.throughput.rates), default=None)
    )


def _counted(read: Callable[[Confusion], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if (confusion := confusion_of(record)) is None else read(confusion)


def _categories(record: Record) -> float | None:
    confusion = confusion_of(record)
    if confusion is None or record.accuracy is None or not record.accuracy.class_categories:
        return None
    return mean_of(category_iou(confusion, record.accuracy.class_categories))


def _instances(
    read: Callable[[Accuracy], Mapping[str, InstanceCounts] | None],
) -> Callable[[Record], float | None]:
    return lambda record: (
        None if record.accuracy is None or (counts := read(record.accuracy)) is None else mean_of(instance_iou(counts))
    )


_PERCENT: dict[str, Any] = {"unit": "%", "scale": 100.0, "decimals": 1, "least": 1e-3}
_MS: dict[str, Any] = {"unit": "ms", "scale": 1e3}
_MIB: dict[str, Any] = {"unit": "MiB", "scale": 2.0**-20, "exact": True}

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("miou", "mIoU", better="higher", of=_counted(miou), **_PERCENT),
        Metric("pixel_accuracy", "pixel accuracy", better="higher", of=_counted(pixel_accuracy), **_PERCENT),
        Metric("mean_class_accuracy", "class accuracy", better="higher", of=_counted(mean_class_accuracy), **_PERCENT),
        Metric("category_miou", "category IoU", better="higher", of=_categories, **_PERCENT),
        Metric("iiou", "iIoU", better="higher", of=_instances(lambda x: x.class_instances), **_PERCENT),
        Metric(
            "category_iiou",
            "category iIoU",
            better="higher",
            of=_instances(lambda x: x.category_instances),
            **_PERCENT,
        ),
        # Known only beside another record: `rows_of` fills it.
        Metric("miou_lost", "mIoU lost", better="lower", of=lambda _: None, **_PERCENT | {"unit": "points"}),
        Metric("latency_p50_s", "network p50", better="lower", of=_network(lambda x: x.p50_s), **_MS),
        Metric("latency_p90_s", "network p90", better="lower", of=_network(lambda x: x.p90_s), **_MS),
        Metric("latency_p99_s", "network p99", better="lower", of=_network(lambda x: x.p99_s), **_MS),
        Metric("pipeline_p50_s", "pipeline p50", better="lower", of=_pipeline(lambda x: x.p50_s), **_MS),
        Metric("pipeline_p90_s", "pipeline p90", better="lower", of=_pipeline(lambda x: x.p90_s), **_MS),
        Metric("pipeline_p99_s", "pipeline p99", better="lower", of=_pipeline(lambda x: x.p99_s), **_MS),
        Metric("latency_p999_s", "network p99.9", better="lower", of=_network(lambda x: x.p999_s), **_MS),
        Metric("pipeline_p999_s", "pipeline p99.9", better="lower", of=_pipeline(lambda x: x.p999_s), **_MS),
        Metric("throughput_per_s", "throughput", unit="images/s", better="higher", of=_most_images_per_s),
        Metric(
            "largest_batch",
            "largest batch",
            unit="images",
            better="higher",
            of=lambda record: None if record.throughput is None else record.throughput.largest_batch,
            decimals=0,
        ),
        Metric(
            "energy_per_image_j",
            "energy per image",
            unit="J",
            better="lower",
            of=lambda record: (
                None if record.speed is None or record.speed.energy is None else record.speed.energy.per_image_j
            ),
        ),
        Metric("file_bytes", "file", better="lower", of=lambda record: record.artifact.file_bytes, **_MIB),
        Metric(
            "peak_memory_bytes",
            "peak memory",
            better="lower",
            of=lambda record: None if record.memory is None else record.memory.peak_bytes,
            **_MIB,
        ),
        Metric(
            "param_count",
            "parameters",
            unit="M",
            better="lower",
            of=lambda record: None if record.cost is None else record.cost.param_count,
            scale=1e-6,
            exact=True,
        ),
        Metric(
            "mac_count",
            "MACs",
            unit="G",
            better="lower",
            of=lambda record: None if record.cost is None else record.cost.mac_count,
            scale=1e-9,
            exact=True,
        ),
        Metric(
            "equal_label_share",
            "labels equal to fp32",
            better="higher",
            of=lambda record: None if record.agreement is None else record.agreement.equal_label_share,
            **_PERCENT | {"decimals": 2, "least": 1e-4},
        ),
    )
}
