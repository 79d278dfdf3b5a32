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


def test_a_device_is_to_measure_what_most_others_are_there(rows, records):
    """So it can run it, and is held to what was asked for; another maker's file stays what it is."""
    quick = rows_of([records.make("c", device=GPU, runtime="tensorrt", precision="int8", p50_s=0.001, right=0.9)])
    for asked, words in (
        ({}, "--models c --runtimes openvino --precision fp32"),
        ({"precision": "int8"}, "--models c --runtimes onnxruntime --precision int8"),
    ):
        others = [row._replace(runtime="openvino") if row.precision == "fp32" else row for row in rows]
        others += [row._replace(precision="int8") for row in others if row.precision == "fp16"] if asked else []
        said = " ".join(show_choice(pick([*others, *quick], device=BOTH, **asked), explain=True).split())
        assert f"c: not measured on {CPU}; there `zoo bench {words} " in said
    own = {"weights_source": "file", "weights_sha256": "f" * 64, "file_sha256": "f" * 64, "recipe_hash": None}
    foreign = quick[0]._replace(model="theirs", key="theirs", **own)
    said = " ".join(show_choice(pick([*rows, foreign], device=BOTH), explain=True).split())
    assert f"theirs: not measured on {CPU}; there `zoo bench --file FILE --runtimes tensorrt " in said


def test_what_is_not_known_is_to_be_measured_where_it_is_not(rows):
    rows = [row.having(throughput_per_s=9.0) if row.device == GPU or row.model == "b" else row for row in rows]
    choice = pick(rows, device=BOTH, limits=["throughput>=1"], models=["a", "b"])
    said = " ".join(show_choice(choice).split())
    assert f"a: throughput is not known on {CPU}; `zoo bench --models a --runtimes eager --precision fp32 " in said
    assert said.count("--throughput") == 1


def test_each_training_and_each_file_has_a_name_of_its_own(rows):
    """Weights of one recipe that differ by device; files of one runtime and precision of which one is for a GPU."""
    seeds = [row._replace(seed=3 if row.device == GPU else 1, weights_sha256=row.device) for row in rows[:3]]
    one = [row._replace(runtime="aoti", precision="fp32") for row in seeds]
    choice = pick(one, device=BOTH)
    found = json.loads(show_choice(choice, "json"))["commands"]
    assert [found[device]["train"].split("--seed ")[1] for device in BOTH] == ["3", "1"]
    files = [found[device]["export"].split(" -o ")[1].split()[0] for device in BOTH]
    assert files == [f"a-aoti-fp32-{GPU}.pt2", f"a-aoti-fp32-{CPU}.pt2"]
    said = " ".join(show_choice(choice).split())
    assert all(found[device]["train"] in said for device in BOTH)
    alike = [row._replace(runtime="onnxruntime", precision="fp32", seed=1, weights_sha256="w") for row in seeds]
    commands = json.loads(show_choice(pick(alike, device=BOTH), "json"))["commands"]
    (export,) = {one["export"] for one in commands.values()}
    assert " -o a-onnxruntime-fp32.onnx " in export


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
    gpu, cpu = (found["commands"][device] for device in BOTH)
    assert f" -o a-tensorrt-fp16-{GPU}.onnx --runtime tensorrt --precision fp16 " in gpu["export"]
    assert f" -o a-onnxruntime-int8-{CPU}.onnx --runtime onnxruntime --precision int8 " in cpu["export"]
    assert {name: found[name] for name in cpu} == cpu, "those of this machine"
    assert "--precision" not in cpu["load"], "on this machine eager shows what int8 was made of"
    assert "what it sees of a picture, in fp32" in said
    assert "to measure it on this machine" not in said, "that was done"
    assert f"to pace its calls on {GPU} at 10 Hz" in said
    assert f"to pace its calls on {CPU} at 10 Hz" in said
    assert all("--rate 10hz" in one["pace"] for one in (gpu, cpu))


def test_a_cell_that_failed_is_nothing_beside_one_that_is_done(records, rows):
    failed = records.failed("a", device=CPU, runtime="aoti")
    assert shipped(pick([*rows, *rows_of([failed])], device=BOTH, models=["a"]))[1][1] != "aoti"
    rows = [row for row in rows if (row.model, row.device) != ("a", CPU)]
    choice = pick([*rows, *rows_of([failed])], device=BOTH)
    assert {loser.label: loser.kind for loser in choice.losers} == {"a": "failed", "c": "elsewhere"}


def test_what_speaks_against_a_device_is_said_of_it(rows):
    gpu = rows[1]._replace(class_lost={}).having(miou_lost=None)
    common = next(name for name, share in rows[4].class_share.items() if share > 0.01)
    cpu = rows[4]._replace(class_lost={common: 0.08}, int8="no remedy held", int8_note=True).having(miou_lost=0.001)
    choice = pick([gpu, cpu], device=BOTH)
    assert f"on {GPU} its mIoU was not held against fp32" in choice.notes
    assert f"on {CPU} int8: no remedy held" in choice.notes
    lost = f"on {CPU} it loses points of IoU against fp32 on {common} (8.0)"
    assert any(note.startswith(lost) for note in choice.notes)
    both = [row._replace(int8=f"remedy of {row.device}", int8_note=True) for row in (gpu, cpu)]
    notes = pick(both, device=BOTH).notes
    assert {f"on {device} int8: remedy of {device}" for device in BOTH} <= set(notes)
    alike = [row._replace(int8="the same", int8_note=True) for row in both]
    assert "int8: the same" in pick(alike, device=BOTH).notes


def test_the_nearest_of_a_device_is_what_one_number_keeps_from_winning(rows):
    near = rows[2]._replace(runtime="openvino").having(pipeline_p50_s=0.0206)
    nearer = rows[4].having(pipeline_p50_s=0.0201, miou=0.396)
    choice = pick([rows[1], near, nearer, *rows[5:7]], device=BOTH, limits=["latency<=20ms", "miou>=40%"])
    (loser,) = [loser for loser in choice.losers if loser.label == "a"]
    assert len(loser.why) == 1
    assert loser.why[0].startswith(f"pipeline p50 20.6 ms on {CPU} > 20.0 ms")
