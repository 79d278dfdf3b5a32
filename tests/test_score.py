"""`zoo.score`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from zoo import score
from zoo.errors import UserError
from zoo.record import MEAN_LABEL_MAP, InstanceCounts, Witness
from zoo.store import save

# rows: truth road, car, sky; columns: prediction road, car, sky, none of them
SMALL = np.array([[6, 2, 0, 2], [1, 3, 0, 0], [0, 0, 0, 0]], dtype=np.int64)


def test_iou_by_hand():
    iou = score.class_iou(SMALL)
    # road: 6 / (6 + 2 + 2 missed + 1 false); car: 3 / (3 + 1 missed + 2 false); sky: neither true nor predicted
    np.testing.assert_allclose(iou[:2], [6 / 11, 3 / 6])
    assert math.isnan(iou[2])
    assert score.miou(SMALL) == pytest.approx((6 / 11 + 3 / 6) / 2)
    assert score.pixel_accuracy(SMALL) == pytest.approx(9 / 14)
    assert score.mean_class_accuracy(SMALL) == pytest.approx((6 / 10 + 3 / 4) / 2)


def test_predicted_but_never_true_counts_as_zero():
    matrix = SMALL.copy()
    matrix[0, 2] = 1
    assert score.class_iou(matrix)[2] == 0
    assert score.miou(matrix) == pytest.approx((6 / 12 + 3 / 6 + 0) / 3)
    assert score.mean_class_accuracy(matrix) == pytest.approx((6 / 11 + 3 / 4) / 2)


def test_a_prediction_of_no_class_costs_only_the_true_one():
    matrix = np.array([[5, 0, 5], [0, 10, 0]], dtype=np.int64)
    np.testing.assert_array_equal(score.class_iou(matrix), [0.5, 1.0])


def test_an_empty_matrix_has_no_score():
    empty = np.zeros((3, 4), dtype=np.int64)
    assert (score.miou(empty), score.pixel_accuracy(empty), score.mean_class_accuracy(empty)) == (None, None, None)


def test_iou_agrees_with_counting_pixels():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, 4000), rng.integers(0, 6, 4000)
    matrix = np.zeros((5, 6), dtype=np.int64)
    np.add.at(matrix, (truth, prediction), 1)
    for index, iou in enumerate(score.class_iou(matrix)):
        both = np.sum((truth == index) & (prediction == index))
        either = np.sum((truth == index) | (prediction == index))
        assert iou == pytest.approx(both / either)


def test_counts_near_the_largest_integer_stay_exact():
    matrix = np.array([[2**61, 0, 2**60], [0, 1, 0]], dtype=np.int64)
    assert score.class_iou(matrix)[0] == pytest.approx(2 / 3)


def test_categories_forgive_confusion_inside_them():
    categories = ("vehicle", "vehicle", "nature")
    matrix = np.array([[1, 9, 0, 0], [8, 1, 1, 0], [0, 1, 9, 2]], dtype=np.int64)
    # vehicle: 19 right, 1 missed, 1 false; nature: 9 right, 3 missed (two as nothing), 1 false
    assert score.category_iou(matrix, categories) == {
        "vehicle": pytest.approx(19 / 21),
        "nature": pytest.approx(9 / 13),
    }


def test_instance_iou_by_hand():
    counts = {
        "car": InstanceCounts(true_positives=3.0, false_negatives=2.0, false_positives=1),
        "bus": InstanceCounts(true_positives=0.0, false_negatives=0.0, false_positives=4),
        "train": InstanceCounts(true_positives=0.0, false_negatives=0.0, false_positives=0),
    }
    assert score.instance_iou(counts) == {"car": 0.5, "bus": 0.0, "train": None}
    assert score.mean_of(score.instance_iou(counts)) == 0.25
    assert score.mean_of({"train": None}) is None


@pytest.fixture
def counted():
    """Per-image counts `(3, 12, 4)` of images that differ in difficulty; class 3 is on the last image alone."""
    rng = np.random.default_rng(0)
    hit = rng.integers(20, 80, (12, 1)) + rng.integers(0, 20, (12, 4))
    counts = np.stack([hit, rng.integers(0, 40, (12, 4)), 100 - hit])
    counts[:, :-1, 3] = 0
    return counts


def names(count, per_sequence):
    return [f"town_{index // per_sequence:06d}_{index:06d}" for index in range(count)]


@pytest.mark.parametrize("per_sequence", [1, 3, 12])
def test_the_interval_of_miou_is_a_plain_bootstrap(counted, per_sequence, monkeypatch):
    monkeypatch.setattr(score, "MIN_SEQUENCES", 4)
    interval = score.miou_interval(counted, names(12, per_sequence))
    several = per_sequence == 3
    assert interval.resampled == {1: "images", 3: "sequences", 12: "frames of few sequences"}[per_sequence]
    units = np.arange(12).reshape(-1, 3 if several else 1)
    drawn = np.random.default_rng(score.BOOTSTRAP_SEED).integers(len(units), size=(score.RESAMPLES, len(units)))
    found = []
    for draw in drawn:
        tp, fp, fn = counted[:, units[draw].ravel()].sum(axis=1)
        seen = tp + fp + fn > 0
        found.append((tp[seen] / (tp + fp + fn)[seen]).mean())
    np.testing.assert_allclose(interval[:2], np.quantile(found, (0.025, 0.975)), rtol=1e-12)


def test_images_that_are_alike_leave_no_doubt_and_one_image_all(counted):
    same = np.repeat(counted[:, -1:], 5, axis=1)
    low, high, _ = score.miou_interval(same, names(5, 1))
    assert low == pytest.approx(high)
    assert score.miou_interval(same, list("abcde")).resampled == "images"
    assert score.miou_interval(same[:, :1], names(1, 1)) is None
    assert score.miou_interval(np.zeros((3, 5, 4), np.int32), names(5, 1)) is None, "no pixel counted"


def test_whole_sequences_are_drawn_since_their_frames_are_alike(counted, monkeypatch):
    assert score.miou_interval(counted, names(12, 3)).resampled == "frames of few sequences"
    monkeypatch.setattr(score, "MIN_SEQUENCES", 4)
    alike = np.repeat(counted[:, ::3], 3, axis=1)
    by_sequence, by_image = (score.miou_interval(alike, names(12, size)) for size in (3, 12))
    assert by_sequence.high - by_sequence.low > 1.3 * (by_image.high - by_image.low)


def test_a_paired_bootstrap_sees_what_two_intervals_do_not(counted):
    better = counted.copy()
    better[0] += 2  # two more pixels right for every class and image
    better[2] -= 2
    better[:, :-1, 3] = 0
    one, other = (score.miou_interval(counts, names(12, 1)) for counts in (counted, better))
    assert one.high > other.low, "the two intervals overlap"
    low, high, resampled = score.miou_gain_interval(counted, better, names(12, 1))
    assert 0 < low < high < 0.1
    assert resampled == "images"
    assert score.miou_gain_interval(better, counted, names(12, 1))[:2] == pytest.approx((-high, -low))
    assert score.miou_gain_interval(counted, counted, names(12, 1))[:2] == (0, 0)


def test_many_images_leave_little_doubt():
    counts = np.random.default_rng(0).integers(0, 2**20, (3, 2975, 19))
    interval = score.miou_interval(counts, names(2975, 1))
    assert interval.high - interval.low < 0.01


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("miou", 0.45678, "45.7 %"),
        ("latency_p50_s", 0.0123456, "12.3 ms"),
        ("latency_p50_s", 0.000456, "0.456 ms"),
        ("latency_p50_s", 1.23456, "1235 ms"),
        ("latency_p50_s", 0.0009996, "1.000 ms"),
        ("peak_memory_bytes", 300 * 2**20, "300 MiB"),
        ("param_count", 39_638_869, "39.6 M"),
        ("mac_count", 0, "0.00 G"),
        ("mac_count", None, "n/a"),
    ],
)
def test_numbers_for_people(key, value, text):
    assert score.METRICS[key].say(value) == text


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
    assert list(score.COLUMNS[: len(promised)]) == promised
    assert score.METRICS.keys() <= set(score.COLUMNS)
    row = score.row(records.make("unet", right=0.5, p50_s=0.02))
    assert (row.model, row.device, row.input_size, row.status, row.protocol) == (
        "unet", "intel-xeon-2c", (256, 512), "ok", "zoo-lat/1",
    )  # fmt: skip
    # each class: 5000 hit, 5000 - 13 or so missed and as many false
    assert row.miou == pytest.approx(0.5 / (0.5 + 2 * 0.5), abs=1e-3)
    assert (row.latency_p50_s, row.pipeline_p50_s, row.peak_memory_bytes) == (0.02, 0.025, 300 * 2**20)
    assert row.throughput_per_s is None
    assert row.as_dict().keys() == set(score.COLUMNS)


def test_a_failed_row_keeps_its_reason(records):
    row = score.row(records.failed("unet", status="oom", reason="3.1 GiB wanted"))
    assert (row.status, row.reason, row.miou, row.latency_p50_s, row.grade) == (
        "oom", "measure: 3.1 GiB wanted", None, None, None,
    )  # fmt: skip


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
    assert score.grade(records.make(**changes)) == (letter, tuple(words))


def _rows(records, points):
    return [
        score.row(records.make(f"m{index}", right=right, p50_s=p50_s)) for index, (p50_s, right) in enumerate(points)
    ]


def test_the_front_is_what_nobody_beats(records):
    rng = np.random.default_rng(1)
    points = [(x / 100, y / 14) for x, y in rng.integers(1, 12, (80, 2)).tolist()]
    rows = _rows(records, points)

    def beaten(row):
        return any(
            other.pipeline_p50_s <= row.pipeline_p50_s
            and other.miou >= row.miou
            and (other.pipeline_p50_s < row.pipeline_p50_s or other.miou > row.miou)
            for other in rows
        )

    front = score.pareto_front(rows)
    assert {row.model for row in front} == {row.model for row in rows if not beaten(row)}
    assert [row.pipeline_p50_s for row in front] == sorted(row.pipeline_p50_s for row in front)


def test_the_front_leaves_out_what_has_no_number(records):
    rows = [score.row(records.make("a", right=None)), score.row(records.failed("b")), score.row(records.make("c"))]
    assert [row.model for row in score.pareto_front(rows)] == ["c"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quick": True}, "quick"),
        ({"device": "nvidia-h200"}, "device"),
        ({"dataset": "camvid"}, "dataset"),
        ({"fingerprint": "0" * 64}, "dataset_fingerprint"),
        ({"recipe": "long"}, "recipe"),
        ({"recipe_hash": "000000000000"}, "recipe_hash"),
        ({"output_size": (256, 512)}, "output_size"),
        ({"batch_size": 8}, "batch_size"),
        ({"resize": "stretch"}, "resize"),
        ({"thread_count": 1}, "thread_count"),
    ],
)
def test_what_is_not_comparable_says_why(records, changes, field):
    one, other = (score.group_of(score.row(record)) for record in (records.make(), records.make("fcn", **changes)))
    assert list(score.differences(one, other)) == [field]


def test_runtime_precision_input_size_and_model_are_what_is_compared(records):
    one = records.make()
    for changes in (
        *({"runtime": "compile"}, {"precision": "bf16"}, {"input_size": (128, 256)}),
        *({"model": "fcn"}, {"machine_id": "o" * 64}),
    ):
        assert score.group_of(score.row(records.make(**changes))) == score.group_of(score.row(one))


def test_failed_rows_stay_with_their_group(records):
    group = score.group_of(score.row(records.make()))
    assert score.group_of(score.row(records.failed())) == group


def test_another_protocol_is_another_group(records):
    record = records.make()
    other = score.row(record.model_copy(update={"protocol": "zoo-lat/2"}))
    assert list(score.differences(score.group_of(score.row(record)), score.group_of(other))) == ["protocol"]


def test_a_newer_torch_takes_the_older_runs_place(records):
    old, new = records.make(torch="2.11.0"), records.make(torch="2.12.0", minutes=9)
    other = records.make("fcn")
    assert old.key != new.key
    kept = score.latest([score.row(record) for record in (new, old, other)])
    assert {row.key for row in kept} == {new.key, other.key}


def test_the_baseline_goes_where_its_images_go(records):
    baseline = score.row(records.baseline(right=0.3))
    assert baseline.baseline
    assert baseline.model == MEAN_LABEL_MAP
    same = score.group_of(
        score.row(records.make(device="nvidia-h200", input_size=(64, 64), batch_size=4, thread_count=9))
    )
    assert score.baseline_for(same, [baseline]) is baseline
    for changes in ({"dataset": "camvid"}, {"fingerprint": "0" * 64}):
        assert score.baseline_for(score.group_of(score.row(records.make(**changes))), [baseline]) is None


def test_select(records):
    rows = [
        score.row(record)
        for record in (
            records.make("a"),
            records.make("b", dataset="camvid", fingerprint="abcdef0123"),
            records.make("c", device="nvidia-h200", input_size=(512, 1024)),
            records.baseline(),
        )
    ]

    def names(**filters):
        return [row.model for row in score.select(rows, **filters)]

    assert names() == ["a", "b", "c", MEAN_LABEL_MAP]
    assert names(dataset="camvid") == ["b"]
    assert names(dataset="abcdef01") == ["b"]
    assert names(device="nvidia-h200") == ["c", MEAN_LABEL_MAP]
    assert names(input_size=(256, 512), dataset="streets") == ["a", MEAN_LABEL_MAP]
    with pytest.raises(
        UserError, match=r"no record with dataset 'camvit'. Did you mean 'camvid'\? There is: camvid, s"
    ):
        names(dataset="camvit")
    with pytest.raises(UserError, match=r"no record with input size '9x9'\. There is: 256x512, 512x1024"):
        names(input_size=(9, 9))
    rows.append(score.row(records.make("a", runtime="openvino", precision="int8")))
    assert names(runtime="openvino") == [MEAN_LABEL_MAP, "a"]
    assert names(precision="fp32", models=["a", "b"]) == ["a", "b", MEAN_LABEL_MAP]
    with pytest.raises(
        UserError, match=r"no record with runtime 'openvin'. Did you mean 'openvino'\? There is: eager, o"
    ):
        names(runtime="openvin")
    with pytest.raises(UserError, match=r"no record with model 'd'. .*There is: a, b, c"):
        names(models=["a", "d"])


def test_read_rows_passes_the_warnings_on(records, tmp_path):
    save(records.make(), {}, tmp_path)
    save(records.make("fcn"), {}, tmp_path).write_text("{")
    found = score.read_rows(tmp_path)
    assert [row.model for row in found.rows] == ["unet"]
    assert len(found.warnings) == 1


def test_rows_are_values(records):
    row = score.row(records.make())
    assert dataclasses.replace(row) == row
    assert hash(row) == hash(dataclasses.replace(row))


def test_the_less_steady_scope_decides(records):
    assert score.grade(records.make(pipeline_spread=0.12)) == ("B", ("pipeline spread 12.0%",))
    assert score.grade(records.make(spread=0.2, pipeline_spread=0.12)) == ("B", ("network spread 20.0%",))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_record_of_zeros_is_no_traceback(records, kind):
    record = records.make(kind=kind, memory_bytes=0, param_count=0)
    nothing = records.latency(0.0)
    speed = record.speed.model_copy(update={"network": nothing, "pipeline": nothing})
    letter, reasons = score.grade(record.model_copy(update={"speed": speed}))
    assert (letter, reasons) == ("B", ("network spread inf%",))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_available(value):
    for metric in score.METRICS.values():
        assert metric.say(value) == "n/a"


def test_a_status_does_not_change_what_was_asked_for(records):
    ok, failed, unknown = (
        score.row(record)
        for record in (
            records.make(thread_count=4),
            records.failed(thread_count=4),
            records.failed().model_copy(update={"config": {}}),
        )
    )
    assert (ok.thread_count, failed.thread_count, unknown.thread_count) == (4, 4, 2)
    assert score.group_of(ok) == score.group_of(failed)


@pytest.mark.parametrize(("first", "second"), [("timeout", "ok"), ("ok", "timeout"), ("oom", "timeout")])
def test_the_newer_run_stands_whatever_its_status(records, first, second):
    rows = [
        score.row(records.make(status=first, torch="2.11.0")),
        score.row(records.make(status=second, torch="2.12.0", minutes=5)),
    ]
    assert rows[0].key != rows[1].key
    for order in (rows, rows[::-1]):
        assert [row.status for row in score.latest(order)] == [second]


def test_other_machines_are_shown_never_hidden(records):
    rows = [score.row(records.make(machine_id=name * 64, minutes=index)) for index, name in enumerate("ab")]
    assert score.latest(rows) == rows
    assert score.tell_apart(rows) == [
        f"unet #{name * 4}-{row.weights_sha256[:4]}" for name, row in zip("ab", rows, strict=True)
    ]


def test_rows_are_told_apart_by_what_differs_and_no_more(records):
    def names(*changes):
        return score.tell_apart([score.row(records.make(**change)) for change in changes])

    assert names({}, {"model": "fcn"}) == ["unet", "fcn"]
    assert names({}, {"precision": "bf16"}) == ["unet fp32", "unet bf16"]
    assert names({}, {"runtime": "openvino", "precision": "int8", "input_size": (128, 256)}) == [
        "unet eager fp32 256x512",
        "unet openvino int8 128x256",
    ]
    assert names({}, {"minutes": 3}) == ["unet 2026-03-01 12:00:00", "unet 2026-03-01 12:03:00"]


def test_medians_and_miou_have_an_interval(records):
    row = score.row(records.make(p50_s=0.020, width=0.1))
    assert row.interval("latency_p50_s") == pytest.approx((0.018, 0.022))
    assert row.interval("pipeline_p50_s") == pytest.approx((0.0225, 0.0275))
    assert [row.interval(key) for key in ("latency_p99_s", "miou", "param_count")] == [None] * 3
    assert score.row(records.make(miou_interval=(0.3, 0.5))).interval("miou") == (0.3, 0.5)
    assert score.row(records.failed()).interval("latency_p50_s") is None


def test_a_file_of_one_graph_has_no_network_scope(records):
    record = records.make(one_graph=True, runtime="openvino", file_bytes=5 * 2**20, pipeline_spread=0.12, spread=0.9)
    row = score.row(record)
    assert (row.latency_p50_s, row.latency_p99_s, row.interval("latency_p50_s")) == (None, None, None)
    assert (row.pipeline_p50_s, row.file_bytes) == (0.025, 5 * 2**20)
    assert score.grade(record) == ("B", ("pipeline spread 12.0%",)), "graded by the scope there is"
    unsettled = record.speed.pipeline.model_copy(update={"warmup_settled": False})
    speed = record.speed.model_copy(update={"pipeline": unsettled})
    assert score.grade(record.model_copy(update={"speed": speed}))[0] == "C"


def test_what_a_runtime_adds_to_a_row(records):
    build = {"export_s": 2.5, "compile_s": 30.0, "calibrate_s": 4.0, "graph_break_count": 1}
    row = score.row(records.make(rates=(9.0, 14.0, 13.0), energy_j=0.7, staged=True, growth_bytes=3, build=build))
    assert (row.throughput_per_s, row.largest_batch, row.largest_batch_is_limit) == (14.0, 4, False)
    assert (row.energy_per_image_j, row.memory_growth_bytes) == (0.7, 3)
    assert (row.export_s, row.compile_s, row.calibrate_s, row.graph_break_count) == (2.5, 30.0, 4.0, 1)
    assert list(row.stages) == ["copy_in", "preprocess", "network", "upsample_argmax", "copy_out"]
    assert sum(row.stages.values()) == pytest.approx(row.pipeline_p50_s)
    assert score.row(records.make()).stages == {}


def _lost(records, *changes):
    return [row.miou_lost for row in score.rows_of(records.make(**change) for change in changes)]


def test_miou_is_lost_against_fp32_of_the_same_weights_size_and_images(records):
    int8 = {"runtime": "openvino", "precision": "int8", "right": 0.58}
    best, own = (score.miou(records.confusion(right)) for right in (0.60, 0.58))
    assert _lost(records, {"right": 0.60}, int8) == [0.0, pytest.approx(best - own)]
    assert _lost(records, {"right": 0.60}, int8 | {"right": 0.61})[1] < 0, "a gain"
    assert _lost(records, {"right": 0.60, "device": "nvidia-h200"}, int8)[1] == pytest.approx(best - own)
    assert _lost(records, {"right": 0.60}, {"right": 0.9, "device": "nvidia-h200", "kind": "cuda"}, int8)[2] == (
        pytest.approx(best - own)
    ), "the own device's reference comes first"
    for other in (
        *({"model": "fcn"}, {"input_size": (128, 256)}, {"fingerprint": "0" * 64}, {"image_count": 8}),
        *({"recipe": "long"}, {"precision": "bf16"}, {"right": None}, {"status": "oom"}),
    ):
        assert _lost(records, {"right": 0.60} | other, int8)[1] is None, other
    assert _lost(records, {}, {"right": None, "precision": "bf16"})[1] is None


def test_without_an_eager_row_another_fp32_row_is_what_miou_is_lost_against(records):
    int8 = {"runtime": "onnxruntime", "precision": "int8", "right": 0.58}
    own, best = (score.miou(records.confusion(right)) for right in (0.58, 0.60))
    onnx = {"runtime": "onnxruntime", "right": 0.60}
    assert _lost(records, onnx, int8) == [0.0, pytest.approx(best - own)]
    assert _lost(records, onnx, {"right": 0.58}, int8) == [pytest.approx(own - best), 0.0, 0.0], "eager comes first"
    eager_elsewhere = {"right": 0.58, "device": "nvidia-h200", "kind": "cuda"}
    assert _lost(records, onnx, eager_elsewhere, int8)[2] == 0.0, "on any device"
    older, newer = onnx | {"right": 0.59}, onnx | {"runtime": "openvino", "minutes": 5}
    assert _lost(records, older, newer, int8)[2] == pytest.approx(best - own), "then the newest"
    (_, row) = score.rows_of([records.make(**onnx), records.make(**int8)])
    assert row.loses_miou


def test_int8_that_is_slower_than_fp32_is_named(records):
    def named(*changes):
        base = {"runtime": "onnxruntime", "width": 0.01}
        rows = [score.row(records.make(**base | change)) for change in changes]
        return [pair.text for pair in score.slower_int8(rows)]

    fp32, int8 = {"p50_s": 0.010}, {"p50_s": 0.020, "precision": "int8"}
    said = "int8 is slower than fp32 here: unet in onnxruntime takes 25.0 ms against 12.5 ms"
    assert named(fp32, int8) == [said]
    assert named(int8, fp32) == [said]
    assert named(fp32, int8 | {"p50_s": 0.0101}) == [], "within the intervals"
    assert named(fp32, int8 | {"p50_s": 0.005}) == []
    assert named(fp32 | {"seed": 1, "p50_s": 0.1}, fp32, int8) == [said], "of the same weights, where there are several"
    for other in ({"runtime": "openvino"}, {"model": "fcn"}, {"input_size": (128, 256)}, {"machine_id": "n" * 64}):
        assert named(fp32 | other, int8) == [], other
    assert named(fp32 | {"status": "oom"}, int8) == []


@pytest.mark.parametrize(("right", "loses"), [(0.600, False), (0.598, False), (0.590, True), (0.70, False)])
def test_a_row_that_loses_one_percent_is_known(records, right, loses):
    _, row = score.rows_of([records.make(right=0.6), records.make(right=right, precision="int8")])
    assert row.loses_miou == loses
    assert not score.row(records.make(precision="int8")).loses_miou, "nothing to hold it against"


def test_the_fastest_artifact_of_each_model(records):
    rows = score.rows_of(
        [
            records.make("a", right=0.60, p50_s=0.040),
            records.make("a", right=0.599, p50_s=0.010, runtime="openvino", one_graph=True),
            records.make("a", right=0.50, p50_s=0.005, runtime="openvino", precision="int8", one_graph=True),
            records.make("b", right=0.60, p50_s=0.008, runtime="onnxruntime"),
            records.make("b", right=0.50, p50_s=0.004, runtime="onnxruntime", precision="int8"),
            records.make("a", right=0.55, p50_s=0.009, input_size=(128, 256)),
            records.failed("a", runtime="compile"),
            records.baseline(),
        ]
    )
    assert [
        (one.row.model, one.row.runtime, one.row.precision, one.row.input_size[0], one.speedup, one.checked)
        for one in score.fastest_of_each(rows)
    ] == [
        ("b", "onnxruntime", "fp32", 256, None, True),
        ("a", "eager", "fp32", 128, 1.0, True),
        ("a", "openvino", "fp32", 256, pytest.approx(4.0), True),
    ]


def test_files_of_random_weights_are_artifacts_of_one_model(records):
    rows = score.rows_of(
        records.make(right=None, dataset=None, p50_s=p50_s, runtime=runtime, file_bytes=file_bytes)
        for p50_s, runtime, file_bytes in ((0.04, "eager", None), (0.02, "aoti", 9), (0.01, "onnxruntime", 8))
    )
    assert len({row.file_sha256 for row in rows}) == 3
    (fastest,) = score.fastest_of_each(rows)
    assert (fastest.row.runtime, fastest.speedup) == ("onnxruntime", pytest.approx(4.0))


def test_a_loss_of_nothing_has_no_sign(records):
    assert score.METRICS["miou_lost"].say(-0.0001) == "0.0 points"
    assert score.METRICS["miou_lost"].say(-0.0012) == "-0.1 points"


def test_seeds_of_one_recipe_become_one_row(records):
    rights, p50s = (0.40, 0.50, 0.54), (0.010, 0.030, 0.020)
    made = [
        records.make(right=right, p50_s=p50_s, seed=seed, miou_interval=(right - 0.1, right))
        for seed, (right, p50_s) in enumerate(zip(rights, p50s, strict=True))
    ]
    mious = [score.miou(records.confusion(right)) for right in rights]
    rows = score.rows_of(made)
    (one,) = score.latest(rows)
    assert (one.seed_count, one.seed) == (3, 2), "the median pipeline p50 is seed 2's"
    assert one.miou == pytest.approx(np.mean(mious))
    assert one.miou_spread == pytest.approx(np.std(mious, ddof=1))
    assert one.pixel_accuracy == pytest.approx(0.48, abs=1e-3)
    assert one.interval("miou") == pytest.approx((0.38, 0.48))
    middle = rows[2]
    for column in ("pipeline_p50_s", "latency_p99_s", "grade", "peak_memory_bytes", "weights_sha256", "key"):
        assert getattr(one, column) == getattr(middle, column)
    assert score.latest([one]) == [one], "a table of a table is the same"
    assert [row.seed_count for row in rows] == [1, 1, 1], "a row a record before"
    assert len(score.newest(rows)) == 3


def test_only_the_seed_may_differ_and_the_newest_of_each_counts(records):
    old, new = records.make(right=0.1, seed=1, torch="2.11.0"), records.make(seed=1, torch="2.12.0", minutes=9)
    others = [
        records.make(seed=2, **change)
        for change in ({"model": "fcn"}, {"precision": "bf16"}, {"recipe_hash": "0" * 12}, {"machine_id": "o" * 64})
    ]
    kept = score.latest(score.rows_of([old, new, records.make(torch="2.12.0"), *others]))
    assert [row.seed_count for row in kept] == [2, 1, 1, 1, 1]
    assert kept[0].miou_spread == 0.0
    (one,) = score.latest(score.rows_of([new, records.make()]))
    assert (one.seed, one.seed_count) == (1, 1), "a seed of an older torch is left behind"
    assert records.make(right=None).artifact.weights.seed is None
    assert score.row(records.make(right=None)).seed_count == 0, "nobody trained random weights"


def test_a_seed_that_failed_stands_alone(records):
    made = [records.make(seed=0), records.make(seed=1), *(records.failed(seed=seed) for seed in (2, 3))]
    kept = score.latest(score.rows_of(made))
    assert [(row.status, row.seed_count, row.seed) for row in kept[1:]] == [("timeout", 1, 2), ("timeout", 1, 3)]
    assert (kept[0].status, kept[0].seed_count) == ("ok", 2)
    assert score.tell_apart(kept) == ["unet 2 seeds", "unet seed 2", "unet seed 3"]
    again = records.make(seed=2, minutes=3)
    assert [row.seed_count for row in score.latest(score.rows_of([*made, again]))] == [3, 1]
    forgetful = records.failed()
    weights = forgetful.artifact.weights.model_copy(update={"seed": None})
    artifact = forgetful.artifact.model_copy(update={"weights": weights})
    older = score.row(forgetful.model_copy(update={"artifact": artifact}))
    assert [row.status for row in score.latest([older, score.row(records.make(minutes=1))])] == ["ok"]


def test_a_seed_without_miou_leaves_no_mean(records):
    made = records.make(seed=1)
    unscored = score.row(made.model_copy(update={"accuracy": None}))
    (one,) = score.latest([score.row(records.make()), unscored])
    assert (one.miou, one.miou_spread, one.seed_count) == (None, None, 2)


def test_miou_is_shown_with_what_is_known_of_it(records):
    plain, known = (score.row(records.make(right=0.6, miou_interval=interval)) for interval in (None, (0.4012, 0.4588)))
    (mean,) = score.latest([known, score.row(records.make(right=0.62, seed=1))])
    assert [one.show("miou") for one in (plain, known, mean)] == ["42.9", "42.9 [40.1, 45.9]", "43.9 ± 1.5"]
    assert known.say("miou") == "42.9 [40.1, 45.9] %"
    assert known.show("latency_p50_s") == "20.0"
    assert score.row(records.failed()).say("miou") == "n/a"
    assert plain.span("miou") is None
    assert known.span("miou") == (0.4012, 0.4588)
    assert mean.span("miou") == pytest.approx((mean.miou - mean.miou_spread, mean.miou + mean.miou_spread))


@pytest.mark.parametrize(
    ("interval", "other", "expected"),
    [((0.3, 0.4), (0.39, 0.5), True), ((0.39, 0.5), (0.3, 0.4), True), ((0.3, 0.4), (0.41, 0.5), False)],
)
def test_a_tie_is_an_overlap(records, interval, other, expected):
    one, second = (score.row(records.make(miou_interval=known)) for known in (interval, other))
    assert score.tie(one, second, "miou") is expected
    assert score.tie(one, score.row(records.make()), "miou") is None
    assert score.tie(one, second, "pipeline_p50_s") is True
    assert score.tie(one, second, "param_count") is None


def test_sequences_shared_with_training_are_named(records):
    def said(*names):
        return score.sharing(score.row(records.make(shared_sequences=names)))

    assert said() is None
    assert said("cam0016e5") == "val shares the sequence cam0016e5 with training: its mIoU is optimistic"
    assert said("a", "b") == "val shares 2 sequences (a, b) with training: its mIoU is optimistic"
    assert said(*"abcd") == "val shares 4 sequences (a, b, c, …) with training: its mIoU is optimistic"
