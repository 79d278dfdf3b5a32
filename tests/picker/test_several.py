"""`zoo.picker.several`: one model for several devices, on each as what is best there."""

from __future__ import annotations

import json

import pytest

from zoo.machine import Named
from zoo.picker import pick as room
from zoo.picker.pick import pick
from zoo.picker.several import worst
from zoo.report.choice import show_choice
from zoo.score.reading import rows_of

GPU, CPU = "nvidia-h200", "intel-xeon-2c"
BOTH = [GPU, CPU]


def test_of_several_devices_each_number_is_where_it_is_worst(records):
    make = records.make
    fast, slow = rows_of(
        [
            make("a", device="x", p50_s=0.01, right=0.5, memory_bytes=9e8, energy_j=1.0),
            make("a", device="y", p50_s=0.05, right=0.6, memory_bytes=1e8, spread=0.5),
        ]
    )
    one = worst([fast, slow])
    assert one.pipeline_p50_s == slow.pipeline_p50_s
    assert one.interval("pipeline_p50_s") == slow.interval("pipeline_p50_s")
    assert one.miou == fast.miou
    assert one.value("peak_memory_bytes") == 9e8
    assert one.value("energy_per_image_j") is None, "not known on one of them"
    assert one.grade == max(fast.grade, slow.grade) == slow.grade
    assert one.class_iou == fast.class_iou


@pytest.fixture
def rows(records):
    """`a` ships as another file on each device; `b` is better there, too slow here in all that it has."""

    def make(model, device, artifact, p50_s, right, **changes):
        runtime, precision = artifact.split()
        return records.make(
            model, device=device, runtime=runtime, precision=precision, p50_s=p50_s, right=right, **changes
        )

    return rows_of(
        [
            make("a", GPU, "eager fp32", 0.008, 0.70),
            make("a", GPU, "tensorrt fp16", 0.002, 0.70),
            make("a", CPU, "eager fp32", 0.080, 0.70),
            make("a", CPU, "openvino int8", 0.020, 0.67),
            make("a", CPU, "onnxruntime int8", 0.024, 0.69),
            make("b", GPU, "tensorrt fp16", 0.002, 0.80),
            make("b", CPU, "eager fp32", 0.300, 0.80),
            make("b", CPU, "openvino fp32", 0.200, 0.80),
            make("c", GPU, "tensorrt fp16", 0.001, 0.90),
        ]
    )


def shipped(choice):
    return [(place.device, place.runtime, place.precision) for place in choice.winners]


def test_on_each_device_what_would_be_chosen_there(rows):
    """Of what keeps the limits the best, and of what ties the fastest, as on that device alone."""
    asked = {"limits": ["latency<=60ms"]}
    choice = pick(rows, device=BOTH, **asked)
    assert choice.label == "a"
    assert shipped(choice) == [(GPU, "tensorrt", "fp16"), (CPU, "onnxruntime", "int8")]
    for device, place in zip(BOTH, choice.winners, strict=True):
        alone = pick(rows, device=device, models=["a"], **asked)
        assert alone.winner == place
    assert choice.winner.pipeline_p50_s == choice.winners[1].pipeline_p50_s
    assert choice.winner.miou == choice.winners[1].miou
    assert (choice.winner.runtime, choice.winner.precision) == ("tensorrt and onnxruntime", "fp16 and int8")
    assert shipped(pick(rows, device=BOTH, objective="latency"))[1] == (CPU, "openvino", "int8")
    assert shipped(pick(rows, device=BOTH[::-1], **asked)) == shipped(choice)[::-1]


def test_why_the_others_lost_is_told_of_what_comes_nearest(rows):
    choice = pick(rows, device=BOTH, limits=["latency<=60ms"])
    why = {loser.label: loser.why[0] for loser in choice.losers}
    assert why["b"].startswith(f"pipeline p50 250 ms on {CPU} > 60.0 ms"), "openvino's, not eager's"
    assert why["c"] == f"not measured on {CPU}"
    assert "= 9 rows, which are those of 3 models" in choice.elimination
    assert pick(rows, device=BOTH).winner.model == "b"


def test_one_file_for_all_where_one_is_asked_for(rows):
    choice = pick(rows, device=BOTH, runtime="eager", precision="fp32")
    assert shipped(choice) == [(GPU, "eager", "fp32"), (CPU, "eager", "fp32")]
    assert [loser.why for loser in choice.losers] == [(f"not measured on {GPU}",)]


def test_what_a_device_is_to_measure_is_what_any_can_run_or_what_was_asked_for(rows):
    for asked, words in (
        ({}, "--runtimes eager --precision fp32"),
        ({"precision": "fp16"}, "--runtimes eager --precision fp16"),
        ({"runtime": ["tensorrt", "openvino"]}, "--runtimes tensorrt --precision fp32"),
    ):
        given = [row._replace(precision="fp16") for row in rows] if "precision" in asked else rows
        said = " ".join(show_choice(pick(given, device=BOTH, **asked), explain=True).split())
        assert f"c: not measured on {CPU}; there `zoo bench --models c {words} " in said


def test_the_commands_are_those_of_each_device(rows, monkeypatch):
    rows = [row._replace(rate_hz=None, machine_id={GPU: "1", CPU: "2"}[row.device] * 64) for row in rows]
    here = Named(CPU, rows[2].device_name, "2" * 64)
    monkeypatch.setattr(room.machine, "here", lambda: (here,))
    choice = pick(rows, device=BOTH, limits=["latency<=60ms"], at=10)
    said = show_choice(choice, width=200)
    assert f"  on {GPU}, tensorrt fp16: pipeline p99" in said
    assert f"the file that ships on {GPU}, and how to load it" in said
    assert f"the file that ships on {CPU}, and how to load it" in said
    found = json.loads(show_choice(choice, "json"))
    gpu, cpu = found["export"].split(" && ")
    assert " -o a-tensorrt-fp16.onnx --runtime tensorrt --precision fp16 " in gpu
    assert " -o a-onnxruntime-int8.onnx --runtime onnxruntime --precision int8 " in cpu
    assert "--precision" not in found["load"], "on this machine eager shows what int8 was made of"
    assert "what it sees of a picture, in fp32" in said
    assert "to measure it on this machine" not in said, "that was done"
    assert f"to pace its calls on {GPU} at 10 Hz" in said
    assert f"to pace its calls on {CPU} at 10 Hz" in said
    assert [command.split("--rate ")[1][:4] for command in found["pace"].split(" && ")] == ["10hz", "10hz"]


def test_a_cell_that_failed_is_nothing_beside_one_that_is_done(records, rows):
    failed = records.failed("a", device=CPU, runtime="aoti")
    assert shipped(pick([*rows, *rows_of([failed])], device=BOTH, models=["a"]))[1][1] != "aoti"
    rows = [row for row in rows if (row.model, row.device) != ("a", CPU)]
    choice = pick([*rows, *rows_of([failed])], device=BOTH)
    assert {loser.label: loser.kind for loser in choice.losers} == {"a": "failed", "c": "elsewhere"}


def test_what_is_to_be_said_of_int8_is_said_on_whichever_device_it_is(rows):
    gpu, cpu = rows[1], rows[4]._replace(int8="no remedy held", int8_note=True)
    assert cpu.miou < gpu.miou
    for parts in ([gpu, cpu.having(miou=0.99)], [cpu, gpu]):
        assert (worst(parts).int8, worst(parts).int8_note) == ("no remedy held", True)
