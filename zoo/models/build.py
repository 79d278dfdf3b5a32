"""From a `ModelSpec` to an `nn.Module`, checked, and what every network of the zoo answers to.

The contract: `forward(image_NCHW) -> logits_NKhw`, one tensor at the network's own stride. A module may also have
`training_logits(image_NCHW) -> tuple[Tensor, ...]`, main first, and `training_only`, names of the submodules that only
`training_logits` runs (auxiliary heads): they are no part of the deployed network.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.catalog import MODELS, find
from zoo.errors import UserError
from zoo.models.trial import fit_model, said
from zoo.spec import ModelSpec, Size

_CARRIED = ("mean", "std", "channel_order", "divisor", "align_corners", "train_ids")
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

    A model of your own, and a timm encoder under any decoder, may carry `mean`, `std`, `divisor`, `align_corners` and
    `train_ids` (numbers and tuples; tensors of these names are the network's own business), and is tried
    (`trial.fit_model`).

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
        module, spec = _build_own(spec, num_classes)
    else:
        if pretrained and not spec.pretrained:
            raise UserError(f"{spec.name} has no published weights; set pretrained = false")
        module = _build_row(spec, num_classes, pretrained)
    if spec.name not in MODELS:
        spec = _completed(spec, module)
        if sizes is not None:
            spec = fit_model(module, spec, num_classes, sizes)
    return module, spec


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


def tensor_shapes(spec: ModelSpec, num_classes: int = 19) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a model's `state_dict` holds, of a model of the table; no parameter takes memory."""
    with _UnsetParameters(), _MetaParameters():
        module = _build_row(spec, num_classes, pretrained=False)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def training_logits(model: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """Logits of every head, main first, each at its own stride; image `(N, 3, H, W)`."""
    heads: Callable[[Tensor], tuple[Tensor, ...]] | None = getattr(model, "training_logits", None)
    return (model(image),) if heads is None else heads(image)


def has_aux_heads(model: nn.Module) -> bool:
    """Whether submodules that only training runs are still in place."""
    return any(getattr(model, name, None) is not None for name in getattr(model, "training_only", ()))


def drop_aux_heads(model: nn.Module) -> nn.Module:
    """Take off, in place, what only training runs; the answer of `forward` stays the same. Returns the model."""
    for name in getattr(model, "training_only", ()):
        setattr(model, name, None)
    return model


def deployed_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Named parameters of the deployed network: all but those of `training_only` submodules."""
    aside = tuple(f"{name}." for name in getattr(model, "training_only", ()))
    return ((name, value) for name, value in model.named_parameters() if not name.startswith(aside))


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


def _build_own(spec: ModelSpec, num_classes: int) -> tuple[nn.Module, ModelSpec]:
    """Call a user's builder with `num_classes`; what the callable carries is completed into the spec."""
    place, function = spec.builder.rsplit(":", 1)
    with _importable(str(Path(place).parent) if place.endswith(".py") else str(Path.cwd())):
        try:
            source = _load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        except (Exception, SystemExit) as error:
            raise UserError(f"{spec.name}: importing it fails: {said(error)}") from error
        build = _attribute(spec, source, function)
        try:
            module = build(num_classes)
        except (Exception, SystemExit) as error:
            raise UserError(f"{spec.name}: {function}({num_classes}) fails: {said(error)}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{spec.name}: {function}(num_classes) answers with {type(module).__name__}, not an nn.Module")
    return module, _completed(spec, build)


def _attribute(spec: ModelSpec, source: ModuleType, function: str) -> Callable[[int], Any]:
    build = getattr(source, function, None)
    if not callable(build):
        offered = [
            name for name, value in vars(source).items()
            if callable(value) and getattr(value, "__module__", "") == source.__name__ and not name.startswith("_")
        ]  # fmt: skip
        raise UserError(f"{spec.name}: no callable {function!r} in it; it has {', '.join(offered) or 'none'}")
    found: Callable[[int], Any] = build
    return found


def _completed(spec: ModelSpec, carrier: object) -> ModelSpec:
    carried = {name: value for name in _CARRIED if (value := _literal(carrier, name)) is not None}
    try:
        return ModelSpec.model_validate({**spec.model_dump(exclude_unset=True), **carried})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            f"{spec.name}: its {first['loc'][0]} cannot be used ({first['msg']}); got {first['input']!r}"
        ) from error


def _literal(carrier: object, name: str) -> Any:
    """An attribute's value unless it is a tensor or a method, which are the network's own."""
    value = inspect.getattr_static(carrier, name, None)
    value = getattr(carrier, name) if isinstance(value, property) else value
    return None if isinstance(value, Tensor) or callable(value) else value


def _load_file(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None, "find() saw a .py file"  # noqa: PT018
    source = importlib.util.module_from_spec(found)
    sys.modules.setdefault(path.stem, source)  # dataclasses and pickle look their module up
    found.loader.exec_module(source)
    return source


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Let imports see a folder for a while: the model's neighbours, or the working directory."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


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
