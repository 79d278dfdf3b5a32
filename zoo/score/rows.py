"""A record as a flat row of numbers: what a table, a plot and a choice are made of."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, get_args

from zoo.record import Build, Record, StageName
from zoo.score.metrics import METRICS
from zoo.score.trust import Grade, grade
from zoo.spec import Size
from zoo.units import show_size

MAX_MIOU_LOSS = 0.01
"""Share of fp32's mIoU an artifact may lose before it is marked."""
STAGES: tuple[StageName, ...] = get_args(StageName)
"""Of the pipeline, in order; `Row` has a column of seconds for each."""


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
    split_count: int | None
    """Images of the whole split; of a part of Cityscapes, those that were published."""
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
    shared_sequences: tuple[str, ...] | None
    """Of the split, that training sees too; null where names do not tell."""
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
        "split_count": dataset.split_count if dataset else None,
        "image_limit": record.config.get("accuracy_images"),
        "recipe_hash": weights.recipe_hash,
        "step_count": weights.step_count,
        "weights_source": weights.source,
        "weights_sha256": weights.sha256,
        "seed": weights.seed,
        "seed_count": int(weights.source not in {"random", "none"}),
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
        "reason": f"{record.failure.step}: {record.failure.reason}" if record.failure else None,
        "preset": record.preset,
        "key": record.key,
        "started_at": record.started_at,
    }
    return Row(**facts | {key: metric.of(record) for key, metric in METRICS.items()})


def text_of(value: object) -> str:
    """Return a column's value as a person would type it: `512x1024`, `yes`, the first digits of a hash."""
    match value:
        case (int(height), int(width)):
            return show_size((height, width))
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str() if len(value) == 64:
            return value[:12]
        case _:
            return str(value)
