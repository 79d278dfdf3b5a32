"""What a checkpoint says of itself, run folders, and the search for a finished run. Free of torch.

A run lives in `<runs>/<dataset>-<fingerprint>/<model>/<recipe>-<recipe hash>/`, with `-seed<N>` at the end for a seed
other than 0: `best.safetensors`, `last.safetensors`, `state.pt` (all that a resume needs), `log.csv`, `validation.csv`
and `run.json`. A run is found by the fingerprint alone, whatever its dataset's folder is called by now.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open

from zoo.config import TrainConfig
from zoo.data.layout import Dataset
from zoo.errors import UserError
from zoo.faults import how_to_read, how_to_write, reason
from zoo.identity import network_sha256
from zoo.locks import HeldError, hold
from zoo.spec import DatasetSpec, Facts, Feeding, ModelSpec
from zoo.weight_format import safetensors_header

RUNS_VARIABLE = "ZOO_RUNS"
FACTS_KEY = "zoo"
"""Of the safetensors metadata, where the facts stand."""


class CheckpointFacts(Facts):
    """What a checkpoint says about itself.

    Version 2 knows its classes, how it is fed, and what it began from; version 1 knows their number alone.
    """

    schema_version: Literal[1, 2] = 2
    model: str
    num_classes: int
    """K of the network."""
    dataset: str
    fingerprint: str
    """Of all splits of the dataset."""
    synthetic: bool = False
    classes: DatasetSpec | None = None
    """Names, colours and label values of the classes; null in version 1, as is the next."""
    feeding: Feeding | None = None
    config: TrainConfig
    """The whole recipe."""
    recipe_hash: str
    step: int = Field(ge=0)
    """Optimizer steps behind these weights."""
    complete: bool
    """True when the run went through to its last step; only then does the checkpoint count as the model's."""
    precision: str
    """What the forward pass was computed in: `fp32` or `bf16` autocast."""
    batch_norm_batches: int = 0
    """Over how many batches the statistics of these batch norms were estimated anew; 0: they followed training."""
    pretrained: str = ""
    """Encoder weights the run began from, empty for none."""
    init: str = ""
    """Whole weights the run began from (`Weights.label`), empty for none."""
    init_sha256: str | None = None
    """Of those (`Weights.sha256`)."""
    licence: str = ""
    """Inherited from them; empty where it is not known."""
    miou: float | None = None
    """On the validation split as it was scored during training; null when it was not."""
    zoo: str
    torch: str
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def identity(self) -> tuple[str, str, str, int]:
        """Model, dataset, recipe and seed: which run these weights belong to."""
        return self.model, self.fingerprint, self.recipe_hash, self.config.seed


@dataclass(frozen=True)
class FinishedRun:
    """A run that went through to its last step."""

    file: Path
    """The checkpoint that counts: `best` before `last`."""
    facts: CheckpointFacts
    """Of `file`."""
    ended_at: datetime


def read_facts(path: Path) -> CheckpointFacts | None:
    """Facts a checkpoint carries; `None` for weights that another program wrote, whatever the file is called.

    Raises:
        UserError: no such file, or a damaged checkpoint of zoo.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        known = {FileNotFoundError: "give a file of weights", IsADirectoryError: "name the file of weights in it"}
        advice = known.get(type(error)) or how_to_read(error)
        raise UserError(f"no weights can be read from {path}: {reason(error)}; {advice}") from error
    length = safetensors_header(head)
    if length is None or length > path.stat().st_size:
        return None
    try:
        with safe_open(path, framework="np") as tensors:
            text = (tensors.metadata() or {}).get(FACTS_KEY)
        return None if text is None else CheckpointFacts.model_validate_json(text)
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            said = str(error).strip().split("\n")[0]
            raise UserError(f"{path}: the facts inside are damaged or of a newer zoo: {said}") from error
        raise UserError(f"{path} is not a readable safetensors checkpoint: {str(error)[:200]}") from error


def runs_folder(given: Path | str | None = None) -> Path:
    """Folder of all runs: `given`, else the variable `ZOO_RUNS`, else `runs` here."""
    return Path(given or os.environ.get(RUNS_VARIABLE) or "runs").expanduser()


def run_folder(runs: Path, spec: ModelSpec, dataset: Dataset, config: TrainConfig) -> Path:
    """Folder of one run: named by what decides its weights. One that is there keeps its dataset's older name."""
    fingerprint = dataset.fingerprint()[:8]
    place = Path(_model_folder(spec)) / f"{_slug(config.name)}-{_run_id(config)}"
    there = (folder for folder in sorted(runs.glob(f"*-{fingerprint}")) if (folder / place).is_dir())
    return next(there, runs / f"{dataset.name}-{fingerprint}") / place


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder: two trainings would write over each other. The lock goes with the process.

    Raises:
        UserError: another process trains there, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(folder / "lock"))
        except HeldError as held:
            raise UserError(
                f"another process is training in {folder}{held}; wait for it, or change the recipe"
            ) from held
        except OSError as error:
            advice = how_to_write(error, "another folder with --runs")
            raise UserError(f"cannot write {folder}: {reason(error)}; {advice}") from error
        yield


def finished_runs(runs: Path, spec: ModelSpec, fingerprint: str | None = None) -> list[FinishedRun]:
    """Finished runs of a network, the newest first: on one dataset by its fingerprint, else on any.

    A run that was interrupted is not finished. Of a model of your own, runs of other code are not among them.
    """
    where = "*" if fingerprint is None else f"*-{fingerprint[:8]}"
    return _finished(runs.glob(f"{where}/{_model_folder(spec)}/*"), spec.name, fingerprint)


def runs_of_other_code(runs: Path, spec: ModelSpec, fingerprint: str) -> list[FinishedRun]:
    """Finished runs on a dataset of a model that is no row by its name, as its code was before, the newest first."""
    if not (spec.own or spec.hub):
        return []
    folders = [
        folder
        for folder in runs.glob(f"*-{fingerprint[:8]}/{_slug(spec.name)}-*/*")
        if folder.parent.name != _model_folder(spec)
    ]
    return _finished(folders, spec.name, fingerprint)


def _finished(folders: Iterator[Path] | list[Path], model: str, fingerprint: str | None) -> list[FinishedRun]:
    found = []
    for folder in folders:
        best, last = (_facts_or_none(folder / f"{name}.safetensors") for name in ("best", "last"))
        if last is None or not last.complete or last.model != model:
            continue
        if fingerprint is not None and last.fingerprint != fingerprint:
            continue
        if best is not None and best.identity == last.identity:
            found.append(FinishedRun(folder / "best.safetensors", best, last.created_at))
        else:
            found.append(FinishedRun(folder / "last.safetensors", last, last.created_at))
    return sorted(found, key=lambda run: run.ended_at, reverse=True)


def _facts_or_none(path: Path) -> CheckpointFacts | None:
    """Facts of a file that may be absent, half written by another version, or foreign."""
    try:
        return read_facts(path)
    except UserError:
        return None


def _model_folder(spec: ModelSpec) -> str:
    """A model's folder name; that of one that is no row holds a hash of its code: edited code is another network."""
    return f"{_slug(spec.name)}-{network_sha256(spec)[:8]}" if spec.own or spec.hub else _slug(spec.name)


def _run_id(config: TrainConfig) -> str:
    return config.recipe_hash + (f"-seed{config.seed}" if config.seed else "")


def _slug(name: str) -> str:
    """A model or recipe name as one folder name, told apart from names that only look alike."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    return slug if slug == name else f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
