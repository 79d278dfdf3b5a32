"""The stopwatch, on clocks of our own making."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

from zoo.measure.clock import (
    BLOCK,
    FULL,
    QUICK,
    RATE,
    RATE_QUICK,
    WAKE_S,
    WATERFALL,
    Clock,
    HostClock,
    Splits,
    grows,
    measure_latency,
    measure_rate,
    measure_stages,
    whole,
)
from zoo.score.summary import summarise, summarise_stages
from zoo.score.trust import grade
from zoo.timed import BatchRate

CPU = torch.device("cpu")


class Time:
    """A clock that moves only when something is done."""

    def __init__(self):
        self.ns = 0

    def spend(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)

    def read(self) -> int:
        return self.ns


def measure(cost, *, quick=False, time=None):
    """Time calls that take `cost(index)` seconds."""
    time, calls = time or Time(), []

    def call(index):
        calls.append(index)
        time.spend(cost(index))

    (samples,) = measure_latency([call], device=CPU, quick=quick, clock=HostClock(counter_ns=time.read))
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


@pytest.mark.parametrize("fast_s", [0.0005, 0.002, 0.006])
@pytest.mark.parametrize("factor", [1.1, 2, 3])
def test_samples_hold_none_of_fifty_slow_calls(fast_s, factor):
    samples, _ = measure(lambda index: fast_s * (factor if index < 50 else 1))
    assert samples.warmup_settled
    assert samples.warmup_count >= 50
    np.testing.assert_allclose(samples.seconds, fast_s)


def test_fifty_slow_calls_of_a_slow_model_are_kept_and_cost_the_grade(record):
    """Three windows of 0.15 s a call agree before call 50: nothing tells then that the model will be faster."""
    samples, _ = measure(lambda index: 0.15 if index < 50 else 0.1)
    assert samples.seconds.max() == pytest.approx(0.15)
    assert graded(record, samples) != "A"


def graded(record, samples, kind="cpu"):
    """The grade of a record, else faultless, of these samples."""
    good = record(kind=kind, spread=0.01, pipeline_spread=0.01)
    assert grade(good)[0] == "A"
    speed = good.speed.model_copy(update={"network": summarise(samples)})
    return grade(good.model_copy(update={"speed": speed}))[0]


def test_a_steady_model_gets_an_a(record):
    samples, _ = measure(lambda index: 0.02 * (1 + 0.01 * math.sin(index)))
    assert graded(record, samples) == "A"


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("first_s", [0.001, 0.01, 0.1])
def test_a_model_that_slows_down_as_it_heats_gets_no_a(record, first_s, kind):
    samples, _ = measure(lambda index: first_s * 1.005**index)
    expected = first_s * 1.005 ** np.arange(samples.warmup_count, samples.warmup_count + len(samples.seconds))
    np.testing.assert_allclose(samples.seconds, expected, rtol=1e-5, err_msg="kept in order, nothing clipped")
    assert summarise(samples).max_s == samples.seconds[-1]
    assert graded(record, samples, kind) != "A"


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("cool_s", [0.001, 0.01, 0.025])
def test_a_model_that_is_hot_after_two_seconds_gets_no_a(record, cool_s, kind):
    time = Time()
    samples, _ = measure(lambda _: cool_s * (1.2 if time.ns > 2e9 else 1), time=time)
    assert samples.warmup_settled, "it was steady until then"
    assert samples.seconds[0] == pytest.approx(cool_s)
    assert samples.seconds[-1] == pytest.approx(1.2 * cool_s)
    assert np.all(np.diff(samples.seconds) >= -1e-9)
    assert graded(record, samples, kind) != "A"


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
    assert 190 <= len(fast.seconds) <= 210
    assert fast_s < 0.5
    slow, slow_s = measure(lambda _: 0.5, quick=True)
    assert len(slow.seconds) == QUICK.cap_count
    assert slow_s < 5
    assert summarise(slow).p50_interval_s == pytest.approx((0.5, 0.5))


class Machine:
    """Calls on one clock that drifts; the first call after another's may be slow."""

    def __init__(self, costs_s, *, drift=lambda _: 1.0, is_cold_after_another=False, noise=0.0):
        self.time, self.made, self.random = Time(), [], np.random.default_rng(0)
        self.costs_s, self.drift, self.noise = costs_s, drift, noise
        self.is_cold_after_another = is_cold_after_another

    def call(self, side, index):
        is_cold = self.is_cold_after_another and bool(self.made) and self.made[-1][0] != side
        self.made.append((side, index))
        factor = self.drift(self.time.ns / 1e9) * (3 if is_cold else 1) * self.random.lognormal(0, self.noise)
        self.time.spend(self.costs_s[side] * factor)

    def measure(self, *, quick=False):
        calls = [functools.partial(self.call, side) for side in range(len(self.costs_s))]
        return measure_latency(calls, device=CPU, quick=quick, clock=HostClock(counter_ns=self.time.read))

    @property
    def turns(self):
        """The measuring as runs of `(side, calls)`, after both were warmed up."""
        runs = [(side, len(list(made))) for side, made in itertools.groupby(self.made, key=lambda made: made[0])]
        return runs[len(self.costs_s) :]

    def calls_of(self, side):
        return sum(made == side for made, _ in self.made)


@pytest.mark.parametrize(
    "drift",
    [
        lambda share: 1.0 if share > 0.5 else 1.3,  # a clock that rises
        lambda share: 1.0 + 0.3 * share,  # heat
        lambda share: 0.7**share,  # a neighbour that leaves
        lambda share: 1.0 + 0.05 * math.sin(20 * share),
    ],
)
@pytest.mark.parametrize(("network_s", "all_s"), [(0.002, 9), (0.03, 11), (0.4, 120)])
def test_drift_does_not_put_a_part_above_the_whole(drift, network_s, all_s):
    """The pipeline takes 4 % more than the network inside it: one after the other, drift would hide or double that."""
    machine = Machine((network_s, 1.04 * network_s), drift=lambda s: drift(s / all_s), noise=0.01)
    network, pipeline = (summarise(samples) for samples in machine.measure())
    assert pipeline.p50_s / network.p50_s == pytest.approx(1.04, abs=0.03)
    assert machine.time.ns / 1e9 == pytest.approx(all_s, rel=0.4), "the drift was met"


def test_a_quick_run_of_a_slow_model_takes_turns_too():
    machine = Machine((0.5, 0.6))
    machine.measure(quick=True)
    assert machine.turns == [(0, 4), (1, 8), (0, 4)], "one call of each block is not timed"


def test_turns_flip_their_order_and_begin_untimed():
    machine = Machine((0.05, 0.004), is_cold_after_another=True)
    network, pipeline = machine.measure()
    np.testing.assert_allclose(network.seconds, 0.05, err_msg="the first call after the other's is not timed")
    np.testing.assert_allclose(pipeline.seconds, 0.004)
    slow, fast = (
        math.ceil(WAKE_S / cost_s) + max(BLOCK.count, math.ceil(BLOCK.seconds / cost_s)) for cost_s in (0.05, 0.004)
    )
    turn_count = FULL.sample_count / BLOCK.count
    assert machine.turns == [(0, slow)] + [(1, 2 * fast), (0, 2 * slow)] * int(turn_count / 2 - 1) + [
        (1, 2 * fast),
        (0, slow),
    ]


@pytest.mark.parametrize(
    ("costs_s", "counts"),
    [
        ((0.001, 0.001), (3000, 3000)),
        ((0.2, 0.25), (100, 100)),
        ((0.001, 0.2), (5000, 100)),  # its turns go on with the other's
        ((0.2, 0.9), (100, 67)),  # the other stops at 60 s
        ((10.0, 11.0), (20, 20)),
    ],
)
def test_each_call_has_its_samples_or_its_cap(costs_s, counts):
    machine = Machine(costs_s)
    samples = machine.measure()
    for one, cost_s, count in zip(samples, costs_s, counts, strict=True):
        assert len(one.seconds) == pytest.approx(count, rel=0.01)
        np.testing.assert_allclose(one.seconds, cost_s)
    for side in range(2):
        assert [index for made, index in machine.made if made == side] == list(range(machine.calls_of(side)))


def test_a_queue_is_waited_for_once_a_block():
    clock = QueueClock(lambda _: 0.01)
    network, pipeline = measure_latency([lambda _: None] * 2, device=CPU, quick=False, clock=clock)
    assert min(len(network.seconds), len(pipeline.seconds)) >= 300
    assert clock.waits <= 2 * (9 + 2 * FULL.sample_s / BLOCK.seconds), "warm-up, then once to wake and once to time"


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
    (samples,) = measure_latency([call], device=torch.device("mps"), quick=True, clock=clock)
    np.testing.assert_allclose(samples.seconds, 0.0301)


class QueueClock(Clock):
    """Like CUDA's: calls are queued, and seconds are known after the one wait."""

    batch = 1000

    def __init__(self, cost, overlap=1.0):
        self.time, self.cost, self.waits, self.overlap = Time(), cost, 0, overlap

    def now(self):
        return self.time.read() / 1e9

    def splits(self, chain, first, count):
        for index in range(first, first + count):
            functools.reduce(lambda value, stage: stage(value), chain, index)
        self.waits += 1
        seconds = np.array([[self.cost(index)] * len(chain) for index in range(first, first + count)])
        self.time.spend(seconds.sum() * self.overlap)
        return Splits(seconds, seconds.sum() * self.overlap)


def test_queued_calls_are_waited_for_once():
    clock = QueueClock(lambda _: 0.01)
    (samples,) = measure_latency([lambda _: None], device=CPU, quick=False, clock=clock)
    assert len(samples.seconds) in (300, 301)
    assert clock.waits <= 9


def test_queued_calls_that_speed_up_still_fill_the_time():
    clock = QueueClock(lambda index: 0.01 if index < 150 else 0.004)
    (samples,) = measure_latency([lambda _: None], device=CPU, quick=False, clock=clock)
    assert samples.seconds.sum() >= FULL.sample_s


COSTS = {"copy_in": 0.001, "preprocess": 0.003, "network": 0.02, "upsample_argmax": 0.004, "copy_out": 0.0005}


class Chain:
    """Five stages whose answers tell where they came from."""

    def __init__(self, spend, costs=COSTS):
        self.spend, self.costs, self.ends = spend, costs, []

    def stages(self):
        return {name: functools.partial(self.stage, name) for name in self.costs}

    def stage(self, name, value):
        self.spend(self.costs[name])
        if name == list(self.costs)[-1]:
            self.ends.append((*value, name))
        return (*value, name)


@pytest.mark.parametrize("quick", [False, True])
def test_waterfall_times_each_stage_inside_one_call(quick):
    time = Time()
    chain = Chain(time.spend)
    clock = HostClock(counter_ns=time.read)
    samples = measure_stages(chain.stages(), [("a",), ("b",)], device=CPU, quick=quick, clock=clock)
    assert chain.ends[:3] == [("a", *COSTS), ("b", *COSTS), ("a", *COSTS)], "each takes what the one before answered"
    assert list(samples) == list(COSTS)
    for name, one in samples.items():
        np.testing.assert_allclose(one.seconds, COSTS[name])
    assert len(samples["network"].seconds) >= (QUICK if quick else WATERFALL).sample_count
    assert samples["network"].warmup_count == len(chain.ends) - len(samples["network"].seconds) >= 2, (
        "warm-up is short, but it is there"
    )
    assert time.ns < 2e9
    waterfall = summarise_stages({name: one.seconds for name, one in samples.items()})
    assert [stage.name for stage in waterfall] == list(COSTS)
    assert sum(stage.p50_s for stage in waterfall) == pytest.approx(sum(COSTS.values()))
    np.testing.assert_allclose(whole(samples).seconds, sum(COSTS.values()))
    assert whole(samples).warmup_count == samples["network"].warmup_count


def test_waterfall_of_a_slow_model_stops_at_its_cap():
    time = Time()
    chain = Chain(time.spend, {"network": 0.5, "upsample_argmax": 0.3})
    samples = measure_stages(chain.stages(), [()], device=CPU, quick=False, clock=HostClock(counter_ns=time.read))
    assert len(samples["network"].seconds) == WATERFALL.cap_count
    (network, _) = summarise_stages({name: one.seconds for name, one in samples.items()})
    assert network.p50_interval_s == pytest.approx((0.5, 0.5))


def test_waterfall_waits_for_each_stage_of_an_asynchronous_device():
    time, queued = Time(), []

    def synchronize():
        time.spend(sum(queued))
        queued.clear()

    chain = Chain(queued.append)
    samples = measure_stages(
        chain.stages(), [()], device=torch.device("mps"), quick=True, clock=HostClock(synchronize, time.read)
    )
    for name, one in samples.items():
        np.testing.assert_allclose(one.seconds, COSTS[name])


def test_a_stage_answer_is_dropped_when_the_next_has_it():
    alive = []

    class Answer:
        def __init__(self):
            alive.append(1)

        def __del__(self):
            alive.pop()

    def check(answer):
        assert len(alive) == 1, "not one more from the call before"
        return answer

    HostClock().splits((lambda _: Answer(), check), 0, 3)
    assert not alive


@pytest.mark.parametrize(
    ("cost_s", "quick", "calls"),
    [(0.01, False, 300), (1.0, False, RATE.sample_count), (20.0, False, RATE.cap_count), (5.0, True, 2)],
)
def test_rate_is_images_over_seconds_of_all_calls(cost_s, quick, calls):
    time = Time()
    rate = measure_rate(
        lambda _: time.spend(cost_s), batch_size=8, device=CPU, quick=quick, clock=HostClock(counter_ns=time.read)
    )
    assert rate.batch_size == 8
    assert rate.images_per_s == pytest.approx(8 / cost_s)
    assert rate.call_count == pytest.approx(calls, abs=1)
    assert rate.call_count >= (RATE_QUICK if quick else RATE).cap_count


def test_rate_counts_slow_calls_too():
    """Images over seconds is a harmonic mean: one call that hangs costs what it took."""
    time = Time()
    rate = measure_rate(
        lambda index: time.spend(2.9 if index == 20 else 0.1),
        batch_size=1,
        device=CPU,
        quick=False,
        clock=HostClock(counter_ns=time.read),
    )
    assert rate.images_per_s < 7


def test_rate_of_calls_that_overlap_is_not_that_of_their_sum():
    rate = measure_rate(
        lambda _: None, batch_size=4, device=CPU, quick=False, clock=QueueClock(lambda _: 0.1, overlap=0.5)
    )
    assert rate.images_per_s == pytest.approx(4 / 0.05)


@pytest.mark.parametrize(
    ("rates", "again"),
    [((), True), ((10,), True), ((10, 10.31), True), ((10, 10.29), False), ((10, 9), False), ((10, 19, 19.2), False)],
)
def test_doubling_goes_on_while_it_pays(rates, again):
    tried = [BatchRate(batch_size=2**n, images_per_s=rate, call_count=10) for n, rate in enumerate(rates)]
    assert grows(tried) is again


def test_real_clock_sees_real_work():
    weights = torch.randn(64, 64)
    (samples,) = measure_latency([lambda _: weights @ weights], device=CPU, quick=True)
    assert samples.seconds.min() > 0
    assert len(samples.seconds) >= QUICK.sample_count


def test_real_clock_sees_real_stages():
    weights = torch.randn(64, 64)
    samples = measure_stages(
        {"preprocess": lambda x: x + 1, "network": lambda x: x @ x}, [weights], device=CPU, quick=False
    )
    assert all(one.seconds.min() > 0 for one in samples.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_events_see_a_slow_kernel():
    weights = torch.randn(8192, 8192, device="cuda")
    (samples,) = measure_latency([lambda _: weights @ weights], device=torch.device("cuda:0"), quick=True)
    assert np.median(samples.seconds) > 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_events_tell_stages_apart():
    there = torch.device("cuda:0")
    weights = torch.randn(8192, 8192, device=there)
    stages = {"network": lambda x: x @ x, "copy_out": lambda x: x[:1].cpu()}
    samples = measure_stages(stages, [weights], device=there, quick=True)
    assert np.median(samples["network"].seconds) > 10 * np.median(samples["copy_out"].seconds)
    rate = measure_rate(lambda _: weights @ weights, batch_size=1, device=there, quick=True)
    assert rate.images_per_s == pytest.approx(1 / np.median(samples["network"].seconds), rel=0.5)
