"""What the card of a row shows.

What many rows share (weights, machines, confusion matrices …) stands once, in pools, and a card names its place there.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.lazy import Lazy
from zoo.picker.deciding import cautions
from zoo.report.board import MAY_BE_MORE
from zoo.report.page.digits import decided_by, only_shown
from zoo.score.commands import how_to_export, how_to_have_weights, how_to_load, how_to_measure, what_trains
from zoo.score.licences import Licences
from zoo.score.paired import Pairs
from zoo.score.reading import Source
from zoo.score.rows import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from zoo.record import Accuracy, Record
    from zoo.timed import Latency
else:  # for pages that read records
    np = Lazy("numpy")

BINS = 40
"""Of a latency's histogram, from the fastest call to the 99th percentile; slower ones are counted in one more."""
SUMMARY = ("min_s", "p25_s", "p50_s", "p75_s", "p90_s", "p95_s", "p99_s", "p999_s", "max_s")
"""Of a latency, in this order."""


@dataclass
class Pools:
    """Values that rows share, each once."""

    values: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    _places: dict[tuple[str, Hashable], int] = field(default_factory=dict)

    def place(self, pool: str, value: Any) -> int | None:
        """Return where a value stands in its pool; none for nothing."""
        if value is None:
            return None
        return self.place_of(pool, tuple(value.items() if isinstance(value, dict) else value), lambda _: value)

    def place_of(self, pool: str, facts: Hashable, make: Callable[[Any], Any]) -> int:
        """Return where stands what is made of some facts, which is made once."""
        key = pool, facts
        if key not in self._places:
            self._places[key] = len(self.values[pool])
            self.values[pool].append(make(facts))
        return self._places[key]


def card_of(row: Row, source: Source | None, baseline: Row | None, pools: Pools, pairs: Pairs | None) -> dict[str, Any]:
    """Return what the card of a row shows, beside its table's `baseline`; `pairs` where its record may be read."""
    record = source.record if pairs and source else None
    licences = pools.place_of("licences", row.licences, _licences)
    return {
        "at": row.started_at.isoformat(" ", "minutes")[:16],
        "baseline": int(row.baseline),
        "for_sale": int(not pools.values["licences"][licences]["against"]),
        "recipe": pools.place("recipes", (row.recipe, row.recipe_hash) if row.recipe_hash else None),
        "cautions": pools.place("cautions", cautions(row, baseline) or None),
        "may_be_more": pools.place("may_be_more", [key for key in MAY_BE_MORE if _may_be_more(row, key)] or None),
        "doubts": pools.place("doubts", row.doubts or None),
        "classes": pools.place_of("classes", tuple(row.class_iou), list) if row.class_iou else None,
        "iou": pools.place_of("iou", tuple(row.class_iou.values()), _class_values) if row.class_iou else None,
        "lost": pools.place_of("lost", tuple(row.class_lost.values()), _class_values) if row.class_lost else None,
        "reference": int(row.is_reference),
        "pixels": pools.place_of("pixels", tuple(row.class_share.values()), _pixels) if row.class_share else None,
        "confusion": pools.place("confusion", _confusion(record.accuracy if record else None)),
        "published": pools.place("published", _published(row)),
        "latency": _latency(record, row, pairs),
        "provenance": pools.place("provenance", _provenance(row, record)),
        "machine": pools.place("machine", _machine(row, record)),
        "weights_of": pools.place("weights", _weights(record)),
        "licences": licences,
        "commands": pools.place("commands", _commands(row)),
        "file": source.name.replace(os.sep, "/") if source else None,
    }


def class_spans_of(row: Row, pools: Pools, pairs: Pairs) -> int | None:
    """Return where the intervals of its classes' IoU stand, in their order; none where no counts are at hand."""
    spans = tuple(pairs.class_spans(row).values())
    return pools.place_of("iou_span", spans, _ends) if spans else None


def _ends(spans: Iterable[tuple[float, float] | None]) -> list[list[float] | None]:
    return [None if span is None else [only_shown(end) for end in span] for span in spans]


def _may_be_more(row: Row, key: str) -> bool:
    return row.numbers[key] is not None and MAY_BE_MORE[key](row)


def _class_values(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else decided_by(value) for value in values]


def _pixels(shares: Iterable[float]) -> list[float]:
    return [only_shown(share) for share in shares]


def _licences(licences: Licences) -> dict[str, Any]:
    """Of code, weights and training data what is stated and where; and what speaks against a sale."""
    return {
        "facts": {what: [(one.value, one.source) for one in parts] for what, parts in licences.by_name.items()},
        "against": licences.why_not_for_sale(),
    }


def _confusion(accuracy: Accuracy | None) -> list[int] | None:
    """Row-normalised, row after row: truth, then what it was taken for, the last column for none of the classes.

    As it is shown: what is right per 1,000, the rest, which is most of a page of many rows, in per cent.
    """
    if accuracy is None:
        return None
    counts = np.array(accuracy.confusion, dtype=np.int64)
    exact = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = np.rint(100 * exact).astype(np.int64)
    np.fill_diagonal(shares, np.rint(1000 * np.diagonal(exact)))
    listed: list[int] = shares.ravel().tolist()
    return listed


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


def _latency(record: Record | None, row: Row, pairs: Pairs | None) -> dict[str, Any] | None:
    """Of each timed scope the percentiles in µs, the number of calls, and their histogram where there are samples."""
    if record is None or record.speed is None or pairs is None:
        return None
    scopes: dict[str, Latency | None] = {"pipeline": record.speed.pipeline, "network": record.speed.network}
    return {
        scope: {
            "n": latency.sample_count,
            "of": [_microseconds(getattr(latency, name)) for name in SUMMARY],
            **_histogram(pairs.seconds(row, f"{scope}_s"), latency),
        }
        for scope, latency in scopes.items()
        if latency is not None
    }


def _microseconds(seconds: float | None) -> float | None:
    return None if seconds is None else only_shown(seconds * 1e6)


def _histogram(seconds: npt.NDArray[Any], latency: Latency) -> dict[str, Any]:
    """Calls in each of `BINS` equal steps from the fastest to the 99th percentile, in µs too, and beyond them."""
    if not len(seconds):
        return {}
    end = float(np.quantile(seconds, 0.99))
    if end <= latency.min_s:
        return {"bins": [len(seconds)], "end": _microseconds(end)}
    counts, _ = np.histogram(seconds, BINS, (latency.min_s, end))
    return {"bins": [*counts.tolist(), len(seconds) - int(counts.sum())], "end": _microseconds(end)}


def _provenance(row: Row, record: Record | None) -> dict[str, str]:
    facts: dict[str, object] = {
        "latency protocol": row.protocol,
        "accuracy protocol": row.miou_protocol,
        "dataset": f"{row.dataset} {row.split} @{(row.dataset_fingerprint or '')[:8]}" if row.dataset else None,
        "images": row.image_count,
        "code of the network": row.code_sha256[:12],
        "int8": row.int8,
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
        if record.speed and (given := record.speed.witness.environment):
            facts["variables"] = ", ".join(f"{name}={value}" for name, value in given.items())
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
        "published at": weights.url,
        "notes": "; ".join(weights.notes),
    }
    if weights.feeding is not None:
        fed = weights.feeding
        facts |= {"mean": _triple(fed.mean), "std": _triple(fed.std), "channels": fed.channel_order.upper()}
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _commands(row: Row) -> list[tuple[str, str]]:
    """Pairs of what for and what a person types; none for the baseline."""
    if row.baseline:
        return []
    train = how_to_have_weights(row)
    found = {
        what_trains(row, train): train,
        "write the file": how_to_export(row),
        "see what it sees of a picture": "" if row.weights_source == "random" else how_to_load(row),
        "measure it here": how_to_measure(row),
        "count its mIoU": "" if row.miou is not None else how_to_measure(row, "miou"),
    }
    return [(what, command) for what, command in found.items() if command]


def _triple(values: Sequence[float] | None) -> str | None:
    return None if values is None else " ".join(f"{value:g}" for value in values)
