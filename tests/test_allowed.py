"""What cannot be is no record: each number has its range, each word is one line, and both ways of reading agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_decoding import everything
from zoo.allowed import MODEL_LETTERS, NAME_LETTERS, holds_control, without_control
from zoo.catalog import find
from zoo.data.layout import _slug
from zoo.decoding import decoded
from zoo.errors import UserError
from zoo.record import Agreement, Failure, Witness
from zoo.store import load, parse, save, to_json

PLACE = Path("record.json")
MAY_FALL = {"growth_bytes", "temperature_start_c", "temperature_end_c", "miou_lost"}
"""What may be below 0."""
SHARES = {"equal_label_share", "miou_interval"}
OUTSIDE = {"mean", "std"}
"""How weights are fed is what their maker says."""


def whole(records):
    """A record with a number in every place that may hold one."""
    made = everything(records)
    sensed = {name: 1 for name in Witness.model_fields if name not in {"throttle_reasons", "affinity", "environment"}}
    latency = made.speed.pipeline.model_copy(
        update={"p999_s": made.speed.pipeline.max_s, "p90_interval_s": (0.0, made.speed.pipeline.max_s)}
    )
    value = made.model_copy(
        update={
            "agreement": Agreement(equal_label_share=0.5, max_logit_error=0.1, image_count=4),
            "speed": made.speed.model_copy(update={"witness": Witness(**sensed, affinity=(0,)), "pipeline": latency}),
        }
    ).model_dump(mode="json")
    value["memory"] = dict.fromkeys(value["memory"], 5)
    counted = {"true_positives": 1.0, "false_negatives": 1.0, "false_positives": 1}
    value["accuracy"] |= {"class_instances": {"car": counted}, "category_instances": {"vehicle": counted}}
    return value


def numbers(value, where=()):
    """The place of every number in a JSON value."""
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else list(enumerate(value))[:2]:
            yield from numbers(inner, (*where, name))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where


def edited(value, where, new):
    """A JSON value with one thing of it changed."""
    if not where:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[where[0]] = edited(value[where[0]], where[1:], new)
    return changed


def is_read(value):
    """Whether a record is read, in both ways alike."""
    content = json.dumps(value).encode()
    try:
        parse(content, PLACE)
    except UserError as error:
        said = str(error)
    else:
        return True
    assert decoded(content) is None
    assert "\n" not in said
    assert "fetch it again" in said
    return False


def test_no_number_is_below_what_it_can_be(records):
    value = whole(records)
    assert is_read(value)
    places = [where for where in numbers(value) if where[0] != "config" and not OUTSIDE & set(where)]
    assert len(places) > 100
    for where in places:
        assert is_read(edited(value, where, -5)) == bool(MAY_FALL & set(where) and where[-1] != "miou_lost"), where
        assert not is_read(edited(value, where, -(2**70))), where


def test_a_share_is_no_more_than_all(records):
    value = whole(records)
    places = [where for where in numbers(value) if SHARES & set(where)]
    assert len(places) == 3
    assert not any(is_read(edited(value, where, 7.5)) for where in places)


@pytest.mark.parametrize("name", ["rate_hz", "threads", "accuracy_images"])
@pytest.mark.parametrize("asked", [-1, 0, "ten", [1]])
def test_what_tables_show_of_what_was_asked_can_be_shown(records, name, asked):
    assert not is_read(edited(whole(records), ("config", name), asked))


@pytest.mark.parametrize(
    ("where", "new"),
    [
        (("speed", "pipeline", "p50_s"), 0.0001),
        (("speed", "pipeline", "p25_s"), 1.0),
        (("speed", "pipeline", "p99_s"), 0.0001),
        (("speed", "pipeline", "p999_s"), 1e9),
        (("speed", "pipeline", "p90_interval_s"), [0.0, 0.0001]),
        (("speed", "waterfall", 2, "p50_s"), 0.0001),
        (("accuracy", "miou_interval"), [0.6, 0.4]),
        (("paced", "late_count"), 500),
        (("paced", "lateness_p50_s"), 1.0),
        (("started_at",), "0001-01-01T00:00:00+14:00"),
        (("started_at",), "9999-12-31T23:59:59-14:00"),
        (("artifact", "input_size"), [1, 10**9]),
    ],
)
def test_what_contradicts_itself_is_refused_when_it_is_read(records, where, new):
    assert is_read(whole(records))
    assert not is_read(edited(whole(records), where, new))


WORDS = (
    *(("artifact", one) for one in ("model", "family", "runtime")),
    *(("device", one) for one in ("slug", "name")),
    *(("dataset", "name"), ("artifact", "weights", "recipe"), ("key",), ("preset",)),
)


@pytest.mark.parametrize("where", WORDS)
def test_a_name_is_there_and_short(records, where):
    value = whole(records)
    longest = MODEL_LETTERS if where[-1] == "model" else NAME_LETTERS
    assert is_read(edited(value, where, "n" * longest))
    assert not is_read(edited(value, where, "n" * (longest + 1)))
    assert not is_read(edited(value, where, ""))


@pytest.mark.parametrize("sign", ["\x1b[2J", "\n", "\t", "\0", "\x7f", "\x9b", "\u200f", "\u202e", "\u2028"])
@pytest.mark.parametrize("plain", [True, False], ids=["as it is", "escaped"])
def test_no_word_holds_what_a_terminal_obeys(records, sign, plain):
    value = whole(records)
    for where in (*WORDS, ("software", "os"), ("build", "options", "opset"), ("config", "note")):
        value_now = edited(value | {"config": {**value["config"], "note": ""}}, where, f"a{sign}b")
        content = json.dumps(value_now, ensure_ascii=not plain).encode()
        assert decoded(content) is None
        read = to_json(parse(content, PLACE))
        assert f'"a {sign[1:]}b"' in read
        assert not holds_control(read)


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "x;touch${IFS}y;", "名前", "back\\name", 'quo"te', "a/b"]
)
def test_a_name_of_ones_own_is_free_otherwise(records, name, tmp_path):
    assert load(save(records.make(name), {}, tmp_path)).artifact.model == name


def test_what_a_library_said_is_kept_as_one_line(records, tmp_path):
    made = records.failed().model_copy(update={"failure": Failure(step="build", reason="a\x1b[31mb\n\nc\\n d")})
    assert load(save(made, {}, tmp_path)).failure.reason == "a [31mb  c\\n d"
    assert without_control(to_json(made)) == to_json(made)
    assert not holds_control(to_json(made))


def test_names_that_records_cannot_hold_are_refused_or_cut_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = "b" * MODEL_LETTERS
    Path("net.py").write_text(f"def {function}(num_classes): ...")
    with pytest.raises(UserError, match=r"by 204 letters, and records hold 200; rename its file or function"):
        find(f"net.py:{function}")
    assert len(_slug("street " * 40)) <= NAME_LETTERS
