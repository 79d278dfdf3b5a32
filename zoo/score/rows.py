"""A record as a flat row of numbers: what a table, a plot and a choice are made of."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from zoo.errors import counted, listed
from zoo.frames import CITYSCAPES_NAME, OFFICIAL_SIZES
from zoo.lazy import Lazy
from zoo.published.claims import Quote
from zoo.score.accuracy import class_iou, class_shares, confusion_of
from zoo.score.int8 import int8_of, int8_text, needs_saying
from zoo.score.licences import LICENCE_COLUMNS, Licences, licences_of
from zoo.score.metrics import CLASS_IOU, CLASS_LOSS, COST, GRADE, METRICS, STAGES, metric_of
from zoo.score.parts import Reader
from zoo.score.trust import Doubt, Grade, grade
from zoo.units import show_size

if TYPE_CHECKING:
    from zoo.published import figures
    from zoo.record import Record, Software
    from zoo.spec import Size
else:  # rows that were kept need neither
    figures = Lazy("zoo.published.figures")

MAX_MIOU_LOSS = 0.01
"""Share of fp32's mIoU an artifact may lose before it is marked."""
MAX_CLASS_LOSS = 0.02
"""IoU a class may lose against fp32 before the artifact is marked."""
MIOU_TOLERANCE = 0.003
"""Of published weights, counted in the protocol they were published with."""
LEAST_CLASS_SHARE = 0.005
"""Share of the pixels below which a class is too rare for its loss to be held against an artifact."""
WHOLE = "whole"
"""`Row.mode` of frames that were read whole."""


Identity: TypeAlias = "tuple[str, datetime, bytes]"
"""Of a record: its key, when it began, the hash of its file."""


class Row(NamedTuple):
    """One record as a row: the conditions it was measured under, and its numbers by metric.

    `latest` makes one row of records that differ in the seed alone: what the weights decide (`Metric.averaged`) is
    their mean; all else, speed and memory with their grade, is that of the seed whose pipeline p50 is the median.
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
    grade: Grade | None
    status: str
    protocol: str
    quick: bool
    baseline: bool
    family: str
    code_sha256: str
    torch: str
    software: tuple[tuple[str, str], ...]
    """Names and versions, as in `record.Software`."""
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
    weights: str
    """As a table shows them: `run camvid_cpu`, `published zh320`, `random`; of a cell without numbers what was planned;
    empty for the baseline."""
    weights_source: str
    weights_sha256: str | None
    seed: int | None
    """Of the training; null for weights that were not trained here."""
    seed_count: int
    """Trainings behind the row: 1 for one set of weights, 0 for random ones."""
    shared_sequences: tuple[str, ...] | None
    """Of the split, that training sees too; null where names do not tell."""
    mode: str
    """How a network reads a frame when accuracy is counted (`Mode.text`)."""
    miou_resampled: str | None
    """What the interval's bootstrap drew: `images` or `sequences`."""
    miou_spread: float | None
    """Sample standard deviation over the seeds; null for one."""
    miou_protocol: str | None
    largest_batch_is_limit: bool | None
    """Twice as many did not fit in memory."""
    file_sha256: str | None
    uncounted_ops: tuple[str, ...]
    doubts: tuple[Doubt, ...]
    """Why the grade is not A, and what to do about it."""
    reason: str | None
    """Why the cell is not ok."""
    preset: str
    key: str
    started_at: datetime
    numbers: Mapping[str, float | None]
    """By key of `METRICS`, all of them: SI units, fractions; `None` where nothing was counted. Of those, `miou_lost` is
    mIoU of the same model, weights, sizes and images in eager fp32, minus this one: a gain is below 0. Beside them
    `cost`, where a price was named."""
    intervals: Mapping[str, tuple[float, float] | None]
    """95 %, by key of the metrics that have one (mIoU, medians)."""
    class_iou: Mapping[str, float | None]
    """By class name; `None` for a class that is neither true nor predicted. Empty where nothing was counted."""
    class_share: Mapping[str, float]
    """Share of the counted pixels that are of a class, by its name."""
    class_lost: Mapping[str, float | None]
    """As `miou_lost`, of each class; empty where mIoU was not held against fp32."""
    licences: Licences
    """Of code, weights and training data."""
    published: Quote | None
    """The mIoU on Cityscapes val that others state: of these weights where they are published ones, else of others of
    this model. Not measured here, and nothing is ranked by it."""
    rate_hz: float | None
    """Of paced calls (`zoo-paced/1`), frames that come due a second; null for calls one after the other."""
    int8: str | None = None
    """How int8 was made and what it loses, in words (`int8_text`); null where it is not known."""
    int8_note: bool = False
    """Whether that is to be said of the row: a remedy was needed, or none held."""
    accepted: bool = False
    """Whether `miou` is the published one, in place of none: somebody asked for it (`accepting_published`)."""
    file_hash: bytes = b""
    """SHA-256 of the record's file; empty for one that was read of none."""
    parts: tuple[Row, ...] = ()
    """Of one artifact on several devices its rows there: each number here is that of the one where it is worst."""

    def __hash__(self) -> int:
        return hash((self.key, self.started_at))

    @property
    def identity(self) -> Identity:
        """What tells its record from every other: of two that claim to be one run, one was edited."""
        return self.key, self.started_at, self.file_hash

    def value(self, key: str) -> float | None:
        """Return the number of a metric, by its key (`metric_of`)."""
        if key in self.numbers:
            return self.numbers[key]
        kind, _, name = key.partition(".")
        if key == GRADE.key:
            return None if self.grade is None else GRADE.words.index(self.grade)
        if key == COST.key:  # nobody named a price
            return None
        if kind == CLASS_IOU:
            return self.class_iou.get(name)
        assert kind == CLASS_LOSS, key
        if name:
            return self.class_lost.get(name)
        return self.worst_class[1] if self.worst_class else None

    @property
    def measured(self) -> tuple[Row, ...]:
        """The rows it was made of: its `parts`, or itself."""
        return self.parts or (self,)

    def part(self, key: str) -> Row:
        """Return of `measured` the row that a number is of."""
        return next((part for part in self.parts if part.value(key) == self.value(key)), self)

    def interval(self, key: str) -> tuple[float, float] | None:
        """Return the 95 % interval of a metric that has one, by its key in `METRICS`."""
        return self.intervals.get(key)

    def having(self, **numbers: float | None) -> Row:
        """Return the row with other numbers, by their keys in `METRICS`."""
        assert numbers.keys() <= METRICS.keys()
        return self._replace(numbers={**self.numbers, **numbers})

    @property
    def worst_class(self) -> tuple[str, float] | None:
        """The common class that loses most against fp32, and its IoU lost; `None` where that is not known."""
        return max(self._common_losses(), key=itemgetter(1), default=None)

    @property
    def hurt_classes(self) -> dict[str, float]:
        """IoU lost by name of the common classes that lose more than may be, the worst first."""
        if not self.class_lost or max(filter(None, self.class_lost.values()), default=0.0) <= MAX_CLASS_LOSS:
            return {}  # of most rows
        hurt = (one for one in self._common_losses() if one[1] > MAX_CLASS_LOSS)
        return dict(sorted(hurt, key=itemgetter(1), reverse=True))

    def _common_losses(self) -> list[tuple[str, float]]:
        share = self.class_share.get  # no call for each class of each row
        lost = self.class_lost.items()
        return [(name, loss) for name, loss in lost if loss is not None and share(name, 0.0) >= LEAST_CLASS_SHARE]

    @property
    def hurt_text(self) -> str:
        """Those, as words: `"loses points of IoU against fp32 on pole (3.1), sign (2.4)"`; else empty."""
        points = [metric_of(CLASS_LOSS).show(lost) for lost in self.hurt_classes.values()]
        said = [f"{name} ({lost})" for name, lost in zip(self.hurt_classes, points, strict=True)]
        return f"loses points of IoU against fp32 on {listed(said)}" if said else ""

    @property
    def miou(self) -> float | None:
        """A fraction."""
        return self.numbers["miou"]

    @property
    def miou_lost(self) -> float | None:
        """Against fp32."""
        return self.numbers["miou_lost"]

    @property
    def pipeline_p50_s(self) -> float | None:
        """The latency a user waits for."""
        return self.numbers["pipeline_p50_s"]

    def span(self, key: str) -> tuple[float, float] | None:
        """Return what a metric might as well have been: its interval; of mIoU over seeds the mean ± their spread."""
        if key == "miou" and self.miou is not None and self.miou_spread is not None:
            return self.miou - self.miou_spread, self.miou + self.miou_spread
        return self.interval(key)

    def show(self, key: str) -> str:
        """Return a metric for a human; mIoU with its spread or interval: `"41.2 ± 0.8"`, `"41.2 [39.0, 43.1]"`."""
        metric = metric_of(key)
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
        return text if text == "n/a" else f"{text} {metric_of(key).unit}".rstrip()

    @property
    def loses_miou(self) -> bool:
        """Whether more of fp32's mIoU is lost than may be."""
        if self.miou is None or self.miou_lost is None:
            return False
        return self.miou_lost > MAX_MIOU_LOSS * (self.miou + self.miou_lost)

    @property
    def loses_accuracy(self) -> bool:
        """Whether more of fp32's mIoU is lost than may be, or of a class's IoU."""
        return self.loses_miou or bool(self.hurt_classes)

    @property
    def published_difference(self) -> float | None:
        """This mIoU minus the published one; `None` where they are of other images, as on CamVid."""
        if self.published is None or self.miou is None or self.synthetic:
            return None
        if (self.dataset, self.split) != (CITYSCAPES_NAME, "val"):
            return None
        return self.miou - self.published.claim.miou

    @property
    def published_why(self) -> tuple[str, ...]:
        """What is known to part this mIoU from the published one; empty for the same weights in the same protocol."""
        if self.published is None or self.published_difference is None:
            return ()
        claim, fed = self.published.claim, self.published.input_size
        slides, window = claim.word == "slide", self.mode.startswith(f"window {claim.size} ")
        why = []
        if self.weights != self.published.weights:
            steps = f" for {counted(self.step_count, 'step')}" if self.step_count is not None else ""
            why.append(f"trained here{steps}" if self.weights_source == "run" else "other weights")
        if not (window if slides else self.mode == WHOLE):
            why.append(f"read {self.mode} here, {claim.protocol} there")
        elif not slides and claim.protocol != WHOLE and not claim.protocol.startswith("image at"):
            why.append(f"published: {claim.protocol}")
        if fed is not None and self.input_size != fed:
            why.append(f"input {text_of(self.input_size)} here, {text_of(fed)} there")
        if self.precision not in {"fp32", "tf32"}:
            why.append(f"in {self.precision}")
        if self.image_count != OFFICIAL_SIZES["val"]:
            why.append(f"{self.image_count} of {OFFICIAL_SIZES['val']} images")
        return tuple(why)

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of the pipeline's stages, in order; empty where they cannot be told apart."""
        return {stage: seconds for stage in STAGES if (seconds := self.value(f"{stage}_s")) is not None}

    @property
    def is_reference(self) -> bool:
        """Whether the other artifacts of its weights are measured against this row: eager, in fp32."""
        return (self.runtime, self.precision) == ("eager", "fp32") and not self.baseline

    @property
    def pace(self) -> str:
        """How calls were paced, in words: `paced at 10 Hz`; empty for calls one after the other."""
        return "" if self.rate_hz is None else f"paced at {self.rate_hz:g} Hz"

    @property
    def grade_reasons(self) -> tuple[str, ...]:
        """Why the grade is not A, in short words."""
        return tuple(doubt.what for doubt in self.doubts)

    @property
    def grade_remedies(self) -> tuple[str, ...]:
        """What to do about each of `grade_reasons`."""
        return tuple(doubt.remedy for doubt in self.doubts)

    @property
    def is_foreign(self) -> bool:
        """Whether a file of another maker was measured: its weights are its own."""
        return self.weights_source == "file" and self.weights_sha256 == self.file_sha256

    @property
    def is_timed(self) -> bool:
        """Whether a clock ran; a row without may still have its accuracy."""
        return self.grade is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain columns, in order."""
        ends: dict[str, float | None] = {}
        for key in _WITH_INTERVAL:
            low, high = self.intervals[key] or (None, None)
            ends |= {_end(key, "low"): low, _end(key, "high"): high}
        flat = (
            {fact: getattr(self, fact) for fact in _FACTS}
            | ends
            | dict(self.numbers)
            | {name: getattr(self, name) for name in _OF_GRADE}
            | _beside(self)
            | self.licences.as_dict()
        )
        return {column: flat[column] for column in COLUMNS}


def _end(key: str, end: str) -> str:
    """Column of an interval's end: `miou_low`, `latency_p50_low_s`."""
    return f"{key.removesuffix('_s')}_{end}_s" if key.endswith("_s") else f"{key}_{end}"


def _beside(one: Row) -> dict[str, Any]:
    """What is published beside a row, as columns."""
    if one.published is None:
        return dict.fromkeys(_BESIDE) | {"published_why": ()}
    claim = one.published.claim
    stated = claim.miou, claim.protocol, one.published.weights, claim.source
    return dict(zip(_BESIDE, (*stated, one.published_difference, one.published_why), strict=True))


_NUMBERS = Reader({key: metric.of for key, metric in METRICS.items()})
_INTERVALS = Reader({key: metric.interval for key, metric in METRICS.items() if metric.interval is not None})
_NOT_FLAT = {
    *("software", "numbers", "intervals", "doubts", "licences", "published", "int8_note", "accepted"),
    *("file_hash", "parts"),
}
_OF_GRADE = "grade_reasons", "grade_remedies"
_FACTS = tuple(name for name in Row._fields if name not in _NOT_FLAT)
_BESIDE = tuple(f"published_{fact}" for fact in ("miou", "protocol", "weights", "source", "difference", "why"))
_WITH_INTERVAL = tuple(key for key, metric in METRICS.items() if metric.interval is not None)
_PROMISED = (
    *("model", "device", "runtime", "precision", "batch_size", "input_size", "output_size", "dataset", "recipe"),
    *("param_count", "mac_count", "miou", "pixel_accuracy", "latency_p50_s", "latency_p90_s", "latency_p99_s"),
    *("pipeline_p50_s", "throughput_per_s", "peak_memory_bytes", "grade", "status", "protocol", "quick", "baseline"),
    *("family", "code_sha256", "torch", "device_name", "machine_id", "memory_format", "compile_mode", "resize"),
    *("thread_count", "split", "synthetic", "dataset_fingerprint", "image_count", "split_count", "image_limit"),
    *("recipe_hash", "step_count", "weights_source", "weights_sha256", "seed", "seed_count", "shared_sequences"),
    *("mean_class_accuracy", "category_miou", "iiou", "category_iiou", "miou_low", "miou_high", "miou_resampled"),
    *("miou_spread", "miou_lost", "miou_protocol", "latency_p50_low_s", "latency_p50_high_s", "pipeline_p50_low_s"),
    *("pipeline_p50_high_s", "pipeline_p90_s", "pipeline_p99_s", "latency_p999_s", "pipeline_p999_s"),
    *("equal_label_share", "largest_batch", "largest_batch_is_limit", "energy_per_image_j", "file_bytes"),
    *("file_sha256", "memory_growth_bytes", "export_s", "compile_s", "calibrate_s", "graph_break_count"),
    *(f"{stage}_s" for stage in STAGES),
    *("uncounted_ops", "grade_reasons", "reason", "preset", "key", "started_at"),
)
"""Columns that programs read by their place; later ones follow by themselves."""
COLUMNS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *(*_PROMISED, *_FACTS, *_OF_GRADE, *LICENCE_COLUMNS, *_BESIDE, *METRICS),
            *(_end(key, end) for key in _WITH_INTERVAL for end in ("low", "high")),
        )
    )
)


def row(record: Record, file_hash: bytes = b"") -> Row:
    """Return a record as a row; what takes other records to know is left open (`rows_of`)."""
    artifact, dataset, speed = record.artifact, record.dataset, record.speed
    weights, accuracy = artifact.weights, record.accuracy
    letter, doubts = grade(record)
    return Row(
        model=artifact.model,
        device=record.device.slug,
        runtime=artifact.runtime,
        precision=artifact.precision,
        batch_size=artifact.batch_size,
        input_size=artifact.input_size,
        output_size=artifact.output_size,
        dataset=dataset.name if dataset else None,
        recipe=weights.recipe,
        grade=letter,
        status=record.status,
        protocol=record.protocol,
        quick=record.quick,
        baseline=record.is_baseline,
        family=artifact.family,
        code_sha256=artifact.code_sha256,
        torch=record.software.torch,
        software=_software(record.software),
        device_name=record.device.name,
        machine_id=record.device.machine_id,
        memory_format=artifact.memory_format,
        compile_mode=record.config.get("compile_mode") if artifact.runtime == "compile" else None,
        resize=artifact.resize,
        thread_count=speed.state.thread_count if speed else record.config.get("threads") or record.device.core_count,
        split=dataset.split if dataset else None,
        synthetic=bool(dataset and dataset.synthetic),
        dataset_fingerprint=dataset.fingerprint if dataset else None,
        image_count=dataset.image_count if dataset else None,
        split_count=dataset.split_count if dataset else None,
        image_limit=record.config.get("accuracy_images"),
        recipe_hash=weights.recipe_hash,
        step_count=weights.step_count,
        weights="" if record.is_baseline else weights.planned_label,
        weights_source=weights.source,
        weights_sha256=weights.sha256,
        seed=weights.seed,
        seed_count=int(weights.source != "none" and weights.sha256 is not None),
        shared_sequences=dataset.shared_sequences if dataset else (),
        mode=(accuracy.mode.text if accuracy and accuracy.mode else "") or WHOLE,
        miou_resampled=accuracy.resampled if accuracy else None,
        miou_spread=None,
        miou_protocol=accuracy.protocol if accuracy else None,
        largest_batch_is_limit=record.throughput.largest_is_limit if record.throughput else None,
        file_sha256=artifact.file_sha256,
        uncounted_ops=record.cost.uncounted_ops if record.cost else (),
        doubts=doubts,
        reason=f"{record.failure.step}: {record.failure.reason}" if record.failure else None,
        preset=record.preset,
        key=record.key,
        started_at=record.started_at.replace(tzinfo=timezone(record.started_at.utcoffset() or timedelta())),
        numbers=_NUMBERS(record),
        intervals=_INTERVALS(record),
        class_iou=_by_class(record, class_iou),
        class_share=_by_class(record, class_shares),
        class_lost={},
        int8=int8_text(int8) if (int8 := int8_of(record)) else None,
        int8_note=needs_saying(int8),
        licences=licences_of(artifact.model, weights),
        rate_hz=None if record.is_baseline else record.config.get("rate_hz"),
        published=figures.quote(artifact.model, weights.tag if weights.source == "published" else ""),
        file_hash=file_hash,
    )


@functools.cache  # many rows share one
def _software(software: Software) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), version) for name, version in software if version is not None)


def _by_class(record: Record, of: Callable[[Any], Iterable[Any]]) -> dict[str, Any]:
    """What is read off a record's counts for each class; nothing where there are none."""
    confusion = confusion_of(record)
    if confusion is None or record.accuracy is None:
        return {}
    return dict(zip(map(sys.intern, record.accuracy.class_names), of(confusion), strict=True))


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
        case float():
            return f"{value:g}"
        case _:
            return str(value)
