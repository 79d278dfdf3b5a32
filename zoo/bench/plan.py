"""What a cell is, where its weights come from, and the key that says when it is finished."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.card import Card
from zoo.catalog import find
from zoo.checkpoint import find_checkpoint, read_facts
from zoo.config import BenchConfig, TrainConfig
from zoo.data.layout import Dataset
from zoo.errors import UserError, did_you_mean
from zoo.files import sha256_of
from zoo.identity import makers, network_sha256
from zoo.record import SPEED_PROTOCOL, Device, Precision, Software, short_hash
from zoo.spec import ModelSpec, Size


@dataclass(frozen=True)
class Cell:
    """One artifact to measure, apart from its weights."""

    spec: ModelSpec
    runtime: str
    precision: Precision
    input_size: Size
    artifact: tuple[Path, Card] | None = None
    """A file that somebody exported."""


@dataclass(frozen=True)
class WeightsPlan:
    """Where a model's weights come from; random ones have neither a file nor a recipe."""

    file: Path | None = None
    train: TrainConfig | None = None
    """The recipe they are still to be trained with."""

    def identity(self, config: BenchConfig) -> str | None:
        """What the cell key knows of the weights; `None` while weights that will be kept are not trained yet.

        A file is known by its bytes. Weights that are not kept are known by what makes them: the whole recipe and its
        seed (data and code stand in the key beside them).
        """
        if self.file is not None:
            return sha256_of(self.file)
        if self.train is None:
            return "random"
        return None if config.keep_checkpoints else f"recipe:{self.train.recipe_hash} seed:{self.train.seed}"


def plan_weights(
    spec: ModelSpec, config: BenchConfig, dataset: Dataset | None, runs: Path, checkpoints: Mapping[str, Path]
) -> list[WeightsPlan]:
    """Find a model's weights: the named checkpoint, else for each seed the newest of the whole recipe, else train.

    What is not to be trained is random, which several seeds may not be.

    Raises:
        UserError: several seeds, and a named checkpoint, or a seed without a finished run that is not to be trained.
    """
    if spec.name in checkpoints:
        if config.seeds > 1:
            raise UserError(
                f"seeds = {config.seeds} measures as many trainings of {spec.name} and --checkpoint names one; "
                "set seeds = 1, or leave --checkpoint away"
            )
        return [WeightsPlan(checkpoints[spec.name])]
    if dataset is None or config.train is None:
        return [WeightsPlan()]
    plans = []
    for recipe in config.recipes:
        found = find_checkpoint(runs, spec, dataset, recipe) if config.keep_checkpoints else None
        if found is None and not config.train_missing and config.seeds > 1:
            raise UserError(
                f"--seeds {config.seeds}: no finished run of {spec.name} on {dataset.name} by recipe {recipe.name} "
                f"with seed {recipe.seed} in {runs}; train it with `zoo train` and --set seed={recipe.seed}, or let "
                "the sweep do it with --set train_missing=true"
            )
        plans.append(WeightsPlan(found, recipe if found is None and config.train_missing else None))
    return plans


def parse_checkpoints(pairs: list[str], specs: list[ModelSpec]) -> dict[str, Path]:
    """Read `--checkpoint MODEL=FILE` pairs.

    Raises:
        UserError: no `=`, a model that is not measured or has two files, no such file, a checkpoint of another model.
    """
    names = [spec.name for spec in specs]
    checkpoints: dict[str, Path] = {}
    for pair in pairs:
        model, equals, file = pair.partition("=")
        if not equals:
            raise UserError(f"--checkpoint takes MODEL=FILE; got {pair!r}")
        name = model if model in names else find(model).name
        if name not in names:
            raise UserError(
                f"--checkpoint names {model!r}, which is not measured.{did_you_mean(model, names)} Add it to --models"
            )
        path = Path(file).expanduser()
        if checkpoints.get(name, path) != path:
            raise UserError(f"--checkpoint {model} is given as {checkpoints[name]} and as {path}; give it once")
        checkpoints[name] = path
    for name, path in checkpoints.items():
        facts = read_facts(path)
        if facts is not None and facts.model != name:
            raise UserError(f"--checkpoint {name}: {path} is a checkpoint of {facts.model}")
    return checkpoints


def cell_key(
    cell: Cell,
    weights_identity: str,
    config: BenchConfig,
    *,
    image_size: Size,
    dataset_fingerprint: str | None,
    device: Device,
    software: Software,
    folder_id: str,
) -> str:
    """Hash all that makes a measurement this one and no other: two equal keys need not be measured twice.

    `folder_id` is a random id of the results folder, unknown to git: records that came with a checkout, even of an
    identical machine, are shown and compared but never count as finished.
    """
    network = cell.artifact[1].network if cell.artifact else None
    return short_hash(
        {
            "protocol": SPEED_PROTOCOL,
            "quick": config.quick,
            "model": cell.spec.name,
            "code": "" if cell.artifact else network_sha256(cell.spec),
            "weights": weights_identity,
            "runtime": cell.runtime,
            "precision": cell.precision,
            "makers": None if cell.runtime == "eager" or cell.artifact else makers(),
            "memory_format": config.memory_format,
            "compile_mode": config.compile_mode if cell.runtime == "compile" else None,
            "batch_size": config.batch_size,
            "throughput": config.throughput,
            "image_size": image_size,
            "input_size": cell.input_size,
            "resize": config.resize,
            "dataset": dataset_fingerprint,
            "split": config.split,
            "accuracy_images": config.accuracy_images,
            "threads": config.threads or device.core_count,
            "machine": device.machine_id,
            "folder": folder_id,
            "torch": software.torch,
            "versions": [software.cuda, software.cudnn, software.driver, software.runtime],
            **({"network": network.model_dump(mode="json")} if network else {}),
        },
        32,
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
