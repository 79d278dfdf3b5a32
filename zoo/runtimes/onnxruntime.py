"""ONNX Runtime, its CPU and CUDA providers.

Source: https://onnxruntime.ai/docs/api/python/
"""

from __future__ import annotations

import functools
import weakref
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
    first_line,
    graph_state,
    saturates_int8,
    use_own_stream,
    why_not,
)

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

VERSION = f"onnxruntime {onnxruntime.__version__}" if onnxruntime else ""
FORMAT = onnx_file.FORMAT
why_one_size = ""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
EXACT = "session.x64quantprecision"
"""ONNX Runtime's key: of 1 it multiplies `u8` by `u8`. Only x86 has it, and it obeys with VNNI as well."""
_DTYPES = {
    "tensor(uint8)": torch.uint8,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
}


def why_missing(device: torch.device, _building: bool) -> str:
    """ONNX, its exporter and the runtime; on CUDA the build with that provider."""
    if reason := onnx_file.why_missing("onnxruntime"):
        return reason
    if device.type == "cuda" and _PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return "runtime onnxruntime has no CUDA provider here: pip install onnxruntime-gpu in place of onnxruntime"
    return ""


def why_unsupported(device: torch.device, precision: Precision) -> str:
    """Reason why ONNX Runtime does not run `precision` on `device`; empty when it does."""
    if device.type not in _PROVIDERS:
        return f"ONNX Runtime runs on cpu and cuda here, not {device.type}"
    if device.type == "cpu" and precision not in ("fp32", "int8"):
        return f"ONNX Runtime's CPU provider computes in fp32 and int8, not {precision}"
    if device.type == "cuda" and precision in ("int8", "bf16"):
        return f"ONNX Runtime's CUDA provider has no {precision} convolution: use tensorrt, or fp16"
    return ""


def builder(_precision: Precision) -> Builder:
    """One for all."""
    return onnx_file.build


def graph_precision(_device: torch.device, precision: Precision) -> Precision:
    """TF32 is a choice of the provider; fp16 and int8 stand in the file."""
    return "fp32" if precision == "tf32" else precision


def load(file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Run an ONNX file, its stages as cuts of it. On CUDA the process may change its stream (`use_own_stream`).

    Raises:
        UserError: ONNX Runtime cannot read it.
        UnsupportedError: the file holds another precision.
    """
    if device.type == "cuda":
        use_own_stream(device)
    contents = onnx_file.contents(file)
    if (holds := contents.precision) != graph_precision(device, precision):
        raise UnsupportedError(f"{file.name} holds {holds}, and ONNX Runtime runs what the file holds, not {precision}")
    make = functools.partial(_session, device=device, precision=precision)
    try:
        whole = _call(make(str(file)), device)
    except UserError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common parent
        raise UserError(f"{file} cannot be run by ONNX Runtime: {first_line(error, 300)}") from error
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=contents.weights_bytes,
        state=functools.partial(graph_state, device, contents.batch_norm, precision == "tf32"),
        whole=whole,
        build=Build(
            options={
                "provider": _PROVIDERS[device.type],
                "provider_options": str(_arithmetic(device, precision)),
                **_products(precision),
            }
        ),
        cut=lambda: {name: _call(make(cut), device) for name, cut in onnx_file.cuts(file).items()},
        own_memory=True,
    )


def snippet(file: Path, options: Mapping[str, str], threads: int | None) -> Snippet:
    """Python that runs `file`."""
    settings, given = "", ""
    if EXACT in options:
        other = "0 is as exact and faster with VNNI" if options[EXACT] == "1" else "an x86 CPU without VNNI needs 1"
        settings += f'settings.add_session_config_entry("{EXACT}", "{options[EXACT]}")  # {other}\n'
    if threads is not None:
        settings += f"settings.intra_op_num_threads = {threads}\n"
    if settings:
        settings, given = f"settings = onnxruntime.SessionOptions()\n{settings}", "settings, "
    provider = options["provider"]
    begin, sure = "", ""
    if provider != _PROVIDERS["cpu"]:  # which it would take without a word where another one does not load
        begin = "onnxruntime.preload_dlls()\n"
        sure = f'assert session.get_providers()[0] == "{provider}", "its libraries do not load"\n'
    session = (
        f'onnxruntime.InferenceSession("{file}", {given}providers=[("{provider}", {options["provider_options"]})])'
    )
    return Snippet(
        imports="import numpy as np\nimport onnxruntime\n",
        load=f"{begin}{settings}session = {session}\n{sure}",
        call="labels = session.run(None, {session.get_inputs()[0].name: image})[0][0]"
        "  # uint8 (H, W): class_names of the card\n",
    )


def load_network(file: Path, ends: Ends, *, device: torch.device, precision: Precision) -> Runnable:
    """Run the network of a file of another maker. On CUDA the process may change its stream (`use_own_stream`).

    Its CPU provider computes in fp32 what a file holds in fp16.

    Raises:
        UserError: ONNX Runtime cannot read it, or not run it at this size.
        UnsupportedError: the file holds another precision.
    """
    if device.type == "cuda":
        use_own_stream(device)
    contents = onnx_file.contents(file)
    runs = "fp32" if contents.precision == "fp16" and device.type == "cpu" else contents.precision
    if runs != graph_precision(device, precision):
        holds = contents.precision
        raise UnsupportedError(f"{file.name} holds {holds}: ONNX Runtime runs it in {runs}, not {precision}")
    try:
        session = _session(str(file), device=device, precision=precision, stops=True)
        (kind,) = (port.type for port in session.get_inputs() if port.name == ends.given)
        given = np.zeros(ends.shape, np.dtype(str(_DTYPES[kind]).removeprefix("torch.")))
        (answer,) = session.run([ends.made], {ends.given: given})
        network = _call(session, device, ends, answer.shape)
    except UserError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common parent
        raise UserError(why_not(file, ends, "ONNX Runtime", first_line(error, 300))) from error
    arithmetic = {"provider": _PROVIDERS[device.type], "provider_options": str(_arithmetic(device, precision))}
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=contents.weights_bytes,
        state=functools.partial(graph_state, device, contents.batch_norm, precision == "tf32"),
        build=Build(options=arithmetic | _products(precision)),
        cut=lambda: {"network": network},
        own_memory=True,
    )


def _session(model: str | bytes, *, device: torch.device, precision: Precision, stops: bool = False) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    if stops or isinstance(model, bytes):  # a stage: its threads would spin on while the next one's work
        options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # errors
    if exact := _products(precision).get(EXACT):
        options.add_session_config_entry(EXACT, exact)
    settings: dict[str, str] = {}
    if device.type == "cuda":
        settings = {
            "device_id": str(device.index or 0),
            **_arithmetic(device, precision),
            "user_compute_stream": str(torch.cuda.current_stream(device).cuda_stream),  # so that events time its work
        }
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = _PROVIDERS[device.type]
    session = onnxruntime.InferenceSession(model, options, providers=[(provider, settings)])
    if device.type == "cuda":  # freed while it works, it ends the process: a callback of CUDA may free no memory
        weakref.finalize(session, torch.cuda.synchronize, device)
    if (ran := session.get_providers()[0]) != provider:
        raise UserError(f"ONNX Runtime took {ran} in place of {provider}: its libraries for {device.type} do not load")
    return session


def _arithmetic(device: torch.device, precision: Precision) -> dict[str, str]:
    """What the provider is told of rounding; left alone, CUDA's takes TF32."""
    return {"use_tf32": str(int(precision == "tf32"))} if device.type == "cuda" else {}


def _products(precision: Precision) -> dict[str, str]:
    """How `u8` is multiplied by `s8`, which on an x86 CPU without VNNI saturates; exact ones are 3 times slower."""
    if precision != "int8":
        return {}
    if saturates_int8():
        return {EXACT: "1", "int8_products": "u8 x u8, for an x86 CPU without VNNI, where u8 x s8 saturates"}
    return {
        EXACT: "0",
        "int8_products": "u8 x s8, for a CPU with VNNI or Arm's; x86 without VNNI needs " + EXACT + "=1",
    }


def _call(session: Any, device: torch.device, ends: Ends | None = None, shape: Sequence[int] = ()) -> Call:
    """One input, one output, both bound to torch's memory: nothing is copied. `ends` names one of several outputs."""
    (given,) = (port for port in session.get_inputs() if ends is None or port.name == ends.given)
    (made,) = (port for port in session.get_outputs() if ends is None or port.name == ends.made)
    sides = shape or made.shape
    dtype, place, index = _DTYPES[made.type], device.type, device.index or 0
    run_options = onnxruntime.RunOptions()
    if device.type == "cuda":
        run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run(x: Tensor) -> Tensor:
        x = x.contiguous()
        size = [side if isinstance(side, int) else x.shape[axis] for axis, side in enumerate(sides)]
        answer = torch.empty(size, dtype=dtype, device=device)
        binding = session.io_binding()
        for bind, name, tensor in ((binding.bind_input, given.name, x), (binding.bind_output, made.name, answer)):
            bind(name, place, index, _numpy_type(tensor), tuple(tensor.shape), tensor.data_ptr())
        session.run_with_iobinding(binding, run_options)
        return answer

    return run


def _numpy_type(tensor: Tensor) -> Any:
    return np.dtype(str(tensor.dtype).removeprefix("torch.")).type
