"""What a table is called, and what is to be read before its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.errors import counted
from zoo.score.comparing import Group, differences, images_said
from zoo.score.rows import WHOLE, Row, text_of

NAMES = {"dataset_fingerprint": "images", "thread_count": "threads"}
"""Group fields as a title says them, where their own name would not do."""
RANDOM = "random"
"""The label of weights that nobody trained."""
CAUTION = "a row speaks of its weights, not of the architecture"


def titles(groups: Mapping[Group, Sequence[Row]]) -> list[str]:
    """Return what each table is called, in order; those that would be called alike say in what they differ."""
    titles = {group: _title(group, rows) for group, rows in groups.items()}
    found = []
    for group, title in titles.items():
        alike = [
            other for other in titles if titles[other] == title or other._replace(protocol=group.protocol) == group
        ]
        said = [f"{NAMES.get(field, field)} {text_of(getattr(group, field))}" for field in differences(*alike)]
        found.append(" · ".join((title, *said)))
    return found


def shared_weights(rows: Sequence[Row]) -> str | None:
    """Return what all rows but the baseline have; `None` where they differ, and empty for a baseline alone.

    In a smoke test it is what all have that have an mIoU: the others are random.
    """
    labels = {row.weights for row in rows if not row.baseline} or {""}
    scored = {row.weights for row in rows if not row.baseline and row.miou is not None}
    if len(scored) == 1 and labels - scored == {RANDOM} and all(row.quick for row in rows):
        labels = scored
    return next(iter(labels)) if len(labels) == 1 else None


def _title(group: Group, rows: Sequence[Row]) -> str:
    weights = shared_weights(rows)
    steps = {row.step_count for row in rows if row.status == "ok" and row.weights == weights}
    step_count = next(iter(steps)) if len(steps) == 1 else None
    dataset = group.dataset or "no dataset"
    if any(row.synthetic for row in rows) and "synthetic" not in dataset:
        dataset += " (synthetic)"
    said_weights = f"weights {weights}" if weights else ""
    if weights and step_count is not None:
        said_weights += f" ({counted(step_count, 'step')})"
    if group.split:
        dataset += f" {group.split}"
    limited = any(row.image_limit is not None and row.image_limit == group.image_count for row in rows)
    said = max(map(images_said, rows), key=len)  # older records do not know how many the split has
    sizes = {row.input_size for row in rows}
    shared = [
        next(iter(values))
        for field in ("runtime", "precision")
        if len(values := {getattr(row, field) for row in rows if not row.baseline}) == 1
    ]
    return " · ".join(
        part
        for part in (
            "QUICK" if group.quick else "",
            group.device,
            f"{said} images of {dataset}" if limited or " of " in said else dataset,
            said_weights,
            "" if group.mode == WHOLE else group.mode,
            ("input " + text_of(next(iter(sizes))) + " → " if len(sizes) == 1 else "output ")
            + text_of(group.output_size),
            f"batch {group.batch_size}",
            rows[0].pace,
            *shared,
        )
        if part
    )


def caution_of(group: Group, rows: Sequence[Row]) -> str:
    """Return what is to be read before the numbers; empty for a full run on real images."""
    parts = []
    if group.quick:
        steps = sorted({row.step_count for row in rows if row.step_count is not None})
        after = f" after {' or '.join(str(step) for step in steps)} training steps" if 0 < len(steps) < 3 else ""
        parts.append(f"QUICK — a smoke test: mIoU{after} says nothing about the architecture.")
    if any(row.synthetic for row in rows):
        parts.append("The images are synthetic: drawn, not photographed.")
    if len({row.weights for row in rows if row.miou is not None and not row.baseline}) > 1:
        parts.append(f"The weights differ: {CAUTION}.")
    return " ".join(parts)
