"""What the page knows: the tables, and of every row what its card shows, as compact JSON.

Its numbers stand as columns; what a card shows beside them, and what many rows share of that, is made in `cards`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, combinations
from operator import itemgetter
from typing import Any

from zoo import __version__, forked
from zoo.advice import carried_command
from zoo.files import short_hash
from zoo.machine import Named
from zoo.picker.candidates import flags_of
from zoo.picker.deciding import LATENCIES, LATENCY, TAIL
from zoo.report.board import Board, Table
from zoo.report.marks import FASTEST, HURT, LOST, MARKS, UNDER
from zoo.report.page.cards import Pools, card_of, class_spans_of
from zoo.report.page.digits import decided_by
from zoo.report.quoted import quoted
from zoo.score.commands import measured_on
from zoo.score.comparing import Group, tie
from zoo.score.filtering import is_model
from zoo.score.licences import NO_ADVICE
from zoo.score.limits import NO_POINTS
from zoo.score.metrics import CLASS_LOSS, METRICS, SHOWN, Metric, metric_of
from zoo.score.paired import QUANTILES, SPANNED, Pairs
from zoo.score.reading import Sources
from zoo.score.rows import LEAST_CLASS_SHARE, MAX_CLASS_LOSS, Identity, Row, text_of
from zoo.store import when

MOST_WHOLE = 3000
"""A page of more rows stays small and quick: its cards are made of rows alone, without what only records hold."""
MOST_SPANNED = 1000
"""A page of more rows has no intervals of each class's IoU: where no two are alike, it would be too large."""
MOST_PAIRED = 2500
"""Paired tests of a page, some milliseconds each; rows of a table that would take more are told apart by intervals."""
Told = list[tuple[int, int, int]]
"""Two places, and whether they tie."""
METRICS_SHOWN = (*METRICS.values(), metric_of(CLASS_LOSS))
FACTS = (
    *("model", "family", "runtime", "precision", "input_size", "output_size", "resize", "mode", "batch_size"),
    *("memory_format", "compile_mode", "thread_count", "weights", "seed_count", "grade", "preset", "torch"),
)
"""Of a row, as text."""


def page_contents(board: Board, here: Sequence[Named]) -> dict[str, Any]:
    """Return all that a page shows; numbers in SI units, shares as fractions, confusion as `cards` has it.

    Args:
        board: The tables, with the records behind their rows.
        here: The devices of the machine that the page is made on (`zoo.machine.here`): what was measured on it.
    """
    return dict(chain.from_iterable(part().items() for part in _parts(board, here)))


def page_json(board: Board, here: Sequence[Named]) -> str:
    """Return `page_contents` as JSON; of many rows copies of this process make two parts while it makes the tables."""
    parts, made = _parts(board, here), dict[int, str]()
    count = min(forked.process_count(), len(parts) - 1) if len(board.rows) > MOST_WHOLE else 1
    if count > 1:
        others = [*enumerate(parts)][1:]
        # Where there are no more processes, what is missing is made below.
        with suppress(OSError), forked.made(others, lambda part: (part[0], _json(part[1]())), count) as found:
            made[0] = _json(parts[0]())
            made |= found
    texts = (made.get(place) or _json(part()) for place, part in enumerate(parts))
    return f"{{{','.join(text[1:-1] for text in texts)}}}"


def _json(part: dict[str, Any]) -> str:
    return json.dumps(part, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _parts(board: Board, here: Sequence[Named]) -> tuple[Callable[[], dict[str, Any]], ...]:
    """What makes the contents: parts about as long as each other, of which none needs what another made.

    The first makes the tables; the others go by what these are made of.
    """
    known, baselines = dict[Identity, Row](), dict[Identity, Row]()
    for members in board.members:
        for row in members.shown:
            known.setdefault(row.identity, row)
            if members.baseline:
                baselines[row.identity] = members.baseline
    place = {identity: index for index, identity in enumerate(known)}
    rows = list(known.values())
    pairs = Pairs(board.sources) if len(rows) <= MOST_WHOLE else None
    return (
        lambda: _about(board, here) | {"whole": pairs is not None, "groups": _groups(board, place, pairs)},
        lambda: _numbers(rows, here, pairs),
        lambda: _cards(rows, board.sources, baselines, pairs),
    )


def _about(board: Board, here: Sequence[Named]) -> dict[str, Any]:
    """What no row decides; `first`: the table to begin with, of the machine that writes the page where it has one."""
    own = {device.slug for device in here}
    return {
        "version": __version__,
        "sort": board.sort,
        "writer": " and ".join(device.slug for device in here),
        "first": next(
            (at for at, one in enumerate(board.members) if one.group.device in own and not one.group.quick), 0
        ),
        "metrics": [_metric(metric) for metric in METRICS_SHOWN],
        "shown": SHOWN,
        "marks": {mark: MARKS[mark] for mark in (FASTEST, LOST, HURT, UNDER)},
        "hurt": {"lost": MAX_CLASS_LOSS, "pixels": LEAST_CLASS_SHARE},
        "advice": NO_ADVICE,
        "deciding": {
            "latencies": LATENCIES,
            "latency": LATENCY,
            "tail": TAIL,
            "tails": list(QUANTILES),
            "no_points": NO_POINTS,
        },
    }


def _groups(board: Board, place: Mapping[Identity, int], pairs: Pairs | None) -> list[dict[str, Any]]:
    """The tables, whose rows are named by their places."""
    places = [[place[line.row.identity] for line in table.lines] for table in board.tables]
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
        "spreads": {
            key: column for key, column in {"miou": [row.miou_spread for row in rows]}.items() if _is_known(column)
        },
    }


def _cards(
    rows: Sequence[Row], sources: Sources, baselines: Mapping[Identity, Row], pairs: Pairs | None
) -> dict[str, Any]:
    """What the card of a row shows, as columns too, and what they name their places in."""
    pools, time_of = Pools(), when()
    order = {time: place for place, time in enumerate(sorted(set(map(time_of, rows))))}
    cards = [card_of(row, sources.get(row.identity), baselines.get(row.identity), pools, pairs) for row in rows]
    for row, card, name in zip(rows, cards, _names(rows), strict=True):
        spans = class_spans_of(row, pools, pairs) if pairs and len(rows) <= MOST_SPANNED else None
        card |= {"id": name, "order": order[time_of(row)], "iou_span": spans}
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
        "best": {key: decided_by(value) for key, value in table.best_values.items()},
        "is_smoke_test": table.is_smoke_test,
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
    """A column of numbers: whole ones as they are, others by `decided_by`."""
    return [
        None if value is None else round(value) if metric.exact or float(value).is_integer() else decided_by(value)
        for value in values
    ]


def _is_known(column: Iterable[object]) -> bool:
    """Whether some row has a value of it."""
    return any(value is not None for value in column)


def _span(span: tuple[float, float] | None) -> tuple[float, ...] | None:
    return None if span is None else tuple(map(decided_by, span))


def _names(rows: Sequence[Row]) -> list[str]:
    """What an address calls each row: the first digits of its key, with its time where those are another's too."""
    count = Counter(row.key[:8] for row in rows)
    return [row.key[:8] if count[row.key[:8]] == 1 else f"{row.key}@{row.started_at:%Y%m%dT%H%M%S.%f}" for row in rows]
