"""TensorRT on CUDA, from the ONNX file. Written by the documentation of TensorRT 10; nobody has run it yet.

Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Precision
from zoo.runtimes import onnx_file
from zoo.runtimes.base import Call, Runnable, graph_state

try:
    import tensorrt
except ImportError:
    tensorrt = None

PACKAGE = "tensorrt"
FORMAT = onnx_file.FORMAT
SNIPPET = """\
# trtexec --onnx={file} {options[flag]} --saveEngine=model.engine
# then run model.engine: its input and output are those the card names
"""
_FLAGS: dict[Precision, str] = {"fp32": "", "tf32": "TF32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
_DTYPES = {"UINT8": torch.uint8, "FLOAT": torch.float32, "HALF": torch.float16}


def why_missing(_device: torch.device) -> str:
    """TensorRT, ONNX and its exporter."""
    return onnx_file.why_missing("tensorrt", "tensorrt")


def why_unsupported(device: torch.device, precision: Precision) -> str:
    """Reason why TensorRT does not run `precision` on `device`; empty when it does."""
    if device.type != "cuda":
        return f"TensorRT runs on cuda, not {device.type}"
    if precision in ("tf32", "bf16") and torch.cuda.get_device_capability(device) < (8, 0):
        return f"{precision} needs a CUDA device of compute capability 8.0 or newer"
    return ""


def graph_precision(_device: torch.device, precision: Precision) -> Precision:
    """Only int8 stands in the file; the rest is chosen on loading."""
    return "int8" if precision == "int8" else "fp32"


def build(
    pipeline: Pipeline,
    file: Path,
    *,
    device: torch.device,  # noqa: ARG001  the file is the same for all
    precision: Precision,
    memory_format: MemoryFormat,  # noqa: ARG001  the runtime lays tensors out as it likes
    batch_size: int,
    calibration: Sequence[Tensor],
) -> Build:
    """Write the ONNX file."""
    return onnx_file.build(pipeline, file, precision=precision, batch_size=batch_size, calibration=calibration)


def load(file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Build engines of an ONNX file and its stages, and run them.

    Raises:
        UserError: TensorRT cannot parse the file or build an engine of it.
    """
    start = time.perf_counter()
    whole = _call(_engine(file.read_bytes(), file, precision), device)
    flag = _FLAGS[precision]
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=onnx_file.weights_bytes(file),
        state=functools.partial(graph_state, device, "folded", precision == "tf32"),
        whole=whole,
        build=Build(
            compile_s=time.perf_counter() - start, options={"flag": f"--{flag.lower()}" if flag else "--noTF32"}
        ),
        cut=lambda: {name: _call(_engine(cut, file, precision), device) for name, cut in onnx_file.cuts(file).items()},
        own_memory=True,
    )


def _engine(model: bytes, file: Path, precision: Precision) -> Any:
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(model):
        said = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise UserError(f"{file} cannot be parsed by TensorRT: {' '.join(said.split())[:300]}")
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)  # on by default
    if flag := _FLAGS[precision]:
        config.set_flag(getattr(tensorrt.BuilderFlag, flag))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UserError(f"TensorRT could not build an engine of {file} in {precision}")
    return tensorrt.Runtime(logger).deserialize_cuda_engine(plan)


def _call(engine: Any, device: torch.device) -> Call:
    """One input, one output, both in torch's memory."""
    context = engine.create_execution_context()
    given, made = (engine.get_tensor_name(index) for index in range(2))
    shape = tuple(engine.get_tensor_shape(made))
    dtype = _DTYPES[engine.get_tensor_dtype(made).name]

    def run(x: Tensor) -> Tensor:
        x = x.contiguous()
        answer = torch.empty(shape, dtype=dtype, device=device)
        context.set_tensor_address(given, x.data_ptr())
        context.set_tensor_address(made, answer.data_ptr())
        context.execute_async_v3(torch.cuda.current_stream(device).cuda_stream)
        return answer

    return run
