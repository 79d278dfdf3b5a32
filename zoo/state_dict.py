"""State dicts: read from weights files as people have them, fitted to a network by name, written with their facts.

Where a checkpoint holds several mappings of tensors, the moving average is taken where it is whole, as its makers'
own readers do (timm, ultralytics, torchvision), then `state_dict`, `model` … in the order of `unpickle.WRAPPERS`, then
the only one there is; several of other names are one network's parts. What was done is said in `StateDict.notes`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo import files
from zoo.catalog import MODELS
from zoo.checkpoint import FACTS_KEY, CheckpointFacts
from zoo.errors import UserError, counted, listed
from zoo.faults import how_to_write, reason
from zoo.models.build import tensor_shapes
from zoo.models.contract import tensors_of
from zoo.prefixes import COUNTER, Shapes, fit
from zoo.unpickle import AVERAGED, WRAPPERS, as_tensor, read_npz, read_pickle, read_torch
from zoo.weight_format import format_of

_SYSTEMS_WORD = re.compile(r"os error (\d+)")  # in what safetensors says
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_NO_WEIGHTS = re.compile(r"optim|sched|scaler|criterion|loss|callback|metric|history|rng|random|loop", re.IGNORECASE)
"""Mappings of tensors that are no network."""
_WHOLE = 0.9
"""Of the tensors beside it, at least so many has an average that is not of parameters alone."""
_CLOSE_CLASSES = 19
_LOOKED_AT = 8
"""So many networks, those with most shapes under the last parts of a name, are fitted by whole names."""
_CLOSE = 0.1
"""Of its tensors, at least so many match where a network is close to a file."""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    """What was unwrapped, stripped or left out, one line each."""


@dataclass(frozen=True)
class Taken:
    """What a network took of a file that holds more, or less, than it."""

    names: tuple[str, ...]
    """The network's names of the tensors that it took."""
    left_out: dict[str, str]
    """Why it did not, by the name of each other tensor of the network or the file."""
    notes: tuple[str, ...]
    """As in `StateDict`."""


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a file: of safetensors, torch, pickle or numpy, which its content decides and not its name.

    Raises:
        UserError: no such file, damaged, no weights, types beside them that are not harmless, or tensors of a kind
            that holds no plain numbers.
    """
    form = format_of(path)
    loaded: object
    if form == "safetensors":
        loaded = _read_safetensors(path)
    elif form == "npz":
        loaded = read_npz(path)
    else:
        loaded = read_pickle(path) if form == "pickle" else read_torch(path)
    try:
        tensors, notes = _unwrap(path, loaded)
    except RecursionError as error:
        raise UserError(f"{path} holds mappings that hold themselves; save model.state_dict()") from error
    for name, tensor in tensors.items():
        kind = _unusual(tensor)
        if kind:
            raise UserError(f"{path} holds {kind} tensors, such as {name}; save the plain (dense, float) network's")
    return StateDict(tensors, notes)


def fit_names(given: StateDict, expected: Shapes, aside: tuple[str, ...] = ()) -> StateDict:
    """Rename tensors so that all that a network needs is there, or as much as can be.

    Args:
        given: As it was read.
        expected: Shapes by the names of the network.
        aside: Prefixes of what only training runs, which may be missing.

    Returns:
        The tensors under the network's names; those that stand beside it in the file are left out and named in the
        notes, those that are merely unknown to it are not.
    """
    fitted = fit(_shapes(given), {name: tuple(shape) for name, shape in expected.items()}, _required(expected, aside))
    tensors = {new: given.tensors[file] for file, new in fitted.names.items()}
    return StateDict(tensors, (*given.notes, *fitted.notes))


def load_into(module: nn.Module, given: StateDict, *, path: Path, model: str) -> StateDict:
    """Fill a network, wholly or not at all; half precision is widened.

    Heads that only training runs may be missing on either side and are not loaded; batch counters may be missing.

    Args:
        module: The built network.
        given: As it was read.
        path: Where from, for what is said.
        model: Name of the network, likewise.

    Returns:
        What was loaded, under the network's names.

    Raises:
        UserError: tensors are missing, unknown or of other shapes: whose they are, as far as can be told.
    """
    aside = _aside(module)
    state = tensors_of(module)
    expected = {name: tensor for name, tensor in state.items() if not name.startswith(aside)}
    fitted = fit_names(given, {name: tensor.shape for name, tensor in state.items()}, aside)
    tensors = {name: tensor for name, tensor in fitted.tensors.items() if not name.startswith(aside)}
    missing = [name for name in _required(expected, ()) if name not in tensors]
    foreign = [name for name in tensors if name not in expected and not name.endswith(COUNTER)]
    if missing or foreign:
        raise UserError(f"{path} does not fit {model}: {_unfit(given, expected, missing, foreign, model)}")
    tensors = {
        name: tensor for name, tensor in tensors.items() if name in expected and _is_read(name, tensor, expected)
    }
    reshaped = [name for name, tensor in tensors.items() if tensor.shape != expected[name].shape]
    if reshaped:
        pairs = {name: (tensors[name], expected[name]) for name in reshaped}
        raise UserError(f"{path} {_other_classes(pairs, model) or _misfit(pairs, given, model)}")
    for name, tensor in tensors.items():
        if not _castable(tensor, expected[name]):
            types = f"{_dtype(tensor)} where it has {_dtype(expected[name])}"
            raise UserError(f"{path} does not fit {model}: {name} is of {types}; save the weights in float32")
    cast = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    module.load_state_dict(cast, strict=False)
    return StateDict(cast, (*fitted.notes, *_said_of_types(tensors, cast)))


def take_fitting(module: nn.Module, given: StateDict, *, path: Path, model: str) -> Taken:
    """Fill a network with every tensor that fits in name and shape, training's own heads included.

    Args:
        module: The built network; what nothing fits stays as it is.
        given: As it was read.
        path: Where from, for what is said.
        model: Name of the network, likewise.

    Raises:
        UserError: nothing fits.
    """
    state = tensors_of(module)
    fitted = fit_names(given, {name: tensor.shape for name, tensor in state.items()}, _aside(module))
    left_out = dict.fromkeys((name for name in fitted.tensors if name not in state), f"{model} has no such tensor")
    taken: dict[str, Tensor] = {}
    for name, mine in state.items():
        theirs = fitted.tensors.get(name)
        if theirs is None:
            left_out[name] = "not in the file"
        elif theirs.shape != mine.shape:
            left_out[name] = f"of shape {tuple(theirs.shape)}, not {tuple(mine.shape)}"
        elif not _castable(theirs, mine):
            left_out[name] = f"of {_dtype(theirs)}, not {_dtype(mine)}"
        else:
            taken[name] = theirs.to(mine.dtype)
    if all(name.endswith(COUNTER) for name in taken):
        close = _whose(given, model)
        raise UserError(f"nothing in {path} fits {model}: it holds {listed(list(given.tensors))}{close}")
    module.load_state_dict(taken, strict=False)
    used = {name: fitted.tensors[name] for name in taken}
    return Taken(tuple(taken), left_out, (*fitted.notes, *_said_of_types(used, taken)))


def closest_models(given: Shapes) -> list[str]:
    """The three networks of the zoo that share most tensors with a file, the closest first; fewer where none does.

    Names and shapes count, whatever prefix they stand under and whatever number of classes they are for. All networks
    are built for it, without their parameters: it takes some seconds.
    """
    networks = _networks()
    here = _ends(given)
    alike = {name: (here & _ends(shapes)).total() / max(len(shapes), len(given)) for name, shapes in networks.items()}
    shares: dict[str, float] = {}
    for name in sorted(alike, key=lambda name: -alike[name])[:_LOOKED_AT]:
        shapes = networks[name]
        fitted = fit(given, shapes, shapes.keys())
        count = sum(_alike(given[file], shapes.get(new)) for file, new in fitted.names.items())
        shares[name] = count / max(len(shapes), len(given))
    close = sorted((name for name in shares if shares[name] >= _CLOSE), key=lambda name: -shares[name])
    return close[:3]


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
    """The tensors alone of `read_state_dict`."""
    return read_state_dict(path).tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {_one_line(error)}; fetch it again") from error


def _unwrap(path: Path, loaded: object) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The mapping of tensors in what a file holds, and what else there is."""
    inside: list[str] = []
    others: list[str] = []
    rest: list[str] = []
    while True:
        here = _as_mapping(loaded)
        direct = {name: tensor for name, value in here.items() if (tensor := as_tensor(value)) is not None}
        nested = {name: value for name, value in here.items() if _tensor_count(value)}
        chosen = _chosen(nested, is_whole=any("." in name for name in direct))
        if chosen is None:
            break
        others += [name for name in nested if name != chosen and not _NO_WEIGHTS.search(name)]
        rest += [name for name in here if name not in {chosen, *others}]
        inside.append(chosen)
        loaded = nested[chosen]
    networks = {name: value for name, value in nested.items() if not _NO_WEIGHTS.search(name)}
    if networks and not any("." in name for name in direct):  # a mapping for each part of the network
        direct, used = _joined(networks), {*networks}
    else:
        used = {*direct}
    rest += [name for name in here if name not in used]
    if not direct:
        raise UserError(f"{path} holds no state dict (a mapping of names to tensors); save model.state_dict()")
    also = f" (there is also {', '.join(map(repr, others))})" if others else ""
    notes = [f"taken from {'.'.join(inside)!r}{also}"] if inside else []
    return direct, (*notes, *([f"left out beside the weights: {listed(rest, 8)}"] if rest else []))


def _as_mapping(value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        return {name.decode() if isinstance(name, bytes) else str(name): one for name, one in value.items()}
    return {str(place): one for place, one in enumerate(value)} if isinstance(value, list | tuple) else {}


def _tensor_count(value: object) -> int:
    """How many tensors a mapping by names holds, however deep."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str | bytes) for name in value):
        return 0
    return sum(_tensor_count(one) or as_tensor(one) is not None for one in value.values())


def _chosen(nested: Mapping[str, object], *, is_whole: bool) -> str | None:
    """Which of several mappings holds the network; `None`: none of them, or all are its parts."""
    plain = next((name for name in WRAPPERS if name in nested), None)
    average = next((name for name in AVERAGED if name in nested), None)
    if average is not None and (
        plain is None or _tensor_count(nested[average]) >= _WHOLE * _tensor_count(nested[plain])
    ):
        return average
    if plain is not None or is_whole:
        return plain
    networks = [name for name in nested if not _NO_WEIGHTS.search(name)]
    return networks[0] if len(networks) == 1 else None


def _joined(parts: Mapping[str, object]) -> dict[str, Tensor]:
    joined: dict[str, Tensor] = {}
    for part, value in parts.items():
        for name, one in _as_mapping(value).items():
            tensor = as_tensor(one)
            joined |= {f"{part}.{name}": tensor} if tensor is not None else _joined({f"{part}.{name}": one})
    return joined


def _unusual(tensor: Tensor) -> str:
    """What keeps a tensor from being plain numbers; empty for one that is."""
    if tensor.is_meta:
        return "empty (meta)"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout != torch.strided:
        return "sparse"
    return _dtype(tensor) if tensor.is_floating_point() and tensor.dtype not in _FLOATS else ""


def _castable(given: Tensor, expected: Tensor) -> bool:
    """Whether one is a plain number's type where the other is, fraction for fraction and integer for integer."""
    return given.dtype == expected.dtype or (
        given.is_floating_point() == expected.is_floating_point()
        and given.is_complex() == expected.is_complex()
        and (given.dtype == torch.bool) == (expected.dtype == torch.bool)
    )


def _said_of_types(given: Mapping[str, Tensor], cast: Mapping[str, Tensor]) -> list[str]:
    changed: dict[str, int] = {}
    for name, tensor in given.items():
        if tensor.is_floating_point() and tensor.dtype != cast[name].dtype:
            change = f"{_dtype(tensor)} made {_dtype(cast[name])}"
            changed[change] = changed.get(change, 0) + 1
    return [f"{change} in {counted(count, 'tensor')}" for change, count in changed.items()]


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _aside(module: nn.Module) -> tuple[str, ...]:
    return tuple(f"{name}." for name in getattr(module, "training_only", ()))


def _shapes(given: StateDict) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in given.tensors.items()}


def _is_read(name: str, tensor: Tensor, expected: Mapping[str, Tensor]) -> bool:
    """Whether a tensor matters: a counter that some wrote as a list does not."""
    return not name.endswith(COUNTER) or tensor.shape == expected[name].shape


def _required(expected: Collection[str], aside: tuple[str, ...]) -> list[str]:
    return [name for name in expected if not name.startswith(aside) and not name.endswith(COUNTER)]


def _unfit(given: StateDict, expected: Mapping[str, Tensor], missing: list[str], foreign: list[str], model: str) -> str:
    """What is missing and unknown, and whose tensors they are."""
    parts = []
    if missing:
        parts.append(f"{len(missing)} of its {len(_required(expected, ()))} tensors are missing ({listed(missing)})")
    if foreign:
        parts.append(f"{len(foreign)} in the file are unknown to it ({listed(foreign)})")
    mend = "; give weights of this very network, or begin training from what fits with --init"
    return " and ".join(parts) + _whose(given, model, mend)


def _whose(given: StateDict, model: str, mend: str = "") -> str:
    """The networks that tensors are closest to; `mend` where that is none, or the model itself."""
    close = closest_models(_shapes(given))
    return mend if close[:1] in ([], [model]) else f"; by their tensors they are closest to {', '.join(close)}"


def _other_classes(pairs: Mapping[str, tuple[Tensor, Tensor]], model: str) -> str:
    """Say that a file is for another number of classes; empty where more than the head differs."""
    counts = set[tuple[int, int]]()
    for name, (given, mine) in pairs.items():
        axis = int(
            f"{name.rpartition('.')[0]}.bias" in pairs and given.shape[:1] == mine.shape[:1]
        )  # of a deconvolution
        if (
            given.ndim <= axis
            or given.ndim != mine.ndim
            or given.narrow(axis, 0, 0).shape != mine.narrow(axis, 0, 0).shape
        ):
            return ""
        counts.add((given.shape[axis], mine.shape[axis]))
    if len(counts) > 1:
        return ""
    ((theirs, ours),) = counts
    return (
        f"was trained for {theirs} classes, {ours} are wanted ({listed(list(pairs))}); name the dataset it was trained "
        f"on, or begin training {model} from it with --init"
    )


def _misfit(pairs: Mapping[str, tuple[Tensor, Tensor]], given: StateDict, model: str) -> str:
    (name, (theirs, ours)), *_ = pairs.items()
    shapes = f"{name} is {tuple(theirs.shape)} where {model} has {tuple(ours.shape)}"
    close = _whose(given, model)
    return f"does not fit {model}: {shapes} ({len(pairs)} tensors differ: {listed(list(pairs))}){close}"


@functools.cache
def _networks() -> dict[str, Shapes]:
    return {name: tensor_shapes(spec, _CLOSE_CLASSES) for name, spec in MODELS.items()}


def _ends(shapes: Shapes) -> Counter[tuple[str, tuple[int, ...]]]:
    return Counter((".".join(name.split(".")[-2:]), tuple(shape)) for name, shape in shapes.items())


def _alike(given: tuple[int, ...], expected: tuple[int, ...] | None) -> bool:
    """Whether two shapes are the same, or those of heads for other numbers of classes."""
    if expected is None or given == expected:
        return given == expected
    return expected[:1] == (_CLOSE_CLASSES,) and given[1:] == expected[1:] and len(given) == len(expected)


def _one_line(error: BaseException) -> str:
    return reason(error)[:200]
