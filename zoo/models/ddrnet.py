"""DDRNet: two branches of one trunk, one kept at stride 8, that add to each other twice or three times.

Paper: Hong, Pan, Sun, Jia: Deep Dual-Resolution Networks for Real-Time and Accurate Semantic Segmentation of Traffic
Scenes, T-ITS 2022
URL: https://arxiv.org/abs/2101.06085
Licence: Apache-2.0 (this file); the reference code is MIT
Compared with: ydhongHIT/DDRNet de0db31, MMSegmentation's as vendored in gyyang23/RDRNet 93d3b81 (without 39) and
Deci-AI/super-gradients e0ccacf: relative error 0 for 23-slim, 23 and 39 (float64, 104x136 and 200x72)

Residual blocks end without a ReLU where two branches meet, since both the sum and its ReLU are used. Convolutions of
the stem have a bias, as in the reference code.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from zoo.models.blocks import ConvNorm, init_for_relu, resize_to

_plain = partial(ConvNorm, activation=None)


class Residual(nn.Module):
    """Convolutions and a shortcut: `(N, in, H, W)` → `(N, out, H / stride, W / stride)`."""

    def __init__(self, inputs: int, outputs: int, convs: nn.Module, stride: int, *, ends_in_relu: bool) -> None:
        super().__init__()
        self.convs = convs
        self.shortcut = None if stride == 1 and inputs == outputs else _plain(inputs, outputs, 1, stride)
        self.ends_in_relu = ends_in_relu

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        y: Tensor = self.convs(x)
        y += x if self.shortcut is None else self.shortcut(x)
        return relu(y, inplace=True) if self.ends_in_relu else y


def basic_blocks(inputs: int, outputs: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` residuals of two 3x3 convolutions; the last ends without a ReLU."""
    blocks = []
    for index in range(count):
        convs = nn.Sequential(ConvNorm(inputs, outputs, 3, stride), _plain(outputs, outputs, 3))
        blocks.append(Residual(inputs, outputs, convs, stride, ends_in_relu=index < count - 1))
        inputs, stride = outputs, 1
    return nn.Sequential(*blocks)


def bottlenecks(inputs: int, width: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` residuals of 1x1, 3x3 and 1x1 convolutions to `2 width` channels; none ends in a ReLU."""
    blocks, outputs = [], 2 * width
    for _ in range(count):
        convs = nn.Sequential(ConvNorm(inputs, width, 1), ConvNorm(width, width, 3, stride), _plain(width, outputs, 1))
        blocks.append(Residual(inputs, outputs, convs, stride, ends_in_relu=False))
        inputs, stride = outputs, 1
    return nn.Sequential(*blocks)


class NormConv(nn.Sequential):
    """Batch norm, ReLU and convolution of same padding, without a bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__(
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
        )


class Pooled(nn.Sequential):
    """What a pyramid sees at one scale: averages over `kernel` (0: over all), then 1x1."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        pool = nn.AvgPool2d(kernel, kernel // 2, kernel // 2) if kernel else nn.AdaptiveAvgPool2d(1)
        super().__init__(pool, NormConv(inputs, outputs, 1))


class DAPPM(nn.Module):
    """Deep aggregation pyramid pooling: four scales, each added to the one before: `(N, in, H, W)` → `(N, out, H, W)`.

    The input is not changed, though batch norm is followed by a ReLU in place.
    """

    KERNELS = (5, 9, 17, 0)

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.point = NormConv(inputs, width, 1)
        self.pooled = nn.ModuleList(Pooled(inputs, width, kernel) for kernel in self.KERNELS)
        self.process = nn.ModuleList(NormConv(width, width, 3) for _ in self.KERNELS)
        self.compress = NormConv(width * (len(self.KERNELS) + 1), outputs, 1)
        self.shortcut = NormConv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        scales = [self.point(x)]
        for pooled, process in zip(self.pooled, self.process, strict=True):
            scales.append(process(resize_to(pooled(x), x) + scales[-1]))
        out: Tensor = self.compress(torch.cat(scales, 1)) + self.shortcut(x)
        return out


class Head(nn.Sequential):
    """Normalises, mixes 3x3 and classifies 1x1: `(N, in, H, W)` → `(N, out, H, W)`."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__(
            NormConv(inputs, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, outputs, 1)
        )


class _Fusion(nn.Module):
    """Adds each branch to the other; both come without their ReLU and go with it."""

    def __init__(self, low: int, high: int, down: nn.Module) -> None:
        super().__init__()
        self.compress = _plain(low, high, 1)
        self.down = down

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        added_low, added_high = self.down(relu(high)), resize_to(self.compress(relu(low)), high)
        return added_low.add_(low), added_high.add_(high)


class Size(NamedTuple):
    """What the paper's three networks differ in."""

    width: int
    blocks: tuple[int, int, int, int]
    """In stages 1, 2, each part of 3, and 4; the high branch has as many in the last two."""
    parts: int
    """Of stage 3; the branches meet behind each."""
    head_width: int


SIZES = {
    "23_slim": Size(32, (2, 2, 2, 2), 1, 64),
    "23": Size(64, (2, 2, 2, 2), 1, 128),
    "39": Size(64, (3, 4, 3, 3), 2, 256),
}


class DDRNet(nn.Module):
    """A trunk to stride 8, then a low branch to stride 64 and a high one that stays; logits at stride 8."""

    training_only = ("auxiliary_head",)

    def __init__(self, num_classes: int, size: Size) -> None:
        super().__init__()
        width, blocks = size.width, size.blocks
        high = 2 * width
        self.stem = nn.Sequential(ConvNorm(3, width, 3, 2, bias=True), ConvNorm(width, width, 3, 2, bias=True))
        self.stage1 = basic_blocks(width, width, blocks[0])
        self.stage2 = basic_blocks(width, high, blocks[1], 2)
        self.low3, self.high3, self.fuse3 = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for part in range(size.parts):
            self.low3.append(basic_blocks(4 * width if part else high, 4 * width, blocks[2], 1 if part else 2))
            self.high3.append(basic_blocks(high, high, blocks[2]))
            self.fuse3.append(_Fusion(4 * width, high, _plain(high, 4 * width, 3, 2)))
        self.low4 = basic_blocks(4 * width, 8 * width, blocks[3], 2)
        self.high4 = basic_blocks(high, high, blocks[3])
        down = nn.Sequential(ConvNorm(high, 4 * width, 3, 2), _plain(4 * width, 8 * width, 3, 2))
        self.fuse4 = _Fusion(8 * width, high, down)
        self.low5 = bottlenecks(8 * width, 8 * width, 1, 2)
        self.high5 = bottlenecks(high, high, 1)
        self.pyramid = DAPPM(16 * width, 128, 4 * width)
        self.head = Head(4 * width, size.head_width, num_classes)
        self.auxiliary_head: Head | None = Head(high, size.head_width, num_classes)
        init_for_relu(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`, sizes rounded up."""
        logits: Tensor = self.head(self._fused(*self._to_stage3(image)))
        return logits

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the head and of the auxiliary head behind stage 3, both `(N, K, H/8, W/8)`."""
        assert self.auxiliary_head is not None, "the auxiliary head was dropped for deployment"
        low, high = self._to_stage3(image)
        auxiliary = self.auxiliary_head(high)
        return self.head(self._fused(low, high)), auxiliary

    def _to_stage3(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Both branches where stage 3 ends, without their ReLU: stride 16 and stride 8."""
        x = relu(self.stage1(self.stem(image)), inplace=True)
        low = high = relu(self.stage2(x), inplace=True)
        for index, (low_blocks, high_blocks, fuse) in enumerate(zip(self.low3, self.high3, self.fuse3, strict=True)):
            if index:
                low, high = relu(low, inplace=True), relu(high, inplace=True)
            low, high = fuse(low_blocks(low), high_blocks(high))
        return low, high

    def _fused(self, low: Tensor, high: Tensor) -> Tensor:
        low, high = self.fuse4(self.low4(relu(low)), self.high4(relu(high)))
        high = self.high5(relu(high, inplace=True))
        context = self.pyramid(self.low5(relu(low, inplace=True)))
        return high + resize_to(context, high)


def ddrnet(num_classes: int, pretrained: bool, *, size: str) -> DDRNet:
    """Build one of `SIZES`; its encoder has no published weights that fit by themselves."""
    assert not pretrained
    return DDRNet(num_classes, SIZES[size])
