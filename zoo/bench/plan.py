"""What a sweep measures, as a list that is made before anything is: its cells, their weights, and the key of each."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple

from zoo.bench.job import RANDOM, Survey
from zoo.card import Card
from zoo.catalog import MODELS, select
from zoo.checkpoint import finished_runs
from zoo.config import INSTALLED, BenchConfig, TrainConfig
from zoo.counting import dataset_record
from zoo.data.layout import Dataset
from zoo.errors import UserError
from zoo.files import sha256_of, short_hash
from zoo.identity import makers, network_sha256
from zoo.question import CELL_DIGITS, KEY_DIGITS, moving, question
from zoo.record import MEAN_LABEL_MAP, Device, Precision, Record, Software, Weights
from zoo.record import Dataset as DatasetFacts
from zoo.spec import ModelSpec, Resize, Size
from zoo.weights.asked import AUTO, Asked
from zoo.weights.resolve import how_to_train_it, resolve
from zoo.weights.source import Brought, Source


class Chosen(NamedTuple):
    """One set of weights of a model."""

    source: Source
    recipe: TrainConfig | None = None
    """They are random and still to be trained by it."""
    input_size: Size | None = None
    """What the network sees unless another size is asked for; `None`: the frame's own."""
    resize: Resize = "fit"


@dataclass(frozen=True)
class Setting:
    """What all cells of one sweep share."""

    config: BenchConfig
    survey: Survey
    image_size: Size
    """Of the frames."""
    dataset: Dataset | None
    cache: Path | None
    folders: tuple[str, ...] = ()
    """Ids of the results folder, its own first: records of these are its own."""

    @functools.cached_property
    def images(self) -> DatasetFacts | None:
        """Those that accuracy is counted on."""
        if self.dataset is None:
            return None
        return dataset_record(self.dataset, self.config.split, self.config.accuracy_images)

    @property
    def thread_count(self) -> int:
        """CPU threads of a step."""
        return self.config.threads or self.survey.device.core_count

    @property
    def trainings_at_once(self) -> int:
        """How many run beside each other; an accelerator has one."""
        return min(self.config.trainings_at_once, self.thread_count) if self.survey.device.kind == "cpu" else 1

    @property
    def runtimes(self) -> tuple[str, ...]:
        """As asked for; all that can run here for `installed`."""
        return tuple(self.survey.software) if INSTALLED in self.config.runtimes else self.config.runtimes


@dataclass(frozen=True)
class Cell:
    """One artifact to measure."""

    spec: ModelSpec
    runtime: str
    precision: Precision
    input_size: Size
    resize: Resize = "fit"
    source: Source = RANDOM
    recipe: TrainConfig | None = None
    """What its weights are trained by in this sweep."""
    refused: str = ""
    """Why this device does not run it."""
    file: tuple[Path, Card] | None = None
    """A file that somebody exported."""

    @property
    def is_baseline(self) -> bool:
        """True for the mean label map."""
        return self.spec.name == MEAN_LABEL_MAP

    @property
    def is_trained(self) -> bool:
        """Whether its weights are there, and worth counting an accuracy of."""
        return self.source.kind != "random"

    @property
    def training(self) -> tuple[str, str, int] | None:
        """One training serves all cells that have the same, before it and after; `None`: they come from elsewhere."""
        return None if self.recipe is None else (self.spec.name, self.recipe.recipe_hash, self.recipe.seed)

    @property
    def weights(self) -> Weights:
        """What is known of its weights before it has run."""
        if self.is_baseline:
            return Weights(source="none", sha256=None, recipe="none")
        if self.file is not None:
            return self.file[1].weights
        if self.recipe is None or self.is_trained:
            return self.source.facts(None)
        return Weights(
            source="run",
            sha256=None,
            recipe=self.recipe.name,
            recipe_hash=self.recipe.recipe_hash,
            seed=self.recipe.seed,
        )

    def weights_identity(self, setting: Setting) -> object:
        """What the cell key knows of the weights.

        A file is known by its bytes, a model's own weights by their tensors, and both by how they are fed. Weights that
        are not kept are known by what makes them: the whole recipe and its seed (data and code stand in the key beside
        them). Weights that will be kept, and are not trained yet, are like no others.
        """
        if self.refused:
            return "none"
        if self.recipe is not None and not setting.config.keep_checkpoints:
            return f"recipe:{self.recipe.recipe_hash} seed:{self.recipe.seed}"
        if self.recipe is not None and not self.is_trained:
            return f"untrained seed:{self.recipe.seed}"
        if not self.is_trained:
            return "random"
        fed = self.source.fed(self.spec, setting.dataset.spec) if setting.dataset else self.spec
        how = fed.model_dump(mode="json", include={"mean", "std", "channel_order", "train_ids"})
        return {"kind": self.source.kind, "sha256": self.source.sha256, "fed": how}


def choose(
    spec: ModelSpec,
    asked: Asked,
    config: BenchConfig,
    dataset: Dataset | None,
    *,
    runs: Path,
    cache: Path | None,
    brings: Callable[[], Brought],
) -> list[Chosen]:
    """Choose a model's weights: what `weights.resolve` finds, else the preset's recipe where it is to be trained.

    Several seeds are those of the preset's recipe, each its own run.

    Raises:
        UserError: as `resolve`; several seeds, and one without a finished run that is not to be trained.
    """
    if config.seeds == 1:
        source = resolve(asked, spec, dataset, runs=runs, cache=cache, brings=brings)
        if source.missing and dataset is not None and config.train_missing:
            assert config.train is not None, "train_missing has one"
            if spec.name not in MODELS or spec in select(config.train_models):
                return [_to_be_trained(config, config.train)]
            missing = _exactly(config.train)
            how = f"train it with {how_to_train_it(spec, dataset, missing)}, or name weights with --weights"
            source = source.model_copy(update={"missing": f"not trained in {config.name}; {how}"})
            return [Chosen(source, None, config.train.image_size, _resize(config, source))]  # as the trained ones
        # Speed alone is that of the frames asked for, unless weights are named.
        size = None if dataset is None and asked == AUTO else source.input_size
        return [Chosen(source, None, size, _resize(config, source))]
    assert dataset is not None, "several seeds are scored"
    require_one_seed(config, spec.name, asked)
    chosen: list[Chosen] = []
    finished = finished_runs(runs, spec, dataset.fingerprint())
    for recipe in config.recipes:
        known = (recipe.recipe_hash, recipe.seed)
        exactly = _exactly(recipe)
        if any((run.facts.recipe_hash, run.facts.config.seed) == known for run in finished):
            source = resolve(exactly, spec, dataset, runs=runs, cache=cache)
            chosen.append(Chosen(source, None, source.input_size, _resize(config, source)))
        elif config.train_missing:
            chosen.append(_to_be_trained(config, recipe))
        else:
            raise UserError(
                f"--seeds {config.seeds}: no finished run of {spec.name} on {dataset.name} by recipe {recipe.name} "
                f"with seed {recipe.seed} in {runs}; train it with {how_to_train_it(spec, dataset, exactly)}, or let "
                "the sweep do it with --set train_missing=true"
            )
    return chosen


def _exactly(recipe: TrainConfig) -> Asked:
    """The run of a recipe and seed, and of no other that goes by its name."""
    return Asked("run", f"{recipe.name}@{recipe.recipe_hash}", recipe.seed)


def _to_be_trained(config: BenchConfig, recipe: TrainConfig) -> Chosen:
    return Chosen(RANDOM, recipe, recipe.image_size, _resize(config, RANDOM))


def _resize(config: BenchConfig, source: Source) -> Resize:
    """As asked for, else as the weights were trained."""
    return config.resize if "resize" in config.model_fields_set else source.resize


def require_one_seed(config: BenchConfig, model: str, asked: Asked) -> None:
    """Refuse several seeds of weights that were named.

    Raises:
        UserError: they are.
    """
    if config.seeds > 1 and asked != AUTO:
        raise UserError(
            f"seeds = {config.seeds} measures as many trainings of {model} and --weights names one; set seeds = 1, or "
            "leave --weights away"
        )


def of_file(file: Path, config: BenchConfig) -> Chosen:
    """The weights of a file that somebody exported: those inside."""
    source = Source(kind="file", file=file, sha256=sha256_of(file), tag=file.name, recipe="external")
    return Chosen(source, resize=config.resize)


def cells(
    setting: Setting,
    models: Sequence[tuple[ModelSpec, Sequence[Chosen]]],
    file: tuple[Path, Card] | None = None,
) -> list[Cell]:
    """List every cell in the order of the sweep: the baseline, then model by model what does not run, then what does.

    What does not run is listed once, whatever the number of seeds. All cells of one training stand together.

    Args:
        setting: What the cells share.
        models: Each model with its weights.
        file: What is measured in place of a model.
    """
    listed = []
    if setting.dataset is not None and "train" in setting.dataset.splits():
        listed.append(baseline_cell(setting))
    for spec, chosen in models:
        rows = [[make_cell(setting, spec, one, *where, file) for where in _conditions(setting, one)] for one in chosen]
        listed += [cell for cell in rows[0] if cell.refused]
        listed += [cell for row in rows for cell in row if not cell.refused]
    return listed


def trainings(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that wait for the same training together, all others alone; in their order."""
    numbered = groupby(enumerate(cells), key=lambda at: at[1].training or at[0])
    return [[cell for _, cell in together] for _, together in numbered]


QUEUED = 4
"""Trainings of a round for each that runs at a time, where some run beside others."""


def rounds(cells: Sequence[Cell], at_once: int) -> list[list[Cell]]:
    """Cells that are made together: those of a few trainings where some run at once, which stand where the last did.

    More would pass the time better, but are lost, claimed and on the disk together.
    """
    groups, most = trainings(cells), at_once * QUEUED if at_once > 1 else 1
    made, waiting = list[list[Cell]](), list[list[Cell]]()
    left = sum(group[0].training is not None for group in groups)
    for group in groups:
        if group[0].training is None:
            made.append(group)
            continue
        waiting.append(group)
        left -= 1
        if len(waiting) == most or not left:
            made.append([cell for one in waiting for cell in one])
            waiting = []
    return made


def baseline_cell(setting: Setting) -> Cell:
    """The mean label map, which all are held against."""
    spec = ModelSpec(name=MEAN_LABEL_MAP, builder="none:none", family="baseline")
    return Cell(spec, "none", "fp32", setting.image_size)


def _conditions(setting: Setting, chosen: Chosen) -> Iterator[tuple[Size, str, Precision]]:
    sizes = setting.config.input_sizes or (chosen.input_size or setting.image_size,)
    return product(sizes, setting.runtimes, setting.config.precisions)


def make_cell(
    setting: Setting,
    spec: ModelSpec,
    chosen: Chosen,
    input_size: Size,
    runtime: str,
    precision: Precision,
    file: tuple[Path, Card] | None,
) -> Cell:
    """One artifact of a model and its weights; on a device that does not run it, refused."""
    return Cell(
        spec,
        runtime,
        precision,
        input_size,
        chosen.resize,
        chosen.source,
        chosen.recipe,
        setting.survey.unsupported.get((runtime, precision), ""),
        file,
    )


def cell_key(cell: Cell, setting: Setting) -> str:
    """Hash all that makes a measurement this one and no other: two equal keys need not be measured twice.

    Whatever is not known to be immaterial is part of it. The results folder is not: its id stands beside the key, so
    that records which came with a checkout, even of an identical machine, never count as finished.
    """
    survey = setting.survey
    if cell.is_baseline:
        return short_hash([*_baseline(setting), survey.device.machine_id], KEY_DIGITS)
    machine = {
        "makers": None if cell.runtime == "eager" or cell.file else makers(),
        "threads": setting.thread_count,
        "machine": survey.device.machine_id,
        "software": moving(survey.software[cell.runtime]),
    }
    return short_hash(_question(cell, setting) | {"weights": cell.weights_identity(setting)} | machine, KEY_DIGITS)


def cell_id(cell: Cell, setting: Setting) -> str:
    """Hash what is asked, whatever machine answers and wherever that is kept: what a plan calls a cell.

    The same on every machine that runs this code, and the same before its weights are trained and after.
    """
    if cell.is_baseline:
        return short_hash(_baseline(setting), CELL_DIGITS)
    weights = replace(cell, refused="").weights_identity(setting)
    if cell.recipe is not None:
        weights = f"recipe:{cell.recipe.recipe_hash} seed:{cell.recipe.seed}"
    return short_hash(_question(cell, setting) | {"weights": weights, "threads": setting.config.threads}, CELL_DIGITS)


def cell_twin(cell: Cell, setting: Setting) -> str:
    """Hash a cell with the kind of device and what runs on it: what one machine answered, its like need not."""
    software = None if cell.is_baseline else setting.survey.software[cell.runtime]
    return _twin(cell_id(cell, setting), setting.survey.device, software)


def record_twin(record: Record) -> str:
    """`cell_twin` of the cell that a record answers; empty for one of an older zoo."""
    return _twin(record.cell, record.device, None if record.is_baseline else record.software) if record.cell else ""


def _twin(cell: str, device: Device, software: Software | None) -> str:
    return short_hash([cell, device.slug, software and moving(software)], 32)


def _baseline(setting: Setting) -> list[object]:
    assert setting.dataset is not None
    assert setting.images is not None
    images = setting.images.model_dump(mode="json", exclude={"name", "split_count"})
    return [MEAN_LABEL_MAP, images, setting.dataset.fingerprint()]


def _question(cell: Cell, setting: Setting) -> dict[str, object]:
    """What is asked of any machine, weights apart."""
    network = cell.file[1].network if cell.file else None
    return question(
        protocol=setting.config.protocol,
        config=setting.config.model_dump(mode="json"),
        model=cell.spec.name,
        code=None if cell.file else network_sha256(cell.spec),
        runtime=cell.runtime,
        precision=cell.precision,
        image_size=setting.image_size,
        input_size=cell.input_size,
        resize=cell.resize,
        dataset=setting.dataset.fingerprint() if setting.dataset else None,
        network=network.model_dump(mode="json") if network else None,
    )


def require_disk(config: BenchConfig, results: Path, runs: Path) -> None:
    """Refuse a sweep that its disks have no room for.

    Raises:
        UserError: less is free than the preset says it needs.
    """
    for folder in (results, runs):
        standing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(standing).free
        if free < config.disk_bytes:
            raise UserError(
                f"{folder} has {free / 2**30:.1f} GiB free and preset {config.name!r} needs "
                f"{config.disk_bytes / 2**30:.1f} GiB; free some room, or move it with --results and --runs"
            )
