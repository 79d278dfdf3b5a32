"""How int8 was made, as a record states it and a sentence says it."""

import pytest
from pydantic import ValidationError

from zoo.protocol import DEFAULT_WAY
from zoo.quantisation import Attempt, Quantisation
from zoo.score.int8 import int8_text


def test_what_was_kept_is_one_of_those_that_were_measured():
    untried = Attempt(way="percentile calibration", why_not="not installed")
    for attempts in ((), (Attempt(way=DEFAULT_WAY, miou_lost=0.02),), (untried,)):
        with pytest.raises(ValidationError, match="what 'percentile calibration' loses is not said"):
            Quantisation(way="percentile calibration", holds=True, attempts=attempts)


@pytest.mark.parametrize(
    ("first", "ending"),
    [
        (Attempt(way=DEFAULT_WAY, miou_lost=0.02), "; min-max calibration loses 2.0"),
        (Attempt(way=DEFAULT_WAY, why_not="the calibrator failed"), "train images"),
    ],
)
def test_the_default_need_not_have_worked(first, ending):
    kept = Attempt(way="percentile calibration", miou_lost=0.004)
    found = Quantisation(way=kept.way, holds=True, attempts=(first, kept), image_count=8)
    assert int8_text(found).startswith("percentile calibration: loses 0.4 points of mIoU on 8 train images")
    assert int8_text(found).endswith(ending)
