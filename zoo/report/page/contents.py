"""What the page knows: the tables, and of every row what its card shows, as compact JSON.

What many rows share (weights, machines, confusion matrices …) stands once, in `pools`, and a row names its place there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo import __version__
from zoo.errors import UserError
from zoo.record import Accuracy, Latency, Record, short_hash
from zoo.report.board import FASTEST, LOST, MARKS, UNDER, Board, Line, Table
from zoo.report.page.commands import commands_of
from zoo.report.quoted import quoted
from zoo.score.comparing import Group, scored_of
from zoo.score.metrics import METRICS, SHOWN, Metric
from zoo.score.reading import Source
from zoo.score.rows import Row, text_of
from zoo.store import samples

DIGITS = 5
"""Significant digits of what was timed; what was counted keeps all."""
BINS = 40
"""Of a latency's histogram, from the fastest call to the 99th percentile; slower ones are counted in one more."""
MOST_SAMPLED = 3000
"""A page of more rows draws their latencies by percentiles: reading a file of samples for each would take seconds."""
SUMMARY = ("min_s", "p25_s", "p50_s", "p75_s", "p90_s", "p95_s", "p99_s", "p999_s", "max_s")
"""Of a latency, in this order."""
FACTS = (
    *("model", "family", "runtime", "precision", "input_size", "output_size", "resize", "mode", "batch_size"),
    *("memory_format", "compile_mode", "thread_count", "weights", "seed_count", "grade", "preset", "torch"),
)
"""Of a row, as text."""


@dataclass
class Pools:
    """Values that rows share, each once."""

    values: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    _places: dict[tuple[str, str], int] = field(default_factory=dict)

    def place(self, pool: str, value: Any) -> int | None:
        """Return where a value stands in its pool; none for nothing."""
        if value is None:
            return None
        key = pool, json.dumps(value)
        if key not in self._places:
            self._places[key] = len(self.values[pool])
            self.values[pool].append(value)
        return self._places[key]


def page_contents(board: Board) -> dict[str, Any]:
    """Return all that a page shows of a board; numbers in SI units, shares per 10,000, confusion per 1,000 of a row."""
    pools = Pools()
    lines: dict[tuple[str, str], Line] = {}
    for table in board.tables:
        for line in table.lines:
            lines.setdefault(_id(line.row), line)
    place = {known: index for index, known in enumerate(lines)}
    references = _references(board.rows)
    sampled = len(lines) <= MOST_SAMPLED
    cards = [
        _card(line.row, board.sources.get((line.row.key, line.row.started_at)), references, pools, sampled=sampled)
        for line in lines.values()
    ]
    rows = [line.row for line in lines.values()]
    return {
        "version": __version__,
        "sort": board.sort,
        "metrics": [_metric(metric) for metric in METRICS.values()],
        "shown": SHOWN,
        "marks": {mark: MARKS[mark] for mark in (FASTEST, LOST, UNDER)},
        "groups": [_group(table, [place[_id(line.row)] for line in table.lines]) for table in board.tables],
        "facts": {name: [_text(getattr(row, name)) for row in rows] for name in FACTS},
        "numbers": _known({key: [_round(metric, row.value(key)) for row in rows] for key, metric in METRICS.items()}),
        "spans": _known({key: [_span(row, key) for row in rows] for key in METRICS if METRICS[key].interval}),
        "columns": {name: [card[name] for card in cards] for name in cards[0]} if cards else {},
        "pools": pools.values,
    }


def _id(row: Row) -> tuple[str, str]:
    return row.key, row.started_at.isoformat()


def _metric(metric: Metric) -> dict[str, Any]:
    facts = ("key", "title", "unit", "better", "scale", "decimals", "least", "exact", "column", "marked")
    return {name: getattr(metric, name) for name in facts}


def _group(table: Table, places: Sequence[int]) -> dict[str, Any]:
    group = table.group
    title = table.title.split(" · ")
    return {
        "id": short_hash([text_of(value) for value in group], 6),
        "device": group.device,
        "title": " · ".join(part for part in title if part != group.device),
        "caution": table.caution,
        "columns": [column.key for column in table.columns],
        "rows": places,
        "names": [line.name for line in table.lines],
        "marks": [line.marks for line in table.lines],
        "published": [quoted(line.row) for line in table.lines],
        "claims": [places[table.lines.index(line)] for line in table.claims],
        "failed": table.failed,
        "notes": table.notes,
        "alike": [text_of(getattr(group, name)) for name in Group._fields if name not in {"device", "quick"}],
    }


def _text(value: object) -> str | int | None:
    return value if value is None or isinstance(value, int) else text_of(value)


def _round(metric: Metric, value: float | None) -> float | int | None:
    if value is None:
        return None
    if metric.exact or float(value).is_integer():
        return round(value)
    return _short(value)


def _short(value: float | None, digits: int = DIGITS) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def _known(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Those that some row has a value of."""
    return {key: column for key, column in columns.items() if any(value is not None for value in column)}


def _span(row: Row, key: str) -> tuple[float | None, ...] | None:
    span = row.span(key)
    return None if span is None else tuple(_short(end) for end in span)


def _references(rows: Sequence[Row]) -> Mapping[object, Row]:
    """Of what mIoU depends on, the row that others are held against: eager fp32, else any fp32."""
    found: dict[object, Row] = {}
    for row in sorted(rows, key=lambda row: (row.is_reference, row.started_at)):
        if row.precision == "fp32" and row.class_iou and not row.baseline:
            found[scored_of(row)] = row
    return found


def _card(
    row: Row, source: Source | None, references: Mapping[object, Row], pools: Pools, *, sampled: bool
) -> dict[str, Any]:
    record = source.record if source else None
    accuracy = record.accuracy if record else None
    reference = references.get(scored_of(row)) if row.class_iou and not row.baseline else None
    return {
        "id": row.key[:8],
        "at": f"{row.started_at:%Y-%m-%d %H:%M}",
        "baseline": int(row.baseline),
        "reasons": pools.place("reasons", row.grade_reasons or None),
        "classes": pools.place("classes", list(row.class_iou) or None),
        "iou": pools.place("iou", _shares(row.class_iou.values())),
        "against": pools.place("iou", _shares(reference.class_iou.values())) if reference not in (None, row) else None,
        "against_name": pools.place("names", _said(reference)) if reference not in (None, row) else None,
        "pixels": pools.place("pixels", _pixels(accuracy)),
        "confusion": pools.place("confusion", _confusion(accuracy)),
        "published": pools.place("published", _published(row)),
        "latency": _latency(record, source, sampled=sampled),
        "provenance": pools.place("provenance", _provenance(row, record)),
        "machine": pools.place("machine", _machine(row, record)),
        "weights_of": pools.place("weights", _weights(record)),
        "commands": pools.place("commands", commands_of(row)),
        "file": source.file.as_posix() if source else None,
    }


def _said(row: Row | None) -> str | None:
    return None if row is None else f"{row.runtime} {row.precision}"


def _shares(values: Any) -> list[int | None] | None:
    """Fractions per 10,000."""
    return [None if value is None else round(value * 1e4) for value in values] or None


def _pixels(accuracy: Accuracy | None) -> list[int | None] | None:
    """Share of the counted pixels that each class has."""
    if accuracy is None:
        return None
    counts = np.array(accuracy.confusion, dtype=np.int64).sum(axis=1)
    return _shares((counts / max(counts.sum(), 1)).tolist())


def _confusion(accuracy: Accuracy | None) -> list[int] | None:
    """Row-normalised, row after row: truth, then what it was taken for, the last column for none of the classes."""
    if accuracy is None:
        return None
    counts = np.array(accuracy.confusion, dtype=np.int64)
    whole = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [round(share) for share in (1000 * counts / whole).ravel().tolist()]


def _published(row: Row) -> dict[str, Any] | None:
    if row.published is None:
        return None
    claim = row.published.claim
    return {
        "miou": claim.miou,
        "protocol": claim.protocol,
        "weights": row.published.weights,
        "source": claim.source,
        "difference": row.published_difference,
        "why": row.published_why,
    }


def _latency(record: Record | None, source: Source | None, *, sampled: bool) -> dict[str, Any] | None:
    """Of each timed scope the percentiles in µs, the number of calls, and their histogram where there are samples."""
    if record is None or record.speed is None:
        return None
    try:
        drawn = samples(source.file) if sampled and source else {}
    except UserError:  # a damaged sidecar: its record still stands
        drawn = {}
    scopes: dict[str, Latency | None] = {"pipeline": record.speed.pipeline, "network": record.speed.network}
    return {
        scope: {
            "n": latency.sample_count,
            "of": [_microseconds(getattr(latency, name)) for name in SUMMARY],
            **({"bins": _bins(drawn[f"{scope}_s"], latency)} if f"{scope}_s" in drawn else {}),
        }
        for scope, latency in scopes.items()
        if latency is not None
    }


def _microseconds(seconds: float | None) -> float | None:
    return None if seconds is None else _short(seconds * 1e6, 4)


def _bins(seconds: npt.NDArray[Any], latency: Latency) -> list[int]:
    """Calls in each of `BINS` equal steps from the fastest to the 99th percentile, and beyond them."""
    end = float(np.quantile(seconds, 0.99))
    if end <= latency.min_s:
        return [len(seconds)]
    counts, _ = np.histogram(seconds, BINS, (latency.min_s, end))
    return [*counts.tolist(), len(seconds) - int(counts.sum())]


def _provenance(row: Row, record: Record | None) -> dict[str, str]:
    facts: dict[str, object] = {
        "latency protocol": row.protocol,
        "accuracy protocol": row.miou_protocol,
        "dataset": f"{row.dataset} {row.split} @{(row.dataset_fingerprint or '')[:8]}" if row.dataset else None,
        "images": row.image_count,
        "code of the network": row.code_sha256[:12],
    }
    if record is not None:
        software = record.software.model_dump(exclude_none=True)
        facts["software"] = ", ".join(f"{name} {version}" for name, version in software.items())
        if record.build and record.build.options:
            facts["runtime options"] = ", ".join(f"{name}={value}" for name, value in record.build.options.items())
    return {name: str(value) for name, value in facts.items() if value is not None}


def _machine(row: Row, record: Record | None) -> dict[str, str]:
    facts = {"device": row.device_name, "machine": row.machine_id[:12]}
    if record is not None:
        device = record.device
        facts["cores"] = str(device.core_count)
        facts["memory"] = f"{device.memory_bytes / 2**30:.0f} GiB"
        if device.isa:
            facts["instruction sets"] = " ".join(device.isa)
    return facts


def _weights(record: Record | None) -> dict[str, Any] | None:
    if record is None or record.is_baseline:
        return None
    weights = record.artifact.weights
    facts: dict[str, object] = {
        "weights": weights.label,
        "trained on": weights.trained_on,
        "recipe": weights.recipe if weights.recipe_hash else None,
        "steps": weights.step_count,
        "seed": weights.seed,
        "encoder began from": weights.pretrained,
        "began from": weights.init,
        "sha256": weights.sha256 and weights.sha256[:16],
        "licence of the weights": weights.licence or "unknown",
        "published at": weights.url,
        "notes": "; ".join(weights.notes),
    }
    if weights.feeding is not None:
        fed = weights.feeding
        facts |= {"mean": _triple(fed.mean), "std": _triple(fed.std), "channels": fed.channel_order.upper()}
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _triple(values: Sequence[float] | None) -> str | None:
    return None if values is None else " ".join(f"{value:g}" for value in values)
