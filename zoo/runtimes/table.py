"""The door to all runtimes: `RUNTIMES` is the table of them, and `base` says what each one is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UserError, did_you_mean
from zoo.models.contract import drop_aux_heads
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Precision
from zoo.runtimes.base import (
    Builder,
    Ends,
    FileLoader,
    NetworkLoader,
    PipelineLoader,
    Runnable,
    Snippet,
    UnsupportedError,
    memory_errors,
)
from zoo.runtimes.opset import OPSET

RUNTIMES: dict[str, str] = {
    "eager": "zoo.runtimes.eager",
    "compile": "zoo.runtimes.compile",
    "aoti": "zoo.runtimes.aoti",
    "onnxruntime": "zoo.runtimes.onnxruntime",
    "openvino": "zoo.runtimes.openvino",
    "tensorrt": "zoo.runtimes.tensorrt",
}
"""Name → module, imported when asked for: its own library need not be there."""


def load_pipeline(
    runtime: str,
    pipeline: Pipeline,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat = "channels_last",
    compile_mode: str = "default",
    batch_size: int = 1,
) -> Runnable:
    """Make `pipeline` run. It is taken over: auxiliary heads go, weights are moved, cast and frozen in place.

    Raises:
        UserError: no such runtime, or what it needs is not installed.
        UnsupportedError: not this precision on this device.
    """
    _require(runtime, device, precision)
    drop_aux_heads(pipeline.model)
    loader: PipelineLoader = _module(runtime).load
    return loader(
        pipeline,
        device=device,
        precision=precision,
        memory_format=memory_format,
        compile_mode=compile_mode,
        batch_size=batch_size,
    )


def load_file(runtime: str, file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Make a file run that `build` wrote, or anybody else.

    Raises:
        UserError: no such runtime, what it needs is not installed, or it cannot read the file.
        MemoryError: it ran out of it.
        UnsupportedError: not this precision on this device.
    """
    if file_format(runtime) != file.suffix:
        fitting = ", ".join(name for name in RUNTIMES if file_format(name) == file.suffix)
        raise UserError(f"runtime {runtime} does not run {file.suffix} files such as {file}; choose {fitting}")
    _require(runtime, device, precision, building=False)
    loader: FileLoader = _module(runtime).load
    with memory_errors():
        return loader(file, device=device, precision=precision)


def load_network(runtime: str, file: Path, ends: Ends, *, device: torch.device, precision: Precision) -> Runnable:
    """Make a network run that another maker exported, as it is.

    Raises:
        UserError: no such runtime, what it needs is not installed, or it cannot run the file at this size.
        MemoryError: it ran out of it.
        UnsupportedError: not this precision on this device, or no such file in this runtime.
    """
    _require(runtime, device, precision, building=False)
    module = _module(runtime)
    if not hasattr(module, "load_network"):
        raise UnsupportedError(f"runtime {runtime} runs no networks of other makers here: use onnxruntime or openvino")
    loader: NetworkLoader = module.load_network
    with memory_errors():
        return loader(file, ends, device=device, precision=precision)


def build(
    runtime: str,
    pipeline: Pipeline,
    file: Path,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat = "channels_last",
    batch_size: int = 1,
    calibration: Sequence[Tensor] = (),
    opset: int = OPSET,
    any_size: bool = False,
) -> Build:
    """Write `pipeline` to `file` as a runtime wants it. It is taken over, as in `load_pipeline`.

    Args:
        runtime: its name.
        pipeline: what is to be deployed.
        file: to be written.
        device: where it is recorded, and for which it is compiled.
        precision: what it will compute in.
        memory_format: for a runtime that keeps it.
        batch_size: N, fixed.
        calibration: images `(N, *image_size, 3)` `uint8`, for int8 alone.
        opset: of an ONNX file.
        any_size: leave the sides of the frame open; `resize` is then `"fit"` or `"stretch"`.

    Raises:
        UserError: no such runtime, what it needs is not installed, or its file takes one size of frames.
        ModelError: the network cannot be recorded, converted, compiled or quantised.
        UnsupportedError: not this precision on this device.
        MemoryError: it ran out of it.
    """
    _require(runtime, device, precision)
    if any_size and (reason := _module(runtime).why_one_size):
        raise UserError(reason)
    drop_aux_heads(pipeline.model)
    pipeline.eval().requires_grad_(False)
    builder: Builder = _module(runtime).builder(precision)
    with memory_errors():
        return builder(
            pipeline,
            file,
            device=device,
            precision=graph_precision(runtime, device, precision),
            memory_format=memory_format,
            batch_size=batch_size,
            calibration=calibration,
            opset=opset,
            any_size=any_size,
        )


def file_format(runtime: str) -> str:
    """Suffix of the file a runtime builds and runs, such as `".onnx"`; empty for one that runs this package's code."""
    suffix: str = _module(runtime).FORMAT
    return suffix


def builder_of(runtime: str, precision: Precision) -> str:
    """Name of what writes a runtime's file; the same name and `graph_precision` are the same file."""
    builder: Callable[..., Build] = _module(runtime).builder(precision)
    return f"{builder.__module__}.{builder.__qualname__}"


def graph_precision(runtime: str, device: torch.device, precision: Precision) -> Precision:
    """What the file itself holds when a runtime runs `precision`."""
    found: Precision = _module(runtime).graph_precision(device, precision)
    return found


def why_missing(runtime: str, device: torch.device, *, building: bool = True) -> str:
    """What to install before a runtime can run on `device`, as one line; empty when all is there.

    Args:
        runtime: its name.
        device: where it is to run.
        building: what building needs as well, beside what loading does.

    Raises:
        UserError: no such runtime.
    """
    reason: str = _module(runtime).why_missing(device, building)
    return reason


def why_unsupported(runtime: str, device: torch.device, precision: Precision) -> str:
    """Reason why a runtime does not run `precision` on `device`; empty when it does.

    Raises:
        UserError: no such runtime.
    """
    reason: str = _module(runtime).why_unsupported(device, precision)
    return reason


def onnx_contents(file: Path) -> Any:
    """What stands in an ONNX file: `onnx_file.Contents`.

    Raises:
        UserError: not an ONNX file, or what reads it is not installed.
    """
    if reason := why_missing("onnxruntime", torch.device("cpu"), building=False):
        raise UserError(reason)
    return importlib.import_module("zoo.runtimes.onnx_file").contents(file)


def onnx_shapes(file: Path, given: str, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shapes of an ONNX file's outputs by name, where its input `given` has this one; 0 where that does not follow."""
    shapes: dict[str, tuple[int, ...]] = importlib.import_module("zoo.runtimes.onnx_file").shapes(file, given, shape)
    return shapes


def quantiser(file: Path, images: Sequence[Tensor]) -> Any:
    """What makes int8 of an fp32 ONNX file in several ways: a `quantising.Quantiser`.

    Args:
        file: Written by `build`.
        images: That calibrate it, `(N, *image_size, 3)` `uint8`.

    Raises:
        UserError: not an ONNX file.
    """
    onnx_file = importlib.import_module("zoo.runtimes.onnx_file")
    return onnx_file.Quantiser(onnx_file.read(file), images)


def quantisation(way: str) -> dict[str, str]:
    """What an artifact's options say of how it was quantised, by the way's name."""
    said: dict[str, str] = importlib.import_module("zoo.runtimes.onnx_file").quantisation(way)
    return said


def prepare(runtime: str, device: torch.device) -> None:
    """Bring a runtime's own code into memory: it is no part of an artifact."""
    module = _module(runtime)
    if hasattr(module, "prepare"):
        module.prepare(device)


def version(runtime: str) -> str:
    """Name and version of the package that runs it, such as `"onnxruntime 1.32.0"`; empty where that is torch."""
    text: str = _module(runtime).VERSION
    return text


def snippet(
    runtime: str, file: Path, options: Mapping[str, str], shape: Sequence[int], threads: int | None = None
) -> Snippet:
    """Python that loads `file` without this package and turns `frame.png` into `labels`, `uint8 (H, W)`.

    Args:
        runtime: its name.
        file: what it loads.
        options: what loading chose.
        shape: of the images, `(N, H, W, 3)`; a side of 0 is open, else the frame is resized to it.
        threads: of a CPU; `None`: as many as the runtime takes by itself.
    """
    batch_size, height, width, _ = shape
    batch = "[None]" if batch_size == 1 else f"[None].repeat({batch_size}, axis=0)"
    resize, sides = (f".resize(({width}, {height}))", f"{height}, {width}") if height else ("", "H, W")
    frame = (
        f'frame = Image.open("frame.png").convert("RGB"){resize}\n'
        f"image = np.array(frame){batch}  # uint8 ({batch_size}, {sides}, 3)\n"
    )
    found: Snippet = _module(runtime).snippet(file, options, threads)
    return replace(found, frame=frame)


def _require(runtime: str, device: torch.device, precision: Precision, *, building: bool = True) -> None:
    if reason := why_missing(runtime, device, building=building):
        raise UserError(reason)
    if reason := why_unsupported(runtime, device, precision):
        raise UnsupportedError(reason)


def _module(runtime: str) -> ModuleType:
    if runtime not in RUNTIMES:
        raise UserError(f"no runtime {runtime!r}.{did_you_mean(runtime, RUNTIMES)} There are: {', '.join(RUNTIMES)}")
    return importlib.import_module(RUNTIMES[runtime])
