"""AOTInductor: `torch.export` → compiled code in one `.pt2` package, which runs without the model's Python code.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch._inductor
from torch import Tensor
from torch._inductor.async_compile import shutdown_compile_workers

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.protocol import StageName
from zoo.record import Build, MemoryFormat, Precision
from zoo.runtimes import eager
from zoo.runtimes.base import (
    Builder,
    Call,
    Runnable,
    Snippet,
    first_line,
    graph_state,
    model_errors,
    set_tf32,
    stage_modules,
    trace,
    why_torch_does_not,
)
from zoo.runtimes.compile import why_no_compiler, why_no_triton, without_toolkit

VERSION = ""
FORMAT = ".pt2"
why_one_size = "an AOTInductor package takes frames of one size: leave --dynamic out, or take onnxruntime or openvino"
STAGES: tuple[StageName, ...] = ("preprocess", "network", "upsample_argmax")
why_unsupported = why_torch_does_not


def why_missing(device: torch.device, building: bool) -> str:
    """For building: a C++ compiler; on CUDA Triton and the CUDA toolkit."""
    if not building:
        return ""
    if reason := why_no_compiler("aoti") or why_no_triton("aoti", device):
        return reason
    # Imported late: it warns on every machine without CUDA.
    if device.type == "cuda" and not importlib.import_module("torch.utils.cpp_extension").CUDA_HOME:
        return "runtime aoti needs the CUDA toolkit on CUDA and found none: install it, or name it in CUDA_HOME"
    return ""


def graph_precision(_device: torch.device, precision: Precision) -> Precision:
    """The file holds what it computes."""
    return precision


def builder(_precision: Precision) -> Builder:
    """One for all."""
    return _build


def _build(
    pipeline: Pipeline,
    file: Path,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat,
    batch_size: int,
    calibration: Sequence[Tensor],  # noqa: ARG001  the contract of all builders
    opset: int,  # noqa: ARG001
    any_size: bool,
) -> Build:
    """Compile the whole pipeline into `file`, and each stage into a file beside it, for the waterfall."""
    assert not any_size, why_one_size
    eager.deploy(pipeline, device, precision, memory_format)
    images = torch.zeros((batch_size, *pipeline.image_size, 3), dtype=torch.uint8, device=device)
    frozen = device.type == "cpu"  # as in `compile`
    settings: dict[str, Any] = {"freezing": frozen}
    if device.type == "cuda":  # so that torch's allocator sees the weights
        settings["aot_inductor.weight_use_caching_allocator"] = True
    stages = stage_modules(pipeline, images)
    parts = {file: (pipeline, images), **{stage_file(file, name): stage for name, stage in stages.items()}}
    with torch.no_grad():
        export_s = compile_s = 0.0
        for target, (module, given) in parts.items():
            start = time.perf_counter()
            program = trace(module, given)
            exported = time.perf_counter()
            with model_errors("AOTInductor cannot compile this network"), without_toolkit():
                torch._inductor.aoti_compile_and_package(  # noqa: SLF001  the documented entry
                    program, package_path=str(target), inductor_configs=settings
                )
            export_s, compile_s = export_s + exported - start, compile_s + time.perf_counter() - exported
    shutdown_compile_workers()
    return Build(export_s=export_s, compile_s=compile_s, options={"freezing": "on" if frozen else "off"})


def load(file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Run a package; its stages where they lie beside it. TF32 and cuDNN flags are the process's.

    Raises:
        UserError: torch cannot load it, or it was compiled for another kind of device.
    """
    set_tf32(precision == "tf32")
    torch.backends.cudnn.benchmark = True  # as in `eager`: the convolutions are torch's own
    whole = _package(file, device)
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=file.stat().st_size,
        state=lambda: graph_state(
            device,
            None if device.type == "cpu" else "kept",  # freezing folds it
            precision == "tf32",
            torch.backends.cudnn.benchmark,
        ),
        whole=whole,
        build=Build(options={"device": device.type}),
        cut=lambda: {
            name: _package(stage_file(file, name), device) for name in STAGES if stage_file(file, name).is_file()
        },
    )


def snippet(file: Path, options: Mapping[str, str], threads: int | None) -> Snippet:
    """Python that runs `file`."""
    settings = "" if threads is None else f"torch.set_num_threads({threads})\n"
    return Snippet(
        imports="import numpy as np\nimport torch\n",
        load=f'{settings}model = torch._inductor.aoti_load_package("{file}")\n',
        call=f'labels = model(torch.from_numpy(image).to("{options["device"]}"))[0].cpu().numpy()'
        "  # uint8 (H, W): card's class_names\n",
    )


def stage_file(file: Path, name: str) -> Path:
    """Where the package of one stage lies."""
    return file.with_name(f"{file.stem}.{name}{file.suffix}")


def _package(file: Path, device: torch.device) -> Call:
    try:
        package = torch._inductor.aoti_load_package(  # noqa: SLF001
            str(file), device_index=-1 if device.index is None else device.index
        )
        kind = package.get_metadata()["AOTI_DEVICE_KEY"]
    except (LookupError, RuntimeError) as error:
        raise UserError(
            f"{file} cannot be loaded as an AOTInductor package: {first_line(error)}; export it on this machine"
        ) from error
    if kind != device.type:
        raise UserError(f"{file} was compiled for {kind}, not {device.type}: name that --device, or export it again")

    def run(x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = x.contiguous()  # compiled for these strides, and does not look
        with torch.no_grad():
            answer: Tensor = package(x)
        return answer

    return run
