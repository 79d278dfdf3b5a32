"""The table of metrics: every number that can be read off a record, with its unit and where better is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from zoo.errors import UserError, did_you_mean
from zoo.protocol import StageName
from zoo.score.accuracy import (
    category_iou,
    instance_iou,
    mean_class_accuracy,
    mean_of,
    miou,
    pixel_accuracy,
)
from zoo.score.parts import Off, off

if TYPE_CHECKING:  # kept rows are shown without pydantic
    from zoo.record import Accuracy, InstanceCounts, Record
    from zoo.timed import BatchRate, Stage

Better = Literal["higher", "lower"]

STAGES: tuple[StageName, ...] = get_args(StageName)
"""Of the pipeline, in order; there is a metric of seconds for each."""

LEAST_SHARE = 0.01
"""Smallest relative difference that matters of what is timed or counted: as much lies between two runs of one cell."""


_NOISE = 1e-12
"""By which a float may be off what was written, relative to it."""


def _digits(number: float) -> int:
    """Return how many digits after the point make three significant ones, of whole numbers all."""
    size = abs(number)
    if size >= 1 or not size:  # of most numbers: no logarithm
        return 0 if size >= 100 else 1 if size >= 10 else 2
    return min(2 - math.floor(math.log10(size)), 6)


@dataclass(frozen=True)
class Metric:
    """One number that can be read off a record: what it is called, where better is, and how a human reads it."""

    key: str
    """In `Row.numbers`, and of the flat columns; in SI units."""
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
    interval: Callable[[Record], tuple[float, float] | None] | None = None
    """Reads its 95 % interval, where it has one."""
    averaged: bool = False
    """Whether the weights decide it: over several seeds it is a mean."""
    column: str = ""
    """Title in the tables; empty for one that stands in none."""
    keep: int = 0
    """A terminal too narrow for all columns drops those with the smallest number first."""
    marked: bool = False
    """Whether the best of its column is marked."""
    shown: bool = False
    """Whether it is one of the few that a choice and a sweep under way show."""
    short: str = ""
    """What people type for it, where that is not its title."""
    words: tuple[str, ...] = ()
    """What its values 0, 1, … are called; empty where they are numbers."""

    @property
    def name(self) -> str:
        """What people type for it: `"latency"`, `"network-p99"`."""
        return self.short or _typed(self.title)

    def show(self, value: float | None) -> str:
        """Return the number for a human, without its unit: `"12.3"`, or `"n/a"`."""
        if value is None or not math.isfinite(value):
            return "n/a"
        if self.words:
            return self.words[round(value)]
        rounded, digits = self._rounded(value)
        return f"{rounded + 0.0:.{digits}f}"  # + 0.0: never "-0.0"

    def seen(self, value: float) -> float:
        """Return a number in `show`'s unit, rounded as it is there, so that equal texts are equal."""
        return self._rounded(value)[0]

    def _rounded(self, value: float) -> tuple[float, int]:
        """The number that is shown, and its digits after the point."""
        scaled = value * self.scale
        digits = _digits(scaled) if self.decimals is None else self.decimals
        return round(scaled, digits), digits

    def say(self, value: float | None) -> str:
        """Return the number with its unit: `"12.3 ms"`."""
        text = self.show(value)
        return text if text == "n/a" else f"{text} {self.unit}".rstrip()

    def exactly(self, value: float) -> str:
        """Say a number that was asked for with all the digits it was asked with; six of one without end, as 1/30."""
        return self._to(self._asked_digits(value), value)

    def apart(self, value: float, bound: float) -> tuple[str, str]:
        """Say a number with as many digits as it takes to tell it from a bound, and that as `exactly`, or finer."""
        off = abs(value - bound) * self.scale
        least = math.ceil(round(-math.log10(off), 9)) if 0 < off < math.inf else 0  # then they are a digit apart
        said = self._to(max(self._rounded(value)[1], least), value)
        return said, self._to(max(self._asked_digits(bound), least), bound)

    def within(self, value: float, bound: float) -> str:
        """Say a number that keeps a bound, with more digits than usual where these would seem to break it."""
        seen, edge = self.seen(value), bound * self.scale
        broken = self.beats(edge, seen) and not math.isclose(edge, seen, rel_tol=_NOISE)
        if not broken:
            return self.say(value)
        return self.exactly(value) if math.isclose(value, bound, rel_tol=_NOISE) else self.apart(value, bound)[0]

    def _to(self, decimals: int, value: float) -> str:
        return replace(self, decimals=decimals).say(value)

    def _asked_digits(self, value: float) -> int:
        """Digits after the point that a number was written with, nine significant ones at most, else six."""
        scaled, shown = value * self.scale, self._rounded(value)[1]
        places = [digits - 1 - math.floor(math.log10(abs(scaled) or 1)) for digits in range(1, 10)]
        written = (at for at in places if math.isclose(round(scaled, at), scaled, rel_tol=_NOISE))
        return max(shown, next(written, places[5]))

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


def _typed(text: str) -> str:
    """Such as `stage-copy-in` of `stage copy_in`."""
    return re.sub(r"[\s_]+", "-", text.strip().lower())


def _most_images_per_s(rates: Sequence[BatchRate]) -> float | None:
    """Throughput is a scenario of its own (zoo-lat/3, rule 8), never 1 / latency."""
    return max((rate.images_per_s for rate in rates), default=None)


def _stage(name: StageName) -> Off[float]:
    def read(stages: Sequence[Stage]) -> float | None:
        for stage in stages:
            if stage.name == name:
                return stage.p50_s
        return None

    return Off("speed.waterfall", read)


def _lateness(field: str) -> Off[float]:
    """Of a row without a late frame it is 0 (zoo-paced/1, rule 3), for which a record has null."""
    return Off("paced", lambda paced: getattr(paced, field) if paced.late_count else 0.0)


def _categories(accuracy: Accuracy) -> float | None:
    return mean_of(category_iou(accuracy.confusion, accuracy.class_categories)) if accuracy.class_categories else None


def _instances(counts: Mapping[str, InstanceCounts]) -> float | None:
    return mean_of(instance_iou(counts))


_PERCENT: dict[str, Any] = {"unit": "%", "scale": 100.0, "decimals": 1, "least": 1e-3}
_ACCURACY: dict[str, Any] = _PERCENT | {"better": "higher", "averaged": True}
_LOST: dict[str, Any] = {"unit": "points", "better": "lower"}
_MS: dict[str, Any] = {"unit": "ms", "scale": 1e3, "better": "lower"}
_MIB: dict[str, Any] = {"unit": "MiB", "scale": 2.0**-20, "exact": True, "better": "lower"}
_BUILD: dict[str, Any] = {"unit": "s", "better": "lower"}

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "miou",
            "mIoU",
            of=Off("accuracy.confusion", miou),
            interval=off("accuracy", "miou_interval"),
            column="mIoU %",
            keep=15,
            marked=True,
            shown=True,
            **_ACCURACY,
        ),
        # Known only beside another record: `rows_of` fills it.
        Metric(
            "miou_lost",
            "mIoU lost",
            of=lambda _: None,
            column="mIoU lost",
            keep=13,
            **_ACCURACY | _LOST,
        ),
        Metric(
            "pipeline_p50_s",
            "pipeline p50",
            of=off("speed.pipeline", "p50_s"),
            interval=off("speed.pipeline", "p50_interval_s"),
            column="pipeline p50 ms",
            keep=14,
            marked=True,
            shown=True,
            short="latency",
            **_MS,
        ),
        Metric(
            "latency_p50_s",
            "network p50",
            of=off("speed.network", "p50_s"),
            interval=off("speed.network", "p50_interval_s"),
            column="network p50 ms",
            keep=11,
            marked=True,
            shown=True,
            short="network",
            **_MS,
        ),
        Metric("pipeline_p90_s", "pipeline p90", of=off("speed.pipeline", "p90_s"), short="p90", **_MS),
        Metric("latency_p90_s", "network p90", of=off("speed.network", "p90_s"), **_MS),
        Metric(
            "pipeline_p99_s",
            "pipeline p99",
            of=off("speed.pipeline", "p99_s"),
            column="pipeline p99 ms",
            keep=12,
            marked=True,
            short="p99",
            **_MS,
        ),
        Metric(
            "latency_p99_s",
            "network p99",
            of=off("speed.network", "p99_s"),
            column="network p99 ms",
            keep=6,
            marked=True,
            **_MS,
        ),
        Metric("pipeline_p999_s", "pipeline p99.9", of=off("speed.pipeline", "p999_s"), short="p99.9", **_MS),
        Metric("latency_p999_s", "network p99.9", of=off("speed.network", "p999_s"), **_MS),
        Metric(
            "throughput_per_s",
            "throughput",
            "images/s",
            "higher",
            Off("throughput.rates", _most_images_per_s),
            column="images/s",
            keep=12,
            marked=True,
        ),
        Metric(
            "largest_batch",
            "largest batch",
            "images",
            "higher",
            of=off("throughput", "largest_batch"),
            decimals=0,
            column="largest batch",
            keep=4,
        ),
        Metric(
            "missed_share",
            "missed deadlines",
            "%",
            "lower",
            of=off("paced", "missed_share"),
            scale=100.0,
            decimals=1,
            least=1e-3,
            column="missed %",
            keep=13,
            marked=True,
            short="missed",
        ),
        Metric("lateness_p50_s", "lateness p50", of=_lateness("lateness_p50_s"), short="lateness", **_MS),
        Metric(
            "lateness_max_s",
            "lateness max",
            of=_lateness("lateness_max_s"),
            column="late max ms",
            keep=7,
            **_MS,
        ),
        Metric(
            "frame_count",
            "frames asked",
            "",
            "higher",  # the more, the surer
            of=off("paced", "frame_count"),
            decimals=0,
            column="frames asked",
            keep=5,
        ),
        Metric(
            "cold_start_s",
            "cold start",
            of=off("cold_start.typical", "total_s"),
            column="cold start s",
            keep=5,
            marked=True,
            **_BUILD,
        ),
        *(
            Metric(
                f"cold_{part}_s", f"cold {part.replace('_', ' ')}", of=off("cold_start.typical", f"{part}_s"), **_BUILD
            )
            for part in ("import", "load", "first_call")
        ),
        Metric(
            "energy_per_image_j",
            "energy per image",
            "J",
            "lower",
            of=off("speed.energy", "per_image_j"),
            column="J/ image",
            keep=3,
            marked=True,
            short="energy",
        ),
        Metric(
            "peak_memory_bytes",
            "peak memory",
            of=off("memory", "peak_bytes"),
            column="memory MiB",
            keep=10,
            marked=True,
            shown=True,
            short="memory",
            **_MIB,
        ),
        Metric(
            "file_bytes",
            "file",
            of=off("artifact", "file_bytes"),
            column="file MiB",
            keep=2,
            marked=True,
            **_MIB,
        ),
        Metric(
            "param_count",
            "parameters",
            "M",
            "lower",
            of=off("cost", "param_count"),
            scale=1e-6,
            exact=True,
            column="params M",
            keep=9,
            marked=True,
            shown=True,
            short="params",
        ),
        Metric(
            "mac_count",
            "MACs",
            "G",
            "lower",
            of=off("cost", "mac_count"),
            scale=1e-9,
            exact=True,
            column="MACs G",
            keep=8,
            marked=True,
            shown=True,
        ),
        Metric(
            "pixel_accuracy",
            "pixel accuracy",
            of=Off("accuracy.confusion", pixel_accuracy),
            column="pixel acc. %",
            keep=1,
            marked=True,
            **_ACCURACY,
        ),
        Metric("mean_class_accuracy", "class accuracy", of=Off("accuracy.confusion", mean_class_accuracy), **_ACCURACY),
        Metric("category_miou", "category IoU", of=Off("accuracy", _categories), **_ACCURACY),
        Metric("iiou", "iIoU", of=Off("accuracy.class_instances", _instances), **_ACCURACY),
        Metric("category_iiou", "category iIoU", of=Off("accuracy.category_instances", _instances), **_ACCURACY),
        Metric(
            "equal_label_share",
            "labels equal to fp32",
            of=off("agreement", "equal_label_share"),
            column="labels equal %",
            keep=7,
            short="labels-equal",
            **_ACCURACY | {"decimals": 2, "least": 0.0001},
        ),
        *(Metric(f"{stage}_s", f"stage {stage}", of=_stage(stage), **_MS) for stage in STAGES),
        Metric("export_s", "export", of=off("build", "export_s"), **_BUILD),
        Metric("compile_s", "compilation", of=off("build", "compile_s"), **_BUILD),
        Metric("calibrate_s", "calibration", of=off("build", "calibrate_s"), **_BUILD),
        Metric(
            "graph_break_count",
            "graph breaks",
            "",
            "lower",
            of=off("build", "graph_break_count"),
            decimals=0,
            exact=True,
        ),
        Metric(
            "memory_growth_bytes",
            "memory growth",
            of=off("memory", "growth_bytes"),
            **_MIB,
        ),
    )
}
"""By key. In this order their columns stand in a table: those that decide first."""
SHOWN = tuple(key for key, metric in METRICS.items() if metric.shown)
"""Keys of the few that a choice and a sweep under way show."""
SHOWN_OF_PACED = tuple(
    key for one in SHOWN for key in (("pipeline_p99_s", "missed_share") if one == "latency_p50_s" else (one,))
)
"""The same of paced calls: in place of the network scope, which they have not, the tail and what was missed."""
GRADE = Metric("grade", "grade", "", "higher", of=lambda _: None, exact=True, words=("C", "B", "A"))
"""How far a row's clock is to be trusted, as a number: `Row` has it."""
COST = Metric("cost", "cost of 1M images", "", "lower", of=lambda _: None, short="cost")
"""By the price of an hour, which no record has: `Row` has it where `zoo pick` was told one."""
NO_PRICE = "a cost follows from what an hour of the machine costs: `zoo pick --price 2.49/h`, or zoo.pick(price=2.49)"
CLASS_IOU, CLASS_LOSS = "iou", "class-loss"
"""Before the name of a class, as in `iou.person`: what `Row.class_iou` and `Row.class_lost` hold. `class-loss` alone is
that of the class that loses most, of those that are not rare."""


def metric_of(key: str) -> Metric:
    """Return a metric by its key: of `METRICS`, `grade`, `cost`, or of a class, `iou.person`, `class-loss.person`.

    Those of a class are read off a `Row`, whose classes they are, not off a record.
    """
    if key in METRICS:
        return METRICS[key]
    kind, _, name = key.partition(".")
    facts: dict[str, Any] = {"key": key, "of": lambda _: None}
    if key in (GRADE.key, COST.key):
        return GRADE if key == GRADE.key else COST
    if kind == CLASS_IOU and name:
        return Metric(title=f"IoU of {name}", short=key, **facts, **_ACCURACY)
    assert kind == CLASS_LOSS, key
    title = f"IoU lost of {name}" if name else "IoU lost of the worst class"
    column = "" if name else "worst class lost"
    return Metric(title=title, short=key, column=column, keep=13, **facts, **_ACCURACY | _LOST)


def metric_named(text: str) -> Metric:
    """Return the metric that a person names: `latency`, `network-p90`, `iou.person`, `grade`, `cost`, or a key.

    Raises:
        UserError: there is none; it names those there are.
    """
    if not isinstance(text, str):
        raise UserError(f"a metric is named by a word, such as 'latency' or 'miou'; got {text!r}")
    kind, dot, name = text.strip().partition(".")
    if dot and _typed(kind) in (CLASS_IOU, CLASS_LOSS) and name.strip():
        return metric_of(f"{_typed(kind)}.{name.strip()}")
    if _typed(text) in (CLASS_LOSS, COST.key):
        return metric_of(_typed(text))
    ranked = [metric for metric in (*METRICS.values(), GRADE) if metric.better is not None]
    found = next((one for one in ranked if _typed(text) in (one.name, _typed(one.title), _typed(one.key))), None)
    if found is None:
        known = [metric.name for metric in ranked]
        raise UserError(
            f"no metric {text!r}.{did_you_mean(_typed(text), known)} Allowed: {', '.join(known)}; "
            f"of a class {CLASS_IOU}.NAME and {CLASS_LOSS}.NAME, of its worst one {CLASS_LOSS}; "
            f"of a price {COST.key}"
        )
    return found
