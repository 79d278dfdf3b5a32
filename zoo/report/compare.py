"""`zoo compare`: rows, models, devices, dates or folders against the first of them, or why they may not be.

A name that means one row is held against one row of the first; a folder, a device or a date means all that it has, and
each artifact is held against the same one of the first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.errors import UserError, counted
from zoo.report.titles import CAUTION
from zoo.score.comparing import ARTIFACT, Group, group_of, sharing, tell_apart, these_weights
from zoo.score.filtering import class_among, require_fields, several_of
from zoo.score.limits import LossLimit
from zoo.score.matching import Match, Unmatched, match
from zoo.score.metrics import CLASS_IOU, METRICS, Metric
from zoo.score.paired import PairedTest, Pairs, Tie
from zoo.score.ranks import RankCorrelation, Timed, rank_correlation
from zoo.score.rows import Row, text_of
from zoo.score.sides import are_sets, one_of_each, read_sides, sides_of

LATENCY = "pipeline_p50_s"
WHICH = ("device", "dataset", *ARTIFACT, "weights")
"""Fields that name a row among others."""
CONDITIONS = (
    *("device", "device_name", "machine_id", "thread_count", "dataset", "split", "image_count", "dataset_fingerprint"),
    *("mode", "output_size", "resize", "batch_size", "input_size", "runtime", "precision", "memory_format"),
    *("compile_mode", "weights", "recipe_hash", "weights_sha256", "seed", "code_sha256", "protocol", "miou_protocol"),
    "preset",
)
"""Of rows, in which they may differ; software stands behind."""
_OF_A_MODEL = ("weights_sha256", "recipe_hash", "seed", "code_sha256")
"""Conditions that say nothing between two models."""
_OF_A_RUNTIME = "runtime"
"""Software that says nothing between two runtimes."""
_TOLD_BY_ROWS = tuple(key for key, metric in METRICS.items() if metric.interval is not None or metric.exact)
"""Metrics of which two rows alone tell whether they are apart."""


@dataclass(frozen=True)
class Measure:
    """One metric of both rows."""

    metric: Metric
    first: float | None
    second: float | None
    ratio: float | None
    """Second over first."""
    tie: bool | None
    """Whether they are alike, as `score.paired` has it; `None` where nothing tells."""

    @property
    def verdict(self) -> Literal["better", "worse", "tie", ""]:
        """What the second is; empty where it is not known, or no value of the metric is better than another."""
        if self.tie is not False or self.first is None or self.second is None or self.metric.better is None:
            return "tie" if self.tie else ""
        return "better" if self.metric.beats(self.second, self.first) else "worse"


@dataclass(frozen=True)
class Pair:
    """Two comparable rows."""

    first: Row
    second: Row
    labels: tuple[str, str]
    name: str
    """Of the second among all that are held against the first."""
    told: Pairs = field(repr=False)
    keys: tuple[str, ...] = tuple(METRICS)
    """Of the metrics that are held against each other."""

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """Each metric of both, in the order of the table."""
        return tuple(self.measure(METRICS[key]) for key in self.keys)

    def measure(self, metric: Metric) -> Measure:
        """Hold one metric of both against each other."""
        a, b = self.first.value(metric.key), self.second.value(metric.key)
        ratio = b / a if a and b is not None and a > 0 <= b else None  # a loss may be a gain
        return Measure(metric, a, b, ratio, self.told.tie(self.first, self.second, metric.key).tie)

    @property
    def classes(self) -> tuple[tuple[str, float, float], ...]:
        """Class name and IoU of both, the largest differences first; empty for means over seeds and other classes."""
        one, other = self.first.class_iou, self.second.class_iou
        if self.over_seeds or list(one) != list(other):
            return ()
        found = [(name, a, b) for name, a in one.items() if a is not None and (b := other[name]) is not None]
        return tuple(sorted(found, key=lambda entry: -abs(entry[2] - entry[1])))

    @cached_property
    def paired(self) -> PairedTest | UserError:
        """The paired test of mIoU, or why it cannot be had."""
        try:
            return self.told.test(self.first, self.second)
        except UserError as error:
            return error

    @property
    def miou_tie(self) -> Tie:
        """Whether their mIoU is alike, and what tells."""
        return self.told.tie(self.first, self.second, "miou")

    def class_tie(self, name: str) -> Tie:
        """Whether the IoU of a class is alike, and what tells."""
        return self.told.tie(self.first, self.second, f"{CLASS_IOU}.{name}")

    @property
    def over_seeds(self) -> bool:
        """Whether a side is a mean over several trainings."""
        return max(self.first.seed_count, self.second.seed_count) > 1

    @property
    def has_miou(self) -> bool:
        """Whether both have one."""
        return self.first.miou is not None and self.second.miou is not None

    @property
    def weights(self) -> str:
        """How much is behind a difference in mIoU."""
        return these_weights(self.first, self.second)


class Loss(NamedTuple):
    """What speaks against one limit of `--fail-on`."""

    kind: Literal["lost", "not known"]
    side: str
    label: str
    """Of the row."""
    limit: LossLimit | None
    """`None` where the row has no partner: then it keeps none."""
    why: str
    loss: float | None = None
    """As the limit counts it."""


@dataclass(frozen=True)
class Against:
    """One side held against the first."""

    side: str
    """As it was asked for."""
    pairs: tuple[Pair, ...]
    differs: Mapping[str, str]
    """Conditions and software in which pairs differ, and how: `torch` → `2.11.0 vs 2.12.0`."""
    notes: tuple[str, ...]
    unmatched: tuple[Unmatched, ...] = ()
    same_count: int = 0
    """Artifacts of which both sides have one record."""
    ranks: RankCorrelation | None = None
    """Of pipeline p50, between two devices."""


@dataclass(frozen=True)
class Comparison:
    """Rows, or sets of rows, against the first of them."""

    side: str
    """The first, as it was asked for."""
    against: tuple[Against, ...]
    are_sets: bool
    warnings: tuple[str, ...] = ()

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Of all sides."""
        return tuple(pair for one in self.against for pair in one.pairs)

    def losses(self, limits: Sequence[LossLimit]) -> tuple[Loss, ...]:
        """Return what is lost beyond the limits and is no tie, and what is not known, which is no pass.

        Raises:
            UserError: a limit on a class that no row has.
        """
        pairs = [row for pair in self.pairs for row in (pair.first, pair.second)]
        rows = [*pairs, *(left.row for one in self.against for left in one.unmatched)]
        limits = [replace(limit, metric=class_among(limit.metric, rows)) for limit in limits]
        found = [loss for limit in limits for loss in self._losses(limit)]
        keys = [limit.metric.key for limit in limits]
        for one in self.against:
            firsts = [left for left in one.unmatched if left.is_first]
            alone = [left for left in firsts if any(left.row.value(key) is not None for key in keys)]
            names = tell_apart([left.row for left in alone], WHICH)
            found += [
                Loss("not known", one.side, name, None, f"not comparable: {left.why}")
                for name, left in zip(names, alone, strict=True)
            ]
        return tuple(found)

    def _losses(self, limit: LossLimit) -> Iterator[Loss]:
        metric, held = limit.metric, False
        for one in self.against:
            for pair in one.pairs:
                was, now = pair.first.value(metric.key), pair.second.value(metric.key)
                if was is None:  # nothing that could be lost
                    continue
                held = True
                if now is None:
                    yield Loss("not known", one.side, pair.name, limit, f"its {metric.title} is not known")
                    continue
                loss = limit.loss(was, now)
                if loss <= limit.amount:
                    continue
                said = f"{metric.title} {metric.show(was)} → {metric.say(now)}, {limit.say(loss)} worse"
                tie = pair.measure(metric).tie
                if tie is None:
                    yield Loss("not known", one.side, pair.name, limit, f"{said}: by chance or not is not known", loss)
                elif not tie:
                    yield Loss("lost", one.side, pair.name, limit, said, loss)
        if not held:
            what = "has it" if self.pairs else "was measured anew"
            yield Loss("not known", self.side, "", limit, f"{metric.title}: no row {what} that could be held")


def compare(
    *names: Path | str,
    results: Path | str | Sequence[Path | str] | None = None,
    models: Sequence[str] = (),
    **conditions: object,
) -> Comparison:
    """Compare records with the first that is named.

    Args:
        names: Two or more: a model, a model with conditions (`unet,precision=bf16`) or a date (`unet@2026-11-01`, as
            things stood then), a record's JSON file: one row each. A folder, a device (`nvidia-h200`), conditions or a
            date alone (`@2026-11-01`): all that is there, each artifact held against the same one of the first.
        results: The folder of records; `None`: `results`, else those that come with zoo. Several are compared with
            each other, as a whole or of each name.
        models: Only these: names, globs or tags.
        conditions: Of all rows, as in `score.filtering.select`.

    Raises:
        UserError: no such record, more than one, or none that may be compared (it names the fields that differ).
    """
    require_fields(conditions, "results", "models")
    folders = several_of(results, (Path, str), "records are read from one folder or several, such as ['before', 'now']")
    several = [*dict.fromkeys(map(Path, folders))]
    sides = sides_of(names, several)
    standing, sources, warnings = read_sides(
        sides, several[0] if len(several) == 1 else None, models=models, **conditions
    )
    told = Pairs(sources)
    if not are_sets(standing):
        rows = one_of_each(standing)
        labels = tell_apart(rows, WHICH)
        pairs = [
            Pair(rows[0], other, (labels[0], label), label, told)
            for other, label in zip(rows[1:], labels[1:], strict=True)
        ]
        against = [
            Against(side.text, (pair,), _differs([pair]), tuple(_notes(pair)))
            for side, pair in zip(sides[1:], pairs, strict=True)
        ]
        return Comparison(sides[0].text, tuple(against), False, warnings)
    against = []
    for other in standing[1:]:
        found = match(standing[0], other)
        paired = _paired_up(found.pairs, told)
        ranks, notes = _ranks(paired)
        against.append(
            Against(
                other.side.text,
                tuple(paired),
                _differs(paired),
                (*found.notes, *notes),
                found.unmatched,
                found.same_count,
                ranks,
            )
        )
    return Comparison(sides[0].text, tuple(against), True, warnings)


def _paired_up(matches: Sequence[Match], told: Pairs) -> list[Pair]:
    """Matches with their labels within a table, table by table, those that became slowest first."""
    groups: dict[Group, list[Match]] = {}
    for one in matches:
        groups.setdefault(group_of(one.first), []).append(one)
    names = dict(zip(matches, tell_apart([one.second for one in matches], WHICH), strict=True))
    found = []
    for alike in groups.values():
        labels = zip(*(tell_apart(rows) for rows in zip(*alike, strict=True)), strict=True)
        pairs = [Pair(*one, label, names[one], told, _TOLD_BY_ROWS) for one, label in zip(alike, labels, strict=True)]
        found += sorted(pairs, key=lambda pair: -(pair.measure(METRICS[LATENCY]).ratio or 0))
    return found


def _ranks(pairs: Sequence[Pair]) -> tuple[RankCorrelation | None, list[str]]:
    """The rank correlation of latency where each side is one device, and another; or why there is none."""
    if not pairs:
        return None, []
    devices = [
        {row.device for row in rows} for rows in zip(*((pair.first, pair.second) for pair in pairs), strict=True)
    ]
    if len(devices[0]) != 1 or len(devices[1]) != 1 or devices[0] == devices[1]:
        return None, []
    tables: dict[tuple[object, ...], list[Timed]] = defaultdict(list)
    for pair in pairs:
        one, other = pair.first, pair.second
        if one.pipeline_p50_s is not None and other.pipeline_p50_s is not None:
            # a smaller input is faster on any device: that ranks no models
            table = group_of(one), group_of(other), one.input_size, other.input_size
            tables[table].append(Timed(one.model, one.pipeline_p50_s, other.pipeline_p50_s))
    try:
        return rank_correlation(tables.values()) if tables else None, []
    except UserError as error:
        return None, [f"whether both devices rank the models alike is not known: {error}"]


def _differs(pairs: Sequence[Pair]) -> dict[str, str]:
    """Conditions and software in which some pair differs; how many do, where not all."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    for pair in pairs:
        for name, one, other in _facts(pair):
            if one != other:
                found.setdefault(name, Counter())[text_of(one), text_of(other)] += 1
    said = {}
    for name, values in found.items():
        (first, second), *more = values
        count = values.total()
        how = f"in {count} of {len(pairs)}" if more else f"{first} vs {second}"
        said[name] = how if more or count == len(pairs) else f"{how} (in {count} of {len(pairs)})"
    return said


def _facts(pair: Pair) -> Iterator[tuple[str, object, object]]:
    one, other = pair.first, pair.second
    aside = () if one.model == other.model else _OF_A_MODEL
    for name in CONDITIONS:
        if name not in aside:
            yield name.replace("_sha256", "").replace("_", " "), getattr(one, name), getattr(other, name)
    versions, others = dict(one.software), dict(other.software)
    for name in dict.fromkeys((*versions, *others)):
        if name != _OF_A_RUNTIME or one.runtime == other.runtime:
            yield "version" if name == _OF_A_RUNTIME else name, versions.get(name), others.get(name)
    yield "measured on", f"{one.started_at:%Y-%m-%d}", f"{other.started_at:%Y-%m-%d}"


def _notes(pair: Pair) -> Iterable[str]:
    """What a reader of two rows should know."""
    one, other, (label, other_label) = pair.first, pair.second, pair.labels
    if one.device != other.device:
        yield f"the devices differ ({one.device}, {other.device}): this compares machines as much as models"
    elif one.machine_id != other.machine_id:
        yield "two machines of one name: compare latency with care"
    if one.weights != other.weights:
        yield f"the weights differ ({one.weights}, {other.weights}): {CAUTION}"
    if pair.over_seeds:
        yield "a mean over seeds: name one, such as MODEL,seed=0, for its classes and the paired test of mIoU"
        if pair.miou_tie.tie:
            yield f"tie: the mIoU of both cannot be told apart ({pair.miou_tie.by})"
    elif one.miou is not None and other.miou is not None:
        if isinstance(pair.paired, PairedTest):
            yield f"mIoU: {other_label} is {verdict(pair.paired, label)}; {pair.weights}"
        else:
            alike = pair.miou_tie
            told = f"{'a tie' if alike.tie else 'apart'} ({alike.by})"
            if alike.tie is None:
                told = "whether that is more than chance is not known"
            yield f"mIoU differs by {100 * (other.miou - one.miou):+.1f} points: {pair.weights}; {told}: {pair.paired}"
    for name, row in ((label, one), (other_label, other)):
        if row.hurt_classes:
            yield f"{name} {row.hurt_text}"
    if pair.has_miou and (shared := sharing(one)):
        yield shared
    for name, side in ((label, one), (other_label, other)):
        if side.doubts:
            said = "; ".join(f"{doubt.what}: {doubt.remedy}" for doubt in side.doubts)
            yield f"{name} was timed with grade {side.grade} ({said})"


def verdict(test: PairedTest, label: str) -> str:
    """Say how a paired test came out, with its interval."""
    gain, low, high = test.said
    than = "a tie with" if test.verdict == "tie" else f"{test.verdict} than"
    alike = ", which resemble each other: the interval is too narrow"
    return (
        f"{than} {label}, {gain} points (95 % interval {low} to {high}), paired bootstrap over {test.resampled} "
        f"({counted(test.image_count, 'image')}){alike if test.resampled == 'frames of few sequences' else ''}"
    )
