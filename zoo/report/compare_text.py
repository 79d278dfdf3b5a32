"""What `zoo compare` prints: two rows in full, many against the first, or artifact by artifact; and all as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from statistics import geometric_mean
from string import ascii_uppercase
from typing import Literal, NamedTuple

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.text import Text

from zoo.errors import counted, listed
from zoo.report.compare import LATENCY, Against, Comparison, Loss, Pair
from zoo.report.terminal import Grid, paragraphs, print_to_text, simple_table, text_width, widest
from zoo.score.comparing import ARTIFACT, differences, group_of
from zoo.score.limits import LossLimit
from zoo.score.metrics import METRICS
from zoo.score.paired import PairedTest
from zoo.score.rows import text_of

SHOWN_CLASSES = 8
SHOWN_PAIRS = 60
SHOWN_LOSSES = 20
"""Of each kind."""
SHOWN_LETTERS = 8
"""More labels than these are not replaced by letters."""
SHOWN_CONDITION = ("device", "dataset", "split", "weights", *ARTIFACT)
QUICK = "QUICK — a smoke test"
UNSURE = "?: whether by more than chance is not known"
_APART = {True: "tie", False: "apart", None: ""}
_SPEED = {"better": "faster", "worse": "slower", "tie": "tie", "": "?"}
_MEMORY = {"better": "less", "worse": "more", "tie": "tie", "": "?"}
_SCORE = {"better": "better", "worse": "worse", "tie": "tie", "": "?"}


class Column(NamedTuple):
    """Of a table that gives way to a narrow terminal."""

    title: str
    cells: list[str]
    keep: int
    """Those with the smallest number go first."""


def show_comparison(
    comparison: Comparison,
    form: Literal["table", "json"] = "table",
    *,
    limits: Sequence[LossLimit] = (),
    width: int | None = None,
    plain: bool = False,
) -> str:
    """Return the comparison as tables or as JSON (SI units, fractions).

    Args:
        comparison: Of `compare`.
        form: As what.
        limits: What is said of them stands at the end.
        width: Columns; `None`: the terminal's.
        plain: No colours, whatever the output is.
    """
    losses = comparison.losses(limits)
    if form == "json":
        return json.dumps(_values(comparison, limits, losses), indent=1, default=str) + "\n"
    width = width or text_width()
    quick = any(pair.first.quick for pair in comparison.pairs)
    parts: list[RenderableType] = [Text(QUICK, style="bold yellow")] if quick else []
    if comparison.are_sets:
        parts += [part for one in comparison.against for part in _sets(comparison, one, width)]
    elif len(comparison.against) == 1:
        parts += _two(comparison.against[0], width)
    else:
        parts += _many(comparison, width)
    if limits:
        parts += paragraphs(_judged(comparison, limits, losses), width)
    return print_to_text(Stack(*parts), width=width, plain=plain)


def _two(against: Against, width: int) -> list[RenderableType]:
    """Every metric of two rows, and their classes."""
    (pair,) = against.pairs
    lines = [
        [
            f"{measure.metric.title} {measure.metric.unit}".rstrip(),
            measure.metric.show(measure.first),
            measure.metric.show(measure.second),
            "" if measure.ratio is None else f"{measure.ratio:.2f}x",
            _APART[measure.tie],
        ]
        for measure in pair.measures
        if measure.first is not None or measure.second is not None
    ]
    names: Sequence[str] = pair.labels
    table = simple_table(["", *names, "ratio", "apart?"], lines)
    parts: list[RenderableType] = [Text(_shared([pair]))]
    if not _fits(table, width):
        names = ascii_uppercase[:2]
        parts += _legend(names, pair.labels)
        table = simple_table(["", *names, "ratio", "apart?"], lines)
    parts.append(table)
    if classes := pair.classes:
        percent = METRICS["miou"].show
        cells = [
            [name, percent(a), percent(b), f"{100 * (b - a):+.1f}", _APART[pair.class_tie(name).tie]]
            for name, a, b in classes[:SHOWN_CLASSES]
        ]
        parts.append(Text("largest differences of class IoU %"))
        parts.append(simple_table(["class", *names, "points", "apart?"], cells))
    return [*parts, *_differing(against), *paragraphs([*against.notes, *_ties(pair)], width)]


def _ties(pair: Pair) -> Iterator[str]:
    titles = [
        measure.metric.title
        for measure in pair.measures
        if measure.tie and measure.first != measure.second and measure.metric.column and measure.metric.key != "miou"
    ]
    if titles:
        yield f"tie: {' and '.join(titles)}, whose 95 % intervals overlap or which differ by less than matters"


def _many(comparison: Comparison, width: int) -> list[RenderableType]:
    """Rows beneath the first, a line each."""
    pairs = comparison.pairs
    rows = [pairs[0].first, *(pair.second for pair in pairs)]
    labels = [pairs[0].labels[0], *(pair.labels[1] for pair in pairs)]
    columns = (
        [Column("mIoU %", [METRICS["miou"].show(row.miou) for row in rows], 5)]
        if any(row.miou is not None for row in rows)
        else []
    )
    columns += [Column("points", ["", *map(_points, pairs)], 8)] if columns else []
    for place, (key, words) in enumerate(
        ((LATENCY, _SPEED), ("peak_memory_bytes", _MEMORY), ("latency_p50_s", _SPEED), ("file_bytes", _MEMORY))
    ):
        metric = METRICS[key]
        if any(row.value(key) is not None for row in rows):
            title = f"{metric.title}\n{metric.unit}"
            columns.append(Column(title, [metric.show(row.value(key)) for row in rows], 6 if not place else 4 - place))
            columns.append(
                Column("", ["", *(_ratio(pair, key, words) for pair in pairs)], 7 if not place else 4 - place)
            )
    columns.append(Column("grade", [row.grade or "n/a" for row in rows], 0))
    parts: list[RenderableType] = [Text(_shared(pairs))]
    table, lettered = _fitted(labels, columns, width)
    parts += [*(_legend(ascii_uppercase, labels) if lettered else []), table, *_unsure(table)]
    of_all = [note for note in comparison.against[0].notes if all(note in one.notes for one in comparison.against)]
    for name, one in zip(ascii_uppercase[1:] if lettered else labels[1:], comparison.against, strict=False):
        parts += _differing(one, f"{name} differs")
        said = (
            note if note.startswith(("mIoU: ", name)) else f"{name}: {note}" for note in one.notes if note not in of_all
        )
        parts += paragraphs(said, width)
    return [*parts, *paragraphs(of_all, width)]


def _sets(comparison: Comparison, against: Against, width: int) -> Iterator[RenderableType]:
    """One side against the first: in sum, and artifact by artifact."""
    pairs = against.pairs
    found = f"{counted(len(pairs), 'artifact')} measured on both" if pairs else "nothing was measured anew"
    yield Text(f"{against.side} against {comparison.side}: {found}", style="bold")
    yield from paragraphs(_in_sum(pairs), width)
    if (ranks := against.ranks) is not None:
        low, high = ranks.interval
        yield Text(
            f"rank correlation of pipeline p50 (Kendall's tau-b): {ranks.tau_b:.2f}, 95 % interval {low:.2f} to "
            f"{high:.2f}, by bootstrap over {ranks.model_count} models ({ranks.artifact_count} artifacts, "
            f"{counted(ranks.pair_count, 'pair')} within {counted(ranks.table_count, 'table')})"
        )
    tables = [(group, [*alike]) for group, alike in groupby(pairs[:SHOWN_PAIRS], lambda pair: group_of(pair.first))]
    differ = differences(*(group for group, _ in tables)) if tables else {}
    apart = [field for field in differ if field not in SHOWN_CONDITION]
    for group, alike in tables:
        yield from _artifacts(alike, [text_of(getattr(group, field)) for field in apart], width)
    if len(pairs) > SHOWN_PAIRS:
        yield Text(f"and {len(pairs) - SHOWN_PAIRS} more (--format json has all)")
    yield from _differing(against)
    same = [f"the same record on both sides: {against.same_count}"] if against.same_count else []
    yield from paragraphs((*same, *against.notes, *_left(comparison, against)), width)


def _artifacts(pairs: Sequence[Pair], apart: Sequence[str], width: int) -> list[RenderableType]:
    """Those of one table: what they share, and tells it from the other tables; a line each."""
    latency = METRICS[LATENCY]
    columns = []
    if any(pair.has_miou for pair in pairs):
        columns = [Column("mIoU\npoints", [_points(pair) for pair in pairs], 8)]
    if any(pair.first.pipeline_p50_s is not None for pair in pairs):
        columns += [
            Column("pipeline\np50 ms", [latency.show(pair.first.pipeline_p50_s) for pair in pairs], 5),
            Column("→", [latency.show(pair.second.pipeline_p50_s) for pair in pairs], 6),
            Column("ratio", [_ratio(pair, LATENCY, _SPEED) for pair in pairs], 9),
            Column("memory", [_ratio(pair, "peak_memory_bytes", _MEMORY) for pair in pairs], 3),
            Column("grades", [f"{pair.first.grade or '-'} {pair.second.grade or '-'}" for pair in pairs], 1),
        ]
    table, _ = _fitted([pair.labels[1] for pair in pairs], columns, width)
    return [Text(" · ".join((_shared(pairs), *apart))), table, *_unsure(table)]


def _unsure(table: Grid) -> list[RenderableType]:
    """What the sign in a cell means, where one has it."""
    return [Text(UNSURE)] if any(" ?" in line for line in table.plain) else []


def _in_sum(pairs: Sequence[Pair]) -> Iterator[str]:
    for key, title, words in ((LATENCY, "pipeline p50", _SPEED), ("miou", "mIoU", _SCORE)):
        measures = [one for pair in pairs if (one := pair.measure(METRICS[key])).first is not None]
        measures = [one for one in measures if one.second is not None]
        if not measures:
            continue
        counts = Counter(words[one.verdict] for one in measures)
        said = ", ".join(
            f"{counts[word]} {'not known' if word == '?' else word}" for word in words.values() if counts[word]
        )
        ratios = [one.ratio for one in measures if one.ratio]
        times = f"; {geometric_mean(ratios):.2f}x in the geometric mean ({min(ratios):.2f}x to {max(ratios):.2f}x)"
        yield f"{title}: {said}{times if key == LATENCY and ratios else ''}"


def _left(comparison: Comparison, against: Against) -> Iterator[str]:
    """Rows without a partner, a line for each reason."""
    for is_first, side in ((True, comparison.side), (False, against.side)):
        reasons: dict[str, list[str]] = {}
        for one in against.unmatched:
            if one.is_first is is_first:
                row = one.row
                name = " ".join([row.model, row.runtime, row.precision, text_of(row.input_size)])
                reasons.setdefault(one.why, []).append(name)
        for why, names in reasons.items():
            yield f"of {side} alone, {len(names)} ({why}): {listed(names)}"


def _judged(comparison: Comparison, limits: Sequence[LossLimit], losses: Sequence[Loss]) -> Iterator[str]:
    """What `--fail-on` found, a line for each loss."""
    allowed = ", ".join(f"{limit.metric.title} {limit.say()}" for limit in limits)
    several = len(comparison.against) > 1
    for kind in ("lost", "not known"):
        found = [loss for loss in losses if loss.kind == kind]
        for loss in found[:SHOWN_LOSSES]:
            where = " ".join(part for part in (loss.label, f"({loss.side})" if several and loss.label else "") if part)
            allows = f" (allowed {loss.limit.say()})" if loss.limit else ""
            yield f"{kind}: {f'{where}: ' if where else ''}{loss.why}{allows}"
        if len(found) > SHOWN_LOSSES:
            yield f"{kind}: {len(found) - SHOWN_LOSSES} more (--format json has all)"
    if not losses:
        rows = counted(len(comparison.pairs), "row")
        yield f"passed: of {rows} none is known to lose more than is allowed ({allowed})"
        return
    counts = Counter(loss.kind for loss in losses)
    yield f"not passed: {', '.join(f'{count} {kind}' for kind, count in counts.items())}; allowed to be lost: {allowed}"


def _points(pair: Pair) -> str:
    """How far mIoU differs, and whether by more than chance."""
    if pair.first.miou is None or pair.second.miou is None:
        return ""
    words = _SCORE[pair.measure(METRICS["miou"]).verdict]
    return f"{round(100 * (pair.second.miou - pair.first.miou), 1) + 0.0:+.1f} {words}"


def _ratio(pair: Pair, key: str, words: dict[str, str]) -> str:
    measure = pair.measure(METRICS[key])
    return "" if measure.ratio is None else f"{measure.ratio:.2f}x {words[measure.verdict]}"


def _shared(pairs: Sequence[Pair]) -> str:
    """Name the condition that all rows share, apart from what their labels say."""
    rows = [row for pair in pairs for row in (pair.first, pair.second)]
    values = [{getattr(row, field) for row in rows} for field in SHOWN_CONDITION]
    known = [next(iter(found)) for found in values if len(found) == 1]
    shared = (text_of(value) for value in known if value is not None)
    return " · ".join(part for part in (*shared, rows[0].pace) if part)


def _differing(against: Against, title: str = "what differs") -> list[RenderableType]:
    said = "; ".join(f"{name} {how}" for name, how in against.differs.items())
    return [Text(f"{title}: {said}")] if said else []


def _legend(names: Sequence[str], labels: Sequence[str]) -> list[RenderableType]:
    return [Text(f"{name}: {label}") for name, label in zip(names, labels, strict=False)]


def _fits(table: Grid, width: int) -> bool:
    return widest(table.plain) <= width


def _fitted(labels: Sequence[str], columns: Sequence[Column], width: int) -> tuple[Grid, bool]:
    """Return a table of as many columns as there is room for, and whether letters stand for its labels.

    The last two columns stay; letters come in where they would not fit beside labels, and there are letters enough.
    """

    def table(names: Sequence[str]) -> Grid:
        kept = sorted({one.keep for one in columns})
        while True:
            left = [one for one in columns if one.keep in kept]
            cells = [
                [name, *line] for name, line in zip(names, zip(*(one.cells for one in left), strict=True), strict=True)
            ]
            found = simple_table(["", *(one.title for one in left)], cells)
            if len(kept) <= 2 or _fits(found, width):
                return found
            kept.pop(0)

    found = table(labels)
    if _fits(found, width) or len(labels) > SHOWN_LETTERS:
        return found, False
    return table(ascii_uppercase[: len(labels)]), True


def _values(comparison: Comparison, limits: Sequence[LossLimit], losses: Sequence[Loss]) -> dict[str, object]:
    found: dict[str, object] = {
        "first": comparison.side,
        "against": [
            {
                "side": one.side,
                "pairs": [_pair_values(pair, alone=not comparison.are_sets) for pair in one.pairs],
                "differs": one.differs,
                "rank_correlation": one.ranks and one.ranks._asdict(),
                "same_record_count": one.same_count,
                "unmatched": [
                    {"of": comparison.side if left.is_first else one.side, "why": left.why, "row": left.row.as_dict()}
                    for left in one.unmatched
                ],
                "notes": one.notes,
            }
            for one in comparison.against
        ],
    }
    if limits:
        found["fail_on"] = {
            "limits": {limit.metric.key: {"loss": limit.amount, "relative": limit.is_relative} for limit in limits},
            "passed": not losses,
            "losses": [
                {
                    "kind": loss.kind,
                    "side": loss.side,
                    "row": loss.label,
                    "metric": loss.limit and loss.limit.metric.key,
                    "loss": loss.loss,
                    "why": loss.why,
                }
                for loss in losses
            ],
        }
    return found


def _pair_values(pair: Pair, *, alone: bool) -> dict[str, object]:
    """Whether each class is alike is told of a pair that is `alone`: it takes a test each."""
    return {
        "labels": pair.labels,
        "first": pair.first.as_dict(),
        "second": pair.second.as_dict(),
        "metrics": {
            measure.metric.key: {
                "first": measure.first,
                "second": measure.second,
                "ratio": measure.ratio,
                "tie": measure.tie,
            }
            for measure in pair.measures
        },
        "class_iou": {name: [first, second] for name, first, second in pair.classes},
        "class_ties": {name: pair.class_tie(name).tie for name, *_ in pair.classes} if alone else None,
        "paired_miou": asdict(pair.paired) if isinstance(pair.paired, PairedTest) else None,
    }
