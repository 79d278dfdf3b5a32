"""Trying a network at the sizes it will be used at, and finding the multiples that its sides must be.

A small image is run in earnest. Of a large one the answer's shape alone is asked for, from a copy made of torch's fake
tensors: a fraction of a second and no memory, whatever the size. What does not run on those is run in earnest too.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensor, FakeTensorMode

from zoo.catalog import MODELS
from zoo.errors import ModelError
from zoo.spec import IGNORE_INDEX, ModelSpec, Size
from zoo.units import show_size

_log = logging.getLogger(__name__)

CHECK_SIZE = (128, 160)
"""PAN needs 128; two different sides show a network that swaps them."""
DIVISORS = (2, 4, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 224, 256)
"""What is tried: halvings, patches of 12 and 14, and windows of 7 and 12 behind halvings."""
SMALL_PIXELS = 256 * 512
"""What is run in earnest."""

_told: set[tuple[str, int]] = set()  # models and divisors


def fit_model(module: nn.Module, spec: ModelSpec, num_classes: int, sizes: Sequence[Size] = ()) -> ModelSpec:
    """See that a network takes the sizes it will be used at and keeps the contract; those of the table do.

    Where a model of your own says no divisor, and where its decoder's does not do for a timm encoder, the least one is
    looked for that makes every size fit by padding; what is found is logged. Modes of the module are put back.

    Args:
        module: Maps `(N, 3, H, W)` images to `(N, K, h, w)` logits.
        spec: What it is.
        num_classes: Of the dataset.
        sizes: What it will be fed with, `(height, width)` before padding; empty: one small size of ours.

    Returns:
        The spec, with the divisor that does.

    Raises:
        ModelError: `forward` raises at one of the sizes, padded or not, or answers with something else than finite
            `(N, K, h, w)` logits.
    """
    if spec.name in MODELS:
        return spec
    asked = tuple(dict.fromkeys(sizes)) or (CHECK_SIZE,)
    trial = _Trial(module, spec.name, _channel_count(spec, num_classes))
    with _evaluating(module):
        divisor = _find_divisor(trial, spec, asked)
        # Values, and sides that are mixed up, show at any size; a network for certain sizes shows them there alone.
        error = trial.run(spec.padded(CHECK_SIZE, divisor))
        if error and not isinstance(error, _TooLargeError):
            error = trial.run(spec.padded(min(asked, key=lambda size: size[0] * size[1]), divisor))
        if error:
            raise error
    if divisor == spec.divisor:
        return spec
    if (spec.name, divisor) not in _told:
        _told.add((spec.name, divisor))
        size, padded = next((size, new) for size in asked if (new := spec.padded(size, divisor)) != size)
        _log.warning(
            "%s: its sides are padded to multiples of %d, found by trying: it does not take %s as it is, but %s; "
            "`divisor = %d` on the model says so beforehand",
            *(spec.name, divisor, show_size(size), show_size(padded), divisor),
        )
    return spec.model_copy(update={"divisor": divisor})


def said(error: BaseException) -> str:
    """Kind and first line of an error, short enough for one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _find_divisor(trial: _Trial, spec: ModelSpec, sizes: Sequence[Size]) -> int:
    """The first divisor that does for all sizes: what is given, else the least.

    Raises:
        ModelError: none does.
    """
    given = spec.own and "divisor" in spec.model_fields_set
    others = () if given else tuple(divisor for divisor in DIVISORS if divisor != spec.divisor)

    def fits(ask: Callable[[Size], ModelError | None], divisor: int, more: int = 0) -> bool:
        padded = (spec.padded(size, divisor) for size in sizes)
        return not any(ask((height + more, width + more)) for height, width in padded)

    for ask in (trial.shapes, trial.run):
        if fits(ask, spec.divisor):
            return spec.divisor
        fitting = [divisor for divisor in others if fits(ask, divisor)]
        if fitting:  # 1080 fits by 16 for a network that needs 32, and 1096 does not
            return next((divisor for divisor in fitting if fits(ask, divisor, more=divisor)), fitting[0])
    errors = (trial.run(spec.padded(size)) for size in sizes)
    first = next(error for error in errors if error)
    tried = f"multiples of {', '.join(map(str, DIVISORS[:4]))}, … {DIVISORS[-1]} were tried too"
    also = f"its divisor is {spec.divisor}" if given else tried
    how = "--input-size; crop_size and image_size of a recipe; sizes of create_model"
    raise ModelError(f"{first}; {also}: name a size it takes ({how})") from first


class _TooLargeError(ModelError):
    """Logits of more than the image: of one that pads by itself, which a multiple puts right."""


class _Trial:
    """One network and what it says to each size: `None` where it takes it, else why not.

    Raises:
        ModelError: it answers, and not as the contract wants.
    """

    def __init__(self, module: nn.Module, name: str, channels: int) -> None:
        self.module, self.name, self.channels = module, name, channels
        first = next((value for value in module.parameters() if value.is_floating_point()), torch.empty(0))
        self._like: dict[str, Any] = {"device": first.device, "dtype": first.dtype}
        self.run = functools.cache(self._run)
        self.shapes = functools.cache(self._shapes)

    def _run(self, size: Size) -> ModelError | None:
        image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(**self._like)
        return self._answer(self.module, image)

    def _shapes(self, size: Size) -> ModelError | None:
        if size[0] * size[1] <= SMALL_PIXELS:
            return self.run(size)
        try:
            mode, network = self._fake
        except Exception as error:  # noqa: BLE001  what cannot be copied is run in earnest
            return ModelError(said(error))
        with mode, _quiet():
            return self._answer(network, torch.empty(1, 3, *size, **self._like))

    @functools.cached_property
    def _fake(self) -> tuple[FakeTensorMode, nn.Module]:
        """A copy, since networks keep what they computed, such as a position embedding for the last size."""
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        with FakeCopyMode(mode):
            return mode, copy.deepcopy(self.module)

    def _answer(self, network: nn.Module, image: Tensor) -> ModelError | None:
        try:
            with torch.no_grad():
                logits = network(image)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # noqa: BLE001  a user's own code raises anything
            return ModelError(f"{self.name}: forward fails on a {_shape(image)} image: {said(error)}")
        return self._judged(image, logits)

    def _judged(self, image: Tensor, logits: object) -> ModelError | None:
        wanted = f"one float tensor (N, {self.channels}, h, w) of logits with h <= H and w <= W"
        if not isinstance(logits, Tensor):
            raise ModelError(f"{self.name}: forward answers with a {type(logits).__name__}; return {wanted}")
        kind = str(logits.dtype).removeprefix("torch.")
        answer = f"{self.name}: {_shape(image)} becomes {kind} {_shape(logits)}; return {wanted}"
        if logits.ndim != 4 or logits.shape[:2] != (1, self.channels) or not logits.is_floating_point():
            raise ModelError(answer)
        if logits.shape[2] > image.shape[2] or logits.shape[3] > image.shape[3]:
            return _TooLargeError(answer)
        if not isinstance(logits, FakeTensor) and not logits.isfinite().all():
            raise ModelError(f"{self.name}: forward answers with NaN or infinity on a normalised random image")
        return None


def _channel_count(spec: ModelSpec, num_classes: int) -> int:
    if spec.train_ids is None:
        return num_classes
    for train_id in spec.train_ids:
        if not 0 <= train_id < num_classes and train_id != IGNORE_INDEX:
            allowed = f"0 to {num_classes - 1}, or {IGNORE_INDEX} for none of them"
            raise ModelError(f"{spec.name}: train_ids holds {train_id}; each is a class of the dataset, {allowed}")
    return len(spec.train_ids)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from printing what fake tensors fail at."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(str(side) for side in tensor.shape)})"
