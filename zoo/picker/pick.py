"""One model for your limits, with its reasons: what won, why the others lost, and how near the nearest came."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path

from zoo import machine
from zoo.collector import paused
from zoo.errors import UserError, counted, did_you_mean, listed
from zoo.picker.candidates import (
    Field,
    NothingMeasuredError,
    accepting_published,
    deadline,
    find_candidates,
    known_class,
)
from zoo.picker.deciding import INFINITE, LATENCY, Asked, Loser, Step, decide, lose, notes, reasons, told
from zoo.picker.several import Candidate, artifact_of, as_shipped, worst
from zoo.score.commands import flags_for, measured_on, preset_words
from zoo.score.comparing import (
    ARTIFACT,
    Group,
    baseline_for,
    pareto_front,
    place_of,
    say_slower,
    slower_int8,
    tell_apart,
)
from zoo.score.fields import quoted
from zoo.score.filtering import each_of, require_fields, select, several_of
from zoo.score.licences import NO_ADVICE
from zoo.score.limits import Limit, read_value
from zoo.score.metrics import COST, METRICS, NO_PRICE, Metric, metric_named
from zoo.score.paired import Pairs
from zoo.score.reading import NO_MODEL_YET, read_rows
from zoo.score.rows import Row
from zoo.store import DEFAULT, shipped_of
from zoo.units import parse_per_second, parse_price

ACCEPTABLE = ("published",)
OLD_LIMITS = {
    "max_latency_s": LATENCY,
    "max_memory_bytes": "peak_memory_bytes",
    "max_param_count": "param_count",
    "min_miou": "miou",
}
"""Keywords that stand for a limit → its metric."""
THROUGHPUT = "throughput_per_s"
BY_THROUGHPUT, BY_LATENCY = "throughput", "pipeline p50, one call after the other"
"""What a cost follows from: the second where throughput is not known of all that are chosen from."""
NEAR = 0.25
"""Relative excess up to which a row is a near miss of one that qualifies."""
FEW = 3


@dataclass(frozen=True)
class Choice:
    """The answer of `pick`."""

    winner: Row | None
    """On several devices each of its numbers where it is worst."""
    label: str
    """The winner's name, with what tells it from other rows of its model."""
    reasons: tuple[str, ...]
    losers: tuple[Loser, ...]
    """Those that qualify first, then by how far they are off."""
    near_misses: tuple[Loser, ...]
    """The nearest by one number alone: of all when nothing qualifies, else of those that would beat the winner."""
    notes: tuple[str, ...]
    """Versions that were left out, ties and cautions."""
    group: Group
    """What all rows share; of several devices both names."""
    asked: Asked
    front: tuple[Row, ...] = ()
    """Of those that qualify the Pareto set of `axes`: none is as good in all and better in one, as they are shown. A
    winner that is not among them stands behind: it lacks one of the numbers, or is beaten by what reads alike."""
    axes: tuple[Metric, ...] = (METRICS[LATENCY], METRICS["miou"])
    """A latency or what is made best, mIoU or what stands in its place, and what else decided among ties."""
    left_out: tuple[tuple[str, int], ...] = ()
    """Why rows took no part, and how many."""
    elimination: tuple[str, ...] = ()
    """From all records to the winner, a line a step."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """By key, of every row."""
    batched: bool = False
    """Whether costs follow from throughput: it is known of all that take part."""
    at_hz: float | None = None
    """Frames a second that were to be kept up with."""
    pairs: Pairs = field(default_factory=Pairs, repr=False)
    """What the rows were held against each other by."""
    here: tuple[machine.Named, ...] = ()
    """This machine's devices."""
    warnings: tuple[str, ...] = ()
    """Files that could not be read."""

    @property
    def rows(self) -> list[Row]:
        """The winner, if there is one, and the others."""
        return [*([self.winner] if self.winner else []), *(loser.row for loser in self.losers)]

    @property
    def winners(self) -> tuple[Row, ...]:
        """The rows that the winner was made of, one a machine; none where nothing qualifies."""
        return () if self.winner is None else self.winner.measured

    @functools.cached_property
    def rests_on_several(self) -> bool:
        """Whether its rows were measured on machines that stand differently to this one."""
        return len({measured_on(part, self.here) for row in self.rows for part in row.measured}) > 1

    @property
    def quick(self) -> bool:
        """True when only smoke tests were there to choose from."""
        return self.group.quick


@paused()
def pick(
    results: Path | str | Iterable[Row] | None = None,
    *,
    limits: Limit | str | Iterable[Limit | str] | None = (),
    objective: str = "miou",
    models: Sequence[str] = (),
    sale: bool = False,
    at: str | float | None = None,
    accept: Sequence[str] = (),
    price: float | str | None = None,
    **conditions: object,
) -> Choice:
    """Choose the best row of one comparable group that keeps every limit; weights, runtime, precision, size are free.

    Best is what nothing beats in the objective by more than can be told (`score.paired`); among those that tie with the
    highest, mIoU, then latency, then memory decides. Of several versions of a dataset or recipe the one measured last
    is taken, with a note.

    Args:
        results: A folder of records, or rows (whose mIoU is then told apart by intervals alone); `None`: `results`,
            else the records that come with zoo.
        limits: Each `"latency<=50ms"`, `"iou.person>=0.5"`, or a `Limit`, or one such; metrics are named as in
            `metric_named`.
        objective: The metric that is made best.
        models: Only these: names, globs or tags.
        sale: Only rows whose code, weights and training data are all known to be free of terms against a sale.
        at: Frames a second, as a number or `"10hz"`: of rows that were paced at it at most 1 % of the deadlines may be
            missed; where there are none, the p99 of calls made one after the other has to fit the period.
        accept: `"published"`: mIoU that others state of Cityscapes val stands where none was measured.
        price: Of an hour of a device, 2.49 or `"2.49/h"`: then `cost`, of a million images, is a metric as any other.
        conditions: Only rows with these values, or one of a list: `device`, `dataset`, `weights`, `recipe`,
            `input_size`, `runtime`, `precision`, `batch_size`, `quick`, … (`score.fields.FIELDS`). Of several devices
            a model keeps the limits on all, on each as what would be chosen there (`several.as_shipped`).
            `max_latency_s`, `max_memory_bytes`, `max_param_count` and `min_miou` stand for limits.

    Raises:
        NothingMeasuredError: no records, or none of all that is asked for together, or that has its numbers.
        UserError: an unknown metric or filter, or rows that may not be compared.
    """
    old = {name: conditions.pop(name) for name in OLD_LIMITS if name in conditions}
    require_fields(conditions, *_OWN)
    bounds = _bounds(limits, old)
    rate = None if at is None else parse_per_second(str(at))
    accept = _accepted(accept)
    goal, price = metric_named(objective), _per_hour(price)
    if price is None and COST in {goal, *(limit.metric for limit in bounds)}:
        raise UserError(NO_PRICE)
    rows, warnings, pairs = _read(results)
    devices = _listed(conditions.get("device"))
    _require_measured(rows, devices, results)
    every = _asked_for(rows, models, conditions)
    if accept:
        every = accepting_published(every)
    if price is not None:  # by whatever is known, to find who takes part
        every = [_priced(row, price, batched=row.value(THROUGHPUT) is not None) for row in every]
    bounds = [replace(limit, metric=known_class(limit.metric, every)) for limit in bounds]
    goal = known_class(goal, every)
    needed = [goal, *(limit.metric for limit in bounds)]
    found = find_candidates(every, needed, devices, here := machine.here(), rate, named=bool(conditions.get("rate_hz")))
    batched = _all_batched(found)
    if price is not None and not batched:
        found = _by_latency(found, price)
    bounds += [] if rate is None else [deadline(found.groups[0], rate)]
    if not isinstance(sale, bool):
        raise UserError(f"sale is True or False; got {sale!r}")
    asked = Asked(tuple(bounds), goal, sale)
    choice = replace(_choose(found, asked, every, pairs), batched=batched, at_hz=rate)
    ahead = [counted(len(rows), "record")]
    if len(every) < len(rows):
        ahead.append(f"- {len(rows) - len(every)} that were not asked for")
    own = (
        _accept_note(found, accept),
        _rate_note(found, rate, _listed(conditions.get("rate_hz"))),
        _sale_note(choice),
        _weights_note(choice),
        *_int8_notes(choice, rows),
        "" if price is None else _cost_note(found, batched=batched),
    )
    said = (*found.notes, *choice.notes, *(note for note in own if note))
    return replace(choice, notes=said, warnings=warnings, here=here, elimination=(*ahead, *choice.elimination))


_OWN = ("results", "limits", "objective", "models", "sale", "at", "accept", "price", *OLD_LIMITS)
"""What `pick` takes besides conditions."""


def _accepted(words: object) -> tuple[str, ...]:
    what = f"accept takes {listed(ACCEPTABLE)}"
    for word in (found := several_of(words, str, what)):
        if word not in ACCEPTABLE:
            raise UserError(f"{what}; got {word!r}{did_you_mean(word, ACCEPTABLE)}")
    return found


def _per_hour(price: float | str | None) -> float | None:
    return None if price is None else parse_price(price if isinstance(price, str) else f"{price}/h")


def _bounds(limits: Limit | str | Iterable[Limit | str] | None, old: Mapping[str, object]) -> list[Limit]:
    """What is asked of numbers; `old`: keywords of `OLD_LIMITS`, as text or in SI units."""
    given = several_of(limits, (Limit, str), "a limit is text, such as 'latency<=50ms', or of zoo.Limit")
    bounds = [limit if isinstance(limit, Limit) else Limit.parse(limit) for limit in given]
    for name, value in old.items():
        metric = METRICS[OLD_LIMITS[name]]
        if isinstance(value, str):
            bounds.append(Limit(metric, read_value(metric, value)))
        elif isinstance(value, Real) and 0 <= float(value) <= (1 if metric.unit == "%" else sys.float_info.max):
            bounds.append(Limit(metric, float(value)))
        elif value is not None:
            most = "a fraction, such as 0.4" if metric.unit == "%" else "a number in SI units"
            raise UserError(f"{name} is {most}, or text with its unit; got {value!r}")
    return bounds


def _read(source: Path | str | Iterable[Row] | None) -> tuple[list[Row], tuple[str, ...], Pairs]:
    if not (source is None or isinstance(source, Path | str)):
        rows = list(source) if isinstance(source, Iterable) else [source]
        if not all(isinstance(row, Row) for row in rows):
            raise UserError(f"a choice is made of a results folder or of rows; got {type(source).__name__}: name it")
        if not rows:
            raise NothingMeasuredError(NO_MODEL_YET)
        return rows, (), Pairs()
    try:
        found = read_rows(source)
    except UserError as error:  # no readable record
        raise NothingMeasuredError(str(error)) from error
    return list(found.rows), found.warnings, Pairs(found.sources)


def _require_measured(rows: list[Row], devices: Sequence[str], source: Path | str | Iterable[Row] | None) -> None:
    is_named = isinstance(source, Path | str) and str(source) != str(DEFAULT)
    merge = f"`zoo merge DIR --into {quoted(str(source))}`" if is_named else "`zoo merge DIR`"
    there = list(dict.fromkeys(row.device for row in rows if not row.baseline))
    for device in devices:
        if there and device not in there:
            raise NothingMeasuredError(
                f"nothing was measured on {device!r}.{did_you_mean(device, there)}{shipped_of(device)} There is: "
                f"{', '.join(there)}; {merge} takes in what was measured elsewhere"
            )


def _asked_for(rows: list[Row], models: Sequence[str], conditions: Mapping[str, object]) -> list[Row]:
    try:
        return select(rows, models=models, **conditions)
    except UserError as error:
        try:
            select(rows, models=models)
            for name, value in conditions.items():
                select(rows, models=(), **{name: value})
        except UserError:  # what no row has is a mistake
            raise error from None
        raise NothingMeasuredError(str(error)) from error


def _listed(value: object) -> list[str]:
    return [] if value is None else list(map(str, each_of(value)))


def _choose(found: Field, asked: Asked, every: list[Row], pairs: Pairs) -> Choice:
    row_of = [(candidate, as_shipped(candidate, asked, pairs)) for candidate in found.candidates]
    rows = [row for _, row in row_of]
    facts = ARTIFACT if len(found.groups) == 1 else ("input_size",)
    labels = dict(zip((row.key for row in rows), tell_apart(rows, (*facts, "weights")), strict=True))
    fit = [row for candidate, row in row_of if not candidate.missing and asked.fits(row)]
    winner, steps = decide(fit, asked, pairs)
    losers = [
        _loser(row, labels[row.key], candidate.missing, winner, asked, steps)
        for candidate, row in row_of
        if row is not winner
    ]
    losers.sort(key=lambda loser: (loser.miss, asked.rank(loser.row)))
    group = found.groups[0]._replace(device=" and ".join(group.device for group in found.groups))
    axes = _axes(asked, fit, steps)
    front = pareto_front(fit, *(metric.key for metric in axes))
    why, said = list[str](), list[str]()
    if winner is not None:
        why = reasons(winner, len(fit), len(rows), asked, steps, labels)
        said = notes(winner, asked, steps, pairs, baseline_for(found.groups[0], every), labels)
        said += _other_machines(winner, rows, asked)
    return Choice(
        winner=winner,
        label=labels[winner.key] if winner else "",
        reasons=tuple(why),
        losers=tuple(losers),
        near_misses=_near(losers, fit, asked, pairs),
        notes=tuple(said),
        group=group,
        asked=asked,
        front=(*front, *([winner] if winner is not None and winner not in front else [])),
        axes=axes,
        left_out=found.left_out,
        elimination=tuple(_elimination(found, rows, losers, fit, asked, steps)),
        labels=labels,
        pairs=pairs,
    )


def _loser(
    row: Row, label: str, missing: tuple[str, ...], winner: Row | None, asked: Asked, steps: list[Step]
) -> Loser:
    if not missing or row.status != "ok":
        return lose(row, label, winner, asked, steps)
    return Loser(row, label, "elsewhere", (f"not measured on {' and '.join(missing)}",), INFINITE)


def _near(losers: list[Loser], fit: list[Row], asked: Asked, pairs: Pairs) -> tuple[Loser, ...]:
    known = [loser for loser in losers if 0 < loser.miss < INFINITE and loser.kind == "limit"]
    if fit:
        better = [loser for loser in known if len(loser.why) == 1 and loser.miss <= NEAR]
        known = [loser for loser in better if decide([*fit, loser.row], asked, pairs)[0] is loser.row]
    return tuple(known[:FEW])


def _other_machines(winner: Row, rows: list[Row], asked: Asked) -> list[str]:
    """That the same artifact breaks a limit on another machine of the device's name; of several devices all count."""
    own = artifact_of(winner)
    others = [row for row in rows if row is not winner and row.status == "ok" and artifact_of(row) == own]
    broken = [f"{why[0]} on #{row.machine_id[:4]}" for row in others if (why := asked.broken(row))]
    return [f"another machine of this name does not keep what is asked: {listed(broken)}"] if broken else []


def _axes(asked: Asked, fit: list[Row], steps: list[Step]) -> tuple[Metric, ...]:
    """Of the Pareto set: a latency and mIoU, each in place of the other's where it is what is made best; what decided.

    Without what decided among ties, the winner might not stand among the rows that nothing beats.
    """
    scored = any(row.miou is not None for row in fit)
    if asked.goal.unit == "%":
        first = asked.latency, asked.goal
    elif scored:
        first = asked.goal, METRICS["miou"]
    else:
        memory = METRICS["peak_memory_bytes"]
        first = asked.goal, asked.latency if asked.goal.key == memory.key else memory
    return tuple(dict.fromkeys((*first, *(step.metric for step in steps))))


def _elimination(
    found: Field, rows: list[Row], losers: list[Loser], fit: list[Row], asked: Asked, steps: list[Step]
) -> Iterable[str]:
    """The steps from what was asked for to the winner, each with how many rows it takes away; a row may break two."""
    for why, count in found.left_out:
        yield f"- {count} {why}"
    if len(found.groups) > 1:
        yield f"= {counted(found.row_count, 'row')}, which are those of {counted(len(rows), 'model')}"
    yield f"= {counted(len(rows), 'row')} that may be compared"
    for kind, what in (("failed", "not ok"), ("elsewhere", "not measured on every device")):
        if count := sum(loser.kind == kind for loser in losers):
            yield f"- {count} {what}"
    able = [loser.row for loser in losers if loser.kind not in {"failed", "elsewhere"}]
    for limit in asked.limits:
        unknown = sum(row.value(limit.metric.key) is None for row in able)
        count = sum(not limit.holds(row) for row in able)
        beside = f", of {unknown} it is not known" if unknown else ""
        yield f"- {count} break {limit.say()}{beside}"
    if unknown := sum(row.value(asked.goal.key) is None for row in able):
        yield f"- {unknown} whose {asked.goal.title} is not known"
    if asked.for_sale:
        yield f"- {sum(bool(row.licences.why_not_for_sale()) for row in able)} not known to be for sale"
    yield f"= {len(fit)} qualify" + ("; one row may break several" if len(asked.limits) + asked.for_sale > 1 else "")
    for step in steps:
        how = "tie with the best" if len(step.left) > 1 else "is best"
        yield f"{step.metric.title}: of {len(step.before)}, {len(step.left)} {how}"


def _accept_note(found: Field, accept: Sequence[str]) -> str:
    if not accept:
        return ""
    if count := sum(any(row.accepted for row in candidate.rows) for candidate in found.candidates):
        said = f"{count} of {len(found.candidates)} have a published mIoU, counted by others on Cityscapes val"
        return f"{said} at their own input size: not of the very file that was timed, nor always at the size it was fed"
    said = "no published mIoU took part: the rows were scored here, or on other images than Cityscapes val"
    return f"{said}; --dataset none chooses among those that time speed alone"


def _rate_note(found: Field, rate: float | None, asked: Sequence[str]) -> str:
    """What a rate was held against; `asked`: of which rates rows were asked for, where they were."""
    if rate is None:
        return ""
    said = f"at {rate:g} Hz a frame comes every {METRICS['pipeline_p99_s'].say(1 / rate)}"
    paced_at = found.groups[0].rate_hz
    if paced_at == rate:
        return f"{said}: calls that were paced at that rate, and the deadlines they missed, decide"
    calls = "made one after the other" if paced_at is None else f"paced at {paced_at:g} Hz"
    said = f"{said}: held against the p99 of calls {calls}"
    if asked:
        return f"{said}, as was asked for"
    return f"{said}; between frames a machine may fall asleep, and only paced calls tell"


def _sale_note(choice: Choice) -> str:
    if not choice.asked.for_sale:
        return ""
    if choice.winner is not None and choice.winner.licences.code_alone:
        return f"its weights are random: only the code's licence counted ({NO_ADVICE})"
    return f"for sale: {NO_ADVICE}"


def _weights_note(choice: Choice) -> str:
    """That the winner on several devices is not one file."""
    if len({place.weights_sha256 for place in choice.winners if place.weights_source == "run"}) < 2:
        return ""
    scores = ", ".join(
        f"{told(place, METRICS['miou'])} on {place_of(place, choice.winners)}" for place in choice.winners
    )
    return f"not one training for all: its weights are of the same recipe, and differ by device (mIoU {scores})"


def _int8_notes(choice: Choice, rows: list[Row]) -> list[str]:
    """That the winner, in int8, is slower than its fp32, which may be among the rows that were not asked for."""
    return say_slower(slower_int8([place for place in choice.winners if place.precision == "int8"], rows))


def _all_batched(found: Field) -> bool:
    """Whether throughput is known of all that are timed and may be chosen."""
    places = [place for candidate in found.candidates if not candidate.missing for place in candidate.rows]
    timed = [place for place in places if place.status == "ok" and place.value(LATENCY) is not None]
    return all(place.value(THROUGHPUT) is not None for place in timed)


def _by_latency(found: Field, price_per_hour: float) -> Field:
    """The candidates with costs that follow from pipeline p50 alone."""

    def priced(candidate: Candidate) -> Candidate:
        there = (
            tuple(worst([_priced(row, price_per_hour, batched=False) for row in one.measured]) for one in artifacts)
            for artifacts in candidate.artifacts
        )
        return replace(candidate, artifacts=tuple(there))

    return replace(found, candidates=tuple(map(priced, found.candidates)))


def _cost_note(found: Field, *, batched: bool) -> str:
    """That costs do not follow from throughput, though it is known of some."""
    places = [place for candidate in found.candidates for place in candidate.rows]
    known = sum(place.value(THROUGHPUT) is not None for place in places)
    if batched or not known:
        return ""
    words = ["zoo bench", *preset_words(places, [METRICS[THROUGHPUT]]), *flags_for({THROUGHPUT}, None)]
    return (
        f"costs follow from {BY_LATENCY}, of all alike: only {known} of {counted(len(places), 'row')} "
        f"{'knows' if known == 1 else 'know'} the throughput; `{' '.join(words)}` measures it"
    )


def _priced(row: Row, price_per_hour: float, *, batched: bool) -> Row:
    """The row with its cost; where that follows from pipeline p50, so does its interval."""
    cost, by = cost_per_million(row, price_per_hour, batched=batched)
    latency, span = row.pipeline_p50_s, row.interval(LATENCY)
    of_latency = (span[0] / latency * cost, span[1] / latency * cost) if by == BY_LATENCY and span and latency else None
    return row._replace(
        numbers={**row.numbers, COST.key: None if math.isnan(cost) else cost},
        intervals={**row.intervals, COST.key: of_latency},
    )


def cost_per_million(row: Row, price_per_hour: float, *, batched: bool) -> tuple[float, str]:
    """Return what a million images cost on a row's device, and from which number that follows.

    Of batches throughput; of paced calls their rate; else one call after the other, by pipeline p50. NaN where that
    number is not known. Costs that follow from different ones are not to be held against each other.
    """
    rate = row.value(THROUGHPUT) if batched else row.rate_hz
    if rate is not None:
        return price_per_hour / 3600 * 1e6 / rate, BY_THROUGHPUT if batched else row.pace
    latency = None if batched else row.value(LATENCY)
    if latency is None:
        return math.nan, "nothing that was measured"
    return price_per_hour / 3600 * 1e6 * latency / row.batch_size, BY_LATENCY
