"""State dicts: read from files, loaded into networks, written with their facts."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo import files
from zoo.checkpoint import FACTS_KEY, CheckpointFacts
from zoo.errors import UserError
from zoo.faults import how_to_write

_SYSTEMS_WORD = re.compile(r"os error (\d+)")  # in what safetensors says
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_state")


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
    write_atomic(path, lambda draft: save_file(tensors, draft, metadata={FACTS_KEY: facts.model_dump_json()}))


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


@dataclass(frozen=True)
class StateDict:
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state_dict(path: Path) -> StateDict:
    return StateDict(read_weights(path))


def load_into(module: nn.Module, given: StateDict, *, path: Path, model: str) -> StateDict:
    aside = tuple(f"{name}." for name in getattr(module, "training_only", ()))
    tensors = {name: tensor for name, tensor in given.tensors.items() if not name.startswith(aside)}
    expected = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(aside)}
    reshaped = [name for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    if reshaped:
        shapes = f"{tuple(tensors[reshaped[0]].shape)} where {model} has {tuple(expected[reshaped[0]].shape)}"
        raise UserError(f"{path} does not fit {model}: {reshaped[0]} is {shapes} ({len(reshaped)} tensors differ)")
    missing = [name for name in expected if name not in tensors and not name.endswith("num_batches_tracked")]
    foreign = [name for name in tensors if name not in expected]
    if missing or foreign:
        first = f"{missing[0]} is missing" if missing else f"{foreign[0]} is unknown"
        numbers = f"{len(missing)} missing, {len(foreign)} unknown, {len(expected)} expected"
        raise UserError(f"{path} does not fit {model}: {first} ({numbers})")
    module.load_state_dict(tensors, strict=False)
    return StateDict(tensors)


def _read_safetensors(path: Path, *, tensors: bool) -> tuple[str | None, dict[str, Tensor]]:
    _check_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(FACTS_KEY)
            return text, {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors checkpoint: {_one_line(error)}") from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"no checkpoint file {path}; give a .safetensors file, or a state dict as .pt, .pth or .bin")


def _one_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
