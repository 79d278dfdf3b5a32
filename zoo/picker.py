"""One model for your limits, with its reasons: what won, why the others lost, and how near the nearest came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from zoo.errors import UserError, did_you_mean, listed
from zoo.record import SPEED_PROTOCOL
from zoo.score.comparing import (
    ARTIFACT,
    Group,
    baseline_for,
    differences,
    group_of,
    latest,
    sharing,
    tell_apart,
    these_weights,
)
from zoo.score.fields import flag_for
from zoo.score.filtering import VERSIONS, newest_versions, select, version_of
from zoo.score.limits import Limit
from zoo.score.metrics import METRICS, Metric, metric_named
from zoo.score.paired import INTERVAL, SPREAD, Pairs, Tie
from zoo.score.reading import NO_MODEL_YET, read_rows
from zoo.score.rows import MAX_MIOU_LOSS, WHOLE, Row
from zoo.units import parse_seconds

LATENCY = "pipeline_p50_s"
"""The latency meant where none is named: the pipeline scope is what a user waits for."""
LATENCIES = tuple(key for key in METRICS if key.startswith(("pipeline_p", "latency_p")))

NEXT = ("miou", LATENCY, "peak_memory_bytes")
"""What decides among rows that tie in the objective, in order."""
CHANCE = "whether by more than chance is not known"


@dataclass(frozen=True)
class Loser:
    """A row that was not chosen."""

    row: Row
    label: str
    kind: Literal["tie", "behind", "unknown", "limit", "failed"]
    """`tie`: in the objective, and behind in what decided among ties; `unknown`: whether it is behind by more than
    chance is not known; `limit`: it breaks one, or its number is not known."""
    why: tuple[str, ...]
    miss: float
    """0 for a row that qualifies, else the worst relative excess over a limit."""


@dataclass(frozen=True)
class Choice:
    """The answer of `pick`."""

    winner: Row | None
    label: str
    """The winner's name, with what tells it from other rows of its model."""
    reasons: tuple[str, ...]
    losers: tuple[Loser, ...]
    """Those that qualify first, then by how far they are off."""
    near_misses: tuple[Loser, ...]
    """When nothing qualifies: the nearest three."""
    notes: tuple[str, ...]
    """Versions that were left out, ties and cautions."""
    group: Group
    warnings: tuple[str, ...] = ()
    """Files that could not be read."""

    @property
    def quick(self) -> bool:
        """True when only smoke tests were there to choose from."""
        return self.group.quick


def pick(
    source: Path | str | Iterable[Row] = "results",
    *,
    max_latency_s: float | None = None,
    latency: str = LATENCY,
    max_memory_bytes: float | None = None,
    max_param_count: float | None = None,
    min_miou: float | None = None,
    objective: str = "miou",
    models: Sequence[str] = (),
    **conditions: object,
) -> Choice:
    """Choose the best row of one comparable group that keeps every limit; weights, runtime, precision, size are free.

    Best is what nothing beats in the objective by more than can be told (`score.paired`); among those that tie with the
    highest, `NEXT` decides. Of several versions of a dataset or recipe the one measured last is taken, with a note.

    Args:
        source: A results folder, or rows (whose mIoU is then told apart by intervals alone).
        max_latency_s: Seconds, of the metric named by `latency`.
        latency: `pipeline_p50_s`, `…_p90_s`, `…_p99_s`, `…_p999_s`, or `latency_…` for the network alone.
        max_memory_bytes: Peak memory of inference.
        max_param_count: Parameters of the deployed network.
        min_miou: A fraction.
        objective: What is made best: `miou`, `latency` (the metric named by `latency`), `memory`, `params`, `macs`.
        models: Only these: names, globs or tags.
        conditions: Only rows with these values, or one of a list: `device`, `dataset`, `weights`, `recipe`,
            `input_size`, `runtime`, `precision`, `batch_size`, `quick`, … (`score.fields.FIELDS`).

    Raises:
        UserError: no records, an unknown objective, latency or filter, or rows that may not be compared.
    """
    aim = metric_named(objective)
    if latency not in LATENCIES:
        raise UserError(f"no latency {latency!r}.{did_you_mean(latency, LATENCIES)} Allowed: {', '.join(LATENCIES)}")
    warnings: tuple[str, ...] = ()
    pairs = Pairs()
    if isinstance(source, Path | str):
        found = read_rows(Path(source))
        source, warnings, pairs = found.rows, found.warnings, Pairs(found.sources)
    every = select(source, models=models, **conditions)
    goal = METRICS[latency] if aim.key == LATENCY else aim
    asked = {
        latency: max_latency_s,
        "peak_memory_bytes": max_memory_bytes,
        "param_count": max_param_count,
        "miou": min_miou,
    }
    limits = [Limit(METRICS[key], value) for key, value in asked.items() if value is not None]
    group, notes = _one_group(every, [goal, *(limit.metric for limit in limits)])
    rows = [row for row in latest(every) if not row.baseline and group_of(row) == group]
    choice = _choose(rows, limits, goal, baseline_for(group, every), pairs)
    return replace(choice, notes=(*notes, *choice.notes), warnings=warnings)


def parse_latency(text: str) -> tuple[str, float]:
    """Read `25ms`, `p99:25ms` or `network:p90:0.5s` as a metric's key and seconds; pipeline p50 where nothing is named.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"(?:(pipeline|network)\s*:)?\s*(?:p(50|90|99|99\.9)\s*:)?([^:]*)", text.strip().lower())
    try:
        seconds = parse_seconds(match[3]) if match else 0.0
    except UserError:
        seconds = 0.0
    if match is None or not seconds:
        raise UserError(f"a latency is a time with its unit, such as 25ms, p99:25ms or network:p90:0.5s; got {text!r}")
    scope = "latency" if match[1] == "network" else "pipeline"
    return f"{scope}_p{(match[2] or '50').replace('.', '')}_s", seconds


def _one_group(rows: list[Row], needed: list[Metric]) -> tuple[Group, tuple[str, ...]]:
    """The group to choose from, and which it was preferred to.

    Quick rows, those of an older protocol and those of frames not read whole take part only where there are no others.
    """
    measured = [row for row in rows if not row.baseline]
    if not measured:
        raise UserError(NO_MODEL_YET)
    asked = [row for row in measured if not row.quick] or measured
    kind = "record" if len(asked) == len(measured) else "full record"
    usable = [
        row for row in asked if row.status == "ok" and all(row.value(metric.key) is not None for metric in needed)
    ]
    if not usable:
        if any(row.status == "ok" for row in asked):
            missing = [metric.title for metric in needed if all(row.value(metric.key) is None for row in asked)]
            what = ", ".join(missing) or " and ".join(metric.title for metric in needed)
            how = (
                "train with `zoo train MODEL --data DIR` or name weights with `zoo bench --weights MODEL=FILE`"
                if "mIoU" in missing
                else "measure with `zoo bench`"
            )
            if missing == ["mIoU"] == [needed[0].title] and all(metric.key != "miou" for metric in needed[1:]):
                how = f"choose by something else with --objective (latency, memory, params, macs), or {how}"
            raise UserError(f"no {kind} has a {what}; {how}")
        why = list(dict.fromkeys(f"{row.status}: {row.reason or 'no reason was recorded'}" for row in asked))
        raise UserError(f"no {kind} here is ok; {listed(why, 1)}; `zoo leaderboard` names all")
    others = {row.mode for row in usable} - {WHOLE}
    usable = [row for row in usable if row.mode == WHOLE] or usable
    usable, notes = newest_versions([row for row in usable if row.protocol == SPEED_PROTOCOL] or usable)
    if others and all(row.mode == WHOLE for row in usable):
        which = " and ".join(sorted(others))
        notes += (f"rows scored by {which} are left out: frames are read whole; name another with --where mode=…",)
    groups = list(dict.fromkeys(group_of(row) for row in usable))
    if len(groups) > 1:
        raise UserError(_may_not_be_compared(groups))
    (group,) = groups
    if older := {row.protocol for row in measured if not row.quick} - {group.protocol}:
        notes += (f"rows of {', '.join(sorted(older))} are left out: {group.protocol} measures by other rules",)
    return group, notes


def _may_not_be_compared(groups: list[Group]) -> str:
    found = differences(*groups)
    for field, version in VERSIONS.items():
        if version in found:
            del found[version]
            found[field] = list(dict.fromkeys(version_of(group, field) for group in groups))
    said = "; ".join(f"{field.replace('_', ' ')} is {' or '.join(values)}" for field, values in found.items())
    alone = next((field for field, values in found.items() if len(values) == len(groups)), None)  # which tells them all
    asked = {alone: found[alone]} if alone else found
    how = [flag_for(field, values[0]) for field, values in asked.items()]
    return f"these records may not be compared with each other: {said}; choose one, such as with {' '.join(how)}"


@dataclass(frozen=True)
class _Step:
    """One criterion: of the rows before it, those that nothing is known to beat are left."""

    metric: Metric
    best: Row
    before: list[Row]
    left: list[Row]
    ties: dict[str, Tie]
    """By key, of every row that was there before against the best."""


def _decide(fit: list[Row], goal: Metric, pairs: Pairs) -> tuple[list[Row], list[_Step]]:
    """The winner first; and how it came about. A tie is always one with the best, since ties do not add up."""
    steps: list[_Step] = []
    pool = sorted(fit, key=lambda row: _rank(row, goal))
    for metric in (goal, *(METRICS[key] for key in NEXT if key != goal.key)):
        known = [row for row in pool if row.value(metric.key) is not None]
        if len(pool) < 2 or not known:
            continue
        best = min(known, key=lambda row: (_signed(row, metric), _rank(row, goal)))
        ties = {row.key: pairs.tie(row, best, metric.key) for row in pool}
        left = [row for row in pool if row is best or ties[row.key].tie]
        steps.append(_Step(metric, best, pool, left, ties))
        pool = left
    return pool, steps


def _choose(rows: list[Row], limits: list[Limit], goal: Metric, baseline: Row | None, pairs: Pairs) -> Choice:
    labels = dict(zip((row.key for row in rows), tell_apart(rows, (*ARTIFACT, "weights")), strict=True))
    able = [row for row in rows if row.status == "ok" and row.value(goal.key) is not None]
    fit = [row for row in able if all(limit.holds(row) for limit in limits)]
    pool, steps = _decide(fit, goal, pairs)
    winner = pool[0] if pool else None
    losers = [_loser(row, labels[row.key], winner, limits, goal, steps) for row in rows if row is not winner]
    losers.sort(key=lambda loser: (loser.miss, _rank(loser.row, goal)))
    near = [loser for loser in losers if loser.miss < float("inf")][:3] if winner is None else []
    return Choice(
        winner=winner,
        label=labels[winner.key] if winner else "",
        reasons=_reasons(winner, fit, rows, limits, goal, steps, labels) if winner else (),
        losers=tuple(losers),
        near_misses=tuple(near),
        notes=_notes(winner, fit, limits, goal, steps, baseline, labels) if winner else (),
        group=group_of(rows[0]),
    )


def _signed(row: Row, metric: Metric) -> float:
    """Lower is better; infinite where unknown."""
    value = row.value(metric.key)
    return float("inf") if value is None else -value if metric.better == "higher" else value


def _rank(row: Row, goal: Metric) -> tuple[object, ...]:
    """Best first; equal ones by what decides next, and by name."""
    return _signed(row, goal), *(_signed(row, METRICS[key]) for key in NEXT), row.model, row.key


def _loser(row: Row, label: str, winner: Row | None, limits: list[Limit], goal: Metric, steps: list[_Step]) -> Loser:
    if row.status != "ok":
        return Loser(row, label, "failed", (f"{row.status}: {row.reason or 'no reason was recorded'}",), float("inf"))
    broken = []
    for limit in limits:
        value, metric = row.value(limit.metric.key), limit.metric
        if value is None:
            broken.append(f"{metric.title} is not known")
        elif not limit.holds(row):
            sign = "<" if metric.better == "higher" else ">"
            off = _percent(limit.miss(row))
            broken.append(f"{metric.title} {metric.say(value)} {sign} {metric.say(limit.value)} ({off} off)")
    unscored = row.value(goal.key) is None
    if unscored and goal.key not in {limit.metric.key for limit in limits}:
        broken.append(f"{goal.title} is not known")
    if broken or winner is None:
        miss = float("inf") if unscored else max((limit.miss(row) for limit in limits), default=0.0)
        return Loser(row, label, "limit", tuple(broken), miss)
    last = next((step for step in steps if row not in step.left), None)
    first = f"{goal.title} {goal.say(row.value(goal.key))}"
    best = goal.say(steps[0].best.value(goal.key))
    if last is steps[0]:
        if last.ties[row.key].tie is None:
            return Loser(row, label, "unknown", (f"{first} against {best}, {CHANCE}",), 0.0)
        return Loser(row, label, "behind", (f"{first}, behind {best}",), 0.0)
    tied = f"{first}, a tie with {best}"
    if last is None:
        return Loser(row, label, "tie", (f"{tied}, as in all else that decides",), 0.0)
    if row.value(last.metric.key) is None:
        return Loser(row, label, "tie", (f"{tied}; {last.metric.title} is not known",), 0.0)
    number, least = (last.metric.say(one.value(last.metric.key)) for one in (row, last.best))
    said = f" against {least}, {CHANCE}" if last.ties[row.key].tie is None else f", behind {least}"
    return Loser(row, label, "tie", (f"{tied}; {last.metric.title} {number}{said}",), 0.0)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _reasons(
    winner: Row,
    fit: list[Row],
    rows: list[Row],
    limits: list[Limit],
    goal: Metric,
    steps: list[_Step],
    labels: dict[str, str],
) -> tuple[str, ...]:
    found = f"{len(fit)} of {len(rows)} rows qualify" if len(fit) > 1 else f"the only one of {len(rows)} that qualifies"
    lines = []
    for step in steps:
        metric, said = step.metric, step.metric.say(winner.value(step.metric.key))
        if winner is step.best:
            said = f"{_superlative(metric)} {metric.title}: {said}"
        else:
            best = metric.say(step.best.value(metric.key))
            said = f"{metric.title} {said}, a tie with the {_superlative(metric)}: {best} of {labels[step.best.key]}"
        lines.append(f"{said} ({found if step is steps[0] else f'of the {len(step.before)} that tie'})")
    lines = lines or [f"{_superlative(goal)} {goal.title}: {goal.say(winner.value(goal.key))} ({found})"]
    return *lines, *(f"{limit.say()}: {limit.metric.say(winner.value(limit.metric.key))}" for limit in limits)


def _superlative(metric: Metric) -> str:
    return "highest" if metric.better == "higher" else "lowest"


def _notes(
    winner: Row,
    fit: list[Row],
    limits: list[Limit],
    goal: Metric,
    steps: list[_Step],
    baseline: Row | None,
    labels: dict[str, str],
) -> tuple[str, ...]:
    notes = []
    if steps and len(steps[0].left) > 1:
        first = steps[0]
        tied = [labels[row.key] for row in first.left if row is not winner]
        how = dict.fromkeys(first.ties[row.key].by for row in first.left if row is not first.best)
        notes.append(
            f"tie: {listed(tied)} cannot be told from the {_superlative(goal)} {goal.title} ({' or '.join(how)}); "
            f"a difference under {goal.said_least} never decides"
        )
    if goal.key == "miou" and len(fit) > 1:
        others = sorted((row for row in fit if row not in steps[0].left), key=lambda row: _rank(row, goal))
        if others:
            gap = f"{100 * ((steps[0].best.miou or 0) - (others[0].miou or 0)):.1f} points of mIoU"
            unknown = steps[0].ties[others[0].key].tie is None
            said = f"{gap} below the highest, {CHANCE}" if unknown else f"{gap} behind the highest"
            notes.append(f"{labels[others[0].key]} is {said}; {these_weights(winner)}")
        else:
            notes.append(f"{these_weights(winner)}: another training may order them otherwise")
    for limit in limits:
        span, metric = winner.span(limit.metric.key), limit.metric
        if span is None:
            continue
        known = SPREAD if metric.key == "miou" and winner.miou_spread is not None else INTERVAL
        if metric.better == "higher" and span[0] < limit.value:
            notes.append(f"{known} of {metric.title} reaches down to {metric.say(span[0])}, under the limit")
        elif metric.better == "lower" and span[1] > limit.value:
            notes.append(f"{known} of {metric.title} reaches {metric.say(span[1])}, over the limit")
    if baseline and baseline.miou and winner.miou is not None and winner.miou < baseline.miou:
        bar = METRICS["miou"].say(baseline.miou)
        notes.append(f"its mIoU is under the baseline's {bar}: the same map for every image is better")
    if shared := sharing(winner):
        notes.append(shared)
    if winner.loses_miou:
        lost = METRICS["miou_lost"].say(winner.miou_lost)
        notes.append(f"it loses {lost} of the mIoU it has in fp32, more than {MAX_MIOU_LOSS:.0%} of it")
    elif winner.miou_lost is None and not winner.is_reference:
        notes.append("its mIoU was not held against fp32")
    if winner.grade in {"B", "C"}:
        notes.append(f"measured with grade {winner.grade}: {', '.join(winner.grade_reasons)}")
    return tuple(notes)
