"""What every network of the zoo answers to.

`forward(image_NCHW) -> logits_NKhw`, one tensor at the network's own stride. A module may also have
`training_logits(image_NCHW) -> tuple[Tensor, ...]`, main first, and `training_only`, names of the submodules that only
`training_logits` runs (auxiliary heads): they are no part of the deployed network. One that says `boundary_weights` has
as its last head the logit `(N, 1, h, w)` of a boundary between classes, which learns by a loss of its own
(`zoo.train.losses.SegmentationLoss.boundary`). One that was deployed (`zoo.models.deployment`) says in `folding` what
was done to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from zoo.record import Folding


def training_logits(model: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """Logits of every head, main first, each at its own stride; image `(N, 3, H, W)`."""
    heads: Callable[[Tensor], tuple[Tensor, ...]] | None = getattr(model, "training_logits", None)
    return (model(image),) if heads is None else heads(image)


def boundary_weights(model: nn.Module) -> tuple[float, float] | None:
    """What the boundary head's two losses weigh, of boundaries and of classes near them; `None`: there is none."""
    weights: tuple[float, float] | None = getattr(model, "boundary_weights", None)
    return weights


def folding_of(model: nn.Module) -> Folding | None:
    """What was done to a network to deploy it; `None`: nothing yet."""
    folding: Folding | None = getattr(model, "folding", None)
    return folding


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and persistent buffers by name: its state dict, without what else a module keeps there."""
    state: dict[str, object] = model.state_dict()
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def has_aux_heads(model: nn.Module) -> bool:
    """Whether submodules that only training runs are still in place."""
    return any(getattr(model, name, None) is not None for name in getattr(model, "training_only", ()))


def drop_aux_heads(model: nn.Module) -> nn.Module:
    """Take off, in place, what only training runs; the answer of `forward` stays the same. Returns the model."""
    for name in getattr(model, "training_only", ()):
        setattr(model, name, None)
    return model


def deployed_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Named parameters of the deployed network: all but those of `training_only` submodules."""
    aside = tuple(f"{name}." for name in getattr(model, "training_only", ()))
    return ((name, value) for name, value in model.named_parameters() if not name.startswith(aside))
