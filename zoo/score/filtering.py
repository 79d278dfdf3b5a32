"""Which rows are meant: by conditions, by models, and of several versions of one dataset or recipe the newest."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from zoo.errors import UserError, did_you_mean, listed
from zoo.files import LEAST_DIGITS
from zoo.lazy import Lazy
from zoo.score.comparing import Group, group_of
from zoo.score.fields import FIELDS
from zoo.score.metrics import Metric, metric_of
from zoo.score.rows import Row, text_of
from zoo.store import shipped_of, when

if TYPE_CHECKING:
    from zoo import catalog, spec
else:
    catalog, spec = Lazy("zoo.catalog"), Lazy("zoo.spec")

VERSIONS = {field.name: field.version for field in FIELDS.values() if field.version}
"""Fields whose values may mean several things, told apart by a hash: `camvid@3f2a8c11` names one."""
MAX_NAMED = 12
"""Values that an error names, of those that there are."""
_SHOWN_DIGITS = 8


def select(rows: Iterable[Row], *, models: Sequence[str] = (), **conditions: object) -> list[Row]:
    """Keep the rows that match.

    Args:
        rows: To choose from.
        models: Names, globs or tags, as in `zoo list`, or one; a row matches any of them.
        conditions: Of `FIELDS`, each a value or a list of values, any of which matches; `None`: not asked. A dataset or
            recipe may name its version (`camvid@3f2a8c11`) or be the first 6 or more digits of its hash; weights may
            be named by their kind (`published`); `none` is a row without.

    Raises:
        UserError: no such column, or a value that no row has; it names those that exist.
    """
    kept = list(rows)
    require_fields(conditions)
    for field, asked in conditions.items():
        if asked is None:
            continue
        wanted = list(map(text_of, each_of(asked)))
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
    named = models_of(models)
    for model in named:
        if not any(is_model(one, model) for one in kept):
            raise UserError(_no_record("model", model, kept))
    return [one for one in kept if one.baseline or any(is_model(one, model) for model in named)]


def require_fields(names: Iterable[str], *others: str) -> None:
    """Refuse what is no name of a condition; `others`: what else may be asked for there, which may have been meant."""
    for name in names:
        if name not in FIELDS:
            raise UserError(f"no column {name!r}.{did_you_mean(name, (*others, *FIELDS))} Allowed: {', '.join(FIELDS)}")


def several_of(given: object, kind: type[Any] | tuple[type[Any], ...], what: str) -> tuple[Any, ...]:
    """Return what is asked for, one thing or several of its kind; `None`: nothing.

    Raises:
        UserError: something else; it begins with `what` may be given.
    """
    some = () if given is None else (given,) if isinstance(given, kind) else given
    found = tuple(some) if isinstance(some, Iterable) else (some,)
    if not all(isinstance(one, kind) for one in found):
        raise UserError(f"{what}; got {given!r}")
    return found


def models_of(given: object) -> tuple[str, ...]:
    """Return the names, globs or tags that are asked for, as `several_of`."""
    return several_of(given, str, "models are names, globs or tags, such as ['unet', 'fast']")


def each_of(asked: object) -> Sequence[object]:
    """Return the values of a condition that names one or several: a pair of numbers is one, a size."""
    several = isinstance(asked, list) or (isinstance(asked, tuple) and not all(isinstance(one, int) for one in asked))
    return cast("Sequence[object]", asked) if several else [asked]


def matches(one: Row | Group, field: str, wanted: str) -> bool:
    """Whether a row has a value in a column, as a person would type it (`select`)."""
    value, known = getattr(one, field), FIELDS[field]
    if text_of(value) == wanted:
        return True
    if known.is_hash:
        return len(wanted) >= LEAST_DIGITS and str(value).startswith(wanted)
    if known.has_kinds:
        return str(value).partition(" ")[0] == wanted
    if not known.version:
        return False
    name, at, digits = wanted.rpartition("@")
    version = str(getattr(one, known.version))
    return (bool(at and digits) and text_of(value) == name and version.startswith(digits)) or (
        len(wanted) >= LEAST_DIGITS and version.startswith(wanted)
    )


def version_of(one: Row | Group, field: str) -> str:
    """Name the version of a dataset or recipe: `camvid@3f2a8c11`; its name alone where it has none."""
    name, digits = text_of(getattr(one, field)), getattr(one, VERSIONS[field])
    return f"{name}@{digits[:_SHOWN_DIGITS]}" if digits else name


def newest_versions(rows: Iterable[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Of rows that differ in nothing but the version of their dataset or recipe, keep those of the one measured last.

    Returns:
        The rows that are left, and a sentence for each version that others gave way to.
    """
    groups: dict[Group, list[Row]] = defaultdict(list)
    for one in rows:
        groups[group_of(one)].append(one)
    datasets: dict[Group, list[Row]] = defaultdict(list)
    for group, found in groups.items():
        whole = all(one.image_limit is None for one in found)  # then how many there are is its version's
        alike = group._replace(dataset_fingerprint=None)
        datasets[alike._replace(image_count=None) if whole else alike] += found
    kept, notes = _newest(datasets.values(), "dataset")
    recipes: dict[tuple[Group, str], list[Row]] = defaultdict(list)
    for one in kept:
        recipes[group_of(one), one.recipe if one.recipe_hash else ""].append(one)
    kept, more = _newest(recipes.values(), "recipe")
    return kept, tuple(dict.fromkeys((*notes, *more)))


def _newest(several: Iterable[list[Row]], field: str) -> tuple[list[Row], list[str]]:
    """Of each list the rows of the version of a field that was measured last; a sentence where there were others."""
    kept, notes, version = list[Row](), list[str](), VERSIONS[field]
    for rows in several:
        last, *older = sorted(rows, key=when(), reverse=True)
        kept += [one for one in rows if getattr(one, version) == getattr(last, version)]
        others = [version_of(one, field) for one in older if getattr(one, version) != getattr(last, version)]
        if others:
            named = ", ".join(dict.fromkeys(others))
            notes.append(
                f"{field} {getattr(last, field)} is here in several versions: the one measured last is taken, "
                f"{version_of(last, field)}; name another with {FIELDS[field].flag} ({named})"
            )
    return kept, notes


def class_among(metric: Metric, rows: Iterable[Row]) -> Metric:
    """Return the metric of a class by the name that the rows have for it, whatever its case and what joins its words.

    Any other metric, and one where no row has classes, stays what it is.

    Raises:
        UserError: no row has such a class.
    """
    kind, dot, name = metric.key.partition(".")
    names = list(dict.fromkeys(known for row in rows for known in row.class_iou)) if dot else []
    if not names:
        return metric
    found = next((known for known in names if spec.letters(known) == spec.letters(name)), None)
    if found is None:
        raise UserError(f"no class {name!r}.{did_you_mean(name, names)} There are: {', '.join(names)}")
    return metric if found == name else metric_of(f"{kind}.{found}")


def is_model(one: Row, pattern: str) -> bool:
    """Whether a name, glob or tag means a row's model."""
    spec = catalog.MODELS.get(one.model)
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
        versions = {(text_of(getattr(one, field)), version_of(one, field)) for one in there}
        several = {name for name in names if sum(name == of for of, _ in versions) > 1 or "@" in wanted}
        names = (names - several) | {version for name, version in versions if name in several}
    hint = did_you_mean(wanted, names) + (shipped_of(wanted) if field == "device" else "")
    flag = FIELDS[field].flag if field in FIELDS else ""
    name = (flag.removeprefix("--") or field).translate(str.maketrans("-_", "  "))
    return f"no record with {name} {wanted!r}.{hint} There is: {listed(sorted(names), MAX_NAMED)}"
