"""OpenVINO on a CPU, from an ONNX file.

Left alone it computes in bf16 wherever the CPU has it, so every row forces its precision and looks at what came of it.
Source: https://docs.openvino.ai/
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.record import Build, Precision
from zoo.runtimes import onnx_file
from zoo.runtimes.base import (
    Builder,
    Call,
    Ends,
    Runnable,
    Snippet,
    UnsupportedError,
    gains_from_bf16,
    graph_state,
    why_not,
)

try:
    import openvino
except ImportError:
    openvino = None

VERSION = f"openvino {openvino.__version__}" if openvino else ""
FORMAT = onnx_file.FORMAT
why_one_size = ""
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Precision of what is not quantised."""
_RAN: dict[Precision, set[str]] = {"fp32": {"f32"}, "bf16": {"bf16"}, "fp16": {"f16"}, "int8": {"u8", "i8"}}
"""What OpenVINO calls it in the graph it runs."""


def why_missing(_device: torch.device, _building: bool) -> str:
    """OpenVINO, ONNX and its exporter."""
    return onnx_file.why_missing("openvino", "openvino")


def why_unsupported(device: torch.device, precision: Precision) -> str:
    """Reason why OpenVINO does not run `precision` on `device`; empty when it does."""
    if device.type != "cpu":
        return f"OpenVINO runs on cpu here, not {device.type}"
    if precision not in _HINTS:
        return f"OpenVINO has no {precision}: use fp32, bf16, fp16 or int8"
    if precision == "bf16" and not gains_from_bf16(device):
        return "this CPU has no bf16 arithmetic (avx512_bf16, amx_bf16 or Arm's bf16): use fp32"
    if precision == "fp16" and "FP16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "this CPU has no fp16 arithmetic that OpenVINO uses: use fp32"
    return ""


def graph_precision(_device: torch.device, precision: Precision) -> Precision:
    """Only int8 stands in the file; the rest is chosen on loading."""
    return "int8" if precision == "int8" else "fp32"


def builder(precision: Precision) -> Builder:
    """In fp32, and after an int8 network, `ArgMax` goes pixel by pixel, channels last; in bf16 reductions are slower.

    `benchmarks/test_upsample_argmax.py` has the figures.
    """
    return onnx_file.build_by_reductions if precision in ("fp32", "int8") else onnx_file.build


def load(file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Run an ONNX file, its stages as cuts of it.

    Raises:
        UserError: OpenVINO cannot read it.
        UnsupportedError: the file holds another precision, or it ran in another than it was told to.
    """
    contents = onnx_file.contents(file)
    if ((holds := contents.precision) == "int8") != (precision == "int8"):
        raise UnsupportedError(f"{file.name} holds {holds}: OpenVINO does not make {precision} of it")
    settings = _settings(precision)
    try:
        whole = _core().compile_model(str(file), "CPU", settings)
    except RuntimeError as error:
        raise UserError(f"{file} cannot be run by OpenVINO: {' '.join(str(error).split())[:300]}") from error
    _require_precision(whole, precision)
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=contents.weights_bytes,
        state=functools.partial(graph_state, device, contents.batch_norm),
        whole=_call(whole),
        build=Build(options=_told(settings)),
        cut=lambda: {
            name: _call(_core().compile_model(_core().read_model(cut), "CPU", settings))
            for name, cut in onnx_file.cuts(file).items()
        },
        own_memory=True,
    )


def snippet(file: Path, options: Mapping[str, str], threads: int | None) -> Snippet:
    """Python that runs `file`."""
    settings = dict(options) if threads is None else {**options, "INFERENCE_NUM_THREADS": threads}
    return Snippet(
        imports="import numpy as np\nimport openvino\n",
        load=f'model = openvino.compile_model("{file}", "CPU", {settings})\n',
        call="labels = model(image)[0][0]  # uint8 (H, W): class_names of the card\n",
    )


def load_network(file: Path, ends: Ends, *, device: torch.device, precision: Precision) -> Runnable:
    """Run the network of a file of another maker.

    Raises:
        UserError: OpenVINO cannot read it, or not run it at this size.
        UnsupportedError: the file holds another precision, or it ran in another than it was told to.
    """
    contents = onnx_file.contents(file)
    if ((holds := contents.precision) == "int8") != (precision == "int8"):
        raise UnsupportedError(f"{file.name} holds {holds}: OpenVINO does not make {precision} of it")
    settings = _settings(precision)
    try:
        model = _core().read_model(str(file))
        model.reshape({ends.given: list(ends.shape)})
        compiled = _core().compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        port = compiled.input(ends.given)
        request.infer({ends.given: np.zeros(ends.shape, port.element_type.to_dtype())})
        network = _call(compiled, ends, request.get_tensor(ends.made).shape)
    except (RuntimeError, TypeError) as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(why_not(file, ends, "OpenVINO", said)) from error
    _require_precision(compiled, precision)
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=contents.weights_bytes,
        state=functools.partial(graph_state, device, contents.batch_norm),
        build=Build(options=_told(settings)),
        cut=lambda: {"network": network},
        own_memory=True,
    )


def prepare(_device: torch.device) -> None:
    """Load the plugin of the device."""
    _core().get_property("CPU", "FULL_DEVICE_NAME")


@functools.cache
def _core() -> Any:
    return openvino.Core()


def _settings(precision: Precision) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }


def _told(settings: dict[str, Any]) -> dict[str, str]:
    """What a card names of it."""
    return {key: str(value) for key, value in settings.items() if key != "INFERENCE_NUM_THREADS"}


def _require_precision(compiled: Any, precision: Precision) -> None:
    """See what the graph that runs computes in.

    Raises:
        UnsupportedError: another precision than it was told.
    """
    ran = _precisions(compiled)
    found = ", ".join(f"{count} in {name}" for name, count in ran.most_common())
    fitting = sum(ran[name] for name in _RAN[precision])
    if fitting < (ran.total() if precision == "fp32" else ran.total() / 2):  # fp32 promises every product
        raise UnsupportedError(f"OpenVINO was told {precision} and ran products otherwise ({found})")


def _precisions(compiled: Any) -> Counter[str]:
    """How many convolutions and matrix products of the graph that runs compute in what."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    products = [fact for fact in facts if fact["layerType"].astype(str) in ("Convolution", "MatMul", "FullyConnected")]
    return Counter(fact["runtimePrecision"].astype(str) for fact in products)


def _call(compiled: Any, ends: Ends | None = None, shape: Sequence[int] = ()) -> Call:
    """One input, one output, both in torch's memory: nothing is copied. `ends` names one of several outputs."""
    request = compiled.create_infer_request()
    given = compiled.input(0) if ends is None else compiled.input(ends.given)
    made = compiled.output(0) if ends is None else compiled.output(ends.made)
    open_or_not = [None if side.is_dynamic else side.get_length() for side in made.partial_shape]
    sides: Sequence[int | None] = shape or open_or_not
    dtype = torch.from_numpy(np.empty(0, made.element_type.to_dtype())).dtype

    def run(x: Tensor) -> Tensor:
        x = x.contiguous()  # a name of its own: OpenVINO does not keep the memory it is lent alive
        size = [x.shape[axis] if side is None else side for axis, side in enumerate(sides)]
        answer = torch.empty(size, dtype=dtype)
        request.set_tensor(given, openvino.Tensor(x.numpy(), shared_memory=True))
        request.set_tensor(made, openvino.Tensor(answer.numpy(), shared_memory=True))
        request.infer()
        return answer

    return run
