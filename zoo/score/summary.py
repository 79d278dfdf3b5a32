"""Timed samples and their summary by `zoo-lat/3`: percentiles, intervals, stages, missed deadlines. Free of torch.

The stopwatch makes summaries when it has measured; `score.audit` makes them again, from the sidecar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zoo.lazy import Lazy

if TYPE_CHECKING:  # how sure a quantile of kept rows is, is told without pydantic
    from zoo import lived, timed
else:
    lived, timed = Lazy("zoo.lived"), Lazy("zoo.timed")

TAIL_COUNT = 100
"""p99 is null below this many samples …"""
FAR_TAIL_COUNT = 1000
"""… and p99.9 below this many."""
MEDIAN_COUNT = 6
"""Fewer samples than these do not bound their median."""


@dataclass(frozen=True)
class Samples:
    """Seconds of each timed call, in order, and how warm-up went."""

    seconds: NDArray[np.float64]
    warmup_count: int
    warmup_s: float
    warmup_settled: bool


def summarise(samples: Samples) -> timed.Latency:
    """Summary of one scope's samples; nothing is clipped. Quantiles by linear interpolation (Hyndman and Fan, type 7).

    Intervals hold the quantile with 95 % confidence whatever the distribution: they are order statistics whose ranks
    bound a binomial count (David and Nagaraja, Order Statistics, 3rd ed., section 7.1).
    """
    seconds = np.sort(samples.seconds)
    p25, p50, p75, p90, p95, p99, p999 = (
        float(q) for q in np.quantile(seconds, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999))
    )
    return timed.Latency(
        sample_count=len(seconds),
        min_s=float(seconds[0]),
        p25_s=p25,
        p50_s=p50,
        p75_s=p75,
        p90_s=p90,
        p95_s=p95,
        p99_s=p99 if len(seconds) >= TAIL_COUNT else None,
        p999_s=p999 if len(seconds) >= FAR_TAIL_COUNT else None,
        max_s=float(seconds[-1]),
        mean_s=float(seconds.mean()),
        std_s=float(seconds.std(ddof=1)),
        p50_interval_s=median_interval(seconds),
        p90_interval_s=quantile_interval(seconds, 0.9),
        warmup_count=samples.warmup_count,
        warmup_s=samples.warmup_s,
        warmup_settled=samples.warmup_settled,
    )


def summarise_stages(samples: Mapping[str, NDArray[np.float64]]) -> tuple[timed.Stage, ...]:
    """Median of each stage's seconds with its interval, in the order they ran; `samples` are `measure_stages`'."""
    ordered = {name: np.sort(seconds) for name, seconds in samples.items()}
    return tuple(
        timed.Stage.model_validate(
            {"name": name, "p50_s": float(np.median(seconds)), "p50_interval_s": median_interval(seconds)}
        )
        for name, seconds in ordered.items()
    )


def summarise_paced(rate_hz: float, seconds: NDArray[np.float64], frames: NDArray[np.int64]) -> lived.Paced:
    """How paced calls kept their deadlines: each has the time until the next frame is due.

    Args:
        rate_hz: Frames that come due a second.
        seconds: Of each call, from the moment its frame was due to its label map.
        frames: Number of each call's frame, from 0 and ascending; numbers between were dropped.
    """
    late = np.sort(seconds[seconds > 1 / rate_hz] - 1 / rate_hz)
    frame_count = int(frames[-1]) + 1
    return lived.Paced(
        rate_hz=rate_hz,
        frame_count=frame_count,
        late_count=len(late),
        dropped_count=frame_count - len(frames),
        lateness_p50_s=float(np.median(late)) if len(late) else None,
        lateness_max_s=float(late[-1]) if len(late) else None,
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


def median_interval(ordered: NDArray[np.float64]) -> tuple[float, float]:
    """Order statistics that hold the median with 95 % confidence, of `MEDIAN_COUNT` samples or more."""
    interval = quantile_interval(ordered, 0.5)
    assert interval is not None, f"a median needs {MEDIAN_COUNT} samples for its interval; every budget takes as many"
    return interval
