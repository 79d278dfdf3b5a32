"""What a network costs, counted and not measured: parameters, and multiply-accumulates (MACs) at batch 1.

A MAC is one multiplication with its addition inside a convolution, a transposed convolution, a matrix product or an
attention (queries with keys, weights with values). Biases, normalisation, activations, pooling, softmax, interpolation
and element-wise arithmetic are no MACs, by the field's convention. A transposed convolution counts its input's
positions, a convolution its output's, padding included.

Counting runs `forward` on tensors without storage: nothing is computed, so 1024x2048 costs milliseconds and no memory.
Source of the formulas: torch.utils.flop_counter, which counts 2 FLOPs to a MAC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from zoo.models.contract import deployed_parameters
from zoo.record import Cost
from zoo.spec import Size

# aten's operators that multiply and add inside, by the beginning of their names; those the counter knows are left out.
_MULTIPLIES = (
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "convolution", "_convolution", "dot", "vdot", "mm", "mv",
    "_scaled_dot_product", "_scaled_mm", "_int_mm", "_weight_int", "_flash_attention", "_efficient_attention",
    "_trilinear", "_cdist", "_pdist", "_euclidean_dist", "_fft", "linalg_", "mkldnn_", "_mkldnn", "miopen_",
    "_thnn_fused", "_cudnn_rnn", "quantized_", "_sparse", "_cslt_sparse", "_grouped_mm", "conv_tbc", "slow_conv",
)  # fmt: skip
_WHOLE = "Global"
"""What torch's counter calls the sum over all modules."""
_NATIVE = {"aten", "prim", "prims", "profiler"}


def count(module: nn.Module, input_size: Size) -> Cost:
    """Count parameters and MACs of the deployed network at `input_size` (height, width), batch 1.

    Auxiliary heads (submodules named in the module's `training_only`) are no part of it. Parameters that `forward`
    never reads do count: they are in the weights that are deployed. The module's mode, device and weights stay as they
    are. An operator outside aten, or one of aten's whose arithmetic is not known, is named in `uncounted_ops`;
    `mac_count` is null where `forward` cannot run without values, as when its path depends on what it sees.
    """
    macs, uncounted = _count(module, input_size)
    return Cost(
        param_count=sum(value.numel() for _, value in deployed_parameters(module)),
        mac_count=None if macs is None else macs[_WHOLE],
        mac_input_size=input_size,
        uncounted_ops=tuple(sorted(uncounted)),
    )


class Part(NamedTuple):
    """What one module of a network costs."""

    name: str
    """As an attribute of the network."""
    param_count: int
    mac_count: int | None
    """`None` where `forward` cannot run without values."""


def count_parts(module: nn.Module, input_size: Size) -> tuple[Part, ...]:
    """Count as `count` does, of each module directly below the deployed network, in their order.

    What the network holds and computes itself, outside of them, comes last, if anything; where one module holds all,
    those below it count. The sums are `count`'s.
    """
    macs, _ = _count(module, input_size)
    aside, root, prefix = getattr(module, "training_only", ()), module, ""
    while len(below := [name for name, _ in root.named_children()]) == 1 and not [*root.parameters(recurse=False)]:
        root, prefix = root.get_submodule(below[0]), f"{prefix}{below[0]}."
    parts = [
        Part(
            f"{prefix}{name}",
            sum(value.numel() for value in part.parameters()),
            None if macs is None else _below(macs, f"{type(module).__name__}.{prefix}{name}"),
        )
        for name, part in root.named_children()
        if name not in aside
    ]
    rest = sum(value.numel() for _, value in deployed_parameters(module)) - sum(part.param_count for part in parts)
    outside = None if macs is None else macs[_WHOLE] - sum(part.mac_count or 0 for part in parts)
    return (*parts, *([Part("the network itself", rest, outside)] if rest or outside else []))


def _below(macs: Mapping[str, int], path: str) -> int:
    """Of a module by its path; of one that is not called itself, as a list, those below it that are."""
    if path in macs:
        return macs[path]
    below = [name for name in macs if name.startswith(f"{path}.")]
    return sum(macs[name] for name in below if not any(name.startswith(f"{other}.") for other in below))


def _count(module: nn.Module, input_size: Size) -> tuple[dict[str, int] | None, set[str]]:
    """MACs by path of each module that was called, those of all under `_WHOLE`; and the operators not counted."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        macs, uncounted = _trace(_on_meta, module, input_size)
        if macs is None:  # a tensor that is neither parameter nor buffer stays on its device: slower, but general
            macs, uncounted = _trace(_on_fakes, module, input_size)
    finally:
        for part, mode in modes.items():
            part.training = mode
    return macs, uncounted


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that may do arithmetic the counter does not know."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uncounted: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        packet = func.overloadpacket
        namespace, _, name = str(packet).partition(".")
        if packet not in flop_registry and (namespace not in _NATIVE or name.startswith(_MULTIPLIES)):
            self.uncounted.add(f"{namespace}::{name}")
        return func(*args, **(kwargs or {}))


def _trace(
    run: Callable[[nn.Module, Size, FlopCounterMode, _Watch], None], module: nn.Module, input_size: Size
) -> tuple[dict[str, int] | None, set[str]]:
    counter, watch = FlopCounterMode(display=False), _Watch()
    try:
        # Attention is taken apart into the matrix products the counter knows, whatever kernel a device would choose.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            run(module, input_size, counter, watch)
    except Exception:  # noqa: BLE001  forward may raise anything when it finds no values
        return None, watch.uncounted
    by_path = {path: sum(flops.values()) // 2 for path, flops in counter.get_flop_counts().items()}
    return {**by_path, _WHOLE: counter.get_total_flops() // 2}, watch.uncounted


def _on_meta(module: nn.Module, input_size: Size, counter: FlopCounterMode, watch: _Watch) -> None:
    state: dict[str, Tensor] = dict(module.named_parameters()) | dict(module.named_buffers())
    shapes = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
    image = torch.empty(1, 3, *input_size, device="meta")
    with watch, counter:
        torch.func.functional_call(module, shapes, (image,))


def _on_fakes(module: nn.Module, input_size: Size, counter: FlopCounterMode, watch: _Watch) -> None:
    first = next(module.parameters(), torch.empty(0))
    with FakeTensorMode(allow_non_fake_inputs=True), watch, counter:
        module(torch.empty(1, 3, *input_size, device=first.device))
