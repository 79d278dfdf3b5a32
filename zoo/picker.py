"""One model for your limits, with its reasons: what won, why the others lost, and how near the nearest came."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.errors import UserError, did_you_mean
from zoo.record import SPEED_PROTOCOL
from zoo.score.comparing import Group, baseline_for, differences, group_of, latest, sharing, tell_apart, tie
from zoo.score.metrics import METRICS, Metric
from zoo.score.reading import NO_MODEL_YET, read_rows, select
from zoo.score.rows import MAX_MIOU_LOSS, Row
from zoo.spec import Size

LATENCY = "pipeline_p50_s"
"""The latency meant where none is named: the pipeline scope is what a user waits for."""
LATENCIES = tuple(key for key, metric in METRICS.items() if metric.unit == "ms")

OBJECTIVES: dict[str, str] = {
    "miou": "miou",
    "latency": LATENCY,
    "memory": "peak_memory_bytes",
    "params": "param_count",
    "macs": "mac_count",
}
FLAGS = {
    "device": "--device",
    "dataset": "--dataset",
    "recipe": "--recipe",
    "batch_size": "--batch",
    "thread_count": "--threads",
    "resize": "--resize",
}
"""Group fields that `pick` can be told."""
HASHES = {"dataset_fingerprint": "--dataset", "recipe_hash": "--recipe"}


@dataclass(frozen=True)
class Limit:
    """A bound on one metric: at most for what is better lower, at least for what is better higher."""

    metric: Metric
    value: float

    def holds(self, row: Row) -> bool:
        """Whether a row is known to keep the limit."""
        value = row.value(self.metric.key)
        return value is not None and not self.metric.beats(self.value, value)

    def say(self) -> str:
        """Return the limit as words: `"pipeline p50 ≤ 25.0 ms"`."""
        return f"{self.metric.title} {'≥' if self.metric.better == 'higher' else '≤'} {self.metric.say(self.value)}"

    def miss(self, row: Row) -> float:
        """Return how far a row is off, relative to the limit: 0.2 is 20 % too much; infinite where unknown."""
        value = row.value(self.metric.key)
        if value is None:
            return float("inf")
        return 0.0 if self.holds(row) else abs(value - self.value) / self.value if self.value else float("inf")


@dataclass(frozen=True)
class Loser:
    """A row that was not chosen."""

    row: Row
    label: str
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
    """Ties and cautions."""
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
    device: str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    input_size: Size | None = None,
    batch_size: int | None = None,
    thread_count: int | None = None,
    resize: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
) -> Choice:
    """Choose the best row of one comparable group that keeps every limit; runtime, precision and input size are free.

    Args:
        source: A results folder, or rows.
        max_latency_s: Seconds, of the metric named by `latency`.
        latency: `pipeline_p50_s`, `…_p90_s`, `…_p99_s`, `…_p999_s`, or `latency_…` for the network alone.
        max_memory_bytes: Peak memory of inference.
        max_param_count: Parameters of the deployed network.
        min_miou: A fraction.
        objective: What is made best: `miou`, `latency` (the metric named by `latency`), `memory`, `params`, `macs`.
        device: Only this device's slug.
        dataset: Only this dataset's name.
        recipe: Only this recipe's name.
        input_size: Only this `(height, width)`.
        batch_size: Only this batch size.
        thread_count: Only this number of CPU threads.
        resize: Only frames brought to the input size this way: `fit`, `stretch` or `none`.
        runtime: Only this runtime.
        precision: Only this precision.

    Raises:
        UserError: no records, an unknown objective, latency or filter, or rows that may not be compared.
    """
    if objective not in OBJECTIVES:
        raise UserError(
            f"no objective {objective!r}.{did_you_mean(objective, OBJECTIVES)} Allowed: {', '.join(OBJECTIVES)}"
        )
    if latency not in LATENCIES:
        raise UserError(f"no latency {latency!r}.{did_you_mean(latency, LATENCIES)} Allowed: {', '.join(LATENCIES)}")
    warnings: tuple[str, ...] = ()
    if isinstance(source, Path | str):
        found = read_rows(Path(source))
        source, warnings = found.rows, found.warnings
    every = select(
        source,
        device=device,
        dataset=dataset,
        recipe=recipe,
        input_size=input_size,
        batch_size=batch_size,
        thread_count=thread_count,
        resize=resize,
        runtime=runtime,
        precision=precision,
    )
    goal = METRICS[latency if objective == "latency" else OBJECTIVES[objective]]
    asked = {
        latency: max_latency_s,
        "peak_memory_bytes": max_memory_bytes,
        "param_count": max_param_count,
        "miou": min_miou,
    }
    limits = [Limit(METRICS[key], value) for key, value in asked.items() if value is not None]
    group = _one_group(every, [goal, *(limit.metric for limit in limits)])
    rows = [row for row in latest(every) if not row.baseline and group_of(row) == group]
    choice = _choose(rows, limits, goal, baseline_for(group, every))
    if older := {row.protocol for row in every if not row.baseline and not row.quick} - {group.protocol}:
        warnings += (f"rows of {', '.join(sorted(older))} are left out: {group.protocol} measures by other rules",)
    return replace(choice, warnings=warnings)


def parse_latency(text: str) -> tuple[str, float]:
    """Read `25ms`, `p99:25ms` or `network:p90:0.5s` as a metric's key and seconds; pipeline p50 where nothing is named.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"(?:(pipeline|network):)?(?:p(50|90|99|99\.9):)?([\d.]+)\s*(s|ms|us|µs)", text.strip())
    if match is None:
        raise UserError(f"a latency is a time with its unit, such as 25ms, p99:25ms or network:p90:0.5s; got {text!r}")
    scope = "latency" if match[1] == "network" else "pipeline"
    factor = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}[match[4]]
    return f"{scope}_p{(match[2] or '50').replace('.', '')}_s", _positive(match[3], text) * factor


def parse_bytes(text: str) -> float:
    """Read `500MiB` or `2GB` as bytes.

    Raises:
        UserError: anything else.
    """
    factors = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    match = re.fullmatch(r"([\d.]+)\s*([kmg]?i?b)", text.strip().lower())
    if match is None or match[2] not in factors:
        raise UserError(f"memory is a number with its unit, such as 500MiB or 2GB; got {text!r}")
    return _positive(match[1], text) * factors[match[2]]


def parse_count(text: str) -> float:
    """Read `10M`, `1.5G` or `300000` as a count.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"([\d.]+)\s*([kmgb]?)", text.strip().lower())
    if match is None:
        raise UserError(f"a count is a number such as 10M or 300000; got {text!r}")
    return _positive(match[1], text) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}[match[2]]


def parse_share(text: str) -> float:
    """Read `0.7` or `70%` as a fraction.

    Raises:
        UserError: anything else, or a fraction above 1.
    """
    match = re.fullmatch(r"([\d.]+)\s*(%?)", text.strip())
    share = _positive(match[1], text) * (0.01 if match[2] else 1) if match else float("inf")
    if share > 1:
        raise UserError(f"an mIoU is a fraction such as 0.7, or 70%; got {text!r}")
    return share


def _positive(digits: str, text: str) -> float:
    try:
        value = float(digits)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UserError(f"{text!r} is not a number above 0")
    return value


def _one_group(rows: list[Row], needed: list[Metric]) -> Group:
    """The group to choose from; quick rows and those of an older protocol take part only where there are no others."""
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
                "train with `zoo train MODEL --data DIR` or name weights with `zoo bench --checkpoint MODEL=FILE`"
                if "mIoU" in missing
                else "measure with `zoo bench`"
            )
            raise UserError(f"no {kind} has a {what}; {how}")
        raise UserError(f"no {kind} here is ok; see `zoo leaderboard` for the reasons, then `zoo bench` again")
    by_these_rules = [row for row in usable if row.protocol == SPEED_PROTOCOL]
    groups = list(dict.fromkeys(group_of(row) for row in by_these_rules or usable))
    if len(groups) > 1:
        found = differences(*groups)
        said = "; ".join(f"{field.replace('_', ' ')} is {' or '.join(values)}" for field, values in found.items())
        narrow = list(dict.fromkeys(flag for field, flag in {**FLAGS, **HASHES}.items() if field in found))
        how = f"choose one with {', '.join(narrow)}" if narrow else "keep one kind in its own folder: --results"
        raise UserError(f"these records may not be compared with each other: {said}; {how}")
    return groups[0]


def _choose(rows: list[Row], limits: list[Limit], goal: Metric, baseline: Row | None) -> Choice:
    labels = dict(zip((row.key for row in rows), tell_apart(rows), strict=True))
    able = [row for row in rows if row.status == "ok" and row.value(goal.key) is not None]
    fit = sorted((row for row in able if all(limit.holds(row) for limit in limits)), key=lambda row: _rank(row, goal))
    winner = fit[0] if fit else None
    losers = [
        Loser(row, labels[row.key], _why(row, winner, limits, goal), _miss(row, limits, goal))
        for row in rows
        if row is not winner
    ]
    losers.sort(key=lambda loser: (loser.miss, _rank(loser.row, goal)))
    near = [loser for loser in losers if loser.miss < float("inf")][:3] if winner is None else []
    return Choice(
        winner=winner,
        label=labels[winner.key] if winner else "",
        reasons=_reasons(winner, fit, rows, limits, goal) if winner else (),
        losers=tuple(losers),
        near_misses=tuple(near),
        notes=_notes(fit, limits, goal, baseline, labels) if winner else (),
        group=group_of(rows[0]),
    )


def _rank(row: Row, goal: Metric) -> tuple[object, ...]:
    """Best first; equal ones by latency, memory and name."""
    value = row.value(goal.key)
    signed = float("inf") if value is None else -value if goal.better == "higher" else value
    rest = (row.value(key) for key in (LATENCY, "peak_memory_bytes"))
    return signed, *(float("inf") if number is None else number for number in rest), row.model, row.key


def _miss(row: Row, limits: list[Limit], goal: Metric) -> float:
    if row.status != "ok" or row.value(goal.key) is None:
        return float("inf")
    return max((limit.miss(row) for limit in limits), default=0.0)


def _why(row: Row, winner: Row | None, limits: list[Limit], goal: Metric) -> tuple[str, ...]:
    if row.status != "ok":
        return (f"{row.status}: {row.reason or 'no reason was recorded'}",)
    why = []
    for limit in limits:
        value, metric = row.value(limit.metric.key), limit.metric
        if value is None:
            why.append(f"{metric.title} is not known")
        elif not limit.holds(row):
            sign = "<" if metric.better == "higher" else ">"
            why.append(
                f"{metric.title} {metric.say(value)} {sign} {metric.say(limit.value)} ({_percent(limit.miss(row))} off)"
            )
    value = row.value(goal.key)
    if value is None and goal.key not in {limit.metric.key for limit in limits}:
        why.append(f"{goal.title} is not known")
    if not why and winner is not None and value is not None:
        best = winner.value(goal.key)
        assert best is not None
        relation = "equal to" if best == value else "a tie with" if tie(row, winner, goal.key) else "behind"
        why.append(f"{goal.title} {goal.say(value)}, {relation} {goal.say(best)}")
    return tuple(why)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _reasons(winner: Row, fit: list[Row], rows: list[Row], limits: list[Limit], goal: Metric) -> tuple[str, ...]:
    first = "highest" if goal.better == "higher" else "lowest"
    found = f"{len(fit)} of {len(rows)} rows qualify" if len(fit) > 1 else f"the only one of {len(rows)} that qualifies"
    kept = [f"{limit.say()}: {limit.metric.say(winner.value(limit.metric.key))}" for limit in limits]
    return (f"{first} {goal.title}: {goal.say(winner.value(goal.key))} ({found})", *kept)


def _notes(
    fit: list[Row], limits: list[Limit], goal: Metric, baseline: Row | None, labels: dict[str, str]
) -> tuple[str, ...]:
    winner, notes = fit[0], []
    tied = [labels[row.key] for row in fit[1:] if tie(row, winner, goal.key)]
    if tied:
        over_seeds = goal.key == "miou" and winner.miou_spread is not None
        known = "spread over seeds" if over_seeds else "95 % interval"
        notes.append(f"tie: the {known} of {goal.title} overlaps with {', '.join(tied)}")
    equal = [labels[row.key] for row in fit[1:] if row.value(goal.key) == winner.value(goal.key)]
    if equal:
        notes.append(f"equal {goal.title}: {', '.join(equal)}; the lower latency decided")
    if goal.key == "miou" and len(fit) > 1:
        gap = (winner.miou or 0) - (fit[1].miou or 0)
        seeds = "one seed" if winner.seed_count < 2 else f"a mean of {winner.seed_count} seeds"
        notes.append(f"{labels[fit[1].key]} is {100 * gap:.1f} points of mIoU behind; {seeds}, these weights")
    for limit in limits:
        high = winner.interval(limit.metric.key)
        if high and high[1] > limit.value:
            notes.append(
                f"the 95 % interval of {limit.metric.title} reaches {limit.metric.say(high[1])}, over the limit"
            )
    if baseline and baseline.miou and winner.miou is not None and winner.miou < baseline.miou:
        bar = METRICS["miou"].say(baseline.miou)
        notes.append(f"its mIoU is under the baseline's {bar}: the same map for every image is better")
    if shared := sharing(winner):
        notes.append(shared)
    if winner.loses_miou:
        lost = METRICS["miou_lost"].say(winner.miou_lost)
        notes.append(f"it loses {lost} of the mIoU it has in eager fp32, more than {MAX_MIOU_LOSS:.0%} of it")
    elif winner.miou_lost is None and not winner.is_reference:
        notes.append("its mIoU was not held against eager fp32")
    if winner.grade in {"B", "C"}:
        notes.append(f"measured with grade {winner.grade}: {', '.join(winner.grade_reasons)}")
    return tuple(notes)
