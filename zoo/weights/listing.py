"""`zoo weights list`: published checkpoints as a table, JSON, CSV or Markdown. Free of torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from zoo.advice import carried
from zoo.published.facts import Published
from zoo.published.kept import file_of, published_folder
from zoo.report.markdown import grid
from zoo.report.terminal import fitted_table, fitted_text
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, Feeding

HEADER = [
    "id", "here", "fed", "trained on", "code", "weights", "data", "claimed on", "mIoU %", "MiB",
]  # fmt: skip
_WORDS = 8
"""So many columns hold words, the others numbers."""
_LONGEST = (60, 14)
"""Of a cell of words at a terminal: as many characters as there is room for, from so many to so many."""
_DROPPED = ("trained on", "code", "fed", "data", "MiB", "claimed on", "weights", "here")
"""Columns that a narrow terminal goes without, the first of them first."""


def show_published(
    rows: Sequence[Published], form: Literal["table", "json", "csv", "md"] = "table", cache: Path | None = None
) -> str:
    """Return checkpoints as text; JSON holds every fact with its source, the other formats the columns of `HEADER`.

    Args:
        rows: The checkpoints.
        form: As what.
        cache: Where their files are kept, as in `published.kept.file_of`.
    """
    if form == "json":
        return json.dumps([_facts(one, file_of(one, cache)) for one in rows], indent=1) + "\n"
    lines = [_cells(one, file_of(one, cache)) for one in rows]
    if form == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([HEADER, *lines])
        return out.getvalue()
    if form == "md":
        return grid(HEADER, lines, left=_WORDS) + "\n"
    here = sum(bool(line[1]) for line in lines)
    for longest in range(_LONGEST[0], _LONGEST[1] - 1, -1):
        cut = [[*line[:3], *(_short(cell, longest) for cell in line[3:])] for line in lines]
        table, hidden = fitted_table(HEADER, cut, left=_WORDS, drop=_DROPPED)
        if not hidden:
            break
    said = f"{here} of {len(lines)} are in {published_folder(cache)}; `zoo weights fetch ID` brings others"
    return fitted_text(table, hidden) + f"{carried(said)}\n"


def said_of(one: Published) -> str:
    """What a checkpoint is, in one line: how it is fed, what it was trained on, whose terms hold, what is claimed."""
    claim = "" if one.claim is None else f", {100 * one.claim.miou:.1f} % mIoU claimed ({one.claim.protocol})"
    return (
        f"fed {fed(one.feeding)}; trained on {one.trained_on}{claim}; code {one.code_licence.value}, weights "
        f"{one.weights_licence.value}, data {one.data_terms.value}"
    )


def fed(feeding: Feeding) -> str:
    """How a network is fed, in short: order of the channels, their scale, size."""
    order = feeding.channel_order or "rgb"
    turned = slice(None, None, -1 if order == "bgr" else 1)
    scales = {
        (IMAGENET_MEAN[turned], IMAGENET_STD[turned]): "ImageNet",
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)): "0..1",
    }
    known = scales.get((feeding.mean, feeding.std))
    scale = known or ("0..255" if feeding.std and max(feeding.std) < 1 / 128 else "own")
    size = "" if feeding.input_size is None else " {}x{}".format(*feeding.input_size)
    return f"{order.upper()} {scale}{size}"


def _cells(one: Published, file: Path) -> list[str]:
    size = _size(one, file)
    return [
        one.id,
        "yes" if file.is_file() else "",
        fed(one.feeding),
        one.trained_on,
        one.code_licence.value,
        one.weights_licence.value,
        one.data_terms.value,
        "" if one.claim is None else one.claim.protocol,
        "" if one.claim is None else f"{100 * one.claim.miou:.1f}",
        "" if size is None else f"{size / 2**20:.1f}",
    ]


def _facts(one: Published, file: Path) -> dict[str, Any]:
    facts = one.model_dump(mode="json", exclude={"key_map", "left_out", "zeroed", "classes"})
    place = str(file) if file.is_file() else None
    return {"id": one.id, **facts, "classes": one.classes.name, "file": place, "bytes": _size(one, file)}


def _size(one: Published, file: Path) -> int | None:
    """Bytes of the file that is here, else those that were stated."""
    return file.stat().st_size if file.is_file() else one.byte_count


def _short(text: str, longest: int) -> str:
    """Fit a cell into a terminal's table, where all is about Cityscapes."""
    text = text.removeprefix("Cityscapes").lstrip(": ")
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
