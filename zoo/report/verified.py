"""`zoo verify`: published numbers beside measured ones, as a table, a page, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from zoo.report.markdown import grid
from zoo.report.terminal import Grid, print_to_text, simple_table, text_width, widest, wrapped
from zoo.score.metrics import METRICS
from zoo.score.verifying import Line

Format = Literal["table", "md", "csv", "json"]
TITLE = (
    "# Published beside measured\n\n<!-- Written by `zoo verify --output`; changes by hand are lost. -->\n\n"
    "Parameters and MACs are counted anew on the deployed network, with as many output channels as the published one "
    "has; mIoU is read from the records of Cityscapes val. Exact counts are those of the code they name."
)
NAMES = {"params": "parameters", "macs": "MACs", "miou": "mIoU"}
_METRIC = {"params": "param_count", "macs": "mac_count", "miou": "miou"}
_HEADER = ("model", "what", "measured", "published", "difference", "why")
_LEAST = 11
"""Characters of what is counted, however narrow a terminal is; the other formats have it whole."""
FIELDS = (*Line._fields, "difference")
"""Columns of CSV and JSON: numbers, fractions; the difference of counts is relative."""


def show_lines(lines: Sequence[Line], form: Format = "table") -> str:
    """Return the lines as text; the tables say in words how many agree."""
    match form:
        case "json":
            return json.dumps([_facts(line) for line in lines], indent=1) + "\n"
        case "csv":
            out = io.StringIO()
            writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(_facts(line) for line in lines)
            return out.getvalue()
        case "md":
            return _page(lines)
        case "table":
            cells = [_cells(line) for line in lines]
            table = _table([row[:-1] for row in cells])
            reasons = [line for model, what, *_, why in cells if why for line in wrapped(f"{model}, {what}: {why}")]
            return print_to_text(table) + "\n".join((*reasons, *_sums(lines))) + "\n"


def unexplained(lines: Sequence[Line]) -> list[str]:
    """Return a line for each number that differs for no known reason."""
    return [
        f"{line.model}: {NAMES[line.quantity]} {_measured(line)} here, {line.said} published ({line.source}), "
        "for no known reason"
        for line in lines
        if line.verdict == "unexplained"
    ]


def _table(cells: Sequence[Sequence[str]]) -> Grid:
    """A line each; what is counted is cut to what the terminal has room for beside names and numbers."""
    beside = simple_table(_HEADER[:-1], [[model, "", *numbers] for model, _, *numbers in cells], left=2)
    room = max(text_width() - widest(beside.plain) + len(_HEADER[1]), _LEAST)
    cut = [
        [model, what if len(what) <= room else f"{what[: room - 1].rstrip()}…", *numbers]
        for model, what, *numbers in cells
    ]
    return simple_table(_HEADER[:-1], cut, left=2)


def _page(lines: Sequence[Line]) -> str:
    parts = [TITLE, " ".join(f"{sentence}." for sentence in _sums(lines))]
    for heading, kinds in (("Parameters and MACs", ("params", "macs")), ("mIoU", ("miou",))):
        found = [line for line in lines if line.quantity in kinds]
        if found:
            rows = [
                [f"`{model}`", *rest, f"[source]({line.source})"] for line in found for model, *rest in [_cells(line)]
            ]
            parts.append(f"## {heading}\n\n{grid([*_HEADER, 'source'], rows, left=2)}")
    return "\n\n".join(parts) + "\n"


def _cells(line: Line) -> list[str]:
    what = NAMES[line.quantity] + (f" ({line.of})" if line.of else "")
    why = "no known reason" if line.verdict == "unexplained" else line.why
    return [line.model, what, _measured(line), line.said, _difference(line), why]


def _measured(line: Line) -> str:
    if line.measured is None:
        return "not measured"
    exact = line.quantity == "params" and "," in line.said
    return f"{line.measured:,}" if exact else METRICS[_METRIC[line.quantity]].say(line.measured)


def _difference(line: Line) -> str:
    if line.difference is None:
        return ""
    if line.difference == 0:
        return "0"
    number = f"{100 * line.difference:+.1f}"
    return f"{'0.0' if number in {'-0.0', '+0.0'} else number} {'points' if line.quantity == 'miou' else '%'}"


def _sums(lines: Sequence[Line]) -> list[str]:
    said = []
    for name, kinds in (("parameters and MACs", ("params", "macs")), ("mIoU", ("miou",))):
        counts = Counter(line.verdict for line in lines if line.quantity in kinds)
        if counts:
            verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
            said.append(f"{name}: {counts.total()} published, {verdicts}")
    return said


def _facts(line: Line) -> dict[str, object]:
    return {**line._asdict(), "difference": line.difference}
