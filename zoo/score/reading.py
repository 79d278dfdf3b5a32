"""Records as rows: read from a folder, and held against fp32 of the same weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from zoo.record import Record
from zoo.score.comparing import Scored, scored_of
from zoo.score.rows import Row, row
from zoo.store import result_path, scan

NO_MODEL_YET = "no model is measured yet, only the baseline; measure some with `zoo bench --models all`"


def rows_of(records: Iterable[Record]) -> tuple[Row, ...]:
    """Return records as rows, each with the mIoU it lost against fp32 of the same weights.

    That is an eager row where there is one, of the own device if possible, else the newest.
    """
    rows = _under_one_name([row(record) for record in records])
    references: dict[Scored, list[Row]] = defaultdict(list)
    for candidate in rows:
        if candidate.precision == "fp32" and candidate.miou is not None and not candidate.baseline:
            references[scored_of(candidate)].append(candidate)

    def with_loss(one: Row) -> Row:
        found = references[scored_of(one)]
        if one.miou is None or one.baseline or not found:
            return one
        nearest = max(found, key=lambda other: (other.is_reference, other.device == one.device, other.started_at))
        lost = {
            name: None if iou is None or (was := nearest.class_iou.get(name)) is None else was - iou
            for name, iou in one.class_iou.items()
        }
        return replace(one.having(miou_lost=(nearest.miou or 0) - one.miou), class_lost=lost)

    return tuple(with_loss(candidate) for candidate in rows)


def _under_one_name(rows: list[Row]) -> list[Row]:
    """Call the same images the same, whatever their dataset's folder was called: as they were called last."""
    by_time = sorted(rows, key=lambda one: one.started_at)
    names = {one.dataset_fingerprint: one.dataset for one in by_time}
    return [
        one if one.dataset_fingerprint is None else replace(one, dataset=names[one.dataset_fingerprint]) for one in rows
    ]


class Source(NamedTuple):
    """Where a row comes from."""

    record: Record
    file: Path


Sources = Mapping[tuple[str, datetime], Source]
"""By the row's key and time."""


@dataclass(frozen=True)
class Rows:
    """The rows of a results folder, and what could not be read."""

    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    sources: Sources = field(default_factory=dict, repr=False)


def read_rows(results: Path, *, history: bool = False) -> Rows:
    """Read a results folder as rows.

    Raises:
        UserError: there is no readable record.
    """
    found = scan(results, history=history, required=True)
    sources = {(one.key, one.started_at): Source(one, results / result_path(one)) for one in found.records}
    return Rows(rows_of(found.records), found.warnings, sources)
