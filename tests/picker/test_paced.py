"""`zoo pick --at`: rows that were paced at that rate go first, and are never ranked with others."""

import json

import pytest

from zoo.cli.main import main
from zoo.errors import UserError
from zoo.picker.candidates import NothingMeasuredError
from zoo.picker.pick import cost_per_million, pick
from zoo.report.choice import show_choice
from zoo.score.rows import row
from zoo.store import save


def paced(records, *rows, rate_hz=10.0):
    return [row(records.make(model, rate_hz=rate_hz, **changes)) for model, changes in rows]


@pytest.fixture
def rows(records):
    """Back to back `large` is best and fits; paced it misses deadlines that `middle` keeps."""
    plain = [
        row(records.make(model, right=right)) for model, right in (("large", 0.7), ("middle", 0.6), ("small", 0.4))
    ]
    return [
        *plain,
        *paced(records, ("large", {"right": 0.7, "missed": (1, 1)}), ("middle", {"right": 0.6, "missed": (1, 0)})),
        *paced(records, ("small", {"right": 0.4}), rate_hz=30.0),
    ]


def test_rows_paced_at_the_rate_go_first_and_that_is_said(rows):
    choice = pick(rows, at="10hz")
    assert choice.winner.model == "middle"
    assert choice.winner.rate_hz == choice.group.rate_hz == 10.0
    assert [limit.say() for limit in choice.asked.limits] == ["missed deadlines ≤ 1.0 %"]
    assert dict(choice.left_out) == {"timed by the rules of zoo-lat/3": 3, "of another rate hz 30": 1}
    text = " ".join(show_choice(choice).split())
    assert text.startswith("middle (intel-xeon-2c · streets · paced at 10 Hz · ")
    assert "at 10 Hz a frame comes every 100 ms: calls that were paced at that rate, and the deadlines they" in text
    assert (
        "calls one after the other are left out: these were paced at 10 Hz, and small never were: --rate none" in text
    )
    assert "large: missed deadlines 1.7 % > 1.0 % (67% off)" in text
    assert "--rate 10hz" in text, "the command that measures it"
    assert "pipeline p99 30.0 ms, missed deadlines 0.8 [0.1, 4.6] %" in text
    assert "note: the 95 % interval of missed deadlines reaches 4.6 %, over the limit" in text
    assert "network" not in text, "paced calls have the pipeline scope alone"


@pytest.mark.parametrize("limit", ["lateness-max<=1ms", "lateness<=0.1ms"])
def test_rows_that_missed_nothing_keep_any_limit_on_lateness(rows, records, limit):
    rows += paced(records, ("never late", {"right": 0.3}))
    choice = pick(rows, limits=[limit], rate_hz=10.0)
    assert choice.winner.model == "never late"
    assert len(choice.losers) == 2
    assert "0.00 ms" in choice.reasons[-1]


def test_without_any_p99_of_the_others_is_taken_and_that_is_said(rows):
    choice = pick(rows, at="5hz")
    assert (choice.winner.model, choice.winner.rate_hz) == ("large", None)
    assert [limit.say() for limit in choice.asked.limits] == ["pipeline p99 ≤ 200 ms"]
    assert any("held against the p99 of calls made one after the other" in note for note in choice.notes)
    text = " ".join(show_choice(choice).replace("\\\n", " ").split())
    measure = (
        "zoo bench --models large --runtimes eager --precision fp32 --data DIR --preset camvid --input-size 256x512"
    )
    assert f"to pace its calls at 5 Hz: {measure} --rate 5hz --weights run:camvid_cpu@abc123:0" in text
    assert json.loads(show_choice(choice, "json"))["pace"] in text
    assert "to pace" not in show_choice(pick(rows, at="10hz"))


def test_who_asks_for_other_calls_is_not_told_to_pace_them(rows):
    for rate_hz, calls in ((None, "made one after the other"), (30.0, "paced at 30 Hz")):
        choice = pick(rows, at="10hz", rate_hz=[rate_hz])
        assert choice.winner.rate_hz == rate_hz
        (note,) = (note for note in choice.notes if note.startswith("at 10 Hz"))
        assert note == (f"at 10 Hz a frame comes every 100 ms: held against the p99 of calls {calls}, as was asked for")


def test_what_was_paced_at_another_rate_tells_nothing_of_this_one(records, rows):
    alone = [one for one in rows if one.rate_hz == 30.0]
    told = r"^every record that could tell was paced at 30 Hz, not at 10 Hz, and .*; measure with `zoo bench "
    with pytest.raises(
        NothingMeasuredError, match=rf"{told}--models small --data DIR --preset camvid --rate 10hz`, .*--rate 30$"
    ):
        pick(alone, at=10)
    with pytest.raises(NothingMeasuredError, match=told):
        pick([*alone, row(records.make(right=None)), row(records.make(samples=20))], at=10)
    assert pick(alone, at=10, rate_hz=30.0).winner.rate_hz == 30.0, "asked for"
    plain = row(records.make("plain", right=0.3))
    assert pick([*alone, plain], at=10).winner is plain


def test_who_asks_for_no_rate_is_answered_by_calls_one_after_the_other(rows):
    choice = pick(rows)
    assert (choice.winner.model, choice.winner.rate_hz) == ("large", None)
    assert "rows of paced calls are left out: --at RATE chooses among those of its rate" in choice.notes
    alone = pick([one for one in rows if one.rate_hz == 30.0])
    assert alone.winner.rate_hz == 30.0, "where there is nothing else"


def test_a_rate_as_a_condition(rows):
    assert pick(rows, rate_hz=30.0).winner.model == "small"
    assert pick(rows, rate_hz=["none"], at=10).winner.rate_hz is None
    with pytest.raises(UserError, match=r"no record with rate '5'\. There is: 10, 30, none"):
        pick(rows, rate_hz=5.0)


def test_paced_rows_of_two_rates_may_not_be_compared(rows):
    with pytest.raises(UserError, match=r"rate hz is 10 or 30; choose one, such as with --rate 10"):
        pick([one for one in rows if one.rate_hz is not None])


def test_two_devices_are_paced_alike_or_not_at_all(records, rows):
    there, both = [row(records.make("large", right=0.7, device="other"))], ["intel-xeon-2c", "other"]
    choice = pick([*rows, *there], at=10, device=both)
    assert (choice.winner.model, choice.winner.rate_hz) == ("large", None)
    assert any("held against the p99 of calls made one after the other;" in note for note in choice.notes)
    with pytest.raises(UserError, match=r"no rows of intel-xeon-2c, other may be compared: .*rate hz is 10 or none;"):
        pick([*(one for one in rows if one.rate_hz), *there], at=10, device=both)
    there += paced(records, ("middle", {"right": 0.6, "device": "other"}))
    assert pick([*rows, *there], at=10, device=["intel-xeon-2c", "other"]).winner.model == "middle"


def test_what_has_not_what_is_asked_for_does_not_stand_before_what_has(records, rows):
    """Paced rows without mIoU leave the choice by mIoU to the others."""
    unscored = paced(records, ("large", {"right": None}), rate_hz=5.0)
    assert pick([*rows, *unscored], at=5).winner.rate_hz is None
    assert pick(unscored, at=5, objective="latency").winner.rate_hz == 5.0
    with pytest.raises(NothingMeasuredError, match="no record knows its mIoU"):
        pick(unscored, at=5)
    few = [row(records.make(samples=20))]
    with pytest.raises(
        NothingMeasuredError, match="p99; measure with `zoo bench --models unet --data DIR --preset camvid --rate 5hz`"
    ):
        pick(few, at=5)


def test_a_smoke_test_paced_stands_in_for_no_full_run(records, rows):
    quick = paced(records, ("small", {"quick": True}), rate_hz=5.0)
    assert pick([*rows, *quick], at=5).winner.quick is False


def test_a_million_images_of_paced_calls_cost_their_time(records):
    (one,) = paced(records, ("unet", {}))
    assert cost_per_million(one, 3.6, batched=False) == (pytest.approx(100.0), "paced at 10 Hz")


def test_where_deadlines_are_kept_the_tail_decides_among_ties(records):
    """By p50 `calm` would come second: its median is the longer one."""
    (calm,) = paced(records, ("calm", {"p50_s": 0.030}))
    (hasty,) = paced(records, ("hasty", {"p50_s": 0.020}))
    rows = [calm.having(pipeline_p99_s=0.040), hasty.having(pipeline_p99_s=0.090)]
    for asked in ({"at": "10hz"}, {"limits": ["missed<=1%"]}):
        choice = pick(rows, **asked)
        assert choice.asked.latency.key == "pipeline_p99_s"
        assert choice.winner is rows[0], "rows without samples: whether by chance is not known, yet the lower is taken"
    assert pick(rows, at="10hz", limits=["latency<=90ms"]).winner is rows[1], "another latency is named"
    assert pick(rows).winner is rows[1]


def test_missed_and_cold_start_as_limits(records, tmp_path, capsys):
    for model, right, import_s, late in (("large", 0.7, 4.0, 9), ("small", 0.4, 0.2, 0)):
        save(records.make(model, right=right, starts=[(import_s, 0.1, 0.1)]), {}, tmp_path)
        save(records.make(model, right=right, rate_hz=10.0, missed=(late, 0)), {}, tmp_path)

    def pick(*flags):
        code = main(["pick", "--results", str(tmp_path), *flags])
        said = capsys.readouterr()
        return code, said.out or said.err

    for flags in ("--max cold-start=1s", "--rate 10Hz --max missed=2%", "--rate none --max cold-start=500ms"):
        code, said = pick("--format", "json", *flags.split())
        assert (code, json.loads(said)["winner"]["model"]) == (0, "small")
    code, said = pick("--minimize", "cold-start")
    assert "lowest cold start: 0.400 s" in said
    parts = "0.400 s (import 0.200 s, load 0.100 s, first call 0.100 s); then 25.0 ms a frame"
    assert f"cold start on intel-xeon-2c: {parts}" in " ".join(said.split())
    assert pick("--rate", "fast") == (2, "zoo: a rate is times a second, such as 10hz, 30fps or 25/s; got 'fast'\n")
