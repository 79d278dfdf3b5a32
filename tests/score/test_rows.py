"""`zoo.score.rows`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo import store
from zoo.protocol import SPEED_PROTOCOL
from zoo.record import Mode, Weights
from zoo.score.comparing import group_of, latest
from zoo.score.metrics import METRICS
from zoo.score.reading import rows_of
from zoo.score.rows import COLUMNS, row
from zoo.score.trust import grade


def test_a_row_has_every_metric_and_the_promised_columns(records):
    promised = [
        "model",
        "device",
        "runtime",
        "precision",
        "batch_size",
        "input_size",
        "output_size",
        "dataset",
        "recipe",
        "param_count",
        "mac_count",
        "miou",
        "pixel_accuracy",
        "latency_p50_s",
        "latency_p90_s",
        "latency_p99_s",
        "pipeline_p50_s",
        "throughput_per_s",
        "peak_memory_bytes",
        "grade",
        "status",
        "protocol",
    ]
    assert list(COLUMNS[: len(promised)]) == promised
    assert METRICS.keys() <= set(COLUMNS)
    made = row(records.make("unet", right=0.5, p50_s=0.02))
    assert (made.model, made.device, made.input_size, made.status, made.protocol) == (
        "unet", "intel-xeon-2c", (256, 512), "ok", SPEED_PROTOCOL,
    )  # fmt: skip
    # each class: 5000 hit, 5000 - 13 or so missed and as many false
    assert made.miou == pytest.approx(0.5 / (0.5 + 2 * 0.5), abs=1e-3)
    assert (made.value("latency_p50_s"), made.pipeline_p50_s, made.value("peak_memory_bytes")) == (
        0.02,
        0.025,
        300 * 2**20,
    )
    assert made.value("throughput_per_s") is None
    assert made.as_dict().keys() == set(COLUMNS)


def test_a_failed_row_keeps_its_reason(records):
    made = row(records.failed("unet", status="oom", reason="3.1 GiB wanted"))
    assert (made.status, made.reason, made.miou, made.value("latency_p50_s"), made.grade) == (
        "oom", "measure: 3.1 GiB wanted", None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (Mode(), "whole"),
        (Mode(flip=True), "flip"),
        (Mode(scales=(0.5, 1.0)), "scales 0.5 1"),
        (Mode(window=(512, 512), stride=(341, 341)), "window 512x512 stride 341x341"),
        (
            Mode(window=(512, 512), stride=(341, 341), scales=(0.75, 1.0, 1.25), flip=True),
            "window 512x512 stride 341x341 + scales 0.75 1 1.25 + flip",
        ),
    ],
)
def test_a_mode_has_a_name_without_a_comma(records, mode, text):
    assert row(records.make(mode=mode)).mode == text
    assert row(records.make(right=None)).mode == "whole", "without accuracy"


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "run camvid_cpu"),
        ({"right": None}, "random"),
        ({"source": "published", "tag": "zh320"}, "published zh320"),
        ({"source": "file", "tag": "net.pth"}, "file net.pth"),
        ({"source": "own"}, "own"),
    ],
)
def test_weights_are_named_as_a_table_shows_them(records, changes, label):
    assert row(records.make(**changes)).weights == label


@pytest.mark.parametrize(
    ("recipe", "recipe_hash", "label"),
    [("camvid_cpu", "abc123def456", "run camvid_cpu"), ("external", None, "file"), ("none", None, "random")],
)
def test_a_cell_that_never_had_its_weights_shows_what_was_planned(records, recipe, recipe_hash, label):
    record = records.failed()
    weights = Weights(source="none", sha256=None, recipe=recipe, recipe_hash=recipe_hash)
    artifact = record.artifact.model_copy(update={"weights": weights})
    assert row(record.model_copy(update={"artifact": artifact})).weights == label
    assert row(records.baseline()).weights == ""


def test_the_iou_of_each_class_stands_in_a_row(records):
    matrix = records.confusion(0.5)
    matrix[3] = 0
    matrix[:, 3] = 0  # neither true nor predicted
    made = row(records.make(matrix=matrix))
    assert list(made.class_iou) == [f"class {index}" for index in range(19)]
    assert made.class_iou["class 3"] is None
    known = [iou for iou in made.class_iou.values() if iou is not None]
    assert sum(known) / len(known) == pytest.approx(made.miou)
    assert row(records.make(right=None)).class_iou == {}


def test_another_number_makes_another_row(records):
    made = row(records.make())
    other = made.having(miou=0.25)
    assert (other.miou, made.miou == other.miou, other == made) == (0.25, False, False)
    assert other.having(miou=made.miou) == made


def test_rows_are_values(records):
    made = row(records.make())
    assert made._replace() == made
    assert hash(made) == hash(made._replace())


def test_a_status_does_not_change_what_was_asked_for(records):
    ok, failed, unknown = (
        row(record)
        for record in (
            records.make(thread_count=4),
            records.failed(thread_count=4),
            records.failed().model_copy(update={"config": {}}),
        )
    )
    assert (ok.thread_count, failed.thread_count, unknown.thread_count) == (4, 4, 2)
    assert group_of(ok) == group_of(failed)


def test_medians_and_miou_have_an_interval(records):
    made = row(records.make(p50_s=0.020, width=0.1))
    assert made.interval("latency_p50_s") == pytest.approx((0.018, 0.022))
    assert made.interval("pipeline_p50_s") == pytest.approx((0.0225, 0.0275))
    assert [made.interval(key) for key in ("latency_p99_s", "miou", "param_count")] == [None] * 3
    assert row(records.make(miou_interval=(0.3, 0.5))).interval("miou") == (0.3, 0.5)
    assert row(records.failed()).interval("latency_p50_s") is None


def test_a_file_of_one_graph_has_no_network_scope(records):
    record = records.make(one_graph=True, runtime="openvino", file_bytes=5 * 2**20, pipeline_spread=0.12, spread=0.9)
    made = row(record)
    assert (made.value("latency_p50_s"), made.value("latency_p99_s"), made.interval("latency_p50_s")) == (
        None,
        None,
        None,
    )
    assert (made.pipeline_p50_s, made.value("file_bytes")) == (0.025, 5 * 2**20)
    letter, (doubt,) = grade(record)
    assert (letter, doubt.what) == ("B", "pipeline spread 12.0%"), "graded by the scope there is"
    unsettled = record.speed.pipeline.model_copy(update={"warmup_settled": False})
    speed = record.speed.model_copy(update={"pipeline": unsettled})
    assert grade(record.model_copy(update={"speed": speed}))[0] == "C"


def test_what_a_runtime_adds_to_a_row(records):
    build = {"export_s": 2.5, "compile_s": 30.0, "calibrate_s": 4.0, "graph_break_count": 1}
    made = row(records.make(rates=(9.0, 14.0, 13.0), energy_j=0.7, staged=True, growth_bytes=3, build=build))
    assert (made.value("throughput_per_s"), made.value("largest_batch"), made.largest_batch_is_limit) == (
        14.0,
        4,
        False,
    )
    assert (made.value("energy_per_image_j"), made.value("memory_growth_bytes")) == (0.7, 3)
    assert (
        made.value("export_s"),
        made.value("compile_s"),
        made.value("calibrate_s"),
        made.value("graph_break_count"),
    ) == (2.5, 30.0, 4.0, 1)
    assert list(made.stages) == ["copy_in", "preprocess", "network", "upsample_argmax", "copy_out"]
    assert sum(made.stages.values()) == pytest.approx(made.pipeline_p50_s)
    assert row(records.make()).stages == {}


@pytest.mark.parametrize(("right", "loses"), [(0.600, False), (0.598, False), (0.590, True), (0.70, False)])
def test_a_row_that_loses_one_percent_is_known(records, right, loses):
    _, last = rows_of([records.make(right=0.6), records.make(right=right, precision="int8")])
    assert last.loses_miou == loses
    assert not row(records.make(precision="int8")).loses_miou, "nothing to hold it against"


def test_miou_is_shown_with_what_is_known_of_it(records):
    plain, known = (row(records.make(right=0.6, miou_interval=interval)) for interval in (None, (0.4012, 0.4588)))
    (mean,) = latest([known, row(records.make(right=0.62, seed=1))])
    assert [one.show("miou") for one in (plain, known, mean)] == ["42.9", "42.9 [40.1, 45.9]", "43.9 ± 1.5"]
    assert known.say("miou") == "42.9 [40.1, 45.9] %"
    assert known.show("latency_p50_s") == "20.0"
    assert row(records.failed()).say("miou") == "n/a"
    assert plain.span("miou") is None
    assert known.span("miou") == (0.4012, 0.4588)
    assert mean.span("miou") == pytest.approx((mean.miou - mean.miou_spread, mean.miou + mean.miou_spread))


@pytest.mark.parametrize(
    ("version", "model", "runtime", "share", "pipeline_s", "reasons"),
    [
        (1, "fpn_resnet18", "eager", 0.01761469948178588, 0.0327567465, ("pipeline spread 8.8%",)),
        (2, "encoder_decoder", "openvino", 0.23447782854369115, 0.008133048, ("network spread 9.5%",)),
        (3, "lraspp_mobilenet_v3_large", "eager", 0.31244873822059965, 0.0107403605, ("pipeline spread 7.8%",)),
        (4, "encoder_decoder", "eager", 0.22857044361458934, 0.007858018, ("pipeline spread 17.4%",)),
    ],
)
def test_records_written_by_older_versions_say_what_they_said(version, model, runtime, share, pipeline_s, reasons):
    """One file of each schema version, as it was written."""
    old = row(store.load(Path(__file__).parent / "written" / f"schema-{version}.json"))
    assert (old.model, old.runtime, old.protocol) == (model, runtime, f"zoo-lat/{1 if version < 4 else 2}")
    assert old.miou == pytest.approx(share, rel=1e-12)
    assert old.pipeline_p50_s == pipeline_s
    assert old.grade_reasons == reasons
