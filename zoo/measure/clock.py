"""The only stopwatch: warm-up and samples by `zoo-lat/3` (rules 3 to 8); `zoo.score.summary` sums them up."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.score.summary import Samples, median_interval
from zoo.timed import BatchRate

Call = Callable[[int], object]
"""What is timed; takes the call's number, so that inputs can rotate."""
Chain = Sequence[Callable[[Any], Any]]
"""One call in stages: the first takes the call's number, each other one what the one before it answered."""


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


@dataclass(frozen=True)
class Block:
    """What one of several calls is timed for before it is the next one's turn."""

    seconds: float
    """About so long …"""
    count: int
    """… and at least so many samples."""


FULL = Budget(10, 1.0, 10.0, 0.25, 3, sample_count=100, sample_s=3.0, cap_s=60.0, cap_count=20)
QUICK = Budget(2, 0.1, 0.4, 0.05, 1, sample_count=10, sample_s=0.2, cap_s=0.8, cap_count=6)
BLOCK = Block(0.25, 5)
BLOCK_QUICK = Block(0.1, 3)
WATERFALL = Budget(2, 0.0, 0.25, 0.05, 1, sample_count=20, sample_s=1.0, cap_s=3.0, cap_count=6)
"""The waterfall's. Both scopes have just been timed, so the network's kernels are chosen and its memory is there;
warm-up only has to wake a clock that fell asleep since, and to meet what stages beside the network allocate."""
RATE = Budget(2, 0.0, 2.0, 0.1, 1, sample_count=10, sample_s=3.0, cap_s=30.0, cap_count=4)
RATE_QUICK = Budget(2, 0.0, 0.2, 0.05, 1, sample_count=4, sample_s=0.5, cap_s=2.0, cap_count=2)
"""Throughput's two. Each batch size has its own kernels to choose, so it is warmed up until windows agree; a batch that
takes seconds a call hits the cap after two."""
WAKE_S = 0.01
"""How long a call runs untimed, at least once, before what is timed of it, where another one has just run."""
GROWTH = 0.03
"""A doubled batch that gains no more than this does not pay."""
SETTLED = 0.03
"""Largest relative spread of three successive windows' medians."""


@dataclass(frozen=True)
class Turns:
    """Seconds of two calls made in turn."""

    seconds: NDArray[np.float64]
    """`(turns, 2)`: first and second call, whichever of them ran first."""
    warmup_settled: tuple[bool, bool]

    @property
    def ratio(self) -> float:
        """Median over turns of the second call's seconds over the first's."""
        return float(np.median(self._ratios))

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """95 % interval of `ratio`, distribution-free; turns count as independent."""
        return median_interval(np.sort(self._ratios))

    @property
    def _ratios(self) -> NDArray[np.float64]:
        return self.seconds[:, 1] / self.seconds[:, 0]


@dataclass(frozen=True)
class Splits:
    """What a clock saw of successive calls."""

    seconds: NDArray[np.float64]
    """`(calls, stages)`."""
    span_s: float
    """From the start of the first call to the end of the last; calls that overlap take less than their sum."""


class Clock(Protocol):
    """Times calls on one kind of device."""

    batch: int
    """How many calls are queued before the clock is looked at."""

    def now(self) -> float:
        """Seconds since some moment."""

    def splits(self, chain: Chain, first: int, count: int) -> Splits:
        """Run calls number `first`, `first + 1`, … and time their stages; all work is finished when this returns.

        A stage ends where the next one begins; the last one when its answer has been dropped.
        """

    def laps(self, call: Call, first: int, count: int) -> list[float]:
        """Seconds of `call(first)`, `call(first + 1)`, …."""
        seconds: list[float] = self.splits((call,), first, count).seconds[:, 0].tolist()
        return seconds


class HostClock(Clock):
    """Times each stage on the host; for devices that work asynchronously it waits after each one.

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

    def splits(self, chain: Chain, first: int, count: int) -> Splits:
        """Seconds of each stage, the wait for the device included."""
        marks = []
        self._synchronize()
        for index in range(first, first + count):
            value: Any = index
            for stage in chain:
                marks.append(self._counter_ns())
                value = stage(value)
                self._synchronize()
            value = None
            marks.append(self._counter_ns())
        ns = np.array(marks, dtype=np.int64).reshape(count, -1)  # calls, stages + 1
        return Splits(np.diff(ns) / 1e9, (marks[-1] - marks[0]) / 1e9)


class CudaClock(Clock):
    """Times each stage by events at its borders on the device's own timeline, with one synchronise at the end."""

    batch = 1000

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> float:
        """Seconds on the host."""
        return time.perf_counter()

    def splits(self, chain: Chain, first: int, count: int) -> Splits:
        """Seconds between the events around each stage."""
        with torch.cuda.device(self._device):
            events = [
                [torch.cuda.Event(enable_timing=True) for _ in range(len(chain) + 1)]  # type: ignore[no-untyped-call]
                for _ in range(count)
            ]
            for index, marks in enumerate(events, start=first):
                value: Any = index
                for stage, mark in zip(chain, marks, strict=False):  # one mark is left for the end
                    mark.record()
                    value = stage(value)
                value = None
                marks[-1].record()
            torch.cuda.synchronize()
        seconds = [[a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(marks)] for marks in events]
        return Splits(np.array(seconds), events[0][0].elapsed_time(events[-1][-1]) / 1e3)


def clock_of(device: torch.device) -> Clock:
    """The clock that fits `device`."""
    if device.type == "cuda":
        return CudaClock(device)
    return HostClock(torch.mps.synchronize if device.type == "mps" else None)


def measure_latency(
    calls: Sequence[Call], *, device: torch.device, quick: bool, clock: Clock | None = None
) -> tuple[Samples, ...]:
    """Warm each call up until it is steady, then time them all in turn, in blocks: `FULL` or `QUICK` for each of them.

    A machine drifts within seconds. Timed one after the other, a part was seen slower than the whole that holds it; in
    blocks, whose order flips every turn (AB, BA, AB, …), drift is common to all. Each block begins with calls that are
    not timed, as each call of `measure_pair` does, and is long beside what the other call leaves behind.

    Turns go on until each call has its samples; one that reaches its cap before drops out.

    Args:
        calls: what is timed; each does its work once and gets 0, 1, 2 … over warm-up and measuring alike.
        device: where the work happens.
        quick: fewer samples, for a smoke test.
        clock: of `device` by default.
    """
    clock = clock or clock_of(device)
    budget, block = (QUICK, BLOCK_QUICK) if quick else (FULL, BLOCK)
    warmups = [warm_up(call, clock, budget) for call in calls]
    timed = [_Timed((call,), clock, budget, seconds) for call, (seconds, _, _) in zip(calls, warmups, strict=True)]
    if len(timed) == 1:
        timed[0].take_all()
    for turn in itertools.count():
        if all(one.is_done for one in timed):
            break
        for one in timed if turn % 2 == 0 else timed[::-1]:
            one.take(block)
    return tuple(
        Samples(one.splits.seconds[:, 0], len(warmup), warmup_s, settled)
        for one, (warmup, warmup_s, settled) in zip(timed, warmups, strict=True)
    )


def measure_stages(
    stages: Mapping[str, Callable[[Any], Any]],
    inputs: Sequence[Any],
    *,
    device: torch.device,
    quick: bool,
    clock: Clock | None = None,
) -> dict[str, Samples]:
    """Time the stages of one call inside that call: `WATERFALL` of the pipeline scope, beside its two scopes.

    A quick run has nothing beside it where a call is its stages and no more: `QUICK`, and `whole` of them is the
    pipeline scope.

    Args:
        stages: name → what it does with what the stage before it answered, in order; the first one gets an input.
        inputs: calls rotate through them.
        device: where the work happens.
        quick: fewer calls in all, for a smoke test.
        clock: of `device` by default.

    Returns:
        Name → that stage in each call.
    """
    clock, budget = clock or clock_of(device), QUICK if quick else WATERFALL
    chain: Chain = (lambda index: inputs[index % len(inputs)], *stages.values())
    warmup, warmup_s, settled = warm_up(lambda index: _run(chain, index), clock, budget)
    seconds = _measure(chain, clock, budget, warmup).seconds[:, 1:]  # calls, stages; choosing the input is no stage
    timed = [Samples(one, len(warmup), warmup_s, settled) for one in seconds.T]
    return dict(zip(stages, timed, strict=True))


def whole(stages: Mapping[str, Samples]) -> Samples:
    """The calls that `measure_stages` timed the stages of."""
    first, *others = stages.values()
    return replace(first, seconds=sum((one.seconds for one in others), start=first.seconds))


def measure_rate(
    call: Call, *, batch_size: int, device: torch.device, quick: bool, clock: Clock | None = None
) -> BatchRate:
    """Images per second of calls made one after the other, each of `batch_size` images: `RATE` or `RATE_QUICK`.

    Args:
        call: runs one batch through the pipeline scope; gets 0, 1, 2 … over warm-up and measuring alike.
        batch_size: images a call.
        device: where the work happens.
        quick: fewer calls, for a smoke test.
        clock: of `device` by default.
    """
    clock = clock or clock_of(device)
    budget = RATE_QUICK if quick else RATE
    warmup, _, _ = warm_up(call, clock, budget)
    measured = _measure((call,), clock, budget, warmup)
    count = len(measured.seconds)
    return BatchRate(batch_size=batch_size, images_per_s=batch_size * count / measured.span_s, call_count=count)


def measure_pair(calls: tuple[Call, Call], *, device: torch.device, quick: bool, clock: Clock | None = None) -> Turns:
    """Warm two calls up, then time them in turn: `FULL` or `QUICK`, twice its seconds for the two, its cap for both.

    The order flips every turn (AB, BA, AB, …): in ABAB the second call always runs later, so a machine that slows down
    evenly makes it look slower; flipped, that cancels in the median of the turns' ratios.

    Before each timed call the same one runs untimed, for `WAKE_S` and at least once: the other one has just filled the
    caches, and its threads may still spin. Of a model of 8 ms, 1 thread, the first call after another runtime's was
    seen 9 to 28 % slower than its steady state, the second 2 to 6 %, the third 1 to 4 %; with 2 threads on 2 cores, the
    first after ONNX Runtime's 3 times slower.

    Args:
        calls: what is compared; in each turn both are timed with the same number.
        device: where the work happens.
        quick: fewer turns, for a smoke test.
        clock: of `device` by default.
    """
    clock = clock or clock_of(device)
    budget = QUICK if quick else FULL
    warmups = [warm_up(call, clock, budget) for call in calls]
    wake_counts = [_count(WAKE_S, float(np.median(seconds[-3:]))) for seconds, _, _ in warmups]
    laps: list[list[float]] = []
    start = clock.now()
    while True:
        spent_s = clock.now() - start
        if len(laps) >= budget.sample_count and spent_s >= 2 * budget.sample_s:
            break
        if len(laps) >= budget.cap_count and spent_s >= budget.cap_s:
            break
        turn, lap = len(laps), [0.0, 0.0]
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            clock.laps(calls[side], turn + 1, wake_counts[side])
            (lap[side],) = clock.laps(calls[side], turn, 1)
        laps.append(lap)
    (_, _, first_settled), (_, _, second_settled) = warmups
    return Turns(np.array(laps), (first_settled, second_settled))


def grows(rates: Sequence[BatchRate]) -> bool:
    """Whether doubling the batch once more may pay: the last doubling gained more than `GROWTH`, or there was none."""
    return len(rates) < 2 or rates[-1].images_per_s > (1 + GROWTH) * rates[-2].images_per_s


def _run(chain: Chain, index: int) -> object:
    """One call, its stages not told apart."""
    return functools.reduce(lambda value, stage: stage(value), chain, index)


def warm_up(call: Call, clock: Clock, budget: Budget) -> tuple[list[float], float, bool]:
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


class _Timed:
    """The timed calls of one chain that is warm, under one budget.

    Args:
        warmup: seconds of the calls before them.
    """

    def __init__(self, chain: Chain, clock: Clock, budget: Budget, warmup: Sequence[float]) -> None:
        self._chain, self._clock, self._budget = chain, clock, budget
        self._typical_s = float(np.median(warmup[-3:]))
        self._taken: list[Splits] = []
        self._made = len(warmup)
        self._count, self._spent_s = 0, 0.0

    @property
    def is_done(self) -> bool:
        budget = self._budget
        return self._is_capped or (self._count >= budget.sample_count and self._spent_s >= budget.sample_s)

    @property
    def splits(self) -> Splits:
        parts = self._taken
        return Splits(np.concatenate([part.seconds for part in parts]), sum(part.span_s for part in parts))

    def take_all(self) -> None:
        """Time until the budget is spent."""
        self._take(self._budget.sample_count, self._budget.sample_s)

    def take(self, block: Block) -> None:
        """Wake up from what others have done, then time one block, which may go beyond the budget but for its cap."""
        if self._is_capped:
            return
        wake_count = self._calls_in(WAKE_S)
        self._clock.splits(self._chain, self._made, wake_count)
        self._made += wake_count
        self._take(self._count + block.count, self._spent_s + block.seconds)

    @property
    def _is_capped(self) -> bool:
        return self._count >= self._budget.cap_count and self._spent_s >= self._budget.cap_s

    def _take(self, goal_count: int, goal_s: float) -> None:
        budget = self._budget
        start = self._clock.now() - self._spent_s
        while (self._count < goal_count or self._spent_s < goal_s) and not self._is_capped:
            wanted = max(goal_count - self._count, self._calls_in(goal_s - self._spent_s))
            until_cap = max(budget.cap_count - self._count, self._calls_in(budget.cap_s - self._spent_s))
            part = self._clock.splits(self._chain, self._made, min(wanted, until_cap, self._clock.batch))
            self._taken.append(part)
            self._made += len(part.seconds)
            self._count += len(part.seconds)
            self._spent_s = self._clock.now() - start

    def _calls_in(self, span_s: float) -> int:
        return _count(span_s, self._typical_s)


def _measure(chain: Chain, clock: Clock, budget: Budget, warmup: Sequence[float]) -> Splits:
    """Time calls that are warm until the budget is spent; `warmup` are the seconds of those before them."""
    timed = _Timed(chain, clock, budget, warmup)
    timed.take_all()
    return timed.splits


def _count(span_s: float, each_s: float) -> int:
    """How many calls of `each_s` fill `span_s`; at least one."""
    return max(1, math.ceil(span_s / max(each_s, 1e-6)))
