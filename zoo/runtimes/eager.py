"""PyTorch as it comes: the module's own operators, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.build import has_aux_heads
from zoo.pipeline import Pipeline
from zoo.record import MemoryFormat, Precision, State
from zoo.runtimes.base import UnsupportedError, gains_from_bf16

_DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_LAYOUTS: dict[MemoryFormat, torch.memory_format] = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


class Eager:
    """A pipeline in eager mode; see `Runnable`. Built by `load`."""

    def __init__(
        self, pipeline: Pipeline, device: torch.device, precision: Precision, memory_format: MemoryFormat
    ) -> None:
        self.device = device
        self.precision = precision
        self._memory_format = memory_format
        self._dtype = _DTYPES[precision]
        self._pipeline = pipeline.eval().requires_grad_(False).to(device)
        pipeline.model.to(self._dtype).to(memory_format=_LAYOUTS[memory_format])
        _set_tf32(precision == "tf32")
        torch.backends.cudnn.benchmark = True  # one fixed shape: its plans are chosen during warm-up

    @property
    def weights_bytes(self) -> int:
        """Of the network's parameters and buffers."""
        tensors = [*self._pipeline.model.parameters(), *self._pipeline.model.buffers()]
        return sum(tensor.nbytes for tensor in tensors)

    def preprocess(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` host images → network input on the device."""
        with torch.inference_mode():
            images = images.to(self.device, non_blocking=True)
            x = self._pipeline.preprocess(images)
            return x.to(dtype=self._dtype, memory_format=_LAYOUTS[self._memory_format])

    def network(self, x: Tensor) -> Tensor:
        """Network input on the device → `(N, K, h, w)` logits there."""
        with torch.inference_mode():
            return self._pipeline.network(x)

    def predict(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` host images → `(N, *output_size)` `uint8` host label maps."""
        with torch.inference_mode():
            return self._pipeline.postprocess(self.network(self.preprocess(images))).cpu()

    def state(self) -> State:
        """Assert and return the deployment state."""
        modules = list(self._pipeline.modules())
        assert not any(module.training for module in modules), "a module is in training mode"
        assert not has_aux_heads(self._pipeline.model), "an auxiliary head is still there"
        assert not any(p.requires_grad for p in self._pipeline.parameters()), "a parameter asks for gradients"
        on_cuda = self.device.type == "cuda"
        return State(
            training=False,
            grad_enabled=False,
            aux_heads="off" if hasattr(self._pipeline.model, "training_logits") else "none",
            batch_norm="kept" if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules) else "none",  # noqa: SLF001
            memory_format=self._memory_format,
            thread_count=torch.get_num_threads(),
            cudnn_benchmark=torch.backends.cudnn.benchmark if on_cuda else None,
            tf32=torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32 if on_cuda else None,
        )


def load(
    pipeline: Pipeline, *, device: torch.device, precision: Precision, memory_format: MemoryFormat = "channels_last"
) -> Eager:
    """Deploy `pipeline` in eager mode. It is taken over: moved, cast, frozen; TF32 and cuDNN flags are the process's.

    Raises:
        UnsupportedError: not this precision on this device.
    """
    if reason := why_unsupported(device, precision):
        raise UnsupportedError(reason)
    return Eager(pipeline, device, precision, memory_format)


def why_unsupported(device: torch.device, precision: Precision) -> str:
    """Reason why eager mode does not run `precision` on `device`; empty when it does."""
    if precision == "int8":
        return "eager mode has no int8: use a runtime that quantises"
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        return f"tf32 needs a CUDA device of compute capability 8.0 or newer, not {device.type}"
    if precision == "fp16" and device.type == "cpu":
        return "eager fp16 on a CPU was seen 100 times slower than fp32: use bf16 or fp32"
    if precision == "bf16" and device.type == "cpu" and not gains_from_bf16(device):
        return "this CPU has no bf16 arithmetic (avx512_bf16, amx_bf16 or Arm's bf16): use fp32"
    return ""


def _set_tf32(on: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    torch.set_float32_matmul_precision("high" if on else "highest")
