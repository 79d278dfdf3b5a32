"""Paced calls (`zoo-paced/1`): each waits for the time its frame is due, as behind a camera."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.lived import Paced
from zoo.measure.clock import FULL, QUICK, Budget, Call, Clock, clock_of, warm_up
from zoo.score.summary import Samples, summarise_paced

PACED = replace(FULL, sample_s=10.0, cap_s=120.0)
PACED_QUICK = replace(QUICK, sample_count=20, sample_s=2.0, cap_s=4.0)
"""zoo-paced/1, rule 5. Longer than `FULL`: a hundred frames take 100 s at 1 Hz, and the tail is what pacing is for."""
UNCOUNTED_S, UNCOUNTED_FRAMES = 1.0, 3
"""The first frames are not counted (zoo-paced/1, rule 4): clocks that warm-up woke fall asleep again."""


@dataclass(frozen=True)
class Frames:
    """What became of the frames that were begun."""

    rate_hz: float
    samples: Samples
    """Of each call, from the moment its frame was due to its label map."""
    frames: NDArray[np.int64]
    """Number of each call's frame on the grid of due times, from 0; numbers between were dropped."""

    @property
    def summary(self) -> Paced:
        """How they kept their deadlines."""
        return summarise_paced(self.rate_hz, self.samples.seconds, self.frames)


def measure_paced(
    call: Call,
    *,
    rate_hz: float,
    device: torch.device,
    quick: bool,
    clock: Clock | None = None,
    counter_ns: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> Frames:
    """Warm a call up as ever, then make it once a frame, when the frame is due: `PACED` or `PACED_QUICK`.

    Due times are a fixed grid from the first one on, so nothing drifts (zoo-paced/1, rule 1). Until a frame is due the
    process sleeps. A call that is still running when the next frame comes due misses its deadline; frames that come due
    meanwhile are dropped, and the first one after its end is the next.

    Args:
        call: One frame through the pipeline scope, finished when it returns; gets 0, 1, 2 … over warm-up and all.
        rate_hz: Frames that come due a second.
        device: Where the work happens.
        quick: Fewer frames, for a smoke test.
        clock: Of the warm-up, by default that of `device`.
        counter_ns: Nanoseconds since some moment, on the host: due times are the host's.
        sleep: Waits, for seconds.
    """
    budget, period_ns = (PACED_QUICK if quick else PACED), 1e9 / rate_hz
    warmup, warmup_s, settled = warm_up(call, clock or clock_of(device), budget)
    uncounted = UNCOUNTED_FRAMES if quick else max(UNCOUNTED_FRAMES, math.ceil(UNCOUNTED_S * rate_hz))
    made, start_ns = len(warmup), counter_ns()
    frame, seconds, frames = 0, list[float](), list[int]()
    while not _is_enough(frames, frame, rate_hz, budget):
        due_ns = start_ns + round(frame * period_ns)
        while (left_ns := due_ns - counter_ns()) > 0:  # a sleep may end early
            sleep(left_ns / 1e9)
        call(made)
        end_ns = counter_ns()
        made += 1
        if frame >= uncounted:
            seconds.append((end_ns - due_ns) / 1e9)
            frames.append(frame)
        frame = max(frame + 1, math.ceil((end_ns - start_ns) / period_ns))
    numbers = np.array(frames, dtype=np.int64)
    return Frames(rate_hz, Samples(np.array(seconds), len(warmup), warmup_s, settled), numbers - numbers[0])


def _is_enough(frames: list[int], following: int, rate_hz: float, budget: Budget) -> bool:
    """Whether the calls that were counted, until the frame that would follow, are as many as a budget asks for."""
    if len(frames) < budget.cap_count:
        return False
    span_s = (following - frames[0]) / rate_hz
    return span_s >= budget.cap_s or (len(frames) >= budget.sample_count and span_s >= budget.sample_s)
