"""`zoo.picker`: one answer, with its reasons, among rows that may be compared."""

from __future__ import annotations

import dataclasses
import json

import pytest

from zoo.errors import UserError
from zoo.picker import parse_bytes, parse_count, parse_latency, parse_share, pick
from zoo.report.choice import show_choice
from zoo.score.reading import rows_of
from zoo.score.rows import row
from zoo.store import save


@pytest.fixture
def rows(records):
    make = records.make
    return [
        row(record)
        for record in (
            make("small", right=0.4, p50_s=0.008, param_count=2_000_000, memory_bytes=100 * 2**20),
            make("middle", right=0.6, p50_s=0.020, param_count=10_000_000, memory_bytes=300 * 2**20),
            make("large", right=0.7, p50_s=0.080, param_count=60_000_000, memory_bytes=900 * 2**20),
            records.failed("broken", status="oom", reason="too big"),
            records.baseline(right=0.9),
        )
    ]


def winner(rows, **limits):
    choice = pick(rows, **limits)
    return choice.winner and choice.winner.model


@pytest.mark.parametrize(
    ("limits", "model"),
    [
        ({}, "large"),
        ({"max_latency_s": 0.025}, "middle"),  # pipeline p50 is 1.25 times the network's
        ({"max_latency_s": 0.0249}, "small"),
        ({"max_latency_s": 0.020, "latency": "latency_p50_s"}, "middle"),
        ({"max_latency_s": 0.020, "latency": "latency_p99_s"}, "small"),
        ({"max_memory_bytes": 300 * 2**20}, "middle"),
        ({"max_param_count": 5e6}, "small"),
        ({"objective": "latency"}, "small"),
        ({"objective": "latency", "min_miou": 0.4}, "middle"),
        ({"objective": "memory", "min_miou": 0.5}, "large"),
        ({"objective": "params"}, "small"),
        ({"max_latency_s": 0.001}, None),
        ({"min_miou": 0.99}, None),
    ],
)
def test_the_best_within_the_limits(rows, limits, model):
    assert winner(rows, **limits) == model


def test_rows_of_older_rules_take_part_where_there_are_no_others(rows):
    older = [dataclasses.replace(one, protocol="zoo-lat/1", key=f"{one.key}-old") for one in rows]
    assert winner(older) == "large"
    measured_again = [one for one in rows if one.model in {"middle", "small"}]
    choice = pick([*older, *measured_again])
    assert choice.winner in measured_again
    assert {loser.row.protocol for loser in choice.losers} == {"zoo-lat/2"}
    assert choice.warnings == ("rows of zoo-lat/1 are left out: zoo-lat/2 measures by other rules",)
    assert not pick(rows).warnings


def test_every_loser_says_why(rows):
    choice = pick(rows, max_latency_s=0.030)
    why = {loser.row.model: loser.why for loser in choice.losers}
    assert why == {
        "small": ("mIoU 25.0 %, behind 42.9 %",),
        "large": ("pipeline p50 100 ms > 30.0 ms (233% off)",),
        "broken": ("oom: measure: too big",),
    }
    assert choice.reasons == ("highest mIoU: 42.9 % (2 of 4 rows qualify)", "pipeline p50 ≤ 30.0 ms: 25.0 ms")


def test_nothing_qualifies_names_the_nearest(rows):
    choice = pick(rows, max_latency_s=0.008, min_miou=0.2)
    assert choice.winner is None
    assert [loser.row.model for loser in choice.near_misses] == ["small", "middle", "large"]
    assert choice.near_misses[0].why == ("pipeline p50 10.0 ms > 8.00 ms (25% off)",)
    text = show_choice(choice)
    assert text.startswith("nothing qualifies")
    assert "broken: oom" in text


def test_the_baseline_never_wins_but_is_mentioned(rows):
    choice = pick(rows)
    assert choice.winner.model == "large"
    assert all(not loser.row.baseline for loser in choice.losers)
    assert any("under the baseline's 82.0 %" in note for note in choice.notes)


def test_no_limit_is_kept_by_an_unknown_number(records):
    unscored = row(records.make("unscored", right=None))
    scored = row(records.make("scored", right=0.3, recipe="none", recipe_hash=None))
    choice = pick([unscored, scored])
    assert choice.winner.model == "scored"
    assert [loser.why for loser in choice.losers] == [("mIoU is not known",)]


def test_ties_are_named(records):
    rows = [
        row(records.make("a", p50_s=0.0200, width=0.02)),
        row(records.make("b", p50_s=0.0202, width=0.02)),
        row(records.make("c", p50_s=0.0300, width=0.02)),
    ]
    choice = pick(rows, objective="latency")
    assert choice.winner.model == "a"
    assert "tie: the 95 % interval of pipeline p50 overlaps with b" in choice.notes
    near = pick(rows, max_latency_s=0.0251)
    assert any("reaches 25.5 ms, over the limit" in note for note in near.notes)
    assert "equal mIoU: b, c; the lower latency decided" in pick(rows).notes


def test_a_tie_of_miou_is_named(records):
    rows = [
        row(records.make("a", right=0.60, miou_interval=(0.40, 0.46))),
        row(records.make("b", right=0.59, miou_interval=(0.39, 0.45))),
        row(records.make("c", right=0.30, miou_interval=(0.17, 0.20))),
    ]
    choice = pick(rows)
    assert "tie: the 95 % interval of mIoU overlaps with b" in choice.notes
    assert [loser.why for loser in choice.losers] == [
        ("mIoU 41.9 %, a tie with 42.9 %",),
        ("mIoU 17.7 %, behind 42.9 %",),
    ]
    assert "mIoU 42.9 [40.0, 46.0] %" in show_choice(choice)


def test_seeds_are_picked_by_their_mean(records):
    rights = {"steady": (0.60, 0.60), "lucky": (0.70, 0.40), "far": (0.30, 0.31)}
    rows = [
        row(records.make(name, right=right, seed=seed)) for name in rights for seed, right in enumerate(rights[name])
    ]
    choice = pick(rows)
    assert (choice.winner.model, choice.winner.seed_count) == ("steady", 2)
    assert "tie: the spread over seeds of mIoU overlaps with lucky" in choice.notes
    assert "lucky is 3.4 points of mIoU behind; a mean of 2 seeds, these weights" in choice.notes
    assert "steady (" in show_choice(choice)
    assert "mIoU 42.9 ± 0.0 %" in show_choice(choice)


def test_a_split_that_shares_sequences_is_named(records):
    choice = pick([row(records.make(shared_sequences=("cam0016e5",)))])
    assert "val shares the sequence cam0016e5 with training: its mIoU is optimistic" in choice.notes


def test_quick_rows_only_when_there_is_nothing_else(records, rows):
    quick = [row(records.make(name, right=0.95, quick=True, step_count=5)) for name in ("fast", "other")]
    assert winner(rows + quick) == "large"
    choice = pick(quick)
    assert choice.quick
    lines = show_choice(choice).splitlines()
    assert len(lines) > 3
    assert all("quick" in line for line in lines)
    nothing = show_choice(pick(quick, max_latency_s=1e-6)).splitlines()
    assert all("quick" in line for line in nothing)
    assert "quick" not in show_choice(pick(rows + quick))


def test_a_smoke_test_never_stands_in_for_a_full_run(records):
    rows = [row(records.make("a", right=None)), row(records.make("b", quick=True))]
    with pytest.raises(UserError, match="no full record has a mIoU; train with"):
        pick(rows)
    assert winner(rows, objective="latency") == "a"
    failed = [row(records.failed("a")), rows[1]]
    with pytest.raises(UserError, match="no full record here is ok; see `zoo leaderboard`"):
        pick(failed)
    elsewhere = [row(records.make("a", device="nvidia-h200")), rows[1]]
    assert winner(elsewhere, device="intel-xeon-2c") == "b", "what is filtered out is no full run"


def test_what_may_not_be_compared_is_not(records, rows):
    elsewhere = [row(records.make("gpu", device="nvidia-h200", batch_size=2))]
    with pytest.raises(
        UserError,
        match="device is intel-xeon-2c or nvidia-h200; batch size is 1 or 2; choose one with --device, --batch",
    ):
        pick(rows + elsewhere)
    assert winner(rows + elsewhere, device="nvidia-h200") == "gpu"
    batches = [row(records.make("batch", batch_size=8))]
    with pytest.raises(UserError, match="batch size is 1 or 8; choose one with --batch"):
        pick(rows + batches)
    assert winner(rows + batches, batch_size=8) == "batch"
    for changes, words in (
        ({"thread_count": 1}, "thread count is 2 or 1; choose one with --threads"),
        ({"resize": "stretch"}, "resize is fit or stretch; choose one with --resize"),
    ):
        other = [row(records.make("other", **changes))]
        with pytest.raises(UserError, match=words):
            pick(rows + other)
        assert winner(rows + other, **changes) == "other"
    outputs = [row(records.make("output", output_size=(64, 64)))]
    with pytest.raises(UserError, match="output size is 512x1024 or 64x64; keep one kind in its own folder"):
        pick(rows + outputs)


def test_an_unknown_objective(rows):
    with pytest.raises(UserError, match=r"no objective 'latancy'. Did you mean 'latency'\? Allowed: miou, latency"):
        pick(rows, objective="latancy")
    with pytest.raises(UserError, match=r"no latency 'latency_p95_s'. Did you mean 'latency_p9"):
        pick(rows, latency="latency_p95_s")
    with pytest.raises(UserError, match="no latency 'miou'"):
        pick(rows, latency="miou", max_latency_s=1)


def test_a_baseline_alone_is_nothing_to_pick_from(records):
    with pytest.raises(UserError, match="no model is measured yet, only the baseline; measure some with `zoo bench"):
        pick([row(records.baseline())])


def test_rows_without_the_number_say_how_to_get_it(records):
    with pytest.raises(UserError, match=r"no record has a mIoU; train with `zoo train"):
        pick([row(records.make("a", right=None))])
    with pytest.raises(UserError, match=r"no record here is ok"):
        pick([row(records.failed("a"))])


def test_several_precisions_are_named(records):
    rows = [row(records.make("a", precision=name, p50_s=p50)) for name, p50 in (("fp32", 0.02), ("bf16", 0.01))]
    choice = pick(rows, objective="latency")
    assert choice.label == "a bf16"
    assert choice.losers[0].label == "a fp32"


@pytest.fixture
def artifacts(records):
    make = records.make
    return rows_of(
        [
            make("a", right=0.60, p50_s=0.040),
            make("a", right=0.55, p50_s=0.010, input_size=(128, 256)),
            make("a", right=0.598, p50_s=0.012, runtime="openvino", one_graph=True),
            make("a", right=0.50, p50_s=0.006, runtime="openvino", precision="int8", one_graph=True),
        ]
    )


def test_all_artifacts_are_considered_and_named(artifacts):
    labels = {loser.label for loser in pick(artifacts).losers}
    assert pick(artifacts).label == "a eager fp32 256x512"
    assert labels == {"a eager fp32 128x256", "a openvino fp32 256x512", "a openvino int8 256x512"}
    assert pick(artifacts, max_latency_s=0.020).label == "a openvino fp32 256x512"
    assert pick(artifacts, max_latency_s=0.020, runtime="eager").label == "a 128x256"
    assert pick(artifacts, precision="int8").label == "a"
    assert pick(artifacts, input_size=(128, 256)).winner.input_size == (128, 256)
    assert "input 256x512)" in show_choice(pick(artifacts, input_size=(256, 512)))
    assert "recipe camvid_cpu)" in show_choice(pick(artifacts)), "several sizes: the labels name them"


def test_a_winner_that_loses_accuracy_says_so(artifacts):
    (note,) = [note for note in pick(artifacts, objective="latency").notes if "loses" in note]
    assert note == "it loses 9.5 points of the mIoU it has in eager fp32, more than 1% of it"
    assert not any("it has in eager fp32" in note for note in pick(artifacts, max_latency_s=0.020).notes)
    alone = [row for row in artifacts if row.precision == "int8"]
    assert not any("not held" in note for note in pick(alone).notes), "its loss is known from where it was read"


def test_a_winner_nobody_checked_says_so(records):
    choice = pick([row(records.make("a", right=None, precision="bf16"))], objective="latency")
    assert "its mIoU was not held against eager fp32" in choice.notes


def test_a_folder_is_read_and_its_bad_files_named(records, tmp_path):
    save(records.make("a"), {}, tmp_path)
    save(records.make("b"), {}, tmp_path).write_text("[]")
    choice = pick(tmp_path)
    assert choice.winner.model == "a"
    assert len(choice.warnings) == 1
    assert json.loads(show_choice(choice, "json"))["winner"]["model"] == "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25ms", ("pipeline_p50_s", 0.025)),
        ("p99:25ms", ("pipeline_p99_s", 0.025)),
        ("p90: 0.5 s", None),
        ("network:p90:0.5s", ("latency_p90_s", 0.5)),
        ("p99.9:50ms", ("pipeline_p999_s", 0.050)),
        ("pipeline:800us", ("pipeline_p50_s", 0.0008)),
        ("25", None),
        ("p95:25ms", None),
        ("0ms", None),
        ("-5ms", None),
        ("1.2.3ms", None),
        ("", None),
    ],
)
def test_parse_latency(text, expected):
    if expected is None:
        with pytest.raises(UserError):
            parse_latency(text)
    else:
        key, seconds = parse_latency(text)
        assert key == expected[0]
        assert seconds == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_bytes, "2GB", 2e9),
        (parse_bytes, "500 MiB", 500 * 2**20),
        (parse_bytes, "1b", 1),
        (parse_count, "10M", 1e7),
        (parse_count, "300000", 3e5),
        (parse_count, "1.5b", 1.5e9),
        (parse_share, "0.7", 0.7),
        (parse_share, "70%", 0.7),
    ],
)
def test_parse_numbers(parse, text, expected):
    assert parse(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_bytes, "500"),
        (parse_bytes, "ib"),
        (parse_bytes, "2GX"),
        (parse_count, "ten"),
        (parse_count, "0"),
        (parse_share, "70"),
        (parse_share, "x"),
    ],
)
def test_parse_nonsense(parse, text):
    with pytest.raises(UserError, match=r"got|not a number above 0"):
        parse(text)
