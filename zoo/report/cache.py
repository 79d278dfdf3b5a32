"""`zoo cache`: what the cache holds, or what of it would go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from zoo.cache import Entry
from zoo.errors import counted
from zoo.report.terminal import print_to_text, simple_table

HEADER = ["kind", "entry", "last used", "", "MiB"]


def show_entries(
    entries: Sequence[Entry], form: Literal["table", "json"] = "table", now: datetime | None = None
) -> str:
    """Return entries as text; JSON has sizes in bytes and times in UTC."""
    if form == "json":
        rows = [
            {
                "kind": entry.kind,
                "folder": str(entry.folder),
                "bytes": entry.bytes,
                "used_at": entry.used_at.isoformat(),
                "in_use": entry.in_use,
            }
            for entry in entries
        ]
        return json.dumps(rows, indent=1) + "\n"
    now = now or datetime.now(UTC)
    lines = [
        [entry.kind, entry.folder.name, _ago(entry, now), "in use" if entry.in_use else "", _mib(entry.bytes)]
        for entry in entries
    ]
    return print_to_text(simple_table(HEADER, lines, left=4)) if lines else ""


def say_size(entries: Sequence[Entry]) -> str:
    """Return how many entries there are, and how large they are together: `"3 entries, 120 MiB"`."""
    size = sum(entry.bytes for entry in entries)
    text = f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{_mib(size)} MiB"
    return f"{counted(len(entries), 'entry', 'entries')}, {text}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}" if size < 10 * 2**20 else f"{size / 2**20:.0f}"


def _ago(entry: Entry, now: datetime) -> str:
    age_s = max(0.0, (now - entry.used_at).total_seconds())
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if age_s >= seconds:
            count = int(age_s // seconds)
            return f"{counted(count, unit)} ago"
    return "now"
