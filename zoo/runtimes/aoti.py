"""AOTInductor: `torch.export` → compiled code in one `.pt2` package, which runs without the model's Python code.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch._inductor
from torch import Tensor
from torch._inductor.async_compile import shutdown_compile_workers

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Precision
from zoo.runtimes import eager
from zoo.runtimes.base import Call, Runnable, Stage, graph_state, set_tf32, trace, why_torch_does_not
from zoo.runtimes.compile import why_no_compiler

PACKAGE = ""
FORMAT = ".pt2"
SNIPPET = """\
import numpy as np
import torch
from PIL import Image

image = np.array(Image.open("frame.png").convert("RGB")){batch}  # uint8 (N, H, W, 3), of the size the card names
model = torch._inductor.aoti_load_package("{file}")
labels = model(torch.from_numpy(image).to("{options[device]}"))[0].cpu().numpy()  # uint8 (H, W): the card's class_names
"""
STAGES = ("preprocess", "network", "upsample_argmax")
why_unsupported = why_torch_does_not


def why_missing(_device: torch.device) -> str:
    """A C++ compiler, for building."""
    return why_no_compiler("aoti")


def graph_precision(_device: torch.device, precision: Precision) -> Precision:
    """The file holds what it computes."""
    return precision


def build(
    pipeline: Pipeline,
    file: Path,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat,
    batch_size: int,
    calibration: Sequence[Tensor],  # noqa: ARG001  the contract of all builders
) -> Build:
    """Compile the whole pipeline into `file`, and each stage into a file beside it, for the waterfall."""
    eager.deploy(pipeline, device, precision, memory_format)
    images = torch.zeros((batch_size, *pipeline.image_size, 3), dtype=torch.uint8, device=device)
    frozen = device.type == "cpu"  # as in `compile`
    with torch.no_grad():
        x = pipeline.preprocess(images)
        logits = pipeline.network(x)
        parts = {
            file: (pipeline, images),
            **{
                stage_file(file, name): (module, given)
                for name, module, given in (
                    ("preprocess", Stage(pipeline.preprocess), images),
                    ("network", pipeline.model, x),
                    ("upsample_argmax", Stage(pipeline.postprocess), logits),
                )
            },
        }
        export_s = compile_s = 0.0
        for target, (module, given) in parts.items():
            start = time.perf_counter()
            program = trace(module, given)
            exported = time.perf_counter()
            torch._inductor.aoti_compile_and_package(  # noqa: SLF001  the documented entry
                program, package_path=str(target), inductor_configs={"freezing": frozen}
            )
            export_s, compile_s = export_s + exported - start, compile_s + time.perf_counter() - exported
    shutdown_compile_workers()
    return Build(export_s=export_s, compile_s=compile_s, options={"freezing": "on" if frozen else "off"})


def load(file: Path, *, device: torch.device, precision: Precision) -> Runnable:
    """Run a package; its stages where they lie beside it.

    Raises:
        UserError: torch cannot load it, or it was compiled for another kind of device.
    """
    set_tf32(precision == "tf32")
    whole = _package(file, device)
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=file.stat().st_size,
        state=lambda: graph_state(device, "folded" if device.type == "cpu" else "kept", precision == "tf32"),
        whole=whole,
        build=Build(options={"device": device.type}),
        cut=lambda: {
            name: _package(stage_file(file, name), device) for name in STAGES if stage_file(file, name).is_file()
        },
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
        said = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"{file} cannot be loaded as an AOTInductor package: {said}; export it on this machine"
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
