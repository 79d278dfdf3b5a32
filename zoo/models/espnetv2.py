"""ESPNetV2: grouped pointwise and dilated depthwise convolutions, fused from small to large fields of view.

Paper: Mehta, Rastegari, Shapiro, Hajishirzi: ESPNetv2: A Light-weight, Power Efficient, and General Purpose
    Convolutional Neural Network, CVPR 2019
URL: https://arxiv.org/abs/1811.11431
Licence: Apache-2.0 (this file); MIT (the authors' code)
Compared with: sacmehta/EdgeNets 2b232d3, all four sizes; largest difference of logits in float64: 0 of their largest

The decoder is that code's, which reads the encoder's four levels through pyramids of half as many channels as there are
classes.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.blocks import ConvNorm, norm_prelu, resize_to

CHANNELS = {
    "0.5": (16, 32, 64, 128),
    "1.0": (32, 64, 128, 256),
    "1.5": (32, 96, 192, 384),
    "2.0": (32, 128, 256, 512),
}
"""Of the encoder at strides 2, 4, 8 and 16."""
BRANCHES = 4
DECODER = (64, 48, 32)
SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)
"""Of the pyramids, against the features they are made of."""
LEAST = 5
"""Pixels of a pyramid's side."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> ConvNorm:
    return ConvNorm(inputs, outputs, kernel, stride, groups=groups, activation=partial(nn.PReLU, outputs))


class _EESP(nn.Module):
    """Reduce to a quarter, convolve at four dilations, add each to the next larger, join, expand by groups.

    Args:
        inputs: Channels.
        outputs: Channels.
        field: No 3x3 convolution sees further than this many pixels; those that would are not dilated.
        stride: Of the dilated convolutions.
    """

    def __init__(self, inputs: int, outputs: int, field: int, stride: int = 1) -> None:
        super().__init__()
        inner = outputs // BRANCHES
        dilations = sorted(branch if 2 * branch + 1 <= field else 1 for branch in range(1, BRANCHES + 1))
        self.reduce = _conv(inputs, inner, 1, groups=BRANCHES)
        self.dilated = nn.ModuleList(
            nn.Conv2d(inner, inner, 3, stride, dilation, dilation, inner, bias=False) for dilation in dilations
        )
        self.norm = norm_prelu(outputs)
        self.expand = ConvNorm(outputs, outputs, 1, groups=BRANCHES, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        fused = [self.dilated[0](x)]
        for conv in self.dilated[1:]:
            fused.append(conv(x) + fused[-1])
        expanded: Tensor = self.expand(self.norm(torch.cat(fused, dim=1)))
        return expanded


class _Residual(nn.Module):
    """An EESP unit added to its input."""

    def __init__(self, channels: int, field: int) -> None:
        super().__init__()
        self.unit = _EESP(channels, channels, field)
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x + self.unit(x))
        return y


class _Downsampling(nn.Module):
    """Means beside an EESP unit of stride 2, and the image itself, shrunk to this size, added."""

    def __init__(self, inputs: int, outputs: int, field: int) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(3, 2, 1)
        self.unit = _EESP(inputs, outputs - inputs, field, stride=2)
        self.image = nn.Sequential(_conv(3, 3, 3), ConvNorm(3, outputs, 1, activation=None))
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        y: Tensor = self.activation(torch.cat((self.mean(x), self.unit(x)), dim=1) + self.image(image))
        return y


class _Pyramid(nn.Module):
    """Depthwise convolutions at five scales, joined and mixed; the last layer alone has no norm, but a bias."""

    def __init__(self, inputs: int, inner: int, outputs: int, *, last: bool = False) -> None:
        super().__init__()
        count = len(SCALES)
        self.reduce = _conv(inputs, inner, 1)
        self.levels = nn.ModuleList(nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False) for _ in SCALES)
        self.norm = norm_prelu(inner * count)
        self.mix = _conv(inner * count, inner, 3, groups=inner)
        self.expand = nn.Conv2d(inner, outputs, 1, bias=last)
        self.out: nn.Module = nn.Identity() if last else norm_prelu(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        levels = [self._level(x, conv, scale) for conv, scale in zip(self.levels, SCALES, strict=True)]
        x = self.norm(torch.cat(levels, dim=1))
        batch, channels, height, width = x.shape
        x = x.view(batch, len(SCALES), -1, height, width).transpose(1, 2)  # a channel's five scales side by side
        x = x.reshape(batch, channels, height, width)
        y: Tensor = self.out(self.expand(self.mix(x)))
        return y

    @staticmethod
    def _level(x: Tensor, conv: nn.Module, scale: float) -> Tensor:
        height, width = x.shape[2:]
        size = (max(math.ceil(height * scale), LEAST), max(math.ceil(width * scale), LEAST))
        if scale < 1:
            return resize_to(conv(F.adaptive_avg_pool2d(x, size)), x, align_corners=True)
        if scale > 1:
            enlarged = F.interpolate(x, size, mode="bilinear", align_corners=True)
            return F.adaptive_avg_pool2d(conv(enlarged), (height, width))
        level: Tensor = conv(x)
        return level


class _Lateral(nn.Module):
    """A grouped 3x3 convolution of an encoder's level, scaled by what its means say."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1, bias=False), nn.Sigmoid())
        self.conv = _conv(inputs, outputs, 3, groups=math.gcd(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x) * self.scale(x)
        return y


class ESPNetV2(nn.Module):
    """Encoder to 1/16 with 3 and 7 units at its last strides; pyramids and laterals back to 1/2."""

    def __init__(self, num_classes: int, size: str) -> None:
        super().__init__()
        c2, c4, c8, c16 = CHANNELS[size]
        self.halve = nn.AvgPool2d(3, 2, 1)
        self.stem = _conv(3, c2, 3, 2)
        self.down4 = _Downsampling(c2, c4, 13)
        self.down8 = _Downsampling(c4, c8, 11)
        self.stage8 = nn.Sequential(*(_Residual(c8, 9) for _ in range(3)))
        self.down16 = _Downsampling(c8, c16, 9)
        self.stage16 = nn.Sequential(*(_Residual(c16, 7) for _ in range(7)))
        d16, d8, d4 = DECODER
        inner = max(min(num_classes // 2, 16), 1)
        self.pyramids = nn.ModuleList((
            _Pyramid(c16, inner, d16), _Pyramid(d16, inner, d8), _Pyramid(d8, inner, d4),
            _Pyramid(d4, inner, num_classes, last=True),
        ))  # fmt: skip
        self.laterals = nn.ModuleList((_Lateral(c8, d16), _Lateral(c4, d8), _Lateral(c2, d4)))
        self.norms = nn.ModuleList((norm_prelu(d16), norm_prelu(d8), norm_prelu(d4)))

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/2, W/2)`; H and W are multiples of 16."""
        image4 = self.halve(self.halve(image))
        image8 = self.halve(image4)
        x2 = self.stem(image)
        x4 = self.down4(x2, image4)
        x8 = self.stage8(self.down8(x4, image8))
        x = self.pyramids[0](self.stage16(self.down16(x8, self.halve(image8))))
        for skip, lateral, norm, pyramid in zip(
            (x8, x4, x2), self.laterals, self.norms, self.pyramids[1:], strict=True
        ):
            x = pyramid(norm(lateral(skip) + resize_to(x, skip, align_corners=True)))
        logits: Tensor = x
        return logits


def espnetv2(num_classes: int, pretrained: bool, size: str) -> ESPNetV2:
    """Build the network; `size` is the paper's s, which scales its channels."""
    assert not pretrained
    return ESPNetV2(num_classes, size)
