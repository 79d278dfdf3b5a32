"""The weights and the code that a plan names by content, found on this machine or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zoo.bench.job import RANDOM
from zoo.bench.plan import Cell, Chosen, Setting, cell_id
from zoo.bench.plan_file import Pinned, Plan, PlannedCell
from zoo.bench.request import Wanted
from zoo.checkpoint import finished_runs
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.identity import network_sha256
from zoo.published.kept import sha256_as_kept
from zoo.published.table import published_of
from zoo.spec import ModelSpec
from zoo.weights.asked import AUTO, Asked
from zoo.weights.resolve import fitted, published_source, resolve
from zoo.weights.source import Brought, Source

DIGITS = 12
"""Of a hash, where a line shows two."""


def weights_of(plan: Plan, model: str) -> list[Pinned]:
    """Each set of weights that a plan measures of a model."""
    return list(dict.fromkeys(cell.weights for cell in plan.cells if cell.model == model))


def chosen_of(wanted: Wanted, spec: ModelSpec, weights: Pinned, brings: Callable[[], Brought]) -> Chosen:
    """Find weights by their content; those that are to be trained are those that were, where a run of them is kept.

    Raises:
        UserError: they are not here, or what is here is another.
    """
    if weights.kind == "file" and wanted.file is not None:
        file = wanted.file[0]
        return Chosen(Source(kind="file", file=file, sha256=weights.sha256, tag=file.name, recipe="external"))
    if weights.kind == "random":
        return Chosen(RANDOM)
    if weights.kind == "train":
        return _trained(wanted, spec, weights)
    source = _found(wanted, spec, weights, brings)
    if source.sha256 != weights.sha256:
        raise UserError(
            f"{spec.name}: the plan measures {_words(weights)}, here are others ({(source.sha256 or '')[:DIGITS]}): "
            f"give those with --weights {spec.name}=FILE, or plan anew"
        )
    return Chosen(source)


def require_code(planned: PlannedCell, spec: ModelSpec) -> None:
    """Refuse a model that is another network here.

    Raises:
        UserError: its code, or a library it is built of, is another.
    """
    if planned.code is not None and spec.builder != "none:none" and network_sha256(spec) != planned.code:
        raise UserError(
            f"{spec.name} is another network here than the plan measures: its code, or the version of a library it is "
            "built of, differs; use the same on every machine, or plan anew"
        )


def require_same(planned: PlannedCell, cell: Cell, setting: Setting) -> None:
    """Refuse a cell that is another one here than in its plan.

    Raises:
        UserError: with what differs.
    """
    require_code(planned, cell.spec)
    software = setting.survey.software.get(cell.runtime)
    version = software.runtime if software else None
    if planned.runtime_version is not None and version is not None and planned.runtime_version != version:
        raise UserError(
            f"the plan measures with {planned.runtime_version}, here is {version}; install that, or plan anew"
        )
    if cell_id(cell, setting) != planned.id:
        raise UserError(
            f"{cell.spec.name} {cell.runtime} {cell.precision} is another cell here than in the plan, which was "
            "changed by hand or is of other data; plan anew"
        )


def _trained(wanted: Wanted, spec: ModelSpec, weights: Pinned) -> Chosen:
    recipe = _recipe(wanted, weights)
    assert wanted.dataset is not None, "trained weights are scored"
    if wanted.config.keep_checkpoints:
        for run in finished_runs(wanted.runs, spec, wanted.dataset.fingerprint()):
            if (run.facts.recipe_hash, run.facts.config.seed) == (weights.recipe_hash, weights.seed):
                asked = Asked("run", f"{recipe.name}@{weights.recipe_hash}", weights.seed)
                return Chosen(resolve(asked, spec, wanted.dataset, runs=wanted.runs), recipe)
    return Chosen(RANDOM, recipe)


def _recipe(wanted: Wanted, weights: Pinned) -> TrainConfig:
    for recipe in wanted.config.recipes:
        if (recipe.recipe_hash, recipe.seed) == (weights.recipe_hash, weights.seed):
            return recipe
    raise UserError(
        f"the plan trains by {weights.name} ({weights.recipe_hash}), which is not its own recipe; plan anew"
    )


def _found(wanted: Wanted, spec: ModelSpec, weights: Pinned, brings: Callable[[], Brought]) -> Source:
    given = wanted.asked.get(spec.name, AUTO)
    here = wanted.by_content.get(weights.sha256 or "")
    if weights.kind == "published" and here is not None and not spec.hub:
        return _published(wanted, spec, weights, here)
    if given != AUTO:
        asked = given
    elif here is not None:
        asked = Asked("file", file=here)
    elif weights.kind == "run":
        asked = Asked("run", f"{weights.name}@{weights.recipe_hash}", weights.seed)
    elif weights.kind == "published":
        asked = Asked("published", weights.name or None)
    elif weights.kind == "own":
        asked = Asked("own")
    else:
        raise UserError(
            f"{spec.name}: the plan measures {_words(weights)}: say where it lies, --weights {spec.name}=FILE"
        )
    try:
        return resolve(asked, spec, wanted.dataset, runs=wanted.runs, cache=wanted.cache, brings=brings)
    except UserError as error:
        raise UserError(f"the plan measures {_words(weights)} of {spec.name}, which is not here: {error}") from error


def _published(wanted: Wanted, spec: ModelSpec, weights: Pinned, file: Path) -> Source:
    for one in published_of(spec.name, weights.name):
        source = published_source(one, file, sha256_as_kept(one, file))
        return fitted(source, spec, wanted.dataset)
    raise UserError(f"{spec.name}: no published weights called {weights.name} are known; plan anew")


def _words(weights: Pinned) -> str:
    return f"weights {weights.kind} {weights.name} ({(weights.sha256 or '')[:DIGITS]})".replace("  ", " ")
