"""The table of published checkpoints: facts with their source, and no weights. Free of torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from zoo.catalog import MODELS
from zoo.errors import UserError, did_you_mean
from zoo.published import large, small, two_branch, zh320
from zoo.published.facts import Published

PUBLISHED: tuple[Published, ...] = (*zh320.SMP, *two_branch.TWO_BRANCH, *small.SMALL, *large.LARGE)


def published_of(model: str, tag: str | None = None) -> list[Published]:
    """Those of a model, in the table's order; of one tag where it is given."""
    return [one for one in PUBLISHED if one.model == model and tag in (None, one.tag)]


def find_published(name: str) -> Published:
    """The checkpoint that an id names, or a model that has one alone.

    Raises:
        UserError: there is none, or more than one.
    """
    model, _, tag = name.partition(":")
    found = published_of(model, tag or None)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{name} has {len(found)} published checkpoints; give one: {', '.join(one.id for one in found)}"
        )
    raise UserError(_unknown(name))


def select_published(patterns: Sequence[str]) -> list[Published]:
    """Those that patterns name, in the table's order, none twice.

    Args:
        patterns: `all`, ids, models, tags of either, globs of these, or comma lists; each has to match something.

    Raises:
        UserError: one that matches nothing.
    """
    words = [word.strip() for pattern in patterns for word in pattern.split(",") if word.strip()]
    for word in words:
        if not any(_matches(one, word) for one in PUBLISHED):
            raise UserError(_unknown(word))
    return [one for one in PUBLISHED if any(_matches(one, word) for word in words)]


def _matches(one: Published, word: str) -> bool:
    names = (one.id, one.model, one.tag, "all", *MODELS[one.model].tags)
    return any(fnmatch.fnmatchcase(name, word) for name in names)


def _unknown(name: str) -> str:
    model = name.partition(":")[0]
    if there := published_of(model):
        return f"no published checkpoint {name!r}; of {model} there is {', '.join(one.id for one in there)}"
    if model in MODELS:
        return f"no published checkpoint of {model} is known; `zoo weights list` shows all {len(PUBLISHED)}"
    near = did_you_mean(name, [*(one.id for one in PUBLISHED), *dict.fromkeys(one.model for one in PUBLISHED)])
    return f"no published checkpoint {name!r}.{near} `zoo weights list` shows all {len(PUBLISHED)}"
