"""Records as rows: read from a folder, and held against fp32 of the same weights."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo.collector import paused
from zoo.errors import UserError
from zoo.score.comparing import Scored, scored_of
from zoo.score.kept import Kept
from zoo.score.rows import Identity, Row, row
from zoo.store import folder_to_read, load, newest, read_all, when

if TYPE_CHECKING:  # kept rows are read without pydantic
    from zoo.record import Record

NO_MODEL_YET = "no model is measured yet, only the baseline; measure some with `zoo bench --models all`"


def rows_of(records: Iterable[Record], among: Iterable[Row] = ()) -> tuple[Row, ...]:
    """Return records as rows, each with the mIoU it lost against fp32 of the same weights.

    That is an eager row where there is one, of the own device if possible, else the newest; `among`: other rows that
    may be it.
    """
    found = [row(record) for record in records]
    return linked((*found, *among))[: len(found)]


def linked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows with what they are told by each other, in their order."""
    rows, time_of = _under_one_name(list(rows)), when()

    def standing(one: Row) -> tuple[bool, tuple[bool, datetime]]:
        """By which of two fp32 rows the other artifacts are held against one."""
        return one.is_reference, time_of(one)

    references: dict[Scored, dict[str | None, Row]] = defaultdict(dict)  # by device the best, by None that of all
    for candidate in rows:
        if candidate.precision == "fp32" and candidate.miou is not None and not candidate.baseline:
            best = references[scored_of(candidate)]
            for device in (candidate.device, None):
                if device not in best or standing(candidate) > standing(best[device]):
                    best[device] = candidate

    def with_loss(one: Row) -> Row:
        if one.miou is None or one.baseline or not (found := references.get(scored_of(one))):
            return one
        nearest, own = found[None], found.get(one.device)
        if own is not None and own.is_reference >= nearest.is_reference:
            nearest = own
        lost = {
            name: None if iou is None or (was := nearest.class_iou.get(name)) is None else was - iou
            for name, iou in one.class_iou.items()
        }
        numbers = {**one.numbers, "miou_lost": (nearest.miou or 0) - one.miou}
        return one._replace(numbers=numbers, class_lost=lost)

    return tuple(with_loss(candidate) for candidate in rows)


def _under_one_name(rows: list[Row]) -> list[Row]:
    """Call the same images the same, whatever their dataset's folder was called: as they were called last."""
    by_time = sorted(rows, key=when())
    names = {one.dataset_fingerprint: one.dataset for one in by_time}
    return [
        one
        if one.dataset_fingerprint is None or one.dataset == (name := names[one.dataset_fingerprint])
        else one._replace(dataset=name)
        for one in rows
    ]


class Source(NamedTuple):
    """Where a row comes from."""

    name: str
    """Of the record's file."""

    @property
    def file(self) -> Path:
        """The record's file."""
        return Path(self.name)

    @property
    def record(self) -> Record:
        """The record, read once more.

        Raises:
            UserError: it is gone, or is none any more.
        """
        return load(self.file)


Sources = Mapping[Identity, Source]
"""By the row's `identity`."""


@dataclass(frozen=True)
class Rows:
    """The rows of a results folder, and what could not be read."""

    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    sources: Sources = field(default_factory=dict, repr=False)


@paused()
def read_rows(results: Path | str | None = None, *, history: bool = False) -> Rows:
    """Read a results folder as rows; where none is named and there is no `results`, the shipped records.

    Raises:
        UserError: there is no readable record.
    """
    if not (results is None or isinstance(results, str | os.PathLike)):
        raise UserError(f"records are read from one folder, such as 'results'; got {results!r}: name it")
    folder, said = folder_to_read(results)
    kept, files = Kept(folder), dict[Identity, Source]()

    def read(name: str) -> Row:
        one = kept.read(name)
        files[one.identity] = Source(name)
        return one

    found, warnings = read_all(folder, read, required=True, ahead=kept.look_ahead)
    with kept.keeping():
        rows = linked(found if history else newest(found))
    sources = {one.identity: files[one.identity] for one in rows}
    return Rows(rows, (*said, *warnings), sources)
