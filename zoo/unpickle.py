"""Pickles of weights, read without running anything they name.

A pickle names functions and classes, and its reader calls them. Here torch's own list (`weights_only`) is called, and
the short one below is answered by stand-ins: arrays of numpy are read from their bytes, and the settings that training
scripts leave beside the weights become `Inert`, which nobody reads. Whatever else a pickle names is refused.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError, listed

WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "net_state_dict", "module"),
    *("weights", "params", "generator"),
)
"""Where training scripts put the weights in a checkpoint, the first that is there first."""
AVERAGED = (
    *("state_dict_ema", "model_ema", "model_ema_state_dict", "ema_model", "ema_net", "net_ema", "params_ema", "ema"),
    "ema_model_state_dict",
)
"""Where they put their moving average. mmengine's `ema_state_dict` is not one: there `state_dict` is the average."""


_NUMBERS = re.compile(r"[<>|=]?[biufc]\d+")
"""Types of numpy that are plain numbers."""


class Inert:
    """Stands for an object beside the weights: takes whatever a pickle gives it and does nothing."""

    state: object = None

    def __init__(self, *_: object, **__: object) -> None: ...

    append = extend = add = __setitem__ = __init__

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __call__(self, *_: object, **__: object) -> Inert:
        """Stand for what it would make, too."""
        return self


class _Dtype:
    """`numpy.dtype`, of plain numbers alone."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = code
        self.order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in {"<", ">"} else "="

    def read(self, data: object, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray[Any, Any] | None:
        """The array in `data`; `None` where it holds no plain numbers."""
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not (isinstance(self.code, str) and _NUMBERS.fullmatch(self.code) and isinstance(raw, bytes | bytearray)):
            return None
        kind = np.dtype(self.code).newbyteorder(self.order)
        values = np.frombuffer(raw, kind).reshape(shape, order=order)
        return np.array(values, kind.newbyteorder("="))  # of this machine's byte order, and not bound to `data`


class _Array:
    """`numpy.ndarray`."""

    value: np.ndarray[Any, Any] | None = None

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        self.value = dtype.read(data, shape, "F" if is_fortran else "C")


def _array_of(data: object, dtype: _Dtype, shape: tuple[int, ...], order: Literal["C", "F"]) -> _Array:
    made = _Array()
    made.value = dtype.read(data, shape, order)
    return made


def _mapping(*_: object) -> OrderedDict[Any, Any]:
    return OrderedDict()


def _list(*_: object) -> list[Any]:
    return []


def _no_bytes(*_: object) -> bytes:
    return b""


def _inert(*_: object) -> Inert:
    return Inert()


def _storage(data: bytes) -> Any:
    """The storage of a tensor that was pickled without torch."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


_HARMLESS = (
    *("argparse.Namespace", "types.SimpleNamespace", "torch.torch_version.TorchVersion", "uuid.UUID"),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *("decimal.Decimal", "fractions.Fraction"),
    *(f"numpy.{name}" for name in ("float64", "float32", "float16", "int64", "int32", "uint8", "bool_", "bool")),
    *(f"builtins.{name}" for name in ("list", "dict", "tuple", "int", "float", "str", "bool", "object")),
    *(f"builtins.{name}" for name in ("frozenset", "slice", "range", "type", "getattr")),
    *("mmengine.logging.history_buffer.HistoryBuffer", "mmengine.config.config.ConfigDict"),
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
)
"""Read as `Inert`: none of them is imported or called."""
_PATHS = tuple(
    f"{module}.{kind}{system}Path"
    for module in ("pathlib", "pathlib._local")
    for kind in ("", "Pure")
    for system in ("", "Posix", "Windows")
)
_MAPPINGS = (
    *("easydict.EasyDict", "addict.addict.Dict", "yacs.config.CfgNode", "fvcore.common.config.CfgNode"),
    *(f"{room}.AttributeDict" for room in ("pytorch_lightning.utilities.parsing", "lightning_fabric.utilities.data")),
    *(f"lightning.{room}.AttributeDict" for room in ("pytorch.utilities.parsing", "fabric.utilities.data")),
)
_NUMPY: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("multiarray._reconstruct", _Array),
    ("multiarray.scalar", _inert),
    ("numeric._frombuffer", _array_of),
)
KNOWN: dict[str, Callable[..., Any]] = {
    **dict.fromkeys((*_HARMLESS, *_PATHS), Inert),
    **dict.fromkeys(_MAPPINGS, OrderedDict),
    **{f"numpy.{core}.{name}": stand_in for core in ("core", "_core") for name, stand_in in _NUMPY},
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "collections.defaultdict": _mapping,
    "collections.deque": _list,
    "builtins.bytes": _no_bytes,  # how protocol 2 writes none
}
"""What a pickle may name beside what torch itself reads, and what stands in for it."""
_PLAIN: dict[str, Callable[..., Any]] = {
    **KNOWN,
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": lambda text, _: text.encode("latin1"),
    "builtins.set": set,
    "builtins.complex": complex,
    "torch.storage._load_from_bytes": _storage,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,  # noqa: SLF001
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,  # noqa: SLF001
    "torch.Size": torch.Size,
    "torch.device": Inert,
    **dict.fromkeys(map(str, (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64)), Inert),
}
"""The same for a pickle that torch did not write."""
_TORCHS = ("torch._utils.", "torch.storage.", "torch._tensor.", "torch.nn.parameter.", "torch.serialization.")
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # since Python 2, whose names protocol 2 keeps


def read_torch(path: Path) -> object:
    """What `torch.save` wrote, in either format.

    Raises:
        UserError: it names types that are not on the list, or is damaged.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # of torch, about what is refused below
            with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in KNOWN.items()]):
                return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever a damaged file makes it stumble over
        raise _refusal(path, error) from error


def read_pickle(path: Path) -> object:
    """What `pickle.dump` wrote: mappings of arrays or tensors.

    Raises:
        UserError: it names types that are not on the list, or is damaged.
    """
    try:
        with path.open("rb") as stream:
            reader = _Reader(stream, _PLAIN)
            found = reader.load()
    except Exception as error:  # as above
        raise _damaged(path, error) from error
    if reader.unknown:
        load = f"import pathlib, pickle, torch; found = pickle.loads(pathlib.Path({str(path)!r}).read_bytes())"
        raise _more_than_weights(path, reader.unknown, load, found)
    return found


def read_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that `numpy.savez` wrote.

    Raises:
        UserError: they are no plain numbers, or the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def as_tensor(value: object) -> Tensor | None:
    """A tensor, or an array of plain numbers as one; `None` for anything else."""
    if isinstance(value, _Array):
        value = value.value
    if isinstance(value, np.ndarray):
        try:
            return torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
        except TypeError:  # words, objects, dates, floats of 16 bytes
            return None
    return value.detach() if isinstance(value, Tensor) else None


class _Reader(pickle.Unpickler):
    """Calls what is known alone; whatever else a pickle names is noted, and `Inert`."""

    def __init__(self, stream: BinaryIO, known: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(stream, encoding="latin1")
        self.known = known
        self.unknown: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{_RENAMED.get(module, module)}.{name}"
        if full not in self.known:
            self.unknown[full] = None
        return self.known.get(full, Inert)

    def persistent_load(self, pid: object) -> Any:
        # a legacy file names its modules' classes here, and its storages
        return pid[1] if isinstance(pid, tuple) and pid[0] == "module" else Inert()


def _refusal(path: Path, error: Exception) -> UserError:
    """Why torch does not read a file: the types it names, looked up by a reader that calls none of them."""
    reader, found = None, None
    known: dict[str, Callable[..., Any]] = {**KNOWN, "collections.OrderedDict": OrderedDict}  # which torch reads itself
    try:
        with path.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                with zipfile.ZipFile(stream) as archive:
                    name = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
                    reader = _Reader(io.BytesIO(archive.read(name)), known)
            else:
                stream.seek(0)
                for _ in range(3):  # torch's number, its protocol, and sizes of numbers
                    pickle.Unpickler.load(_Reader(stream, {}))
                reader = _Reader(io.BytesIO(stream.read()), known)
            found = reader.load()
    except Exception:  # noqa: BLE001  damaged: what was named so far may still say why
        found = None
    names = [name for name in reader.unknown if not _is_torchs(name)] if reader else []
    names = names or re.findall(r"GLOBAL (\S+) was not", str(error))  # in what torch says, which stops at the first
    load = f"import torch; found = torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
    if names:
        return _more_than_weights(path, names, load, found)
    if isinstance(error, pickle.UnpicklingError) and found is not None:
        why = "is pickled by a protocol that torch reads from trusted files alone"
        return _to_be_converted(path, why, load, found)
    return _damaged(path, error)


def _is_torchs(name: str) -> bool:
    known = {"collections.OrderedDict", "collections.Counter", "_codecs.encode", "builtins.set", "builtins.bytearray"}
    return name in known or name == "builtins.complex" or name.startswith(_TORCHS) or name.rpartition(".")[0] == "torch"


def _more_than_weights(path: Path, names: Iterable[str], load: str, found: object) -> UserError:
    why = f"holds more than weights ({listed(names)}), and loading that runs code"
    return _to_be_converted(path, why, load, found)


def _to_be_converted(path: Path, why: str, load: str, found: object) -> UserError:
    into = str(path.with_name(f"{path.name.partition('.')[0]}-weights.pth"))
    return UserError(
        f"{path} {why}; if you trust it, make a file of its weights with these two lines of Python:\n"
        f"    {load}\n    torch.save({_weights_in(found)}, {into!r})"
    )


def _weights_in(found: object, at: str = "found") -> str:
    """How Python names the weights in what a file holds."""
    if isinstance(found, Inert) and isinstance(found.state, Mapping) and "_modules" in found.state:
        return f"{at}.state_dict()"
    if isinstance(found, Mapping):
        for name in (*AVERAGED, *WRAPPERS):
            if isinstance(found.get(name), Mapping) or getattr(found.get(name), "state", None):
                return _weights_in(found[name], f"{at}[{name!r}]")
        inside = [name for name, value in found.items() if isinstance(value, Mapping)]
        if inside and not any("." in str(name) for name in found):
            largest = max(inside, key=lambda name: len(found[name]))
            return _weights_in(found[largest], f"{at}[{largest!r}]")
        if at == "found":  # with what makes the file more than weights beside them
            return "{name: value for name, value in found.items() if hasattr(value, 'shape')}"
    return at


def _damaged(path: Path, error: BaseException) -> UserError:
    said = str(error).strip().split("\n")[0][:200] or type(error).__name__
    return UserError(f"{path} is not a readable checkpoint: {said}; fetch it again")
