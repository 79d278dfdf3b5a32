"""`zoo compare A B`: two rows side by side, or why they may not stand side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.text import Text

from zoo.errors import UserError, did_you_mean
from zoo.report.board import CAUTION
from zoo.report.terminal import print_to_text, simple_table
from zoo.score.comparing import (
    ARTIFACT,
    differences,
    group_of,
    latest,
    newest,
    sharing,
    tell_apart,
    these_weights,
)
from zoo.score.fields import FIELDS, quoted
from zoo.score.filtering import matches, select
from zoo.score.metrics import METRICS, Metric
from zoo.score.paired import PairedTest, Pairs
from zoo.score.reading import Rows, Source, Sources, read_rows
from zoo.score.rows import WHOLE, Row, row, text_of
from zoo.store import load

CONDITIONS = tuple(field.name for field in FIELDS.values() if not field.rare)
"""What usually tells two records of a model apart."""
RARE = tuple(field.name for field in FIELDS.values() if field.rare)
USUAL = {"runtime": "eager", "precision": "fp32"}
"""What a name that says nothing of these means, where there is such a record."""
HOW = "MODEL, MODEL,precision=bf16,… or a record's file"
SHOWN_CLASSES = 8
SHOWN_CONDITION = ("device", "dataset", "split", "weights", *ARTIFACT)


@dataclass(frozen=True)
class Measure:
    """One metric of both rows."""

    metric: Metric
    first: float | None
    second: float | None
    ratio: float | None
    """Second over first."""
    tie: bool | None
    """Whether they are alike, as `score.paired` has it; `None` where nothing tells."""


@dataclass(frozen=True)
class Comparison:
    """Two comparable rows."""

    first: Row
    second: Row
    labels: tuple[str, str]
    measures: tuple[Measure, ...]
    classes: tuple[tuple[str, float, float], ...]
    """Class name and IoU of both, the largest differences first; empty for means over seeds."""
    paired: PairedTest | None
    """Of mIoU; `None` where it cannot be had, and a note says why."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def compare(
    first: str,
    second: str,
    results: Path | str | None = None,
    *,
    models: Sequence[str] = (),
    **conditions: object,
) -> Comparison:
    """Compare two records, each named by a model, a model with conditions (`unet,precision=bf16`), or its JSON file.

    Args:
        first: One name.
        second: The other.
        results: The folder of records; `None`: `results`, else those that come with zoo.
        models: Only these: names, globs or tags.
        conditions: Of both, where a model names them, as in `score.filtering.select`.

    Raises:
        UserError: no such record, more than one, or two that may not be compared (it names the fields that differ).
    """
    named_by_file = [name.endswith(".json") for name in (first, second)]
    found = Rows((), ()) if all(named_by_file) else read_rows(results)
    sources, asked = dict(found.sources), select(found.rows, models=models, **conditions)
    sides: list[list[Row]] = []
    for name, is_file in zip((first, second), named_by_file, strict=True):
        if is_file:
            record = load(Path(name))
            sources[record.key, record.started_at] = Source(name)
            sides.append([row(record)])
        else:
            standing = newest(asked) if ",seed=" in name else latest(asked)
            sides.append(_matching(name, [candidate for candidate in standing if candidate.status == "ok"]))
    one, other = _pair(*sides, names=(first, second))
    return _side_by_side(one, other, sources, found.warnings)


def show_comparison(
    comparison: Comparison, form: Literal["table", "json"] = "table", *, width: int | None = None, plain: bool = False
) -> str:
    """Return the comparison as tables or as JSON (SI units, fractions)."""
    if form == "json":
        return json.dumps(_values(comparison), indent=1, default=str) + "\n"
    one, other = comparison.labels
    rows = [
        [
            f"{measure.metric.title} {measure.metric.unit}",
            measure.metric.show(measure.first),
            measure.metric.show(measure.second),
            "" if measure.ratio is None else f"{measure.ratio:.2f}x",
            {True: "tie", False: "apart", None: ""}[measure.tie],
        ]
        for measure in comparison.measures
        if measure.first is not None or measure.second is not None
    ]
    parts: list[RenderableType] = [Text("QUICK — a smoke test", style="bold yellow")] if comparison.first.quick else []
    parts += [Text(_shared(comparison)), simple_table(["", one, other, "ratio", "apart?"], rows)]
    if comparison.classes:
        percent = METRICS["miou"].show
        lines = [
            [name, percent(a), percent(b), f"{100 * (b - a):+.1f}"] for name, a, b in comparison.classes[:SHOWN_CLASSES]
        ]
        parts += [Text("largest differences of class IoU %"), simple_table(["class", one, other, "points"], lines)]
    parts += [Text(note) for note in comparison.notes]
    return print_to_text(Stack(*parts), width=width, plain=plain)


def _shared(comparison: Comparison) -> str:
    """Name the condition of both rows, apart from what their labels say."""
    both = [(getattr(comparison.first, field), getattr(comparison.second, field)) for field in SHOWN_CONDITION]
    shared = [text_of(value) for value, other in both if value == other and value is not None]
    return " · ".join(part for part in (*shared, comparison.first.pace) if part)


def _values(comparison: Comparison) -> dict[str, object]:
    return {
        "first": comparison.first.as_dict(),
        "second": comparison.second.as_dict(),
        "metrics": {
            measure.metric.key: {
                "first": measure.first,
                "second": measure.second,
                "ratio": measure.ratio,
                "tie": measure.tie,
            }
            for measure in comparison.measures
        },
        "class_iou": {name: [first, second] for name, first, second in comparison.classes},
        "paired_miou": comparison.paired and asdict(comparison.paired),
        "notes": comparison.notes,
    }


def _matching(name: str, rows: list[Row]) -> list[Row]:
    model, *conditions = name.split(",")
    found = [candidate for candidate in rows if candidate.model == model]
    if not found:
        known = sorted({candidate.model for candidate in rows})
        raise UserError(f"no ok record of {model!r}.{did_you_mean(model, known)} There is: {', '.join(known)}")
    for condition in conditions:
        field, equals, value = condition.partition("=")
        if not equals or field not in (*CONDITIONS, *RARE):
            raise UserError(f"{condition!r} is none of {', '.join(f'{known}=…' for known in (*CONDITIONS, *RARE))}")
        known = sorted({text_of(getattr(candidate, field)) for candidate in found})
        value = text_of(FIELDS[field].parse(value))
        found = [candidate for candidate in found if matches(candidate, field, value)]
        if not found:
            raise UserError(f"no record of {model} with {condition}; there is: {', '.join(known)}")
    return found


def _pair(firsts: list[Row], seconds: list[Row], *, names: tuple[str, str]) -> tuple[Row, Row]:
    """The one comparable pair; what was not named is guessed as `_likeliest` says."""
    pairs = [
        (one, other)
        for one, other in product(firsts, seconds)
        if (one.key, one.started_at) != (other.key, other.started_at)
    ]
    if not pairs or names[0] == names[1]:
        raise UserError(f"{names[0]} and {names[1]} are the same record; name two: {HOW}")
    if any(row.baseline for pair in pairs for row in pair):
        raise UserError(
            f"{names[0]} and {names[1]} may not be compared: the baseline has no weights and takes no time; "
            "`zoo leaderboard` has the baseline's mIoU beside theirs"
        )
    found = [differences(group_of(one), group_of(other)) for one, other in pairs]
    allowed = [pair for pair, fields in zip(pairs, found, strict=True) if not fields] or [
        pair
        for pair, fields in zip(pairs, found, strict=True)
        if "device" in fields and fields.keys() <= {"device", "thread_count"}
    ]
    if not allowed:
        nearest = min(found, key=len)
        said = "; ".join(f"{field.replace('_', ' ')} {' vs '.join(values)}" for field, values in nearest.items())
        raise UserError(f"{names[0]} and {names[1]} may not be compared: {said}; measure both in the same way")
    allowed = _likeliest(allowed)
    if len(allowed) > 1:
        varying = _varying(allowed, names, CONDITIONS) or _varying(allowed, names, RARE)
        said = "; ".join(f"{field} is {' or '.join(values)}" for field, (_, values) in varying.items())
        field, (name, values) = next(iter(varying.items()))
        raise UserError(
            f"{len(allowed)} pairs of {names[0]} and {names[1]}: {said}; "
            f"say which, such as {quoted(f'{name},{field}={values[0]}')}, or name the records' files"
        )
    return allowed[0]


_Wish: TypeAlias = Callable[[tuple[Row, Row]], bool]


def _likeliest(pairs: list[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """Keep what was likeliest meant.

    Full runs, then calls that were not paced, then whole frames, then those with mIoU, then two of the same weights,
    runtime, precision and size, then eager fp32.
    """
    weights, *alike = map(_same, ("weights", *ARTIFACT))
    usual = [_has(side, field, value) for side in (0, 1) for field, value in USUAL.items()]
    one_model = pairs[0][0].model == pairs[0][1].model  # then something else has to differ
    full: list[_Wish] = [
        lambda pair: not pair[0].quick,
        lambda pair: pair[0].rate_hz is None,
        lambda pair: pair[0].mode == WHOLE,
        lambda pair: all(one.miou is not None for one in pair),
    ]
    for wish in (*full, *([*usual, *alike, weights] if one_model else [weights, *alike, *usual])):
        pairs = [pair for pair in pairs if wish(pair)] or pairs
    return pairs


def _same(field: str) -> _Wish:
    return lambda pair: getattr(pair[0], field) == getattr(pair[1], field)


def _has(side: int, field: str, value: str) -> _Wish:
    return lambda pair: bool(getattr(pair[side], field) == value)


def _varying(
    pairs: list[tuple[Row, Row]], names: tuple[str, str], fields: tuple[str, ...]
) -> dict[str, tuple[str, list[str]]]:
    """Fields in which the rows of one side differ: that side's name, and the values."""
    varying: dict[str, tuple[str, list[str]]] = {}
    for field, (name, side) in product(fields, zip(names, zip(*pairs, strict=True), strict=True)):
        values = sorted({text_of(getattr(candidate, field)) for candidate in side})
        if len(values) > 1:
            varying.setdefault(field, (name, values))
    return varying


def _side_by_side(one: Row, other: Row, sources: Sources, warnings: tuple[str, ...]) -> Comparison:
    label, other_label = tell_apart((one, other), ("device", *ARTIFACT, "weights"))
    pairs = Pairs(sources)
    notes = []
    if one.device != other.device:
        notes.append(f"the devices differ ({one.device}, {other.device}): this compares machines as much as models")
    elif one.machine_id != other.machine_id:
        notes.append("two machines of one name: compare latency with care")
    if one.weights != other.weights:
        notes.append(f"the weights differ ({one.weights}, {other.weights}): {CAUTION}")
    classes: tuple[tuple[str, float, float], ...] = ()
    paired = None
    over_seeds = max(one.seed_count, other.seed_count) > 1
    if over_seeds:
        notes.append("a mean over seeds: name one, such as MODEL,seed=0, for its classes and the paired test of mIoU")
        if (alike := pairs.tie(one, other, "miou")).tie:
            notes.append(f"tie: the mIoU of both cannot be told apart ({alike.by})")
    elif one.miou is not None and other.miou is not None:
        classes = _classes(one, other)
        try:
            paired = pairs.test(one, other)
            notes.append(_verdict(paired, label, other_label, these_weights(one, other)))
        except UserError as error:
            gap, alike = 100 * (other.miou - one.miou), pairs.tie(one, other, "miou")
            said = f"{'a tie' if alike.tie else 'apart'} ({alike.by})"
            if alike.tie is None:
                said = "whether that is more than chance is not known"
            notes.append(f"mIoU differs by {gap:+.1f} points: {these_weights(one, other)}; {said}: {error}")
    if one.miou is not None and other.miou is not None and (shared := sharing(one)):
        notes.append(shared)
    measures = []
    for metric in METRICS.values():
        a, b = one.value(metric.key), other.value(metric.key)
        ratio = b / a if a and b is not None and a > 0 <= b else None  # a loss may be a gain
        measures.append(Measure(metric, a, b, ratio, pairs.tie(one, other, metric.key).tie))
    ties = [
        measure.metric.title
        for measure in measures
        if measure.tie and measure.first != measure.second and measure.metric.column and measure.metric.key != "miou"
    ]
    if ties:
        notes.append(f"tie: {' and '.join(ties)}, whose 95 % intervals overlap or which differ by less than matters")
    return Comparison(one, other, (label, other_label), tuple(measures), classes, paired, tuple(notes), warnings)


def _verdict(test: PairedTest, label: str, other_label: str, weights: str) -> str:
    digits = 2
    if test.verdict != "tie":  # as many as tell the interval from 0
        digits = max(digits, -math.floor(math.log10(100 * min(map(abs, test.interval)))))
    gain, low, high = (f"{100 * value:+.{digits}f}" for value in (test.gain, *test.interval))
    alike = test.resampled == "frames of few sequences"
    how = (
        f"{gain} points (95 % interval {low} to {high}), paired bootstrap over {test.resampled} "
        f"({test.image_count} images){', which resemble each other: the interval is too narrow' if alike else ''}; "
        f"{weights}"
    )
    return f"mIoU: {other_label} is {'a tie with' if test.verdict == 'tie' else f'{test.verdict} than'} {label}, {how}"


def _classes(one: Row, other: Row) -> tuple[tuple[str, float, float], ...]:
    """Of two rows that were counted on the same classes; a class that is absent in one of them is left out."""
    if list(one.class_iou) != list(other.class_iou):
        return ()
    found = [
        (name, a, b) for name, a in one.class_iou.items() if a is not None and (b := other.class_iou[name]) is not None
    ]
    return tuple(sorted(found, key=lambda entry: -abs(entry[2] - entry[1])))
