"""What may be ranked together, what counts as one, what ties, and how rows are told apart."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter, ge
from typing import TYPE_CHECKING, NamedTuple

from zoo.errors import listed
from zoo.frames import CITYSCAPES_NAME, OFFICIAL_SIZES
from zoo.lazy import Lazy
from zoo.protocol import ACCURACY_PROTOCOL
from zoo.score.licences import all_of
from zoo.score.metrics import METRICS, metric_of
from zoo.score.rows import Row, text_of
from zoo.store import when

if TYPE_CHECKING:  # kept rows are compared without pydantic
    import statistics

    from zoo.record import Dataset
    from zoo.spec import Size
else:
    statistics = Lazy("statistics")

ARTIFACT = ("runtime", "precision", "input_size")
"""What tells the artifacts of one model's weights apart."""


class Group(NamedTuple):
    """What rows must share to be ranked together.

    Runtime, precision, input size and weights are what is ranked: mIoU is counted at the ground truth's size whatever
    the input.
    """

    quick: bool
    device: str
    dataset: str | None
    split: str | None
    output_size: Size
    batch_size: int
    resize: str
    mode: str
    thread_count: int
    image_count: int | None
    dataset_fingerprint: str | None
    rate_hz: float | None
    protocol: str
    miou_protocol: str


class Images(NamedTuple):
    """All that a fixed map's mIoU depends on."""

    dataset: str | None
    split: str | None
    image_count: int | None
    dataset_fingerprint: str | None
    miou_protocol: str


class Family(NamedTuple):
    """What the artifacts of one model share that differ in runtime and precision alone, within a group."""

    model: str
    weights: str
    """The recipe's hash, or else that of the weights; of random ones and of those that are not known, their name."""
    input_size: Size
    machine_id: str


class Condition(NamedTuple):
    """All that a row was measured under."""

    group: Group
    family: Family
    runtime: str
    precision: str
    memory_format: str
    compile_mode: str | None
    seed: int | None
    """Of the weights; null for a row that is a mean over them."""


class Scored(NamedTuple):
    """All that mIoU depends on, apart from runtime and precision."""

    model: str
    weights_sha256: str | None
    input_size: Size
    output_size: Size
    resize: str
    mode: str
    images: Images


_MAX_SLOWER = 8
"""Artifacts that one note names."""
_GROUP = attrgetter(*Group._fields)
_IMAGES = attrgetter(*Images._fields)


def group_of(candidate: Row) -> Group:
    """Return the comparable group a row belongs to."""
    *shared, miou_protocol = _GROUP(candidate)
    return Group._make((*shared, miou_protocol or ACCURACY_PROTOCOL))


def images_of(one: Row | Group) -> Images:
    """Return what the mIoU of a row, or of all rows of a group, was counted on."""
    *shared, miou_protocol = _IMAGES(one)
    return Images._make((*shared, miou_protocol or ACCURACY_PROTOCOL))


def family_of(candidate: Row) -> Family:
    """Return the family a row belongs to, within its group."""
    # random ones are alike in every file
    known = candidate.recipe_hash or (candidate.weights_sha256 if candidate.weights_source != "random" else None)
    return Family(candidate.model, known or candidate.weights, candidate.input_size, candidate.machine_id)


def condition_of(candidate: Row) -> Condition:
    """Return what a row was measured under."""
    artifact = candidate.runtime, candidate.precision, candidate.memory_format, candidate.compile_mode
    seed = candidate.seed or 0  # cells that failed did not always know theirs
    return Condition(group_of(candidate), family_of(candidate), *artifact, seed)


def scored_of(candidate: Row) -> Scored:
    """Return what a row's mIoU depends on."""
    sizes = candidate.input_size, candidate.output_size, candidate.resize
    return Scored(candidate.model, candidate.weights_sha256, *sizes, candidate.mode, images_of(candidate))


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
    conditions: dict[Condition, list[Row]] = defaultdict(list)
    for condition, one in _by_condition(rows).items():
        conditions[condition._replace(seed=None) if one.status == "ok" else condition].append(one)
    return [_over_seeds(members) for members in conditions.values()]


def newest(rows: Iterable[Row]) -> list[Row]:
    """Keep the newest row of each condition and seed: a newer driver, torch or model code takes the older's place."""
    return list(_by_condition(rows).values())


def _by_condition(rows: Iterable[Row]) -> dict[Condition, Row]:
    """`newest`, by condition."""
    members: dict[Condition, list[Row]] = defaultdict(list)
    for candidate in rows:
        members[condition_of(candidate)].append(candidate)
    time_of = when()
    found = {condition: _standing(sorted(alike, key=time_of)) for condition, alike in members.items()}
    # A cell that failed before it had its weights is known by their name alone: any later one of that name stands.
    nameless = [condition for condition, one in found.items() if one.status != "ok" and not _knows_weights(one)]
    named: dict[Condition, tuple[bool, datetime]] = {}
    for condition, one in found.items() if nameless else ():
        if _knows_weights(one):
            name = _by_name(condition, one)
            named[name] = max(named.get(name, time_of(one)), time_of(one))
    for condition in nameless:
        one = found[condition]
        if time_of(one) < named.get(_by_name(condition, one), time_of(one)):
            del found[condition]
    return found


def _standing(by_time: list[Row]) -> Row:
    """The last of one condition; a count alone does not hide what was timed of the same weights."""
    stands = by_time[0]
    for one in by_time[1:]:
        same = (one.weights_sha256, one.code_sha256) == (stands.weights_sha256, stands.code_sha256)
        if not (same and stands.is_timed and one.status == "ok" and not one.is_timed):
            stands = one
    return stands


def _knows_weights(one: Row) -> bool:
    return bool(one.recipe_hash or one.weights_sha256) or one.weights_source == "random"


def _by_name(condition: Condition, one: Row) -> Condition:
    """The condition with its weights as a table names them."""
    return condition._replace(family=condition.family._replace(weights=one.weights))


def _over_seeds(rows: list[Row]) -> Row:
    """One row of those that differ in the seed alone; a newer torch or model code leaves the older ones behind."""
    if len(rows) == 1:
        return rows[0]
    last = max(rows, key=when())
    rows = [one for one in rows if (one.code_sha256, one.torch) == (last.code_sha256, last.torch)]
    if len(rows) == 1:
        return last
    middle = sorted(rows, key=_pipeline_p50)[len(rows) // 2]
    averaged = [key for key, metric in METRICS.items() if metric.averaged]
    mious = [one.miou for one in rows if one.miou is not None]
    return middle._replace(
        numbers={**middle.numbers, **{key: _mean([one.value(key) for one in rows]) for key in averaged}},
        intervals={**middle.intervals, **{key: _mean_interval(rows, key) for key in averaged if METRICS[key].interval}},
        class_iou={name: _mean([one.class_iou.get(name) for one in rows]) for name in middle.class_iou},
        class_lost={name: _mean([one.class_lost.get(name) for one in rows]) for name in middle.class_lost},
        licences=all_of(one.licences for one in rows),
        miou_spread=statistics.stdev(mious) if len(mious) == len(rows) else None,
        seed_count=len(rows),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Of numbers that are all known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _mean_interval(rows: list[Row], key: str) -> tuple[float, float] | None:
    known = [interval for one in rows if (interval := one.interval(key)) is not None]
    if len(known) < len(rows):
        return None
    lows, highs = zip(*known, strict=True)
    return statistics.fmean(lows), statistics.fmean(highs)


def tie(one: Row, other: Row, key: str) -> bool | None:
    """Return whether two rows are alike in a metric; `None` where it is not known.

    They are where they differ by less than matters, or where what they might as well have been overlaps (`Row.span`).
    """
    value, others_value = one.value(key), other.value(key)
    if value is None or others_value is None:
        return None
    metric = metric_of(key)
    if metric.alike(value, others_value):
        return True
    if metric.exact:
        return False
    span, others = one.span(key), other.span(key)
    return None if span is None or others is None else span[0] <= others[1] and others[0] <= span[1]


def sharing(counted: Row | Dataset) -> str | None:
    """Say by name which sequences the counted images share with training; `None` where they share none.

    Whether they do is not known where the frames' names do not tell: that is said too.
    """
    names = counted.shared_sequences
    if names is None:
        return f"the frames' names tell no sequences: whether {counted.split} shares any with training is not known"
    if not names:
        return None
    which = f"the sequence {names[0]}" if len(names) == 1 else f"{len(names)} sequences ({', '.join(names[:3])}"
    more = "" if len(names) == 1 else ", …)" if len(names) > 3 else ")"
    return f"{counted.split} shares {which}{more} with training: its mIoU is optimistic"


def deadlines(rate_hz: float) -> str:
    """Say what the numbers of calls paced at a rate mean."""
    return (
        f"paced: a frame is due every {METRICS['pipeline_p50_s'].say(1 / rate_hz)}, and latency counts from there; "
        "missed: answered after the next one was due, or never begun since a call was still running; not to be held "
        "against calls one after the other"
    )


def these_weights(*rows: Row) -> str:
    """Say how much is behind a difference in mIoU: `one seed, these weights`; of weights not trained here nothing."""
    counts = {one.seed_count for one in rows}
    if any(one.weights_source != "run" for one in rows):
        return "these weights"
    return f"{'one seed' if max(counts) < 2 else f'a mean of {max(counts)} seeds'}, these weights"


def images_said(counted: Row | Dataset) -> str:
    """Such as `2 of 500`: how many images were counted, of how many the whole split has where that is more."""
    name, whole = (counted.dataset if isinstance(counted, Row) else counted.name), counted.split_count
    if whole is None and name == CITYSCAPES_NAME:  # an older record
        whole = OFFICIAL_SIZES.get(counted.split or "")
    more = whole is not None and counted.image_count is not None and whole > counted.image_count
    return f"{counted.image_count} of {whole}" if more else str(counted.image_count)


class Fastest(NamedTuple):
    """The fastest artifact of one family."""

    row: Row
    speedup: float | None
    """Its reference's pipeline p50 over its own; `None` without a reference."""
    checked: bool
    """Whether its mIoU was held against fp32's."""


def fastest_of_each(rows: Iterable[Row], among: Iterable[Row] = ()) -> list[Fastest]:
    """Return the fastest row of each family, by pipeline p50, fastest first.

    A row that loses too much of fp32's mIoU, or of a class's IoU, is none of them, and where some row's loss is known
    only such rows are.

    Args:
        rows: Of one group.
        among: Other rows of it, where a family's reference is none of `rows`.
    """
    families: dict[Family, list[Row]] = defaultdict(list)
    for candidate in rows:
        if candidate.pipeline_p50_s is not None and not candidate.baseline:
            families[family_of(candidate)].append(candidate)
    references: dict[Family, list[Row]] = defaultdict(list)
    for candidate in among:
        if candidate.is_reference and candidate.pipeline_p50_s is not None:
            references[family_of(candidate)].append(candidate)
    found = []
    for key, family in families.items():
        checked = [one for one in family if one.miou_lost is not None]
        best = min((one for one in checked or family if not one.loses_accuracy), key=_pipeline_p50, default=None)
        if best is None:
            continue
        own = [one for one in family if one.is_reference]
        reference = min(own or references[key], key=_pipeline_p50, default=None)
        speedup = _pipeline_p50(reference) / _pipeline_p50(best) if reference and best.pipeline_p50_s else None
        found.append(Fastest(best, speedup, bool(checked)))
    return sorted(found, key=lambda one: _pipeline_p50(one.row))


class Slower(NamedTuple):
    """An int8 artifact that takes longer than the fp32 one it would replace: nothing is gained by it on this device."""

    int8: Row
    fp32: Row

    @property
    def said(self) -> str:
        """Which, and by how much."""
        times = [METRICS["pipeline_p50_s"].say(one.pipeline_p50_s) for one in self]
        return f"{self.int8.model} in {self.int8.runtime} takes {' against '.join(times)}"


def say_slower(found: Iterable[Slower]) -> list[str]:
    """As one note, or none."""
    said = listed([pair.said for pair in found], _MAX_SLOWER)
    return [f"int8 is slower than fp32 here: {said}"] if said else []


def slower_int8(rows: Iterable[Row], among: Iterable[Row] = ()) -> list[Slower]:
    """Return each int8 row that is slower than its fp32 in the same runtime, beyond what their intervals leave open.

    `among`: other rows, where the fp32 is none of `rows`.
    """
    timed: dict[tuple[Group, Family, str, str], list[Row]] = defaultdict(list)
    rows = list(rows)
    models = {one.model for one in rows if one.precision == "int8"}  # of most tables none
    for one in (*rows, *(other for other in among if other.precision == "fp32")):
        if one.model in models and one.pipeline_p50_s is not None:
            timed[group_of(one), family_of(one), one.runtime, one.precision].append(one)
    pairs = [
        Slower(one, min(others, key=lambda other: other.seed != one.seed))
        for (group, family, runtime, precision), found in timed.items()
        if precision == "int8" and (others := timed.get((group, family, runtime, "fp32")))
        for one in found
    ]
    key = "pipeline_p50_s"
    return [pair for pair in pairs if _pipeline_p50(pair.int8) > _pipeline_p50(pair.fp32) and not tie(*pair, key)]


def _pipeline_p50(one: Row) -> float:
    return math.inf if one.pipeline_p50_s is None else one.pipeline_p50_s


def baseline_for(group: Group, rows: Iterable[Row]) -> Row | None:
    """Return the newest mean-label-map row that was counted on the same images as the group."""
    same_images = [
        candidate
        for candidate in rows
        if candidate.baseline and candidate.miou is not None and images_of(candidate) == images_of(group)
    ]
    return max(same_images, key=when(), default=None)


def pareto_front(rows: Iterable[Row], *keys: str) -> list[Row]:
    """Return the rows that no other row beats: none is as good in every metric and better in one, as they are shown.

    Args:
        rows: Those without one of the numbers are left out.
        keys: Of the metrics, by the first of which the answer is ordered, best first; none: pipeline p50 and mIoU.
    """
    keys = keys or ("pipeline_p50_s", "miou")
    metrics = [metric_of(key) for key in keys]
    points = []
    for candidate in rows:
        values = [(metric, candidate.value(metric.key)) for metric in metrics]
        known = [
            metric.seen(value) * (1 if metric.better == "higher" else -1)
            for metric, value in values
            if value is not None and math.isfinite(value)
        ]
        if len(known) == len(keys):
            points.append((known, candidate))
    front: list[tuple[list[float], Row]] = []
    for point, candidate in sorted(points, key=lambda pair: pair[0], reverse=True):  # what beats a row stands before it
        rivals = front[-1:] if len(keys) == 2 else front  # of two metrics the last has the best second one so far
        if not any(all(map(ge, other, point)) and other != point for other, _ in rivals):
            front.append((point, candidate))
    return [candidate for _, candidate in front]


_MARKS: tuple[Callable[[Row], str], ...] = (
    lambda one: one.weights,
    lambda one: f"@{(one.recipe_hash or one.weights_sha256 or 'none')[:8]}",
    lambda one: one.memory_format,
    lambda one: one.compile_mode or "",
    lambda one: f"{one.seed_count} seeds" if one.seed_count > 1 else f"seed {one.seed or 0}",
    lambda one: f"#{one.machine_id[:4]}-{(one.weights_sha256 or 'none')[:4]}",
    lambda one: f"{one.started_at:%Y-%m-%d %H:%M:%S}",
)
"""What tells rows apart that are alike in all that is asked for, in this order."""


def tell_apart(rows: Sequence[Row], fields: Sequence[str] = ARTIFACT, *, beside: str = "") -> list[str]:
    """Name each row by its model and whichever of `fields` differ; those still alike by weights, layout, origin, time.

    Args:
        rows: To be told apart.
        fields: Of `Row`, that every name holds where they vary.
        beside: A field that stands beside the names: rows that differ in it need no more.
    """
    facts = [[getattr(one, field) for one in rows] for field in fields]
    texts = [{value: text_of(value) for value in set(values)} for values in facts]
    varying = [[text[value] for value in values] for values, text in zip(facts, texts, strict=True) if len(text) > 1]
    names = [" ".join(words) for words in zip([one.model for one in rows], *varying, strict=True)]
    shown = [getattr(one, beside) if beside else None for one in rows]
    for mark_of in _MARKS:
        tied = Counter(zip(names, shown, strict=True))
        if len(tied) == len(rows):  # none is alike any more
            break
        marks = [mark_of(one) for one in rows]
        same = Counter(zip(names, shown, marks, strict=True))
        names = [
            f"{name} {mark}" if tied[name, known] > same[name, known, mark] else name
            for name, known, mark in zip(names, shown, marks, strict=True)
        ]
    return names


def place_of(part: Row, among: Sequence[Row]) -> str:
    """Return the device of one of several rows; of several machines of its name with the digits of this one."""
    alike = sum(other.device == part.device for other in among)
    return part.device if alike < 2 else f"{part.device} #{part.machine_id[:4]}"


def of_each(places: Sequence[Row], say: Callable[[Row], Iterable[str]]) -> Iterator[tuple[str, str]]:
    """Return what is said of rows of several devices, each text once, and of which: `on x and y`; empty for all."""
    where = defaultdict[str, list[str]](list)
    for place in places:
        for text in say(place):
            where[text].append(place_of(place, places))
    for text, named in where.items():
        yield text, "" if len(named) == len(places) else f"on {' and '.join(named)}"
