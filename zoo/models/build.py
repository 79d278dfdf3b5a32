"""From a `ModelSpec` to an `nn.Module` that keeps the contract (`contract`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.catalog import MODELS, find
from zoo.errors import UserError
from zoo.models.contract import drop_aux_heads, tensors_of
from zoo.models.own import build_own, completed
from zoo.models.trial import fit_model, said
from zoo.spec import ModelSpec, Size

DRAW_COUNT = 65_521
"""How many values `build_random` draws of one tensor; a prime, so that the rows of a matrix are not each other's."""
_FETCHERS = {"huggingface_hub", "httpx", "requests", "urllib3", "urllib", "safetensors", "safetensors_rust"}


def create_model(
    name: str, num_classes: int = 19, pretrained: bool = False, sizes: Sequence[Size] | None = ()
) -> nn.Module:
    """Build a model by name: `forward` maps normalised images `(N, 3, H, W)` to raw logits `(N, K, h, w)`.

    Args:
        name: whatever `zoo.catalog.find` takes.
        num_classes: channels of the logits.
        pretrained: begin from the encoder's published weights.
        sizes: as in `build_model`.

    Raises:
        UserError: no such model; it does not keep the contract; its weights cannot be fetched.
    """
    return build_model(find(name), num_classes, pretrained, sizes)[0]


def build_model(
    spec: ModelSpec, num_classes: int = 19, pretrained: bool = False, sizes: Sequence[Size] | None = ()
) -> tuple[nn.Module, ModelSpec]:
    """Build what a spec describes, in training mode, with the spec completed by what the module itself carries.

    A model of your own, and a timm encoder under any decoder, may carry `mean`, `std`, `divisor`, `min_side`,
    `align_corners` and `train_ids` (numbers and tuples; tensors of these names are the network's own business), and is
    tried (`trial.fit_model`).

    Args:
        spec: what to build.
        num_classes: channels of the logits.
        pretrained: begin from the encoder's published weights.
        sizes: what the network will be fed with, `(height, width)` before padding: it is tried at these, and where it
            says no divisor one that fits them is found. Empty: at one small size; `None`: not tried, by a caller that
            does so when it knows the size.

    Raises:
        ModelError: the model does not keep the contract, or takes one of the sizes in no way.
        UserError: it cannot be built, or published weights are missing or cannot be fetched.
    """
    if spec.own:
        if pretrained:
            raise UserError(f"{spec.name}: a model of your own loads its weights itself; set pretrained = false")
        module, spec = build_own(spec, num_classes)
    else:
        if pretrained and not spec.pretrained:
            raise UserError(f"{spec.name} has no published weights; set pretrained = false")
        module = _build_row(spec, num_classes, pretrained)
    if spec.name not in MODELS:
        spec = completed(spec, module)
        if sizes is not None:
            spec = fit_model(module, spec, num_classes, sizes)
    return module, spec


def build_random(
    spec: ModelSpec, num_classes: int = 19, sizes: Sequence[Size] | None = ()
) -> tuple[nn.Module, ModelSpec]:
    """Build as `build_model` does, to be timed and not to be trained: a large tensor repeats its first draws.

    Each keeps its own distribution. Drawing all 134 million values of VGG-16 takes longer than a quick row's samples.
    """
    with nullcontext() if spec.own else _RepeatedDraws():  # type: ignore[no-untyped-call]
        return build_model(spec, num_classes, sizes=sizes)


def build_empty(
    spec: ModelSpec, num_classes: int = 19, sizes: Sequence[Size] | None = ()
) -> tuple[nn.Module, ModelSpec]:
    """Build as `build_model` does but leave parameters unset: for a whole `state_dict` that is loaded at once.

    Buffers, the non-persistent ones included, are computed as always. Other models than those of the table are built
    whole, since they are tried when built.
    """
    if spec.name not in MODELS:
        return build_model(spec, num_classes, sizes=sizes)
    with _UnsetParameters():
        return build_model(spec, num_classes)


def tensor_shapes(spec: ModelSpec, num_classes: int = 19, *, deployed: bool = False) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a model's `state_dict` holds, of a model of the table; no parameter takes memory.

    Those of the deployed network are without heads that only training runs.
    """
    module = build_shapes(spec, num_classes)
    if deployed:
        drop_aux_heads(module)
    return {name: tuple(tensor.shape) for name, tensor in tensors_of(module).items()}


def build_shapes(spec: ModelSpec, num_classes: int = 19) -> nn.Module:
    """Build a model of the table with parameters that have a shape alone: to be counted, not to be run."""
    with _UnsetParameters(), _MetaParameters():
        return _build_row(spec, num_classes, pretrained=False)


def build_for_counting(spec: ModelSpec, num_classes: int = 19) -> nn.Module:
    """Build a model to be counted: of the table with shapes alone; another one whole, but not tried.

    Raises:
        UserError: it cannot be built.
    """
    return build_shapes(spec, num_classes) if spec.name in MODELS else build_model(spec, num_classes, sizes=None)[0]


def read_hub(spec: ModelSpec, folder: Path, num_classes: int) -> dict[str, Tensor]:
    """Read the weights of a hub's model by its library, under the names of the network that `build_model` builds.

    Args:
        spec: A hub's model.
        folder: Holds its configuration and its weights.
        num_classes: Of the weights.

    Raises:
        UserError: they cannot be read, or are not the network's.
    """
    reader = importlib.import_module(spec.builder.partition(":")[0])
    try:
        tensors: dict[str, Tensor] = reader.read_tensors(folder, num_classes, **spec.args)
    except UserError as error:
        raise UserError(f"{spec.name}: {error}") from error
    except Exception as error:  # the library's own, of a damaged file or of another network's
        why = f"{said(error)}; fetch them again"
        raise UserError(f"{spec.name}: its weights in {folder} cannot be read: {why}") from error
    return tensors


def _build_row(spec: ModelSpec, num_classes: int, pretrained: bool) -> nn.Module:
    name, function = spec.builder.split(":")
    build = getattr(importlib.import_module(name), function)
    try:
        module: nn.Module = build(num_classes=num_classes, pretrained=pretrained, **spec.args)
    except Exception as error:
        if pretrained and _is_fetching(error):
            raise UserError(
                f"{spec.name}: the weights {spec.pretrained!r} could not be fetched ({said(error)}); go on without "
                "them (pretrained = false), or run once with a network to fill the cache of "
                "torch (TORCH_HOME) or Hugging Face (HF_HOME)"
            ) from error
        raise
    return module


def _is_fetching(error: BaseException | None) -> bool:
    """Whether an error, or one it came from, is a download's: no network, no file, or a damaged one."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _FETCHERS:
            return True
        if str(error).startswith("invalid hash value"):  # torch.hub raises a bare RuntimeError
            return True
        error = error.__cause__ or error.__context__
    return False


class _MetaParameters(TorchFunctionMode):
    """Lets what `torch.empty` makes, as parameters are, have a shape alone; what is computed stays computed."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return func(*args, **kwargs | {"device": "meta"} if func is torch.empty else kwargs)


class _UnsetParameters(TorchFunctionMode):
    """Skips in-place writes of values to parameters: what `torch.nn.init` and timm's initialisers do."""

    _WRITES = frozenset({
        "uniform_", "normal_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_",  # methods of the tensor
        "constant_", "kaiming_normal_", "kaiming_uniform_",  # torch.nn.init's, which pass the tensor by name
    })  # fmt: skip

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self._WRITES:
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, nn.Parameter):
                return target
        return func(*args, **kwargs)


class _RepeatedDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Draws the first values of a large tensor, and copies them over the rest."""

    _DRAWS = frozenset({torch.ops.aten.uniform_.default, torch.ops.aten.normal_.default})

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self._DRAWS or args[0].numel() <= DRAW_COUNT or not args[0].is_contiguous():
            return func(*args, **kwargs)
        values = args[0].view(-1)
        func(values[:DRAW_COUNT], *args[1:], **kwargs)
        done = DRAW_COUNT
        while done < len(values):
            count = min(done, len(values) - done)
            values[done : done + count] = values[:count]
            done += count
        return args[0]
