"""`zoo.picker.pick`: one answer, with its reasons, among rows that may be compared."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from zoo.errors import UserError
from zoo.picker.candidates import NothingMeasuredError
from zoo.picker.deciding import Asked
from zoo.picker.pick import pick
from zoo.protocol import SPEED_PROTOCOL
from zoo.record import Mode
from zoo.report.choice import show_choice
from zoo.report.compare import compare
from zoo.score.limits import Limit, parse_latency
from zoo.score.metrics import METRICS
from zoo.score.reading import read_rows, rows_of
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
        ({"limits": ["network<=20ms"]}, "middle"),
        ({"limits": ["network-p99<=20ms"]}, "small"),
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
    older = [one._replace(protocol="zoo-lat/1", key=f"{one.key}-old") for one in rows]
    assert winner(older) == "large"
    measured_again = [one for one in rows if one.model in {"middle", "small"}]
    choice = pick([*older, *measured_again])
    assert choice.winner in measured_again
    assert {loser.row.protocol for loser in choice.losers} == {SPEED_PROTOCOL}
    assert f"rows of zoo-lat/1 are left out: {SPEED_PROTOCOL} measures by other rules" in choice.notes
    assert not pick(rows).warnings


def test_every_loser_says_why(rows):
    choice = pick(rows, max_latency_s=0.030)
    why = {loser.row.model: loser.why for loser in choice.losers}
    assert why == {
        "small": ("mIoU 25.0 % against 42.9 %, whether by more than chance is not known",),
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
    (note,) = choice.notes
    assert note.startswith("tie: b cannot be told from the lowest pipeline p50 (less than 1 % apart); a difference und")
    near = pick(rows, max_latency_s=0.0251)
    assert any("reaches 25.5 ms, over the limit" in note for note in near.notes)
    assert pick(rows).reasons[1] == "lowest pipeline p50: 25.0 ms (of the 3 that tie)"


@pytest.fixture
def counted(records, tmp_path):
    """Save records of 40 images whose counts differ by `better` pixels a class and image."""

    def save_counts(model, better=0, **changes):
        hit = np.random.default_rng(0).integers(2000, 8000, (40, 19)) + better
        miss = 10_000 - hit
        counts = {
            "image_names": np.array([f"street {index}" for index in range(40)]),
            "true_positives": hit.astype(np.int32),
            "false_positives": np.zeros((40, 19), np.int32),
            "false_negatives": miss.astype(np.int32),
        }
        matrix = np.zeros((19, 20), np.int64)
        np.fill_diagonal(matrix, hit.sum(axis=0))
        matrix[:, -1] = miss.sum(axis=0)
        iou = hit.sum() / hit.size / 10_000
        save(records.make(model, matrix=matrix, miou_interval=(iou - 0.02, iou + 0.02), **changes), counts, tmp_path)

    return save_counts


def test_the_last_digit_does_not_choose(counted, tmp_path):
    counted("a", better=1, p50_s=0.0557)  # 0.0001 more: the same weights in a slower runtime
    counted("a", p50_s=0.0418, runtime="openvino")
    choice = pick(tmp_path)
    assert choice.label == "a openvino"
    assert choice.reasons == (
        "mIoU 50.9 %, a tie with the highest: 50.9 % of a eager (2 of 2 rows qualify)",
        "lowest pipeline p50: 52.2 ms (of the 2 that tie)",
    )
    (loser,) = choice.losers
    assert loser.kind == "tie"
    assert re.fullmatch(r"mIoU \S+ %, a tie with \S+ %; pipeline p50 69\.6 ms, behind 52\.\d ms", loser.why[0])
    assert "less than 0.1 points apart" in choice.notes[0]


@pytest.mark.parametrize("better", [0, 1, 50])
def test_pick_and_compare_mean_the_same_by_a_tie(counted, tmp_path, better):
    counted("slow", better, p50_s=0.080)
    counted("fast", 0, p50_s=0.010)
    tied = compare("slow", "fast", results=tmp_path).pairs[0].paired.verdict == "tie"
    assert tied == (better < 50), "50 of 10,000 pixels on every image: small beside both intervals, and no chance"
    choice = pick(tmp_path)
    assert choice.winner.model == ("fast" if tied else "slow")
    assert choice.losers[0].kind == ("tie" if tied else "behind")
    rows = read_rows(tmp_path).rows
    assert pick(rows).winner.model == "fast", "rows alone have only their intervals, which overlap"


@pytest.mark.parametrize(
    ("asked", "latency"),
    [
        ({"at": "10hz"}, "pipeline_p99_s"),
        ({"limits": ["memory<=2GiB", "p99<=100ms"]}, "pipeline_p99_s"),
        ({"limits": ["network<=90ms"]}, "latency_p50_s"),
        ({"objective": "p99"}, "pipeline_p99_s"),
        ({"objective": "p99", "limits": ["latency<=90ms"]}, "pipeline_p99_s"),
        ({"objective": "iou.class 3", "limits": ["p90<=90ms"]}, "pipeline_p90_s"),
        ({"objective": "params"}, "pipeline_p50_s"),
        ({}, "pipeline_p50_s"),
    ],
)
def test_one_latency_decides_and_nothing_beats_the_winner_in_what_decided(records, asked, latency):
    """Ties and the Pareto set are of the latency that is asked for, whatever the numbers are."""
    random = np.random.default_rng(0)
    made = [row(records.make(f"m{place}", right=0.5, miou_interval=(0.3, 0.4))) for place in range(7)]
    latencies = ("pipeline_p50_s", "pipeline_p90_s", "pipeline_p99_s", "latency_p50_s")
    beaten_by_another = decided = 0
    for _ in range(60):
        rows = []
        for one in made:
            times = dict(zip(latencies, random.integers(10, 20, 4) / 1000, strict=True))
            miou = 0.33 + random.integers(6) / 100
            spans = {"miou": (miou - 0.02 * random.random(), miou + 0.02 * random.random())}
            spans |= {key: (0.99 * times[key], 1.01 * times[key]) for key in ("pipeline_p50_s", "latency_p50_s")}
            memory = float(random.integers(3, 9)) * 2**24
            class_iou = {**one.class_iou, "class 3": miou}
            numbers = one.having(miou=miou, peak_memory_bytes=memory, **times)
            rows.append(numbers._replace(intervals={**one.intervals, **spans}, class_iou=class_iou))
        choice = pick(rows, **asked)
        keys = [metric.key for metric in choice.axes]
        assert latency in keys or asked.get("objective") == "params"
        assert not set(latencies) & set(keys) - {latency}
        assert choice.winner in choice.front
        assert "→ " in show_choice(choice, width=200).partition("Pareto set")[2] or len(choice.front) == 1
        decided += any(f"{metric.title}:" in reason for metric in choice.axes for reason in choice.reasons[1:])
        better = [one for one in rows if one.miou >= choice.winner.miou]
        others = set(latencies) - {latency}
        beaten_by_another += any(one.value(key) < choice.winner.value(key) for one in better for key in others)
    assert decided
    assert beaten_by_another, "or the latency would make no difference"


def test_a_latency_is_of_a_whole_call_and_no_other_milliseconds_are():
    """Of every metric in ms, made best or held to a limit: stages and lateness leave ties to the pipeline."""
    timed = {key: metric for key, metric in METRICS.items() if metric.unit == "ms"}
    whole = {key for key, metric in timed.items() if metric.title.startswith(("pipeline p", "network p"))}
    assert {"copy_in_s", "preprocess_s", "lateness_p50_s", "lateness_max_s"} <= timed.keys() - whole
    for key, metric in timed.items():
        meant = key if key in whole else "pipeline_p50_s"
        assert Asked((), metric).latency.key == meant
        assert Asked((Limit(METRICS["miou"], 0.1), Limit(metric, 1.0)), METRICS["miou"]).latency.key == meant


def test_the_winner_is_of_the_set_even_where_it_was_never_timed(records):
    rows = rows_of(
        [records.make("counted", right=0.9, timed=False), *(records.make(name, right=0.3) for name in ("a", "b"))]
    )
    choice = pick(rows)
    assert choice.winner.model == "counted"
    assert choice.front[-1] is choice.winner
    assert "→ counted" in show_choice(choice, width=200).partition("Pareto set")[2]


def ever_faster(records, known):
    """Rows by model of the share that is right and mIoU's interval, each 10 ms faster than the one before."""
    return [
        row(records.make(name, right=right, miou_interval=interval, p50_s=0.03 - 0.01 * place))
        for place, (name, (right, interval)) in enumerate(known.items())
    ]


def test_what_ties_with_the_best_does_not_beat_what_is_better_in_all(records):
    known = {"best": (0.60, (0.420, 0.440)), "unsure": (0.58, (0.40, 0.425)), "sure": (0.59, (0.417, 0.419))}
    rows = ever_faster(records, known)
    choice = pick(rows)
    assert choice.winner.model == "sure"
    assert choice.reasons[0].startswith("mIoU 41.9 %, no worse than a tie with the highest: 42.9 % of best (")
    assert "tie: best, unsure cannot be told from the highest mIoU" in choice.notes[0]
    assert "sure is 1.0 points of mIoU behind the highest; one seed, these weights" in choice.notes


def test_memory_decides_where_latency_ties_too(records):
    make = records.make
    rows = [
        row(make("a", p50_s=0.0200, memory_bytes=900 * 2**20)),
        row(make("b", p50_s=0.0201, memory_bytes=100 * 2**20)),
        row(make("c", p50_s=0.0300, memory_bytes=50 * 2**20)),
    ]
    choice = pick(rows)
    assert choice.winner.model == "b"
    assert choice.reasons[1:] == (
        "pipeline p50 25.1 ms, a tie with the lowest: 25.0 ms of a (of the 3 that tie)",
        "lowest peak memory: 100 MiB (of the 2 that tie)",
    )
    assert {loser.label: loser.why[0].partition("; ")[2] for loser in choice.losers} == {
        "a": "peak memory 900 MiB, behind 100 MiB",
        "c": "pipeline p50 37.5 ms, behind 25.0 ms",
    }


def test_a_tie_is_one_with_the_best_since_ties_do_not_add_up(records):
    known = {"best": (0.60, (0.415, 0.445)), "near": (0.58, (0.40, 0.42)), "far": (0.56, (0.38, 0.405))}
    rows = ever_faster(records, known)
    choice = pick(rows)
    assert choice.winner.model == "near", "far ties with near alone"
    assert {loser.label: loser.kind for loser in choice.losers} == {"best": "tie", "far": "behind"}


@pytest.mark.parametrize(
    ("objective", "changes"),
    [
        ("latency", {"p50_s": 0.02002, "right": 0.7}),
        ("memory", {"memory_bytes": 301 * 2**20, "right": 0.7}),
        ("params", {"param_count": 30_000_001, "p50_s": 0.01}),
    ],
)
def test_every_objective_leaves_ties_to_what_comes_next(records, objective, changes):
    rows = [row(records.make("a")), row(records.make("b", **changes))]
    choice = pick(rows, objective=objective)
    assert choice.winner.model == "b"
    assert choice.losers[0].kind == "tie"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"min_miou": 0.41}, "the 95 % interval of mIoU reaches down to 40.0 %, under the limit"),
        ({"min_miou": 0.39}, None),
        ({"max_latency_s": 0.0255}, None),
        ({"max_latency_s": 0.0251}, "the 95 % interval of pipeline p50 reaches 25.2 ms, over the limit"),
    ],
)
def test_a_limit_is_held_against_the_end_that_breaks_it(records, limits, words):
    notes = pick([row(records.make(right=0.6, miou_interval=(0.40, 0.46)))], **limits).notes
    assert [note for note in notes if "reaches" in note] == ([words] if words else [])


def test_a_floor_is_held_against_the_spread_over_seeds(records):
    rows = [row(records.make(right=right, seed=seed)) for seed, right in enumerate((0.60, 0.50))]
    notes = pick(rows, min_miou=0.35).notes
    assert "the spread over seeds of mIoU reaches down to 31.4 %, under the limit" in notes
    assert not any("reaches" in note for note in pick(rows, min_miou=0.30).notes)


@pytest.mark.parametrize(
    ("objective", "changes", "kind"),
    [
        ("miou", {"right": 0.4}, "unknown"),
        ("latency", {"p50_s": 0.03}, "behind"),
        ("memory", {"memory_bytes": 400 * 2**20}, "behind"),
        ("params", {"param_count": 40_000_000}, "behind"),
    ],
)
def test_what_has_no_interval_is_not_behind_unless_it_is_a_count(records, objective, changes, kind):
    (loser,) = pick([row(records.make("a")), row(records.make("b", **changes))], objective=objective).losers
    assert (loser.row.model, loser.kind) == ("b", kind)
    (tail,) = pick([row(records.make("a")), row(records.make("b", p50_s=0.03))], objective="p99").losers
    assert tail.kind == "unknown", "no interval of a p99 is kept"


def test_what_is_said_of_the_next_is_what_is_said_of_it_as_a_loser(records):
    known = {"best": (0.60, (0.420, 0.440)), "near": (0.58, (0.40, 0.425)), "far": (0.59, (0.417, 0.419))}
    rows = [
        row(records.make(name, right=right, miou_interval=interval, p50_s=p50_s))
        for (name, (right, interval)), p50_s in zip(known.items(), (0.03, 0.01, 0.02), strict=True)
    ]
    assert pick(rows).winner.model == "near"
    assert "far is 1.0 points of mIoU behind the highest; one seed, these weights" in pick(rows).notes
    other = row(records.make("other", right=0.59))
    (note,) = (note for note in pick([rows[0], other]).notes if note.startswith("other"))
    assert note == (
        "other is 1.0 points of mIoU below the highest, whether by more than chance is not known; "
        "one seed, these weights"
    )


def test_what_decides_among_ties_is_said_to_be_unknown_where_it_is(records):
    rows = [
        row(records.make("best", miou_interval=(0.42, 0.44))),
        row(records.make("network", miou_interval=(0.42, 0.44))).having(pipeline_p50_s=None),
        row(records.make("unheld", right=0.3)),
    ]
    why = {loser.row.model: loser.why for loser in pick(rows, objective="params").losers}
    tied = "parameters 30.0 M, a tie with 30.0 M; "
    assert why == {
        "network": (f"{tied}pipeline p50 is not known",),
        "unheld": (f"{tied}mIoU 17.7 % against 33.4 %, whether by more than chance is not known",),
    }


def test_many_losers_are_a_line(records):
    rows = [row(records.make("best", right=0.9, miou_interval=(0.80, 0.84)))]
    rows += [row(records.make(f"m{index}", right=0.5, miou_interval=(0.3, 0.4), minutes=index)) for index in range(33)]
    rows += [row(records.failed(f"f{index}", reason="too slow")) for index in range(5)]
    choice = pick(rows)
    text = show_choice(choice, width=80)
    assert len(text.partition("why not the others:")[2].splitlines()) < 8
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert "33 others are behind; each: mIoU 33.4 %, behind 82.0 %" in words
    assert "5 others are not ok; each: timeout: measure: too slow" in words
    assert "--explain names each" in words
    assert show_choice(choice, explain=True, width=200).count(": mIoU 33.4 %, behind 82.0 %") == 33
    assert len(json.loads(show_choice(choice, "json"))["losers"]) == 38


def test_the_newest_version_of_a_dataset_is_taken_and_another_can_be_named(records):
    rows = [
        row(records.make("old", right=0.8, fingerprint="0123456789abcdef")),
        row(records.make("new", fingerprint="fedcba9876543210", minutes=5)),
    ]
    choice = pick(rows)
    assert choice.winner.model == "new"
    assert "streets@fedcba98; name another with --dataset (streets@01234567)" in choice.notes[0]
    assert winner(rows, dataset="streets") == "new"
    assert winner(rows, dataset="streets@0123") == "old"
    assert pick(rows, dataset="streets@0123").notes == pick(rows[:1]).notes
    elsewhere = row(records.make("gpu", device="nvidia-h200", fingerprint="fedcba9876543210"))
    with pytest.raises(UserError) as caught:
        pick([rows[0], elsewhere])
    assert str(caught.value).endswith(
        "device is intel-xeon-2c or nvidia-h200; dataset is streets@01234567 or streets@fedcba98; "
        "choose one, such as with --device intel-xeon-2c"
    )


def test_an_image_more_is_a_version_too_and_a_part_of_the_images_is_none(records):
    old, new = (
        row(records.make(model, fingerprint=fingerprint, minutes=minutes))
        for model, fingerprint, minutes in (("old", "0123456789abcdef", 0), ("new", "fedcba9876543210", 5))
    )
    grown = new._replace(image_count=new.image_count + 1)
    choice = pick([old, grown])
    assert choice.winner.model == "new"
    assert "streets@fedcba98; name another with --dataset (streets@01234567)" in choice.notes[0]
    assert winner([old, grown], dataset="streets@01234567") == "old"
    part = new._replace(image_count=2, image_limit=2)
    with pytest.raises(UserError, match=r"image count is 16 or 2; .*choose one, such as with"):
        pick([old, part])


def test_rows_without_a_dataset_are_named_by_what_takes_them(records):
    rows = [
        row(records.make("fast", right=None, dataset=None, recipe="none", recipe_hash=None)),
        row(records.make("a")),
    ]
    with pytest.raises(UserError, match=r"dataset is none or streets@.*choose one, such as with --dataset none$"):
        pick(rows, objective="latency")
    assert winner(rows, objective="latency", dataset="none") == "fast"


def test_smoke_tests_can_be_left_out_and_models_named(records):
    rows = [row(records.make("a")), row(records.make("b", right=0.9)), row(records.make("c", right=0.95, quick=True))]
    assert winner(rows, models=["a", "c*"]) == "a"
    assert winner(rows, models=["c"]) == "c"
    with pytest.raises(UserError, match=r"no record with model 'c'. "):
        pick(rows, models=["c"], quick=False)
    with pytest.raises(UserError, match="no record that is asked for is a full run; `zoo leaderboard`"):
        pick(rows[2:], quick=False)


def test_a_tie_of_miou_is_named(records):
    rows = [
        row(records.make("a", right=0.60, miou_interval=(0.40, 0.46))),
        row(records.make("b", right=0.59, miou_interval=(0.39, 0.45))),
        row(records.make("c", right=0.30, miou_interval=(0.17, 0.20))),
    ]
    choice = pick(rows)
    assert choice.notes[0].startswith("tie: b cannot be told from the highest mIoU (the 95 % interval);")
    assert [loser.why for loser in choice.losers] == [
        ("mIoU 41.9 %, a tie with 42.9 %, as in all else that decides",),
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
    assert choice.notes[0].startswith("tie: lucky cannot be told from the highest mIoU (the spread over seeds);")
    assert "far is 24.9 points of mIoU behind the highest; a mean of 2 seeds, these weights" in choice.notes
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


def test_what_is_to_be_measured_is_what_would_count(records):
    """A smoke test, which `zoo bench` is, would be left out beside full rows."""
    full = row(records.make("a", samples=20))
    with pytest.raises(
        UserError, match=r"no record knows its pipeline p99; measure with `zoo bench --models a --data DIR --preset "
    ):
        pick([full], at=5)
    with pytest.raises(UserError, match=r"no record knows its pipeline p99; measure with `zoo bench --rate 5hz`$"):
        pick([row(records.make("a", samples=20, quick=True))], at=5)
    with pytest.raises(
        UserError, match=r"; measure with `zoo bench --models a --data DIR --preset camvid --rate RATE`$"
    ):
        pick([full], limits=["missed<=1%"])
    with pytest.raises(UserError, match=r"; measure with `zoo bench --models a --preset camvid --rate 5hz`$"):
        pick([row(records.make("a", samples=20, right=None, dataset=None))], at=5, objective="latency")


def test_a_smoke_test_never_stands_in_for_a_full_run(records):
    rows = [row(records.make("a", right=None)), row(records.make("b", quick=True))]
    with pytest.raises(UserError, match="no full record knows its mIoU; choose by something else with --minimize"):
        pick(rows)
    assert winner(rows, objective="latency") == "a"
    failed = [row(records.failed("a")), rows[1]]
    with pytest.raises(UserError, match=r"no full record is ok here; timeout: .*; `zoo leaderboard` names all"):
        pick(failed)
    elsewhere = [row(records.make("a", device="nvidia-h200")), rows[1]]
    assert winner(elsewhere, device="intel-xeon-2c") == "b", "what is filtered out is no full run"


def test_what_may_not_be_compared_is_not(records, rows):
    elsewhere = [row(records.make("gpu", device="nvidia-h200", batch_size=2))]
    with pytest.raises(
        UserError,
        match="device is intel-xeon-2c or nvidia-h200; batch size is 1 or 2; choose one, such as with --device intel-x",
    ):
        pick(rows + elsewhere)
    assert winner(rows + elsewhere, device="nvidia-h200") == "gpu"
    batches = [row(records.make("batch", batch_size=8))]
    with pytest.raises(UserError, match="batch size is 1 or 8; choose one, such as with --batch 1"):
        pick(rows + batches)
    assert winner(rows + batches, batch_size=8) == "batch"
    for changes, words in (
        ({"thread_count": 1}, "thread count is 2 or 1; choose one, such as with --threads 2"),
        ({"resize": "stretch"}, "resize is fit or stretch; choose one, such as with --resize fit"),
    ):
        other = [row(records.make("other", **changes))]
        with pytest.raises(UserError, match=words):
            pick(rows + other)
        assert winner(rows + other, **changes) == "other"
    outputs = [row(records.make("output", output_size=(64, 64)))]
    with pytest.raises(UserError, match="is 512x1024 or 64x64; choose one, such as with --where output_size=512x1024"):
        pick(rows + outputs)


def test_an_unknown_objective(rows):
    with pytest.raises(UserError, match=r"no metric 'latancy'. Did you mean 'latency'\? Allowed: miou, "):
        pick(rows, objective="latancy")


def test_a_baseline_alone_is_nothing_to_pick_from(records):
    with pytest.raises(UserError, match="no model is measured yet, only the baseline; measure some with `zoo bench"):
        pick([row(records.baseline())])


def test_rows_without_the_number_say_how_to_get_it(records):
    with pytest.raises(
        UserError, match=r"no record knows its mIoU; choose by something else with --minimize \(latency, "
    ):
        pick([row(records.make("a", right=None))])
    with pytest.raises(UserError, match=r"no record knows its mIoU; train with `zoo train"):
        pick([row(records.make("a", right=None))], objective="latency", min_miou=0.3)
    with pytest.raises(UserError, match=r"knows its mIoU; take what others state of these networks with --accept pub"):
        pick([row(records.make("unet_resnet18", right=None, dataset=None))])
    with pytest.raises(
        UserError, match=r"knows its mIoU, file; train with `zoo train MODEL --data DIR` or name weights"
    ):
        pick([row(records.make("unet_resnet18", right=None, dataset=None))], limits=["file<=10MiB"])
    with pytest.raises(UserError, match=r"no record is ok here"):
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
    assert "streets · weights run camvid_cpu)" in show_choice(pick(artifacts)), "several sizes: the labels name them"


def test_a_winner_that_loses_accuracy_says_so(artifacts):
    note, classes = [note for note in pick(artifacts, objective="latency").notes if "loses" in note]
    assert note == "it loses 9.5 points of the mIoU it has in fp32, more than 1% of it"
    assert classes.startswith(
        "it loses points of IoU against fp32 on class 0 (9.5), class 1 (9.5), class 2 (9.5) and 16 "
    )
    assert classes.endswith("; --max class-loss=2 leaves such rows out")
    assert not any("it has in fp32" in note for note in pick(artifacts, max_latency_s=0.020).notes)
    alone = [row for row in artifacts if row.precision == "int8"]
    assert not any("not held" in note for note in pick(alone).notes), "its loss is known from where it was read"


def test_a_winner_nobody_checked_says_so(records):
    choice = pick([row(records.make("a", right=None, precision="bf16"))], objective="latency")
    assert "its mIoU was not held against fp32" in choice.notes


@pytest.mark.parametrize("asked", [{}, {"device": "x"}, {"dataset": "x"}, {"models": "unet"}])
def test_of_no_rows_nothing_was_measured(asked):
    with pytest.raises(NothingMeasuredError, match="no model is measured yet"):
        pick([], **asked)


def test_one_word_stands_for_a_list_of_one(artifacts):
    listed = pick(artifacts, limits=["latency<=50ms"], models=["*"], accept=["published"])
    assert pick(artifacts, limits="latency<=50ms", models="*", accept="published").winner == listed.winner


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
        ("p90: 0.5 s", ("pipeline_p90_s", 0.5)),
        ("25 ms", ("pipeline_p50_s", 0.025)),
        ("network:0.025", ("latency_p50_s", 0.025)),
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
        limit = parse_latency(text)
        assert limit.metric.key == expected[0]
        assert limit.value == pytest.approx(expected[1])


def test_what_lacks_a_number_breaks_no_limit(records):
    rows = rows_of([records.make("a"), *(records.make(name, right=None) for name in "bcde")])
    choice = pick(rows)
    assert {loser.kind for loser in choice.losers} == {"lacking"}
    said = " ".join(show_choice(choice).split())
    assert "4 others lack a number that is asked for; each: mIoU is not known; `zoo " in said
    kinds = {loser.label: loser.kind for loser in pick(rows, limits=["latency<=1ms", "miou>=1%", "miou>=2%"]).losers}
    assert set(kinds.values()) == {"limit"}, "they break another"
    kinds = {loser.label: loser.kind for loser in pick(rows, limits=["latency<=1s", "miou>=1%", "miou>=2%"]).losers}
    assert set(kinds.values()) == {"lacking"}


@pytest.mark.parametrize(
    ("asked", "unknown"),
    [
        ({"device": "x", "precision": "int8"}, "int9"),
        ({"device": "x", "models": ["b"]}, "bee"),
        ({"models": ["a"], "runtime": "openvino"}, "openvimo"),
        ({"precision": ["fp32"], "runtime": "openvino"}, "open"),
    ],
)
def test_what_was_never_measured_together_is_no_mistake_and_what_nobody_has_is(records, asked, unknown):
    rows = rows_of([records.make("a", device="x"), records.make("b", device="y", precision="int8", runtime="openvino")])
    with pytest.raises(NothingMeasuredError, match="no record with "):
        pick(rows, **asked)
    last = list(asked)[-1]
    with pytest.raises(UserError, match=f"no record with .*'{unknown}'") as raised:
        pick(rows, **asked | {last: [unknown]})
    assert not isinstance(raised.value, NothingMeasuredError)


def test_two_recipes_of_a_model_are_two_candidates_named_by_their_weights(records):
    known = {"": (0.60, (0.42, 0.44)), "long": (0.61, (0.425, 0.445)), "zh320": (0.5, (0.30, 0.36))}
    rows = [
        row(records.make("unet", right=right, miou_interval=interval, p50_s=0.02 + 0.01 * place, **changes))
        for place, ((right, interval), changes) in enumerate(
            zip(
                known.values(),
                ({}, {"recipe": "long", "recipe_hash": "0" * 12}, {"source": "published", "tag": "zh320"}),
                strict=True,
            )
        )
    ]
    choice = pick(rows)
    assert choice.label == "unet run camvid_cpu"
    assert choice.reasons[0].endswith("a tie with the highest: 44.0 % of unet run long (3 of 3 rows qualify)")
    assert choice.notes[0].startswith("tie: unet run long cannot be told from the highest mIoU")
    assert {loser.label: loser.kind for loser in choice.losers} == {
        "unet run long": "tie",
        "unet published zh320": "behind",
    }
    text = show_choice(choice)
    assert text.startswith("unet run camvid_cpu (intel-xeon-2c · streets · input 256x512)\n")
    assert pick(rows, weights="published").winner is rows[2]
    assert pick(rows, recipe="long").winner is rows[1]


def test_other_ways_of_reading_a_frame_take_part_where_they_are_asked_for(records):
    mode = Mode(scales=(0.75, 1.0), flip=True)
    rows = [row(records.make("a", right=0.5)), row(records.make("b", right=0.9, mode=mode, timed=False))]
    choice = pick(rows)
    assert choice.winner.model == "a"
    assert choice.notes[0] == (
        "rows scored by scales 0.75 1 + flip are left out: frames are read whole; name another with --where mode=…"
    )
    other = pick(rows, mode="scales 0.75 1 + flip")
    assert other.winner.model == "b"
    assert not any("left out" in note for note in other.notes)
    head = "b (intel-xeon-2c · streets · scales 0.75 1 + flip · weights run camvid_cpu · "
    assert " ".join(show_choice(other).split()).startswith(head)
    assert winner(rows[1:]) == "b", "where there are no others"


def test_a_row_that_was_scored_alone_keeps_no_limit_on_latency(records):
    rows = [row(records.make("a", right=0.5)), row(records.make("b", right=0.9, timed=False))]
    assert "mIoU 82.0 %, pipeline p50 n/a" in show_choice(pick(rows))
    choice = pick(rows, max_latency_s=1.0)
    assert choice.winner.model == "a"
    assert choice.losers[0].why == ("pipeline p50 is not known",)
    assert choice.losers[0].kind == "lacking"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"price": -1, "objective": "cost"}, "a price is what an hour of the machine costs"),
        ({"price": float("nan")}, "a price is what an hour of the machine costs"),
        ({"price": "cheap"}, "a price is what an hour of the machine costs"),
        ({"max_latency_s": float("nan")}, "max_latency_s is a number in SI units, or text with its unit; got nan"),
        ({"max_latency_s": -1.0}, "max_latency_s is a number in SI units"),
        ({"max_memory_bytes": float("inf")}, "max_memory_bytes is a number in SI units"),
        ({"min_miou": 40}, "min_miou is a fraction, such as 0.4, or text with its unit; got 40"),
        ({"min_miou": "much"}, "mIoU: a share is a fraction"),
        ({"min_miou": [0.4]}, "min_miou is a fraction"),
        ({"limits": ["missed<=0.5"]}, "missed deadlines: 0.5 may be percent or a share; write 0.5% or 50%"),
        ({"limits": ["miou>=1"]}, "mIoU: 1 may be one percent or all; write 1% or 100%"),
    ],
)
def test_what_a_script_asks_is_as_plain_as_what_a_person_types(records, asked, said):
    with pytest.raises(UserError, match=re.escape(said)):
        pick([row(records.make())], **asked)


def test_a_script_may_name_several_values_in_a_tuple_and_units_in_text(records):
    rows = [row(records.make(model, device=device)) for model, device in (("a", "x"), ("a", "y"), ("b", "x"))]
    assert pick(rows, device=("x", "y"), runtime=("eager", "eager")).winner.model == "a"
    assert pick(rows, device=("x",), input_size=(256, 512)).winner.input_size == (256, 512)
    assert pick(rows, device="x", input_size=[(256, 512)], min_miou="30%", max_memory_bytes="1GiB").winner is not None
    assert pick(rows, device="x", price="2.49/h", objective="cost").winner.value("cost") > 0
    with pytest.raises(UserError, match="made of a results folder or of rows; got DataFrame: name it"):
        pick(pd.DataFrame([row(records.make()).as_dict()]))
