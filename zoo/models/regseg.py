"""RegSeg (exp48_decoder26): a RegNet-like backbone whose blocks split their channels between two dilations.

Paper: Gao: Rethinking Dilated Convolution for Real-time Semantic Segmentation, CVPR Workshops 2023
URL: https://arxiv.org/abs/2111.09957
Licence: Apache-2.0 (this file); MIT (the author's code)
Compared with: RolandGao/RegSeg 0f61c66; largest difference of logits in float64: 0 of their largest
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, resize_to

GROUP_WIDTH = 16
DILATIONS = ((1,), (1, 2), *((1, 4),) * 4, *((1, 14),) * 7)
"""Of the blocks at stride 16 behind the one that halves the size; the last of them widens to 320 channels."""


class _SqueezeExcite(nn.Module):
    """Scale each channel by what the means of all say."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = x * self.layers(x)
        return scaled


class _DBlock(nn.Module):
    """1x1, grouped 3x3 with an equal share of the channels for each dilation, squeeze and excite, 1x1; residual."""

    def __init__(self, inputs: int, outputs: int, dilations: tuple[int, ...] = (1,), stride: int = 1) -> None:
        super().__init__()
        share = outputs // len(dilations)
        self.reduce = ConvNorm(inputs, outputs, 1)
        self.dilated = nn.ModuleList(
            nn.Conv2d(share, share, 3, stride, dilation, dilation, share // GROUP_WIDTH, bias=False)
            for dilation in dilations
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.excite = _SqueezeExcite(outputs, inputs // 4)
        self.expand = ConvNorm(outputs, outputs, 1, activation=None)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            mean = nn.AvgPool2d(2, 2, ceil_mode=True)
            self.shortcut = nn.Sequential(mean, *ConvNorm(inputs, outputs, 1, activation=None))
        elif inputs != outputs:
            self.shortcut = ConvNorm(inputs, outputs, 1, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)
        if len(self.dilated) == 1:
            y = self.dilated[0](y)
        else:
            parts = y.chunk(len(self.dilated), dim=1)
            y = torch.cat([conv(part) for conv, part in zip(self.dilated, parts, strict=True)], dim=1)
        joined: Tensor = self.expand(self.excite(self.norm(y).relu_())) + self.shortcut(x)
        return joined.relu_()


class RegSeg(nn.Module):
    """Features at strides 4, 8 and 16, joined step by step to logits at stride 4."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2)
        self.stage4 = _DBlock(32, 48, stride=2)
        self.stage8 = nn.Sequential(_DBlock(48, 128, stride=2), _DBlock(128, 128), _DBlock(128, 128))
        *inner, last = DILATIONS
        self.stage16 = nn.Sequential(
            _DBlock(128, 256, stride=2), *(_DBlock(256, 256, dilations) for dilations in inner), _DBlock(256, 320, last)
        )
        self.head16 = ConvNorm(320, 128, 1)
        self.head8 = ConvNorm(128, 128, 1)
        self.head4 = ConvNorm(48, 8, 1)
        self.conv8 = ConvNorm(128, 64)
        self.conv4 = ConvNorm(64 + 8, 64)
        self.classifier = nn.Conv2d(64, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/4, W/4)`; H and W are multiples of 16."""
        x4 = self.stage4(self.stem(image))
        x8 = self.stage8(x4)
        x16 = self.head16(self.stage16(x8))
        x8 = self.head8(x8)
        x8 = self.conv8(x8 + resize_to(x16, x8))
        logits: Tensor = self.classifier(self.conv4(torch.cat((resize_to(x8, x4), self.head4(x4)), dim=1)))
        return logits


def regseg(num_classes: int, pretrained: bool) -> RegSeg:
    """Build the network; it is trained from random weights."""
    assert not pretrained
    return RegSeg(num_classes)
