"""How many digits a page has: as many as decisions take, and where numbers are only shown as many as round alike."""

from __future__ import annotations

import random
from decimal import ROUND_05UP, Decimal

import pytest

from zoo.report.page.digits import DECIDING, SHOWN, decided_by, only_shown

BOTH = pytest.mark.parametrize(("cut", "digits"), [(decided_by, DECIDING), (only_shown, SHOWN)])


@BOTH
def test_a_page_rounds_as_from_all_digits(cut, digits):
    exact = [0.483497737, 0.483502, 0.4835, 0.57, 0.020003, 1e-9]  # 48.3 and 48.4: not twice 48.35, and then 48.4
    assert [f"{cut(value):.3g}" for value in exact] == [f"{value:.3g}" for value in exact]


@BOTH
def test_digits_are_cut_as_decimals_would_be(cut, digits):
    dice = random.Random(0)
    for value in [round(dice.uniform(0.1, 1), dice.randrange(1, 12)) for _ in range(999)]:
        assert cut(value) == float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_05UP))


@pytest.mark.parametrize("limit", [0.005, 0.000341412, 0.4835, 5.508e-06, 1e-5])
def test_a_limit_is_kept_as_by_all_digits(limit):
    dice, values = (
        random.Random(0),
        [limit, limit * (1 - 2e-16), limit * (1 + 2e-16), limit / 3 * 3, limit * 1000 / 1e3],
    )
    values += [limit * (1 + dice.choice((1, -1)) * 10 ** -dice.uniform(0, 16)) for _ in range(999)]
    for value in values:
        assert (decided_by(value) > limit, decided_by(value) < limit) == (value > limit, value < limit), value


def test_what_is_only_shown_is_the_same_whatever_chance_adds():
    assert only_shown(0.1 + 0.2) == 0.3
    assert only_shown(0.02 * 1e6) == 20_000


@pytest.mark.parametrize("value", [3e-7, 0.451290000123, 1 / 3, 12.123456789])
def test_what_decides_is_told_from_its_neighbours(value):
    assert decided_by(value) == pytest.approx(value, rel=1e-9)
    assert decided_by(value) != decided_by(value * (1 + 2e-9))
