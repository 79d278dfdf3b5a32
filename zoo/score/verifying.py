"""What is measured here against what is published: the same, another with its reason, or another without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from zoo.labels import CITYSCAPES
from zoo.published.claims import Claim
from zoo.published.figures import FIGURES, Figure, quote
from zoo.published.table import published_of
from zoo.score.metrics import METRICS
from zoo.score.rows import MIOU_TOLERANCE, Row, text_of
from zoo.spec import Size
from zoo.store import when

PARAMS_TOLERANCE, MACS_TOLERANCE = 0.01, 0.03
"""Relative; an exact number has none."""
MOST_BY_PROTOCOL = 0.05
"""What another protocol can explain at most where weights and input size are those that were published."""

Quantity = Literal["params", "macs", "miou"]
Verdict = Literal["same", "explained", "unexplained", "not measured"]


class Condition(NamedTuple):
    """What a network is built and counted with."""

    model: str
    outputs: int
    aux_heads: bool
    """Whether heads that only training runs are counted too."""
    input_size: Size | None
    """`None`: parameters alone."""


class Line(NamedTuple):
    """One published number beside the one that was measured or counted here."""

    model: str
    quantity: Quantity
    measured: float | None
    published: float
    said: str
    """As it was published: `3.34 M`, `7,625,715`, `78.7 %`."""
    of: str
    """What it was published of, where that is not the deployed network with 19 outputs: an input size, a checkpoint."""
    source: str
    """URL."""
    why: str
    """What parts the two; empty where nothing is known to."""
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """Measured minus published; of parameters and MACs relative to the published number."""
        if self.measured is None:
            return None
        difference = self.measured - self.published
        return difference if self.quantity == "miou" else difference / self.published


def conditions(models: Iterable[str]) -> list[Condition]:
    """Return what must be counted to check the parameters and MACs of some models."""
    return list(
        dict.fromkeys(
            _condition(model, quantity, figure) for model in models for quantity, figure in _figures(model).items()
        )
    )


def verify_costs(models: Iterable[str], counted: Mapping[Condition, int | None]) -> list[Line]:
    """Hold parameters and MACs as counted under `conditions` against the published ones."""
    return [
        _cost_line(model, quantity, figure, counted[_condition(model, quantity, figure)])
        for model in models
        for quantity, figure in _figures(model).items()
    ]


def verify_mious(models: Iterable[str], rows: Iterable[Row]) -> list[Line]:
    """Hold mIoUs on Cityscapes val against the published ones: those of each checkpoint, and of runs of a model.

    Of several rows of the same weights it is the one that fewest things part from what was published, then the newest.
    """
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=when()):
        if row.published is None or row.published_difference is None or row.quick:
            continue
        key = row.model, row.weights
        if key not in best or len(row.published_why) <= len(best[key].published_why):
            best[key] = row
    lines = []
    for model in models:
        stated = {f"published {one.tag}": one.claim for one in published_of(model) if one.claim}
        if not stated and (other := quote(model)) is not None:
            stated = {other.weights: other.claim}
        lines += [
            _miou_line(model, weights, claim, best.pop((model, weights), None)) for weights, claim in stated.items()
        ]
        for key in [key for key in best if key[0] == model]:
            row = best.pop(key)
            assert row.published is not None
            lines.append(_miou_line(model, row.weights, row.published.claim, row))
    return lines


def _figures(model: str) -> dict[Quantity, Figure]:
    known = FIGURES.get(model)
    pairs: dict[Quantity, Figure | None] = {} if known is None else {"params": known.params, "macs": known.macs}
    return {quantity: figure for quantity, figure in pairs.items() if figure is not None}


def _condition(model: str, quantity: Quantity, figure: Figure) -> Condition:
    return Condition(
        model, figure.outputs, figure.aux_heads, input_size=figure.input_size if quantity == "macs" else None
    )


def _cost_line(model: str, quantity: Quantity, figure: Figure, counted: int | None) -> Line:
    parts = []
    if quantity == "macs":
        parts.append(text_of(figure.input_size))
    if figure.outputs != CITYSCAPES.num_classes:
        parts.append(f"{figure.outputs} outputs")
    if figure.aux_heads:
        parts.append("with auxiliary heads")
    share = PARAMS_TOLERANCE if quantity == "params" else MACS_TOLERANCE
    tolerance = 0.0 if figure.is_exact else max(share * figure.value, figure.rounding)
    same = counted is not None and abs(counted - figure.value) <= tolerance
    verdict: Verdict = "same" if same else "explained" if figure.why and counted is not None else "unexplained"
    why = figure.why if verdict == "explained" else "" if counted is not None else "its graph cannot be traced"
    return Line(model, quantity, counted, figure.value, _said(figure), ", ".join(parts), figure.source, why, verdict)


def _said(figure: Figure) -> str:
    return f"{figure.value:,.0f}" if figure.is_exact else f"{figure.said[:-1]} {figure.said[-1]}"


def _miou_line(model: str, weights: str, claim: Claim, row: Row | None) -> Line:
    of, said = f"{weights}, {claim.protocol}", METRICS["miou"].say(claim.miou)
    if row is None:
        return Line(model, "miou", None, claim.miou, said, of, claim.source, "", "not measured")
    why, difference = row.published_why, row.published_difference
    same = difference is not None and abs(difference) <= MIOU_TOLERANCE
    verdict: Verdict = "same" if same else "explained" if why and not _is_too_far(row) else "unexplained"
    return Line(model, "miou", row.miou, claim.miou, said, of, claim.source, "" if same else "; ".join(why), verdict)


def _is_too_far(row: Row) -> bool:
    quote, difference = row.published, row.published_difference
    if quote is None or difference is None or row.weights != quote.weights or row.input_size != quote.input_size:
        return False
    return abs(difference) > MOST_BY_PROTOCOL
