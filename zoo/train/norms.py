"""What batch norms know of the images: estimated anew for trained weights, and whether it fits them.

Running statistics follow the weights by a small part of each step (0.01 in MobileNetV3), and lag behind weights that
still move. The cure is that of `torch.optim.swa_utils.update_bn`: the plain average over a number of training batches.
Unlike there, all else computes as it does when deployed (no dropout before a norm), norms that a network keeps frozen
in training stay so, and those that no image reaches keep what they had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.confusion import confusion_matrix
from zoo.errors import counted
from zoo.models.contract import training_logits
from zoo.score.accuracy import miou

LARGE_GAP = 0.1
"""Of mIoU: what is lost beyond it is not chance."""
GAP_IMAGES = 8
LabelMaps = NDArray[np.uint8]


@dataclass(frozen=True)
class ModeGap:
    """MIoU on the same images with one set of weights and two kinds of statistics."""

    running: float
    """With the running ones, as the network is deployed."""
    by_batch: float
    """With those of the very batch, as it was trained."""
    image_count: int

    def warning(self, model: str, batch_norm_batches: int) -> str | None:
        """Say that the running statistics do not fit the weights, which were estimated over so many batches."""
        if self.by_batch - self.running <= LARGE_GAP:
            return None
        return (
            f"{model}: the running statistics of its batch norms do not fit its weights: "
            f"on {counted(self.image_count, 'image')} mIoU is {100 * self.running:.1f} % with them, as deployed, "
            f"and {100 * self.by_batch:.1f} % with those of each batch, as trained; estimate them "
            f"anew over more batches: train with --set batch_norm_batches={max(50, 4 * batch_norm_batches)}"
        )


def estimate_statistics(module: nn.Module, images: Iterable[Tensor]) -> None:
    """Replace the running statistics of a network's batch norms by their plain average over some batches.

    Weights stay as they are, and so do the network's modes.

    Args:
        module: The network.
        images: Batches `(N, 3, H, W)` as it is fed.
    """
    with by_the_batch(module) as norms:
        before = _statistics(norms)
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
        for batch in images if norms else ():
            with torch.no_grad():
                training_logits(module, batch)
        for norm, momentum, old in zip(norms, momenta, before, strict=True):
            norm.momentum = momentum
            if not norm.num_batches_tracked:
                _put_back([norm], [old])


def mode_gap(
    module: nn.Module, answers: Callable[[], Iterable[tuple[LabelMaps, LabelMaps]]], num_classes: int
) -> ModeGap | None:
    """Compare mIoU as deployed with mIoU as trained; the running statistics stay as they are.

    Args:
        module: The network.
        answers: Has it predict: `(truth, prediction)` of each batch, `(N, H, W)` both; called once for each kind.
        num_classes: K of both.

    Returns:
        `None` without batch norms, without images, or where nothing is labelled.
    """

    def scored() -> tuple[float | None, int]:
        confusion, count = np.zeros((num_classes, num_classes + 1), np.int64), 0
        for truth, prediction in answers():
            confusion += confusion_matrix(truth, prediction, num_classes)
            count += len(truth)
        return miou(confusion), count

    with by_the_batch(module) as norms:
        if not norms:
            return None
        before = _statistics(norms)
        by_batch, count = scored()
        _put_back(norms, before)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    running, _ = scored()
    _set_modes(modes)
    return None if running is None or by_batch is None else ModeGap(running, by_batch, count)


@contextmanager
def by_the_batch(module: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Let batch norms normalise by each batch's own statistics, of this process's images; all else as deployed.

    Yields:
        The norms that do so in training too. Modes are put back.
    """
    modes = {part: part.training for part in module.modules()}
    module.train()
    norms = [
        part for part in module.modules()
        if isinstance(part, _BatchNorm) and part.training and part.running_mean is not None
    ]  # fmt: skip
    module.eval()
    alone = [norm for norm in norms if isinstance(norm, nn.SyncBatchNorm)]
    for norm in norms:
        norm.training = True
    for norm in alone:  # the other processes are not asked
        norm.forward = MethodType(_BatchNorm.forward, norm)  # type: ignore[method-assign]
    try:
        yield norms
    finally:
        for norm in alone:
            del norm.forward
        _set_modes(modes)


def _set_modes(modes: dict[nn.Module, bool]) -> None:
    for part, mode in modes.items():
        part.training = mode


def _statistics(norms: list[_BatchNorm]) -> list[list[Tensor]]:
    return [[buffer.clone() for buffer in norm.buffers()] for norm in norms]


def _put_back(norms: list[_BatchNorm], statistics: list[list[Tensor]]) -> None:
    for norm, kept in zip(norms, statistics, strict=True):
        for buffer, old in zip(norm.buffers(), kept, strict=True):
            buffer.copy_(old)
