"""Many rows held against many: each artifact of one side with the same of another, and what is left without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from zoo.errors import UserError, counted, listed
from zoo.score.comparing import Group, differences, group_of
from zoo.score.rows import Row, text_of
from zoo.score.sides import Side, Standing, is_other, said
from zoo.store import when

ARTIFACT = ("model", "weights", "runtime", "precision", "input_size", "memory_format", "compile_mode")
"""Fields of a row that make it the same artifact as another, beside what they must share to be compared at all."""
_artifact = attrgetter(*ARTIFACT)
_FOLLOW = {"device": {"thread_count"}, "runtime": {"memory_format", "compile_mode"}}
"""What goes with a field that may differ."""
_SAID = 2
"""Of the fields in which two rows differ, so many are named."""


NOT_THERE = "its model was not measured there"


class Match(NamedTuple):
    """The same artifact on both sides."""

    first: Row
    second: Row


class Unmatched(NamedTuple):
    """A row that has no partner."""

    row: Row
    is_first: bool
    """Whether it is of the first side."""
    why: str


class Matching(NamedTuple):
    """Two sides matched."""

    pairs: tuple[Match, ...]
    same_count: int
    """Artifacts of which both sides have the same record: nothing was measured anew."""
    unmatched: tuple[Unmatched, ...]
    notes: tuple[str, ...]


def match(first: Standing, second: Standing) -> Matching:
    """Match what two sides have.

    Two devices may differ, and so may what the sides name differently, such as `runtime=openvino` against
    `runtime=onnxruntime`. Of rows that are one artifact here, from several machines or versions of a recipe, the newest
    counts. Smoke tests take part where nothing else is there.

    Raises:
        UserError: nothing that may be compared, with what differs.
    """
    firsts, seconds = [[one for one in standing.rows if not one.baseline] for standing in (first, second)]
    aside = _may_differ(first.side, second.side, firsts, seconds)
    keyed, others = _by_key(firsts, aside), _by_key(seconds, aside)
    pairs, unmatched = [], list[Unmatched]()
    for is_first, known, there, rows in ((True, keyed, others, seconds), (False, others, keyed, firsts)):
        for key, alike in known.items():
            one, partner = _newest_ok(alike), _newest_ok(there.get(key, []))
            if one and partner is None:
                unmatched.append(Unmatched(one, is_first, _why(one, there.get(key, []), rows, aside)))
            elif one and partner and is_first:
                pairs.append(Match(one, partner))
    if not pairs:
        raise UserError(f"{first.side.text} and {second.side.text} may not be compared: {_nothing(unmatched)}")
    notes = []
    full = [pair for pair in pairs if not pair.first.quick]
    if full and len(full) < len(pairs):
        notes.append(f"left out: {counted(len(pairs) - len(full), 'smoke test')}")
        pairs, unmatched = full, [one for one in unmatched if not one.row.quick]
    older = sum(len(rows) - 1 for known in (keyed, others) for rows in known.values())
    if older:
        notes.append(f"of one artifact from several machines or recipes the newest row counts: {older} are left out")
    anew = tuple(pair for pair in pairs if is_other(*pair))
    return Matching(anew, len(pairs) - len(anew), tuple(unmatched), tuple(notes))


def _by_key(rows: Sequence[Row], aside: frozenset[str]) -> dict[tuple[object, ...], list[Row]]:
    """Rows of one artifact together, the newest first."""
    found: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for one in sorted(rows, key=when(), reverse=True):
        found[_key(one, aside)].append(one)
    return found


def _newest_ok(rows: Sequence[Row]) -> Row | None:
    return next((one for one in rows if one.status == "ok"), None)


def _nothing(unmatched: Sequence[Unmatched]) -> str:
    """Why nothing at all has a partner: the nearest miss."""
    alike = [one for one in unmatched if one.is_first and " vs " in one.why]
    if alike:
        nearest = min(alike, key=lambda one: one.why.count(" vs "))
        return f"{nearest.row.model}: {nearest.why}; measure both in the same way"
    failed = [one for one in unmatched if one.is_first and ": " in one.why]
    if failed:
        return f"{failed[0].row.model} is not ok there: {failed[0].why}"
    models = [sorted({one.row.model for one in unmatched if one.is_first is side}) for side in (True, False)]
    if not all(models):
        return "no row of one of them is ok"
    return f"no model is in both; here {listed(models[0])}, there {listed(models[1])}"


def _may_differ(first: Side, second: Side, firsts: Sequence[Row], seconds: Sequence[Row]) -> frozenset[str]:
    """Fields that each side has one value of, another one, because they were asked for or are the machine's."""
    named = {field for side in (first, second) for field, _ in side.conditions}
    allowed = [field for field in (*ARTIFACT, "device") if field in named or field == "device"]
    found = set[str]()
    for field in allowed:
        values, others = ({getattr(one, field) for one in rows} for rows in (firsts, seconds))
        if len(values) == len(others) == 1 and values != others:
            found |= {field, *_FOLLOW.get(field, ())}
    return frozenset(found)


def _key(one: Row, aside: frozenset[str]) -> tuple[object, ...]:
    return tuple(value for field, value in _facts(one) if field not in aside)


def _facts(one: Row) -> list[tuple[str, object]]:
    return [*zip(Group._fields, group_of(one), strict=True), *zip(ARTIFACT, _artifact(one), strict=True)]


def _why(one: Row, same: Sequence[Row], others: Sequence[Row], aside: frozenset[str]) -> str:
    """Why a row has no partner: it failed there, only others like it are there, or its model is not."""
    if same:
        return f"{same[0].status}: {same[0].reason or 'no reason was recorded'}"
    alike = [other for other in others if other.model == one.model and other.status == "ok"]
    if not alike:
        return NOT_THERE
    differing = min((_differing(one, other, aside) for other in alike), key=len)
    more = ", …" if len(differing) > _SAID else ""
    return said(dict(list(differing.items())[:_SAID])) + more


def _differing(one: Row, other: Row, aside: frozenset[str]) -> dict[str, list[str]]:
    found = differences(group_of(one), group_of(other))
    for field in ARTIFACT:
        values = [text_of(getattr(row, field)) for row in (one, other)]
        if values[0] != values[1]:
            found[field] = values
    return {field: values for field, values in found.items() if field not in aside}
