"""`zoo pick` for a person: the winner, its reasons, and why the others lost."""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Literal, get_args

from zoo.advice import carried, carried_command
from zoo.errors import counted
from zoo.picker.candidates import why_untold
from zoo.picker.deciding import Loser, published_mark
from zoo.picker.pick import Choice, cost_per_million
from zoo.published.claims import Stated
from zoo.report.marks import HURT
from zoo.report.terminal import fitted_table, text_width, widest, wrapped, wrapped_command
from zoo.score.commands import (
    Basis,
    how_to_export,
    how_to_have_weights,
    how_to_load,
    how_to_measure,
    how_to_train,
    loads_published,
    measured_on,
    rests_on,
    what_trains,
)
from zoo.score.comparing import of_each, place_of
from zoo.score.licences import NO_ADVICE
from zoo.score.metrics import CLASS_LOSS, COST, GRADE, SHOWN, SHOWN_OF_PACED, Metric, metric_of
from zoo.score.rows import WHOLE, Row, text_of

KINDS = {
    "tie": "others tie and are behind in what decided among ties",
    "behind": "others are behind",
    "unknown": "others come after, whether by more than chance is not known",
    "limit": "others break a limit",
    "lacking": "others lack a number that is asked for",
    "licence": "others are not known to be for sale",
    "elsewhere": "others were not measured on every device",
    "failed": "others are not ok",
}
"""Of `Loser.kind`, in the order they are named, as the sentence for many of them."""
WORST = metric_of(CLASS_LOSS)
COMMANDS = ("train", "export", "load", "measure", "pace")
"""What JSON tells how to do with the winner; the first and the last where that is to be done."""
FEW = 3
"""Losers of one kind that are named each."""
FRONT = 8
"""Rows of a Pareto set that are shown."""


def show_choice(
    choice: Choice,
    form: Literal["table", "json"] = "table",
    *,
    explain: bool = False,
    price: float | None = None,
    width: int | None = None,
) -> str:
    """Return the answer as JSON or as text; every line of a choice among smoke tests says so.

    Args:
        choice: Of `pick`.
        form: JSON names every loser.
        explain: The whole elimination: every step, and every loser instead of a sentence for many.
        price: What an hour of a device costs: then what a million images cost is said.
        width: Columns of the text; `None`: the terminal's.
    """
    if form == "json":
        return json.dumps(_values(choice, price), indent=1, default=datetime.isoformat) + "\n"
    prefix = "quick | " if choice.quick else ""
    width = width or text_width()
    head = _winner(choice, price) if choice.winner else _nobody(choice)
    told = [line for text in head for line in wrapped(text, width, prefix=prefix)]
    told += [
        line for says, command in _commands(choice) for line in wrapped_command(says, command, width, prefix=prefix)
    ]
    if choice.winner is not None and choice.near_misses:
        told += wrapped("near misses, which would be chosen:", width, prefix=prefix)
        told += [line for loser in choice.near_misses for line in wrapped(_loser(choice, loser), width, prefix=prefix)]
    told += [f"{prefix}{line}" for line in _front(choice, price, width - len(prefix))]
    told += [line for text in _others(choice, explain=explain) for line in wrapped(text, width, prefix=prefix)]
    return "".join(f"{line}\n" for line in told)


def _winner(choice: Choice, price: float | None) -> Iterator[str]:
    winner = choice.winner
    assert winner is not None
    yield f"{choice.label} ({_where(choice)})"
    yield f"  {_numbers(choice, winner)}"
    places = choice.winners
    if len(places) > 1:
        yield "  above: each number on the device where it is worst; on each it ships as what is best there"
        yield from (
            f"  on {place_of(place, places)}, {place.runtime} {place.precision}: {_numbers(choice, place)}"
            for place in places
        )
    yield from (f"  {reason}" for reason in choice.reasons)
    yield from (f"  note: {note}" for note in choice.notes)
    if price is not None:
        yield from (f"  {_cost(place, price, batched=choice.batched)}" for place in places)
    yield from (f"  {said}" for place in places if (said := _cold_start(place, place_of(place, places))))
    if winner.accepted and winner.published is not None:
        claim = winner.published.claim
        fed = winner.published.input_size
        sizes = f", fed {text_of(fed)} there and {text_of(winner.input_size)} here" if fed else ""
        yield f"  published mIoU: {claim.protocol}, {winner.published.weights}{sizes}; {claim.source}"
    for place in places:
        where = measured_on(place, choice.here)
        yield f"  {where}: {place.device_name}, {place.started_at:%Y-%m-%d}"
        if where == "measured here":
            yield from (f"  to mend {doubt.what}: {doubt.remedy}" for doubt in place.doubts)
    yield f"  licences ({NO_ADVICE}): {_licences(winner)}"


def _nobody(choice: Choice) -> Iterator[str]:
    yield f"nothing qualifies ({_where(choice)})"
    yield from (f"  note: {note}" for note in choice.notes)
    if choice.near_misses:
        yield "nearest:"
        yield from (_loser(choice, loser) for loser in choice.near_misses)


def _where(choice: Choice) -> str:
    group = choice.group
    rows = choice.rows
    shared = {field: {getattr(row, field) for row in rows} for field in ("weights", "input_size")}
    return " · ".join(
        (
            *(group.device, group.dataset or "no dataset"),
            *([] if group.mode == WHOLE else [group.mode]),
            *([rows[0].pace] if rows and rows[0].pace else []),
            *(
                f"{field.removesuffix('_size')} {text_of(next(iter(values)))}"
                for field, values in shared.items()
                if len(values) == 1  # else the labels name it
            ),
        )
    )


def _shown(choice: Choice) -> list[str]:
    """Keys of the metrics that are told of the winner: what was asked for goes first."""
    asked = (choice.asked.goal.key, *(limit.metric.key for limit in choice.asked.limits))
    shown = SHOWN if choice.group.rate_hz is None else SHOWN_OF_PACED
    return list(dict.fromkeys((*[key for key in asked if key not in shown], *shown)))


def _numbers(choice: Choice, row: Row) -> str:
    return ", ".join(f"{metric_of(key).title} {_with_interval(choice, row, metric_of(key))}" for key in _shown(choice))


def _with_interval(choice: Choice, row: Row, metric: Metric) -> str:
    """A number with its 95 % interval where it has one, its unit, and that it is published where it is."""
    interval = choice.pairs.span(row, metric.key)
    if metric.key == "miou" or interval is None:
        return row.say(metric.key) + published_mark(row, metric)
    low, high = map(metric.show, interval)
    return f"{metric.show(row.value(metric.key))} [{low}, {high}] {metric.unit}".rstrip()


def _cold_start(row: Row, where: str) -> str:
    """From a file on disk to the first label map, and the steady state beside it."""
    if row.value("cold_start_s") is None:
        return ""
    parts = {"import": "cold_import_s", "load": "cold_load_s", "first call": "cold_first_call_s"}
    said = ", ".join(f"{part} {row.say(key)}" for part, key in parts.items())
    return f"cold start on {where}: {row.say('cold_start_s')} ({said}); then {row.say('pipeline_p50_s')} a frame"


def _cost(row: Row, price: float, *, batched: bool) -> str:
    cost, basis = cost_per_million(row, price, batched=batched)
    said = "is not known" if math.isnan(cost) else f"{cost:.2f}"
    return f"a million images at {price:g} an hour of {row.device}: {said} (by {basis})"


def _licences(row: Row) -> str:
    if row.licences.code_alone:
        return f"code {' + '.join(map(_stated, row.licences.code))}; weights random"
    return "; ".join(f"{what} {' + '.join(map(_stated, parts))}" for what, parts in row.licences.by_name.items())


def _stated(one: Stated) -> str:
    return f"{one.value} ({one.source})" if one.source.startswith("http") else one.value


def _commands(choice: Choice) -> Iterator[tuple[str, str]]:
    """What trains, exports, shows and measures the winner: what each does, and the command to be copied."""
    winner = choice.winner
    if winner is None:
        for nearest in choice.near_misses[:1]:
            for command, on in _of_each(nearest.row.measured, lambda place: _how_to_pace(choice, place)):
                yield f"to pace the calls of the nearest{on} at {choice.at_hz:g} Hz", command
        return
    data = f"; DIR holds {winner.dataset}" if winner.dataset is not None and not winner.synthetic else ""
    untrained = winner.weights_source == "random" and not loads_published(winner)
    for command, on in _of_each(choice.winners, how_to_have_weights):  # also of what a machine of this kind measured
        yield what_trains(winner, command, on) + data, command
        data = ""
    for command, on in _of_each(choice.winners, _how_to_export(choice)):
        train = f"; `{how_to_train(winner.model, on_data=True)}` gives it others" if untrained else ""
        of = ", with random weights" if untrained else f", of seed {winner.seed} alone" if winner.seed_count > 1 else ""
        ships = f"the file that ships{on}{of}, and how to load it{train}"
        yield ships + data, command
        data = ""
    own = _nearest(choice)
    if not untrained and (command := how_to_load(own)):
        seen = "what it sees of a picture" + (", in fp32" if own.precision == "int8" else "")
        yield seen + data, command
    if measured_on(own, choice.here) != "measured here":
        yield "to measure it on this machine", how_to_measure(own)
    for command, on in _of_each(choice.winners, lambda place: _how_to_pace(choice, place)):
        yield f"to pace its calls{on} at {choice.at_hz:g} Hz", command


def _of_each(places: Sequence[Row], how: Callable[[Row], str]) -> Iterator[tuple[str, str]]:
    """The commands of `of_each`, and behind a space on which."""
    return ((command, f" {on}".rstrip()) for command, on in of_each(places, lambda place: filter(None, [how(place)])))


def _how_to_export(choice: Choice) -> Callable[[Row], str]:
    """Of several devices, which ship in different files, each file is named by its device."""
    several = len({how_to_export(place) for place in choice.winners} - {""}) > 1
    return functools.partial(how_to_export, beside=several)


def _nearest(choice: Choice) -> Row:
    """Of the winner's devices this machine, else its like, else the first."""
    order = get_args(Basis)
    return min(choice.winners, key=lambda place: order.index(measured_on(place, choice.here)))


def _how_to_pace(choice: Choice, place: Row) -> str:
    """The command that measures it at the rate that is to be kept up with; empty where that was done, or none is."""
    if choice.at_hz is None or choice.at_hz == choice.group.rate_hz or place.batch_size > 1:
        return ""
    return how_to_measure(place._replace(rate_hz=choice.at_hz))


def _front(choice: Choice, price: float | None, width: int) -> list[str]:
    """The Pareto set as a table, with as many columns as there is room for."""
    if len(choice.front) < 2:
        return []
    x, y, *others = choice.axes
    shown = list(choice.front[:FRONT])
    if choice.winner in choice.front[FRONT:]:
        shown[-1] = choice.winner
    known = [key for key in _shown(choice) if any(row.value(key) is not None for row in choice.front)]
    keys = dict.fromkeys((y.key, x.key, *(metric.key for metric in others), *known))
    keys.pop(GRADE.key, None)  # it stands last
    header = ["", *(metric_of(key).title for key in keys), "grade"]
    cells = [
        [
            f"{'→' if row is choice.winner else ' '} {choice.labels[row.key]}",
            *(_with_interval(choice, row, metric_of(key)) for key in keys),
            row.grade or "n/a",
        ]
        for row in shown
    ]
    if any(map(_hurt, choice.front)):
        header.insert(2, WORST.column)  # behind what is made best
        for row, line in zip(shown, cells, strict=True):
            hurt = _hurt(row)
            line.insert(2, f"{HURT} {hurt[0]} {WORST.show(hurt[1])}" if hurt else "")
    if price is not None and COST.key not in keys:
        header.insert(3, "1M images")
        for row, line in zip(shown, cells, strict=True):
            line.insert(3, f"{cost_per_million(row, price, batched=choice.batched)[0]:.2f}")
    if choice.rests_on_several:
        header.insert(1, "rests on")
        for row, line in zip(shown, cells, strict=True):
            line.insert(1, _basis(choice, row))
    table, _ = fitted_table(header, cells, left=1, drop=header[:2:-1], width=width)
    if widest(table.plain) > width:  # then intervals are left out too, which `zoo leaderboard` has
        cells = [[label, *(re.sub(r" \[.*?\]", "", cell) for cell in told)] for label, *told in cells]
        table, _ = fitted_table(header, cells, left=1, drop=header[:2:-1], width=width)
    more = f" ({FRONT} of {len(choice.front)})" if len(choice.front) > FRONT else ""
    *first, last = (metric.title for metric in (y, x, *others))
    title = f"Pareto set of those that qualify, by {', '.join(first)} and {last}{more}:"
    return [title, *table.plain]


def _hurt(row: Row) -> tuple[str, float] | None:
    """The class that loses most of those that lose more than may be, on whichever device."""
    return max((lost for part in row.measured for lost in part.hurt_classes.items()), key=itemgetter(1), default=None)


def _others(choice: Choice, *, explain: bool) -> Iterator[str]:
    rest = [loser for loser in choice.losers if loser not in choice.near_misses]
    if explain:
        yield "elimination:"
        yield from (f"  {line}" for line in choice.elimination)
    if rest:
        yield "why not the others:"
        yield from (_loser(choice, loser) for loser in rest) if explain else _in_short(choice, rest)
    if choice.left_out and not explain:
        total = sum(count for _, count in choice.left_out)
        reasons = ", ".join(f"{count} {why}" for why, count in choice.left_out)
        yield f"{counted(total, 'record')} took no part: {reasons}"
    if not choice.rests_on_several and choice.losers and choice.winner is None:
        row = choice.losers[0].row
        names = dict.fromkeys(part.device_name for part in row.measured)
        yield f"all of it {_basis(choice, row)}: {' and '.join(names)}"


def _loser(choice: Choice, loser: Loser) -> str:
    row, why = loser.row, "; ".join(loser.why)
    basis = f" [{_basis(choice, row)}]" if choice.rests_on_several else ""
    asked = choice.asked.numbers
    unknown = [metric.key for metric in asked if row.value(metric.key) is None and not why_untold(metric, [row])]
    how = ""
    if loser.kind == "elsewhere":
        how = f"; there `{_how_to_measure_there(choice, row)}`"
    elif unknown and loser.kind in {"limit", "lacking"}:
        commands = _of_each(row.measured, lambda part: _how_to_know(part, unknown))
        how = "".join(f"; `{command}`" for command, _ in commands)
    return f"  {loser.label}: {why}{how}{basis}"


def _how_to_know(row: Row, keys: Sequence[str]) -> str:
    """The command that measures those of some numbers that are not known of a row; empty where all are."""
    lacking = [key for key in keys if row.value(key) is None]
    return how_to_measure(row, *lacking) if lacking else ""


def _how_to_measure_there(choice: Choice, row: Row) -> str:
    """The command that measures a model on a device that does not know it, as what most others are there."""
    one, known = row.measured[0], {part.device for part in row.measured}
    there = [part for other in choice.rows for part in other.measured if part.device not in known]
    if one.is_foreign or not there:
        return how_to_measure(one)
    facts = ("runtime", "precision", "memory_format", "compile_mode", "thread_count", "device")
    ((usual, _),) = Counter(map(attrgetter(*facts), there)).most_common(1)
    return how_to_measure(one._replace(**dict(zip(facts, usual, strict=True))))


def _basis(choice: Choice, row: Row) -> str:
    """Where a row was measured, or of several devices its rows."""
    return " and ".join(dict.fromkeys(measured_on(part, choice.here) for part in row.measured))


def _in_short(choice: Choice, losers: list[Loser]) -> Iterable[str]:
    """A line each for a few of one kind, one for many, which names the nearest."""
    order = list(KINDS)
    left_out = False
    for kind, found in groupby(sorted(losers, key=lambda loser: order.index(loser.kind)), lambda loser: loser.kind):
        same = list(found)
        if len(same) <= FEW:
            yield from (_loser(choice, loser) for loser in same)
            continue
        left_out = True
        reasons = {loser.why for loser in same}
        nearest = _loser(choice, same[0]).strip().removeprefix(f"{same[0].label}: ")
        who = "each" if len(reasons) == 1 else f"the nearest {same[0].label}"
        yield f"  {len(same)} {KINDS[kind]}; {who}: {nearest}"
    if left_out:
        yield "  (--explain names each; --format json has all their numbers)"


def _values(choice: Choice, price: float | None) -> dict[str, object]:
    winner = choice.winner
    cost = None if winner is None or price is None else cost_per_million(winner, price, batched=choice.batched)
    return {
        "winner": winner.as_dict() if winner else None,
        "label": choice.label,
        "quick": choice.quick,
        "objective": choice.asked.goal.name,
        "limits": [limit.say() for limit in choice.asked.limits],
        "for_sale": choice.asked.for_sale,
        "reasons": choice.reasons,
        "notes": [carried(note) for note in choice.notes],
        "rests_on": _bases(choice, winner) if winner else None,
        "devices": {place_of(place, choice.winners): place.as_dict() for place in choice.winners} if winner else None,
        **(_commands_of(choice, _nearest(choice)) if winner else dict.fromkeys(COMMANDS)),
        "commands": {place_of(place, choice.winners): _commands_of(choice, place) for place in choice.winners},
        "million_images": cost and {"price": cost[0], "by": cost[1]},
        "losers": [
            {
                "model": loser.row.model,
                "label": loser.label,
                "kind": loser.kind,
                "why": loser.why,
                "rests_on": _bases(choice, loser.row),
            }
            for loser in choice.losers
        ],
        "near_misses": [loser.label for loser in choice.near_misses],
        "pareto_set": [choice.labels[row.key] for row in choice.front],
        "left_out": dict(choice.left_out),
        "elimination": choice.elimination,
    }


def _commands_of(choice: Choice, place: Row) -> dict[str, str | None]:
    """What is done for the winner on one of its devices, by `COMMANDS`."""
    train, pace = how_to_have_weights(place) or None, _how_to_pace(choice, place) or None
    found = train, _how_to_export(choice)(place), how_to_load(place), how_to_measure(place), pace
    return dict(zip(COMMANDS, (command and carried_command(command) for command in found), strict=True))


def _bases(choice: Choice, row: Row) -> dict[str, str]:
    """What each number rests on, by the name of its metric."""
    return {
        f"{metric_of(key).name if '.' not in key else key}": rests_on(row.part(key), key, choice.here)
        for key in _shown(choice)
    }
