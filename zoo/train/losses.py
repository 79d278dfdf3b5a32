"""What training minimises: cross-entropy over counted pixels, weighted by class, of all pixels or of hard ones.

Sources: class weights 1 / ln(1.02 + p), ENet (https://arxiv.org/abs/1606.02147, section 5.2); online hard example
mining, Shrivastava et al. (https://arxiv.org/abs/1604.03540), by a probability threshold as in MMSegmentation's
OHEMPixelSampler (https://github.com/open-mmlab/mmsegmentation), with at least a sixteenth of the pixels as in BiSeNet's
code (https://github.com/CoinCheung/BiSeNet). There the least number is one of the whole batch; here each image keeps
its own, so that the loss does not depend on how a batch is cut into pieces.

Boundaries between classes, PIDNet (https://arxiv.org/abs/2206.02066, section 3.4): cross-entropy of boundary or none,
balanced, and cross-entropy of the classes where a boundary is predicted. There void is a class like others, a boundary
comes from Canny's filter, and balance and means are those of the batch; here a boundary lies between two classes that
count, and balance and means are each image's.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.config import TrainConfig
from zoo.data.layout import Dataset
from zoo.data.reading import label_shares
from zoo.errors import UserError
from zoo.spec import IGNORE_INDEX, ModelSpec

ENET_C = 1.02
BOUNDARY_PIXELS = 2
"""How far from another class a pixel still belongs to the boundary: a band of 4 pixels, as in PIDNet's code."""
SURE_OF_BOUNDARY = 0.8
"""Probability above which a pixel is taken to lie at a boundary, as in PIDNet's code."""


class SegmentationLoss:
    """Cross-entropy at the label's size, summed over pixels, and what the sum is to be divided by.

    The sums of all pieces of a step over the sum of their divisors are the mean that `torch.nn.CrossEntropyLoss` gives
    for the whole batch, weighted as it does. Easy pixels add nothing to the sum but stay in the divisor, as in
    MMSegmentation.

    Args:
        config: Names the threshold and the least number of hard pixels.
        align_corners: How logits are upsampled.
        weights: One per output channel; `None`: all 1.
        device: Where logits and labels are.
    """

    def __init__(
        self, config: TrainConfig, *, align_corners: bool, weights: Tensor | None, device: torch.device
    ) -> None:
        self.threshold, self.min_share = config.ohem_threshold, config.ohem_min_share
        self.align_corners = align_corners
        self.weights = None if weights is None else weights.to(device)
        self.weight_of = torch.ones(256, device=device)  # by label
        if self.weights is not None:
            self.weight_of[: len(self.weights)] = self.weights
        self.weight_of[IGNORE_INDEX] = 0

    def divisor(self, label: Tensor) -> Tensor:
        """Sum of the weights of the pixels that count; label `(N, H, W)` of channel indices."""
        return self.weight_of[label].sum()

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        """Sum the loss of logits `(N, K, h, w)` over a label `(N, H, W)`."""
        grid = self._at_label(logits, label)  # NKHW
        if self.threshold is None:
            return F.cross_entropy(grid, label, self.weights, ignore_index=IGNORE_INDEX, reduction="sum")
        loss = F.cross_entropy(grid, label, ignore_index=IGNORE_INDEX, reduction="none")  # NHW, 0 where ignored
        hard = hard_pixels(loss.detach(), self.threshold, self.min_share)
        return (loss * self.weight_of[label] * hard).sum()

    def boundary(self, edge: Tensor, logits: Tensor, label: Tensor, weights: tuple[float, float]) -> Tensor:
        """Sum the losses of a boundary head, so that the same divisor makes them means over pixels.

        Args:
            edge: Logit of a boundary, `(N, 1, h, w)`.
            logits: Of the classes, `(N, K, h, w)`.
            label: `(N, H, W)`.
            weights: Of the boundaries' loss, and of that of the classes where a boundary is predicted.
        """
        edge = self._at_label(edge, label)[:, 0]  # NHW
        weight, counts, is_boundary = self.weight_of[label], label != IGNORE_INDEX, boundaries(label)
        total = weight.sum((1, 2))  # N
        number = counts.sum((1, 2)).clamp(min=1)
        share = (is_boundary.sum((1, 2)) / number).view(-1, 1, 1)
        balanced = torch.where(is_boundary, 1 - share, share) * counts
        loss = F.binary_cross_entropy_with_logits(edge, is_boundary.float(), balanced, reduction="none")
        value = weights[0] * loss.sum((1, 2)) / number
        if weights[1]:
            near = weight * (edge.detach().sigmoid() > SURE_OF_BOUNDARY)
            loss = F.cross_entropy(self._at_label(logits, label), label, ignore_index=IGNORE_INDEX, reduction="none")
            value = value + weights[1] * (loss * near).sum((1, 2)) / near.sum((1, 2)).clamp(min=1e-6)
        return (value * total).sum()

    def _at_label(self, logits: Tensor, label: Tensor) -> Tensor:
        size = (label.shape[1], label.shape[2])
        return F.interpolate(logits.float(), size, mode="bilinear", align_corners=self.align_corners)


def boundaries(label: Tensor) -> Tensor:
    """Tell which pixels that count have two classes that count within `BOUNDARY_PIXELS`: `bool (N, H, W)`."""
    counts = label != IGNORE_INDEX
    value, side = label[:, None].float(), 2 * BOUNDARY_PIXELS + 1
    highest = F.max_pool2d(value.where(counts[:, None], -1.0), side, 1, BOUNDARY_PIXELS)
    lowest = -F.max_pool2d(-value.where(counts[:, None], 256.0), side, 1, BOUNDARY_PIXELS)
    return (highest > lowest)[:, 0] & counts


def hard_pixels(loss: Tensor, threshold: float, min_share: float) -> Tensor:
    """Tell which pixels give their own class at most the probability `threshold`; at least `min_share` of an image.

    Args:
        loss: Cross-entropy without class weights, `(N, H, W)`.
        threshold: In (0, 1].
        min_share: Of the image's pixels, in (0, 1].

    Returns:
        `bool (N, H, W)`.
    """
    flat = loss.flatten(1)
    least = flat.topk(math.ceil(min_share * flat.shape[1]), sorted=False).values.amin(1)  # N
    return loss >= least.clamp(max=-math.log(threshold)).view(-1, 1, 1)


def channel_weights(config: TrainConfig, spec: ModelSpec, dataset: Dataset) -> Tensor | None:
    """Weight of each output channel as `config.class_weights` says; `None` for none.

    Raises:
        UserError: a list of another length than the dataset has classes, or a damaged label file.
    """
    classes = dataset.spec
    if config.class_weights == "none":
        return None
    if config.class_weights == "inverse_log":
        of_class = tuple((1 / np.log(ENET_C + label_shares(dataset, "train"))).tolist())
    else:
        of_class = config.class_weights
        if len(of_class) != classes.num_classes:
            raise UserError(
                f"class_weights holds {len(of_class)} numbers, {classes.name} has {classes.num_classes} classes; give "
                'one for each, in their order, or "inverse_log"'
            )
    channels = spec.train_ids or range(classes.num_classes)
    return torch.tensor([0.0 if train_id == IGNORE_INDEX else of_class[train_id] for train_id in channels])
