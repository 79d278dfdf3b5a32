"""Which rows take part in a choice: those of one comparable group a device, one candidate an artifact or a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from zoo.errors import UserError, listed
from zoo.frames import CITYSCAPES_NAME
from zoo.machine import Named
from zoo.picker.several import Candidate, on_all
from zoo.protocol import PACED_PROTOCOL, SPEED_PROTOCOL
from zoo.score.commands import flags_for, loads_published, preset_words
from zoo.score.comparing import Group, differences, group_of, latest
from zoo.score.fields import FIELDS, flag_for
from zoo.score.filtering import VERSIONS, class_among, matches, newest_versions, version_of
from zoo.score.licences import licences_with
from zoo.score.limits import Limit
from zoo.score.metrics import METRICS, Metric
from zoo.score.reading import NO_MODEL_YET
from zoo.score.rows import WHOLE, Row, text_of
from zoo.store import when

MOST_MISSED = 0.01
"""Share of the deadlines that a model may miss and still keeps up with a rate (zoo-paced/1, rule 6): as p99 allows."""
MOST_NAMED = 20
"""Classes that are named to choose from."""


class NothingMeasuredError(UserError):
    """There is no record to choose from, or none has the numbers that are asked for."""


@dataclass(frozen=True)
class Field:
    """Those that take part, and who does not."""

    candidates: tuple[Candidate, ...]
    groups: tuple[Group, ...]
    """One a device."""
    row_count: int
    """Rows that the candidates were made of; of several devices more than one each."""
    left_out: tuple[tuple[str, int], ...]
    """Why rows take no part, and how many."""
    notes: tuple[str, ...]


def find_candidates(
    rows: list[Row],
    needed: Sequence[Metric],
    devices: Sequence[str],
    here: Sequence[Named],
    rate_hz: float | None = None,
    *,
    named: bool = False,
) -> Field:
    """Choose the rows that take part: one group a device, and of each condition its newest.

    Quick rows, those of an older protocol and those of frames not read whole take part only where there are no others;
    of several versions of a dataset or recipe the one measured last does. Where a rate is to be kept up with, rows that
    were paced at it go before those of calls one after the other.

    Args:
        rows: What matches the conditions.
        needed: The metrics that the question names.
        devices: All that one candidate has to be measured on; one or none: one device alone.
        here: This machine's devices: their own rows go first where no device is named and they have the numbers.
        rate_hz: Frames a second that have to be kept up with; `deadline` of it is needed too.
        named: Whether rates of rows were named: then rows paced at another rate may take part.

    Raises:
        NothingMeasuredError: no row has the numbers.
        UserError: rows of several groups, which may not be compared.
    """
    notes: tuple[str, ...] = ()
    if not devices:
        measured = dict.fromkeys(row.device for row in rows if not row.baseline)
        ours = {device.machine_id for device in here}
        known = [row for row in rows if not row.baseline and _has_all(row, needed)]
        known = [row for row in known if not row.quick] or known
        own = {row.device for row in known if row.machine_id in ours}
        if len(measured) > 1 and len(own & set(measured)) == 1:
            rows = [row for row in rows if row.baseline or row.device in own]
            others = [device for device in measured if device not in own]
            notes = (f"rows of {listed(others)} are left out: this machine's are taken; name another with --device",)
    last = latest(rows)  # what was measured again since decides nothing
    sides = [[row for row in last if row.baseline or row.device == device] for device in dict.fromkeys(devices)]
    for device, found in zip(dict.fromkeys(devices), sides, strict=True):
        if all(row.baseline for row in found):
            raise NothingMeasuredError(
                f"nothing that is asked for was measured on {device}; `zoo leaderboard` lists what is there"
            )
    sides = sides or [last]
    usable = _in_common([_usable(some, needed, rate_hz, named=named, among=len(sides)) for some in sides])
    chosen = [_one_group(*side, needed, rate_hz) for side in zip(sides, usable, strict=True)]
    groups = tuple(one.group for one in chosen)
    _require_alike(groups)
    notes = tuple(dict.fromkeys((*notes, *(note for one in chosen for note in one.notes))))
    taken = {one.group: [row for row in last if one.takes(row) and not row.baseline] for one in chosen}
    alone = (Candidate(((row,),)) for row in taken[groups[0]])
    candidates = tuple(alone) if len(groups) == 1 else on_all(taken)
    return Field(candidates, groups, sum(map(len, taken.values())), _left_out(rows, taken), notes)


def accepting_published(rows: Iterable[Row]) -> list[Row]:
    """Put the published mIoU in the place of none, and mark the row (`Row.accepted`).

    It is of Cityscapes val: rows that were scored, or asked to be, on other images keep theirs. Random weights stand
    for those that are published of the model, whose licences count then; what int8 loses nobody published.
    """

    def accept(row: Row) -> Row:
        fits = row.miou is None and row.status == "ok" and not row.baseline and row.precision != "int8"
        alike = row.dataset in (None, CITYSCAPES_NAME) and row.weights_source in {"random", "published"}
        if row.published is None or not (fits and alike):
            return row
        taken = row.having(miou=row.published.claim.miou)._replace(accepted=True)
        tag = row.published.weights.removeprefix("published ") if loads_published(taken) else ""
        return taken._replace(licences=licences_with(row.model, tag, row.published.claim.source))

    return [accept(row) for row in rows]


def deadline(group: Group, rate_hz: float) -> Limit:
    """Return what keeps up with a rate: paced at it, few missed deadlines; else a p99 that fits between two frames."""
    if group.rate_hz == rate_hz:
        return Limit(METRICS["missed_share"], MOST_MISSED)
    return Limit(METRICS["pipeline_p99_s"], 1 / rate_hz)


def flags_of(group: Group, among: Iterable[Group], asked: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Return what a person types to choose from one group, of several: its device, and what tells it from the others.

    What gives way to it anyhow (`_one_group`) is not named; `asked`, the conditions that all groups were chosen by, is.
    """
    others = [other for other in among if other != group and not _gives_way(other, group)]
    named = dict[str, str]()
    for name in FIELDS:
        if name not in Group._fields:
            continue
        value = text_of(getattr(group, name))
        left = [other for other in others if matches(other, name, value)]
        if name in VERSIONS and any(version_of(other, name) != version_of(group, name) for other in left):
            value = version_of(group, name)
            left = [other for other in left if matches(other, name, value)]
        if len(left) < len(others) or name == "device":  # else this machine's would be taken
            named[name] = value
        others = left
    return [flag_for(name, value) for name, value in {**asked, **named}.items()]


def _gives_way(other: Group, group: Group) -> bool:
    """Whether rows of a group take no part where another has the numbers."""
    return (
        (other.quick and not group.quick)
        or (other.mode != WHOLE == group.mode)
        or (other.protocol != SPEED_PROTOCOL == group.protocol)
    )


def _usable(rows: list[Row], needed: Sequence[Metric], rate_hz: float | None, *, named: bool, among: int) -> list[Row]:
    """The rows of one device of several that have the numbers: full ones, where there are any."""
    measured = [row for row in rows if not row.baseline]
    if not measured:
        raise NothingMeasuredError(NO_MODEL_YET)
    asked = [row for row in measured if not row.quick] or measured
    usable = [row for row in asked if row.status == "ok" and _has_all(row, needed)]
    if rate_hz is not None:
        needed = [*needed, tail := METRICS["pipeline_p99_s"]]
        usable = [
            row
            for row in usable
            if row.rate_hz == rate_hz or (_has_all(row, [tail]) and (named or row.rate_hz is None))
        ]
    if not usable:
        kind = "full record" if len(asked) < len(measured) else "record"
        where = f" of {measured[0].device}" if among > 1 else ""
        raise NothingMeasuredError(_why_none(asked, needed, rate_hz, kind + where))
    return usable


def _in_common(several: list[list[Row]]) -> list[list[Row]]:
    """Of rows by device those of groups, and of versions of a recipe, that every device has, where there are such."""
    if len(several) < 2:
        return several
    common = set.intersection(*({_kind(group_of(row)) for row in rows} for rows in several))
    found = [[row for row in rows if not common or _kind(group_of(row)) in common] for rows in several]
    shared = set.intersection(*({(*_of_recipe(row), row.recipe_hash) for row in rows} for rows in found))
    last = {
        _of_recipe(row): row.recipe_hash
        for row in sorted((row for rows in found for row in rows), key=when())
        if (*_of_recipe(row), row.recipe_hash) in shared
    }
    return [[row for row in rows if last.get(_of_recipe(row), row.recipe_hash) == row.recipe_hash] for rows in found]


def _of_recipe(row: Row) -> tuple[Group, str]:
    """In what the rows of versions of one recipe are alike."""
    return _kind(group_of(row)), row.recipe


def _kind(group: Group) -> Group:
    """A group, whatever its device."""
    return group._replace(device="", thread_count=0)


class _Chosen(NamedTuple):
    """What one device's candidates are of."""

    group: Group
    notes: tuple[str, ...]
    """What it was preferred to."""
    recipes: Mapping[str, str]
    """Of each recipe, by its name, the version that takes part."""

    def takes(self, row: Row) -> bool:
        version = self.recipes.get(row.recipe) or row.recipe_hash
        return group_of(row) == self.group and row.recipe_hash in (None, version)


def _one_group(rows: list[Row], usable: list[Row], needed: Sequence[Metric], rate_hz: float | None) -> _Chosen:
    """Choose among the rows that have the numbers those of one group."""
    usable = [row for row in usable if rate_hz is not None and row.rate_hz == rate_hz] or usable
    others = {row.mode for row in usable} - {WHOLE}
    usable = [row for row in usable if row.mode == WHOLE] or usable
    usable, notes = newest_versions([row for row in usable if row.protocol == SPEED_PROTOCOL] or usable)
    if others and all(row.mode == WHOLE for row in usable):
        which = " and ".join(sorted(others))
        notes += (f"rows scored by {which} are left out: frames are read whole; name another with --where mode=…",)
    groups = list(dict.fromkeys(group_of(row) for row in usable))
    if len(groups) > 1:
        raise UserError(_may_not_be_compared(groups))
    (group,) = groups
    full = [row for row in rows if not row.baseline and not row.quick]
    recipes = {row.recipe: row.recipe_hash for row in usable if row.recipe_hash}
    return _Chosen(group, (*notes, *_protocol_notes(full, group, needed, rate_hz)), recipes)


def _has_all(row: Row, needed: Sequence[Metric]) -> bool:
    return all(row.value(metric.key) is not None for metric in needed)


def _lacking(rows: Sequence[Row], needed: Sequence[Metric]) -> list[Metric]:
    """The metrics that no row knows, each once."""
    return list(dict.fromkeys(metric for metric in needed if all(row.value(metric.key) is None for row in rows)))


def _protocol_notes(
    measured: list[Row], group: Group, needed: Sequence[Metric], rate_hz: float | None
) -> Iterator[str]:
    """Say which rows take no part since they were timed by other rules than the group's, and which devices."""
    others = {row.protocol for row in measured} - {group.protocol, PACED_PROTOCOL}
    paced = [row for row in measured if row.protocol == PACED_PROTOCOL]
    if paced and group.rate_hz is None:
        if asked := [row for row in paced if row.rate_hz == rate_hz]:
            lacks = [metric.title for metric in _lacking(asked, needed)]
            why = f"their {' and '.join(lacks)} is not known" if lacks else "none of them knows all that is asked for"
            yield f"rows paced at {rate_hz:g} Hz are left out: {why}"
        else:
            yield "rows of paced calls are left out: --at RATE chooses among those of its rate"
    if group.protocol not in {SPEED_PROTOCOL, PACED_PROTOCOL} and SPEED_PROTOCOL not in others:
        yield f"all were timed by {group.protocol}, before today's {SPEED_PROTOCOL}: no row of that is asked for"
    if group.rate_hz is not None and others:
        known = {row.model for row in paced if row.rate_hz == group.rate_hz}
        unknown = dict.fromkeys(row.model for row in measured if row.device == group.device and row.model not in known)
        more = f", and {listed(list(unknown), 3)} never were: --rate none chooses among all" if unknown else ""
        yield f"rows of calls one after the other are left out: these were paced at {group.rate_hz:g} Hz{more}"
    elif others:
        yield f"rows of {', '.join(sorted(others))} are left out: {group.protocol} measures by other rules"
    if without := sorted({row.device for row in measured} - {group.device}):
        yield f"no row of {listed(without)} takes part; name a device with --device"


def _why_none(asked: list[Row], needed: Sequence[Metric], rate_hz: float | None, kind: str) -> str:
    if not any(row.status == "ok" for row in asked):
        why = list(dict.fromkeys(f"{row.status}: {row.reason or 'no reason was recorded'}" for row in asked))
        return f"no {kind} is ok here; {listed(why, 1)}; `zoo leaderboard` names all"
    lacking = _lacking(asked, needed)
    untold = {metric.title: said for metric in lacking if (said := why_untold(metric, asked))}
    missing = [metric.title for metric in lacking if metric.title not in untold]
    what = ", ".join(metric.title for metric in lacking) or " and ".join(metric.title for metric in needed)
    if untold:
        what += f" ({'; '.join(f'{title}: {why}' for title, why in untold.items())})"
    if untold and not missing:
        return f"no {kind} knows its {what}"
    words = ["zoo bench", *preset_words(asked, needed), *flags_for({metric.key for metric in needed}, rate_hz)]
    at = {row.rate_hz for row in asked if row.rate_hz is not None and row.status == "ok" and _has_all(row, needed)}
    if at:  # of another rate than the one that is asked for: the others would have been taken
        rates = listed(f"{one:g} Hz" for one in sorted(at))
        return (
            f"every {kind} that could tell was paced at {rates}, not at {rate_hz:g} Hz, and rates are never mixed; "
            f"measure with `{' '.join(words)}`, or choose among those with --rate {min(at):g}"
        )
    ways = [f"measure with `{' '.join(words)}`"]
    if "mIoU" in missing:
        ways = ["train with `zoo train MODEL --data DIR`", "name weights with `zoo bench --weights MODEL=FILE`"]
        if missing == [needed[0].title] and all(metric.key != "miou" for metric in needed[1:]):
            ways.insert(0, "choose by something else with --minimize (latency, memory, params, macs)")
        if any(row.accepted and _has_all(row, needed) for row in accepting_published(asked)):
            ways.insert(0, "take what others state of these networks with --accept published")
    *others, last = ways
    how = f"{', '.join(others)} or {last}" if others else last
    return f"no {kind} knows its {what}; {how}"


def why_untold(metric: Metric, asked: list[Row]) -> str:
    """Why another measurement would not tell a number either, and what to ask for instead; empty where it would."""
    kind, dot, name = metric.key.partition(".")
    if dot:
        seen = {one for row in asked for one, iou in row.class_iou.items() if iou is not None}
        known = listed(sorted(seen), MOST_NAMED)
        return f"no image of theirs shows {name}; of these classes it is known: {known}" if seen else ""
    told_by_more = kind in _TAILS and all(row.quick for row in asked)
    return "" if told_by_more else _UNTOLD.get(kind, "")


_TAILS = ("pipeline_p999_s", "latency_p999_s")
_UNTOLD = {
    "energy_per_image_j": (
        "their devices do not count it (a GPU does through NVML, a CPU through RAPL, which most systems show to root "
        "alone); choose among those that do with --device"
    ),
    **dict.fromkeys(_TAILS, "it takes 1,000 samples, and their runs were done with fewer; ask for p99"),
}
"""By metric: what no flag of `zoo bench` changes."""


def _differing(groups: Sequence[Group]) -> tuple[dict[str, list[str]], str]:
    """Fields in which groups differ, each with its values, versions as people type them; and the same as words."""
    found = differences(*groups)
    for field, version in VERSIONS.items():
        if version in found:
            del found[version]
            found[field] = list(dict.fromkeys(version_of(group, field) for group in groups))
    return found, "; ".join(f"{field.replace('_', ' ')} is {' or '.join(values)}" for field, values in found.items())


def _may_not_be_compared(groups: Sequence[Group]) -> str:
    found, said = _differing(groups)
    alone = next((field for field, values in found.items() if len(values) == len(groups)), None)  # which tells them all
    asked = {alone: found[alone]} if alone else found
    how = [flag_for(field, values[0]) for field, values in asked.items()]
    return f"these records may not be compared with each other: {said}; choose one, such as with {' '.join(how)}"


def _require_alike(groups: Sequence[Group]) -> None:
    """Refuse devices whose rows differ in more than the device."""
    kinds = [_kind(group) for group in groups]
    if len(set(kinds)) > 1:
        which, (_, said) = listed([group.device for group in groups]), _differing(kinds)
        raise UserError(f"no rows of {which} may be compared: {said}; measure one of them anew as the other was")


def _left_out(rows: list[Row], taken: dict[Group, list[Row]]) -> tuple[tuple[str, int], ...]:
    """Why rows take no part, and how many; every row has one reason."""
    kept = {row.identity for found in taken.values() for row in found}
    main = next(iter(taken))

    def why(row: Row) -> str:
        if row.baseline:
            return "of the baseline"
        if row.quick != main.quick:
            return "of smoke tests" if row.quick else "of full runs"
        if row.protocol != main.protocol:
            return f"timed by the rules of {row.protocol}"
        if (group := group_of(row)) in taken:
            if row.recipe_hash and all(other.recipe_hash != row.recipe_hash for other in taken[group]):
                return "of another version of the recipe"
            return "measured again since, or another seed of one row"
        fields = differences(min(taken, key=lambda group: len(differences(group, group_of(row)))), group_of(row))
        values = [f"{field.replace('_', ' ')} {found[1]}" for field, found in fields.items() if field not in _HASHES]
        return f"of another {listed(values)}" if values else "of another version of the dataset"

    counts = Counter(why(row) for row in rows if row.identity not in kept)
    return tuple(counts.most_common())


_HASHES = {"dataset_fingerprint"}


def known_class(metric: Metric, rows: Iterable[Row]) -> Metric:
    """Return a metric of a class as `class_among`, where there is a row to choose that has classes.

    Raises:
        NothingMeasuredError: no row has classes.
        UserError: no row has such a class.
    """
    rows = list(rows)
    if "." in metric.key and not any(row.class_iou for row in rows):
        raise NothingMeasuredError(
            "no record has an IoU of classes; train with `zoo train MODEL --data DIR`, then measure with `zoo bench`"
        )
    return class_among(metric, rows)
