"""PIDNet: three branches (detail P, context I, boundary D), where the boundary decides which of the others is heard.

Paper: Xu, Xiong, Bhattacharyya: PIDNet: A Real-time Semantic Segmentation Network Inspired by PID Controllers,
CVPR 2023
URL: https://arxiv.org/abs/2206.02066
Licence: Apache-2.0 (this file); the reference code is MIT
Compared with: XuJiacong/PIDNet 4c158cf: relative error 3e-13; MMSegmentation as vendored in gyyang23/RDRNet 93d3b81:
8e-16; S, M and L (float64, 104x136 and 200x72, and 101x139 for the latter)

Residual blocks, the pyramid DAPPM (of L) and the heads are DDRNet's. The boundary head trains against boundaries
between classes (`zoo.train.losses.SegmentationLoss.boundary`), weighted as in the paper: 20 for the boundaries
themselves, 1 for the classes near those it predicts.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from zoo.models.blocks import ConvNorm, init_for_relu, resize_to
from zoo.models.ddrnet import DAPPM, Head, NormConv, Pooled, basic_blocks, bottlenecks

_plain = partial(ConvNorm, activation=None)


class PAPPM(nn.Module):
    """DAPPM with its scales beside each other, mixed by one grouped convolution: `(N, in, H, W)` → `(N, out, H, W)`."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        count = len(DAPPM.KERNELS)
        self.point = NormConv(inputs, width, 1)
        self.pooled = nn.ModuleList(Pooled(inputs, width, kernel) for kernel in DAPPM.KERNELS)
        self.process = NormConv(width * count, width * count, 3, count)
        self.compress = NormConv(width * (count + 1), outputs, 1)
        self.shortcut = NormConv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        point = self.point(x)
        scales = self.process(torch.cat([resize_to(pooled(x), x) + point for pooled in self.pooled], 1))
        out: Tensor = self.compress(torch.cat((point, scales), 1)) + self.shortcut(x)
        return out


class Guide(nn.Module):
    """Pixel-attention-guided fusion: takes each pixel from the context as far as both branches agree on it."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.detail = _plain(channels, width, 1)
        self.context = _plain(channels, width, 1)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Map details `(N, C, H, W)` and context `(N, C, h, w)` to `(N, C, H, W)`."""
        agreement = (self.detail(detail) * resize_to(self.context(context), detail)).sum(1, keepdim=True).sigmoid()
        fused: Tensor = detail + agreement * (resize_to(context, detail) - detail)
        return fused


class LightBag(nn.Module):
    """Boundary-attention-guided fusion by sums: details count at boundaries, context elsewhere; all `(N, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail = _plain(channels, channels, 1)
        self.context = _plain(channels, channels, 1)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        """Fuse as the class says."""
        edge = boundary.sigmoid()
        fused: Tensor = self.detail((1 - edge) * context + detail) + self.context(context + edge * detail)
        return fused


class Bag(nn.Module):
    """Boundary-attention-guided fusion by a 3x3 convolution over the mix; all `(N, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = NormConv(channels, channels, 3)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        """Fuse as the class says."""
        fused: Tensor = self.mix(context + boundary.sigmoid() * (detail - context))
        return fused


class Size(NamedTuple):
    """What the paper's three networks differ in."""

    width: int
    shallow: int
    """Blocks of each stage of the trunk and of the detail branch."""
    deep: int
    """Blocks of stages 3 and 4 of the context branch."""
    pyramid_width: int
    head_width: int
    light: bool
    """Whether pyramid and fusion are the light ones, and the boundary branch is narrow."""


SIZES = {
    "s": Size(32, 2, 3, 96, 128, light=True),
    "m": Size(64, 2, 3, 96, 128, light=True),
    "l": Size(64, 3, 4, 112, 256, light=False),
}


class PIDNet(nn.Module):
    """A trunk to stride 8, a context branch to stride 64, details and boundaries that stay; logits at stride 8."""

    training_only = ("auxiliary_head", "boundary_head")
    boundary_weights = (20.0, 1.0)

    def __init__(self, num_classes: int, size: Size) -> None:
        super().__init__()
        width, high, edge = size.width, 2 * size.width, size.width if size.light else 2 * size.width
        self.stem = nn.Sequential(ConvNorm(3, width, 3, 2, bias=True), ConvNorm(width, width, 3, 2, bias=True))
        self.stage1 = basic_blocks(width, width, size.shallow)
        self.stage2 = basic_blocks(width, high, size.shallow, 2)

        self.context3 = basic_blocks(high, 4 * width, size.deep, 2)
        self.context4 = basic_blocks(4 * width, 8 * width, size.deep, 2)
        self.context5 = bottlenecks(8 * width, 8 * width, 2, 2)
        pyramid = PAPPM if size.light else DAPPM
        self.pyramid = pyramid(16 * width, size.pyramid_width, 4 * width)

        self.detail3 = basic_blocks(high, high, size.shallow)
        self.detail4 = basic_blocks(high, high, size.shallow)
        self.detail5 = bottlenecks(high, high, 1)
        self.compress3, self.guide3 = _plain(4 * width, high, 1), Guide(high, width)
        self.compress4, self.guide4 = _plain(8 * width, high, 1), Guide(high, width)

        self.boundary3 = basic_blocks(high, edge, 1)
        self.boundary4 = bottlenecks(edge, edge, 1) if size.light else basic_blocks(edge, edge, 1)
        self.boundary5 = bottlenecks(high, high, 1)
        self.differ3 = _plain(4 * width, edge, 3)
        self.differ4 = _plain(8 * width, high, 3)

        self.fuse = LightBag(4 * width) if size.light else Bag(4 * width)
        self.head = Head(4 * width, size.head_width, num_classes)
        self.auxiliary_head: Head | None = Head(high, size.head_width, num_classes)
        self.boundary_head: Head | None = Head(high, width, 1)
        init_for_relu(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`, sizes rounded up."""
        return self._branches(image)[0]

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the head, of the details behind stage 3, and `(N, 1, H/8, W/8)` of a boundary between classes."""
        assert self.auxiliary_head is not None, "the auxiliary head was dropped for deployment"
        assert self.boundary_head is not None, "the boundary head was dropped for deployment"
        logits, detail, boundary = self._branches(image)
        return logits, self.auxiliary_head(detail), self.boundary_head(boundary)

    def _branches(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, details behind stage 3 and boundaries behind stage 4, both without their ReLU."""
        x = relu(self.stage1(self.stem(image)), inplace=True)
        x = relu(self.stage2(x), inplace=True)

        context = relu(self.context3(x), inplace=True)
        detail3 = self.guide3(self.detail3(x), self.compress3(context))
        boundary = self.boundary3(x)
        boundary = relu(boundary + resize_to(self.differ3(context), boundary), inplace=True)

        context = relu(self.context4(context), inplace=True)
        detail = self.guide4(self.detail4(relu(detail3)), self.compress4(context))
        boundary4 = self.boundary4(boundary)
        boundary4 = boundary4 + resize_to(self.differ4(context), boundary4)

        boundary = self.boundary5(relu(boundary4))
        detail = self.detail5(relu(detail, inplace=True))
        context = resize_to(self.pyramid(self.context5(context)), detail)
        return self.head(self.fuse(detail, context, boundary)), detail3, boundary4


def pidnet(num_classes: int, pretrained: bool, *, size: str) -> PIDNet:
    """Build one of `SIZES`; its encoder has no published weights that fit by themselves."""
    assert not pretrained
    return PIDNet(num_classes, SIZES[size])
