"""How many digits a page has: as many as decisions take, and where numbers are only shown as many as round alike."""

from __future__ import annotations

import random
from decimal import ROUND_05UP, Decimal

import pytest

from zoo.report.page.digits import DECIDING, SHOWN, cut


@pytest.mark.parametrize("digits", [DECIDING, SHOWN])
def test_a_page_rounds_as_from_all_digits(digits):
    exact = [0.483497737, 0.483502, 0.4835, 0.57, 0.020003, 1e-9]  # 48.3 and 48.4: not twice 48.35, and then 48.4
    assert [f"{cut(value, digits):.3g}" for value in exact] == [f"{value:.3g}" for value in exact]


@pytest.mark.parametrize("digits", [DECIDING, SHOWN])
def test_digits_are_cut_as_decimals_would_be(digits):
    dice = random.Random(0)
    for value in [round(dice.uniform(0.1, 1), dice.randrange(1, 17)) for _ in range(999)]:
        exact = Decimal(f"{value:.12g}").quantize(Decimal(1).scaleb(-digits), ROUND_05UP)
        assert cut(value, digits) == float(exact)


def test_a_limit_is_kept_as_by_all_digits():
    dice = random.Random(0)
    values = [
        0.005,
        0.00499999,
        0.0050000001,
        *(round(0.01 * dice.random(), dice.randrange(3, 11)) for _ in range(999)),
    ]
    assert all((cut(value, SHOWN) >= 0.005) == (value >= 0.005) for value in values)


@pytest.mark.parametrize("value", [3e-7, 0.451290000123, 1 / 3, 12.123456789])
def test_what_decides_is_told_from_its_neighbours(value):
    assert cut(value) == pytest.approx(value, rel=1e-9)
    assert cut(value) != cut(value * (1 + 2e-9))
    assert cut(0.1 + 0.2) == 0.3
