"""`zoo pick` for a person: the winner, its reasons, and why the others lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Literal

from zoo.picker import Choice, Loser
from zoo.report.terminal import wrapped
from zoo.score.metrics import METRICS, SHOWN
from zoo.score.rows import WHOLE, Row, text_of

KINDS = {
    "tie": "others tie and are behind in what decided among ties",
    "behind": "others are behind",
    "unknown": "others come after, whether by more than chance is not known",
    "limit": "others break a limit",
    "failed": "others are not ok",
}
"""Of `Loser.kind`, in the order they are named, as the sentence for many of them."""
FEW = 3
"""Losers of one kind that are named each."""


def show_choice(
    choice: Choice, form: Literal["table", "json"] = "table", *, explain: bool = False, width: int | None = None
) -> str:
    """Return the answer as JSON or as text; every line of a choice among smoke tests says so.

    Args:
        choice: Of `pick`.
        form: JSON names every loser.
        explain: Name every loser in the text too, instead of a sentence for many.
        width: Columns of the text; `None`: the terminal's.
    """
    if form == "json":
        return json.dumps(_values(choice), indent=1, default=str) + "\n"
    group = choice.group
    rows = [*([choice.winner] if choice.winner else []), *(loser.row for loser in choice.losers)]
    shared = {field: {getattr(row, field) for row in rows} for field in ("weights", "input_size")}
    where = " · ".join(
        (
            *(group.device, group.dataset or "no dataset"),
            *([] if group.mode == WHOLE else [group.mode]),
            *(
                f"{field.removesuffix('_size')} {text_of(next(iter(values)))}"
                for field, values in shared.items()
                if len(values) == 1  # else the labels name it
            ),
        )
    )
    if choice.winner is None:
        lines = [f"nothing qualifies ({where})"]
        if choice.near_misses:
            lines += ["nearest:", *map(_loser, choice.near_misses)]
    else:
        lines = [
            f"{choice.label} ({where})",
            f"  {_numbers(choice.winner)}",
            *(f"  {reason}" for reason in choice.reasons),
            *(f"  note: {note}" for note in choice.notes),
        ]
    rest = [loser for loser in choice.losers if loser not in choice.near_misses]
    if rest:
        lines += ["why not the others:", *(map(_loser, rest) if explain else _in_short(rest))]
    prefix = "quick | " if choice.quick else ""
    return "".join(f"{line}\n" for text in lines for line in wrapped(text, width, prefix=prefix))


def _loser(loser: Loser) -> str:
    return f"  {loser.label}: {'; '.join(loser.why)}"


def _in_short(losers: list[Loser]) -> Iterable[str]:
    """A line each for a few of one kind, one for many, which names the nearest."""
    order = list(KINDS)
    left_out = False
    for kind, found in groupby(sorted(losers, key=lambda loser: order.index(loser.kind)), lambda loser: loser.kind):
        same = list(found)
        if len(same) <= FEW:
            yield from map(_loser, same)
            continue
        left_out = True
        reasons = {loser.why for loser in same}
        what = "each" if len(reasons) == 1 else f"the nearest {same[0].label}"
        yield f"  {len(same)} {KINDS[kind]}; {what}: {'; '.join(same[0].why)}"
    if left_out:
        yield "  (--explain names each; --format json has all their numbers)"


def _values(choice: Choice) -> dict[str, object]:
    return {
        "winner": choice.winner.as_dict() if choice.winner else None,
        "quick": choice.quick,
        "reasons": choice.reasons,
        "notes": choice.notes,
        "losers": [
            {"model": loser.row.model, "label": loser.label, "kind": loser.kind, "why": loser.why}
            for loser in choice.losers
        ],
        "near_misses": [loser.label for loser in choice.near_misses],
    }


def _numbers(row: Row) -> str:
    return ", ".join(f"{METRICS[key].title} {row.say(key)}" for key in SHOWN)
