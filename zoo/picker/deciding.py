"""Which of several rows is best: limits, then the objective, then what decides among those that tie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from zoo.errors import listed
from zoo.score.comparing import of_each, place_of, sharing, these_weights
from zoo.score.limits import Limit
from zoo.score.metrics import METRICS, Metric
from zoo.score.paired import INTERVAL, QUANTILES, SPREAD, Pairs, Tie
from zoo.score.rows import MAX_CLASS_LOSS, MAX_MIOU_LOSS, Row

LATENCY = "pipeline_p50_s"
"""The latency meant where none is named: the pipeline scope is what a user waits for."""
TAIL = "pipeline_p99_s"
"""That meant where deadlines are to be kept."""
LATENCIES = (LATENCY, "latency_p50_s", *QUANTILES)
"""How long a whole call takes, of either scope: one stage of it, and how late a frame is, say nothing of another's."""
TIE, NO_WORSE = "a tie", "no worse than a tie"
"""With the best: what a row is that is left, though itself it may be apart from the best, and one that ties is not."""
CHANCE = "whether by more than chance is not known"
INFINITE = float("inf")


@dataclass(frozen=True)
class Asked:
    """What a row has to be, and what is made best."""

    limits: tuple[Limit, ...]
    goal: Metric
    for_sale: bool = False

    @property
    def latency(self) -> Metric:
        """The latency that is meant: what is made best or held to a limit, where that is one; of deadlines the tail."""
        named = [self.goal.key, *(limit.metric.key for limit in self.limits)]
        meant = TAIL if "missed_share" in named else LATENCY
        return METRICS[next((key for key in named if key in LATENCIES), meant)]

    @property
    def deciding(self) -> tuple[Metric, ...]:
        """What decides, in order: what is made best, and among rows that tie in it the others."""
        return tuple(dict.fromkeys((self.goal, METRICS["miou"], self.latency, METRICS["peak_memory_bytes"])))

    @property
    def numbers(self) -> tuple[Metric, ...]:
        """What has to be known of a row."""
        return tuple(dict.fromkeys((*(limit.metric for limit in self.limits), self.goal)))

    def broken(self, row: Row) -> list[str]:
        """What a row breaks of it, a few words each; empty for one that qualifies."""
        found = []
        for limit in self.limits:
            value, metric = row.value(limit.metric.key), limit.metric
            if value is None:
                found.append(f"{metric.title} is not known{_on(row, metric)}")
            elif not limit.holds(row):
                sign = "<" if metric.better == "higher" else ">"
                off = "" if metric.words or not limit.value else f" ({_percent(limit.miss(row))} off)"
                said, bound = metric.apart(value, limit.value)
                found.append(
                    f"{metric.title} {said}{published_mark(row, metric)}{_on(row, metric)} {sign} {bound}{off}"
                )
        if row.value(self.goal.key) is None and self.goal.key not in {limit.metric.key for limit in self.limits}:
            found.append(f"{self.goal.title} is not known{_on(row, self.goal)}")
        return [*found, *(row.licences.why_not_for_sale() if self.for_sale else ())]

    def fits(self, row: Row) -> bool:
        """Whether a row qualifies."""
        known = row.status == "ok" and row.value(self.goal.key) is not None
        sold = not self.for_sale or not row.licences.why_not_for_sale()
        return known and sold and all(limit.holds(row) for limit in self.limits)

    def miss(self, row: Row) -> float:
        """The worst relative excess over a limit; infinite where that is no matter of a number."""
        if row.status != "ok" or row.value(self.goal.key) is None:
            return INFINITE
        if self.for_sale and row.licences.why_not_for_sale():
            return INFINITE
        return max((limit.miss(row) for limit in self.limits), default=0.0)

    def rank(self, row: Row) -> tuple[object, ...]:
        """Best first; equal ones by what decides next, and by name."""
        return *(signed(row, metric) for metric in self.deciding), row.model, row.key


@dataclass(frozen=True)
class Step:
    """One criterion: of the rows before it, those that nothing is known to beat are left."""

    metric: Metric
    best: Row
    before: list[Row]
    left: list[Row]
    ties: dict[str, Tie]
    """By key, of every row that was there before against the best."""

    def how(self, row: Row) -> str:
        """How a row that is left stands to the best."""
        return TIE if self.ties[row.key].tie else NO_WORSE


def decide(fit: list[Row], asked: Asked, pairs: Pairs) -> tuple[Row | None, list[Step]]:
    """The winner, and how it came about. A tie is always one with the best, since ties do not add up.

    What is no worse than a row that ties is left beside it, so that no row is better than the winner in all that
    decided.
    """
    steps: list[Step] = []
    pool = sorted(fit, key=asked.rank)
    for metric in asked.deciding:
        known = [row for row in pool if row.value(metric.key) is not None]
        if len(pool) < 2 or not known:
            continue
        best = min(known, key=lambda row: (signed(row, metric), asked.rank(row)))
        ties = {row.key: pairs.tie(row, best, metric.key) for row in pool}
        worst = max(signed(row, metric) for row in pool if ties[row.key].tie)
        left = [row for row in pool if signed(row, metric) <= worst]
        steps.append(Step(metric, best, pool, left, ties))
        pool = left
    return (pool[0] if pool else None), steps


LoserKind = Literal["tie", "behind", "unknown", "limit", "lacking", "licence", "elsewhere", "failed"]


@dataclass(frozen=True)
class Loser:
    """A row that was not chosen."""

    row: Row
    label: str
    kind: LoserKind
    """`tie`: in the objective, and behind in what decided among ties; `unknown`: whether it is behind by more than
    chance is not known; `limit`: it breaks one; `lacking`: it breaks none, but a number that is asked for is not known;
    `licence`: nothing but a licence speaks against it; `elsewhere`: it was not measured on all devices."""
    why: tuple[str, ...]
    miss: float
    """0 for a row that qualifies, else the worst relative excess over a limit."""


def lose(row: Row, label: str, winner: Row | None, asked: Asked, steps: list[Step]) -> Loser:
    """Say why a row was not chosen."""
    if row.status != "ok":
        said = f"{row.status}{_on(row, asked.goal)}: {row.reason or 'no reason was recorded'}"
        return Loser(row, label, "failed", (said,), INFINITE)
    broken = asked.broken(row)
    if broken or winner is None:
        kind: LoserKind = "limit"
        if asked.for_sale and broken == list(row.licences.why_not_for_sale()):
            kind = "licence"
        elif len({*broken}) == sum(row.value(metric.key) is None for metric in asked.numbers):
            kind = "lacking"
        return Loser(row, label, kind, tuple(broken), asked.miss(row))
    goal = asked.goal
    last = next((step for step in steps if row not in step.left), None)
    first, best = say(row, goal), told(steps[0].best, goal)
    if last is steps[0]:
        if last.ties[row.key].tie is None:
            return Loser(row, label, "unknown", (f"{first} against {best}, {CHANCE}",), 0.0)
        return Loser(row, label, "behind", (f"{first}, behind {best}",), 0.0)
    tied = f"{first}, {steps[0].how(row)} with {best}"
    if last is None:
        return Loser(row, label, "tie", (f"{tied}, as in all else that decides",), 0.0)
    if row.value(last.metric.key) is None:
        return Loser(row, label, "tie", (f"{tied}; {last.metric.title} is not known",), 0.0)
    least = told(last.best, last.metric)
    said = f" against {least}, {CHANCE}" if last.ties[row.key].tie is None else f", behind {least}"
    return Loser(row, label, "tie", (f"{tied}; {say(row, last.metric)}{said}",), 0.0)


def reasons(
    winner: Row, fit_count: int, count: int, asked: Asked, steps: list[Step], labels: dict[str, str]
) -> list[str]:
    """Why the winner won, criterion by criterion, and how it stands to each limit."""
    goal = asked.goal
    found = f"{fit_count} of {count} rows qualify" if fit_count > 1 else f"the only one of {count} that qualifies"
    lines = []
    for step in steps:
        metric, said = step.metric, say(winner, step.metric)
        if winner is step.best:
            said = f"{superlative(metric)} {_colon(winner, metric)}"
        else:
            best = f"{told(step.best, metric)} of {labels[step.best.key]}"
            said = f"{said}, {step.how(winner)} with the {superlative(metric)}: {best}"
        lines.append(f"{said} ({found if step is steps[0] else f'of the {len(step.before)} that tie'})")
    lines = lines or [f"{superlative(goal)} {_colon(winner, goal)} ({found})"]
    return [*lines, *(f"{limit.say()}: {_kept(winner, limit)}" for limit in asked.limits)]


def _kept(winner: Row, limit: Limit) -> str:
    """The winner's number as `told`, never rounded to one that would break the limit."""
    value, metric = winner.value(limit.metric.key), limit.metric
    assert value is not None
    return metric.within(value, limit.value) + published_mark(winner, metric)


def notes(
    winner: Row, asked: Asked, steps: list[Step], pairs: Pairs, baseline: Row | None, labels: dict[str, str]
) -> list[str]:
    """What else is to be known of the winner: ties, how sure it is, and what speaks against it."""
    said = _ties(winner, asked.goal, steps, labels)
    if asked.goal.key == "miou" and steps:
        others = sorted((row for row in steps[0].before if not steps[0].ties[row.key].tie), key=asked.rank)
        if others:
            mark = published_mark(steps[0].best, asked.goal) or published_mark(others[0], asked.goal)
            gap = f"{100 * ((steps[0].best.miou or 0) - (others[0].miou or 0)):.1f} points of mIoU{mark}"
            unknown = steps[0].ties[others[0].key].tie is None
            far = f"{gap} below the highest, {CHANCE}" if unknown else f"{gap} behind the highest"
            said.append(f"{labels[others[0].key]} is {far}; {these_weights(winner)}")
        else:
            said.append(f"{these_weights(winner)}: another training may order them otherwise")
    return [
        *said,
        *(text for limit in asked.limits if (text := _reaches(winner, limit, pairs))),
        *(f"{on} {text}".lstrip() for text, on in of_each(winner.measured, lambda place: _of_weights(place, baseline))),
        *_of_timing(winner),
    ]


def cautions(row: Row, baseline: Row | None) -> list[str]:
    """Return what speaks against a row, whatever was asked."""
    return [*_of_weights(row, baseline), *_of_timing(row)]


def _of_weights(row: Row, baseline: Row | None) -> Iterator[str]:
    if baseline and baseline.miou and row.miou is not None and row.miou < baseline.miou and not row.accepted:
        bar = METRICS["miou"].say(baseline.miou)
        yield f"its mIoU is under the baseline's {bar}: the same map for every image is better"
    if shared := sharing(row):
        yield shared
    if row.loses_miou:
        lost = METRICS["miou_lost"].say(row.miou_lost)
        yield f"it loses {lost} of the mIoU it has in fp32, more than {MAX_MIOU_LOSS:.0%} of it"
    elif row.miou_lost is None and not (row.accepted or row.is_reference):
        yield "its mIoU was not held against fp32"
    if row.hurt_classes:
        yield f"it {row.hurt_text}; --max class-loss={100 * MAX_CLASS_LOSS:g} leaves such rows out"
    if row.int8_note:
        yield f"int8: {row.int8}"


def _of_timing(row: Row) -> Iterator[str]:
    if row.grade in {"B", "C"}:
        yield f"measured with grade {row.grade}: {', '.join(row.grade_reasons)}"


def _ties(winner: Row, goal: Metric, steps: list[Step], labels: dict[str, str]) -> list[str]:
    first = steps[0] if steps else None
    left = [row for row in first.left if first.ties[row.key].tie] if first else []
    if first is None or len(left) < 2:
        return []
    tied = [labels[row.key] for row in left if row is not winner]
    how = dict.fromkeys(first.ties[row.key].by for row in left if row is not first.best)
    told = f"tie: {listed(tied)} cannot be told from the {superlative(goal)} {goal.title} ({' or '.join(how)})"
    return [f"{told}; a difference under {goal.said_least} never decides"]


def _reaches(winner: Row, limit: Limit, pairs: Pairs) -> str:
    """That a limit is kept by chance alone, where what the number might as well have been breaks it."""
    span, metric = pairs.span(winner, limit.metric.key), limit.metric
    if span is None:
        return _too_few(winner, limit, pairs) if metric.key in QUANTILES else ""
    known = SPREAD if metric.key == "miou" and winner.miou_spread is not None else INTERVAL
    if metric.better == "higher" and span[0] < limit.value:
        return f"{known} of {metric.title} reaches down to {metric.say(span[0])}, under the limit"
    if metric.better == "lower" and span[1] > limit.value:
        return f"{known} of {metric.title} reaches {metric.say(span[1])}, over the limit"
    return ""


def _too_few(winner: Row, limit: Limit, pairs: Pairs) -> str:
    """That a quantile has no interval, unless every call kept the limit."""
    title, (name, _) = limit.metric.title, QUANTILES[limit.metric.key]
    seconds = pairs.seconds(winner.part(limit.metric.key), name)
    if not len(seconds):
        return f"how sure its {title} is, is not known: the samples are not at hand"
    over = int((seconds > limit.value).sum())
    said = f"{title} rests on {len(seconds)} calls, too few for an interval: {over} of them took longer than the limit"
    return said if over else ""


def say(row: Row, metric: Metric) -> str:
    """Return a row's number with its name, and that it is published where it is: `"mIoU 75.6 % (published)"`."""
    return f"{metric.title} {told(row, metric)}"


def told(row: Row, metric: Metric) -> str:
    """Return a row's number with its unit, and that it is published where it is: `"75.6 % (published)"`."""
    return metric.say(row.value(metric.key)) + published_mark(row, metric)


def published_mark(row: Row, metric: Metric) -> str:
    """Return what stands behind a number that was not measured."""
    return " (published)" if row.accepted and metric.key == "miou" else ""


def _on(row: Row, metric: Metric) -> str:
    """Of several devices the one that a number is of."""
    return f" on {place_of(row.part(metric.key), row.measured)}" if row.parts else ""


def _colon(row: Row, metric: Metric) -> str:
    return f"{metric.title}: {told(row, metric)}"


def superlative(metric: Metric) -> str:
    """Return what the best of a metric is."""
    return "highest" if metric.better == "higher" else "lowest"


def signed(row: Row, metric: Metric) -> float:
    """Return a number of which lower is better; infinite where unknown."""
    value = row.value(metric.key)
    return INFINITE if value is None else -value if metric.better == "higher" else value


def _percent(share: float) -> str:
    return "under 0.1%" if share < 5e-4 else f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
