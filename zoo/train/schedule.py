"""Optimizers and learning rates: SGD-poly for convolutional networks, AdamW-warmup-poly for transformers.

Sources: poly, DeepLab (https://arxiv.org/abs/1606.00915, section 4.1); AdamW with warm-up and no decay on norms and
biases, SegFormer (https://arxiv.org/abs/2105.15203, section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from zoo.config import TrainConfig
from zoo.spec import ModelSpec, RecipeFamily


def family_of(spec: ModelSpec, config: TrainConfig) -> RecipeFamily:
    """Return the recipe family a model is trained by: its own, or the one that is asked for."""
    return spec.recipe if config.optimizer == "auto" else config.optimizer


def make_optimizer(module: nn.Module, config: TrainConfig, family: RecipeFamily) -> Optimizer:
    """Build the optimizer of a recipe family; its learning rate is set before every step (`learning_rate`)."""
    fused = all(parameter.is_floating_point() for parameter in module.parameters())  # not where some are complex
    if family == "sgd_poly":
        return SGD(
            module.parameters(),
            lr=config.sgd_learning_rate,
            momentum=config.sgd_momentum,
            weight_decay=config.sgd_weight_decay,
            fused=fused,
        )
    # One-dimensional parameters are biases and the scales of norms: shrinking them regularises nothing.
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    kept = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.adamw_weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return AdamW([group for group in groups if group["params"]], lr=config.adamw_learning_rate, fused=fused)


def learning_rate(step: int, config: TrainConfig, family: RecipeFamily) -> float:
    """Rate of one step (0 is the first): linear warm-up (AdamW only), then polynomial decay that ends just above 0."""
    decay: float = (1 - step / config.steps) ** config.poly_power
    if family == "sgd_poly":
        return config.sgd_learning_rate * decay
    return config.adamw_learning_rate * decay * min(1.0, (step + 1) / (config.warmup_steps + 1))


def set_learning_rate(groups: Iterable[dict[str, Any]], rate: float) -> None:
    """Give every parameter group of an optimizer the same rate."""
    for group in groups:
        group["lr"] = rate
