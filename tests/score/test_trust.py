"""`zoo.score.trust`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import pytest

from zoo.record import Witness
from zoo.score.rows import row
from zoo.score.trust import GOVERNOR, REMEDIES, grade


def graded(record):
    letter, doubts = grade(record)
    return letter, [doubt.what for doubt in doubts]


@pytest.mark.parametrize(
    ("changes", "letter", "words"),
    [
        ({}, "A", []),
        ({"spread": 0.05}, "A", []),
        ({"spread": 0.051}, "B", ["network spread 5.1%"]),
        ({"settled": False}, "B", ["warm-up unsettled"]),
        ({"witness": Witness(foreign_load=0.1)}, "A", []),
        ({"witness": Witness(foreign_load=0.4), "runtime": "onnxruntime"}, "B", ["other load 0.4 cores"]),
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
    assert graded(records.make(**changes)) == (letter, words)


def test_the_less_steady_scope_decides(records):
    assert graded(records.make(pipeline_spread=0.12)) == ("B", ["pipeline spread 12.0%"])
    assert graded(records.make(spread=0.2, pipeline_spread=0.12)) == ("B", ["network spread 20.0%"])


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_record_of_zeros_is_no_traceback(records, kind):
    record = records.make(kind=kind, memory_bytes=0, param_count=0)
    nothing = records.latency(0.0)
    speed = record.speed.model_copy(update={"network": nothing, "pipeline": nothing})
    assert graded(record.model_copy(update={"speed": speed})) == ("B", ["network spread inf%"])


HELD = Witness(clock_start_hz=1.98e9, clock_end_hz=1.98e9)
CLIMBED = Witness(clock_start_hz=0.345e9, clock_end_hz=1.98e9)
DOUBTFUL = [
    ({"spread": 0.2}, "spread", "performance"),
    ({"spread": 0.2, "quick": True}, "few samples", "`--preset camvid`"),
    ({"kind": "cuda", "spread": 0.2}, "spread of an accelerator", "nvidia-smi -lgc"),
    ({"kind": "cuda", "spread": 0.2, "witness": CLIMBED}, "spread of an accelerator", "nvidia-smi -lgc"),
    ({"kind": "cuda", "spread": 0.2, "witness": HELD}, "spread of launches", "need fewer"),
    ({"kind": "cuda", "spread": 0.2, "witness": HELD, "runtime": "tensorrt"}, "spread at a steady clock", "the host"),
    ({"kind": "cuda", "witness": Witness(throttle_reasons=("thermal_software", "power_cap"))}, "heat", "cool"),
    ({"kind": "cuda", "witness": Witness(throttle_reasons=("power_cap",))}, "power", "nvidia-smi -pl"),
    ({"witness": Witness(foreign_load=0.4), "runtime": "openvino"}, "other load", "zoo doctor --machine"),
    ({"witness": Witness(foreign_load=0.4)}, "other load beside spinning threads", "--threads"),
    ({"kind": "cuda", "witness": Witness(foreign_process_count=1)}, "other processes", "nvidia-smi"),
    ({"settled": False}, "unsettled warm-up", "zoo doctor --machine"),
    ({"settled": False, "quick": True}, "few samples", "`--preset camvid`"),
    ({"p50_s": 0.03, "pipeline_s": 0.02}, "drift", "zoo doctor --machine"),
]


@pytest.mark.parametrize(("changes", "kind", "words"), DOUBTFUL)
def test_every_doubt_says_what_to_do(records, changes, kind, words):
    one = row(records.make(**changes))
    assert one.grade_remedies == (REMEDIES[kind],)
    assert words in REMEDIES[kind]
    assert len(one.grade_reasons) == 1
    assert one.as_dict()["grade_remedies"] == one.grade_remedies


@pytest.mark.parametrize("runtime", ["eager", "compile", "aoti"])
def test_spinning_threads_beside_other_work_are_never_more_than_c(records, runtime):
    """However steady it was: a loop on each core makes every call 70 times as long alike."""
    busy = {"runtime": runtime, "witness": Witness(foreign_load=0.4)}
    letter, doubts = grade(records.make(**busy))
    assert (letter, [doubt.what for doubt in doubts]) == ("C", ["other load 0.4 cores beside spinning threads"])


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime": "openvino"},  # its threads do not spin
        {"runtime": "onnxruntime"},
        {"thread_count": 1},  # nobody waits for it
        {"witness": Witness(foreign_load=1.9, affinity=tuple(range(4)))},  # there was room for both
    ],
)
def test_other_work_that_keeps_no_spinning_thread_from_its_core_is_one_doubt(records, changes):
    assert graded(records.make(**{"witness": Witness(foreign_load=0.4), **changes}))[0] == "B"


def test_every_remedy_is_of_some_doubt_and_a_command_is_whole():
    assert {kind for _, kind, _ in DOUBTFUL} == REMEDIES.keys()
    assert all(text.count("`") % 2 == 0 and "\n" not in text for text in REMEDIES.values())
    assert f"`{GOVERNOR}`" in REMEDIES["spread"]


def test_a_row_that_nothing_stands_against_has_no_remedy(records):
    assert row(records.make()).doubts == ()
    assert row(records.failed()).doubts == ()


def test_two_kinds_of_other_work_are_one_doubt_with_both_remedies(records):
    (doubt,) = grade(records.make(runtime="openvino", witness=Witness(foreign_load=0.4, foreign_process_count=2)))[1]
    assert doubt.what == "other load 0.4 cores and 2 other processes"
    assert REMEDIES["other load"] in doubt.remedy
    assert REMEDIES["other processes"] in doubt.remedy
