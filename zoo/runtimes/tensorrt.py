"""TensorRT on CUDA, from the ONNX file. Written by the documentation of TensorRT 10; nobody has run it yet.

TensorRT converts to `uint8` from floating point alone, and a file ends in `int64` → `uint8`: it may refuse that.

Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.record import Build, Precision
from zoo.runtimes import onnx_file
from zoo.runtimes.base import Builder, Call, Runnable, Snippet, graph_state, use_own_stream

try:
    import tensorrt
except ImportError:
    tensorrt = None

VERSION = f"tensorrt {tensorrt.__version__}" if tensorrt else ""
FORMAT = onnx_file.FORMAT
why_one_size = "TensorRT wants a range of sizes for an engine, which zoo does not ask for: leave --dynamic out"
_FLAGS: dict[Precision, str] = {"fp32": "", "tf32": "TF32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
_DTYPES = {"UINT8": torch.uint8, "FLOAT": torch.float32, "HALF": torch.float16}


def why_missing(_device: torch.device, _building: bool) -> str:
    """TensorRT, ONNX and its exporter."""
    return onnx_file.why_missing("tensorrt", "tensorrt")


def why_unsupported(device: torch.device, precision: Precision) -> str:
    """Reason why TensorRT does not run `precision` on `device`; empty when it does."""
    if device.type != "cuda":
        return f"TensorRT runs on cuda, not {device.type}"
    if precision in ("tf32", "bf16") and torch.cuda.get_device_capability(device) < (8, 0):
        return f"{precision} needs a CUDA device of compute capability 8.0 or newer"
    return ""


def builder(_precision: Precision) -> Builder:
    """One for all."""
    return onnx_file.build


def graph_precision(_device: torch.device, precision: Precision) -> Precision:
    """Only int8 stands in the file; the rest is chosen on loading."""
    return "int8" if precision == "int8" else "fp32"


def load(file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Build engines of an ONNX file and its stages, and run them; the process may change its stream (`use_own_stream`).

    Raises:
        UserError: TensorRT cannot parse the file or build an engine of it.
    """
    use_own_stream(device)
    contents = onnx_file.contents(file)
    start = time.perf_counter()
    whole = _call(_engine(file.read_bytes(), file, precision), device)
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=contents.weights_bytes,
        state=functools.partial(graph_state, device, None, precision == "tf32"),
        whole=whole,
        build=Build(compile_s=time.perf_counter() - start, options={"flag": _FLAGS[precision]}),
        cut=lambda: {name: _call(_engine(cut, file, precision), device) for name, cut in onnx_file.cuts(file).items()},
        own_memory=True,
    )


def snippet(file: Path, options: Mapping[str, str], _threads: int | None) -> Snippet:
    """Python that runs `file`."""
    return Snippet(
        imports="import numpy as np\nimport tensorrt\nimport torch\n",
        load=f"""\
logger = tensorrt.Logger(tensorrt.Logger.ERROR)
builder = tensorrt.Builder(logger)
network, config = builder.create_network(0), builder.create_builder_config()
assert tensorrt.OnnxParser(network, logger).parse_from_file("{file}")
config.clear_flag(tensorrt.BuilderFlag.TF32)  # on by default
for flag in "{options["flag"]}".split():
    config.set_flag(getattr(tensorrt.BuilderFlag, flag))
engine = tensorrt.Runtime(logger).deserialize_cuda_engine(builder.build_serialized_network(network, config))
""",
        call="""\
images = torch.from_numpy(image).cuda()
labels = torch.empty(images.shape[:3], dtype=torch.uint8, device="cuda")
context = engine.create_execution_context()
for index, tensor in enumerate((images, labels)):
    context.set_tensor_address(engine.get_tensor_name(index), tensor.data_ptr())
context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
labels = labels[0].cpu().numpy()  # uint8 (H, W): class_names of the card
""",
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
