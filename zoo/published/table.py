"""The table of published checkpoints: facts with their source, and no weights. Free of torch.

A file is taken when it lies in `published_folder` under its `file_name`.
"""

from __future__ import annotations

from pathlib import Path

from zoo.cache import cache_folder
from zoo.published import large, small, two_branch, zh320
from zoo.published.facts import Published

PUBLISHED: tuple[Published, ...] = (*zh320.SMP, *two_branch.TWO_BRANCH, *small.SMALL, *large.LARGE)


def published_folder(cache: Path | None = None) -> Path:
    """Where the files of published checkpoints are kept."""
    return (cache or cache_folder()) / "weights"


def published_of(model: str, tag: str | None = None) -> list[Published]:
    """Those of a model, in the table's order; of one tag where it is given."""
    return [one for one in PUBLISHED if one.model == model and tag in (None, one.tag)]
