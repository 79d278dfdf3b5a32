"""Paced calls, on a clock of our own making: due times are a fixed grid, whatever a call takes."""

import math

import numpy as np
import pytest
import torch

from zoo.measure.clock import HostClock
from zoo.measure.pace import PACED, PACED_QUICK, UNCOUNTED_FRAMES, measure_paced

CPU = torch.device("cpu")


class Camera:
    """Calls that take `cost(number)` seconds on a clock that moves only when something is done.

    A sleep takes longer than it was asked to by `overshoot_s`, and may end early by `undershoot`, a share of it.
    """

    def __init__(self, cost, *, overshoot_s=0.0, undershoot=0.0):
        self.ns, self.cost, self.overshoot_s, self.undershoot = 0, cost, overshoot_s, undershoot
        self.starts_s, self.made, self.slept_s = [], [], 0.0

    def call(self, number):
        self.starts_s.append(self.ns / 1e9)
        self.made.append(number)
        self.ns += round(self.cost(number) * 1e9)

    def sleep(self, seconds):
        took_s = seconds * (1 - self.undershoot) + self.overshoot_s
        self.slept_s += took_s
        self.ns += math.ceil(took_s * 1e9)

    def measure(self, rate_hz, *, quick=False):
        clock = HostClock(counter_ns=lambda: self.ns)
        found = measure_paced(
            self.call,
            rate_hz=rate_hz,
            device=CPU,
            quick=quick,
            clock=clock,
            counter_ns=lambda: self.ns,
            sleep=self.sleep,
        )
        assert self.made == list(range(len(self.made))), "inputs rotate over warm-up and frames alike"
        self.paced_s = np.array(self.starts_s[found.samples.warmup_count :])
        return found


@pytest.mark.parametrize("rate_hz", [10.0, 29.97, 30.0, 7.0])
def test_due_times_are_a_grid_that_does_not_drift(rate_hz):
    camera = Camera(lambda _: 0.012, overshoot_s=0.0007)
    found = camera.measure(rate_hz)
    grid_s = camera.paced_s[0] + np.arange(len(camera.paced_s)) / rate_hz
    assert np.abs(camera.paced_s - grid_s).max() < 0.0008, "an overslept frame delays no other"
    np.testing.assert_array_equal(found.frames, np.arange(len(found.frames)))
    np.testing.assert_allclose(found.samples.seconds, 0.0127, atol=2e-9, err_msg="from the due time, waking included")
    assert found.summary.missed_share == 0
    assert (found.summary.lateness_p50_s, found.summary.lateness_max_s) == (None, None)


def test_a_sleep_that_ends_early_is_slept_on():
    camera = Camera(lambda _: 0.01, undershoot=0.3)
    found = camera.measure(10.0)
    assert found.samples.seconds.min() >= 0.01, "no frame is begun before it is due"
    np.testing.assert_allclose(np.diff(camera.paced_s), 0.1, atol=1e-6)


def test_a_call_that_overruns_drops_the_frames_that_come_due_meanwhile():
    """Of 10 frames a second each tenth call takes 0.25 s: it is late, and the next two frames are never begun."""
    camera = Camera(lambda number: 0.25 if number % 10 == 0 else 0.02)
    found = camera.measure(10.0)
    slow = np.flatnonzero(found.samples.seconds > 0.1)
    steps = np.diff(found.frames)
    assert set(steps) == {1, 3}
    assert np.array_equal(np.flatnonzero(steps == 3), slow[slow < len(steps)])
    said = found.summary
    assert said.frame_count == found.frames[-1] + 1 == len(found.frames) + said.dropped_count
    assert said.late_count == len(slow) > 5
    assert said.dropped_count == 2 * len(slow[slow < len(steps)])
    assert said.missed_share == pytest.approx(3 / 12, abs=0.02)
    assert said.lateness_p50_s == said.lateness_max_s == pytest.approx(0.15)
    on_grid = (camera.paced_s - camera.paced_s[0]) * 10
    np.testing.assert_allclose(on_grid, np.round(on_grid), atol=1e-6, err_msg="the grid is the same after it")


def test_a_call_that_takes_longer_than_a_period_misses_every_deadline():
    found = Camera(lambda _: 0.15).measure(10.0)
    assert set(np.diff(found.frames)) == {2}
    assert found.summary.missed_share == 1
    assert found.summary.lateness_max_s == pytest.approx(0.05)


def test_an_answer_at_the_very_deadline_is_not_late():
    found = Camera(lambda _: 0.125).measure(8.0)
    assert set(np.diff(found.frames)) == {1}
    assert found.summary.missed_share == 0


def test_what_slows_down_after_a_sleep_is_seen():
    """A clock that falls asleep makes paced calls slower than those of the warm-up, one after the other."""
    camera = Camera(lambda number: 0.02)
    camera.cost = lambda _: 0.03 if camera.slept_s else 0.02
    found = camera.measure(10.0)
    np.testing.assert_allclose(found.samples.seconds, 0.03, atol=2e-9)
    assert found.samples.warmup_settled


@pytest.mark.parametrize(
    ("rate_hz", "cost_s", "frame_count"),
    [
        (10.0, 0.01, PACED.sample_count),
        (60.0, 0.01, 600),  # 10 s of them
        (1.0, 0.01, 100),
        (0.5, 0.01, 60),  # ends at 120 s
        (10.0, 0.15, 199),  # a hundred calls, each drops a frame
        (10.0, 10.0, 19 * 100 + 1),  # 20 calls, whatever they take
    ],
)
def test_as_many_frames_as_a_summary_needs(rate_hz, cost_s, frame_count):
    found = Camera(lambda _: cost_s).measure(rate_hz)
    assert found.summary.frame_count == frame_count
    assert len(found.samples.seconds) >= PACED.cap_count


def test_the_first_paced_frames_are_not_counted():
    camera = Camera(lambda _: 0.01)
    found = camera.measure(10.0)
    assert len(camera.paced_s) - len(found.frames) == 10, "a second of them"
    slow = Camera(lambda _: 0.01)
    assert len(slow.measure(0.5).frames) == len(slow.paced_s) - UNCOUNTED_FRAMES


def test_quick_is_quick():
    camera = Camera(lambda _: 0.01)
    found = camera.measure(10.0, quick=True)
    assert found.summary.frame_count == PACED_QUICK.sample_count
    assert camera.ns / 1e9 < 3
