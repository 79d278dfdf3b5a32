"""`zoo.picker.candidates`: who takes part, who does not and why."""

from __future__ import annotations

import random
from collections import Counter
from itertools import permutations, product

import pytest

from zoo.cli.main import main
from zoo.errors import UserError
from zoo.machine import Named
from zoo.picker import pick as room
from zoo.picker.candidates import NothingMeasuredError, accepting_published
from zoo.picker.pick import BY_LATENCY, FEW, cost_per_million, pick
from zoo.report.choice import show_choice
from zoo.score.commands import how_to_measure
from zoo.score.limits import Limit
from zoo.score.metrics import NO_PRICE
from zoo.score.reading import rows_of
from zoo.score.rows import row
from zoo.score.trust import REMEDIES
from zoo.store import save


def test_every_record_that_takes_no_part_is_counted_once(records):
    make = records.make
    rows = rows_of(
        [
            make("a"),
            make("a", minutes=-5, key="older"),
            make("b", quick=True),
            make("c", dataset=None, right=None, source="random", recipe="none", recipe_hash=None),
            records.baseline(),
        ]
    )
    rows = (*rows, rows[0]._replace(model="old", protocol="zoo-lat/1", key="old"))
    choice = pick(rows)
    assert dict(choice.left_out) == {
        "measured again since, or another seed of one row": 1,
        "of smoke tests": 1,
        "of another dataset none, split none, image count none": 1,
        "of the baseline": 1,
        "timed by the rules of zoo-lat/1": 1,
    }
    assert choice.elimination[0] == "6 records"
    assert choice.elimination[-1] == "= 1 qualify"


def test_a_device_that_was_timed_by_other_rules_alone_is_named(records):
    new, old = (row(records.make(device, device=device)) for device in ("new", "old"))
    older = old._replace(protocol="zoo-lat/1")
    choice = pick([new, older, new._replace(protocol="zoo-lat/1", key="b")])
    assert choice.winner.device == "new"
    assert "no row of old takes part; name a device with --device" in choice.notes
    assert not any("no row of" in note for note in pick([new, older], device="new").notes)
    assert pick([new, older], device="old").winner.device == "old"


def test_this_machines_rows_are_taken_where_no_device_is_named(records, monkeypatch):
    rows = rows_of([records.make("a", device="cpu-here", machine_id="h" * 16), records.make("b", device="nvidia-h200")])
    monkeypatch.setattr(room.machine, "here", lambda: (Named("CPU", "cpu-here", "h" * 16),))
    choice = pick(rows)
    assert choice.winner.model == "a"
    assert choice.notes[0] == ("rows of nvidia-h200 are left out: this machine's are taken; name another with --device")
    assert "measured here: CPU-HERE" in show_choice(choice)
    assert pick(rows, device="nvidia-h200").winner.model == "b"
    monkeypatch.setattr(room.machine, "here", lambda: (Named("CPU", "cpu-here", "i" * 16),))
    with pytest.raises(UserError, match="device is cpu-here or nvidia-h200; choose one"):
        pick(rows)


def test_what_was_measured_here_says_how_to_raise_its_grade(records, monkeypatch):
    rows = rows_of([records.make("a", machine_id="h" * 16, settled=False)])
    monkeypatch.setattr(room.machine, "here", lambda: (Named("INTEL-XEON-2C", "intel-xeon-2c", "h" * 16),))
    remedy = f"  to mend warm-up unsettled: {REMEDIES['unsettled warm-up']}"
    assert remedy in show_choice(pick(rows), width=200).splitlines()
    monkeypatch.setattr(room.machine, "here", tuple)
    text = show_choice(pick(rows, device="intel-xeon-2c"), width=200)
    assert "measured with grade B: warm-up unsettled" in text
    assert "to mend" not in text, "elsewhere nobody can"


def test_where_rows_rest_on_different_machines_each_says_on_which(records, monkeypatch):
    rows = rows_of([records.make("a", machine_id="h" * 16, right=0.7), records.make("b", machine_id="i" * 16)])
    monkeypatch.setattr(room.machine, "here", lambda: (Named("INTEL-XEON-2C", "intel-xeon-2c", "h" * 16),))
    text = show_choice(pick(rows), width=200)
    assert "  measured here: INTEL-XEON-2C" in text
    assert "[measured on the same kind of machine]" in text


def speed_alone(records, model, **changes):
    facts = {"right": None, "dataset": None, "source": "random", "recipe": "none", "recipe_hash": None}
    return records.make(model, **facts | changes)


def test_rows_of_this_machine_that_cannot_answer_leave_the_choice_to_others(records, monkeypatch):
    mine = speed_alone(records, "a", device="cpu-here", machine_id="h" * 16)
    rows = rows_of([mine, records.make("b", device="nvidia-h200")])
    monkeypatch.setattr(room.machine, "here", lambda: (Named("CPU", "cpu-here", "h" * 16),))
    assert pick(rows).winner.model == "b"
    assert pick(rows, objective="latency").winner.model == "a"


def test_a_smoke_test_of_this_machine_answers_for_no_full_record(records, monkeypatch):
    """What a first `zoo bench` leaves: a baseline, and an mIoU that says nothing of an architecture."""
    own = {"device": "cpu-here", "machine_id": "h" * 16}
    smoke = [records.make("a", **own).model_copy(update={"quick": True}), records.baseline(**own)]
    rows = rows_of([speed_alone(records, "a", **own), *smoke, records.make("b", device="nvidia-h200")])
    monkeypatch.setattr(room.machine, "here", lambda: (Named("CPU", "cpu-here", "h" * 16),))
    assert pick(rows).winner.model == "b"
    assert pick(rows, objective="latency").winner.model == "a"


def test_published_accuracy_takes_part_when_asked_and_every_line_says_so(records):
    rows = rows_of(
        [
            speed_alone(records, "pidnet_s", p50_s=0.03),
            speed_alone(records, "bisenetv2"),
            speed_alone(records, "encoder_decoder"),
            speed_alone(records, "pidnet_s", precision="int8", runtime="openvino"),
        ]
    )
    with pytest.raises(NothingMeasuredError, match="no record knows its mIoU"):
        pick(rows)
    choice = pick(rows, accept=["published"], limits=["miou>=70%"])
    assert choice.winner.model == "pidnet_s"
    assert choice.winner.accepted
    text = show_choice(choice, width=200)
    told = [line for line in text.splitlines() if "mIoU" in line and "%" in line and "limit" not in line]
    assert all("published" in line or "≥" in line for line in told)
    assert "published mIoU: whole, published mmseg, fed 1024x2048 there and 256x512 here; https://" in text
    assert "--weights published:mmseg" in text
    why = {loser.label: loser.why for loser in choice.losers}
    assert why["pidnet_s openvino int8"] == ("mIoU is not known",), "what int8 loses nobody published"
    assert "2 of 4 have a published mIoU" in " ".join(choice.notes)


def test_what_was_scored_on_other_images_takes_no_published_figure(records):
    rows = rows_of([records.make("pidnet_s", right=0.5), records.make("bisenetv2", right=None, dataset="camvid")])
    assert not any(one.accepted for one in accepting_published(rows))
    choice = pick(rows, accept=["published"], dataset="streets")
    assert any("no published mIoU took part" in note for note in choice.notes)
    with pytest.raises(UserError, match="accept takes published; got 'publishd'"):
        pick(rows, accept=["publishd"])


def test_two_devices_have_to_be_measured_alike(records):
    rows = rows_of([records.make("a", device="x"), records.make("a", device="y", batch_size=8)])
    with pytest.raises(
        UserError, match="no rows of x, y may be compared: batch size is 1 or 8; measure one of them anew"
    ):
        pick(rows, device=["x", "y"])
    both = [*rows, *rows_of([records.make("a", device="y", right=None, dataset=None)])]
    with pytest.raises(UserError, match="may be compared: dataset is streets@ffffffff or none"):
        pick(both, device=["x", "y"], batch_size=1, objective="latency")


def test_what_one_device_alone_has_gives_way_to_what_all_have(records):
    """A newer protocol, or a dataset, of one device leaves the choice to what may be compared."""
    older = [one._replace(protocol="zoo-lat/2") for one in rows_of([records.make("a", device=name) for name in "xy"])]
    rows = [*older, *rows_of([records.make("b", device="x"), records.make("b", device="x", dataset=None, right=None)])]
    choice = pick(rows, device=["x", "y"])
    assert (choice.winner.model, choice.winner.protocol) == ("a", "zoo-lat/2")
    for asked in ({"protocol": "zoo-lat/3"}, {"dataset": "none"}):
        with pytest.raises(
            NothingMeasuredError, match="nothing that is asked for was measured on y; `zoo leaderboard`"
        ):
            pick(rows, device=["x", "y"], objective="latency", **asked)


def test_of_a_recipe_that_was_changed_the_last_version_takes_part(records):
    rows = rows_of(
        [
            records.make("unet", right=0.8, recipe_hash="a" * 12),
            records.make("unet", right=0.6, recipe_hash="b" * 12, minutes=10),
            records.make("fcn", right=0.7, recipe_hash="b" * 12, minutes=11),
        ]
    )
    choice = pick(rows)
    assert (choice.winner.model, [loser.label for loser in choice.losers]) == ("fcn", ["unet"])
    assert choice.left_out == (("of another version of the recipe", 1),)
    assert any("the one measured last is taken, camvid_cpu@bbbbbbbb" in note for note in choice.notes)
    assert pick(rows, recipe="camvid_cpu@aaaaaa").winner is rows[0]


def test_every_machine_of_a_device_counts(records):
    """Whatever the order of their records, and of the devices."""
    rows = rows_of(
        [
            records.make("a", device="x", p50_s=0.010, machine_id="1" * 64),
            records.make("a", device="x", p50_s=0.050, machine_id="2" * 64, minutes=5),
            records.make("a", device="y", p50_s=0.010, machine_id="3" * 64),
            records.failed("a", device="y", machine_id="4" * 64),
        ]
    )
    for devices, mixed in product((["x", "y"], ["y", "x"]), permutations(rows)):
        choice = pick(list(mixed), device=devices, limits=["latency<=20ms"])
        assert choice.winner is None
        (loser,) = choice.losers
        assert loser.why[0].startswith("pipeline p50 62.5 ms on x #2222 > 20.0 ms")
        assert {part.machine_id[0] for part in loser.row.parts} == {"1", "2", "3"}


def test_a_failed_cell_says_on_which_device(records):
    rows = rows_of([records.make("a", device="x"), records.failed("a", device="y"), records.make("b", device="y")])
    losers = {loser.label: loser.why for loser in pick(rows, device=["x", "y"]).losers}
    assert losers["a"] == ("timeout on y: measure: no answer within 60 s",)


def test_near_misses_of_a_winner_are_what_one_number_kept_from_winning(records):
    rows = rows_of(
        [
            records.make("best", right=0.9, p50_s=0.0204),
            records.make("far", right=0.95, p50_s=0.080),
            records.make("good", right=0.6, p50_s=0.010),
            records.make("poor", right=0.3, p50_s=0.0204),
        ]
    )
    choice = pick(rows, limits=["latency<=25ms"])
    assert choice.winner.model == "good"
    assert [loser.label for loser in choice.near_misses] == ["best"]
    assert "near misses, which would be chosen:\n  best: pipeline p50 25.5 ms > 25.0 ms (2.0% off)" in show_choice(
        choice
    )


def test_limits_as_objects_and_as_text_are_one(records):
    rows = rows_of([records.make("a", p50_s=0.02), records.make("b", p50_s=0.01, right=0.4)])
    text, thing = (pick(rows, limits=[limit]) for limit in ("latency<=20ms", Limit.parse("latency<=20ms")))
    assert text.winner is thing.winner is pick(rows, max_latency_s=0.02).winner is rows[1]
    assert pick(rows, objective="iou.class 3").winner is rows[0]
    with pytest.raises(UserError, match=r"no class 'class 33'\. Did you mean 'class 3'"):
        pick(rows, limits=["iou.class 33>=5%"])


def test_the_cost_of_a_million_images_says_what_it_follows_from(records):
    timed = row(records.make(pipeline_s=0.036))
    assert cost_per_million(timed, 2.0, batched=False) == (pytest.approx(20.0), BY_LATENCY)
    assert BY_LATENCY == "pipeline p50, one call after the other"
    batched = row(records.make(pipeline_s=0.036, rates=(100.0,)))
    assert cost_per_million(batched, 3.6, batched=True) == (pytest.approx(10.0), "throughput")
    assert "a million images at 2 an hour of intel-xeon-2c: 20.00 (by" in show_choice(pick([timed]), price=2.0)
    unknown = row(records.make(timed=False))
    assert "is not known" in show_choice(pick([unknown]), price=2.0)


def test_a_cost_is_a_metric_where_a_price_is_known(records):
    make = records.make
    rows = rows_of(
        [
            make("cheap", right=0.4, p50_s=0.010),
            make("batched", right=0.5, p50_s=0.040, rates=(20.0, 60.0)),
            make("dear", right=0.6, p50_s=0.080),
            make("untimed", right=0.9, timed=False),
        ]
    )
    choice = pick(rows, objective="cost", price=3.6)
    assert (choice.winner.model, choice.axes[0].name) == ("cheap", "cost")
    assert choice.winner.value("cost") == pytest.approx(12.5)
    assert choice.winner.interval("cost") == pytest.approx((12.375, 12.625))
    assert {loser.row.model: loser.why[0] for loser in choice.losers} == {
        "batched": "cost of 1M images 50.0, behind 12.5",
        "dear": "cost of 1M images 100, behind 12.5",
        "untimed": "cost of 1M images is not known",
    }
    assert "lowest cost of 1M images: 12.5 (3 of 4 rows qualify)" in show_choice(choice, price=3.6)
    assert pick(rows, limits=["cost<=60"], price=3.6).winner.model == "batched"
    assert pick(rows, limits=["cost<=20"], price=7.2).winner is None
    slow = rows_of([make("cheap", device="other", p50_s=0.03, right=0.4)])
    worse = pick([*rows, *slow], objective="cost", price=3.6, device=["intel-xeon-2c", "other"])
    assert worse.winner.value("cost") == pytest.approx(37.5), "where it is worst"


@pytest.mark.parametrize("rates", [(), (200.0,)])
def test_costs_of_one_choice_follow_from_one_number(records, rates):
    """Of throughput only where all have it; who has none of either takes no part in that."""
    rows = rows_of(
        [
            records.make("a", right=0.4, pipeline_s=0.020, rates=(20.0, 60.0)),
            records.make("b", right=0.5, pipeline_s=0.010, rates=rates),
            records.make("untimed", right=0.9, timed=False),
            records.failed("broken"),
        ]
    )
    choice = pick(rows, objective="cost", price=3.6)
    costs = {one.model: one.value("cost") for one in choice.rows if one.model in "ab"}
    assert costs == pytest.approx({"a": 1000 / 60, "b": 5.0} if rates else {"a": 20.0, "b": 10.0})
    said = [note for note in choice.notes if note.startswith("costs follow from")]
    text = show_choice(choice, price=3.6, width=200)
    if rates:
        assert not said
        assert "a million images at 3.6 an hour of intel-xeon-2c: 5.00 (by throughput)" in text
    else:
        (note,) = said
        assert f"{BY_LATENCY}, of all alike: only 1 of 4 rows knows the throughput; " in note
        assert note.endswith("; `zoo bench --models a,b,untimed --data DIR --preset camvid --throughput` measures it")
        assert "a million images at 3.6 an hour of intel-xeon-2c: 10.00 (by pipeline p50" in text
    by_miou = show_choice(pick(rows, price=3.6, limits=["latency<=1s"]), price=3.6, width=200)
    table = by_miou.partition("Pareto set")[2]
    assert all(f"{cost:.2f}" in table for cost in costs.values()) or "1M images" not in table


def test_a_cost_without_a_price_is_refused_in_one_line(records, tmp_path, capsys):
    save(records.make("a"), {}, tmp_path)
    save(records.make("b"), {}, tmp_path)
    for asked in (
        "pick --minimize cost",
        "pick --max cost=2",
        "pick --objective cost",
        "leaderboard --sort cost",
        "compare a b --fail-on cost:5%",
    ):
        assert main([*asked.split(), "--results", str(tmp_path)]) == 2
        assert capsys.readouterr().err == f"zoo: {NO_PRICE}\n".replace("2.49/h", f"2.49/h --results {tmp_path}")
    priced = ["pick", "--price", "$2/h", "--max", "cost=$99", "--results", str(tmp_path)]
    assert main(priced) == 0
    assert "cost of 1M images ≤ 99.0: 13.9" in capsys.readouterr().out
    assert main([*priced[:3], "--maximize", "cost"]) == 2
    assert "cost is better lower: --maximize would choose the worst" in capsys.readouterr().err
    assert main([*priced[:3], "--max", "cost=2/h"]) == 2
    assert "an amount of money is a number such as 2.49; got '2/h'" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80, 200])
def test_an_answer_fits_its_width_and_its_commands_are_whole(records, width):
    rows = rows_of(
        [records.make(f"model_{place}", right=0.3 + place / 20, p50_s=0.01 * (place + 1)) for place in range(10)]
    )
    choice = pick(rows)
    text = show_choice(choice, width=width)
    told, _, rest = text.partition("Pareto set")
    table, _, others = rest.partition("why not the others:")
    assert all(len(line) <= width for line in others.splitlines())
    assert all(len(line) <= width for line in told.splitlines() if " --" not in line and "http" not in line)
    if width >= 80:
        assert all(len(line) <= width for line in (told + table).splitlines() if "http" not in line)
    command = how_to_measure(choice.winner)
    assert command in " ".join(told.replace("\\\n", " ").split()), "what a shell makes of it"


def test_of_a_device_with_two_machines_the_other_one_is_spoken_of(records):
    rows = rows_of(
        [
            records.make("a", p50_s=0.004, machine_id="1" * 64, right=0.7),
            records.make("a", p50_s=0.040, machine_id="2" * 64, right=0.7),
            records.make("b", p50_s=0.002, machine_id="2" * 64),
        ]
    )
    choice = pick(rows, limits=["latency<=10ms"])
    assert choice.winner is rows[0]
    said = (
        "another machine of this name does not keep what is asked: pipeline p50 50.0 ms > 10.0 ms (400% off) on #2222"
    )
    assert said in choice.notes
    assert not [note for note in pick(rows, limits=["latency<=60ms"]).notes if note.startswith("another machine")]


def test_every_part_and_every_seed_has_to_be_for_sale(records):
    def made(model, trained_on, **changes):
        record = records.make(model, **changes)
        weights = record.artifact.weights.model_copy(update={"trained_on": trained_on})
        return record.model_copy(update={"artifact": record.artifact.model_copy(update={"weights": weights})})

    rows = rows_of([made("unet", "synthetic", device="x"), made("unet", "cityscapes", device="y")])
    assert pick(rows, device="x", sale=True).winner is not None
    for order in (["x", "y"], ["y", "x"]):
        assert pick(rows, device=order, sale=True).winner is None
    seeds = rows_of([made("unet", on, seed=seed) for seed, on in enumerate(("synthetic", "cityscapes", "synthetic"))])
    assert pick(seeds, sale=True).winner is None
    assert pick(seeds[:1], sale=True).winner is not None


def test_a_near_miss_would_be_chosen_among_all_that_qualify(records):
    """It may change which rows tie with the best, and so leave the choice to another."""
    dice, seen = random.Random(5), Counter()
    for _ in range(60):
        rows = []
        for place in range(6):
            p50_s, memory_bytes = dice.choice((0.01, 0.02, 0.03, 0.04)), dice.choice((290, 300, 330)) * 2**20
            made = row(records.make(f"net{place}", p50_s=p50_s, memory_bytes=memory_bytes))
            miou = 0.5 + 0.01 * dice.randrange(4)
            spans = {**made.intervals, "miou": (miou - 0.006, miou + 0.006)}  # those of neighbours overlap
            rows.append(made.having(miou=miou)._replace(intervals=spans))
        choice = pick(rows, limits=["memory<=310MiB"])
        fit = [one for one in rows if one.value("peak_memory_bytes") <= 310 * 2**20]
        near = {loser.row.model for loser in choice.near_misses}
        for one in (one for one in rows if one not in fit and fit):
            chosen = pick([*fit, one]).winner is one
            assert (one.model in near) == chosen or len(near) == FEW
            seen[chosen, pick([choice.winner, one]).winner is one] += 1
    assert seen[False, True], "some would beat the winner and yet not be chosen"
    assert seen[True, True]


def test_what_was_measured_again_decides_nothing(records):
    rows = rows_of(
        [
            records.make("a", rate_hz=10.0),
            records.failed("a", rate_hz=10.0, minutes=5),
            records.make("a", p50_s=0.01),
        ]
    )
    choice = pick(rows, at=10)
    assert (choice.winner.rate_hz, choice.winner.model) == (None, "a")


def test_equal_numbers_of_several_machines_are_as_sure_as_the_least_sure(records):
    rows = rows_of([records.make("a", device="x", rate_hz=10.0), records.make("a", device="y", rate_hz=10.0)])
    few = rows[1]._replace(numbers={**rows[1].numbers, "frame_count": 40.0, "missed_share": 0.0})
    many = rows[0]._replace(numbers={**rows[0].numbers, "frame_count": 5000.0, "missed_share": 0.0})
    notes = [pick([many, few], device=order, at=10).notes for order in (["x", "y"], ["y", "x"])]
    assert all("the 95 % interval of missed deadlines reaches 8.8 %, over the limit" in said for said in notes)


def test_the_steps_of_an_elimination_add_up(records):
    rows = rows_of([records.make(model, device=name) for model in "abc" for name in "xy"] + [records.baseline()])
    steps = pick([*rows, row(records.make("a", device="z"))], device=["x", "y"]).elimination
    assert steps[:5] == (
        "8 records",
        "- 1 that were not asked for",
        "- 1 of the baseline",
        "= 6 rows, which are those of 3 models",
        "= 3 rows that may be compared",
    )


def test_what_no_measurement_tells_is_given_no_command_and_the_rest_one(records):
    rows = rows_of([records.make("a", energy_j=0.1, rates=(50.0,)), records.make("b")])
    text = " ".join(show_choice(pick(rows, limits=["energy<=1J", "throughput>=10/s"])).split())
    assert "b: energy per image is not known; throughput is not known; `zoo bench --models b" in text
    assert "--throughput" in text
    (line,) = (one for one in show_choice(pick(rows, limits=["energy<=1J"])).splitlines() if one.startswith("  b: "))
    assert line == "  b: energy per image is not known"
