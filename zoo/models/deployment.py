"""From a trained network to the one that ships: branches merged, batch norms folded into the convolutions before them.

Which norm follows which convolution is seen on one image, not guessed from names: a convolution whose every answer is
read by one batch norm alone takes that norm in. Source of the arithmetic: `torch.nn.utils.fusion`; of merging branches:
each block's own method (RepVGG, https://arxiv.org/abs/2101.03697).
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from zoo.models.contract import drop_aux_heads
from zoo.record import Folding
from zoo.spec import Size

MAX_ERROR = 1e-4
"""Largest difference of a logit, in parts of the largest logit, that counts as the same answer in fp32."""
_MERGERS = ("fuse", "reparameterize", "switch_to_deploy")
"""What the field calls the method that merges a block's branches; a module it answers takes the block's place."""
_CONVOLUTIONS = tuple(
    getattr(torch, f"conv{kind}{sides}d") for kind in ("", "_transpose") for sides in (1, 2, 3)
)  # fmt: skip
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def deployed(module: nn.Module, sizes: Iterable[Size]) -> Folding | None:
    """Make the network that ships of a trained one, in place, and hold its answer against the one before.

    Auxiliary heads go, branches are merged, batch norms are folded. What was done stands in the module's `folding`.

    Args:
        module: Maps `(N, 3, H, W)` images to logits, in fp32; it is put into evaluation mode.
        sizes: `(H, W)` to try it at: the first that it takes counts.

    Returns:
        What was done. `None`: it answers otherwise than before (by more than `MAX_ERROR`), or cannot be run, so that
        nothing shows it would not; then the module is spoiled: build it again, and leave it as it is.
    """
    drop_aux_heads(module).eval()
    norms, merging = _count_norms(module), has_branches(module)
    done = Folding(kept_batch_norm_count=norms, param_count=_count_parameters(module))
    if norms or merging:
        seen = _first_run(module, sizes)
        if seen is None:
            return None
        image, expected, pairs = seen
        try:
            if merging:
                merge_branches(module)
                _, pairs = _run(module, image)
            _fold(module, pairs)
            answer, _ = _run(module, image)
        except Exception:  # noqa: BLE001  a method of the network's own, or a forward that reads what is gone
            return None
        error = float((answer - expected).abs().max() / expected.abs().max())
        if not error <= MAX_ERROR:  # a NaN is no proof
            return None
        done = Folding(
            batch_norm_count=len(pairs),
            kept_batch_norm_count=_count_norms(module),
            merged=merging,
            param_count=_count_parameters(module),
            max_relative_error=error,
        )
    module.folding = done  # type: ignore[assignment]
    return done


def has_branches(module: nn.Module) -> bool:
    """Whether some block of a network says how its branches are merged."""
    return any(_merger(part) for part in module.modules() if part is not module)


def merge_branches(module: nn.Module) -> None:
    """Merge, in place, the branches of every block that says how.

    As `timm.models.reparameterize_model`, which takes a submodule called `fuse` for such a method.
    """
    for name, child in list(module.named_children()):
        merge = _merger(child)
        merged = merge() if merge else None
        if isinstance(merged, nn.Module):
            setattr(module, name, merged)
        merge_branches(getattr(module, name))


def _merger(part: nn.Module) -> Callable[[], object] | None:
    """The method by which a block merges its branches: one of its class, that asks for nothing."""
    for name in _MERGERS:
        method = getattr(part, name, None)
        if inspect.ismethod(method) and not any(
            one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            for one in inspect.signature(method).parameters.values()
        ):
            return method
    return None


class _Readers(TorchFunctionMode):
    """Watches a run for batch norms that are alone to read what a convolution answers."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.owners = _by_tensor(module, _ConvNd, "weight")
        self.norms = _by_tensor(module, _BatchNorm, "running_mean")
        self.made = Counter[nn.Module]()
        self.read = Counter[nn.Module]()
        self.pairs = Counter[tuple[_ConvNd, _BatchNorm]]()
        self.normed = Counter[nn.Module]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        answer = func(*args, **kwargs)
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(answer)):  # a size is no reading
            self.note_read(args, kwargs)
        if func is torch.nn.functional.batch_norm:
            self._note_norm(*args, **kwargs)
        if func in _CONVOLUTIONS:
            self._note_convolution(answer, *args, **kwargs)
        return answer

    def note_read(self, *given: Any) -> None:
        """Count a reading of each convolution's answer among what is given."""
        makers = (getattr(leaf, "_made_by", None) for leaf in tree_leaves(given) if isinstance(leaf, Tensor))
        self.read.update(maker for maker in makers if maker is not None)

    def _note_convolution(
        self, answer: Tensor, _input: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any, **__: Any
    ) -> None:
        maker = self.owners.get(id(weight))
        if maker is not None and bias is maker.bias:
            self.made[maker] += 1
            answer._made_by = maker  # type: ignore[attr-defined]  # noqa: SLF001  it goes with the tensor

    def _note_norm(self, given: Tensor, running_mean: Tensor | None, *_: Any, **__: Any) -> None:
        norm, maker = self.norms.get(id(running_mean)), getattr(given, "_made_by", None)
        if norm is not None:
            self.normed[norm] += 1
            if maker is not None:
                self.pairs[maker, norm] += 1

    def found(self) -> list[tuple[_ConvNd, _BatchNorm]]:
        """Pairs where the norm reads nothing else, nothing else reads the convolution, and both can become one."""
        return [
            (convolution, norm)
            for (convolution, norm), count in self.pairs.items()
            if count == self.made[convolution] == self.read[convolution] == self.normed[norm]
            and _rest(norm) is not None
            and not (isinstance(convolution, _ConvTransposeNd) and convolution.groups > 1)
        ]


def _by_tensor(module: nn.Module, kind: type[Any], name: str) -> dict[int, Any]:
    """Modules of a kind by the id of one of their tensors; those that share it, or compute it anew, are left out."""
    found = [
        (id(tensor), part)
        for part in module.modules()
        if isinstance(part, kind) and (tensor := (part._parameters | part._buffers).get(name)) is not None  # noqa: SLF001
    ]
    times = Counter(key for key, _ in found)
    return {key: part for key, part in found if times[key] == 1}


def _first_run(
    module: nn.Module, sizes: Iterable[Size]
) -> tuple[Tensor, Tensor, list[tuple[_ConvNd, _BatchNorm]]] | None:
    """An image of the first size that the network takes, its answer, and the pairs it shows; `None`: it takes none."""
    for size in sizes:
        image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
        try:
            answer, pairs = _run(module, image)
        except Exception:  # noqa: BLE001, S112  forward may raise anything at a size that is not its own
            continue
        return image, answer, pairs
    return None


def _run(module: nn.Module, image: Tensor) -> tuple[Tensor, list[tuple[_ConvNd, _BatchNorm]]]:
    with torch.no_grad(), _Readers(module) as readers:
        answer: Tensor = module(image)
    readers.note_read(answer)
    return answer, readers.found()


def _fold(module: nn.Module, pairs: Iterable[tuple[_ConvNd, _BatchNorm]]) -> None:
    rests = dict[nn.Module, nn.Module]()
    for convolution, norm in pairs:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        with torch.no_grad():
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
                transpose=isinstance(convolution, _ConvTransposeNd),
            )
        rests[norm] = _rest(norm) or nn.Identity()
    for part in list(module.modules()):
        for name, child in part._modules.items():  # noqa: SLF001  `named_children` leaves out what stands there twice
            if child in rests:
                part._modules[name] = rests[child]  # noqa: SLF001


def _rest(norm: _BatchNorm) -> nn.Module | None:
    """What a norm does beside normalising; `None`: not known."""
    if type(norm) in _NORMS:
        return nn.Identity()
    if type(norm).__name__ == "BatchNormAct2d":  # timm's
        return nn.Sequential(*map(norm.get_submodule, ("drop", "act")))
    return None


def _count_norms(module: nn.Module) -> int:
    return sum(isinstance(part, _BatchNorm) for part in module.modules())


def _count_parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())
