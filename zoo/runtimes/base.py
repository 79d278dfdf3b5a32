"""What every runtime gives: a pipeline that runs on a device in a precision. `RUNTIMES` is the table of them."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor

from zoo.errors import UserError, did_you_mean
from zoo.models.build import drop_aux_heads
from zoo.pipeline import Pipeline
from zoo.record import MemoryFormat, Precision, State

RUNTIMES: dict[str, str] = {
    "eager": "zoo.runtimes.eager",
}
"""Name → module with `load` and `why_unsupported`, imported when asked for: its own library need not be there."""


class UnsupportedError(Exception):
    """A pair of runtime, precision and device that makes no sense or does not exist; the text is the reason."""


class Runnable(Protocol):
    """A deployed artifact."""

    @property
    def device(self) -> torch.device:
        """Where the network runs."""

    @property
    def precision(self) -> Precision:
        """The one that runs, not the one that was hoped for."""

    @property
    def weights_bytes(self) -> int:
        """Of parameters and buffers as they are kept for inference."""

    def preprocess(self, images: Tensor) -> Tensor:
        """`(N, H, W, 3)` `uint8` host images → what `network` takes, on the device."""

    def network(self, x: Tensor) -> Tensor:
        """Network scope: device-resident input → `(N, K, h, w)` logits on the device; does not wait for them."""

    def predict(self, images: Tensor) -> Tensor:
        """Pipeline scope: `(N, H, W, 3)` `uint8` → `(N, *output_size)` `uint8`, both in host memory, finished."""

    def state(self) -> State:
        """Assert the deployment state (protocol, rule 2) and return it."""


class Loader(Protocol):
    """What `load` of each module in `RUNTIMES` is."""

    def __call__(
        self, pipeline: Pipeline, *, device: torch.device, precision: Precision, memory_format: MemoryFormat
    ) -> Runnable:
        """Take `pipeline` over and make it run."""


def load(
    runtime: str, pipeline: Pipeline, *, device: torch.device, precision: Precision, memory_format: MemoryFormat
) -> Runnable:
    """Make `pipeline` run. It is taken over: auxiliary heads go, weights are moved, cast and frozen in place.

    Raises:
        UserError: no such runtime.
        UnsupportedError: not this precision on this device.
    """
    drop_aux_heads(pipeline.model)
    loader: Loader = _module(runtime).load
    return loader(pipeline, device=device, precision=precision, memory_format=memory_format)


def why_unsupported(runtime: str, device: torch.device, precision: Precision) -> str:
    """Reason why a runtime does not run `precision` on `device`; empty when it does.

    Raises:
        UserError: no such runtime.
    """
    reason: str = _module(runtime).why_unsupported(device, precision)
    return reason


def _module(runtime: str) -> ModuleType:
    if runtime not in RUNTIMES:
        raise UserError(f"no runtime {runtime!r}.{did_you_mean(runtime, RUNTIMES)} There are: {', '.join(RUNTIMES)}")
    return importlib.import_module(RUNTIMES[runtime])


def gains_from_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies in bf16 natively, and so faster than in fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and not BF16_FEATURES.isdisjoint(cpu_features())


BF16_FEATURES = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names of the CPU features that multiply in bf16, the last one Arm's."""


@functools.cache
def cpu_features() -> frozenset[str]:
    """Features of this CPU as Linux names them, in lower case; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    words = [line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features"))]
    return frozenset(words[0].lower().split()) if words else frozenset()
