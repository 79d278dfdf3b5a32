"""What a person holds against what: a model, an artifact, a device, a date, a folder, a record's file.

Light until rows are read. A *side* that names a model or a file is one row, guessed where a name leaves it open; one
that names a folder, a device or a date alone is many, which `score.matching` pairs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from zoo.errors import UserError, did_you_mean, listed
from zoo.lazy import Lazy
from zoo.protocol import SPEED_PROTOCOL
from zoo.score.comparing import ARTIFACT, Group, differences, group_of, latest, newest
from zoo.score.fields import FIELDS, quoted
from zoo.score.filtering import MAX_NAMED, matches, select
from zoo.score.reading import Rows, Source, Sources, linked, read_rows
from zoo.score.rows import WHOLE, Identity, Row, row, text_of
from zoo.store import content, parse
from zoo.store import newest as newest_of_each_key

if TYPE_CHECKING:
    from zoo import catalog
else:
    catalog = Lazy("zoo.catalog")

CONDITIONS = tuple(field.name for field in FIELDS.values() if not field.rare)
"""What usually tells two records of a model apart."""
FLAGS = {field.flag.removeprefix("--").replace("-", "_"): field.name for field in FIELDS.values() if field.flag}
"""What a flag calls a condition may be said of a side too: `rate=10hz`."""
RARE = tuple(field.name for field in FIELDS.values() if field.rare)
USUAL = {"runtime": "eager", "precision": "fp32"}
"""What a name that says nothing of these means, where there is such a record."""
HOW = "MODEL, MODEL,precision=bf16,… MODEL@2026-11-01, a device, a folder or a record's file"
_MOMENT = re.compile(r"@(\d{4}-[^,@]*)")
_MODEL = "model"


@dataclass(frozen=True)
class Side:
    """One of the things that are held against each other, as a person names it."""

    text: str
    """As it was typed; with its folder where the same was asked for in several."""
    model: str = ""
    """Empty: all that is there."""
    conditions: tuple[tuple[str, str], ...] = ()
    """Fields of `Row` and the values they must have, as `filtering.matches` reads them."""
    folder: Path | None = None
    """Of its records; `None`: where all others are."""
    file: Path | None = None
    """The one record that it is."""
    until: datetime | None = None
    """As things stood then; `None`: now."""

    @classmethod
    def parse(cls, text: str) -> Side:
        """Read `unet`, `unet,precision=int8`, `unet@2026-11-01`, `device=nvidia-h200`, a folder, or a record's file.

        Raises:
            UserError: a field that rows have not, or no date behind the `@`.
        """
        if not text.strip(" ,@"):
            raise UserError(f"{text!r} names nothing to compare; name {HOW}")
        if text.endswith(".json"):
            return cls(text, file=Path(text))
        dates = _MOMENT.findall(text)
        if len(dates) > 1:
            raise UserError(f"{text} names several dates; give one")
        name, *words = _MOMENT.sub("", text).split(",")
        if "/" in name and ":" not in name and not Path(name).is_dir():
            raise UserError(f"no folder {name!r} here; name {HOW}")
        folder = Path(name) if name and Path(name).is_dir() and name not in catalog.MODELS else None
        if "=" in name:
            name, words = "", [name, *words]
        pairs = [_condition(word) for word in words]
        named = dict(pairs).get(_MODEL, "") or ("" if folder else name)
        conditions = tuple(pair for pair in pairs if pair[0] != _MODEL)
        return cls(text, named, conditions, folder, until=_moment(dates[0]) if dates else None)

    @property
    def is_one(self) -> bool:
        """Whether one row is meant."""
        return bool(self.file or self.model)


def _condition(word: str) -> tuple[str, str]:
    field, equals, value = word.partition("=")
    known = (_MODEL, *CONDITIONS, *RARE)
    field = FLAGS.get(field, field)
    if not equals or field not in known:
        raise UserError(f"{word!r} is none of {', '.join(f'{one}=…' for one in known)}")
    return field, value if field == _MODEL else text_of(FIELDS[field].parse(value))


def _moment(text: str) -> datetime:
    """The end of a day, or a moment; UTC where no zone is named."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"a date is YYYY-MM-DD or YYYY-MM-DDTHH:MM, in UTC; got {text!r}") from None
    if "T" not in text and " " not in text:
        moment = datetime.combine(moment, time.max)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def sides_of(names: Sequence[Path | str], folders: Sequence[Path | str]) -> list[Side]:
    """Return what names mean; several folders are sides of their own, or each name is meant in each of them.

    Raises:
        UserError: fewer than two, a mistake in one, or two that are the same.
    """
    for name in names:
        if not isinstance(name, Path | str):
            raise UserError(f"what is compared is named one by one, as compare('unet', 'edanet'); got {name!r}")
    asked = [Side.parse(str(name)) for name in names]
    if len(folders) > 1:
        if any(side.file or side.folder for side in asked):
            raise UserError("a folder or file is named among what is compared: give --results once, or not at all")
        asked = [
            replace(side, text=f"{folder}{f' {side.text}' if side.text else ''}", folder=Path(folder))
            for side in asked or [Side("")]
            for folder in folders
        ]
    if len(asked) < 2:
        only = f"{asked[0].text} alone is" if asked else "nothing is"
        raise UserError(f"{only} named; name two or more: {HOW}")
    for side in asked:
        if sum(side == other for other in asked) > 1:
            raise UserError(f"{side.text} and {side.text} are the same record; name two: {HOW}")
    return asked


class Standing(NamedTuple):
    """What there is of a side."""

    side: Side
    rows: list[Row]
    """Those that stand, ok or not."""


def read_sides(
    sides: Sequence[Side], results: Path | str | None, *, models: Sequence[str] = (), **conditions: object
) -> tuple[list[Standing], Sources, tuple[str, ...]]:
    """Read what there is of each side, each folder once.

    Args:
        sides: Of `sides_of`.
        results: The folder of those that name none, as in `reading.read_rows`.
        models: Only these: names, globs or tags.
        conditions: Of all sides, as in `filtering.select`.

    Returns:
        What stands of each, where each row comes from, and a line for all that could not be read.

    Raises:
        UserError: no record of a side.
    """
    read: dict[Path | None, Rows] = {}
    sources: dict[Identity, Source] = {}
    found = []
    for side in sides:
        if side.file is not None:
            known = content(side.file)
            one = row(parse(known, side.file), sha256(known).digest())
            sources[one.identity] = Source(str(side.file))
            found.append(Standing(side, [one]))
            continue
        if side.folder not in read:
            past = any(one.until for one in sides if one.folder == side.folder)
            read[side.folder] = read_rows(side.folder or results, history=past)
            sources = {**read[side.folder].sources, **sources}
        rows = list(read[side.folder].rows)
        if side.until is not None:
            rows = _until(side, rows)
        rows = _narrowed(side, select(newest_of_each_key(rows), models=models, **conditions))
        by_seed = any(field == "seed" for field, _ in side.conditions)
        found.append(Standing(side, newest(rows) if by_seed else latest(rows)))
    of_files = [place for place, one in enumerate(found) if one.side.file is not None]
    for place, one in zip(of_files, linked(found[place].rows[0] for place in of_files), strict=True):
        found[place] = found[place]._replace(rows=[one])
    return found, sources, tuple(dict.fromkeys(line for one in read.values() for line in one.warnings))


def _until(side: Side, rows: list[Row]) -> list[Row]:
    known = [one for one in rows if one.started_at <= (side.until or one.started_at)]
    if not known:
        first = min(one.started_at for one in rows)
        raise UserError(f"{side.text}: nothing was measured by then; the first record is of {first:%Y-%m-%d %H:%M} UTC")
    return known


def _narrowed(side: Side, rows: list[Row]) -> list[Row]:
    """The rows that a side names; a word that is no model's name may be a device's."""
    found, conditions, what = rows, side.conditions, side.model or side.text
    if side.model:
        found = [one for one in rows if one.model == side.model]
        if not found and any(one.device == side.model for one in rows):
            found, conditions = rows, (("device", side.model), *conditions)
        elif not found:
            models = sorted({one.model for one in rows if one.status == "ok"})
            devices = sorted({one.device for one in rows if not one.baseline})
            hint = did_you_mean(side.model, [*models, *devices])
            there = f"There is: {listed(models, MAX_NAMED)}; or a device: {', '.join(devices)}"
            raise UserError(f"no ok record of {side.text!r}, and no folder {side.model!r} here.{hint} {there}")
    for field, value in conditions:
        values = sorted({text_of(getattr(one, field)) for one in found})
        found = [one for one in found if matches(one, field, value)]
        if not found:
            raise UserError(f"no record of {what} with {field}={value}; there is: {', '.join(values)}")
    return found


def are_sets(standing: Sequence[Standing]) -> bool:
    """Whether some side means all rows that it has: a folder, a device, a date, conditions alone."""
    return any(
        not side.is_one or (side.model and not any(one.model == side.model for one in rows)) for side, rows in standing
    )


def one_of_each(standing: Sequence[Standing]) -> list[Row]:
    """Return one row of each side, all comparable with the first's; what was not named is guessed (`_likeliest`).

    Raises:
        UserError: none may be compared, with the fields that differ; or it is open which are meant.
    """
    names = [side.text for side, _ in standing]
    ok = [[one for one in rows if one.status == "ok"] for _, rows in standing]
    for (side, rows), left in zip(standing, ok, strict=True):
        if not left:
            why = rows[0].reason or "no reason was recorded"
            raise UserError(f"no ok record of {side.model or side.text!r}: {rows[0].status}: {why}")
    firsts, *others = ok
    shared = [
        one
        for one in firsts
        if all(any(is_other(one, two) and _forbids(one, two) == {} for two in side) for side in others)
    ]
    chosen: list[Row] = []
    for name, seconds in zip(names[1:], others, strict=True):
        first, second = _pair(chosen[:1] or shared or firsts, seconds, names=(names[0], name))
        chosen = [*(chosen or [first]), second]
    return chosen


def is_other(one: Row, other: Row) -> bool:
    """Whether two rows are of two records."""
    return one.identity != other.identity


def _forbids(one: Row, other: Row) -> Mapping[str, list[str]]:
    return differences(group_of(one), group_of(other))


def forbidding(one: Group, other: Group) -> dict[str, list[str]]:
    """Return the fields that forbid a comparison, with their values; of two devices neither they nor their threads."""
    found = differences(one, other)
    return {} if "device" in found and found.keys() <= {"device", "thread_count"} else found


def _pair(firsts: list[Row], seconds: list[Row], *, names: tuple[str, str]) -> tuple[Row, Row]:
    """The one comparable pair."""
    pairs = [(one, other) for one, other in product(firsts, seconds) if is_other(one, other)]
    if not pairs:
        raise UserError(f"{names[0]} and {names[1]} are the same record; name two: {HOW}")
    if any(row.baseline for pair in pairs for row in pair):
        raise UserError(
            f"{names[0]} and {names[1]} may not be compared: the baseline has no weights and takes no time; "
            "`zoo leaderboard` has the baseline's mIoU beside theirs"
        )
    allowed = [pair for pair in pairs if not _forbids(*pair)] or [
        pair for pair in pairs if not forbidding(group_of(pair[0]), group_of(pair[1]))
    ]
    if not allowed:
        nearest = min((_forbids(*pair) for pair in pairs), key=len)
        raise UserError(f"{names[0]} and {names[1]} may not be compared: {said(nearest)}; measure both in the same way")
    allowed = _likeliest(allowed)
    if len(allowed) > 1:
        varying = _varying(allowed, names, CONDITIONS) or _varying(allowed, names, RARE)
        open_ = "; ".join(f"{field} is {' or '.join(values)}" for field, (_, values) in varying.items())
        field, (name, values) = next(iter(varying.items()))
        raise UserError(
            f"{len(allowed)} pairs of {names[0]} and {names[1]}: {open_}; "
            f"say which, such as {quoted(f'{name},{field}={values[0]}')}, or name the records' files"
        )
    return allowed[0]


def said(differing: Mapping[str, Sequence[str]]) -> str:
    """Name fields with their values: `dataset streets vs camvid; split val vs test`."""
    return "; ".join(f"{field.replace('_', ' ')} {' vs '.join(values)}" for field, values in differing.items())


_Wish: TypeAlias = Callable[[tuple[Row, Row]], bool]


def _likeliest(pairs: list[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """Keep what was likeliest meant.

    Full runs, then calls that were not paced, then those of today's protocol, then whole frames, then those with mIoU,
    then two of the same weights, runtime, precision and size, then eager fp32.
    """
    weights, *alike = map(_same, ("weights", *ARTIFACT))
    usual = [_has(side, field, value) for side in (0, 1) for field, value in USUAL.items()]
    one_model = pairs[0][0].model == pairs[0][1].model  # then something else has to differ
    full: list[_Wish] = [
        lambda pair: not pair[0].quick,
        lambda pair: pair[0].rate_hz is None,
        lambda pair: pair[0].protocol == SPEED_PROTOCOL,
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
