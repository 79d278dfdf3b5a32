"""`zoo pick` for a person: the winner, its reasons, and why the others lost."""

from __future__ import annotations

import json
from typing import Literal

from zoo.picker import Choice
from zoo.score.metrics import METRICS
from zoo.score.rows import Row, text_of

SHOWN = ("miou", "pipeline_p50_s", "latency_p50_s", "peak_memory_bytes", "param_count", "mac_count")


def show_choice(choice: Choice, form: Literal["table", "json"] = "table") -> str:
    """Return the answer as JSON or as text; every line of a choice among smoke tests says so."""
    if form == "json":
        return json.dumps(_values(choice), indent=1, default=str) + "\n"
    group = choice.group
    sizes = {row.input_size for row in (choice.winner, *(loser.row for loser in choice.losers)) if row is not None}
    where = " · ".join(
        (
            *(group.device, group.dataset or "no dataset", f"recipe {group.recipe}"),
            *(f"input {text_of(size)}" for size in sizes if len(sizes) == 1),  # else the labels name it
        )
    )
    if choice.winner is None:
        lines = [f"nothing qualifies ({where})"]
        if choice.near_misses:
            lines += ["nearest:", *(f"  {loser.label}: {'; '.join(loser.why)}" for loser in choice.near_misses)]
    else:
        lines = [
            f"{choice.label} ({where})",
            f"  {_numbers(choice.winner)}",
            *(f"  {reason}" for reason in choice.reasons),
            *(f"  note: {note}" for note in choice.notes),
        ]
    rest = [loser for loser in choice.losers if loser not in choice.near_misses]
    if rest:
        lines += ["why not the others:", *(f"  {loser.label}: {'; '.join(loser.why)}" for loser in rest)]
    prefix = "quick | " if choice.quick else ""
    return "".join(f"{prefix}{line}\n" for line in lines)


def _values(choice: Choice) -> dict[str, object]:
    return {
        "winner": choice.winner.as_dict() if choice.winner else None,
        "quick": choice.quick,
        "reasons": choice.reasons,
        "notes": choice.notes,
        "losers": [{"model": loser.row.model, "label": loser.label, "why": loser.why} for loser in choice.losers],
        "near_misses": [loser.label for loser in choice.near_misses],
    }


def _numbers(row: Row) -> str:
    return ", ".join(f"{METRICS[key].title} {row.say(key)}" for key in SHOWN)
