"""`zoo info MODEL`: what is known of one model, where it stands, and the commands that go on from there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.advice import carried_command
from zoo.catalog import find
from zoo.errors import UserError, counted
from zoo.hub.models import hub_card
from zoo.published.claims import Claim, Stated
from zoo.published.facts import Published
from zoo.published.figures import FIGURES, Figure, Figures
from zoo.published.table import published_of
from zoo.record import Weights
from zoo.report.board import Line, Table, X, Y, make_board
from zoo.report.marks import FRONT, MARKS, UNDER
from zoo.report.terminal import simple_table, text_width, wrapped, wrapped_command
from zoo.score.comparing import group_of
from zoo.score.licences import NO_ADVICE, Licences, licences_of
from zoo.score.metrics import METRICS, Metric
from zoo.score.reading import Rows, read_rows
from zoo.score.rows import Row
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec, Size
from zoo.units import show_size

SHOWN_PARTS = 12
"""Of a network with more, the largest are named."""
DIR = "DIR holds a dataset in the Cityscapes layout; without --data they run on synthetic streets"

RANKS = "rank: among models, of mIoU each by its most accurate row, of latency by its fastest that loses no accuracy"


class Best(NamedTuple):
    """The line of a model that is best in one metric, and its rank among models, each by its own best line."""

    line: Line
    rank: int
    model_count: int


class Standing(NamedTuple):
    """Where a model stands in one table of the leaderboard."""

    table: Table
    most_accurate: Best | None
    """Of the lines that are not under the baseline: what is has no rank."""
    fastest: Best | None
    """Of the artifacts that lose no accuracy."""
    lines: tuple[Line, ...]
    """Those two and what of it is on the Pareto front; else the first it has."""

    def rank(self, line: Line, key: str) -> Best | None:
        """How a line ranks in a metric, if it is the one that its model is ranked by."""
        best = {Y: self.most_accurate, X: self.fastest}.get(key)
        return best if best and best.line is line else None


@dataclass(frozen=True)
class Info:
    """What is known of one model without building it."""

    name: str
    """As it was asked for, which commands take."""
    spec: ModelSpec
    licences: Licences
    """Of its code; where training begins from the encoder's published weights, of these too."""
    checkpoints: tuple[Published, ...]
    hub: Licences | None
    """Of a hub's weights, as their card states them."""
    figures: Figures
    standings: tuple[Standing, ...]
    commands: dict[str, str]
    """What each does, and what is typed."""
    warnings: tuple[str, ...] = ()


Parts = Sequence[tuple[str, int, int | None]]
"""Name, parameters and MACs of each part of a network, as `measure.macs.count_parts` counts them."""


def info(name: str, results: Path | str | None = None) -> Info:
    """Return what is known of a model.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        results: The folder of records, as in `score.reading.read_rows`; where none is named, there may be none.

    Raises:
        UserError: no such model; no record in a folder that was named.
    """
    spec = find(name)
    try:
        found = read_rows(results)
    except UserError:
        if results is not None:
            raise
        found = Rows((), ())
    begins = Weights(source="run", sha256=None, recipe="none", pretrained=spec.pretrained)
    hub = None
    if spec.hub:
        card = hub_card(spec)
        stated = Weights(source="published", sha256=None, recipe="external", **card._asdict())
        hub = licences_of(spec.name, stated)
    return Info(
        name=name,
        spec=spec,
        licences=licences_of(spec.name, begins),
        checkpoints=tuple(published_of(spec.name)),
        hub=hub,
        figures=FIGURES.get(spec.name, Figures()),
        standings=tuple(standings(spec.name, found.rows)),
        commands=dict(_commands(name, spec)),
        warnings=found.warnings,
    )


def standings(model: str, rows: Iterable[Row]) -> list[Standing]:
    """Return where a model stands in each table; in those of smoke tests only where it has no other."""
    rows = list(rows)
    where = {group_of(row) for row in rows if row.model == model}
    beside = [row for row in rows if row.baseline or group_of(row) in where]  # other tables cost time alone
    found = [one for table in make_board(beside).tables if (one := _standing(model, table)).lines]
    return [one for one in found if not one.table.group.quick] or found


def _standing(model: str, table: Table) -> Standing:
    lines = [line for line in table.lines if not line.row.baseline]
    quickest = {row.identity for row in table.best}
    accurate = _best(model, [line for line in lines if UNDER not in line.marks], METRICS[Y])
    fastest = _best(model, [line for line in lines if line.row.identity in quickest], METRICS[X])
    own = [line for line in lines if line.row.model == model]
    shown = [best.line for best in (accurate, fastest) if best] + [line for line in own if FRONT in line.marks]
    return Standing(table, accurate, fastest, tuple({id(line): line for line in shown or own[:1]}.values()))


def _best(model: str, lines: Iterable[Line], metric: Metric) -> Best | None:
    """By the numbers as they are shown, so that equal texts have equal ranks."""
    known = [(metric.seen(value), line) for line in lines if (value := line.row.value(metric.key)) is not None]
    best: dict[str, tuple[float, Line]] = {}
    for seen, line in sorted(known, key=lambda one: one[0], reverse=metric.better == "higher"):
        best.setdefault(line.row.model, (seen, line))
    if model not in best:
        return None
    own, line = best[model]
    return Best(line, 1 + sum(metric.beats(seen, own) for seen, _ in best.values()), len(best))


def _commands(name: str, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    tags = [one.tag for one in published_of(spec.name)]
    taken = f" --weights published:{tags[0]}" if tags else ""
    begin = " --init own" if spec.hub else " --pretrained" if spec.pretrained else ""
    file = re.sub(r"[^A-Za-z0-9._]+", "-", spec.name).strip("-")
    yield "a smoke test", f"zoo bench --models {name}"
    yield "its speed here, in all runtimes", f"zoo bench --models {name} --runtimes installed --preset latency"
    if tags:
        yield "published weights", f"zoo weights fetch {spec.name}:{tags[0]}"
    yield "train", f"zoo train {name} --data DIR{begin}"
    yield "evaluate", f"zoo eval {name} --data DIR{taken}"
    yield "accuracy and speed as a row", f"zoo bench --models {name} --data DIR --preset cityscapes"
    yield "see what it sees", f"zoo predict {name} frame.png -o pictures --data DIR{taken}"
    yield "export", f"zoo export {name} -o {file}.onnx --data DIR{taken}"
    yield "export, for speed alone", f"zoo export {name} -o {file}.onnx --random --image-size 1024x2048"


def show_info(
    one: Info,
    form: Literal["table", "json"] = "table",
    *,
    parts: Parts | None = None,
    input_size: Size = (1024, 2048),
    width: int | None = None,
) -> str:
    """Return what is known as text or as JSON, in which `parts` take part."""
    if form == "json":
        return json.dumps(_values(one, parts, input_size), indent=1, default=str) + "\n"
    width = width or text_width()
    lines = [line for text in _told(one) for line in wrapped(text, width)]
    lines += [line for what, command in one.commands.items() for line in wrapped_command(what, command, width)]
    return "".join(f"{line}\n" for line in lines)


def show_parts(parts: Parts, input_size: Size) -> str:
    """Return parameters and MACs by part as a table."""
    total = sum(count for _, count, _ in parts)
    known = [macs for _, _, macs in parts if macs is not None]
    shown = sorted(sorted(parts, key=lambda part: -part[1])[:SHOWN_PARTS], key=parts.index)
    if rest := [part for part in parts if part not in shown]:
        macs = sum(part[2] or 0 for part in rest) if known else None
        shown.append((f"{counted(len(rest), 'smaller one')}", sum(part[1] for part in rest), macs))
    params_of, macs_of = METRICS["param_count"].show, METRICS["mac_count"].show
    lines = [
        [name, params_of(count), _share(count, total), macs_of(macs), _share(macs, sum(known))]
        for name, count, macs in (*shown, ("all", total, sum(known) if known else None))
    ]
    table = simple_table(["part", "params M", "%", "MACs G", "%"], lines)
    head = f"parameters and MACs by part, 19 classes, input {show_size(input_size)}, heads of training alone left out:"
    return "".join(f"{line}\n" for line in (*wrapped(head), *table.plain))


def _share(part: float | None, whole: float) -> str:
    return "" if part is None or not whole else f"{100 * part / whole:.1f}"


def _told(one: Info) -> Iterator[str]:
    spec = one.spec
    paper = ", ".join(part for part in (spec.paper, spec.url) if part)
    yield f"{one.name}: {spec.family}{f' ({paper})' if paper else ''}"
    if spec.tags:
        yield f"  tags: {', '.join(spec.tags)}"
    weights = f"; its published weights: {spec.pretrained}" if spec.pretrained else ""
    yield f"  encoder: {spec.encoder or 'its own'}{weights}"
    yield f"  fed: {_fed(spec)}"
    yield from _figures(one.figures)
    yield f"licences ({NO_ADVICE}):"
    yield f"  code: {_all(one.licences.code)}"
    for checkpoint in one.checkpoints:
        yield (
            f"  {checkpoint.id}: weights {_stated(checkpoint.weights_licence)}; trained on {checkpoint.trained_on}, "
            f"{_stated(checkpoint.data_terms)}{_claimed(checkpoint.claim)}"
        )
    if one.hub is not None:
        yield f"  its weights: {_all(one.hub.weights)}; training data: {_all(one.hub.data)}"
    begun = (*one.licences.weights[1:], *one.licences.data[1:])
    also = f"; with --pretrained also {_all(begun)}" if begun else ""
    yield f"  trained here: of whoever trains, under the dataset's terms{also}"
    yield "where it stands:" if one.standings else "where it stands: it is in no record yet"
    for standing in one.standings:
        yield from _place(standing)
    if one.standings:
        yield f"  {RANKS}"
    yield f"how to go on ({DIR}):"


def _fed(spec: ModelSpec) -> str:
    scale = "ImageNet's" if (spec.mean, spec.std) == (IMAGENET_MEAN, IMAGENET_STD) else f"{spec.mean} and {spec.std}"
    if spec.own:
        return "as build() says; sides are padded to the multiples that it takes, found by trying"
    aligned = ", logits upsampled with aligned corners" if spec.align_corners else ""
    return f"{spec.channel_order.upper()}, mean and std {scale}; sides {_sides(spec)}{aligned}"


def _sides(spec: ModelSpec) -> str:
    """Which heights and widths it takes, and what becomes of others."""
    (least, _), rules = spec.padded((1, 1)), []
    if spec.divisor > 1:
        rules.append(f"to multiples of {spec.divisor}")
    if least > spec.divisor:
        rules.append(f"to {least} at least")
    return f"padded {' and '.join(rules)}, right and below with the mean colour" if rules else "of any length"


def _figures(figures: Figures) -> Iterator[str]:
    said = [
        f"{what} {figure.said}{f' at {show_size(figure.input_size)}' if what == 'MACs' else ''} "
        f"({', '.join(part for part in (figure.source, figure.why) if part)})"
        for what, figure in (("parameters", figures.params), ("MACs", figures.macs))
        if figure is not None
    ]
    if figures.claim is not None:
        said.append(f"of other weights{_claimed(figures.claim)}".replace(";", ""))
    if said:
        yield f"  published: {'; '.join(said)}"


def _claimed(claim: Claim | None) -> str:
    if claim is None:
        return ""
    return f"; mIoU {METRICS['miou'].say(claim.miou)} on Cityscapes val ({claim.protocol}, {claim.source})"


def _all(stated: Sequence[Stated]) -> str:
    return " + ".join(map(_stated, stated)) or "none"


def _stated(one: Stated) -> str:
    return f"{one.value} ({one.source})" if one.source else one.value


def _place(one: Standing) -> Iterator[str]:
    """The table, and a line for each row: its numbers, with the ranks that are its own."""
    yield f"  {one.table.title}"
    if one.table.caution:
        yield f"    {one.table.caution}"
    beside = any(column.key == "weights" for column in one.table.columns)
    for line in one.lines:
        row, said = line.row, []
        for key in (Y, X, "peak_memory_bytes"):
            if row.value(key) is not None:
                best = one.rank(line, key)
                rank = f", rank {best.rank} of {counted(best.model_count, 'model')}" if best else ""
                said.append(f"{METRICS[key].title} {row.say(key)}{rank}")
        said += [f"{mark} {MARKS[mark]}" for mark in line.marks]
        yield f"    {line.label}{f', weights {row.weights}' if beside else ''}: {'; '.join(said) or 'no number'}"


def _values(one: Info, parts: Parts | None, input_size: Size) -> dict[str, object]:
    licences = {"code": one.licences.code, "begun_from": (*one.licences.weights[1:], *one.licences.data[1:])}
    return {
        "name": one.name,
        **one.spec.model_dump(mode="json", exclude={"name", "args"}),
        "licences": {what: [asdict(fact) for fact in facts] for what, facts in licences.items()},
        "hub_licences": one.hub and one.hub.as_dict(),
        "checkpoints": [
            {
                "id": checkpoint.id,
                "url": checkpoint.url,
                "trained_on": checkpoint.trained_on,
                "weights_licence": asdict(checkpoint.weights_licence),
                "data_terms": asdict(checkpoint.data_terms),
                "claim": checkpoint.claim and asdict(checkpoint.claim),
            }
            for checkpoint in one.checkpoints
        ],
        "published": {
            "parameters": _figure(one.figures.params),
            "macs": _figure(one.figures.macs),
            "claim": one.figures.claim and asdict(one.figures.claim),
        },
        "standings": [_stands(standing) for standing in one.standings],
        "parts": parts
        and {
            "num_classes": 19,
            "input_size": input_size,
            "modules": [{"name": name, "param_count": count, "mac_count": macs} for name, count, macs in parts],
        },
        "commands": {what: carried_command(command) for what, command in one.commands.items()},
    }


def _stands(one: Standing) -> dict[str, object]:
    return {
        "table": one.table.title,
        "caution": one.table.caution,
        "rows": [
            {
                **line.row.as_dict(),
                "marks": line.marks,
                "ranks": {
                    key: {"rank": best.rank, "model_count": best.model_count}
                    for key in (Y, X)
                    if (best := one.rank(line, key))
                },
            }
            for line in one.lines
        ],
    }


def _figure(figure: Figure | None) -> dict[str, object] | None:
    if figure is None:
        return None
    return {
        "value": figure.value,
        "said": figure.said,
        "source": figure.source,
        "input_size": figure.input_size,
        "why": figure.why,
    }
