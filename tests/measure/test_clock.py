"""The stopwatch, on clocks of our own making."""

import math

import numpy as np
import pytest
import torch

from zoo.measure.clock import FULL, QUICK, HostClock, Samples, measure_latency, quantile_interval, summarise

CPU = torch.device("cpu")


class Time:
    """A clock that moves only when something is done."""

    def __init__(self):
        self.ns = 0

    def spend(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)

    def read(self) -> int:
        return self.ns


def measure(cost, *, quick=False):
    """Time calls that take `cost(index)` seconds."""
    time, calls = Time(), []

    def call(index):
        calls.append(index)
        time.spend(cost(index))

    samples = measure_latency(call, device=CPU, quick=quick, clock=HostClock(counter_ns=time.read))
    assert calls == list(range(len(calls))), "inputs rotate over warm-up and measuring alike"
    assert len(calls) == samples.warmup_count + len(samples.seconds)
    return samples, time.ns / 1e9


def test_fast_model_takes_three_seconds_of_samples():
    samples, _ = measure(lambda _: 0.001)
    assert 2990 <= len(samples.seconds) <= 3010
    assert samples.warmup_settled
    assert samples.warmup_count >= 10
    assert 1.0 <= samples.warmup_s < 1.5
    np.testing.assert_allclose(samples.seconds, 0.001)


def test_middling_model_takes_a_hundred_samples():
    samples, _ = measure(lambda _: 0.2)
    assert len(samples.seconds) == 100
    assert summarise(samples).p99_s == pytest.approx(0.2)


def test_slow_model_stops_at_sixty_seconds():
    samples, _ = measure(lambda _: 1.5)
    assert len(samples.seconds) == 40
    assert summarise(samples).p99_s is None


def test_very_slow_model_goes_on_to_twenty():
    samples, total = measure(lambda _: 10.0)
    assert len(samples.seconds) == FULL.cap_count
    assert samples.warmup_count == 2
    assert not samples.warmup_settled
    assert total == 220


def test_slow_start_is_kept_out_of_the_samples():
    samples, _ = measure(lambda index: 0.01 * (1 + 9 * math.exp(-index / 30)))
    assert samples.warmup_settled
    assert samples.seconds.max() < 0.0104
    assert samples.warmup_count > 100


def test_one_cold_call_does_not_spoil_the_warm_up():
    samples, _ = measure(lambda index: 3.0 if index == 0 else 0.02)
    assert samples.warmup_settled
    assert samples.warmup_s < 5
    np.testing.assert_allclose(samples.seconds, 0.02)


def test_warm_up_that_never_settles_is_capped_and_flagged():
    samples, _ = measure(lambda index: 0.01 * 1.002**index if index < 2000 else 0.5)
    assert not samples.warmup_settled
    assert 10.0 <= samples.warmup_s < 11.0


def test_quick_is_quick():
    fast, fast_s = measure(lambda _: 0.001, quick=True)
    assert 490 <= len(fast.seconds) <= 510
    assert fast_s < 1
    slow, slow_s = measure(lambda _: 0.5, quick=True)
    assert len(slow.seconds) == QUICK.cap_count
    assert slow_s < 5
    assert summarise(slow).p50_interval_s == pytest.approx((0.5, 0.5))


def test_asynchronous_work_is_waited_for():
    """A device that returns at once and is busy for 30 ms: only a clock that waits sees it."""
    time, queued = Time(), []

    def call(_):
        time.spend(0.0001)
        queued.append(0.03)

    def synchronize():
        time.spend(sum(queued))
        queued.clear()

    clock = HostClock(synchronize, time.read)
    samples = measure_latency(call, device=torch.device("mps"), quick=True, clock=clock)
    np.testing.assert_allclose(samples.seconds, 0.0301)


class QueueClock:
    """Like CUDA's: calls are queued, and seconds are known after the one wait."""

    batch = 1000

    def __init__(self, cost):
        self.time, self.cost, self.waits = Time(), cost, 0

    def now(self):
        return self.time.read() / 1e9

    def laps(self, call, first, count):
        for index in range(first, first + count):
            call(index)
        self.waits += 1
        laps = [self.cost(index) for index in range(first, first + count)]
        self.time.spend(sum(laps))
        return laps


def test_queued_calls_are_waited_for_once():
    clock = QueueClock(lambda _: 0.01)
    samples = measure_latency(lambda _: None, device=CPU, quick=False, clock=clock)
    assert len(samples.seconds) in (300, 301)
    assert clock.waits <= 9


def test_queued_calls_that_speed_up_still_fill_the_time():
    clock = QueueClock(lambda index: 0.01 if index < 150 else 0.004)
    samples = measure_latency(lambda _: None, device=CPU, quick=False, clock=clock)
    assert samples.seconds.sum() >= FULL.sample_s


def test_summary_is_recomputable_from_samples():
    seconds = np.random.default_rng(0).gamma(4, 0.01, 400)
    latency = summarise(Samples(seconds, 12, 1.5, True))
    assert latency.sample_count == 400
    assert latency.min_s == seconds.min()
    assert latency.max_s == seconds.max(), "the tail is never clipped"
    assert latency.p50_s == np.median(seconds)
    assert latency.p99_s == np.quantile(seconds, 0.99)
    assert latency.std_s == pytest.approx(np.std(seconds, ddof=1))
    assert latency.p25_s < latency.p50_s < latency.p75_s < latency.p90_s < latency.p95_s < latency.p99_s
    assert latency.p50_interval_s[0] < latency.p50_s < latency.p50_interval_s[1]
    assert latency.p90_interval_s[0] < latency.p90_s < latency.p90_interval_s[1]
    assert (latency.warmup_count, latency.warmup_s, latency.warmup_settled) == (12, 1.5, True)


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (25, 8, 18), (100, 40, 61)])
def test_median_interval_has_the_textbooks_ranks(n, low, high):
    """Conover, Practical Nonparametric Statistics, table of the sign test: ranks of the 95 % interval."""
    assert quantile_interval(np.arange(1.0, n + 1), 0.5) == (low, high)


def test_interval_is_null_where_samples_are_too_few():
    assert quantile_interval(np.arange(5.0), 0.5) is None
    assert quantile_interval(np.arange(20.0), 0.9) is None
    assert quantile_interval(np.arange(100.0), 0.9) is not None


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_interval_covers_what_it_says(q):
    draws = np.sort(np.random.default_rng(0).random((2000, 60)), axis=1)
    hits = [interval[0] <= q <= interval[1] for row in draws if (interval := quantile_interval(row, q))]
    assert np.mean(hits) >= 0.94


def test_real_clock_sees_real_work():
    weights = torch.randn(64, 64)
    samples = measure_latency(lambda _: weights @ weights, device=CPU, quick=True)
    assert samples.seconds.min() > 0
    assert len(samples.seconds) >= QUICK.sample_count


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_events_see_a_slow_kernel():
    weights = torch.randn(8192, 8192, device="cuda")
    samples = measure_latency(lambda _: weights @ weights, device=torch.device("cuda:0"), quick=True)
    assert np.median(samples.seconds) > 1e-3
