"""`zoo compare` of rows: side by side, or the field that forbids it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.protocol import SPEED_PROTOCOL
from zoo.record import Mode
from zoo.report.compare import compare
from zoo.report.compare_text import show_comparison
from zoo.score.paired import PairedTest
from zoo.score.trust import REMEDIES
from zoo.store import save


def two(*names, **asked):
    """Two rows compared: the one pair, with what is said of it."""
    comparison = compare(*names, **asked)
    ((pair,),) = (against.pairs for against in comparison.against)
    return SimpleNamespace(
        comparison=comparison,
        first=pair.first,
        second=pair.second,
        labels=pair.labels,
        measures=pair.measures,
        classes=pair.classes,
        paired=pair.paired if isinstance(pair.paired, PairedTest) else None,
        notes=comparison.against[0].notes,
        differs=comparison.against[0].differs,
    )


def shown(one, form="table", *, width=160, **options):
    return show_comparison(one.comparison, form, width=width, **options)


def values_of(one):
    (against,) = json.loads(shown(one, "json"))["against"]
    return against["pairs"][0]


@pytest.fixture
def put(records, tmp_path):
    def put(*args, **changes):
        return str(save(records.make(*args, **changes), {}, tmp_path))

    return put


@pytest.fixture
def put_counts(records, tmp_path):
    """A record with per-image counts of 12 images beside it, one to three times `better` pixels more right on each."""

    def put_counts(model, better=0, *, per_sequence=1, names=None, **changes):
        rng = np.random.default_rng(0)
        hit = rng.integers(20, 80, (12, 19)) + better * rng.integers(1, 4, (12, 1))
        names = names or [f"town_{index // per_sequence:06d}_{index:06d}" for index in range(12)]
        counts = {
            "image_names": np.array(names),
            "true_positives": hit.astype(np.int32),
            "false_positives": np.zeros((12, 19), np.int32),
            "false_negatives": (100 - hit).astype(np.int32),
        }
        matrix = np.zeros((19, 20), np.int64)
        np.fill_diagonal(matrix, hit.sum(axis=0))
        matrix[:, -1] = (100 - hit).sum(axis=0)
        return str(save(records.make(model, matrix=matrix, **changes), counts, tmp_path))

    return put_counts


@pytest.mark.parametrize(
    ("better", "verdict", "words"),
    [
        (2, "better", "mIoU: b is better than a, +"),
        (-2, "worse", "mIoU: b is worse than a, -"),
        (0, "tie", "a tie"),
    ],
)
def test_a_paired_bootstrap_tells_better_worse_or_tie(put_counts, tmp_path, better, verdict, words):
    files = put_counts("a"), put_counts("b", better)
    for names in (("a", "b"), files):
        comparison = two(*names, results=tmp_path)
        paired = comparison.paired
        assert (paired.verdict, paired.resampled, paired.image_count) == (verdict, "images", 12)
        assert paired.interval[0] <= paired.gain <= paired.interval[1]
        (measure,) = [measure for measure in comparison.measures if measure.metric.key == "miou"]
        assert measure.tie is (verdict == "tie")
        text = shown(comparison, plain=True)
        assert words in text
        assert "paired bootstrap over images (12 images); one seed, these weights" in text
        values = values_of(comparison)["paired_miou"]
        assert values["verdict"] == verdict
        assert values["interval"] == list(paired.interval)


def test_images_are_matched_by_name_and_sequences_resampled_whole(put_counts, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.score.accuracy.MIN_SEQUENCES", 3)
    put_counts("a", per_sequence=4)
    put_counts("b", 2, per_sequence=4)
    comparison = two("a", "b", results=tmp_path)
    assert comparison.paired.resampled == "sequences"
    assert "paired bootstrap over sequences (12 images)" in shown(comparison, plain=True)


def test_frames_of_few_sequences_are_said_to_be_alike(put_counts, tmp_path):
    for model, better in (("a", 0), ("b", 2)):
        put_counts(model, better, per_sequence=12, shared_sequences=("town_000000",))
    text = " ".join(shown(two("a", "b", results=tmp_path), plain=True).split())
    assert "frames of few sequences (12 images), which resemble each other: the interval is too narrow; one" in text
    assert "shares the sequence town_000000 with training: its mIoU is optimistic" in text


@pytest.mark.parametrize(
    ("low", "verdict", "words"),
    [
        (0.0012, "better", "+0.20 points (95 % interval +0.12 to +0.30)"),
        (0.0000021, "better", "+0.2000 points (95 % interval +0.0002 to +0.3000)"),
        (-0.0000021, "tie", "+0.20 points (95 % interval -0.00 to +0.30)"),
    ],
)
def test_as_many_digits_as_tell_the_interval_from_0(put_counts, tmp_path, monkeypatch, low, verdict, words):
    for model in ("a", "b"):
        put_counts(model)
    test = PairedTest(verdict, 0.002, (low, 0.003), "images", 12)
    monkeypatch.setattr("zoo.score.paired.Pairs.test", lambda *_: test)
    assert any(words in note for note in two("a", "b", results=tmp_path).notes)


def test_of_several_pairs_the_one_with_miou_is_meant(put, tmp_path):
    for model in ("a", "b"):
        put(model, right=0.5)
        put(model, right=None, dataset=None, input_size=(96, 128))
    assert two("a", "b", results=tmp_path).first.miou is not None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.unlink(), "has no per-image counts beside it"),
        (lambda file: file.write_bytes(b"PK"), "is damaged"),
    ],
)
def test_without_counts_nothing_is_claimed(put_counts, tmp_path, spoil, words):
    put_counts("a")
    spoil(Path(put_counts("b", 2)).with_suffix(".npz"))
    comparison = two("a", "b", results=tmp_path)
    assert comparison.paired is None
    (note,) = [note for note in comparison.notes if "whether that is more than chance is not known" in note]
    assert words in note
    assert values_of(comparison)["paired_miou"] is None


def test_other_images_are_not_paired(put_counts, tmp_path):
    put_counts("a")
    put_counts("b", names=[f"village_000000_{index:06d}" for index in range(12)])
    assert any("not counted on the same images" in note for note in two("a", "b", results=tmp_path).notes)


def test_a_mean_over_seeds_names_how_to_test_one(put_counts, tmp_path):
    for seed in range(3):
        put_counts("a", seed, seed=seed)
        put_counts("b", 2 + seed, seed=seed)
    comparison = two("a", "b", results=tmp_path)
    assert (comparison.first.seed_count, comparison.paired, comparison.classes) == (3, None, ())
    assert any("name one, such as MODEL,seed=0" in note for note in comparison.notes)
    one = two("a,seed=1", "b,seed=2", results=tmp_path)
    assert one.paired.verdict == "better"
    assert (one.first.seed, one.second.seed) == (1, 2)


def test_each_metric_with_its_ratio(put, tmp_path):
    put("a", right=0.4, p50_s=0.010)
    put("b", right=0.6, p50_s=0.025)
    comparison = two("a", "b", results=tmp_path)
    measures = {measure.metric.key: measure for measure in comparison.measures}
    assert measures["latency_p50_s"].ratio == pytest.approx(2.5)
    assert measures["latency_p50_s"].tie is False
    assert measures["param_count"].ratio == 1
    assert measures["miou_lost"].ratio is None
    assert measures["throughput_per_s"].ratio is None
    text = shown(comparison, plain=True)
    assert "2.50x" in text
    assert "apart" in text
    assert "one seed, these weights" in text
    values = values_of(comparison)
    assert values["metrics"]["latency_p50_s"] == {"first": 0.01, "second": 0.025, "ratio": 2.5, "tie": False}


def test_of_what_can_be_a_gain_there_is_no_ratio(put, tmp_path):
    put("a", right=0.5)
    for precision, right in (("bf16", 0.51), ("int8", 0.49)):
        put("a", right=right, precision=precision, memory_bytes=400 * 2**20 if precision == "bf16" else 300 * 2**20)
    comparison = two("a,precision=int8", "a,precision=bf16", results=tmp_path)
    measures = {measure.metric.key: measure for measure in comparison.measures}
    assert measures["miou_lost"].first > 0 > measures["miou_lost"].second
    assert measures["miou_lost"].ratio is None
    assert measures["peak_memory_bytes"].tie is False, "as `pick` has it"


def test_what_a_class_loses_against_fp32_is_said(records, put, tmp_path):
    whole = records.confusion(0.8)
    hurt = whole.copy()
    hurt[3] = np.roll(whole[3], 1)
    files = [put("a", matrix=whole), put("a", matrix=hurt, precision="int8", runtime="openvino")]
    for names in (("a,precision=fp32", "a,precision=int8"), map(str, files)):
        comparison = two(*names, results=tmp_path)
        (said,) = [note for note in comparison.notes if "loses points" in note]
        assert said.startswith("a openvino int8 loses points of IoU against fp32 on class 3 (6")
        values = values_of(comparison)
        assert values["second"]["class_lost"]["class 3"] > 0.6
        assert values["first"]["class_lost"]["class 3"] == 0


@pytest.mark.parametrize(("second", "tie"), [(0.0100, True), (0.0102, True), (0.0103, False), (0.0097, False)])
def test_overlapping_intervals_are_a_tie(put, tmp_path, second, tie):
    put("a", right=0.4, p50_s=0.010, width=0.0101)
    put("b", p50_s=second, width=0.0101)
    comparison = two("a", "b", results=tmp_path)
    timed = [measure for measure in comparison.measures if measure.metric.key in {"latency_p50_s", "pipeline_p50_s"}]
    assert [measure.tie for measure in timed] == [tie, tie]
    assert ("tie: pipeline p50 and network p50, whose" in shown(comparison, plain=True)) == (tie and second != 0.0100)


def test_the_largest_class_differences_come_first(records, put, tmp_path):
    one, other = np.zeros((2, 3, 4), dtype=np.int64)
    for index, (a, b) in enumerate([(50, 55), (90, 20), (10, 40)]):
        one[index, index], one[index, 3] = a, 100 - a
        other[index, index], other[index, 3] = b, 100 - b
    put("a", matrix=one)
    put("b", matrix=other)
    classes = two("a", "b", results=tmp_path).classes
    assert [name for name, _, _ in classes] == ["class 1", "class 2", "class 0"]
    assert classes[0][1:] == (0.9, 0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"dataset": "camvid", "fingerprint": "0" * 64},
            "dataset streets vs camvid; dataset fingerprint ffffffffffff vs 000000000000",
        ),
        ({"output_size": (64, 64)}, "output size 512x1024 vs 64x64"),
        ({"quick": True}, "quick no vs yes"),
        ({"batch_size": 4, "mode": Mode(flip=True)}, "batch size 1 vs 4; mode whole vs flip"),
    ],
)
def test_what_may_not_be_compared_names_the_field(put, tmp_path, changes, words):
    first, second = put("a"), put("b", **changes)
    for names in (("a", "b"), (first, second), (first, "b")):
        with pytest.raises(UserError, match=f"may not be compared: {re.escape(words)}; measure both in the same way"):
            two(*names, results=tmp_path)


def test_two_devices_are_compared_with_a_word_of_care(put, tmp_path):
    put("a")
    put("a", device="nvidia-h200", kind="cuda")
    comparison = two("a,device=intel-xeon-2c", "a,device=nvidia-h200", results=tmp_path)
    assert comparison.labels == ("a intel-xeon-2c", "a nvidia-h200")
    assert any("the devices differ" in note for note in comparison.notes)


def test_conditions_choose_among_many(put, tmp_path):
    for precision in ("fp32", "bf16"):
        put("a", precision=precision)
    put("b")
    assert two("a", "b", results=tmp_path).first.precision == "fp32", "alike pairs come first"
    assert two("a,precision=bf16", "b", results=tmp_path).labels == ("a bf16", "b fp32")
    assert two("a,precision=bf16", "a,precision=fp32", results=tmp_path).labels == ("a bf16", "a fp32")
    put("a", dataset="camvid")
    put("b", dataset="camvid")
    with pytest.raises(UserError, match=r"2 pairs of a and b: dataset is camvid or streets; say which, such as a,data"):
        two("a", "b", results=tmp_path)
    assert two("a,dataset=camvid", "b", results=tmp_path).second.dataset == "camvid"


def test_full_runs_come_before_smoke_tests(put, tmp_path):
    for name in ("a", "b"):
        put(name)
        put(name, quick=True)
    assert not two("a", "b", results=tmp_path).first.quick
    text = shown(two("a,quick=yes", "b,quick=yes", results=tmp_path), plain=True)
    assert text.startswith("QUICK — a smoke test")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("uneet", "b"), "no ok record of 'uneet', and no folder 'uneet' here. Did you mean 'unet'? There is: b, unet"),
        (("unet", "unet"), "are the same record"),
        (("unet,speed=9", "b"), "'speed=9' is none of model=…, device=…"),
        (("unet,precision=int8", "b"), "no record of unet with precision=int8; there is: fp32"),
        (("none.json", "b"), "none.json: No such file"),
    ],
)
def test_wrong_names_are_one_line(put, tmp_path, names, words):
    put("unet")
    put("b")
    with pytest.raises(UserError, match=re.escape(words)):
        two(*names, results=tmp_path)


def test_two_runs_of_one_cell_are_compared(put, tmp_path):
    old, new = put("a", right=0.4, p50_s=0.020), put("a", right=0.6, p50_s=0.010, minutes=7)
    comparison = two(old, new, results=tmp_path)
    assert comparison.first.key == comparison.second.key
    assert comparison.labels == ("a 2026-03-01 12:00:00", "a 2026-03-01 12:07:00")
    assert {measure.metric.key: measure.ratio for measure in comparison.measures}["latency_p50_s"] == pytest.approx(0.5)
    _, before, after = comparison.classes[0]
    assert before < after, "each run's own confusion"
    assert two("a", old, results=tmp_path).first.value("latency_p50_s") == 0.010, "a name means the newest run"
    with pytest.raises(UserError, match="are the same record"):
        two(new, "a", results=tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resize": "stretch"}, "resize is fit or stretch; say which, such as a,resize=fit,"),
        ({"thread_count": 1}, "thread_count is 1 or 2; say which, such as a,thread_count=1,"),
        ({"output_size": (64, 64)}, "output_size is 512x1024 or 64x64; say which, such as a,output_size=512x1024,"),
        ({"fingerprint": "0" * 64}, "dataset_fingerprint is 000000000000 or ffffffffffff; say which"),
    ],
)
def test_what_is_ambiguous_names_exactly_what_varies(put, tmp_path, changes, words):
    for name in ("a", "b"):
        put(name)
        put(name, **changes)
    with pytest.raises(UserError, match=f"^2 pairs of a and b: {re.escape(words)}"):
        two("a", "b", results=tmp_path)


def test_a_version_of_a_dataset_is_named_as_everywhere(put, tmp_path):
    for model in ("a", "b"):
        put(model, fingerprint="0123456789abcdef")
        put(model, fingerprint="fedcba9876543210")
    comparison = two("a,dataset=streets@0123", "b", results=tmp_path)
    assert comparison.first.dataset_fingerprint == comparison.second.dataset_fingerprint == "0123456789abcdef"
    assert two("a,dataset_fingerprint=fedcba98", "b", results=tmp_path).second.dataset_fingerprint.startswith("fedc")


def test_two_machines_of_one_name_are_told_apart(put, tmp_path):
    put("a")
    put("a", machine_id="o" * 64)
    put("b")
    with pytest.raises(
        UserError, match=r"machine_id is m{12} or o{12}; say which, such as a,machine_id=m{12}, or name"
    ):
        two("a", "b", results=tmp_path)
    comparison = two("a,machine_id=oooooooooooo", "b", results=tmp_path)
    assert comparison.notes[0] == "two machines of one name: compare latency with care"
    assert (
        two("a,machine_id=oooooooooooo", "a,machine_id=mmmmmmmmmmmm", results=tmp_path).labels[0].startswith("a #oooo-")
    )


def test_a_gpus_host_may_have_other_threads(put, tmp_path):
    put("a")
    put("b", device="nvidia-h200", kind="cuda", thread_count=16)
    assert two("a", "b", results=tmp_path).labels == ("a intel-xeon-2c", "b nvidia-h200")
    put("c", thread_count=1)
    with pytest.raises(UserError, match="may not be compared: thread count 2 vs 1; measure both in the same way"):
        two("a", "c", results=tmp_path)


@pytest.fixture
def artifacts(put):
    for model in ("a", "b"):
        for runtime, precision in (("eager", "fp32"), ("eager", "bf16"), ("openvino", "fp32"), ("openvino", "int8")):
            put(model, runtime=runtime, precision=precision, one_graph=runtime == "openvino")


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ("a", "a,runtime=openvino", ("a eager", "a openvino")),
        ("a,runtime=openvino", "a", ("a openvino", "a eager")),
        ("a", "a,precision=int8", ("a eager fp32", "a openvino int8")),
        ("a,runtime=openvino", "a,precision=int8", ("a fp32", "a int8")),
        ("a", "a,precision=bf16", ("a fp32", "a bf16")),
        ("a", "b", ("a", "b")),
        ("a,runtime=openvino", "b", ("a", "b")),
        ("a,precision=bf16", "b", ("a", "b")),
        ("a,runtime=eager", "b,precision=int8", ("a eager fp32", "b openvino int8")),
    ],
)
def test_what_is_not_named_is_guessed(artifacts, tmp_path, first, second, labels):
    assert two(first, second, results=tmp_path).labels == labels


def test_what_both_rows_share_is_said_above(artifacts, put, tmp_path):
    text = shown(two("a", "b", results=tmp_path), plain=True)
    assert text.startswith("intel-xeon-2c · streets · val · run camvid_cpu · eager · fp32 · 256x512\n")
    put("a", right=0.4, input_size=(128, 256))
    comparison = two("a", "a,input_size=128x256", results=tmp_path)
    assert comparison.labels == ("a 256x512", "a 128x256")
    assert shown(comparison, plain=True).startswith("intel-xeon-2c · streets · val · run camvid_cpu · eager · fp32\n")
    with pytest.raises(UserError, match="a and a are the same record; name two: MODEL, MODEL,precision"):
        two("a", "a", results=tmp_path)


def test_one_graph_has_no_network_latency_to_compare(artifacts, tmp_path):
    measures = {measure.metric.key: measure for measure in two("a", "a,runtime=openvino", results=tmp_path).measures}
    assert (measures["latency_p50_s"].second, measures["latency_p50_s"].ratio) == (None, None)
    assert measures["pipeline_p50_s"].ratio == 1
    assert measures["miou_lost"].second == 0


def test_the_baseline_is_found_beside_the_models(records, tmp_path):
    for record in (records.make("unet"), records.baseline()):
        save(record, {}, tmp_path)
    with pytest.raises(UserError, match="`zoo leaderboard` has the baseline's mIoU beside theirs"):
        two("mean_label_map", "unet", results=tmp_path)


def test_weights_are_compared_and_named_where_they_differ(put, tmp_path):
    put("a")
    put("a", source="published", tag="zh320")
    put("b", right=0.4)
    comparison = two("a,weights=published", "b", results=tmp_path)
    assert comparison.labels == ("a published zh320", "b run camvid_cpu")
    assert comparison.notes[0] == (
        "the weights differ (published zh320, run camvid_cpu): a row speaks of its weights, not of the architecture"
    )
    assert any("points: these weights; " in note for note in comparison.notes), "nobody trained the first here"
    assert two("a", "b", results=tmp_path).labels == ("a", "b"), "of the same weights, where nothing is named"
    assert two("a,weights=run", "a,weights=published zh320", results=tmp_path).labels == (
        *("a run camvid_cpu", "a published zh320"),
    )
    put("b", source="own")
    assert two("b,weights=own", "a", results=tmp_path, weights=["own", "run"]).second.weights == "run camvid_cpu"
    with pytest.raises(
        UserError, match=r"weights is published zh320 or run camvid_cpu; say which, such as 'a,weights=p"
    ):
        two("a", "b,weights=own", results=tmp_path)


def test_whole_frames_are_meant_where_no_mode_is_named(put, tmp_path):
    for model in ("a", "b"):
        put(model)
        put(model, mode=Mode(flip=True), right=0.7, key=model * 32)
    assert two("a", "b", results=tmp_path).first.mode == "whole"
    assert two("a,mode=flip", "b", results=tmp_path).second.mode == "flip"


def test_todays_protocol_is_meant_where_none_is_named(put, records, tmp_path):
    for model in ("a", "b", "c"):
        old = records.make(model, minutes=1, key=model * 32).model_copy(update={"protocol": "zoo-lat/2"})
        save(old, {}, tmp_path)
    for model in ("a", "b"):
        put(model)
    assert two("a", "b", results=tmp_path).first.protocol == SPEED_PROTOCOL
    assert two("a,protocol=zoo-lat/2", "b", results=tmp_path).second.protocol == "zoo-lat/2"
    assert two("a", "c", results=tmp_path).first.protocol == "zoo-lat/2", "an older one where a row has no other"


def test_stages_stand_beside_each_other(put, tmp_path):
    for model, p50_s in (("a", 0.02), ("b", 0.03)):
        put(model, p50_s=p50_s, staged=True)
    measures = {measure.metric.key: measure for measure in two("a", "b", results=tmp_path).measures}
    assert measures["network_s"].ratio == pytest.approx(1.5)


def test_a_grade_that_is_not_a_says_why_and_what_to_do(put, tmp_path):
    put("a", settled=False)
    put("b")
    (note,) = [note for note in two("a", "b", results=tmp_path).notes if "timed with grade" in note]
    assert note == f"a was timed with grade B (warm-up unsettled: {REMEDIES['unsettled warm-up']})"
