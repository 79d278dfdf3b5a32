"""A published mIoU as a table shows it beside a measured one, and what is to be said of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from zoo.published.claims import OTHER_WEIGHTS
from zoo.score.metrics import METRICS
from zoo.score.rows import MIOU_TOLERANCE, Row

OTHER = "~"
"""Before a published mIoU of weights that cannot be loaded."""


def quoted(row: Row) -> str:
    """Return such as `78.7 whole (-0.3)`: what others state, how they counted, and this mIoU minus theirs."""
    if row.published is None:
        return ""
    claim, show = row.published.claim, METRICS["miou"].show
    mark = OTHER if row.published.weights == OTHER_WEIGHTS else ""
    return f"{mark}{show(claim.miou)} {claim.word}{_minus(row)}"


def notes_on(rows: Sequence[Row]) -> Iterator[str]:
    """Say what the published mIoUs of a table are, and what parts them from those that were counted here."""
    known = [row for row in rows if row.published]
    if not known:
        return
    said = ["published mIoU: on Cityscapes val as others state it, not measured here and not ranked"]
    if any(row.published_difference is not None for row in known):
        said.append("in brackets mIoU here minus it")
    if any(row.miou is not None and row.published_difference is None for row in known):
        said.append("mIoU of other images is not held against it")
    if any(quoted(row).startswith(OTHER) for row in known):
        said.append(f"{OTHER} {OTHER_WEIGHTS}")
    yield "; ".join(said)
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in known:
        if row.published_why:
            reasons["; ".join(row.published_why)].append(row.model)
    for reason, models in reasons.items():
        yield f"not the published mIoU of {', '.join(dict.fromkeys(models))}: {reason}"
    strange = [
        row.model for row in known if not row.published_why and abs(row.published_difference or 0) > MIOU_TOLERANCE
    ]
    if strange:
        yield f"not the published mIoU of {', '.join(dict.fromkeys(strange))}, for no known reason"


def _minus(row: Row) -> str:
    difference = row.published_difference
    if difference is None:
        return ""
    shown = METRICS["miou"].show(difference)
    return f" ({'+' if difference > 0 and shown != '0.0' else ''}{shown})"
