"""Records as rows: read from a folder, held against fp32 of the same weights, and filtered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.errors import UserError, did_you_mean
from zoo.record import Record
from zoo.score.comparing import group_of, images_of
from zoo.score.rows import Row, row, text_of
from zoo.spec import Size
from zoo.store import scan

NO_MODEL_YET = "no model is measured yet, only the baseline; measure some with `zoo bench --models all`"


def rows_of(records: Iterable[Record]) -> tuple[Row, ...]:
    """Return records as rows, each with the mIoU it lost against the newest eager fp32 row of the same weights."""
    rows = [row(record) for record in records]
    references: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for candidate in rows:
        if candidate.is_reference and candidate.miou is not None:
            references[_weights_and_images(candidate)].append(candidate)

    def with_loss(one: Row) -> Row:
        found = references[_weights_and_images(one)]
        if one.miou is None or one.baseline or not found:
            return one
        nearest = max(found, key=lambda other: (other.device == one.device, other.started_at))
        return replace(one, miou_lost=(nearest.miou or 0) - one.miou)

    return tuple(with_loss(candidate) for candidate in rows)


def _weights_and_images(one: Row) -> tuple[object, ...]:
    """All that mIoU depends on, apart from runtime and precision."""
    sizes = one.input_size, one.output_size, one.resize
    return one.model, one.weights_sha256, *sizes, *images_of(group_of(one))


@dataclass(frozen=True)
class Rows:
    """The rows of a results folder, and what could not be read."""

    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def read_rows(results: Path, *, history: bool = False) -> Rows:
    """Read a results folder as rows.

    Raises:
        UserError: there is no readable record.
    """
    found = scan(results, history=history, required=True)
    return Rows(rows_of(found.records), found.warnings)


def select(
    rows: Iterable[Row],
    *,
    device: str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    input_size: Size | None = None,
    batch_size: int | None = None,
    thread_count: int | None = None,
    resize: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    models: Sequence[str] = (),
    preset: str | None = None,
    quick: bool | None = None,
) -> list[Row]:
    """Keep the rows that match; a dataset or recipe is also known by the first 6 or more digits of its hash.

    Several `models` may be named; a row matches any of them.

    Raises:
        UserError: a value that no row has; it names those that exist.
    """
    kept = list(rows)
    for field, hash_field, wanted in (
        ("device", None, device),
        ("dataset", "dataset_fingerprint", dataset),
        ("recipe", "recipe_hash", recipe),
        ("input_size", None, input_size),
        ("batch_size", None, batch_size),
        ("thread_count", None, thread_count),
        ("resize", None, resize),
        ("runtime", None, runtime),
        ("precision", None, precision),
        ("preset", None, preset),
        ("quick", None, quick),
    ):
        if wanted is None:
            continue
        # The baseline has no device, recipe or input size to speak of: it goes where its dataset goes.
        matching = [
            candidate
            for candidate in kept
            if getattr(candidate, field) == wanted
            or (candidate.baseline and field != "dataset")
            or (hash_field and len(str(wanted)) >= 6 and str(getattr(candidate, hash_field)).startswith(str(wanted)))
        ]
        if all(candidate.baseline for candidate in matching) and not all(candidate.baseline for candidate in kept):
            raise UserError(_no_record(field, text_of(wanted), kept))
        kept = matching
    for model in models:
        if all(candidate.model != model for candidate in kept):
            raise UserError(_no_record("model", model, kept))
    return [candidate for candidate in kept if candidate.model in models or candidate.baseline] if models else kept


def _no_record(field: str, wanted: str, rows: list[Row]) -> str:
    known = sorted({text_of(getattr(candidate, field)) for candidate in rows if not candidate.baseline})
    hint = did_you_mean(wanted, known)
    return f"no record with {field.replace('_', ' ')} {wanted!r}.{hint} There is: {', '.join(known)}"
