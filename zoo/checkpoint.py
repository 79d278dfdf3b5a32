"""Checkpoints: safetensors weights that carry their facts, run folders, and the search for a trained model.

A run lives in `<runs>/<dataset>-<fingerprint>/<model>/<recipe>-<recipe hash>/`, with `-seed<N>` at the end for a seed
other than 0: `best.safetensors`, `last.safetensors`, `state.pt` (all that a resume needs), `log.csv`, `validation.csv`
and `run.json`. Nothing is ever unpickled without `weights_only`.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo import files
from zoo.catalog import code_sha256
from zoo.config import TrainConfig
from zoo.data.layout import Dataset
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.locks import HeldError, hold
from zoo.record import Weights
from zoo.spec import Facts, ModelSpec

RUNS_VARIABLE = "ZOO_RUNS"
_SYSTEMS_WORD = re.compile(r"os error (\d+)")  # in what safetensors says
_FACTS_KEY = "zoo"  # of the safetensors metadata
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_state")


class CheckpointFacts(Facts):
    """What a checkpoint says about itself."""

    schema_version: Literal[1] = 1
    model: str
    num_classes: int
    dataset: str
    fingerprint: str
    """Of all splits of the dataset."""
    synthetic: bool = False
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
    miou: float | None = None
    """On the validation split as it was scored during training; null when it was not."""
    zoo: str
    torch: str
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def identity(self) -> tuple[str, str, str, int]:
        """Model, dataset, recipe and seed: which run these weights belong to."""
        return self.model, self.fingerprint, self.recipe_hash, self.config.seed


def runs_folder(given: Path | str | None = None) -> Path:
    """Folder of all runs: `given`, else the variable `ZOO_RUNS`, else `runs` here."""
    return Path(given or os.environ.get(RUNS_VARIABLE) or "runs").expanduser()


def run_group(runs: Path, dataset: Dataset) -> Path:
    """Folder of all runs on a dataset."""
    return runs / f"{dataset.name}-{dataset.fingerprint()[:8]}"


def run_folder(runs: Path, spec: ModelSpec, dataset: Dataset, config: TrainConfig) -> Path:
    """Folder of one run: named by what decides its weights."""
    return run_group(runs, dataset) / _model_folder(spec) / f"{_slug(config.name)}-{_run_id(config)}"


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


def find_checkpoint(runs: Path, spec: ModelSpec, dataset: Dataset, config: TrainConfig) -> Path | None:
    """Newest checkpoint of this model, dataset, seed and *whole* recipe of a finished run; `best` before `last`.

    A few trial steps are another recipe, and a run that was interrupted is not finished: neither is ever found.
    """
    fingerprint = dataset.fingerprint()
    wanted = (spec.name, fingerprint, config.recipe_hash, config.seed)
    found: list[tuple[datetime, Path]] = []
    for folder in runs.glob(f"*-{fingerprint[:8]}/{_model_folder(spec)}/*-{_run_id(config)}"):
        best, last = (_facts_or_none(folder / f"{name}.safetensors") for name in ("best", "last"))
        if last is None or not last.complete or last.identity != wanted:
            continue
        chosen = "best" if best is not None and best.identity == wanted else "last"
        found.append((last.created_at, folder / f"{chosen}.safetensors"))
    return max(found)[1] if found else None


def find_any_checkpoint(runs: Path, spec: ModelSpec, dataset: Dataset) -> Path:
    """The checkpoint of this model and dataset when a finished run of one recipe and one seed alone exists.

    Raises:
        UserError: no finished run, or several recipes or seeds to choose from.
    """
    model, folder = spec.name, run_group(runs, dataset) / _model_folder(spec)
    recipes = [last.config for path in sorted(folder.glob("*/last.safetensors")) if (last := _facts_or_none(path))]
    found = {file: recipe for recipe in recipes if (file := find_checkpoint(runs, spec, dataset, recipe))}
    if not found:
        raise UserError(f"no finished run of {model} on {dataset.name} in {runs}; train it, or give --checkpoint FILE")
    if len(found) > 1:
        names = ", ".join(str(file) for file in list(found)[:4])
        recipe_count = len({recipe.recipe_hash for recipe in found.values()})
        how = f"by {recipe_count} recipes" if recipe_count > 1 else f"with {len(found)} seeds"
        raise UserError(f"{model} was trained on {dataset.name} {how}; give --checkpoint: {names}")
    return next(iter(found))


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and values, independent of the file around them and of memory order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_weights(path: Path, state: Mapping[str, Tensor], facts: CheckpointFacts) -> None:
    """Write weights with their facts, whole or not at all.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    # safetensors refuses tensors that share memory, as tied weights do
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_atomic(path, lambda draft: save_file(tensors, draft, metadata={_FACTS_KEY: facts.model_dump_json()}))


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a draft beside `path`, bring it to the disk, then put it in place.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    try:
        files.write_all({path: write})
    except (OSError, SafetensorError, RuntimeError) as error:  # torch and safetensors wrap a full disk in their own
        number = _SYSTEMS_WORD.search(str(error))
        said = error if isinstance(error, OSError) else OSError(int(number[1]) if number else 0, "")
        raise UserError(f"cannot write {path}: {_one_line(error)}; {how_to_write(said, 'another folder')}") from error


def read_facts(path: Path) -> CheckpointFacts | None:
    """Facts a checkpoint carries; `None` for weights that another program wrote.

    Raises:
        UserError: no such file, or not a checkpoint.
    """
    if path.suffix in _PICKLES:
        _check_file(path)
        return None
    text = _read_safetensors(path, tensors=False)[0]
    if text is None:
        return None
    try:
        return CheckpointFacts.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path}: the facts inside are damaged or of a newer zoo: {_one_line(error)}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a foreign `.pt`, `.pth`, `.bin` or `.ckpt` file.

    Raises:
        UserError: no such file, corrupt, or a pickle that is not plain weights.
    """
    if path.suffix not in _PICKLES:
        return _read_safetensors(path, tensors=True)[1]
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about what is refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than weights, and running what is inside is not safe; "
            "save model.state_dict() and give that file"
        ) from error
    except Exception as error:  # torch.load raises whatever a damaged file makes it stumble over
        raise UserError(f"{path} is not a readable checkpoint: {_one_line(error)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError(f"{path} holds no state dict (a mapping of names to tensors); save model.state_dict()")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def load_weights(module: nn.Module, path: Path, model: str, num_classes: int) -> Weights:
    """Fill `module` from a checkpoint and say whose weights they are.

    Heads that only training runs may be missing on either side.

    Args:
        module: The built network.
        path: Our own checkpoint, or a state dict another program wrote.
        model: Name of the network; a checkpoint of another one is refused.
        num_classes: K of the network.

    Raises:
        UserError: no such file, corrupt, not weights, another model's or another number of classes.
    """
    facts = read_facts(path)
    if facts is not None and facts.model != model:
        raise UserError(f"{path} is a checkpoint of {facts.model}, not of {model}; name {facts.model} with it")
    if facts is not None and facts.num_classes != num_classes:
        raise UserError(
            f"{path} was trained for {facts.num_classes} classes, the dataset has {num_classes}; "
            f"give the dataset it was trained on, {facts.dataset}, with --data"
        )
    aside = tuple(f"{name}." for name in getattr(module, "training_only", ()))
    given = {name: tensor for name, tensor in read_weights(path).items() if not name.startswith(aside)}
    expected = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(aside)}
    reshaped = [name for name in expected if name in given and given[name].shape != expected[name].shape]
    if reshaped:
        shapes = f"{tuple(given[reshaped[0]].shape)} where {model} has {tuple(expected[reshaped[0]].shape)}"
        raise UserError(f"{path} does not fit {model}: {reshaped[0]} is {shapes} ({len(reshaped)} tensors differ)")
    # Old files lack the batch counters, which inference never reads.
    missing = [name for name in expected if name not in given and not name.endswith("num_batches_tracked")]
    foreign = [name for name in given if name not in expected]
    if missing or foreign:
        first = f"{missing[0]} is missing" if missing else f"{foreign[0]} is unknown"
        numbers = f"{len(missing)} missing, {len(foreign)} unknown, {len(expected)} expected"
        raise UserError(f"{path} does not fit {model}: {first} ({numbers})")
    module.load_state_dict(given, strict=False)
    if facts is None:
        return Weights(source="checkpoint", sha256=weights_sha256(given), recipe="external")
    return Weights(
        source="checkpoint",
        sha256=weights_sha256(given),
        recipe=facts.config.name,
        recipe_hash=facts.recipe_hash,
        step_count=facts.step,
        seed=facts.config.seed,
        trained_on=facts.dataset,
        pretrained=facts.pretrained,
    )


def _facts_or_none(path: Path) -> CheckpointFacts | None:
    """Facts of a file that may be absent, half written by another version, or foreign."""
    try:
        return read_facts(path)
    except UserError:
        return None


def _read_safetensors(path: Path, *, tensors: bool) -> tuple[str | None, dict[str, Tensor]]:
    _check_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_FACTS_KEY)
            return text, {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors checkpoint: {_one_line(error)}") from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"no checkpoint file {path}; give a .safetensors file, or a state dict as .pt, .pth or .bin")


def _model_folder(spec: ModelSpec) -> str:
    """A model's folder name; that of a user's own holds a hash of its file, since an edited file is another network."""
    return f"{_slug(spec.name)}-{code_sha256(spec)[:8]}" if spec.own else _slug(spec.name)


def _run_id(config: TrainConfig) -> str:
    return config.recipe_hash + (f"-seed{config.seed}" if config.seed else "")


def _slug(name: str) -> str:
    """A model or recipe name as one folder name, told apart from names that only look alike."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    return slug if slug == name else f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _one_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
