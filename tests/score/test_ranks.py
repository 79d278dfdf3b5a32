"""`zoo.score.ranks`: Kendall's tau-b and its interval, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.score import ranks
from zoo.score.ranks import Timed, rank_correlation


def table(first, second, models):
    return [Timed(*one) for one in zip(models, first, second, strict=True)]


@pytest.mark.parametrize("per_model", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_tau_b_is_scipys(seed, per_model, monkeypatch):
    kendalltau = pytest.importorskip("scipy.stats").kendalltau
    dice = np.random.default_rng(seed)
    first = np.round(dice.normal(size=30), 1)  # rounded: some tie
    second = np.round(first + dice.normal(size=30), 1)
    one = table(first, second, [f"model {place // per_model}" for place in range(30)])
    found = rank_correlation([one])
    assert found.tau_b == pytest.approx(kendalltau(first, second, variant="b").statistic, abs=1e-12)
    assert found.interval[0] <= found.tau_b <= found.interval[1]
    assert (found.artifact_count, found.model_count) == (30, -(-30 // per_model))
    assert (found.table_count, found.pair_count) == (1, 30 * 29 // 2)
    monkeypatch.setattr(ranks, "_AT_ONCE", 60)  # two artifacts at once
    again = rank_correlation([one])
    assert (again.tau_b, *again.interval) == pytest.approx((found.tau_b, *found.interval))


def test_an_interval_is_that_of_tau_over_drawn_models():
    """Of one table with an artifact a model: tau-b of the models as they are drawn, by scipy."""
    kendalltau = pytest.importorskip("scipy.stats").kendalltau
    dice = np.random.default_rng(0)
    first, second = dice.normal(size=(2, 8))
    second += first
    drawn = np.random.default_rng(ranks.BOOTSTRAP_SEED).multinomial(8, np.full(8, 1 / 8), size=ranks.RESAMPLES)
    taus = [kendalltau(*(np.repeat(side, times) for side in (first, second)), variant="b").statistic for times in drawn]
    found = rank_correlation([table(first, second, [*"abcdefgh"])])
    assert found.interval == pytest.approx(tuple(np.nanquantile(taus, (0.025, 0.975))))


def test_the_same_order_is_1_and_a_reversed_one_minus_1():
    times, models = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [*"abcdef"]
    assert rank_correlation([table(times, [value * 3 for value in times], models)])[:2] == (1.0, (1.0, 1.0))
    assert rank_correlation([table(times, [-value for value in times], models)])[:2] == (-1.0, (-1.0, -1.0))


def test_pairs_of_two_tables_do_not_count():
    """Two tables, each reversed, one a hundred times as slow on both sides; and an artifact alone in its own."""
    times, models = np.arange(1.0, 7.0), [*"abcdef"]
    tables = [table(scale * times, scale * (7 - times), models) for scale in (1, 100)]
    found = rank_correlation([*tables, table([1.0], [1.0], ["g"])])
    assert found == (-1.0, (-1.0, -1.0), 12, 6, 2, 30)


@pytest.mark.parametrize("seed", range(20))
def test_a_correlation_lies_in_its_interval(seed):
    """However models and their artifacts are ranked: a model drawn twice makes no pair with itself."""
    dice = np.random.default_rng(seed)
    models, runtimes, tables = dice.integers((5, 1, 1), (12, 8, 4))
    sign = dice.choice([-1, 1])
    found = rank_correlation(
        table(
            (times + spread[:, None]).ravel(),
            (sign * times + dice.normal(size=models) + spread[:, None]).ravel(),
            [f"model {place}" for place in range(models)] * runtimes,
        )
        for times, spread in ((dice.normal(size=models), 3 * dice.normal(size=runtimes)) for _ in range(tables))
    )
    assert found.interval[0] <= found.tau_b <= found.interval[1]


def test_artifacts_of_one_model_are_drawn_together():
    """Fifty artifacts of five models tell no more than five models do."""
    dice = np.random.default_rng(0)
    first, noise = dice.normal(size=5), dice.normal(size=5)
    few = rank_correlation([table(first, first + noise, [*"abcde"])])
    spread = 1e-6 * dice.normal(size=(2, 10, 5))
    many = rank_correlation([table((first + spread[0]).ravel(), (first + noise + spread[1]).ravel(), [*"abcde"] * 10)])
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
        rank_correlation([table(times, range(len(times)), models)])


def test_models_of_two_tables_are_not_enough():
    halves = [table([1, 2, 3], [1, 2, 3], models) for models in ("abc", "def")]
    with pytest.raises(UserError, match="of those that may be ranked together there are 3"):
        rank_correlation(halves)
