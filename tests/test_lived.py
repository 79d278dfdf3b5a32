"""What a record keeps of paced calls and cold starts."""

import numpy as np
import pytest
from pydantic import ValidationError

from zoo.lived import ColdStart, Start
from zoo.score.metrics import METRICS
from zoo.score.summary import summarise_paced


def start(import_s, load_s=0.1, first_call_s=0.05):
    return Start(import_s=import_s, load_s=load_s, first_call_s=first_call_s)


@pytest.mark.parametrize(("imports_s", "typical_s"), [((3.0,), 3.0), ((9.0, 1.0, 2.0), 2.0), ((1.0, 2.0), 2.0)])
def test_a_cold_start_is_the_process_with_the_median_total(imports_s, typical_s):
    found = ColdStart(loaded_by="zoo", starts=tuple(map(start, imports_s)))
    assert found.typical.import_s == typical_s
    assert found.typical.total_s == pytest.approx(typical_s + 0.15)


def test_no_cold_start_is_made_of_no_process():
    with pytest.raises(ValidationError):
        ColdStart(loaded_by="zoo", starts=())


def test_missed_deadlines_by_hand():
    """Six frames at 10 Hz: the second is late by 20 ms, the third is late by 130 ms, and the next two are dropped."""
    said = summarise_paced(10.0, np.array([0.02, 0.12, 0.23, 0.02]), np.array([0, 1, 2, 5]))
    assert (said.frame_count, said.late_count, said.dropped_count) == (6, 2, 2)
    assert said.missed_share == pytest.approx(4 / 6)
    assert (said.lateness_p50_s, said.lateness_max_s) == (pytest.approx(0.075), pytest.approx(0.13))


def test_the_metrics_of_both(records):
    made = records.make(rate_hz=10.0, missed=(3, 9), starts=[(2.0, 0.3, 0.1), (3.0, 0.2, 0.1), (9.0, 0.2, 0.1)])
    said = {
        key: METRICS[key].say(METRICS[key].of(made))
        for key in (
            "missed_share",
            "lateness_max_s",
            "frame_count",
            "cold_start_s",
            "cold_import_s",
            "cold_first_call_s",
        )
    }
    assert said == {
        "missed_share": "10.0 %",
        "lateness_max_s": "20.0 ms",
        "frame_count": "120",
        "cold_start_s": "3.30 s",
        "cold_import_s": "3.00 s",
        "cold_first_call_s": "0.100 s",
    }
    assert METRICS["cold_start_s"].name == "cold-start"
    kept = records.make(rate_hz=10.0)
    lateness = [METRICS[key] for key in ("lateness_p50_s", "lateness_max_s")]
    assert [metric.of(kept) for metric in lateness] == [0.0, 0.0], "who missed nothing was never late"
    assert [metric.of(records.make()) for metric in lateness] == [None, None], "of no deadline nothing is known"
    plain = records.make()
    assert {METRICS[key].of(plain) for key in said} == {None}
