"""Timed samples are summed up as the protocol says."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.score.summary import Samples, quantile_interval, summarise, summarise_stages


@pytest.mark.parametrize(("count", "p99", "p999"), [(99, False, False), (100, True, False), (1000, True, True)])
def test_a_tail_needs_samples(count, p99, p999):
    seconds = np.random.default_rng(0).gamma(4, 0.01, count)
    latency = summarise(Samples(seconds, 12, 1.5, True))
    assert latency.p99_s == (np.quantile(seconds, 0.99) if p99 else None)
    assert latency.p999_s == (np.quantile(seconds, 0.999) if p999 else None)


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


def test_stage_summary_has_medians_and_their_intervals():
    seconds = np.random.default_rng(0).gamma(4, 0.01, 25)
    (stage,) = summarise_stages({"network": seconds})
    assert stage.p50_s == np.median(seconds)
    assert stage.p50_interval_s == quantile_interval(np.sort(seconds), 0.5)
