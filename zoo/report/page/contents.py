"""What the page knows: the tables, and of every row what its card shows, as compact JSON.

What many rows share (weights, machines, confusion matrices …) stands once, in `pools`, and a row names its place there.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import ROUND_05UP, Context
from itertools import chain, combinations
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from zoo import __version__, forked
from zoo.advice import carried_command
from zoo.files import short_hash
from zoo.lazy import Lazy
from zoo.machine import Named
from zoo.picker.candidates import flags_of
from zoo.picker.deciding import LATENCIES, LATENCY, TAIL
from zoo.report.board import Board, Line, Table
from zoo.report.marks import FASTEST, HURT, LOST, MARKS, UNDER
from zoo.report.quoted import quoted
from zoo.score.commands import how_to_export, how_to_load, how_to_measure, measured_on
from zoo.score.comparing import Group, tie
from zoo.score.filtering import is_model
from zoo.score.licences import NO_ADVICE, Licences
from zoo.score.limits import NO_POINTS
from zoo.score.metrics import CLASS_LOSS, METRICS, SHOWN, Metric, metric_of
from zoo.score.paired import SPANNED, Pairs
from zoo.score.reading import Source, Sources
from zoo.score.rows import LEAST_CLASS_SHARE, MAX_CLASS_LOSS, Identity, Row, text_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from zoo.record import Accuracy, Record
    from zoo.timed import Latency
else:  # for pages of no more than `MOST_WHOLE` rows
    np = Lazy("numpy")

DIGITS = 8
"""Significant digits of what was timed, down to its nanoseconds; what was counted keeps all."""
SPAN_DIGITS = 6
"""Of an interval's ends."""
BINS = 40
"""Of a latency's histogram, from the fastest call to the 99th percentile; slower ones are counted in one more."""
MOST_WHOLE = 3000
"""A page of more rows stays small and quick: its cards are made of rows alone, without what only records hold."""
MOST_PAIRED = 2500
"""Paired tests of a page, some milliseconds each; rows of a table that would take more are told apart by intervals."""
Told = list[tuple[int, int, int]]
"""Two places, and whether they tie."""
METRICS_SHOWN = (*METRICS.values(), metric_of(CLASS_LOSS))
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


def page_contents(board: Board, here: Sequence[Named]) -> dict[str, Any]:
    """Return all that a page shows; numbers in SI units, a class's shares per 10,000, confusion per 1,000 of a row.

    Args:
        board: The tables, with the records behind their rows.
        here: The devices of the machine that the page is made on (`zoo.machine.here`): what was measured on it.
    """
    return dict(chain.from_iterable(part().items() for part in _parts(board, here)))


def page_json(board: Board, here: Sequence[Named]) -> str:
    """Return `page_contents` as JSON; of many rows its parts are made at once, by copies of this process."""
    parts, made = _parts(board, here), dict[int, str]()
    if len(board.rows) > MOST_WHOLE and (count := min(forked.process_count(), len(parts))) > 1:
        with suppress(OSError):  # no more processes
            made |= forked.made([*enumerate(parts)], lambda part: (part[0], _json(part[1]())), count)
    texts = (made.get(place) or _json(part()) for place, part in enumerate(parts))
    return f"{{{','.join(text[1:-1] for text in texts)}}}"


def _json(part: dict[str, Any]) -> str:
    return json.dumps(part, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _parts(board: Board, here: Sequence[Named]) -> tuple[Callable[[], dict[str, Any]], ...]:
    """What makes the contents: parts about as long as each other, of which none needs what another made."""
    lines: dict[Identity, Line] = {}
    for table in board.tables:
        for line in table.lines:
            lines.setdefault(line.row.identity, line)
    place = {known: index for index, known in enumerate(lines)}
    places = [[place[line.row.identity] for line in table.lines] for table in board.tables]
    rows = [line.row for line in lines.values()]
    pairs = Pairs(board.sources) if len(rows) <= MOST_WHOLE else None
    return (
        lambda: _about(board, here) | {"whole": pairs is not None, "groups": _groups(board, places, pairs)},
        lambda: _numbers(rows, here, pairs),
        lambda: _cards(rows, board.sources, pairs),
    )


def _about(board: Board, here: Sequence[Named]) -> dict[str, Any]:
    """What no row decides."""
    return {
        "version": __version__,
        "sort": board.sort,
        "writer": " and ".join(device.slug for device in here),
        "metrics": [_metric(metric) for metric in METRICS_SHOWN],
        "shown": SHOWN,
        "marks": {mark: MARKS[mark] for mark in (FASTEST, LOST, HURT, UNDER)},
        "hurt": {"lost": MAX_CLASS_LOSS, "pixels": LEAST_CLASS_SHARE},
        "advice": NO_ADVICE,
        "deciding": {"latencies": LATENCIES, "latency": LATENCY, "tail": TAIL, "no_points": NO_POINTS},
    }


def _groups(board: Board, places: Sequence[Sequence[int]], pairs: Pairs | None) -> list[dict[str, Any]]:
    """The tables, whose rows are named by their places."""
    told = _told(board, places, pairs) if pairs else [None] * len(places)
    groups = defaultdict[str, list[Group]](list)
    for table in board.tables:
        groups[table.group.device].append(table.group)
    return [
        _group(table, at, flags_of(table.group, groups[table.group.device], board.asked), said)
        | {"asked_models": ",".join(name for name in board.asked_models if _has(table, name))}
        for table, at, said in zip(board.tables, places, told, strict=True)
    ]


def _numbers(rows: Sequence[Row], here: Sequence[Named], pairs: Pairs | None) -> dict[str, Any]:
    """What all rows are compared by, as columns."""
    worsts = [row.worst_class for row in rows]
    columns = zip(*map(itemgetter(*METRICS), (row.numbers for row in rows)), strict=True)
    numbers: dict[str, Sequence[float | None]] = dict.fromkeys(METRICS, ()) | dict(zip(METRICS, columns, strict=False))
    numbers[CLASS_LOSS] = [worst and worst[1] for worst in worsts]
    keys = [metric.key for metric in METRICS.values() if metric.interval]
    spans = {key: [_span(row.span(key)) for row in rows] for key in keys}
    if pairs:
        spans |= {key: [_span(pairs.span(row, key)) for row in rows] for key in SPANNED}
    return {
        "facts": {name: _texts([getattr(row, name) for row in rows]) for name in FACTS}
        | {"rests_on": [_measured_on(row, here) for row in rows]}
        | {"worst_class": [worst[0] if worst and worst[1] > 0 else None for worst in worsts]},
        "numbers": {one.key: _rounded(one, numbers[one.key]) for one in METRICS_SHOWN if _is_known(numbers[one.key])},
        "spans": {key: column for key, column in spans.items() if _is_known(column)},
    }


def _cards(rows: Sequence[Row], sources: Sources, pairs: Pairs | None) -> dict[str, Any]:
    """What the card of a row shows, as columns too, and what they name their places in."""
    pools = Pools()
    cards = [_card(row, sources.get(row.identity), pools, pairs) for row in rows]
    for card, name in zip(cards, _names(rows), strict=True):
        card["id"] = name
    return {
        "columns": {name: [card[name] for card in cards] for name in cards[0]} if cards else {},
        "pools": pools.values,
    }


def _measured_on(row: Row, here: Sequence[Named]) -> str:
    """As seen from any machine: a page may be read on another one than wrote it."""
    match measured_on(row, here):
        case "measured here":
            return f"measured on the machine that wrote this page ({row.device})"
        case "measured on the same kind of machine":
            return f"measured on a machine of the kind that wrote this page ({row.device})"
        case elsewhere:
            return elsewhere


def _metric(metric: Metric) -> dict[str, Any]:
    facts = ("key", "name", "title", "unit", "better", "scale", "decimals", "least", "exact", "column", "marked")
    return {name: getattr(metric, name) for name in facts}


def _group(table: Table, places: Sequence[int], flags: Sequence[str], told: Told | None) -> dict[str, Any]:
    group = table.group
    title = table.title.split(" · ")
    place_of = dict(zip(map(id, table.lines), places, strict=True))
    return {
        "id": short_hash([text_of(value) for value in group], 6),
        "device": group.device,
        "flags": [*flags, *carried_command("zoo pick").split()[2:]],
        "title": " · ".join(part for part in title if part != group.device),
        "caution": table.caution,
        "columns": [column.key for column in table.columns],
        "rows": places,
        "names": [line.name for line in table.lines],
        "marks": [line.marks for line in table.lines],
        "told": told,
        "published": [quoted(line.row) for line in table.lines],
        "claims": [place_of[id(line)] for line in table.claims],
        "failed": table.failed,
        "notes": table.notes,
        "alike": [text_of(getattr(group, name)) for name in Group._fields if name not in {"device", "quick"}],
    }


def _has(table: Table, name: str) -> bool:
    return any(is_model(line.row, name) for line in table.lines)


def _told(board: Board, places: Sequence[Sequence[int]], pairs: Pairs) -> list[Told | None]:
    """Of each table the places of each two rows whose mIoU a paired test tells otherwise than their intervals do.

    `None` of one where no such test is made, since it and those before it would take more than `MOST_PAIRED`.
    """
    found, left = list[Told | None](), MOST_PAIRED
    for table, at in zip(board.tables, places, strict=True):
        close = _close(sorted(zip(at, (line.row for line in table.lines), strict=True), key=itemgetter(0)))
        if close is None or len(close) > left:
            found.append(None)
            continue
        left -= len(close)
        told = [(place, other, alike, pairs.tie(one, two, "miou").tie) for place, one, other, two, alike in close]
        found.append([(place, other, int(said)) for place, other, alike, said in told if said not in {alike, None}])
    return found


def _close(rows: Sequence[tuple[int, Row]]) -> list[tuple[int, Row, int, Row, bool | None]] | None:
    """Each two rows whose intervals of mIoU do not tell them apart; `None` where each two are too many to look at."""
    scored = [(place, row) for place, row in rows if not row.baseline and row.miou is not None]
    if len(scored) ** 2 > 20 * MOST_PAIRED:
        return None
    return [
        (*first, *second, alike)
        for first, second in combinations(scored, 2)
        if (alike := tie(first[1], second[1], "miou")) is not False
    ]


def _texts(values: Sequence[Hashable]) -> list[str | int | None]:
    """A column of facts as the page says them; each value is put into words once."""
    said = {value: value if value is None or isinstance(value, int) else text_of(value) for value in set(values)}
    return [said[value] for value in values]


def _rounded(metric: Metric, values: Sequence[float | None]) -> list[float | int | None]:
    """A column of numbers: whole ones as they are, others by `_short`."""
    return [
        None if value is None else round(value) if metric.exact or float(value).is_integer() else _short(value)
        for value in values
    ]


def _short(value: float, digits: int = DIGITS) -> float:
    """Of fewer digits, from which the page rounds as from all of them, and so as every table does."""
    return float(_ROUNDED[digits].create_decimal(f"{value:.12g}"))  # the last digits of a float are chance


_ROUNDED = {digits: Context(digits, ROUND_05UP) for digits in (DIGITS, SPAN_DIGITS, 4)}


def _is_known(column: Iterable[object]) -> bool:
    """Whether some row has a value of it."""
    return any(value is not None for value in column)


def _span(span: tuple[float, float] | None) -> tuple[float, ...] | None:
    return None if span is None else tuple(_short(end, SPAN_DIGITS) for end in span)


def _names(rows: Sequence[Row]) -> list[str]:
    """What an address calls each row: the first digits of its key, with its time where those are another's too."""
    count = Counter(row.key[:8] for row in rows)
    return [row.key[:8] if count[row.key[:8]] == 1 else f"{row.key}@{row.started_at:%Y%m%dT%H%M%S.%f}" for row in rows]


def _card(row: Row, source: Source | None, pools: Pools, pairs: Pairs | None) -> dict[str, Any]:
    record = source.record if pairs and source else None
    licences = pools.place_of("licences", row.licences, _licences)
    return {
        "at": row.started_at.isoformat(" ", "minutes")[:16],
        "baseline": int(row.baseline),
        "for_sale": int(not pools.values["licences"][licences]["against"]),
        "doubts": pools.place("doubts", row.doubts or None),
        "classes": pools.place_of("classes", tuple(row.class_iou), list) if row.class_iou else None,
        "iou": pools.place_of("iou", tuple(row.class_iou.values()), _shares) if row.class_iou else None,
        "lost": pools.place_of("lost", tuple(row.class_lost.values()), _shares) if row.class_lost else None,
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


def _shares(values: Iterable[float | None]) -> list[int | None]:
    """Fractions per 10,000, which the page rounds further as it would have rounded the fractions."""
    return [None if value is None else _share(1e4 * value) for value in values]


def _share(scaled: float) -> int:
    """As `_short`: what is left over is cut off, but leaves no 0 or 5 behind, which would round as if it were exact."""
    whole = round(scaled)
    if math.isclose(scaled, whole, rel_tol=1e-12):  # the last digits of a float are chance
        return whole
    cut = int(scaled)
    return cut if cut % 5 else cut + (1 if scaled > 0 else -1)


def _pixels(shares: Iterable[float]) -> list[int]:
    """Shares of the pixels per 10,000."""
    return [round(share * 1e4) for share in shares]


def _licences(licences: Licences) -> dict[str, Any]:
    """Of code, weights and training data what is stated and where; and what speaks against a sale."""
    return {
        "facts": {what: [(one.value, one.source) for one in parts] for what, parts in licences.by_name.items()},
        "against": licences.why_not_for_sale(),
    }


def _confusion(accuracy: Accuracy | None) -> list[int] | None:
    """Row-normalised, row after row: truth, then what it was taken for, the last column for none of the classes."""
    if accuracy is None:
        return None
    counts = np.array(accuracy.confusion, dtype=np.int64)
    whole = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares: list[int] = np.rint(1000 * counts / whole).astype(np.int64).ravel().tolist()
    return shares


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
            **({"bins": _bins(drawn, latency)} if len(drawn := pairs.seconds(row, f"{scope}_s")) else {}),
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
    if row.weights_source == "file" and row.weights_sha256 == row.file_sha256:  # another maker's file
        return [("measure it here", "zoo bench --file FILE" + (" --data DIR" if row.dataset else ""))]
    found = {
        "write the file": how_to_export(row),
        "see what it sees of a picture": "" if row.weights_source == "random" else how_to_load(row),
        "measure it here": how_to_measure(row),
        "count its mIoU": "" if row.miou is not None else how_to_measure(row, "miou"),
    }
    return [(what, command) for what, command in found.items() if command]


def _triple(values: Sequence[float] | None) -> str | None:
    return None if values is None else " ".join(f"{value:g}" for value in values)
