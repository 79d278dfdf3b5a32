"""From counts to claims: every number a table, a plot or a choice shows is a function here, written once.

Accuracy follows `zoo-miou/1`: functions of one confusion matrix `(K, K + 1)`, row = truth, column = prediction, last
column = a prediction of no class, which is a miss.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from zoo.errors import UserError, did_you_mean
from zoo.record import ACCURACY_PROTOCOL, Build, Latency, Record, StageName
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
STAGES: tuple[StageName, ...] = get_args(StageName)
"""Of the pipeline, in order; `Row` has a column of seconds for each."""
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
    """Return IoU per category, confusions inside a category forgiven, as the official evaluation has it.

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


def _ratio(part: Confusion, whole: Confusion) -> npt.NDArray[np.float64]:
    out = np.full(len(part), np.nan)
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
    return lambda record: None if record.speed is None else read(record.speed.pipeline)


def _most_images_per_s(record: Record) -> float | None:
    """Throughput is a scenario of its own (zoo-lat/1, rule 8), never 1 / latency."""
    return (
        None
        if record.throughput is None
        else max((rate.images_per_s for rate in record.throughput.rates), default=None)
    )


def _counted(read: Callable[[Confusion], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if (confusion := confusion_of(record)) is None else read(confusion)


_PERCENT: dict[str, Any] = {"unit": "%", "scale": 100.0, "decimals": 1}
_MS: dict[str, Any] = {"unit": "ms", "scale": 1e3}
_MIB: dict[str, Any] = {"unit": "MiB", "scale": 2.0**-20}

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("miou", "mIoU", better="higher", of=_counted(miou), **_PERCENT),
        Metric("pixel_accuracy", "pixel accuracy", better="higher", of=_counted(pixel_accuracy), **_PERCENT),
        Metric("mean_class_accuracy", "class accuracy", better="higher", of=_counted(mean_class_accuracy), **_PERCENT),
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
    scopes = (
        {"pipeline": speed.pipeline}
        if speed.network is None
        else {"network": speed.network, "pipeline": speed.pipeline}
    )
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
    """One record as a flat row: SI units, fractions, `None` where nothing was counted."""

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
    mean_class_accuracy: float | None
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
        """Return the 95 % interval of a metric that is a median, by its key in `METRICS`."""
        low, high = (getattr(self, f"{key.removesuffix('_s')}_{end}_s", None) for end in ("low", "high"))
        return None if low is None or high is None else (low, high)

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
    letter, reasons = grade(record)
    low, high = (None, None) if speed is None or speed.network is None else speed.network.p50_interval_s
    pipeline_low, pipeline_high = (None, None) if speed is None else speed.pipeline.p50_interval_s
    facts: dict[str, Any] = {
        "model": artifact.model,
        "device": record.device.slug,
        "runtime": artifact.runtime,
        "precision": artifact.precision,
        "batch_size": artifact.batch_size,
        "input_size": artifact.input_size,
        "output_size": artifact.output_size,
        "dataset": dataset.name if dataset else None,
        "recipe": artifact.weights.recipe,
        "grade": letter,
        "status": record.status,
        "protocol": record.protocol,
        "quick": record.quick,
        "baseline": record.is_baseline,
        "family": artifact.family,
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
        "recipe_hash": artifact.weights.recipe_hash,
        "step_count": artifact.weights.step_count,
        "weights_source": artifact.weights.source,
        "weights_sha256": artifact.weights.sha256,
        "miou_protocol": record.accuracy.protocol if record.accuracy else None,
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
    """Keep the newest row of each condition: a newer driver, torch or model code takes the older run's place."""
    newest: dict[tuple[object, ...], Row] = {}
    for candidate in rows:
        artifact = candidate.runtime, candidate.precision, candidate.memory_format, candidate.compile_mode
        condition = (*group_of(candidate), *family_of(candidate), *artifact)
        if condition not in newest or newest[condition].started_at < candidate.started_at:
            newest[condition] = candidate
    return list(newest.values())


def family_of(candidate: Row) -> tuple[object, ...]:
    """Return what the artifacts of one model share that differ in runtime and precision alone, within a group."""
    weights = candidate.recipe_hash or candidate.weights_sha256 or candidate.file_sha256
    return candidate.model, weights, candidate.input_size, candidate.machine_id


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
    origins = [f"#{one.machine_id[:4]}-{(one.weights_sha256 or 'none')[:4]}" for one in rows]
    times = [f"{one.started_at:%Y-%m-%d %H:%M:%S}" for one in rows]
    for marks in (layouts, modes, origins, times):
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
