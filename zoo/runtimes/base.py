"""What every runtime gives, an artifact that runs on a device in a precision, and the tools they share.

A runtime is one module with

    VERSION                                 name and version of the package that runs it; empty: torch itself
    FORMAT                                  suffix of the file it builds and runs; empty: it runs this package's code
    why_missing(device, building)           one line with what to install; empty when all is there; less is needed where
                                            a file is only loaded
    why_unsupported(device, precision)      why it does not run such a pair; empty when it does
    load(...) -> Runnable                   of a file (`FileLoader`), without a FORMAT of a pipeline (`PipelineLoader`)
    graph_precision(device, precision)      with a FORMAT: what the file itself must hold; the rest is chosen on loading
    builder(precision) -> Builder           with a FORMAT: what writes the file; runtimes and precisions of one builder
                                            share the file of each `graph_precision`
    load_network(...) -> Runnable           where it has one: of a file of another maker (`NetworkLoader`)
    prepare(device)                         where it has one: brings what it loads late into memory
    why_one_size                            with a FORMAT: why a file takes frames of one size; empty if it need not
    snippet(file, options, threads)         with a FORMAT: Python that runs the file without this package (`Snippet`);
                                            `options` is what loading chose, `threads` none for the library's own choice
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.errors import ModelError, UserError
from zoo.machine import cpu_features
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Precision, State

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
LAYOUTS: dict[MemoryFormat, torch.memory_format] = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}

Call = Callable[[Tensor], Tensor]


class UnsupportedError(Exception):
    """A pair of runtime, precision and device that makes no sense or does not exist; the text is the reason."""


@dataclass(frozen=True)
class Runnable:
    """A deployed artifact, ready to be called. No call keeps what it is given or changes what it gave before.

    `whole` is the artifact; `preprocess`, `network` and `upsample_argmax` are its stages one by one, `None` for a file
    that holds one graph. A runtime that fuses nothing across stages gives the stages alone.
    """

    device: torch.device
    precision: Precision
    """The one that runs, not the one that was hoped for."""
    weights_bytes: int
    """Of parameters and buffers as they are kept for inference."""
    state: Callable[[], State]
    """Asserts the deployment state (protocol, rule 2) and returns it."""
    cut: Callable[[], Mapping[str, Call]] = dict
    """Makes the stages, by name, when they are first asked for: beside the whole they take memory."""
    whole: Call | None = None
    """`(N, *image_size, 3)` `uint8` → `(N, *output_size)` `uint8`, both on the device."""
    build: Build = field(default_factory=Build)
    """What loading found out: compile time, options, graph breaks."""
    own_memory: bool = False
    """The runtime allocates by itself: torch's allocator does not see what it takes."""

    @functools.cached_property
    def _cuts(self) -> Mapping[str, Call]:
        with memory_errors():
            return self.cut()

    @property
    def preprocess(self) -> Call | None:
        """`(N, *image_size, 3)` `uint8` on the device → what `network` takes, there."""
        return self._cuts.get("preprocess")

    @property
    def network(self) -> Call | None:
        """Network scope: device-resident input → `(N, K, h, w)` logits on the device; does not wait for them."""
        return self._cuts.get("network")

    @property
    def upsample_argmax(self) -> Call | None:
        """Logits → `(N, *output_size)` `uint8` on the device."""
        return self._cuts.get("upsample_argmax")

    @property
    def stages(self) -> dict[str, Call]:
        """The pipeline scope in its stages, in order; empty where they cannot be told apart."""
        if self.preprocess is None or self.network is None or self.upsample_argmax is None:
            return {}
        return {
            "copy_in": self.copy_in,
            "preprocess": self.preprocess,
            "network": self.network,
            "upsample_argmax": self.upsample_argmax,
            "copy_out": self.copy_out,
        }

    @property
    def is_pipeline(self) -> bool:
        """Whether it maps images to label maps; a network alone, of another maker, does not."""
        return self.whole is not None or bool(self.stages)

    def copy_in(self, images: Tensor) -> Tensor:
        """Host → device."""
        return images.to(self.device, non_blocking=True)

    def copy_out(self, labels: Tensor) -> Tensor:
        """Device → host, finished when it returns."""
        return labels.cpu()

    def predict(self, images: Tensor) -> Tensor:
        """Pipeline scope: `(N, *image_size, 3)` `uint8` → `(N, *output_size)` `uint8`, host memory to host memory."""
        if self.whole is not None:
            return self.copy_out(self.whole(self.copy_in(images)))
        assert self.is_pipeline, "a network alone answers no frames"
        for stage in self.stages.values():
            images = stage(images)
        return images


@dataclass(frozen=True)
class Snippet:
    """Python that runs an artifact, in parts: what it imports, then what turns images into label maps."""

    imports: str
    load: str
    """From the file to something that can be called."""
    call: str
    """Makes `labels`, `uint8` `(H, W)`, of the first of `image`, `uint8` `(N, H, W, 3)`; both are NumPy's."""
    frame: str = ""
    """Makes `image` of a picture by Pillow."""

    @property
    def text(self) -> str:
        """The whole, for a person."""
        return f"{self.imports}from PIL import Image\n\n{self.frame}{self.load}{self.call}"


class PipelineLoader(Protocol):
    """`load` of a runtime that runs this package's own code."""

    def __call__(
        self,
        pipeline: Pipeline,
        *,
        device: torch.device,
        precision: Precision,
        memory_format: MemoryFormat,
        compile_mode: str,
        batch_size: int,
    ) -> Runnable:
        """Take `pipeline` over and make it run."""


class FileLoader(Protocol):
    """`load` of a runtime that runs a file."""

    def __call__(self, file: Path, *, device: torch.device, precision: Precision) -> Runnable:
        """Make `file` run; what else lies in its folder is its stages."""


@dataclass(frozen=True)
class Ends:
    """Which input and output of a file are a network's, and what it is fed with."""

    given: str
    shape: tuple[int, ...]
    """Of the input, batch included: all its sides are fixed."""
    made: str


class NetworkLoader(Protocol):
    """`load_network` of a runtime that runs files of other makers."""

    def __call__(self, file: Path, ends: Ends, *, device: torch.device, precision: Precision) -> Runnable:
        """Make the network alone run: `network` is the one stage, from `ends.given` to `ends.made`."""


class Builder(Protocol):
    """What writes the file of a runtime."""

    def __call__(
        self,
        pipeline: Pipeline,
        file: Path,
        *,
        device: torch.device,
        precision: Precision,
        memory_format: MemoryFormat,
        batch_size: int,
        calibration: Sequence[Tensor],
        opset: int,
        any_size: bool,
    ) -> Build:
        """Write `pipeline` to `file` in the precision of `graph_precision`; `calibration` is for int8 alone."""


def graph_state(
    device: torch.device, batch_norm: str | None, tf32: bool | None = None, cudnn_benchmark: bool | None = None
) -> State:
    """State of a graph: training and gradients ended when it was traced; of auxiliary heads it tells nothing."""
    return State.model_validate(
        {
            "training": False,
            "grad_enabled": False,
            "aux_heads": None,
            "batch_norm": batch_norm,
            "memory_format": "own",
            "thread_count": torch.get_num_threads(),
            "cudnn_benchmark": cudnn_benchmark if device.type == "cuda" else None,
            "tf32": tf32 if device.type == "cuda" else None,
        }
    )


class StageModule(nn.Module):
    """A stage without weights as a module of its own, as `torch.export` wants it."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def forward(self, x: Tensor) -> Tensor:
        """Call it."""
        return self._call(x)


def stage_modules(pipeline: Pipeline, images: Tensor) -> dict[str, tuple[nn.Module, Tensor]]:
    """Each stage by name, in order: a module of its own, and what it is given when the pipeline gets `images`."""
    with torch.no_grad():
        x = pipeline.preprocess(images)
        logits = pipeline.network(x)
    return {
        "preprocess": (StageModule(pipeline.preprocess), images),
        "network": (pipeline.model, x),
        "upsample_argmax": (StageModule(pipeline.postprocess), logits),
    }


def trace(module: nn.Module, *given: Tensor, any_size: bool = False) -> torch.export.ExportedProgram:
    """Record what `module` does with `given`; it has run on that before, so what fails is the recording.

    With `any_size` the sides of images among it, `(N, H, W, 3)` `uint8`, are left open.

    Raises:
        ModelError: `torch.export` refuses it, such as for control flow that depends on data.
    """
    with (
        model_errors("torch.export cannot record this network"),
        torch.no_grad(),
        contextlib.redirect_stderr(io.StringIO()),  # it prints graphs where it fails
    ):
        if not any_size:
            return torch.export.export(module, given)
        sides = {1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
        return torch.export.export(
            module, given, dynamic_shapes=tuple(sides if x.dtype == torch.uint8 else None for x in given)
        )


@contextlib.contextmanager
def without(logger: str, words: str) -> Iterator[None]:
    """Keep one line that a library logs and that tells its user nothing to itself; what else it says comes through.

    Args:
        logger: The name that it logs by.
        words: How the line begins.
    """
    log = logging.getLogger(logger)

    def tells(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(words)

    log.addFilter(tells)
    try:
        yield
    finally:
        log.removeFilter(tells)


@contextlib.contextmanager
def model_errors(what: str) -> Iterator[None]:
    """Turn whatever a converter or compiler makes of a network into one line that begins with `what`.

    Raises:
        ModelError: it failed; errors of memory and of the file system stay what they are.
    """
    try:
        yield
    except (UserError, UnsupportedError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # they have no common parent
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ModelError(
            f"{what}: {type(error).__name__}: {first_line(error)}; run it with eager or compile"
        ) from error


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what libraries say when memory ends into `MemoryError`.

    Raises:
        MemoryError: it ended.
    """
    try:
        yield
    except Exception as error:  # they have no common parent
        if not isinstance(error, MemoryError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY):
            raise MemoryError(first_line(error)) from error
        raise


_OUT_OF_MEMORY = ("bad_alloc", "failed to allocate memory", "out of memory")


def first_line(error: Exception, length: int = 200) -> str:
    """Begin of what an error says; its name where it says nothing."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return said[:length]


def why_not(file: Path, ends: Ends, runtime: str, said: str) -> str:
    """One line on a network of another maker that does not run."""
    sides = "x".join(map(str, ends.shape))
    return f"{file} does not run in {runtime} on an input {ends.given} of {sides} ({said}); name another --input-size"


def use_own_stream(device: torch.device) -> None:
    """Leave CUDA's default stream, whose handle 0 other runtimes take for none: the thread's current stream changes."""
    if torch.cuda.current_stream(device).cuda_stream == 0:
        torch.cuda.synchronize(device)
        torch.cuda.set_device(device)
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def why_torch_does_not(device: torch.device, precision: Precision) -> str:
    """Reason why torch itself does not run `precision` on `device`; empty when it does."""
    if precision == "int8":
        return "torch has no int8 here: use onnxruntime, openvino or tensorrt"
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        return f"tf32 needs a CUDA device of compute capability 8.0 or newer, not {device.type}"
    if precision == "fp16" and device.type == "cpu":
        return "torch's fp16 on a CPU was seen 100 times slower than fp32: use bf16 or fp32"
    if precision == "bf16" and device.type == "cpu" and not gains_from_bf16(device):
        return "this CPU has no bf16 arithmetic (avx512_bf16, amx_bf16 or Arm's bf16): use fp32"
    return ""


def set_tf32(on: bool) -> None:
    """Let torch's matrix products and convolutions round to TF32, or not; a flag of the process."""
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    torch.set_float32_matmul_precision("high" if on else "highest")


def gains_from_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies in bf16 natively, and so faster than in fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and not BF16_FEATURES.isdisjoint(cpu_features())


def saturates_int8() -> bool:
    """Whether products of `u8` and `s8` saturate at 16 bits: on x86 without VNNI, or where the features are unknown.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    return platform.machine().lower() in ("x86_64", "amd64") and VNNI_FEATURES.isdisjoint(cpu_features())


def capability(device: torch.device) -> str:
    """Compute capability of a CUDA device, such as `"9.0"`; empty for others."""
    return ".".join(map(str, torch.cuda.get_device_capability(device))) if device.type == "cuda" else ""


VNNI_FEATURES = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})
"""Names of the x86 features that add up products of `u8` and `s8` in 32 bits."""
BF16_FEATURES = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names of the CPU features that multiply in bf16, the last one Arm's."""


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of all tensors."""
    return sum(tensor.nbytes for tensor in tensors.values())
