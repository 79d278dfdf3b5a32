"""`zoo.score.ranks`: Kendall's tau-b and its interval, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.score import ranks
from zoo.score.ranks import rank_correlation


@pytest.mark.parametrize("per_model", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_tau_b_is_scipys(seed, per_model, monkeypatch):
    kendalltau = pytest.importorskip("scipy.stats").kendalltau
    dice = np.random.default_rng(seed)
    first = np.round(dice.normal(size=30), 1)  # rounded: some tie
    second = np.round(first + dice.normal(size=30), 1)
    models = [f"model {place // per_model}" for place in range(30)]
    found = rank_correlation(first, second, models)
    assert found.tau_b == pytest.approx(kendalltau(first, second, variant="b").statistic, abs=1e-12)
    assert found.interval[0] <= found.tau_b <= found.interval[1]
    assert (found.artifact_count, found.model_count) == (30, -(-30 // per_model))
    monkeypatch.setattr(ranks, "_AT_ONCE", 60)  # two artifacts at once
    again = rank_correlation(first, second, models)
    assert (again.tau_b, *again.interval) == pytest.approx((found.tau_b, *found.interval))


def test_the_same_order_is_1_and_a_reversed_one_minus_1():
    times, models = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [*"abcdef"]
    assert rank_correlation(times, [value * 3 for value in times], models)[:2] == (1.0, (1.0, 1.0))
    assert rank_correlation(times, [-value for value in times], models)[:2] == (-1.0, (-1.0, -1.0))


def test_artifacts_of_one_model_are_drawn_together():
    """Fifty artifacts of five models tell no more than five models do."""
    dice = np.random.default_rng(0)
    first, noise = dice.normal(size=5), dice.normal(size=5)
    few = rank_correlation(first, first + noise, [*"abcde"])
    spread = 1e-6 * dice.normal(size=(2, 10, 5))
    many = rank_correlation((first + spread[0]).ravel(), (first + noise + spread[1]).ravel(), [*"abcde"] * 10)
    width, wide = (one.interval[1] - one.interval[0] for one in (few, many))
    assert wide > 0.5 * width > 0


@pytest.mark.parametrize(
    ("models", "times", "words"),
    [
        ("abcd", [1, 2, 3, 4], "a rank correlation wants 5 models that both measured; there are 4"),
        ("aabb", [1, 2, 3, 4], "wants 5 models that both measured; there are 2"),
        ("abcdef", [1] * 6, "all artifacts take the same time on one of the devices"),
    ],
)
def test_too_few_or_no_order_is_said(models, times, words):
    with pytest.raises(UserError, match=words):
        rank_correlation(times, range(len(times)), [*models])
