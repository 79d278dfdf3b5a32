"""`zoo list`: the registry as a table, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Literal

from zoo.report.markdown import grid
from zoo.report.terminal import fitted_table, fitted_text
from zoo.spec import ModelSpec

HEADER = ["name", "family", "encoder", "recipe", "tags", "paper"]
_DROPPED = ("recipe", "paper", "encoder", "tags", "family")
"""Columns that a narrow terminal goes without, the first of them first; most names hold the encoder."""


def show_models(specs: Sequence[ModelSpec], form: Literal["table", "json", "csv", "md"] = "table") -> str:
    """Return specs as text; JSON holds every field of a spec, the other formats the columns of `HEADER`."""
    if form == "json":
        return json.dumps([spec.model_dump(mode="json") for spec in specs], indent=1) + "\n"
    rows = [[spec.name, spec.family, spec.encoder, spec.recipe, " ".join(spec.tags), spec.paper] for spec in specs]
    if form == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([HEADER, *rows])
        return out.getvalue()
    if form == "md":
        return grid(HEADER, rows, left=len(HEADER)) + "\n"
    return fitted_text(*fitted_table(HEADER, rows, left=len(HEADER), drop=_DROPPED))
