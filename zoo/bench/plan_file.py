"""A plan as a file that travels: which cells, what each needs, about how long each takes.

It names no path, user or host. Data and weights are named by their content, models that are not of the table by their
name and code: where they lie is said to the machine that measures. The one thing of a plan that may tell of its maker
is what he called his presets, models and files.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field, ValidationError

from zoo import files
from zoo.bench.forecast import Line
from zoo.bench.plan import Cell, Setting, cell_id
from zoo.config import BenchConfig
from zoo.errors import UserError, counted
from zoo.faults import how_to_read, how_to_write, reason
from zoo.identity import network_sha256, package_sha256, package_version
from zoo.record import Precision, WeightsKind
from zoo.spec import Facts, Resize, Size

VERSION: Literal[1] = 1
HOW_TO_MAKE = "`zoo bench --dry-run --plan FILE` writes one"


class Pinned(Facts):
    """One set of weights, by content."""

    kind: WeightsKind | Literal["train", "none"]
    """`train`: by the plan's recipe, in the sweep; `none`: the baseline, which has none."""
    sha256: str | None = None
    """As `Source.sha256`; null for random ones and those that are still to be trained."""
    name: str = ""
    """Of the recipe, the published tag or the file, without its folder."""
    recipe_hash: str | None = None
    seed: int | None = None


class PlannedCell(Facts):
    """One artifact to measure, on whatever device of the kind asked for."""

    id: str
    """What is asked, whatever machine answers (`plan.cell_id`); records hold it."""
    model: str
    code: str | None
    """Hash of what builds the network, libraries included (`identity.network_sha256`); null where nothing is built."""
    weights: Pinned
    runtime: str
    runtime_version: str | None
    """As records name it; null for torch itself, and where the plan was made on a machine that lacks it."""
    precision: Precision
    input_size: Size
    resize: Resize
    seconds: float | None
    """Estimated; the first cell of a training has the training's too. Null: not known."""


class PlannedData(Facts):
    """The images that accuracy is counted on."""

    name: str
    fingerprint: str


class PlannedFile(Facts):
    """A file that somebody exported."""

    name: str
    sha256: str


class Plan(Facts):
    """Cells that any number of machines measure, each once."""

    zoo_plan: Literal[1] = VERSION
    """Version of this format."""
    zoo: str
    code: str
    """Hash of every source of the package (`identity.package_sha256`)."""
    torch: str
    """Without what it was built for."""
    estimated_on: str
    """Which kind of device the seconds are of (`Device.slug`)."""
    config: BenchConfig
    """Whole; its device is the one that was asked for."""
    image_size: Size
    """Of the frames."""
    dataset: PlannedData | None
    """Null without accuracy."""
    file: PlannedFile | None = None
    """What is measured in place of models."""
    cells: tuple[PlannedCell, ...] = Field(default=())

    def groups(self) -> tuple[tuple[PlannedCell, ...], ...]:
        """Cells of the same model and weights together, which share a training and what was built; in plan order."""
        found = dict[tuple[str, Pinned], list[PlannedCell]]()
        for cell in self.cells:
            found.setdefault((cell.model, cell.weights), []).append(cell)
        return tuple(map(tuple, found.values()))

    def only(self, ids: Collection[str]) -> Plan:
        """The same plan with these cells alone."""
        return self.model_copy(update={"cells": tuple(cell for cell in self.cells if cell.id in ids)})

    def shares(self, count: int) -> list[Plan]:
        """So many shares: whole groups, the longest first to whoever has least so far.

        The same on every machine; all shares together are the plan, and no two have a cell in common.
        """
        known = [cell.seconds for cell in self.cells if cell.seconds is not None]
        usual, groups = fmean(known) if known else 1.0, self.groups()
        lengths = [sum(usual if cell.seconds is None else cell.seconds for cell in group) for group in groups]
        loads = [(0.0, hand) for hand in range(count)]
        owners = dict[str, int]()
        for place in sorted(range(len(groups)), key=lambda place: (-lengths[place], groups[place][0].id)):
            load, hand = heapq.heappop(loads)
            heapq.heappush(loads, (load + lengths[place], hand))
            owners |= dict.fromkeys((cell.id for cell in groups[place]), hand)
        shares: list[list[PlannedCell]] = [[] for _ in range(count)]
        for cell in self.cells:
            shares[owners[cell.id]].append(cell)
        return [self.model_copy(update={"cells": tuple(share)}) for share in shares]

    def share(self, index: int, count: int) -> Plan:
        """One of `shares`, counted from 1."""
        return self.shares(count)[index - 1]

    def config_for(self, device: str | None) -> BenchConfig:
        """The plan's config, for another device than it says where one is named.

        Raises:
            UserError: no such device can be.
        """
        if device is None:
            return self.config
        try:
            return BenchConfig.model_validate(self.config.model_dump() | {"device": device})
        except ValidationError as error:
            raise UserError(f"device is auto, cpu, mps, cuda, cuda:N or cuda:all; got {device!r}") from error


def make_plan(setting: Setting, lines: Sequence[Line], estimated_on: str) -> Plan:
    """Write down what was planned.

    Args:
        setting: What the cells share.
        lines: The cells, with the estimates of a forecast in which none is finished.
        estimated_on: The kind of device these are of.
    """
    config = setting.config.model_copy(
        update={
            "models": tuple(dict.fromkeys(line.cell.spec.name for line in lines if not line.cell.is_baseline)),
            "runtimes": setting.runtimes,
        }
    )
    file = next((line.cell.source for line in lines if line.cell.file is not None), None)
    dataset = setting.dataset
    return Plan(
        zoo=package_version("zoo-seg") or "0",
        code=package_sha256(),
        torch=_torch(),
        estimated_on=estimated_on,
        config=config,
        image_size=setting.image_size,
        dataset=None if dataset is None else PlannedData(name=dataset.name, fingerprint=dataset.fingerprint()),
        file=None if file is None else PlannedFile(name=file.tag, sha256=file.sha256 or ""),
        cells=tuple(_planned(line, setting) for line in lines),
    )


def write_plan(plan: Plan, path: Path) -> Plan:
    """Write a plan, a line for each cell, unless the same one is there; return the one that is there then.

    Two are the same that ask the same, whatever times they estimate: shares are cut by these, so the first one's hold
    for all who measure it.

    Raises:
        UserError: another plan or another file is there, or it cannot be written.
    """
    require_place(path)
    head = plan.model_dump_json(exclude={"cells"}, indent=1).removesuffix("\n}")
    cells = ",\n".join(f"  {cell.model_dump_json()}" for cell in plan.cells)
    try:
        is_first = files.write_new(path, f'{head},\n "cells": [\n{cells}\n ]\n}}\n'.encode())
    except OSError as error:
        advice = how_to_write(error, "another file with --plan")
        raise UserError(f"cannot write the plan {path}: {reason(error)}; {advice}") from error
    return plan if is_first else _the_same(plan, path)


def _the_same(plan: Plan, path: Path) -> Plan:
    """The plan that stands in a file.

    Raises:
        UserError: it asks something else; machines may be measuring it.
    """
    advice = "remove it if no machine measures it any more, or name another file with --plan"
    try:
        there = read_plan(path)
    except UserError as error:
        raise UserError(f"{error} into another file with --plan, or remove it") from error
    if _question(there, plan) == _question(plan, there):
        return there
    old, new = ({cell.id for cell in one.cells} for one in (there, plan))
    what = "the same cells by another checkout or preset"
    if old != new:
        what = f"{counted(len(old), 'cell')}, {len(old & new)} of them among the {len(new)} of this one"
    raise UserError(f"{path} is another plan already ({what}): {advice}")


def _question(plan: Plan, beside: Plan) -> Plan:
    """What a plan asks, as far as it can be held against another: a runtime's version where both machines have it."""
    lacking = {cell.id for cell in (*plan.cells, *beside.cells) if cell.runtime_version is None}
    cells = [
        cell.model_copy(
            update={"seconds": None, "runtime_version": None if cell.id in lacking else cell.runtime_version}
        )
        for cell in sorted(plan.cells, key=lambda cell: cell.id)
    ]
    return plan.model_copy(update={"cells": tuple(cells), "estimated_on": ""})


def require_place(path: Path) -> None:
    """Refuse to write a plan where there is a file that is none, or no folder.

    Raises:
        UserError: such a file is there, or no such folder.
    """
    if path.exists():
        _document(path)
    elif not path.parent.is_dir():
        raise UserError(
            f"there is no folder {path.parent} to write the plan into; make it, or name another with --plan"
        )


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        UserError: no such file, no plan, damaged, or one of another version.
    """
    document = _document(path)
    version = document["zoo_plan"]
    if version != VERSION:
        raise UserError(
            f"{path} is a plan of version {version} and this zoo reads version {VERSION}: plan anew with this one"
        )
    try:
        return Plan.model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path} is a damaged plan ({where}: {first['msg']}); plan anew") from error


def require_checkout(plan: Plan) -> None:
    """Refuse a plan that other code made: its cells would be other ones here.

    Raises:
        UserError: zoo or torch differ.
    """
    here = package_version("zoo-seg") or "0"
    if (plan.zoo, plan.code) != (here, package_sha256()):
        raise UserError(
            f"the plan was made by another checkout of zoo ({plan.zoo}, code {plan.code[:8]}) than this one ({here}, "
            f"code {package_sha256()[:8]}): use the same on every machine, or plan anew"
        )
    if plan.torch != _torch():
        raise UserError(f"the plan was made with torch {plan.torch}, here is {_torch()}: install that, or plan anew")


def pinned(cell: Cell) -> Pinned:
    """What a plan says of a cell's weights."""
    if cell.is_baseline:
        return Pinned(kind="none")
    if cell.recipe is not None:
        recipe = cell.recipe
        return Pinned(kind="train", name=recipe.name, recipe_hash=recipe.recipe_hash, seed=recipe.seed)
    source = cell.source
    name = source.recipe if source.kind == "run" else source.tag
    return Pinned(kind=source.kind, sha256=source.sha256, name=name, recipe_hash=source.recipe_hash, seed=source.seed)


def _planned(line: Line, setting: Setting) -> PlannedCell:
    cell = line.cell
    software = setting.survey.software.get(cell.runtime)
    return PlannedCell(
        id=cell_id(cell, setting),
        model=cell.spec.name,
        code=None if cell.is_baseline or cell.file else network_sha256(cell.spec),
        weights=pinned(cell),
        runtime=cell.runtime,
        runtime_version=software.runtime if software else None,
        precision=cell.precision,
        input_size=cell.input_size,
        resize=cell.resize,
        seconds=line.seconds,
    )


def _document(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"the plan {path} cannot be read: {reason(error)}; {how_to_read(error)}") from error
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or "zoo_plan" not in document:
        raise UserError(f"{path} is no plan; {HOW_TO_MAKE}")
    return document


def _torch() -> str:
    return (package_version("torch") or "none").partition("+")[0]
