"""`torch.compile`: preprocessing and network as graphs, upsampling and argmax by the zoo's own kernels.

On a CPU weights are frozen into the graph (Inductor's `freezing`), which folds batch norm into the convolutions and
packs weights for oneDNN. Source: https://docs.pytorch.org/docs/stable/generated/torch.compile.html
"""

from __future__ import annotations

import functools
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
import torch._dynamo
import torch._inductor.config
from torch import nn
from torch._inductor.async_compile import shutdown_compile_workers

from zoo.models.contract import tensors_of
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Precision, State
from zoo.resample import filters
from zoo.runtimes import eager
from zoo.runtimes.base import Runnable, tensor_bytes, why_torch_does_not, without

VERSION = FORMAT = ""
ARTIFACT_LIMIT = 256
"""How many artifacts one process may compile."""
why_unsupported = why_torch_does_not
# Dynamo would follow their NumPy into the graph; torch 2.11's breaks off there eleven times. Of sizes that are fixed.
torch.compiler.assume_constant_result(filters)  # type: ignore[no-untyped-call]


def why_missing(device: torch.device, _building: bool) -> str:
    """A C++ compiler and Python's headers; Triton on CUDA."""
    return why_no_compiler("compile") or why_no_headers() or why_no_triton("compile", device)


def why_no_compiler(runtime: str) -> str:
    """What to install where no C++ compiler is found."""
    if shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"):
        return ""
    how = "xcode-select --install" if sys.platform == "darwin" else "apt install g++, or your system's C++ compiler"
    return f"runtime {runtime} needs a C++ compiler and found none (c++, g++, clang++): {how}"


def why_no_headers() -> str:
    """What to install where a graph could not be wrapped."""
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"runtime compile needs Python's headers (Python.h): apt install python{version}-dev, or your system's"
    return ""


def why_no_triton(runtime: str, device: torch.device) -> str:
    """What to install where a GPU's kernels could not be written."""
    if device.type == "cuda" and not torch.utils._triton.has_triton():  # noqa: SLF001  no public way to ask
        return f"runtime {runtime} needs Triton on CUDA: pip install triton"
    return ""


def without_toolkit() -> AbstractContextManager[None]:
    """Let Inductor look for the CUDA toolkit, as it does wherever it compiles, without a word that there is no GPU."""
    return without("torch.utils.cpp_extension", "No CUDA runtime is found")


def prepare(device: torch.device) -> None:
    """Compile and run one convolution: what the compiler itself takes is no part of an artifact."""
    x = torch.zeros(1, 3, 8, 8, device=device)
    convolution = nn.Conv2d(3, 8, 3, device=device).eval().requires_grad_(False)
    with torch.no_grad(), _compiling(frozen=device.type == "cpu"):
        torch.compile(convolution, dynamic=False)(x)
    shutdown_compile_workers()


def load(
    pipeline: Pipeline,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat,
    compile_mode: str,
    batch_size: int,
) -> Runnable:
    """Compile `pipeline` for its one input size; Inductor keeps what it compiled in a cache of its own."""
    eager.deploy(pipeline, device, precision, memory_format)
    frozen = device.type == "cpu"
    counters = torch._dynamo.utils.counters  # noqa: SLF001
    counters.clear()
    weights_bytes = tensor_bytes(tensors_of(pipeline.model))
    without_gradients = torch.no_grad()  # freezing refuses inference mode
    mode = None if compile_mode == "default" else compile_mode
    preprocess, network = (
        without_gradients(torch.compile(call, dynamic=False, mode=mode))
        for call in (pipeline.preprocess, pipeline.network)
    )
    start = time.perf_counter()
    images = torch.zeros((batch_size, *pipeline.image_size, 3), dtype=torch.uint8, device=device)
    with _compiling(frozen=frozen):
        network(preprocess(images)).sum().item()  # compiles, and waits for the device
    compile_s = time.perf_counter() - start
    shutdown_compile_workers()  # nothing of the compiler runs beside what is timed
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=weights_bytes,
        state=functools.partial(_state, pipeline, memory_format, frozen),
        cut={
            "preprocess": preprocess,
            "network": network,
            "upsample_argmax": without_gradients(pipeline.postprocess),
        }.copy,
        build=Build(
            compile_s=compile_s,
            cached=counters["inductor"]["fxgraph_cache_miss"] + counters["inductor"]["fxgraph_cache_bypass"] == 0,
            graph_break_count=sum(counters["graph_break"].values()),
            options={"mode": compile_mode, "freezing": "on" if frozen else "off"},
        ),
    )


def _state(pipeline: Pipeline, memory_format: MemoryFormat, frozen: bool) -> State:
    state = eager.state(pipeline, memory_format)
    return state.model_copy(update={"batch_norm": "folded"}) if frozen and state.batch_norm != "none" else state


@contextmanager
def _compiling(*, frozen: bool) -> Iterator[None]:
    """Settings of the process, while it compiles.

    All artifacts share the pipeline's code, which Dynamo would run eagerly after its 8th compilation.
    """
    with (
        without_toolkit(),
        torch._inductor.config.patch(freezing=frozen),  # noqa: SLF001
        torch._dynamo.config.patch(recompile_limit=ARTIFACT_LIMIT),  # noqa: SLF001
    ):
        yield
