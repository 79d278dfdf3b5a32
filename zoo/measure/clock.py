"""The only stopwatch: warm-up, samples and their summary by `zoo-lat/1` (rules 4 to 7)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.record import Latency

Call = Callable[[int], object]
"""What is timed; takes the call's number, so that inputs can rotate."""


@dataclass(frozen=True)
class Budget:
    """How long to warm up and how much to measure; times in seconds."""

    warmup_count: int
    warmup_s: float
    warmup_cap_s: float
    """Warm-up ends here, settled or not, as soon as it has two calls."""
    window_s: float
    """Successive windows of about this long are compared …"""
    window_count: int
    """… and of at least this many calls."""
    sample_count: int
    sample_s: float
    cap_s: float
    """Measuring ends here once there are …"""
    cap_count: int
    """… this many samples."""


FULL = Budget(10, 1.0, 10.0, 0.25, 3, sample_count=100, sample_s=3.0, cap_s=60.0, cap_count=20)
QUICK = Budget(2, 0.2, 1.0, 0.05, 1, sample_count=20, sample_s=0.5, cap_s=2.0, cap_count=6)
SETTLED = 0.03
"""Largest relative spread of three successive windows' medians."""
TAIL_COUNT = 100
"""p99 is null below this many samples."""


@dataclass(frozen=True)
class Samples:
    """Seconds of each timed call, in order, and how warm-up went."""

    seconds: NDArray[np.float64]
    warmup_count: int
    warmup_s: float
    warmup_settled: bool


class Clock(Protocol):
    """Times calls on one kind of device."""

    batch: int
    """How many calls are queued before the clock is looked at."""

    def now(self) -> float:
        """Seconds since some moment."""

    def laps(self, call: Call, first: int, count: int) -> list[float]:
        """Seconds of `call(first)`, `call(first + 1)`, …; all work is finished when this returns."""


class HostClock:
    """Times each call on the host; for devices that work asynchronously it waits for each one.

    Args:
        synchronize: waits for the device; `None` where a call is finished when it returns.
        counter_ns: nanoseconds since some moment.
    """

    batch = 1

    def __init__(
        self, synchronize: Callable[[], object] | None = None, counter_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._synchronize = synchronize or (lambda: None)
        self._counter_ns = counter_ns

    def now(self) -> float:
        """Seconds of the counter."""
        return self._counter_ns() / 1e9

    def laps(self, call: Call, first: int, count: int) -> list[float]:
        """Seconds of each call, the wait for the device included."""
        seconds = []
        self._synchronize()
        for index in range(first, first + count):
            start = self._counter_ns()
            call(index)
            self._synchronize()
            seconds.append((self._counter_ns() - start) / 1e9)
        return seconds


class CudaClock:
    """Times each call by two events on the device's own timeline, with one synchronise at the end."""

    batch = 1000

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> float:
        """Seconds on the host."""
        return time.perf_counter()

    def laps(self, call: Call, first: int, count: int) -> list[float]:
        """Seconds between the events around each call."""
        with torch.cuda.device(self._device):
            events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * count)]  # type: ignore[no-untyped-call]
            pairs = list(zip(events[::2], events[1::2], strict=True))
            for index, (start, end) in enumerate(pairs, start=first):
                start.record()
                call(index)
                end.record()
            torch.cuda.synchronize()
        return [start.elapsed_time(end) / 1e3 for start, end in pairs]


def clock_of(device: torch.device) -> Clock:
    """The clock that fits `device`."""
    if device.type == "cuda":
        return CudaClock(device)
    return HostClock(torch.mps.synchronize if device.type == "mps" else None)


def measure_latency(call: Call, *, device: torch.device, quick: bool, clock: Clock | None = None) -> Samples:
    """Warm `call` up until it is steady, then time it: `FULL` or `QUICK`.

    Args:
        call: does the work once; gets 0, 1, 2 … over warm-up and measuring alike.
        device: where the work happens.
        quick: fewer samples, for a smoke test.
        clock: of `device` by default.
    """
    budget = QUICK if quick else FULL
    clock = clock or clock_of(device)
    warmup, warmup_s, settled = _warm_up(call, clock, budget)
    typical_s = float(np.median(warmup[-3:]))
    seconds: list[float] = []
    start = clock.now()
    while True:
        spent_s = clock.now() - start
        if len(seconds) >= budget.sample_count and spent_s >= budget.sample_s:
            break
        if len(seconds) >= budget.cap_count and spent_s >= budget.cap_s:
            break
        until_cap = max(budget.cap_count - len(seconds), _count(budget.cap_s - spent_s, typical_s))
        wanted = max(budget.sample_count - len(seconds), _count(budget.sample_s - spent_s, typical_s))
        seconds += clock.laps(call, len(warmup) + len(seconds), min(wanted, until_cap, clock.batch))
    return Samples(np.array(seconds, dtype=np.float64), len(warmup), warmup_s, settled)


def summarise(samples: Samples) -> Latency:
    """Summary of one scope's samples; nothing is clipped. Quantiles by linear interpolation (Hyndman and Fan, type 7).

    Intervals hold the quantile with 95 % confidence whatever the distribution: they are order statistics whose ranks
    bound a binomial count (David and Nagaraja, Order Statistics, 3rd ed., section 7.1).
    """
    seconds = np.sort(samples.seconds)
    p25, p50, p75, p90, p95, p99 = (float(q) for q in np.quantile(seconds, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)))
    p50_interval = quantile_interval(seconds, 0.5)
    assert p50_interval is not None, "a median needs 6 samples for its interval; every budget takes as many"
    return Latency(
        sample_count=len(seconds),
        min_s=float(seconds[0]),
        p25_s=p25,
        p50_s=p50,
        p75_s=p75,
        p90_s=p90,
        p95_s=p95,
        p99_s=p99 if len(seconds) >= TAIL_COUNT else None,
        max_s=float(seconds[-1]),
        mean_s=float(seconds.mean()),
        std_s=float(seconds.std(ddof=1)),
        p50_interval_s=p50_interval,
        p90_interval_s=quantile_interval(seconds, 0.9),
        warmup_count=samples.warmup_count,
        warmup_s=samples.warmup_s,
        warmup_settled=samples.warmup_settled,
    )


def quantile_interval(ordered: NDArray[np.float64], q: float, confidence: float = 0.95) -> tuple[float, float] | None:
    """Order statistics that hold the quantile `q`; `None` where the samples are too few to bound it on both sides."""
    n, tail = len(ordered), (1 - confidence) / 2
    log_factorial = np.array([math.lgamma(count + 1) for count in range(n + 1)])
    below = np.arange(n + 1)  # how many of n samples fall below the quantile: binomial
    log_choices = log_factorial[n] - log_factorial - log_factorial[::-1]
    at_most = np.cumsum(np.exp(log_choices + below * math.log(q) + (n - below) * math.log(1 - q)))
    low = int(np.searchsorted(at_most, tail, side="right"))  # P(fewer than `low` below) <= tail
    high = int(np.searchsorted(at_most, 1 - tail))  # P(more than `high` below) <= tail
    return (float(ordered[low - 1]), float(ordered[high])) if low >= 1 and high < n else None


def _warm_up(call: Call, clock: Clock, budget: Budget) -> tuple[list[float], float, bool]:
    """Run until three successive windows agree, or the cap; seconds of each call, of all, and whether they agreed."""
    start = clock.now()
    seconds = clock.laps(call, 0, 1)
    medians: list[float] = []
    while True:
        spent_s = clock.now() - start
        settled = len(medians) >= 3 and max(medians[-3:]) <= min(medians[-3:]) * (1 + SETTLED)
        enough = len(seconds) >= budget.warmup_count and spent_s >= budget.warmup_s
        if (enough and settled) or (len(seconds) >= 2 and spent_s >= budget.warmup_cap_s):
            return seconds, spent_s, settled
        window = max(budget.window_count, _count(budget.window_s, seconds[-1]))
        window = min(window, _count(budget.warmup_cap_s - spent_s, seconds[-1]))
        laps = clock.laps(call, len(seconds), window)
        seconds += laps
        medians.append(float(np.median(laps)))


def _count(span_s: float, each_s: float) -> int:
    """How many calls of `each_s` fill `span_s`; at least one."""
    return max(1, math.ceil(span_s / max(each_s, 1e-6)))
