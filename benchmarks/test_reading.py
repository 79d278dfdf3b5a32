"""Reading 1,000 records: what a person waits for at `zoo leaderboard` and `zoo pick`, imports apart."""

from __future__ import annotations

import time

import pytest

from zoo.picker.pick import pick
from zoo.report.choice import show_choice
from zoo.report.leaderboard import leaderboard, render

TARGET_S = 0.5
"""Half of what the whole command may take, in CPU seconds: one thread, so a busy machine does not move it."""

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def _measure(benchmark, call):
    text = benchmark.pedantic(call, rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info.update(target_s=TARGET_S, seconds=benchmark.stats.stats.median, record_count=1000)
    return text


@pytest.mark.parametrize("form", ["table", "md", "json"])
def test_leaderboard_of_1000_records(benchmark, results, form):
    text = _measure(benchmark, lambda: render(leaderboard(results), form, plain=True))
    assert "model_49" in text


def test_pick_among_1000_records(benchmark, results):
    choose = {"device": "device-1", "input_size": (256, 256), "max_latency_s": 0.1}
    text = _measure(benchmark, lambda: show_choice(pick(results, batch_size=1, **choose)))
    assert text.startswith("model_")
