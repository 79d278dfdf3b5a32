"""`zoo.score.trust`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import pytest

from zoo.record import Witness
from zoo.score.trust import grade


@pytest.mark.parametrize(
    ("changes", "letter", "words"),
    [
        ({}, "A", []),
        ({"spread": 0.05}, "A", []),
        ({"spread": 0.051}, "B", ["network spread 5.1%"]),
        ({"settled": False}, "B", ["warm-up unsettled"]),
        ({"witness": Witness(foreign_load=0.1)}, "A", []),
        ({"witness": Witness(foreign_load=0.4)}, "B", ["other load 0.4 cores"]),
        ({"witness": Witness()}, "A", []),
        ({"spread": 0.2, "settled": False}, "C", ["network spread 20.0%", "warm-up unsettled"]),
        ({"p50_s": 0.0207, "pipeline_s": 0.0203}, "A", []),
        ({"p50_s": 0.0208, "pipeline_s": 0.0203}, "B", ["network above pipeline"]),
        ({"p50_s": 0.0208, "pipeline_s": 0.0203, "width": 0.02}, "A", []),
        ({"kind": "cuda", "p50_s": 0.03, "pipeline_s": 0.02}, "B", ["network above pipeline"]),
        ({"p50_s": 0.03, "pipeline_s": 0.02, "settled": False}, "C", ["warm-up unsettled", "network above pipeline"]),
        ({"p50_s": 0.03, "pipeline_s": 0.02, "one_graph": True}, "A", []),
        ({"kind": "cuda", "spread": 0.025}, "A", []),
        ({"kind": "cuda", "spread": 0.03}, "B", ["network spread 3.0%"]),
        ({"kind": "cuda", "witness": Witness(throttle_reasons=())}, "A", []),
        ({"kind": "cuda", "witness": Witness(throttle_reasons=("power",))}, "B", ["throttled (power)"]),
        ({"kind": "cuda", "witness": Witness(foreign_process_count=2)}, "B", ["2 other processes"]),
        (
            {"kind": "cuda", "spread": 0.1, "settled": False, "witness": Witness(throttle_reasons=("heat",))},
            "C",
            ["network spread 10.0%", "throttled (heat)", "warm-up unsettled"],
        ),
    ],
)
def test_grades(records, changes, letter, words):
    assert grade(records.make(**changes)) == (letter, tuple(words))


def test_the_less_steady_scope_decides(records):
    assert grade(records.make(pipeline_spread=0.12)) == ("B", ("pipeline spread 12.0%",))
    assert grade(records.make(spread=0.2, pipeline_spread=0.12)) == ("B", ("network spread 20.0%",))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_record_of_zeros_is_no_traceback(records, kind):
    record = records.make(kind=kind, memory_bytes=0, param_count=0)
    nothing = records.latency(0.0)
    speed = record.speed.model_copy(update={"network": nothing, "pipeline": nothing})
    letter, reasons = grade(record.model_copy(update={"speed": speed}))
    assert (letter, reasons) == ("B", ("network spread inf%",))
