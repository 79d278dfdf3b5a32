"""Which rows are meant: by conditions, by models, and of several versions of one dataset or recipe the newest."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from zoo.catalog import MODELS
from zoo.errors import UserError, did_you_mean
from zoo.score.comparing import Group, differences, group_of
from zoo.score.rows import Row, text_of

FLAGS = {
    "device": "--device",
    "dataset": "--dataset",
    "recipe": "--recipe",
    "input_size": "--input-size",
    "runtime": "--runtime",
    "precision": "--precision",
    "batch_size": "--batch",
    "thread_count": "--threads",
    "resize": "--resize",
}
"""Columns of `Row` that the command line has a flag for; `--where COLUMN=VALUE` takes any of `CONDITIONS`."""
VERSIONS = {"dataset": "dataset_fingerprint", "recipe": "recipe_hash"}
"""Columns whose values may mean several things, told apart by a hash: `camvid@3f2a8c11` names one."""
CONDITIONS = (
    *(*FLAGS, *(field for field in Group._fields if field not in FLAGS)),
    *("preset", "memory_format", "compile_mode", "machine_id", "weights_sha256", "seed"),
)
"""Columns of `Row` that rows may be chosen by."""
_HASHES = {*VERSIONS.values(), "machine_id", "weights_sha256"}
_SHOWN_DIGITS = 8
_LEAST_DIGITS = 6
"""Of a hash, to be taken for one where a name is expected."""


def select(rows: Iterable[Row], *, models: Sequence[str] = (), **conditions: object) -> list[Row]:
    """Keep the rows that match.

    Args:
        rows: To choose from.
        models: Names, globs or tags, as in `zoo list`; a row matches any of them.
        conditions: Of `CONDITIONS`, each a value or a list of values, any of which matches; `None`: not asked. A
            dataset or recipe may name its version (`camvid@3f2a8c11`) or be the first 6 or more digits of its hash;
            `none` is a row without.

    Raises:
        UserError: no such column, or a value that no row has; it names those that exist.
    """
    kept = list(rows)
    for field, asked in conditions.items():
        if field not in CONDITIONS:
            raise UserError(f"no column {field!r}.{did_you_mean(field, CONDITIONS)} Allowed: {', '.join(CONDITIONS)}")
        if asked is None:
            continue
        wanted = [text_of(value) for value in (asked if isinstance(asked, list) else [asked])]
        # The baseline has no device, recipe or input size to speak of: it goes where its dataset goes.
        follows = field not in {"dataset", "dataset_fingerprint", "split"}
        measured = [one for one in kept if not one.baseline] or kept
        for value in wanted:
            if not any(matches(one, field, value) or (one.baseline and follows) for one in measured):
                raise UserError(_no_record(field, value, kept))
        kept = [
            one for one in kept if (one.baseline and follows) or any(matches(one, field, value) for value in wanted)
        ]
    if not models:
        return kept
    for model in models:
        if not any(_is_model(one, model) for one in kept):
            raise UserError(_no_record("model", model, kept))
    return [one for one in kept if one.baseline or any(_is_model(one, model) for model in models)]


def matches(one: Row, field: str, wanted: str) -> bool:
    """Whether a row has a value in a column, as a person would type it (`select`)."""
    value = getattr(one, field)
    if text_of(value) == wanted:
        return True
    if field in _HASHES:
        return len(wanted) >= _LEAST_DIGITS and str(value).startswith(wanted)
    if field not in VERSIONS:
        return False
    name, at, digits = wanted.rpartition("@")
    version = str(getattr(one, VERSIONS[field]))
    return (bool(at and digits) and text_of(value) == name and version.startswith(digits)) or (
        len(wanted) >= _LEAST_DIGITS and version.startswith(wanted)
    )


def version_of(group: Group, field: str) -> str:
    """Name the version of a dataset or recipe: `camvid@3f2a8c11`; its name alone where it has none."""
    name, digits = text_of(getattr(group, field)), getattr(group, VERSIONS[field])
    return f"{name}@{digits[:_SHOWN_DIGITS]}" if digits else name


def newest_versions(rows: Iterable[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Of groups that differ in nothing but the version of their dataset or recipe, keep the one measured last.

    Returns:
        The rows that are left, and a sentence for each group that others gave way to.
    """
    by_group: dict[Group, list[Row]] = defaultdict(list)
    for one in rows:
        by_group[group_of(one)].append(one)
    unversioned: dict[str, Any] = dict.fromkeys(VERSIONS.values())
    alike: dict[Group, list[Group]] = defaultdict(list)
    for group, found in by_group.items():
        whole = all(one.image_limit is None for one in found)  # then how many there are is its version's
        condition = group._replace(**unversioned)
        alike[condition._replace(image_count=None) if whole else condition].append(group)
    kept, notes = [], []
    for groups in alike.values():
        newest, *older = sorted(groups, key=lambda group: max(one.started_at for one in by_group[group]), reverse=True)
        kept += by_group[newest]
        for field, version in VERSIONS.items():
            others = [other for other in older if version in differences(newest, other)]
            if others:
                names = ", ".join(dict.fromkeys(version_of(other, field) for other in others))
                notes.append(
                    f"{field} {getattr(newest, field)} is here in several versions: the one measured last is taken, "
                    f"{version_of(newest, field)}; name another with {FLAGS[field]} ({names})"
                )
    return kept, tuple(dict.fromkeys(notes))


def _is_model(one: Row, pattern: str) -> bool:
    spec = MODELS.get(one.model)
    tags = ("all", *(spec.tags if spec else ()))
    return not one.baseline and (pattern in tags or fnmatch.fnmatchcase(one.model, pattern))


def _no_record(field: str, wanted: str, rows: list[Row]) -> str:
    """Say what there is; of a dataset or recipe with several versions each of them."""
    there = [one for one in rows if not one.baseline] or rows
    if field == "quick":
        kind = "a full run" if wanted == "no" else "a smoke test"
        return f"no record that is asked for is {kind}; `zoo leaderboard` lists what is there"
    names = {text_of(getattr(one, field)) for one in there}
    if field in VERSIONS:
        versions = {(text_of(getattr(one, field)), version_of(group_of(one), field)) for one in there}
        several = {name for name in names if sum(name == of for of, _ in versions) > 1 or "@" in wanted}
        names = (names - several) | {version for name, version in versions if name in several}
    hint = did_you_mean(wanted, names)
    return f"no record with {field.replace('_', ' ')} {wanted!r}.{hint} There is: {', '.join(sorted(names))}"
