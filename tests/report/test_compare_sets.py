"""`zoo compare` of many: rows against the first, folders, devices and dates; what `--fail-on` finds; how it reads."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.report.compare import compare
from zoo.report.compare_text import SHOWN_PAIRS, UNSURE, show_comparison
from zoo.score.limits import LossLimit
from zoo.store import save

MODELS = ("a", "b", "c", "d", "e", "f")


@pytest.fixture
def put(records, tmp_path):
    def put(*args, to="results", **changes):
        return save(records.make(*args, **changes), {}, tmp_path / to)

    return put


@pytest.fixture
def folders(put, tmp_path):
    """`before` and `after`: one model became slower, one worse, one has gone; the rest is as it was."""
    for place, model in enumerate(MODELS):
        facts = {"right": 0.5, "p50_s": 0.01 * (1 + place)}
        put(model, to="before", **facts)
        changed = {"b": {"p50_s": 0.025}, "c": {"right": 0.4, "memory_bytes": 400 * 2**20}}.get(model, {})
        if model != "d":
            put(model, to="after", minutes=9, torch="2.12.0", key=model * 32, **facts | changed)
    return str(tmp_path / "before"), str(tmp_path / "after")


def shown(comparison, width=80, limits=()):
    return show_comparison(comparison, limits=[LossLimit.parse(limit) for limit in limits], width=width, plain=True)


def test_tables_that_differ_in_what_they_do_not_show_say_it(records, tmp_path):
    for to in ("before", "after"):
        for model, protocol in zip("ab", ("zoo-lat/2", "zoo-lat/3"), strict=True):
            one = records.make(model, minutes=len(to), key=model * 32)
            save(one.model_copy(update={"protocol": protocol}), {}, tmp_path / to)
    text = shown(compare(str(tmp_path / "before"), str(tmp_path / "after")), width=160)
    heads = [line for line in text.splitlines() if line.startswith("intel-xeon-2c · ")]
    assert [line.rpartition(" · ")[2] for line in heads] == ["zoo-lat/2", "zoo-lat/3"]


def losses(comparison, *limits):
    found = comparison.losses([LossLimit.parse(limit) for limit in limits])
    return [(loss.kind, loss.label, loss.limit and loss.limit.metric.key) for loss in found]


def test_folders_are_held_artifact_by_artifact(folders):
    comparison = compare(*folders)
    (against,) = comparison.against
    assert comparison.are_sets
    assert [pair.second.model for pair in against.pairs] == ["b", "a", "c", "e", "f"], "what became slowest is first"
    assert against.differs == {"torch": "2.11.0 vs 2.12.0"}
    assert [(one.row.model, one.is_first) for one in against.unmatched] == [("d", True)]
    assert against.ranks is None, "one device"
    text = shown(comparison)
    assert max(map(len, text.splitlines())) <= 80
    assert "5 artifacts measured on both" in " ".join(text.split())
    assert "pipeline p50: 1 slower, 4 tie; 1.05x in the geometric mean (1.00x to 1.25x)" in text
    assert "1.25x slower" in text
    assert UNSURE in text, "no image counts stand beside c"
    assert UNSURE not in shown(compare(*folders, models=["a", "b"]))
    assert "what differs: torch 2.11.0 vs 2.12.0" in text
    assert "(its model was not measured there): d eager fp32 256x512" in " ".join(text.split())


def test_several_results_are_the_same_as_folders(folders):
    named, flagged = compare(*folders), compare(results=folders)
    assert [pair.second.key for pair in named.pairs] == [pair.second.key for pair in flagged.pairs]
    again = compare("b", "a", results=(folders[0], f"{folders[0]}/"))
    assert [pair.second.model for pair in again.pairs] == ["a"], "one folder named twice is one"
    one = compare("b", results=folders)
    assert not one.are_sets
    assert one.pairs[0].measures[2].ratio == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (["slower:30%"], [("not known", "d", None)]),
        (["slower:5%"], [("lost", "b", "pipeline_p50_s"), ("not known", "d", None)]),
        (["slower:10ms", "memory:50%"], [("not known", "d", None)]),
        (["slower:5ms"], [("lost", "b", "pipeline_p50_s"), ("not known", "d", None)]),
        (["memory:20%"], [("lost", "c", "peak_memory_bytes"), ("not known", "d", None)]),
        (["p99:5%"], [("not known", "b", "pipeline_p99_s"), ("not known", "d", None)]),
        (["miou:0.5"], [("not known", "c", "miou"), ("not known", "d", None)]),
        (["miou:20"], [("not known", "d", None)]),
        (["energy:5%"], [("not known", "", "energy_per_image_j")]),
    ],
)
def test_what_is_lost_beyond_a_limit_and_what_is_not_known(folders, limits, expected):
    """Without samples beside the records neither mIoU nor p99 tells chance from loss: that is no pass."""
    assert losses(compare(*folders), *limits) == expected


def test_the_verdict_names_the_row_and_by_how_much(folders):
    comparison = compare(*folders, models=["a", "b", "e"])
    text = " ".join(shown(comparison, limits=["slower:5%", "memory:10MiB"]).split())
    assert "lost: b: pipeline p50 25.0 → 31.2 ms, 25 % worse (allowed 5 %)" in text
    assert "not passed: 1 lost; allowed to be lost: pipeline p50 5 %, peak memory 10.0 MiB" in text
    passed = shown(compare(*folders, models=["a", "e"]), limits=["slower:5%"])
    assert "passed: of 2 rows none is known to lose more than is allowed (pipeline p50 5 %)" in passed
    values = json.loads(show_comparison(comparison, "json", limits=[LossLimit.parse("slower:5%")]))
    assert values["fail_on"]["passed"] is False
    (loss,) = values["fail_on"]["losses"]
    assert (loss["row"], loss["kind"], loss["metric"]) == ("b", "lost", "pipeline_p50_s")
    assert loss["loss"] == pytest.approx(0.25)


def test_a_loss_within_the_intervals_is_no_loss(put):
    put("a", p50_s=0.0100, width=0.05)
    put("b", p50_s=0.0106, width=0.05)
    comparison = compare("a", "b", results=put("c").parents[2])
    assert losses(comparison, "slower:1%") == []
    assert losses(comparison, "slower:0%") == []


def test_a_row_that_failed_or_lost_its_number_is_no_pass(put, tmp_path):
    put("a", to="before")
    put("b", to="before")
    put("a", to="after", status="oom", reason="out of memory", minutes=1)
    put("b", to="after", right=None, source="run", minutes=1)
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    with pytest.raises(UserError, match="may not be compared: b: weights run camvid_cpu vs run;"):
        compare(before, after)
    put("c", to="before")
    put("c", to="after", minutes=1)
    found = compare(before, after).losses([LossLimit.parse("miou:0.5")])
    assert [(loss.label, loss.kind) for loss in found] == [("a", "not known"), ("b", "not known")]
    assert "not comparable: oom: measure: out of memory" in found[0].why


def test_where_nothing_was_measured_anew_nothing_passed(put, tmp_path):
    for folder in ("before", "after"):
        put("a", to=folder)
    comparison = compare(results=[str(tmp_path / "before"), str(tmp_path / "after")])
    assert comparison.against[0].same_count == 1
    text = " ".join(shown(comparison, limits=["slower:5%"]).split())
    assert "nothing was measured anew" in text
    assert "not known: pipeline p50: no row was measured anew that could be held" in text


@pytest.mark.parametrize("edited", ["memory_bytes", "p25_s"])
def test_a_record_that_was_edited_is_another(put, tmp_path, edited):
    for folder in ("before", "after"):
        path = put("a", to=folder)
    value = json.loads(path.read_text())
    if edited == "memory_bytes":
        value["memory"]["peak_bytes"] -= 2**20
    else:
        value["speed"]["pipeline"]["p25_s"] *= 0.999
    path.write_text(json.dumps(value))
    (against,) = compare(str(tmp_path / "before"), str(tmp_path / "after")).against
    assert against.same_count == 0
    (pair,) = against.pairs
    assert (pair.first.value("peak_memory_bytes") == pair.second.value("peak_memory_bytes")) == (edited == "p25_s")


def test_dates_alone_are_all_that_stood_then(put, tmp_path, records):
    for minutes, p50_s in ((0, 0.01), (10, 0.02)):
        put("a", p50_s=p50_s, minutes=minutes, key="a" * 32)
    put("b")
    then = records.NOON + timedelta(minutes=5)
    (against,) = compare(f"@{then:%Y-%m-%dT%H:%M}", "@2026-03-01", results=tmp_path / "results").against
    assert [(pair.first.model, pair.measures[1].ratio) for pair in against.pairs] == [("a", pytest.approx(2))]
    assert against.same_count == 1


@pytest.fixture
def devices(put):
    """Six models in two runtimes on two devices; the second ranks them nearly alike."""
    order = dict(zip(MODELS, (1, 2, 3, 5, 4, 6), strict=True))
    for place, model in enumerate(MODELS):
        for runtime in ("eager", "openvino"):
            graph = {"runtime": runtime, "one_graph": runtime == "openvino"}
            put(model, p50_s=0.01 * (1 + place), **graph)
            put(model, p50_s=0.001 * order[model], device="nvidia-h200", kind="cuda", thread_count=16, **graph)


def test_devices_are_ranked_against_each_other(devices, tmp_path):
    comparison = compare("intel-xeon-2c", "nvidia-h200", results=tmp_path / "results")
    (against,) = comparison.against
    assert len(against.pairs) == 12
    pairs = [(i, j) for i in range(12) for j in range(i)]
    one, other = (
        np.array([getattr(pair, side).pipeline_p50_s for pair in against.pairs]) for side in ("first", "second")
    )
    agree = sum(np.sign(one[i] - one[j]) * np.sign(other[i] - other[j]) for i, j in pairs)
    apart = sum(one[i] != one[j] for i, j in pairs)
    assert against.ranks.tau_b == pytest.approx(agree / apart)
    assert (against.ranks.artifact_count, against.ranks.model_count) == (12, 6)
    text = " ".join(shown(comparison).split())
    low, high = against.ranks.interval
    assert f"(Kendall's tau-b): 0.87, 95 % interval {low:.2f} to {high:.2f}, by bootstrap over 6 models (12" in text
    assert "(12 artifacts, 66 pairs within 1 table)" in text
    assert "what differs: device intel-xeon-2c vs nvidia-h200" in text
    values = json.loads(show_comparison(comparison, "json"))
    assert values["against"][0]["rank_correlation"]["model_count"] == 6
    few = compare("intel-xeon-2c", "nvidia-h200", results=tmp_path / "results", models=["a", "b", "c"])
    assert few.against[0].ranks is None
    assert "rank correlation wants 5 models that both measured; there are 3" in " ".join(shown(few).split())


@pytest.mark.parametrize("apart", ["output_size", "input_size", "dataset", "batch_size"])
def test_only_rows_that_may_be_ranked_together_count(apart, put, tmp_path):
    """One half is a hundred times as slow on both devices, and in each the order is reversed."""
    halves = {"output_size": [(256, 512), (512, 1024)], "input_size": [(64, 128), (256, 512)]}
    values = halves.get(apart, [None, "streets"] if apart == "dataset" else [1, 8])
    for scale, value in zip((1, 100), values, strict=True):
        for place, model in enumerate(MODELS):
            for device, order in (("here", 1 + place), ("there", 6 - place)):
                put(model, p50_s=1e-3 * scale * order, device=device, machine_id=device, right=None, **{apart: value})
    (against,) = compare("here", "there", results=tmp_path / "results").against
    assert against.ranks == (-1.0, (-1.0, -1.0), 12, 6, 2, 30)


def test_three_devices_each_against_the_first(devices, put, tmp_path):
    put("a", device="amd-epyc-zen3-2c")
    comparison = compare("intel-xeon-2c", "nvidia-h200", "amd-epyc-zen3-2c", results=tmp_path / "results")
    assert [(one.side, len(one.pairs)) for one in comparison.against] == [("nvidia-h200", 12), ("amd-epyc-zen3-2c", 1)]
    text = shown(comparison)
    assert text.index("nvidia-h200 against intel-xeon-2c") < text.index("amd-epyc-zen3-2c against intel-xeon-2c")


def test_many_rows_against_the_first(put, tmp_path):
    for place, model in enumerate(("a_model_with_a_long_name", "another_model_with_one", "short")):
        for runtime in ("eager", "onnxruntime"):
            put(model, right=0.5 - 0.1 * place, p50_s=0.01 * (1 + place), runtime=runtime, staged=runtime == "eager")
    names = ("a_model_with_a_long_name,runtime=eager", "another_model_with_one,runtime=onnxruntime", "short")
    comparison = compare(*names, results=tmp_path / "results")
    wide, narrow, narrowest = (shown(comparison, width) for width in (200, 80, 50))
    for text, width in ((wide, 200), (narrow, 80), (narrowest, 50)):
        table = [line for line in text.splitlines() if "slower" in line or "─" in line]
        assert len(table) == 3
        assert max(map(len, table)) <= width
        assert "2.00x slower" in text
        assert "3.00x slower" in text
    assert "MiB" not in narrow
    assert "MiB" in wide
    assert "A: a_model_with_a_long_name" in narrowest
    assert "another_model_with_one onnxruntime differs: runtime eager vs onnxruntime" in wide
    values = json.loads(show_comparison(comparison, "json"))
    assert [one["pairs"][0]["second"]["model"] for one in values["against"]] == ["another_model_with_one", "short"]
    assert losses(comparison, "slower:150%") == [("lost", "short eager", "pipeline_p50_s")]


def test_more_rows_than_a_reader_wants_are_counted(put, tmp_path):
    for place in range(SHOWN_PAIRS + 5):
        for folder, minutes in (("before", 0), ("after", 1)):
            put(f"m{place}", to=folder, minutes=minutes)
    text = shown(compare(str(tmp_path / "before"), str(tmp_path / "after")), width=160)
    assert "and 5 more (--format json has all)" in text


def test_what_differs_says_in_how_many(put, tmp_path):
    for place, model in enumerate("abc"):
        put(model, to="before")
        put(model, to="after", minutes=1, torch="2.12.0" if place else "2.11.0", recipe_hash=f"{place}" * 12)
    (against,) = compare(str(tmp_path / "before"), str(tmp_path / "after")).against
    assert against.differs["torch"] == "2.11.0 vs 2.12.0 (in 2 of 3)"
    assert against.differs["recipe hash"] == "in 3 of 3"


def test_long_names_give_way_to_letters(put, tmp_path):
    for name in ("x" * 40, "y" * 40):
        put(name)
    comparison = compare("x" * 40, "y" * 40, results=tmp_path / "results")
    text = shown(comparison)
    assert f"A: {'x' * 40}\nB: {'y' * 40}\n" in text
    assert max(map(len, text.splitlines())) <= 80 + 40, "a note may name them"
