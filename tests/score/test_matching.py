"""`zoo.score.matching`: the same artifact on both sides, and why there is none."""

from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.score.matching import match
from zoo.score.reading import rows_of
from zoo.score.sides import Side, Standing


@pytest.fixture
def matched(records):
    """`matched(first, second)`: lists of `make`'s arguments, or with texts as a person would name the sides."""

    def matched(first, second, names=("one", "two")):
        made = [[records.make(model, **changes) for model, changes in side] for side in (first, second)]
        rows = rows_of([record for side in made for record in side])
        sides = rows[: len(first)], rows[len(first) :]
        return match(*(Standing(Side.parse(name), [*part]) for name, part in zip(names, sides, strict=True)))

    return matched


def said(found):
    return sorted((one.row.model, one.is_first, one.why) for one in found.unmatched)


def test_each_artifact_with_its_own(matched):
    both = [("a", {}), ("a", {"precision": "int8", "runtime": "openvino", "one_graph": True}), ("b", {"right": None})]
    found = matched([*both, ("c", {})], [*((model, {**facts, "minutes": 5}) for model, facts in both), ("d", {})])
    assert [(pair.first.model, pair.first.precision, pair.second.precision) for pair in found.pairs] == [
        ("a", "fp32", "fp32"),
        ("a", "int8", "int8"),
        ("b", "fp32", "fp32"),
    ]
    assert said(found) == [
        ("c", True, "its model was not measured there"),
        ("d", False, "its model was not measured there"),
    ]


def test_one_record_on_both_sides_is_counted_and_no_pair(matched):
    found = matched([("a", {}), ("b", {})], [("a", {}), ("b", {"minutes": 3})])
    assert (len(found.pairs), found.same_count) == (1, 1)
    assert matched([("a", {})], [("a", {})]).pairs == ()


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"input_size": (96, 128)}, "input size 256x512 vs 96x128"),
        ({"dataset": "camvid"}, "dataset streets vs camvid; dataset fingerprint ffffffffffff vs "),
        ({"recipe": "long"}, "weights run camvid_cpu vs run long"),
        ({"status": "timeout"}, "timeout: measure: no answer within 60 s"),
    ],
)
def test_a_row_without_a_partner_says_why(matched, facts, why):
    found = matched([("a", {}), ("b", {})], [("a", facts), ("b", {"minutes": 1})])
    (reason,) = [reason for model, is_first, reason in said(found) if model == "a" and is_first]
    assert reason.startswith(why)
    with pytest.raises(UserError, match="one and two may not be compared: a"):
        matched([("a", {})], [("a", facts)])


def test_nothing_in_common_names_the_models(matched):
    with pytest.raises(UserError, match="may not be compared: no model is in both; here a, there b, c"):
        matched([("a", {})], [("b", {}), ("c", {})])
    with pytest.raises(UserError, match="no row of one of them is ok"):
        matched([("a", {"status": "oom"})], [("b", {})])


def test_two_devices_may_differ_and_so_may_what_is_named(matched):
    gpu = {"device": "nvidia-h200", "kind": "cuda", "thread_count": 16}
    assert len(matched([("a", {})], [("a", gpu)]).pairs) == 1
    mixed = [("a", {}), ("a", gpu)]
    assert [pair.second.device for pair in matched(mixed, [("a", {**gpu, "minutes": 1})]).pairs] == ["nvidia-h200"]
    openvino = {"runtime": "openvino", "one_graph": True}
    with pytest.raises(UserError, match="a: runtime eager vs openvino"):
        matched([("a", {})], [("a", openvino)])
    assert len(matched([("a", {})], [("a", openvino)], names=("runtime=eager", "runtime=openvino")).pairs) == 1


def test_smoke_tests_take_part_where_nothing_else_is_there(matched):
    quick = [("a", {"quick": True}), ("b", {"quick": True})]
    later = [(model, {**facts, "minutes": 2}) for model, facts in quick]
    assert len(matched(quick, later).pairs) == 2
    found = matched([*quick, ("a", {})], [*later, ("a", {"minutes": 2})])
    assert [pair.first.quick for pair in found.pairs] == [False]
    assert "left out: 2 smoke tests" in found.notes


def test_of_two_machines_the_newest_row_counts(matched):
    found = matched([("a", {"machine_id": "o" * 64, "minutes": 1}), ("a", {})], [("a", {"minutes": 9})])
    assert [pair.first.machine_id[0] for pair in found.pairs] == ["o"]
    assert any("the newest row counts: 1 are left out" in note for note in found.notes)


def test_the_baseline_takes_no_part(records):
    rows = rows_of([records.make("a"), records.baseline()])
    other = rows_of([records.make("a", minutes=4), records.baseline(minutes=4)])
    found = match(Standing(Side("one"), [*rows]), Standing(Side("two"), [*other]))
    assert [pair.first.model for pair in found.pairs] == ["a"]
