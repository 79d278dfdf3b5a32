"""`zoo.score.sides`: what a person's words mean, and which rows they are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zoo.errors import UserError
from zoo.score.sides import Side, are_sets, one_of_each, read_sides, sides_of
from zoo.store import save

END_OF_DAY = datetime(2026, 11, 1, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("unet", {"model": "unet"}),
        ("unet,precision=int8", {"model": "unet", "conditions": (("precision", "int8"),)}),
        ("unet@2026-11-01", {"model": "unet", "until": END_OF_DAY}),
        ("unet@2026-11-01T12:30", {"model": "unet", "until": datetime(2026, 11, 1, 12, 30, tzinfo=UTC)}),
        ("unet@2026-11-01T12:30Z", {"model": "unet", "until": datetime(2026, 11, 1, 12, 30, tzinfo=UTC)}),
        ("unet@2026-11-01,seed=1", {"model": "unet", "until": END_OF_DAY, "conditions": (("seed", "1"),)}),
        (
            "unet,dataset=camvid@3f2a8c@2026-11-01",
            {"model": "unet", "until": END_OF_DAY, "conditions": (("dataset", "camvid@3f2a8c"),)},
        ),
        ("@2026-11-01", {"until": END_OF_DAY}),
        ("device=cpu", {"conditions": (("device", "cpu"),)}),
        ("unet,rate=10hz,batch=4", {"model": "unet", "conditions": (("rate_hz", "10"), ("batch_size", "4"))}),
        ("model=unet,device=cpu", {"model": "unet", "conditions": (("device", "cpu"),)}),
        ("net:build", {"model": "net:build"}),
        ("before", {"folder": Path("before")}),
        ("before,model=unet", {"folder": Path("before"), "model": "unet"}),
        ("before@2026-11-01", {"folder": Path("before"), "until": END_OF_DAY}),
        ("./unet", {"folder": Path("unet")}),
        ("before/one.json", {"file": Path("before/one.json")}),
    ],
)
def test_what_is_typed(tmp_path, monkeypatch, text, facts):
    monkeypatch.chdir(tmp_path)
    for name in ("before", "unet"):  # a folder of a model's name takes a path
        (tmp_path / name).mkdir()
    assert Side.parse(text) == Side(text, **facts)


@pytest.mark.parametrize(
    ("names", "folders", "words"),
    [
        ((), (), "nothing is named; name two or more: MODEL, "),
        (("unet",), (), "unet alone is named"),
        (("", "unet"), (), "'' names nothing to compare; name MODEL, "),
        ((" , ", "unet"), (), "' , ' names nothing to compare"),
        (("unet", "unet"), (), "unet and unet are the same record"),
        (("unet@2026-13-01", "unet"), (), "a date is YYYY-MM-DD or YYYY-MM-DDTHH:MM, in UTC; got '2026-13-01'"),
        (("unet@2026-01-01@2026-01-02", "unet"), (), "names several dates; give one"),
        (("before/", "unet"), (), "no folder 'before/' here"),
        (("unet,colour=red", "enet"), (), "'colour=red' is none of model=…, device=…"),
        (("one.json",), ("a", "b"), "give --results once, or not at all"),
    ],
)
def test_mistakes_are_one_line(names, folders, words):
    with pytest.raises(UserError, match=re.escape(words)):
        sides_of(names, folders)


def test_several_folders_are_sides_or_hold_each_name():
    assert [side.folder for side in sides_of((), ("a", "b"))] == [Path("a"), Path("b")]
    sides = sides_of(("unet", "enet"), ("a", "b"))
    assert [(side.text, side.model, str(side.folder)) for side in sides] == [
        ("a unet", "unet", "a"),
        ("b unet", "unet", "b"),
        ("a enet", "enet", "a"),
        ("b enet", "enet", "b"),
    ]
    assert [side.folder for side in sides_of(("unet", "enet"), ("a",))] == [None, None]


@pytest.fixture
def put(records, tmp_path):
    return lambda *args, **changes: str(save(records.make(*args, **changes), {}, tmp_path))


def read(tmp_path, *names, **asked):
    return read_sides(sides_of(names, ()), tmp_path, **asked)[0]


def test_a_date_is_what_stood_then(put, tmp_path, records):
    for minutes, right in ((0, 0.3), (10, 0.4), (20, 0.5)):
        put("unet", right=right, minutes=minutes, key="k" * 32)
    then = records.NOON + timedelta(minutes=15)
    for names, expected in (
        ((f"unet@{then:%Y-%m-%dT%H:%M}", "unet"), [10, 20]),
        (("unet", f"unet@{then:%Y-%m-%dT%H:%M}", "unet@2026-03-01T12:00"), [20, 10, 0]),
        (("unet@2026-03-01", "unet@2026-03-01T12:09"), [20, 0]),
    ):
        rows = one_of_each(read(tmp_path, *names))
        assert [(one.started_at - records.NOON).seconds // 60 for one in rows] == expected
    with pytest.raises(UserError, match="nothing was measured by then; the first record is of 2026-03-01 12:00 UTC"):
        read(tmp_path, "unet@2026-02-28", "unet")
    with pytest.raises(UserError, match="are the same record"):
        one_of_each(read(tmp_path, "unet@2026-03-01", "unet"))


def test_a_word_that_is_no_model_may_be_a_device(put, tmp_path):
    put("unet")
    put("unet", device="nvidia-h200", kind="cuda")
    put("enet", device="nvidia-h200", kind="cuda")
    standing = read(tmp_path, "intel-xeon-2c", "nvidia-h200")
    assert are_sets(standing)
    assert [len(side.rows) for side in standing] == [1, 2]
    assert not are_sets(read(tmp_path, "unet", "enet"))
    assert are_sets(read(tmp_path, "device=intel-xeon-2c", "unet"))
    with pytest.raises(UserError, match=r"and no folder 'nvidia' here\. .*or a device: intel-xeon-2c, nvidia-h200"):
        read(tmp_path, "nvidia", "unet")
    put("zfnet", minutes=60 * 24 * 3)
    with pytest.raises(UserError, match=r"no ok record of 'zfnet@2026-\d\d-\d\d', and no folder 'zfnet' here\. "):
        read(tmp_path, f"zfnet@{read(tmp_path, 'unet', 'zfnet')[0].rows[0].started_at:%Y-%m-%d}", "unet")


def test_several_rows_are_all_held_against_one_first(put, tmp_path):
    """The first is one that may be compared with each of the others."""
    for precision in ("fp32", "bf16"):
        put("a", precision=precision)
        put("b", precision=precision)
    put("a", dataset="camvid")
    put("b", dataset="camvid")
    put("c", dataset="camvid")
    rows = one_of_each(read(tmp_path, "a", "b", "c"))
    assert [(one.model, one.dataset, one.precision) for one in rows] == [
        (name, "camvid", "fp32") for name in ("a", "b", "c")
    ]


def test_a_side_of_which_nothing_is_ok_says_why(put, tmp_path):
    put("a", status="timeout")
    put("b")
    with pytest.raises(UserError, match="no ok record of 'a': timeout: measure: no answer within 60 s"):
        one_of_each(read(tmp_path, "a", "b"))
