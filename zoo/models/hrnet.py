"""HRNetV2, with its own head or with object-contextual representations (OCR).

Paper: Wang et al.: Deep High-Resolution Representation Learning for Visual Recognition, TPAMI 2020
URL: https://arxiv.org/abs/1908.07919
Paper: Yuan, Chen, Wang: Object-Contextual Representations for Semantic Segmentation, ECCV 2020
URL: https://arxiv.org/abs/1909.11065
Licence: Apache-2.0 (this file), BSD-3-Clause (torchvision's residual blocks); the reference code is MIT (Microsoft)
Compared with: HRNet/HRNet-Semantic-Segmentation 0bbb288 (W18-small-v2, W48, W48 with OCR; biases that batch norm takes
    away at zero), relative error 0 in float64 at 65x129 and 75x131; mmseg as vendored in gyyang23/RDRNet 93d3b81, 0 at
    96x160. At sides that are no multiples of 32 mmseg resizes twice where the reference, and this file, does once.
MACs at 1024x2048: 76.86 and 747.51 G; the published 71.6 and 696.2 are these in units of 2^30.

The resolution of 1/4 is kept from beginning to end; stages 2, 3 and 4 each add a branch of half the resolution and
twice the channels, and after every few blocks each branch is summed with all the others. `w18_small` has the block
counts of the reference's W18-Small-v2. Convolutions in front of batch norm have no bias: the reference's heads have
one, which batch norm takes away again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from zoo.models.blocks import ConvNorm, resize_to


class _Size(NamedTuple):
    width: int
    """Channels of the first branch; each further branch has twice as many."""
    bottlenecks: int
    modules: tuple[int, int, int]
    """Of stages 2, 3 and 4."""
    blocks: int
    """In each branch of each module."""


_SIZES = {"w18_small": _Size(18, 2, (1, 3, 2), 2), "w48": _Size(48, 4, (1, 4, 3), 4)}
_OCR, _OCR_KEYS = 512, 256
"""Channels of OCR's features, and of its queries, keys and values."""


class _Module(nn.Module):
    """Residual blocks on every branch, then each branch summed with all the others."""

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in widths
        )
        self.fuse = nn.ModuleList(
            nn.ModuleList(_exchange(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse):
            parts = [layer(x) for layer, x in zip(layers.children(), xs, strict=True)]
            parts[target + 1 :] = [resize_to(x, xs[target]) for x in parts[target + 1 :]]
            total = parts[0] + parts[1]
            for part in parts[2:]:
                total += part
            fused.append(self.relu(total))
        return fused


def _exchange(widths: list[int], source: int, target: int) -> nn.Module:
    """What brings one branch to the channels of another, and down to its resolution."""
    before, after = widths[source], widths[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return ConvNorm(before, after, 1, activation=None)
    halvings = [ConvNorm(before, before, 3, stride=2) for _ in range(target - source - 1)]
    return nn.Sequential(*halvings, ConvNorm(before, after, 3, stride=2, activation=None))


class HRNet(nn.Module):
    """Four parallel branches at 1/4 to 1/32, joined at 1/4."""

    def __init__(self, num_classes: int, size: str) -> None:
        super().__init__()
        width, bottlenecks, modules, blocks = _SIZES[size]
        widths = [width << branch for branch in range(4)]
        self.stem = nn.Sequential(ConvNorm(3, 64, 3, stride=2), ConvNorm(64, 64, 3, stride=2))
        widen = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))
        self.stage1 = nn.Sequential(
            Bottleneck(64, 64, downsample=widen), *(Bottleneck(256, 64) for _ in range(bottlenecks - 1))
        )
        self.begin = nn.ModuleList([ConvNorm(256, widths[0]), ConvNorm(256, widths[1], stride=2)])
        self.grow = nn.ModuleList(ConvNorm(widths[new - 1], widths[new], stride=2) for new in (2, 3))
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Module(widths[:branches], blocks) for _ in range(count)))
            for branches, count in zip((2, 3, 4), modules, strict=True)
        )
        self.head = nn.Sequential(ConvNorm(sum(widths), sum(widths), 1), nn.Conv2d(sum(widths), num_classes, 1))

    def features(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to all branches at 1/4, `(N, 15 · width, H/4, W/4)`, sizes rounded up."""
        x = self.stage1(self.stem(image))
        xs = self.stages[0]([enter(x) for enter in self.begin])
        for grow, stage in zip(self.grow, list(self.stages)[1:], strict=True):
            xs = stage([*xs, grow(xs[-1])])
        return torch.cat([xs[0], *(resize_to(x, xs[0]) for x in xs[1:])], dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/4, W/4)`, sizes rounded up."""
        logits: Tensor = self.head(self.features(image))
        return logits


class HRNetOCR(HRNet):
    """HRNet whose head is a first guess: it weighs pixels into one region per class, which all pixels attend to."""

    def __init__(self, num_classes: int, size: str) -> None:
        super().__init__(num_classes, size)
        self.pixels = ConvNorm(15 * _SIZES[size].width, _OCR)
        self.query = nn.Sequential(ConvNorm(_OCR, _OCR_KEYS, 1), ConvNorm(_OCR_KEYS, _OCR_KEYS, 1))
        self.key = nn.Sequential(ConvNorm(_OCR, _OCR_KEYS, 1), ConvNorm(_OCR_KEYS, _OCR_KEYS, 1))
        self.value = ConvNorm(_OCR, _OCR_KEYS, 1)
        self.out = ConvNorm(_OCR_KEYS, _OCR, 1)
        self.join = ConvNorm(2 * _OCR, _OCR, 1)
        self.ocr_head = nn.Conv2d(_OCR, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/4, W/4)`, sizes rounded up."""
        return self.training_logits(image)[0]

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of OCR and of the first guess, both `(N, K, H/4, W/4)`."""
        features = self.features(image)
        guess = self.head(features)
        pixels = self.pixels(features)
        weights = guess.flatten(2).softmax(dim=2)  # (N, K, hw), over pixels
        regions = (weights @ pixels.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(3)  # (N, 512, K, 1)
        queries = self.query(pixels).flatten(2).transpose(1, 2)  # (N, hw, 256)
        keys, values = self.key(regions).flatten(2), self.value(regions).flatten(2)  # (N, 256, K)
        attention = (queries @ keys * _OCR_KEYS**-0.5).softmax(dim=2)  # (N, hw, K)
        context = (values @ attention.transpose(1, 2)).unflatten(2, pixels.shape[2:])  # (N, 256, h, w)
        return self.ocr_head(self.join(torch.cat((self.out(context), pixels), dim=1))), guess


def hrnet(num_classes: int, pretrained: bool, *, size: str) -> HRNet:
    """Build HRNetV2 of size `w18_small` or `w48`."""
    assert not pretrained
    return HRNet(num_classes, size)


def hrnet_ocr(num_classes: int, pretrained: bool, *, size: str) -> HRNetOCR:
    """Build HRNetV2 with the OCR head; its first guess trains with an auxiliary loss, and runs deployed."""
    assert not pretrained
    return HRNetOCR(num_classes, size)
