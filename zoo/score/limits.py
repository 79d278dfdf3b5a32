"""What a person asks of one number: `latency<=50ms`, `--min iou.person=50%`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from zoo.errors import UserError
from zoo.score.metrics import CLASS_LOSS, COST, METRICS, NO_PRICE, Metric, metric_named
from zoo.units import (
    parse_amount,
    parse_bytes,
    parse_count,
    parse_joules,
    parse_per_second,
    parse_percent,
    parse_points,
    parse_seconds,
    parse_share,
    parse_whole,
)

PARSERS: dict[str, Callable[[str], float]] = {
    "%": parse_share,
    "points": parse_points,
    "ms": parse_seconds,
    "s": parse_seconds,
    "MiB": parse_bytes,
    "M": parse_count,
    "G": parse_count,
    "J": parse_joules,
    "images/s": parse_per_second,
    "images": parse_whole,
    "": parse_whole,
}
"""By a metric's unit: what reads its values as people write them."""


REQUIRED = {"equal": "equal_label_share", "miou-lost": "miou_lost", "miou": "miou", CLASS_LOSS: CLASS_LOSS}
"""What may be required of a file that is held against fp32, by the names people type; class-loss of a class, too."""


class Numbers(Protocol):
    """A row, or whatever else has numbers by the keys of metrics."""

    def value(self, key: str) -> float | None:
        """Return one; `None` where it is not known."""


@dataclass(frozen=True)
class Limit:
    """A bound on one metric: at most for what is better lower, at least for what is better higher."""

    metric: Metric
    value: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `latency<=50ms`, `miou>=0.6`, `iou.person>=50%` or `grade>=B`.

        Raises:
            UserError: no such metric, a value that it cannot have, or a bound on its good side.
        """
        match = re.fullmatch(r"\s*([^<>=≤≥]+?)\s*(<=|>=|≤|≥|<|>)\s*(.+?)\s*", text)
        if match is None:
            raise UserError(f"a limit is METRIC<=VALUE or METRIC>=VALUE, such as 'latency<=50ms'; got {text!r}")
        return cls.of("max" if match[2][0] in "<≤" else "min", match[1], match[3])

    @classmethod
    def of(cls, end: Literal["max", "min"], name: str, value: str) -> Limit:
        """Read what `--max NAME=VALUE` or `--min NAME=VALUE` asks for, as `parse` does.

        Raises:
            UserError: as `parse`.
        """
        metric = metric_named(name)
        if (metric.better == "lower") != (end == "max"):
            other, sign, most = ("min", ">=", "at most") if end == "max" else ("max", "<=", "at least")
            raise UserError(
                f"{metric.title} is better {metric.better}: {most} {value} would leave the best out; "
                f"ask for {name}{sign}{value}, as a flag --{other} {name}={value}"
            )
        return cls(metric, read_value(metric, value))

    @classmethod
    def required(cls, text: str) -> tuple[Limit, ...]:
        """Read what a file has to keep: `class-loss:2`, or several as `equal:99.9,class-loss:2,class-loss.person:1`.

        Raises:
            UserError: no such number, or a value that it cannot have.
        """
        found = []
        for part in filter(None, map(str.strip, text.split(","))):
            name, colon, value = (word.strip() for word in part.rpartition(":"))
            kind, dot, of = name.partition(".")
            if not colon or kind not in REQUIRED or (dot and (kind != CLASS_LOSS or not of)):
                known = ", ".join(f"{one}:VALUE" for one in (*REQUIRED, f"{CLASS_LOSS}.CLASS"))
                raise UserError(f"a requirement is one of {known}, such as {CLASS_LOSS}:2; got {part!r}")
            metric = metric_named(REQUIRED[kind] + dot + of)
            found.append(cls(metric, read_value(metric, value)))
        if not found:
            raise UserError(f"nothing is required; give --require {CLASS_LOSS}:2, or leave it away")
        require_once("--require", found)
        return tuple(found)

    def holds(self, row: Numbers) -> bool:
        """Whether a row is known to keep the limit; of what is lost a handful of pixels is nothing."""
        value = row.value(self.metric.key)
        if value is None:
            return False
        return not self.metric.beats(self.value, value) or (
            self.metric.unit == "points" and abs(value - self.value) < NO_POINTS
        )

    def say(self) -> str:
        """Return the limit as words: `"pipeline p50 ≤ 25.0 ms"`."""
        return f"{self.metric.title} {'≥' if self.metric.better == 'higher' else '≤'} {self.metric.exactly(self.value)}"

    def miss(self, row: Numbers) -> float:
        """Return how far a row is off, relative to the limit, or of 0 by itself; infinite where unknown."""
        value = row.value(self.metric.key)
        if value is None:
            return float("inf")
        return 0.0 if self.holds(row) else abs(value - self.value) / (abs(self.value) or 1)


NO_POINTS = 1e-5
"""Of IoU: 0.001 points, a few of a million pixels."""
SLOWER = "slower"
"""Says `latency` to a `LossLimit`."""
_POINTS = {"%", "points"}
_TIMES = {"ms", "s"}


@dataclass(frozen=True)
class LossLimit:
    """How much worse one metric may become: in its own unit, or relative to what it was."""

    metric: Metric
    amount: float
    """SI units, a fraction of points; or a share of what it was."""
    is_relative: bool

    @classmethod
    def parse(cls, text: str) -> LossLimit:
        """Read `slower:5%`, `p99:2ms`, `memory:10MiB`, `miou:0.5` or `iou.person:2` (points).

        Raises:
            UserError: no such metric, or no amount that it can lose.
        """
        name, colon, amount = (part.strip() for part in text.rpartition(":"))
        if not colon or not name or not amount:
            raise UserError(f"a loss is METRIC:AMOUNT, such as {SLOWER}:5% or miou:0.5; got {text!r}")
        metric = metric_named("latency" if name.lower() == SLOWER else name)
        if metric is COST:
            raise UserError(NO_PRICE)
        if metric.words:
            raise UserError(f"a {metric.title} loses no amount; name a metric that is a number, such as {SLOWER}:5%")
        if metric.unit in _POINTS:
            return cls(metric, parse_points(amount), False)
        if amount.endswith("%"):
            return cls(metric, parse_percent(amount), True)
        if metric.unit in _TIMES and amount[-1].isdecimal():
            raise UserError(f"{name} loses percent or a time with its unit: {name}:5% or {name}:5ms; got {text!r}")
        return cls(metric, PARSERS[metric.unit](amount), False)

    def loss(self, was: float, now: float) -> float:
        """Return by how much `now` is worse, as `amount` counts; below 0 where it is better."""
        worse = now - was if self.metric.better == "lower" else was - now
        if not self.is_relative:
            return worse
        return worse / abs(was) if was else math.copysign(math.inf, worse) if worse else 0.0

    def say(self, loss: float | None = None) -> str:
        """Return a loss, with digits that tell it from the limit, or else the limit: `"5.2 %"`, `"0.5 points"`."""
        unit = "%" if self.is_relative else "points" if self.metric.unit in _POINTS else ""
        if not unit:
            return self.metric.exactly(self.amount) if loss is None else self.metric.apart(loss, self.amount)[0]
        if loss is None:
            return f"{100 * self.amount:.9g} {unit}"
        both = (100 * loss, 100 * self.amount)
        digits = next((digits for digits in range(3, 12) if len({f"{one:.{digits}g}" for one in both}) > 1), 3)
        return f"{both[0]:.{digits}g} {unit}"


def require_once(flag: str, limits: Sequence[Limit | LossLimit]) -> None:
    """Refuse two limits on one metric.

    Raises:
        UserError: there are.
    """
    for limit in limits:
        if sum(one.metric.key == limit.metric.key for one in limits) > 1:
            raise UserError(f"{flag} names {limit.metric.title} twice; give it once")


def read_value(metric: Metric, text: str) -> float:
    """Read a value of a metric as people write it, in SI units.

    Raises:
        UserError: it is none.
    """
    if metric.words:
        if text.strip().upper() not in metric.words:
            raise UserError(f"a {metric.title} is {', '.join(reversed(metric.words))}; got {text!r}")
        return metric.words.index(text.strip().upper())
    try:
        value = parse_amount(text) if metric is COST else PARSERS[metric.unit](text)
    except UserError as error:
        raise UserError(f"{metric.title}: {error}") from None
    if metric.unit == "%" and metric.better == "lower" and "%" not in text and 0.1 <= value == float(text):
        raise UserError(f"{metric.title}: {text} may be percent or a share; write {text}% or {100 * value:g}%")
    return value


def parse_latency(text: str) -> Limit:
    """Read `25ms`, `p99:25ms` or `network:p90:0.5s` as a limit; on pipeline p50 where nothing is named.

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
    return Limit(METRICS[f"{scope}_p{(match[2] or '50').replace('.', '')}_s"], seconds)
