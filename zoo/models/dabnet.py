"""DABNet: bottlenecks of depthwise asymmetric convolutions, plain and dilated.

Paper: Li, Yun, Kim, Kim: DABNet: Depth-wise Asymmetric Bottleneck for Real-time Semantic Segmentation, BMVC 2019
URL: https://arxiv.org/abs/1907.11357
Licence: Apache-2.0 (this file); MIT (the authors' code)
Compared with: Reagan1311/DABNet b8d62fe; largest difference of logits in float64: 0 of their largest
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, ConvPool, norm_prelu

EPS = 1e-3


def _conv(
    inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, stride: int = 1, dilation: int = 1, groups: int = 1
) -> ConvNorm:
    prelu = partial(nn.PReLU, outputs)
    return ConvNorm(inputs, outputs, kernel, stride, dilation, groups, eps=EPS, activation=prelu)


class _DAB(nn.Module):
    """3x3 to half the channels, depthwise 3x1 and 1x3 once plain and once dilated, 1x1 back; residual."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = nn.Sequential(norm_prelu(channels, EPS), _conv(channels, half))
        self.near = nn.Sequential(_conv(half, half, (3, 1), groups=half), _conv(half, half, (1, 3), groups=half))
        self.far = nn.Sequential(
            _conv(half, half, (3, 1), dilation=dilation, groups=half),
            _conv(half, half, (1, 3), dilation=dilation, groups=half),
        )
        self.expand = nn.Sequential(norm_prelu(half, EPS), nn.Conv2d(half, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)
        joined: Tensor = x + self.expand(self.near(y) + self.far(y))
        return joined


class DABNet(nn.Module):
    """Stem at 1/2, 3 blocks at 1/4, 6 at 1/8; the image itself is joined behind each."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 32, stride=2), _conv(32, 32), _conv(32, 32))
        self.halve = nn.AvgPool2d(3, 2, 1)
        self.norm1 = norm_prelu(32 + 3, EPS)
        self.down1 = ConvPool(32 + 3, 64, eps=EPS, activation=partial(nn.PReLU, 64))
        self.stage1 = nn.Sequential(*(_DAB(64, 2) for _ in range(3)))
        self.norm2 = norm_prelu(2 * 64 + 3, EPS)
        self.down2 = _conv(2 * 64 + 3, 128, stride=2)
        self.stage2 = nn.Sequential(*(_DAB(128, dilation) for dilation in (4, 4, 8, 8, 16, 16)))
        self.norm3 = norm_prelu(2 * 128 + 3, EPS)
        self.classifier = nn.Conv2d(2 * 128 + 3, num_classes, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 8."""
        half = self.halve(image)
        quarter = self.halve(half)
        first = self.down1(self.norm1(torch.cat((self.stem(image), half), dim=1)))
        x = self.norm2(torch.cat((self.stage1(first), first, quarter), dim=1))
        first = self.down2(x)
        x = self.norm3(torch.cat((self.stage2(first), first, self.halve(quarter)), dim=1))
        logits: Tensor = self.classifier(x)
        return logits


def dabnet(num_classes: int, pretrained: bool) -> DABNet:
    """Build the network; it is trained from random weights."""
    assert not pretrained
    return DABNet(num_classes)
