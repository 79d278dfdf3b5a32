"""Which model runs in which runtime, as a page: each cell is what the newest record of that artifact says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from zoo.catalog import MODELS
from zoo.protocol import RUNTIMES
from zoo.record import Precision, Record
from zoo.report.markdown import grid
from zoo.score.filtering import select
from zoo.score.reading import rows_of
from zoo.store import Scan, folder_to_read, scan, when
from zoo.units import show_size

MIN_EQUAL = 0.999
"""Share of labels that fp32 eager gives too; below it a runtime's fp32 is another answer."""
COMMAND = "zoo leaderboard --by-runtime --results FOLDER --output FILE"
TITLE = (
    f"# Models by runtime\n\n<!-- Written by `{COMMAND}`; changes by hand are lost. -->\n\n"
    "Whether each model was built, ran and answered in each runtime, by the newest record of each cell "
    "(`zoo bench --models all --runtimes installed --precision fp32,int8`). **ok**: every step went well; a number: "
    "its reason stands below; empty: not measured."
)
Column = tuple[str, Precision]
"""Runtime and precision."""
_PRECISIONS = get_args(Precision)


def read(results: Path | str | None = None, *, models: Sequence[str] = (), **conditions: object) -> Scan:
    """Read the records of a folder that meet conditions.

    Args:
        results: The folder of records; `None`: `results`, else the records that come with zoo.
        models: Only these, as `report.leaderboard.leaderboard` takes them, as it does the conditions.
        conditions: Such as `device`, `quick`.

    Raises:
        UserError: no readable record, or none that matches.
    """
    folder, told = folder_to_read(results)
    found = scan(folder, required=True)
    keys = {row.key for row in select(rows_of(found.records), models=models, **conditions)}
    return Scan(tuple(record for record in found.records if record.key in keys), (*told, *found.warnings))


def runtimes_page(records: Iterable[Record]) -> str:
    """Return the page: a section for each device, a row for each model of the table and each measured one beside."""
    by_device = defaultdict[str, list[Record]](list)
    for record in records:
        if not record.is_baseline:
            by_device[record.device.slug].append(record)
    return "\n\n".join([TITLE, *(_section(device, found) for device, found in sorted(by_device.items()))]) + "\n"


def why_not(record: Record) -> str:
    """Say in a line why an artifact is not ok; empty where it is."""
    if record.failure is not None:
        return f"{record.status}: {record.failure.step}: {record.failure.reason}"
    agreement = record.agreement
    equal = agreement.equal_label_share if agreement else None
    if record.artifact.precision == "fp32" and equal is not None and equal < MIN_EQUAL:
        return f"differs: {equal:.2%} of the labels are eager's"
    return ""


def _section(device: str, records: Sequence[Record]) -> str:
    newest = dict[tuple[str, Column], Record]()
    for record in sorted(records, key=when()):
        newest[record.artifact.model, _column(record)] = record
    columns = sorted({column for _, column in newest}, key=_place)
    measured = dict.fromkeys(model for model, _ in newest)
    models = [*MODELS, *(model for model in measured if model not in MODELS)]
    reasons = dict[str, int]()
    rows = []
    for model in models:
        cells = []
        for column in columns:
            if (found := newest.get((model, column))) is None:
                cells.append("")
            else:
                said = why_not(found)
                cells.append(str(reasons.setdefault(said, len(reasons) + 1)) if said else "ok")
        rows.append([f"`{model}`", *cells])
    parts = [
        f"## {device}",
        _made_by(list(newest.values())),
        _sums(list(newest.values()), len(models) * len(columns)),
        grid(["model", *(f"{runtime} {precision}" for runtime, precision in columns)], rows),
    ]
    if reasons:
        parts.append("\n".join(f"{number}. {said}" for said, number in reasons.items()))
    return "\n\n".join(parts)


def _column(record: Record) -> Column:
    return record.artifact.runtime, record.artifact.precision


def _place(column: Column) -> tuple[int, str, int]:
    runtime, precision = column
    known = RUNTIMES.index(runtime) if runtime in RUNTIMES else len(RUNTIMES)
    return known, runtime, _PRECISIONS.index(precision)


def _made_by(records: Sequence[Record]) -> str:
    """Machine, versions, sizes and days, each once."""

    def each(words: Iterable[str]) -> str:
        return ", ".join(sorted(set(words)))

    versions = [f"torch {record.software.torch}" for record in records]
    versions += [record.software.runtime for record in records if record.software.runtime]
    return " · ".join(
        (
            each(f"{record.device.name}, {record.device.core_count} cores" for record in records),
            each(versions),
            f"input {each(show_size(record.artifact.input_size) for record in records)}",
            f"weights {each(record.artifact.weights.label for record in records)}",
            f"measured {each(f'{record.started_at:%Y-%m-%d}' for record in records)}",
        )
    )


def _sums(records: Sequence[Record], cell_count: int) -> str:
    """How many cells there are, of which so many are measured and ok."""
    counts = Counter(why_not(record).partition(":")[0] or "ok" for record in records)
    said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"Of {cell_count} cells {len(records)} are measured: {said} ({counts['ok'] / len(records):.0%} ok)."
