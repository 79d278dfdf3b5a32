"""`zoo.score.comparing`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import ge

import numpy as np
import pytest

from zoo.record import MEAN_LABEL_MAP, Mode, Weights
from zoo.score import comparing
from zoo.score.accuracy import miou
from zoo.score.comparing import (
    baseline_for,
    condition_of,
    differences,
    family_of,
    fastest_of_each,
    group_of,
    images_of,
    latest,
    newest,
    pareto_front,
    say_slower,
    sharing,
    slower_int8,
    tell_apart,
    these_weights,
    tie,
)
from zoo.score.metrics import METRICS
from zoo.score.reading import rows_of
from zoo.score.rows import row


def _rows(records, points):
    return [row(records.make(f"m{index}", right=right, p50_s=p50_s)) for index, (p50_s, right) in enumerate(points)]


def test_the_front_is_what_nobody_beats(records):
    rng = np.random.default_rng(1)
    points = [(x / 100, y / 14) for x, y in rng.integers(1, 12, (80, 2)).tolist()]
    rows = _rows(records, points)

    def seen(row):
        return -METRICS["pipeline_p50_s"].seen(row.pipeline_p50_s), METRICS["miou"].seen(row.miou)

    def beaten(row):
        mine = seen(row)
        return any(all(map(ge, other, mine)) and other != mine for other in map(seen, rows))

    front = pareto_front(rows)
    assert {row.model for row in front} == {row.model for row in rows if not beaten(row)}
    assert [row.pipeline_p50_s for row in front] == sorted(row.pipeline_p50_s for row in front)


def test_the_front_is_of_numbers_as_they_are_shown(records):
    one, two, three = _rows(records, [(0.0081, 0.5), (0.0113, 0.5), (0.0079, 0.4)])
    two, three = two.having(miou=one.miou + 1e-7), three.having(miou=one.miou - 1e-2)
    assert pareto_front([one, two, three]) == [three, one], "nobody sees what parts the second from the first"


def test_the_front_of_two_metrics_holds_a_row_against_one_other(records, monkeypatch):
    """Even where nothing beats anything: a folder may hold a hundred thousand rows."""
    held = []
    monkeypatch.setattr(comparing, "ge", lambda one, other: held.append(1) or one >= other)
    (one,) = _rows(records, [(0.01, 0.5)])
    rows = [one.having(pipeline_p50_s=0.01 + 0.001 * place, miou=0.1 + 0.001 * place) for place in range(200)]
    assert pareto_front(rows) == rows
    assert len(held) <= 2 * len(rows)


def test_the_front_leaves_out_what_has_no_number(records):
    rows = [row(records.make("a", right=None)), row(records.failed("b")), row(records.make("c"))]
    assert [row.model for row in pareto_front(rows)] == ["c"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quick": True}, "quick"),
        ({"device": "nvidia-h200"}, "device"),
        ({"dataset": "camvid", "fingerprint": "f" * 64}, "dataset"),
        ({"fingerprint": "0" * 64}, "dataset_fingerprint"),
        ({"mode": Mode(flip=True)}, "mode"),
        ({"output_size": (256, 512)}, "output_size"),
        ({"batch_size": 8}, "batch_size"),
        ({"resize": "stretch"}, "resize"),
        ({"thread_count": 1}, "thread_count"),
    ],
)
def test_what_is_not_comparable_says_why(records, changes, field):
    one, other = (group_of(row(record)) for record in (records.make(), records.make("fcn", **changes)))
    assert list(differences(one, other)) == [field]


def test_weights_runtime_precision_input_size_and_model_are_what_is_compared(records):
    one = records.make()
    for changes in (
        *({"recipe": "long"}, {"recipe_hash": "000000000000"}, {"source": "published", "tag": "zh320"}),
        *({"source": "own"}, {"right": None}),
        *({"runtime": "compile"}, {"precision": "bf16"}, {"input_size": (128, 256)}),
        *({"model": "fcn"}, {"machine_id": "o" * 64}),
    ):
        assert group_of(row(records.make(**changes))) == group_of(row(one))


def test_failed_rows_stay_with_their_group(records):
    group = group_of(row(records.make()))
    assert group_of(row(records.failed())) == group


def test_another_protocol_is_another_group(records):
    record = records.make()
    other = row(record.model_copy(update={"protocol": "zoo-lat/1"}))
    assert list(differences(group_of(row(record)), group_of(other))) == ["protocol"]


def test_a_newer_torch_takes_the_older_runs_place(records):
    old, new = records.make(torch="2.11.0"), records.make(torch="2.12.0", minutes=9)
    other = records.make("fcn")
    assert old.key != new.key
    kept = latest([row(record) for record in (new, old, other)])
    assert {row.key for row in kept} == {new.key, other.key}


def test_the_baseline_goes_where_its_images_go(records):
    baseline = row(records.baseline(right=0.3))
    assert baseline.baseline
    assert baseline.model == MEAN_LABEL_MAP
    same = group_of(row(records.make(device="nvidia-h200", input_size=(64, 64), batch_size=4, thread_count=9)))
    assert baseline_for(same, [baseline]) is baseline
    for changes in ({"dataset": "camvid"}, {"fingerprint": "0" * 64}):
        assert baseline_for(group_of(row(records.make(**changes))), [baseline]) is None


@pytest.mark.parametrize(("first", "second"), [("timeout", "ok"), ("ok", "timeout"), ("oom", "timeout")])
def test_the_newer_run_stands_whatever_its_status(records, first, second):
    rows = [
        row(records.make(status=first, torch="2.11.0")),
        row(records.make(status=second, torch="2.12.0", minutes=5)),
    ]
    assert rows[0].key != rows[1].key
    for order in (rows, rows[::-1]):
        assert [row.status for row in latest(order)] == [second]


def test_other_machines_are_shown_never_hidden(records):
    rows = [row(records.make(machine_id=name * 64, minutes=index)) for index, name in enumerate("ab")]
    assert latest(rows) == rows
    assert tell_apart(rows) == [
        f"unet #{name * 4}-{row.weights_sha256[:4]}" for name, row in zip("ab", rows, strict=True)
    ]


def test_rows_are_told_apart_by_what_differs_and_no_more(records):
    def names(*changes):
        return tell_apart([row(records.make(**change)) for change in changes])

    assert names({}, {"model": "fcn"}) == ["unet", "fcn"]
    assert names({}, {"precision": "bf16"}) == ["unet fp32", "unet bf16"]
    assert names({}, {"runtime": "openvino", "precision": "int8", "input_size": (128, 256)}) == [
        "unet eager fp32 256x512",
        "unet openvino int8 128x256",
    ]
    assert names({}, {"minutes": 3}) == ["unet 2026-03-01 12:00:00", "unet 2026-03-01 12:03:00"]


def test_int8_that_is_slower_than_fp32_is_named(records):
    def named(*changes):
        base = {"runtime": "onnxruntime", "width": 0.01}
        rows = [row(records.make(**base | change)) for change in changes]
        return say_slower(slower_int8(rows))

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


def test_the_fastest_artifact_of_each_model(records):
    rows = rows_of(
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
        for one in fastest_of_each(rows)
    ] == [
        ("b", "onnxruntime", "fp32", 256, None, True),
        ("a", "eager", "fp32", 128, 1.0, True),
        ("a", "openvino", "fp32", 256, pytest.approx(4.0), True),
    ]


def test_files_of_random_weights_are_artifacts_of_one_model(records):
    rows = rows_of(
        records.make(right=None, dataset=None, p50_s=p50_s, runtime=runtime, file_bytes=file_bytes)
        for p50_s, runtime, file_bytes in ((0.04, "eager", None), (0.02, "aoti", 9), (0.01, "onnxruntime", 8))
    )
    assert len({row.file_sha256 for row in rows}) == 3
    (fastest,) = fastest_of_each(rows)
    assert (fastest.row.runtime, fastest.speedup) == ("onnxruntime", pytest.approx(4.0))


def test_seeds_of_one_recipe_become_one_row(records):
    rights, p50s = (0.40, 0.50, 0.54), (0.010, 0.030, 0.020)
    made = [
        records.make(right=right, p50_s=p50_s, seed=seed, miou_interval=(right - 0.1, right))
        for seed, (right, p50_s) in enumerate(zip(rights, p50s, strict=True))
    ]
    mious = [miou(records.confusion(right)) for right in rights]
    rows = rows_of(made)
    (one,) = latest(rows)
    assert (one.seed_count, one.seed) == (3, 2), "the median pipeline p50 is seed 2's"
    assert one.miou == pytest.approx(np.mean(mious))
    assert one.miou_spread == pytest.approx(np.std(mious, ddof=1))
    assert one.value("pixel_accuracy") == pytest.approx(0.48, abs=1e-3)
    assert one.interval("miou") == pytest.approx((0.38, 0.48))
    middle = rows[2]
    flat, of_middle = one.as_dict(), middle.as_dict()
    for column in ("pipeline_p50_s", "latency_p99_s", "grade", "peak_memory_bytes", "weights_sha256", "key"):
        assert flat[column] == of_middle[column]
    assert one.class_iou["class 3"] == pytest.approx(np.mean([row.class_iou["class 3"] for row in rows]))
    assert latest([one]) == [one], "a table of a table is the same"
    assert [row.seed_count for row in rows] == [1, 1, 1], "a row a record before"
    assert len(newest(rows)) == 3


def test_only_the_seed_may_differ_and_the_newest_of_each_counts(records):
    old, new = records.make(right=0.1, seed=1, torch="2.11.0"), records.make(seed=1, torch="2.12.0", minutes=9)
    others = [
        records.make(seed=2, **change)
        for change in ({"model": "fcn"}, {"precision": "bf16"}, {"recipe_hash": "0" * 12}, {"machine_id": "o" * 64})
    ]
    kept = latest(rows_of([old, new, records.make(torch="2.12.0"), *others]))
    assert [row.seed_count for row in kept] == [2, 1, 1, 1, 1]
    assert kept[0].miou_spread == 0.0
    (one,) = latest(rows_of([new, records.make()]))
    assert (one.seed, one.seed_count) == (1, 1), "a seed of an older torch is left behind"
    assert records.make(right=None).artifact.weights.seed is None
    assert row(records.make(right=None)).seed_count == 0, "nobody trained random weights"


def test_a_seed_that_failed_stands_alone(records):
    made = [records.make(seed=0), records.make(seed=1), *(records.failed(seed=seed) for seed in (2, 3))]
    kept = latest(rows_of(made))
    assert [(row.status, row.seed_count, row.seed) for row in kept[1:]] == [("timeout", 1, 2), ("timeout", 1, 3)]
    assert (kept[0].status, kept[0].seed_count) == ("ok", 2)
    assert tell_apart(kept) == ["unet 2 seeds", "unet seed 2", "unet seed 3"]
    again = records.make(seed=2, minutes=3)
    assert [row.seed_count for row in latest(rows_of([*made, again]))] == [3, 1]
    forgetful = records.failed()
    weights = forgetful.artifact.weights.model_copy(update={"seed": None})
    artifact = forgetful.artifact.model_copy(update={"weights": weights})
    older = row(forgetful.model_copy(update={"artifact": artifact}))
    assert [row.status for row in latest([older, row(records.make(minutes=1))])] == ["ok"]


def test_a_seed_without_miou_leaves_no_mean(records):
    made = records.make(seed=1)
    unscored = row(made.model_copy(update={"accuracy": None}))
    (one,) = latest([row(records.make()), unscored])
    assert (one.miou, one.miou_spread, one.seed_count) == (None, None, 2)


@pytest.mark.parametrize(
    ("interval", "other", "expected"),
    [((0.3, 0.4), (0.39, 0.5), True), ((0.39, 0.5), (0.3, 0.4), True), ((0.3, 0.4), (0.41, 0.5), False)],
)
def test_a_tie_is_an_overlap(records, interval, other, expected):
    one, second = (
        row(records.make(right=right, miou_interval=known)) for right, known in ((0.5, interval), (0.52, other))
    )
    assert tie(one, second, "miou") is expected
    assert tie(one, row(records.make(right=0.52)), "miou") is None
    assert tie(one, second, "pipeline_p50_s") is True
    assert tie(one, second, "param_count") is True, "the same number"
    assert tie(one, row(records.make(param_count=31_000_000)), "param_count") is False, "a count needs no interval"
    assert tie(one, row(records.make(right=None)), "miou") is None


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"right": 0.5008}, "miou", True),
        ({"right": 0.503}, "miou", False),
        ({"p50_s": 0.01019, "width": 0.0001}, "pipeline_p50_s", False),
        ({"p50_s": 0.01009, "width": 0.0001}, "pipeline_p50_s", True),
        ({"memory_bytes": 302 * 2**20}, "peak_memory_bytes", True),
        ({"memory_bytes": 310 * 2**20}, "peak_memory_bytes", False),
        ({"param_count": 30_200_000}, "param_count", True),
    ],
)
def test_a_difference_that_does_not_matter_is_none(records, changes, key, expected):
    known = {"right": 0.5, "p50_s": 0.01, "width": 0.0001, "miou_interval": (0.33333, 0.33334)}
    one, other = (row(records.make(**known | change)) for change in ({}, {"miou_interval": (0.3345, 0.3346)} | changes))
    assert tie(one, other, key) is expected
    assert tie(other, one, key) is expected


def test_sequences_shared_with_training_are_named(records):
    def said(*names):
        return sharing(row(records.make(shared_sequences=names)))

    assert said() is None
    unknown = sharing(row(records.make(shared_sequences=None)))
    assert unknown == "the frames' names tell no sequences: whether val shares any with training is not known"
    assert said("cam0016e5") == "val shares the sequence cam0016e5 with training: its mIoU is optimistic"
    assert said("a", "b") == "val shares 2 sequences (a, b) with training: its mIoU is optimistic"
    assert said(*"abcd") == "val shares 4 sequences (a, b, c, …) with training: its mIoU is optimistic"


PUBLISHED = {"source": "published", "tag": "zh320"}


def test_published_and_own_weights_are_ranked_in_one_group(records):
    changes = ({}, {"recipe": "long", "recipe_hash": "0" * 12}, PUBLISHED, {"source": "own"}, {"right": None})
    rows = [row(records.make(**change)) for change in changes]
    assert len({group_of(one) for one in rows}) == 1
    assert latest(rows) == rows
    assert len({family_of(one) for one in rows}) == 5
    assert tell_apart(rows) == [
        *("unet run camvid_cpu", "unet run long", "unet published zh320", "unet own", "unet random"),
    ]
    assert tell_apart(rows, beside="weights") == ["unet"] * 5, "a column beside the names says it"


def test_two_files_are_two_rows_whatever_their_name(records):
    rows = [row(records.make(source="file", tag="net.pth", weights_sha256=digit * 64)) for digit in "ab"]
    assert latest(rows) == rows
    assert tell_apart(rows, beside="weights") == ["unet @aaaaaaaa", "unet @bbbbbbbb"]
    again = row(records.make(source="file", tag="renamed.pth", weights_sha256="a" * 64, minutes=3))
    assert [one.weights for one in latest([*rows, again])] == ["file renamed.pth", "file net.pth"], "the same bytes"


def test_a_recipe_trained_again_is_the_same_row_and_seeds_of_it_are_averaged(records):
    once, again = records.make(weights_sha256="a" * 64), records.make(weights_sha256="b" * 64, minutes=5)
    (one,) = latest([row(once), row(again)])
    assert one.weights_sha256 == "b" * 64
    rows = [row(records.make(seed=seed)) for seed in (0, 1)]
    assert [one.seed_count for one in latest([*rows, row(records.make(**PUBLISHED))])] == [2, 1]


@pytest.mark.parametrize("order", [1, -1])
def test_a_count_alone_does_not_hide_what_was_timed_of_the_same_weights(records, order):
    timed, counted = row(records.make()), row(records.make(timed=False, minutes=5))
    assert condition_of(timed) == condition_of(counted)
    assert latest([timed, counted][::order]) == [timed]
    retrained = row(records.make(timed=False, minutes=5, weights_sha256="d" * 64))
    assert latest([timed, retrained][::order]) == [retrained]
    assert latest([counted]) == [counted]
    timed_again = row(records.make(minutes=9))
    assert latest([counted, timed_again][::order]) == [timed_again]


@pytest.mark.parametrize("order", [1, -1])
def test_a_cell_that_failed_before_it_had_its_weights_gives_way_to_a_later_one_of_their_name(records, order):
    def failed(minutes):
        record = records.failed(minutes=minutes)
        weights = Weights(source="published", tag="zh320", sha256=None, recipe="none")
        return row(record.model_copy(update={"artifact": record.artifact.model_copy(update={"weights": weights})}))

    ok = row(records.make(minutes=5, **PUBLISHED))
    assert latest([failed(0), ok][::order]) == [ok]
    assert len(latest([failed(9), ok][::order])) == 2, "it failed since"
    other = row(records.make(minutes=5, source="published", tag="zh512"))
    assert len(latest([failed(0), other][::order])) == 2


def test_a_mode_is_a_border_but_not_for_the_baseline(records):
    whole, flipped = row(records.make()), row(records.make(mode=Mode(flip=True), timed=False))
    assert list(differences(group_of(whole), group_of(flipped))) == ["mode"]
    assert latest([whole, flipped]) == [whole, flipped]
    baseline = row(records.baseline())
    for one in (whole, flipped):
        assert baseline_for(group_of(one), [baseline]) is baseline
    assert images_of(group_of(whole)) == images_of(group_of(flipped))
    _, int8 = rows_of([records.make(mode=Mode(flip=True)), records.make(precision="int8", right=0.49)])
    assert int8.miou_lost is None, "a flipped score is no reference for whole frames"


def test_who_trained_how_often_is_said_of_runs_alone(records):
    one, mean = row(records.make()), latest([row(records.make(seed=seed)) for seed in (0, 1)])[0]
    assert these_weights(one) == "one seed, these weights"
    assert these_weights(mean) == these_weights(mean, one) == "a mean of 2 seeds, these weights"
    assert these_weights(one, row(records.make(**PUBLISHED))) == "these weights"


def test_what_says_it_is_of_the_future_stands_for_nothing(records):
    ahead = (datetime.now(UTC) - records.NOON) / timedelta(minutes=1) + 3 * 24 * 60
    made = [
        records.make(p50_s=p50_s, minutes=minutes, key=str(minutes)) for p50_s, minutes in ((0.02, 0), (0.01, ahead))
    ]
    for rows in (rows_of(made), rows_of(made[::-1])):
        assert [one.started_at for one in latest(rows)] == [records.NOON]
        assert [one.started_at for one in newest(rows)] == [records.NOON]
