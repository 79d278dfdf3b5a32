"""FDDWNet: residual blocks of factorised, dilated depthwise convolutions, and a learned decoder.

Paper: Liu, Zhou, Qiang, Kang, Wu, Zheng: FDDWNet: A Lightweight Convolutional Neural Network for Real-time Semantic
    Segmentation, ICASSP 2020
URL: https://arxiv.org/abs/1911.00632
Licence: Apache-2.0 (this file); Apache-2.0 (the one below); no code of the authors was found
Compared with: zh320/realtime-semantic-segmentation-pytorch c77b1b6; largest difference of logits in float64: 0 of their
    largest

Built as in that code, whose weights are the public ones: the last upsampling too has batch norm and ReLU. The paper
says 0.80 M parameters; that code has 0.774 M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm

DILATIONS = (1, 2, 5, 9, 1, 2, 5, 9, 2, 5, 9, 17, 2, 5, 9, 17)


class _Downsampling(nn.Module):
    """Convolution with batch norm and ReLU beside a max pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, outputs - inputs, 3, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.conv(x), self.pool(x)), dim=1)


class _EERM(nn.Module):
    """Depthwise 3x1 and 1x3 and a 1x1, all three again with the depthwise ones dilated; residual."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvNorm(channels, channels, (3, 1), groups=channels, activation=None),
            ConvNorm(channels, channels, (1, 3), groups=channels, activation=None),
            ConvNorm(channels, channels, 1),
            ConvNorm(channels, channels, (3, 1), dilation=dilation, groups=channels, activation=None),
            ConvNorm(channels, channels, (1, 3), dilation=dilation, groups=channels, activation=None),
            ConvNorm(channels, channels, 1, activation=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return (y + x).relu_()


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class FDDWNet(nn.Module):
    """Encoder to 1/8 with 5 and 16 blocks, decoder with twice 2 and a skip from 1/4."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.down = nn.Sequential(_Downsampling(3, 16), _Downsampling(16, 64))
        self.stage4 = nn.Sequential(*(_EERM(64) for _ in range(5)))
        self.down8 = _Downsampling(64, 128)
        self.stage8 = nn.Sequential(*(_EERM(128, dilation) for dilation in DILATIONS))
        self.decode4 = nn.Sequential(_up(128, 64), _EERM(64), _EERM(64))
        self.decode2 = nn.Sequential(_up(64, 16), _EERM(16), _EERM(16))
        self.head = _up(16, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H, W)`, none below 0; H and W are multiples of 8."""
        skip = self.stage4(self.down(image))
        x = self.decode4(self.stage8(self.down8(skip))) + skip
        logits: Tensor = self.head(self.decode2(x))
        return logits


def fddwnet(num_classes: int, pretrained: bool) -> FDDWNet:
    """Build the network; it is trained from random weights."""
    assert not pretrained
    return FDDWNet(num_classes)
