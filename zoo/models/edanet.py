"""EDANet: densely connected modules of asymmetric convolutions.

Paper: Lo, Hang, Chan, Lin: Efficient Dense Modules of Asymmetric Convolution for Real-Time Semantic Segmentation,
    ACM Multimedia Asia 2019
URL: https://arxiv.org/abs/1809.06323
Licence: Apache-2.0 (this file); Apache-2.0 and MIT (the two below); the authors published no code
Compared with: zh320/realtime-semantic-segmentation-pytorch c77b1b6 and, but for its biases,
    xiaoyufenfei/Efficient-Segmentation-Networks 0f0c32e; largest difference of logits in float64: 0 of their largest
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, ConvPool

GROWTH = 40
DILATIONS = ((1, 1, 1, 2, 2), (2, 2, 4, 4, 8, 8, 16, 16))


class _EDAModule(nn.Module):
    """1x1 to 40 channels, 3x1 and 1x3, both again dilated; joined before the input's channels."""

    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvNorm(inputs, GROWTH, 1),
            nn.Conv2d(GROWTH, GROWTH, (3, 1), padding=(1, 0), bias=False),
            ConvNorm(GROWTH, GROWTH, (1, 3)),
            nn.Conv2d(GROWTH, GROWTH, (3, 1), padding=(dilation, 0), dilation=dilation, bias=False),
            ConvNorm(GROWTH, GROWTH, (1, 3), dilation=dilation),
            nn.Dropout2d(0.02),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.layers(x), x), dim=1)


class EDANet(nn.Module):
    """Two dense blocks, of 5 modules at 1/4 and of 8 at 1/8, and a 1x1 convolution; no decoder."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.down1 = ConvPool(3, 15)
        self.down2 = ConvPool(15, 60)
        self.stage1 = _dense(60, DILATIONS[0])
        self.down3 = ConvNorm(60 + 5 * GROWTH, 130, 3, 2)
        self.stage2 = _dense(130, DILATIONS[1])
        self.classifier = nn.Conv2d(130 + 8 * GROWTH, num_classes, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 8."""
        x = self.stage1(self.down2(self.down1(image)))
        logits: Tensor = self.classifier(self.stage2(self.down3(x)))
        return logits


def _dense(inputs: int, dilations: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(_EDAModule(inputs + place * GROWTH, dilation) for place, dilation in enumerate(dilations)))


def edanet(num_classes: int, pretrained: bool) -> EDANet:
    """Build the network; it is trained from random weights."""
    assert not pretrained
    return EDANet(num_classes)
