"""PyTorch as it comes: the module's own operators, one after the other."""

from __future__ import annotations

import functools

import torch
from torch import nn

from zoo.models.contract import folding_of, has_aux_heads, tensors_of
from zoo.pipeline import Pipeline
from zoo.record import MemoryFormat, Precision, State
from zoo.runtimes.base import (
    DTYPES,
    LAYOUTS,
    Runnable,
    set_tf32,
    tensor_bytes,
    why_torch_does_not,
)

VERSION = FORMAT = ""
why_unsupported = why_torch_does_not


def why_missing(_device: torch.device, _building: bool) -> str:
    """Nothing beside torch."""
    return ""


def load(
    pipeline: Pipeline,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat,
    compile_mode: str,  # noqa: ARG001  the contract of all runtimes that take a pipeline
    batch_size: int,  # noqa: ARG001
) -> Runnable:
    """Deploy `pipeline` in eager mode; TF32 and cuDNN flags are the process's."""
    deploy(pipeline, device, precision, memory_format)
    without_gradients = torch.inference_mode()
    return Runnable(
        device=device,
        precision=precision,
        weights_bytes=tensor_bytes(tensors_of(pipeline.model)),
        state=functools.partial(state, pipeline, memory_format),
        cut={
            "preprocess": without_gradients(pipeline.preprocess),
            "network": without_gradients(pipeline.network),
            "upsample_argmax": without_gradients(pipeline.postprocess),
        }.copy,
    )


def deploy(pipeline: Pipeline, device: torch.device, precision: Precision, memory_format: MemoryFormat) -> None:
    """Bring a pipeline, in place, to the state it is deployed in."""
    pipeline.eval().requires_grad_(False).to(device)
    pipeline.cast(DTYPES[precision], LAYOUTS[memory_format])
    set_tf32(precision == "tf32")
    torch.backends.cudnn.benchmark = True  # one fixed shape: its plans are chosen during warm-up


def state(pipeline: Pipeline, memory_format: MemoryFormat) -> State:
    """Assert and return the deployment state of torch's own operators."""
    modules = list(pipeline.modules())
    assert not any(module.training for module in modules), "a module is in training mode"
    assert not has_aux_heads(pipeline.model), "an auxiliary head is still there"
    assert not any(p.requires_grad for p in pipeline.parameters()), "a parameter asks for gradients"
    on_cuda = pipeline.gain.is_cuda
    folding = folding_of(pipeline.model)
    kept = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules)  # noqa: SLF001
    folded = folding is not None and folding.batch_norm_count > 0
    return State(
        training=False,
        grad_enabled=False,
        aux_heads="off" if hasattr(pipeline.model, "training_logits") else "none",
        batch_norm=("partly folded" if kept else "folded") if folded else "kept" if kept else "none",
        folding=folding,
        memory_format=memory_format,
        thread_count=torch.get_num_threads(),
        cudnn_benchmark=torch.backends.cudnn.benchmark if on_cuda else None,
        tf32=torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32 if on_cuda else None,
    )
