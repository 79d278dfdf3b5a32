"""What a run begins from, where that is more than random weights: `zoo train --init`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.artifact import brought, read_source
from zoo.checkpoint import finished_runs, runs_folder
from zoo.config import TrainConfig
from zoo.data.layout import Dataset
from zoo.errors import ModelError, UserError, listed
from zoo.files import short_hash
from zoo.models.build import build_empty
from zoo.models.contract import tensors_of
from zoo.prefixes import COUNTER
from zoo.spec import FED, IGNORE_INDEX, DatasetSpec, ModelSpec
from zoo.state_dict import StateDict, fit_names, take_fitting, weights_sha256
from zoo.train.run import Init
from zoo.weights.asked import parse_asked
from zoo.weights.resolve import resolve_start, run_name
from zoo.weights.source import Source

_log = logging.getLogger(__name__)
MAX_NAMED = 6
"""Tensors or classes that a line names."""


@dataclass(frozen=True)
class Start:
    """Whole weights that a run begins from."""

    source: Source
    given: str
    """What `--init` takes to find them again, from any folder."""
    sha256: str
    """Of all their tensors, auxiliary heads included."""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """As a table names them (`record.Weights.label`)."""
        return self.source.facts(self.sha256).label

    @property
    def facts(self) -> dict[str, str]:
        """What a checkpoint inherits (`checkpoint.CheckpointFacts`)."""
        source = self.source
        known = {"init": self.label, "init_sha256": self.sha256}
        return {**known, "licence": source.licence, "pretrained": source.pretrained}

    @property
    def content(self) -> str:
        """Hash of what decides how training goes on from here: tensors, what the classes are, and how they are fed."""
        feeding, classes = self.source.feeding, self.source.classes
        fed = None if feeding is None else [getattr(feeding, key) for key in FED]
        return short_hash([self.sha256, None if classes is None else classes.class_names, fed], 12)

    def fill(self, module: nn.Module, spec: ModelSpec, classes: DatasetSpec) -> tuple[Init, str]:
        """Put every tensor that fits into a network that was just built, auxiliary heads included.

        Output channels are matched by the names of their classes, where the weights tell theirs: one whose class they
        do not know stays as it was built.

        Args:
            module: Built for `classes`.
            spec: The model.
            classes: Of the dataset.

        Returns:
            What was done, for `run.json`, and in one line for a person.

        Raises:
            UserError: nothing fits, or the file cannot be read.
        """
        init = Init(label=self.label, given=self.given, sha256=self.sha256, licence=self.source.licence)
        said = [f"{spec.name} begins from {self.source.said}", *self.notes]
        state = tensors_of(module)
        if self.source.file is None:  # the network has them already
            if weights_sha256(state) != self.sha256:
                raise ModelError(f"{spec.name}: the weights it brings are others than a moment ago")
            return init.model_copy(update={"taken_count": len(state)}), "; ".join(said)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        aside = tuple(f"{name}." for name in getattr(module, "training_only", ()))
        given = fit_names(read_source(self.source, spec, state), shapes, aside)
        given, dropped, channels = _by_class(given, state, spec, self.source.classes, classes)
        taken = take_fitting(module, given, path=self.source.file, model=spec.name)
        left_out = {name: why for name, why in (taken.left_out | dropped).items() if not name.endswith(COUNTER)}
        said += [f"{len(taken.names)} of its {len(state)} tensors are taken", *channels, *taken.notes]
        if left_out:
            said.append(f"left out: {listed([f'{name} ({why})' for name, why in left_out.items()], MAX_NAMED)}")
        if 2 * len(taken.names) < len(state):
            said.append("most of it begins from random weights")
        fed, plain = self.source.fed(spec, classes), classes.adapt(spec)
        if other := [f"{key} {getattr(fed, key)}" for key in FED if getattr(fed, key) != getattr(plain, key)]:
            said.append(f"it is fed as they were: {', '.join(other)}")
        done = {"taken_count": len(taken.names), "left_out": left_out}
        return init.model_copy(update=done), "; ".join(said)


def find_start(
    init: Path | str | None,
    config: TrainConfig,
    spec: ModelSpec,
    dataset: Dataset,
    *,
    runs: Path | str | None = None,
    cache: Path | None = None,
) -> tuple[Start | None, TrainConfig]:
    """Find the weights that a run begins from.

    Args:
        init: `run[:RECIPE[:SEED]]`, `published[:TAG]`, `own` or a file; `None`: it begins from none.
        config: The recipe.
        spec: The model.
        dataset: What it will be trained on.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where published weights are kept; `None`: `ZOO_CACHE`, else the user's cache folder.

    Returns:
        The weights, and the recipe that names them. The encoder's published weights are then no part of it.

    Raises:
        UserError: they are not there, are no weights of this model, or are others than the recipe names.
    """
    if init is None:
        return None, config
    plain = config.model_copy(update={"init_hash": None, "pretrained": False})
    source = resolve_start(
        parse_asked(str(init), "--init"),
        spec,
        dataset,
        plain,
        runs=runs_folder(runs),
        cache=cache,
        brings=lambda: brought(spec, dataset.spec.num_classes),
    )
    if source.file is None:
        assert source.sha256 is not None, "own weights are the same from call to call"
        given, sha256 = "own", source.sha256
    else:
        given = f"published:{source.tag}" if source.kind == "published" else str(source.file.resolve())
        sha256 = weights_sha256(read_source(source, spec).tensors)
    fetched = bool(config.pretrained) and bool(spec.pretrained)
    notes = ("in place of the encoder's published weights (pretrained)",) if fetched else ()
    start = Start(source, given, sha256, notes)
    if config.init_hash not in (None, start.content):
        raise UserError(
            f"the recipe {config.name} begins from other weights than {given} ({config.init_hash}, these are "
            f"{start.content}): the file was changed, or another is meant"
        )
    return start, plain.model_copy(update={"init_hash": start.content})


def require_start(start: Start | None, config: TrainConfig) -> None:
    """Refuse a recipe whose weights to begin from were not given.

    Raises:
        UserError: it names some.
    """
    if config.init_hash is not None and start is None:
        raise UserError(f"the recipe {config.name} begins from weights ({config.init_hash}); give them with --init")


def warn_of_other_lengths(config: TrainConfig, spec: ModelSpec, dataset: Dataset, runs: Path) -> None:
    """Say that a finished run differs in its number of steps alone, where one does, and how to go on from it."""
    others = [
        run.facts
        for run in finished_runs(runs, spec, dataset.fingerprint())
        if run.facts.config.seed == config.seed
        and run.facts.config.steps != config.steps
        and run.facts.config.model_copy(update={"steps": config.steps}).recipe_hash == config.recipe_hash
    ]
    if not others:
        return
    longest = max(others, key=lambda facts: facts.config.steps)
    score = "" if longest.miou is None else f" (mIoU {100 * longest.miou:.1f} %)"
    _log.warning(
        "%s has a finished run of %d steps by this recipe%s, and this one of %d begins anew; to go on from it: "
        "--init %s, where the schedule begins anew too, so that it is not what one longer training gives",
        *(spec.name, longest.config.steps, score, config.steps, run_name(longest.config)),
    )


def _by_class(
    given: StateDict, state: Mapping[str, Tensor], spec: ModelSpec, theirs: DatasetSpec | None, mine: DatasetSpec
) -> tuple[StateDict, dict[str, str], list[str]]:
    """Match output channels by the names of their classes.

    Args:
        given: Tensors under the network's names.
        state: Those of the network, as it was built.
        spec: The model.
        theirs: The classes of `given`, where they are known.
        mine: Those of the network.

    Returns:
        `given`, its heads in the network's own classes; heads that mean nothing here, with why; what was done.
    """
    if spec.train_ids is not None:  # its channels are what the network says, whatever it is trained on
        return given, {}, []
    rows = () if theirs is None else theirs.train_ids_of(mine.class_names)  # of each class here, its channel there
    if theirs is not None and rows == tuple(range(theirs.num_classes)):
        return given, {}, []
    axes = _class_axes(spec, state, mine.num_classes)
    heads = {name: tensor for name, tensor in given.tensors.items() if name in axes}
    if theirs is None or not axes:
        fitting = not axes or any(heads[name].shape == state[name].shape for name in heads)
        what = "it does not tell its classes" if theirs is None else "its classes are others, and no tensor tells them"
        note = f"{what}: its output channels are taken for those of the dataset, in their order"
        return given, {}, [note] if fitting else []
    known = [index for index, row in enumerate(rows) if row != IGNORE_INDEX]
    here, there = torch.tensor(known), torch.tensor([rows[index] for index in known])
    tensors, dropped = dict(given.tensors), dict[str, str]()
    for name, tensor in heads.items():
        axis, filled = axes[name], state[name].clone()
        shape = [theirs.num_classes if place == axis else side for place, side in enumerate(filled.shape)]
        if known and axis is not None and list(tensor.shape) == shape:
            tensors[name] = filled.index_copy_(axis, here, tensor.index_select(axis, there).to(filled))
        else:
            dropped[name] = f"of other classes: {listed(theirs.class_names)}"
            del tensors[name]
    if len(dropped) == len(heads):
        return StateDict(tensors, given.notes), dropped, []
    new = [name for index, name in enumerate(mine.class_names) if index not in known]
    names = listed([mine.class_names[index] for index in known], MAX_NAMED)
    begins = f", those of {listed(new, MAX_NAMED)} begin anew" if new else ""
    note = f"its output channels are matched by name: {names} are taken{begins}"
    return StateDict(tensors, given.notes), dropped, [note]


def _class_axes(spec: ModelSpec, state: Mapping[str, Tensor], num_classes: int) -> dict[str, int | None]:
    """Tensors whose shape goes with the number of classes → the axis that counts them; `None`: none does just that.

    A network for one class more tells them.
    """
    try:
        wider = tensors_of(build_empty(spec, num_classes + 1, sizes=None)[0])
    except UserError:  # a model of your own that is for these classes alone
        return {}
    axes: dict[str, int | None] = {}
    for name, tensor in state.items():
        pairs = list(zip(tensor.shape, wider.get(name, tensor).shape, strict=True))
        differing = [axis for axis, (side, more) in enumerate(pairs) if side != more]
        if differing:
            plain = len(differing) == 1 and pairs[differing[0]] == (num_classes, num_classes + 1)
            axes[name] = differing[0] if plain else None
    return axes
