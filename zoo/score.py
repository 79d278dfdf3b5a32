"""From counts to claims: every number a table, a plot or a choice shows is a function here, written once.

Accuracy follows `zoo-miou/1`: functions of one confusion matrix `(K, K + 1)`, row = truth, column = prediction, last
column = a prediction of no class, which is a miss.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from zoo.errors import UserError, did_you_mean
from zoo.record import (
    ACCURACY_PROTOCOL,
    Accuracy,
    Build,
    Dataset,
    InstanceCounts,
    Latency,
    Record,
    Resampled,
    StageName,
)
from zoo.spec import Size
from zoo.store import scan

Confusion = npt.NDArray[np.int64]
Better = Literal["higher", "lower"]
Grade = Literal["A", "B", "C"]

MAX_VARIATION_ACCELERATOR = 0.025
"""Grade A: largest coefficient of variation on an accelerator (zoo-lat/1, rule 10)."""
MAX_SPREAD_CPU = 0.05
"""Grade A: largest interquartile range over median on a CPU (zoo-lat/1, rule 10)."""
MAX_FOREIGN_CORES = 0.1
"""Grade A: cores that may be busy with other work on a CPU; what an idle desktop does by itself."""
MAX_GROWTH_BYTES = 4 * 2**20
"""Memory that may be held more after the last inference than after the second before it is called a leak."""
MAX_MIOU_LOSS = 0.01
"""Share of fp32's mIoU an artifact may lose before it is marked."""
RESAMPLES = 2000
"""Draws of a bootstrap."""
BOOTSTRAP_SEED = 0
MIN_SEQUENCES = 10
"""Fewer than these are too few to be drawn from: two of them give three different draws."""
STAGES: tuple[StageName, ...] = get_args(StageName)
"""Of the pipeline, in order; `Row` has a column of seconds for each."""
AVERAGED = (
    *("miou", "miou_low", "miou_high", "miou_lost", "pixel_accuracy", "mean_class_accuracy"),
    *("category_miou", "iiou", "category_iiou", "equal_label_share"),
)
"""Columns of `Row` that the weights decide: over several seeds a mean."""
NO_MODEL_YET = "no model is measured yet, only the baseline; measure some with `zoo bench --models all`"


# --- accuracy ---------------------------------------------------------------------------------------------------------


def class_iou(confusion: Confusion) -> npt.NDArray[np.float64]:
    """Return IoU per class `(K,)`: tp / (tp + fp + fn); NaN where a class is neither true nor predicted."""
    class_count = len(confusion)
    hit = np.diagonal(confusion)
    union = confusion.sum(axis=1) + confusion[:, :class_count].sum(axis=0) - hit
    return _ratio(hit, union)


def class_accuracy(confusion: Confusion) -> npt.NDArray[np.float64]:
    """Return recall per class `(K,)`; NaN where a class is never true."""
    return _ratio(np.diagonal(confusion), confusion.sum(axis=1))


def miou(confusion: Confusion) -> float | None:
    """Return mean IoU over the classes that are true or predicted anywhere; `None` for an empty matrix."""
    return _mean(class_iou(confusion))


def mean_class_accuracy(confusion: Confusion) -> float | None:
    """Return mean recall over the classes that are true anywhere; `None` for an empty matrix."""
    return _mean(class_accuracy(confusion))


def pixel_accuracy(confusion: Confusion) -> float | None:
    """Return the share of counted pixels that are labelled right; `None` for an empty matrix."""
    total = int(confusion.sum())
    return int(np.trace(confusion)) / total if total else None


def category_iou(confusion: Confusion, class_categories: Sequence[str]) -> dict[str, float | None]:
    """Return IoU per category by name, confusions inside a category forgiven, as the official evaluation has it.

    Args:
        confusion: `(K, K + 1)`.
        class_categories: Category of each class (`DatasetSpec.class_categories`).
    """
    class_count = len(confusion)
    assert len(class_categories) == class_count
    names = list(dict.fromkeys(class_categories))
    member = np.array([[category == name for category in class_categories] for name in names], dtype=np.int64)  # (G, K)
    merged = np.column_stack([member @ confusion[:, :class_count] @ member.T, member @ confusion[:, class_count]])
    return {name: _number(iou) for name, iou in zip(names, class_iou(merged), strict=True)}


def instance_iou(counts: Mapping[str, InstanceCounts]) -> dict[str, float | None]:
    """Return instance-weighted IoU (iIoU) by name: tp / (tp + fp + fn); `None` for neither true nor predicted."""
    return {
        name: count.true_positives / union if union else None
        for name, count in counts.items()
        for union in (count.true_positives + count.false_positives + count.false_negatives,)
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
        image_names: Of the images, in order; a sequence is a name without its last `_` part.
    """
    if len(image_names) < 2:
        return None
    units, resampled = _units(image_names)
    return _interval(_resampled_miou(counts, units), resampled)


def miou_gain_interval(
    first: npt.NDArray[np.integer], second: npt.NDArray[np.integer], image_names: Sequence[str]
) -> Interval | None:
    """Return the 95 % interval of the second mIoU minus the first, by paired bootstrap: each draw serves both.

    Args:
        first: As in `miou_interval`.
        second: Counts of the same images.
        image_names: Likewise.
    """
    if len(image_names) < 2:
        return None
    units, resampled = _units(image_names)
    return _interval(_resampled_miou(second, units) - _resampled_miou(first, units), resampled)


def _units(image_names: Sequence[str]) -> tuple[npt.NDArray[np.intp], Resampled]:
    """What is drawn: the unit `(images,)` each image belongs to."""
    sequences, units = np.unique([name.rpartition("_")[0] for name in image_names], return_inverse=True)
    if MIN_SEQUENCES <= len(sequences) < len(image_names):
        return units, "sequences"
    are_alike = len(sequences) < len(image_names) and sequences[0] != ""
    return np.arange(len(image_names)), "frames of few sequences" if are_alike else "images"


def _resampled_miou(counts: npt.NDArray[np.integer], units: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Score each draw, `(RESAMPLES,)`; equal `units` give equal draws. NaN for a draw without a counted pixel."""
    unit_count = int(units.max()) + 1
    sums = np.zeros((unit_count, 3, counts.shape[2]))  # float64 is exact up to 2^53 pixels
    np.add.at(sums, units, counts.swapaxes(0, 1))
    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(unit_count, size=(RESAMPLES, unit_count))
    drawn += unit_count * np.arange(RESAMPLES)[:, None]
    times = np.bincount(drawn.ravel(), minlength=RESAMPLES * unit_count).reshape(RESAMPLES, unit_count)
    tp, fp, fn = times.astype(np.float64) @ sums.swapaxes(0, 1)  # RESAMPLES, K each
    iou = _ratio(tp, tp + fp + fn)
    known = ~np.isnan(iou)
    return _ratio(np.where(known, iou, 0).sum(axis=1), known.sum(axis=1))


def _interval(values: npt.NDArray[np.float64], resampled: Resampled) -> Interval | None:
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high), resampled)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def confusion_of(record: Record) -> Confusion | None:
    """Return a record's confusion matrix, `np.int64 (K, K + 1)`."""
    return None if record.accuracy is None else np.array(record.accuracy.confusion, dtype=np.int64)


# --- the table of metrics ---------------------------------------------------------------------------------------------


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


def _network(read: Callable[[Latency], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if record.speed is None or record.speed.network is None else read(record.speed.network)


def _pipeline(read: Callable[[Latency], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if record.speed is None or record.speed.pipeline is None else read(record.speed.pipeline)


def _most_images_per_s(record: Record) -> float | None:
    """Throughput is a scenario of its own (zoo-lat/1, rule 8), never 1 / latency."""
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


_PERCENT: dict[str, Any] = {"unit": "%", "scale": 100.0, "decimals": 1}
_MS: dict[str, Any] = {"unit": "ms", "scale": 1e3}
_MIB: dict[str, Any] = {"unit": "MiB", "scale": 2.0**-20}

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
        Metric("miou_lost", "mIoU lost", better="lower", of=lambda _: None, unit="points", scale=100.0, decimals=1),
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
        ),
        Metric(
            "mac_count",
            "MACs",
            unit="G",
            better="lower",
            of=lambda record: None if record.cost is None else record.cost.mac_count,
            scale=1e-9,
        ),
        Metric(
            "equal_label_share",
            "labels equal to fp32",
            better="higher",
            of=lambda record: None if record.agreement is None else record.agreement.equal_label_share,
            unit="%",
            scale=100.0,
            decimals=2,
        ),
    )
}


# --- trust ------------------------------------------------------------------------------------------------------------


def grade(record: Record) -> tuple[Grade | None, tuple[str, ...]]:
    """Grade a timed record by zoo-lat/1, rule 10, from its less steady scope: A all well, B one thing wrong, C more.

    What a machine does not tell is not held against it.

    Returns:
        The grade (`None` for a record without latency) and what is wrong, in short words.
    """
    if record.speed is None:
        return None, ()
    speed, witness, reasons = record.speed, record.speed.witness, []
    limit = MAX_SPREAD_CPU if record.device.kind == "cpu" else MAX_VARIATION_ACCELERATOR
    timed = {"network": speed.network, "pipeline": speed.pipeline}
    scopes = {name: latency for name, latency in timed.items() if latency is not None}
    scope, spread = max(((name, _spread(latency, record)) for name, latency in scopes.items()), key=itemgetter(1))
    if spread > limit:
        reasons.append(f"{scope} spread {spread:.1%}")
    if witness.throttle_reasons:
        reasons.append(f"throttled ({', '.join(witness.throttle_reasons)})")
    foreign = []
    if witness.foreign_load is not None and witness.foreign_load > MAX_FOREIGN_CORES:
        foreign.append(f"other load {witness.foreign_load:.1f} cores")
    if witness.foreign_process_count:
        foreign.append(f"{witness.foreign_process_count} other processes")
    if foreign:
        reasons.append(" and ".join(foreign))
    if not all(latency.warmup_settled for latency in scopes.values()):
        reasons.append("warm-up unsettled")
    letters: tuple[Grade, ...] = ("A", "B", "C")
    return letters[min(len(reasons), 2)], tuple(reasons)


def _spread(latency: Latency, record: Record) -> float:
    """Interquartile range over median on a CPU, else standard deviation over mean; infinite over nothing."""
    on_cpu = record.device.kind == "cpu"
    part, whole = (latency.p75_s - latency.p25_s, latency.p50_s) if on_cpu else (latency.std_s, latency.mean_s)
    return part / whole if whole else math.inf


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One record as a flat row: SI units, fractions, `None` where nothing was counted.

    `latest` makes one row of records that differ in the seed alone: what is `AVERAGED` is their mean; all else, speed
    and memory with their grade, is that of the seed whose pipeline p50 is the median.
    """

    model: str
    device: str
    """The device's slug, such as `nvidia-h200`."""
    runtime: str
    precision: str
    batch_size: int
    input_size: Size
    output_size: Size
    dataset: str | None
    recipe: str
    param_count: int | None
    mac_count: int | None
    miou: float | None
    pixel_accuracy: float | None
    latency_p50_s: float | None
    latency_p90_s: float | None
    latency_p99_s: float | None
    pipeline_p50_s: float | None
    throughput_per_s: float | None
    peak_memory_bytes: int | None
    grade: Grade | None
    status: str
    protocol: str
    # beyond what every table shows
    quick: bool
    baseline: bool
    family: str
    code_sha256: str
    torch: str
    device_name: str
    machine_id: str
    memory_format: str
    compile_mode: str | None
    resize: str
    thread_count: int
    """What was measured; of a cell without latency: what was asked for."""
    split: str | None
    synthetic: bool
    dataset_fingerprint: str | None
    image_count: int | None
    image_limit: int | None
    """Images accuracy was asked to be counted on at most; `None`: all of the split."""
    recipe_hash: str | None
    step_count: int | None
    weights_source: str
    weights_sha256: str | None
    seed: int | None
    """Of the training; null for weights that were not trained here."""
    seed_count: int
    """Trainings behind the row: 1 for one set of weights, 0 for random ones."""
    shared_sequences: tuple[str, ...]
    """Of the split, that training sees too."""
    mean_class_accuracy: float | None
    category_miou: float | None
    iiou: float | None
    """Instance-weighted IoU; `None` where a frame has no instance map."""
    category_iiou: float | None
    miou_low: float | None
    miou_high: float | None
    miou_resampled: str | None
    """What the interval's bootstrap drew: `images` or `sequences`."""
    miou_spread: float | None
    """Sample standard deviation over the seeds; null for one."""
    miou_lost: float | None
    """mIoU of the same model, weights, sizes and images in eager fp32, minus this one; a gain is below 0."""
    miou_protocol: str | None
    latency_p50_low_s: float | None
    latency_p50_high_s: float | None
    pipeline_p50_low_s: float | None
    pipeline_p50_high_s: float | None
    pipeline_p90_s: float | None
    pipeline_p99_s: float | None
    latency_p999_s: float | None
    pipeline_p999_s: float | None
    equal_label_share: float | None
    largest_batch: int | None
    largest_batch_is_limit: bool | None
    """Twice as many did not fit in memory."""
    energy_per_image_j: float | None
    file_bytes: int | None
    file_sha256: str | None
    memory_growth_bytes: int | None
    export_s: float | None
    compile_s: float | None
    calibrate_s: float | None
    graph_break_count: int | None
    copy_in_s: float | None
    """The first stage of the pipeline's waterfall, a median; null where stages cannot be told apart."""
    preprocess_s: float | None
    network_s: float | None
    upsample_argmax_s: float | None
    copy_out_s: float | None
    uncounted_ops: tuple[str, ...]
    grade_reasons: tuple[str, ...]
    reason: str | None
    """Why the cell is not ok."""
    preset: str
    key: str
    started_at: datetime

    def value(self, key: str) -> float | None:
        """Return the number of a metric, by its key in `METRICS`."""
        number: float | None = getattr(self, key)
        return number

    def interval(self, key: str) -> tuple[float, float] | None:
        """Return the 95 % interval of a metric that has one (mIoU, medians), by its key in `METRICS`."""
        name, unit = (key.removesuffix("_s"), "_s") if key.endswith("_s") else (key, "")
        low, high = (getattr(self, f"{name}_{end}{unit}", None) for end in ("low", "high"))
        return None if low is None or high is None else (low, high)

    def span(self, key: str) -> tuple[float, float] | None:
        """Return what a metric might as well have been: its interval; of mIoU over seeds the mean ± their spread."""
        if key == "miou" and self.miou is not None and self.miou_spread is not None:
            return self.miou - self.miou_spread, self.miou + self.miou_spread
        return self.interval(key)

    def show(self, key: str) -> str:
        """Return a metric for a human; mIoU with its spread or interval: `"41.2 ± 0.8"`, `"41.2 [39.0, 43.1]"`."""
        metric = METRICS[key]
        text = metric.show(self.value(key))
        if key != "miou":
            return text
        if self.miou_spread is not None:
            return f"{text} ± {metric.show(self.miou_spread)}"
        interval = self.interval(key)
        return text if interval is None else f"{text} [{', '.join(map(metric.show, interval))}]"

    def say(self, key: str) -> str:
        """Return `show`'s text with its unit."""
        text = self.show(key)
        return text if text == "n/a" else f"{text} {METRICS[key].unit}".rstrip()

    @property
    def loses_miou(self) -> bool:
        """Whether more of fp32's mIoU is lost than may be."""
        if self.miou is None or self.miou_lost is None:
            return False
        return self.miou_lost > MAX_MIOU_LOSS * (self.miou + self.miou_lost)

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of the pipeline's stages, in order; empty where they cannot be told apart."""
        return {stage: seconds for stage in STAGES if (seconds := getattr(self, f"{stage}_s")) is not None}

    @property
    def is_reference(self) -> bool:
        """Whether the other artifacts of its weights are measured against this row: eager, in fp32."""
        return (self.runtime, self.precision) == ("eager", "fp32") and not self.baseline

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain columns, in order."""
        return {column: getattr(self, column) for column in COLUMNS}


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))


def row(record: Record) -> Row:
    """Return a record as a row; what takes other records to know is left open (`rows_of`)."""
    artifact, dataset, speed, build = record.artifact, record.dataset, record.speed, record.build or Build()
    weights, accuracy = artifact.weights, record.accuracy
    letter, reasons = grade(record)
    low, high = (None, None) if speed is None or speed.network is None else speed.network.p50_interval_s
    miou_low, miou_high = (accuracy and accuracy.miou_interval) or (None, None)
    pipeline_low, pipeline_high = (
        (None, None) if speed is None or speed.pipeline is None else speed.pipeline.p50_interval_s
    )
    facts: dict[str, Any] = {
        "model": artifact.model,
        "device": record.device.slug,
        "runtime": artifact.runtime,
        "precision": artifact.precision,
        "batch_size": artifact.batch_size,
        "input_size": artifact.input_size,
        "output_size": artifact.output_size,
        "dataset": dataset.name if dataset else None,
        "recipe": weights.recipe,
        "grade": letter,
        "status": record.status,
        "protocol": record.protocol,
        "quick": record.quick,
        "baseline": record.is_baseline,
        "family": artifact.family,
        "code_sha256": artifact.code_sha256,
        "torch": record.software.torch,
        "device_name": record.device.name,
        "machine_id": record.device.machine_id,
        "memory_format": artifact.memory_format,
        "compile_mode": record.config.get("compile_mode") if artifact.runtime == "compile" else None,
        "resize": artifact.resize,
        "thread_count": speed.state.thread_count if speed else record.config.get("threads") or record.device.core_count,
        "split": dataset.split if dataset else None,
        "synthetic": bool(dataset and dataset.synthetic),
        "dataset_fingerprint": dataset.fingerprint if dataset else None,
        "image_count": dataset.image_count if dataset else None,
        "image_limit": record.config.get("accuracy_images"),
        "recipe_hash": weights.recipe_hash,
        "step_count": weights.step_count,
        "weights_source": weights.source,
        "weights_sha256": weights.sha256,
        "seed": weights.seed,
        "seed_count": int(weights.source in {"checkpoint", "file"}),
        "shared_sequences": dataset.shared_sequences if dataset else (),
        "miou_protocol": accuracy.protocol if accuracy else None,
        "miou_low": miou_low,
        "miou_high": miou_high,
        "miou_resampled": accuracy.resampled if accuracy else None,
        "miou_spread": None,
        "latency_p50_low_s": low,
        "latency_p50_high_s": high,
        "pipeline_p50_low_s": pipeline_low,
        "pipeline_p50_high_s": pipeline_high,
        "largest_batch_is_limit": record.throughput.largest_is_limit if record.throughput else None,
        "file_sha256": artifact.file_sha256,
        "memory_growth_bytes": record.memory.growth_bytes if record.memory else None,
        "export_s": build.export_s,
        "compile_s": build.compile_s,
        "calibrate_s": build.calibrate_s,
        "graph_break_count": build.graph_break_count,
        **{f"{stage}_s": None for stage in STAGES},
        **{f"{stage.name}_s": stage.p50_s for stage in (speed.waterfall if speed else ())},
        "uncounted_ops": record.cost.uncounted_ops if record.cost else (),
        "grade_reasons": reasons,
        "reason": f"{record.failure.stage}: {record.failure.reason}" if record.failure else None,
        "preset": record.preset,
        "key": record.key,
        "started_at": record.started_at,
    }
    return Row(**facts | {key: metric.of(record) for key, metric in METRICS.items()})


def rows_of(records: Iterable[Record]) -> tuple[Row, ...]:
    """Return records as rows, each with the mIoU it lost against the newest eager fp32 row of the same weights."""
    rows = [row(record) for record in records]
    references: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for candidate in rows:
        if candidate.is_reference and candidate.miou is not None:
            references[_weights_and_images(candidate)].append(candidate)

    def with_loss(one: Row) -> Row:
        found = references[_weights_and_images(one)]
        if one.miou is None or one.baseline or not found:
            return one
        nearest = max(found, key=lambda other: (other.device == one.device, other.started_at))
        return replace(one, miou_lost=(nearest.miou or 0) - one.miou)

    return tuple(with_loss(candidate) for candidate in rows)


def _weights_and_images(one: Row) -> tuple[object, ...]:
    """All that mIoU depends on, apart from runtime and precision."""
    sizes = one.input_size, one.output_size, one.resize
    return one.model, one.weights_sha256, *sizes, *_images(group_of(one))


@dataclass(frozen=True)
class Rows:
    """The rows of a results folder, and what could not be read."""

    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def read_rows(results: Path, *, history: bool = False) -> Rows:
    """Read a results folder as rows.

    Raises:
        UserError: there is no readable record.
    """
    found = scan(results, history=history, required=True)
    return Rows(rows_of(found.records), found.warnings)


def select(
    rows: Iterable[Row],
    *,
    device: str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    input_size: Size | None = None,
    batch_size: int | None = None,
    thread_count: int | None = None,
    resize: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    models: Sequence[str] = (),
    preset: str | None = None,
    quick: bool | None = None,
) -> list[Row]:
    """Keep the rows that match; a dataset or recipe is also known by the first 6 or more digits of its hash.

    Several `models` may be named; a row matches any of them.

    Raises:
        UserError: a value that no row has; it names those that exist.
    """
    kept = list(rows)
    for field, hash_field, wanted in (
        ("device", None, device),
        ("dataset", "dataset_fingerprint", dataset),
        ("recipe", "recipe_hash", recipe),
        ("input_size", None, input_size),
        ("batch_size", None, batch_size),
        ("thread_count", None, thread_count),
        ("resize", None, resize),
        ("runtime", None, runtime),
        ("precision", None, precision),
        ("preset", None, preset),
        ("quick", None, quick),
    ):
        if wanted is None:
            continue
        # The baseline has no device, recipe or input size to speak of: it goes where its dataset goes.
        matching = [
            candidate
            for candidate in kept
            if getattr(candidate, field) == wanted
            or (candidate.baseline and field != "dataset")
            or (hash_field and len(str(wanted)) >= 6 and str(getattr(candidate, hash_field)).startswith(str(wanted)))
        ]
        if all(candidate.baseline for candidate in matching) and not all(candidate.baseline for candidate in kept):
            raise UserError(_no_record(field, text_of(wanted), kept))
        kept = matching
    for model in models:
        if all(candidate.model != model for candidate in kept):
            raise UserError(_no_record("model", model, kept))
    return [candidate for candidate in kept if candidate.model in models or candidate.baseline] if models else kept


def _no_record(field: str, wanted: str, rows: list[Row]) -> str:
    known = sorted({text_of(getattr(candidate, field)) for candidate in rows if not candidate.baseline})
    hint = did_you_mean(wanted, known)
    return f"no record with {field.replace('_', ' ')} {wanted!r}.{hint} There is: {', '.join(known)}"


# --- what may be compared ---------------------------------------------------------------------------------------------


class Group(NamedTuple):
    """What rows must share to be ranked together.

    Runtime, precision and input size are what is ranked: mIoU is counted at the ground truth's size whatever the input.
    """

    quick: bool
    device: str
    dataset: str | None
    split: str | None
    recipe: str
    output_size: Size
    batch_size: int
    resize: str
    thread_count: int
    image_count: int | None
    dataset_fingerprint: str | None
    recipe_hash: str | None
    protocol: str
    miou_protocol: str


def group_of(candidate: Row) -> Group:
    """Return the comparable group a row belongs to."""
    facts = {field: getattr(candidate, field) for field in Group._fields}
    return Group(**{**facts, "miou_protocol": candidate.miou_protocol or ACCURACY_PROTOCOL})


def differences(first: Group, *others: Group) -> dict[str, list[str]]:
    """Return the fields in which groups differ, each with its values."""
    found = {}
    for field in Group._fields:
        values = list(dict.fromkeys(text_of(getattr(group, field)) for group in (first, *others)))
        if len(values) > 1:
            found[field] = values
    return found


def latest(rows: Iterable[Row]) -> list[Row]:
    """Keep one row of each condition: the newest of each seed, as one (`Row`); a seed that failed stands alone."""
    conditions: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for (*condition, seed), one in _by_condition(rows).items():
        conditions[*condition, None if one.status == "ok" else seed].append(one)
    return [_over_seeds(members) for members in conditions.values()]


def newest(rows: Iterable[Row]) -> list[Row]:
    """Keep the newest row of each condition and seed: a newer driver, torch or model code takes the older's place."""
    return list(_by_condition(rows).values())


def _by_condition(rows: Iterable[Row]) -> dict[tuple[object, ...], Row]:
    """`newest` by all that a row was measured under, the seed of its weights last."""
    found: dict[tuple[object, ...], Row] = {}
    for candidate in rows:
        artifact = candidate.runtime, candidate.precision, candidate.memory_format, candidate.compile_mode
        seed = candidate.seed or 0  # cells that failed did not always know theirs
        condition = (*group_of(candidate), *family_of(candidate), *artifact, seed)
        if condition not in found or found[condition].started_at < candidate.started_at:
            found[condition] = candidate
    return found


def _over_seeds(rows: list[Row]) -> Row:
    """One row of those that differ in the seed alone; a newer torch or model code leaves the older ones behind."""
    last = max(rows, key=lambda one: one.started_at)
    rows = [one for one in rows if (one.code_sha256, one.torch) == (last.code_sha256, last.torch)]
    if len(rows) == 1:
        return last
    middle = sorted(rows, key=_pipeline_p50)[len(rows) // 2]
    columns = {key: [getattr(one, key) for one in rows] for key in AVERAGED}
    means: dict[str, Any] = {key: None if None in values else fmean(values) for key, values in columns.items()}
    spread = None if None in columns["miou"] else stdev(columns["miou"])
    return replace(middle, **means, miou_spread=spread, seed_count=len(rows))


def family_of(candidate: Row) -> tuple[object, ...]:
    """Return what the artifacts of one model share that differ in runtime and precision alone, within a group."""
    weights = candidate.recipe_hash or candidate.weights_sha256  # None: random ones, alike in every file
    return candidate.model, weights, candidate.input_size, candidate.machine_id


def tie(one: Row, other: Row, key: str) -> bool | None:
    """Return whether what two rows' metric might have been overlaps (`Row.span`); `None` where it is not known."""
    span, others = one.span(key), other.span(key)
    return None if span is None or others is None else span[0] <= others[1] and others[0] <= span[1]


def sharing(counted: Row | Dataset) -> str | None:
    """Say by name which sequences the counted images share with training; `None` where they share none."""
    names = counted.shared_sequences
    if not names:
        return None
    which = f"the sequence {names[0]}" if len(names) == 1 else f"{len(names)} sequences ({', '.join(names[:3])}"
    more = "" if len(names) == 1 else ", …)" if len(names) > 3 else ")"
    return f"{counted.split} shares {which}{more} with training: its mIoU is optimistic"


class Fastest(NamedTuple):
    """The fastest artifact of one family."""

    row: Row
    speedup: float | None
    """Its reference's pipeline p50 over its own; `None` without a reference."""
    checked: bool
    """Whether its mIoU was held against fp32's."""


def fastest_of_each(rows: Iterable[Row]) -> list[Fastest]:
    """Return the fastest row of each family, by pipeline p50, fastest first.

    A row that loses too much of fp32's mIoU is none of them, and where some row's loss is known only such rows are.
    """
    families: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for candidate in rows:
        if candidate.pipeline_p50_s is not None and not candidate.baseline:
            families[family_of(candidate)].append(candidate)
    found = []
    for family in families.values():
        checked = [one for one in family if one.miou_lost is not None]
        best = min((one for one in checked or family if not one.loses_miou), key=_pipeline_p50, default=None)
        if best is None:
            continue
        reference = min((one for one in family if one.is_reference), key=_pipeline_p50, default=None)
        speedup = _pipeline_p50(reference) / _pipeline_p50(best) if reference and best.pipeline_p50_s else None
        found.append(Fastest(best, speedup, bool(checked)))
    return sorted(found, key=lambda one: _pipeline_p50(one.row))


def _pipeline_p50(one: Row) -> float:
    return math.inf if one.pipeline_p50_s is None else one.pipeline_p50_s


def baseline_for(group: Group, rows: Iterable[Row]) -> Row | None:
    """Return the newest mean-label-map row that was counted on the same images as the group."""
    same_images = [
        candidate
        for candidate in rows
        if candidate.baseline and candidate.miou is not None and _images(group_of(candidate)) == _images(group)
    ]
    return max(same_images, key=lambda candidate: candidate.started_at, default=None)


def _images(group: Group) -> tuple[object, ...]:
    """All that a fixed map's mIoU depends on."""
    return group.dataset, group.split, group.image_count, group.dataset_fingerprint, group.miou_protocol


def pareto_front(rows: Iterable[Row], x: str = "pipeline_p50_s", y: str = "miou") -> list[Row]:
    """Return the rows that no other row beats: none is as good in both metrics and better in one. Ordered by `x`."""
    x_sign, y_sign = (1 if METRICS[key].better == "higher" else -1 for key in (x, y))
    points = [
        (x_sign * candidate_x, y_sign * candidate_y, candidate)
        for candidate in rows
        if (candidate_x := candidate.value(x)) is not None and (candidate_y := candidate.value(y)) is not None
    ]
    front: list[tuple[float, float, Row]] = []
    for point in sorted(points, key=lambda point: point[:2], reverse=True):
        if not front or point[1] > front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return [candidate for _, _, candidate in front]


def tell_apart(rows: Sequence[Row], fields: Sequence[str] = ("runtime", "precision", "input_size")) -> list[str]:
    """Name each row by its model and whichever of `fields` differ; those still alike by layout, origin and time."""
    varying = [field for field in fields if len({getattr(one, field) for one in rows}) > 1]
    names = [" ".join([one.model, *(text_of(getattr(one, field)) for field in varying)]) for one in rows]
    layouts = [one.memory_format for one in rows]
    modes = [one.compile_mode or "" for one in rows]
    seeds = [f"{one.seed_count} seeds" if one.seed_count > 1 else f"seed {one.seed or 0}" for one in rows]
    origins = [f"#{one.machine_id[:4]}-{(one.weights_sha256 or 'none')[:4]}" for one in rows]
    times = [f"{one.started_at:%Y-%m-%d %H:%M:%S}" for one in rows]
    for marks in (layouts, modes, seeds, origins, times):
        tied, same = Counter(names), Counter(zip(names, marks, strict=True))
        names = [
            f"{name} {mark}" if tied[name] > same[name, mark] else name for name, mark in zip(names, marks, strict=True)
        ]
    return names


def text_of(value: object) -> str:
    """Return a column's value as a person would type it: `512x1024`, `yes`, the first digits of a hash."""
    match value:
        case (int(height), int(width)):
            return f"{height}x{width}"
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str() if len(value) == 64:
            return value[:12]
        case _:
            return str(value)
