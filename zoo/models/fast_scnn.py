"""Fast-SCNN: two branches that share their first layers.

Paper: Poudel, Liwicki, Cipolla: Fast-SCNN: Fast Semantic Segmentation Network, BMVC 2019
URL: https://arxiv.org/abs/1902.04502
Licence: Apache-2.0 (this file); Apache-2.0 (the two below)
Compared with: Tramac/Fast-SCNN-pytorch 0638517 (its first convolution padded) and, for `mmseg`, MMSegmentation 1.x as
    in gyyang23/RDRNet 93d3b81; largest difference of logits in float64: 0 of their largest

The paper's 1.11 M parameters are the weights of the convolutions alone; with biases and batch norm they are 1.138 M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, InvertedResidual, resize_to, separable

STAGES = ((64, 2), (96, 2), (128, 1))
"""Channels and stride of the three stages of inverted residuals, three blocks each."""
POOLED = (1, 2, 3, 6)
"""Sides of the pyramid's grids."""


class _Pyramid(nn.Module):
    """Means over grids of four sizes, a quarter of the channels each, beside the features themselves."""

    def __init__(self, channels: int, kernel: int, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), ConvNorm(channels, channels // 4, 1)) for side in POOLED
        )
        self.join = ConvNorm(2 * channels, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        means = [resize_to(level(x), x, align_corners=self.align_corners) for level in self.levels]
        joined: Tensor = self.join(torch.cat((x, *means), dim=1))
        return joined


class FastSCNN(nn.Module):
    """Learning to downsample (1/8), global features (1/32), their sum, two separable convolutions and a classifier."""

    training_only = ("shallow_head", "deep_head")

    def __init__(self, num_classes: int, *, mmseg: bool) -> None:
        super().__init__()
        self.align_corners = not mmseg
        self.shallow = nn.Sequential(
            ConvNorm(3, 32, 3, 2), separable(32, 48, 2, between=not mmseg), separable(48, 64, 2, between=not mmseg)
        )
        before, stages = 64, []
        for channels, stride in STAGES:
            stages.append(
                nn.Sequential(
                    InvertedResidual(before, channels, stride),
                    InvertedResidual(channels, channels),
                    InvertedResidual(channels, channels),
                )
            )
            before = channels
        self.deep = nn.Sequential(*stages)
        self.pyramid = _Pyramid(128, 3 if mmseg else 1, align_corners=self.align_corners)
        self.lateral = ConvNorm(64, 128, 1, bias=not mmseg, activation=None)
        self.raised = nn.Sequential(
            ConvNorm(128, 128, 3, groups=128), ConvNorm(128, 128, 1, bias=not mmseg, activation=None)
        )
        self.head = nn.Sequential(
            separable(128, 128, between=not mmseg), separable(128, 128, between=not mmseg),
            nn.Dropout(0.1), nn.Conv2d(128, num_classes, 1),
        )  # fmt: skip
        self.shallow_head: nn.Module | None = _auxiliary_head(64, num_classes)
        self.deep_head: nn.Module | None = _auxiliary_head(128, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        shallow = self.shallow(image)
        return self._decode(shallow, self.pyramid(self.deep(shallow)))

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Main head (1/8), then those of the shallow (1/8) and of the deep features (1/32)."""
        assert self.shallow_head is not None
        assert self.deep_head is not None
        shallow = self.shallow(image)
        deep = self.pyramid(self.deep(shallow))
        return self._decode(shallow, deep), self.shallow_head(shallow), self.deep_head(deep)

    def _decode(self, shallow: Tensor, deep: Tensor) -> Tensor:
        raised = self.raised(resize_to(deep, shallow, align_corners=self.align_corners))
        logits: Tensor = self.head((self.lateral(shallow) + raised).relu_())
        return logits


def _auxiliary_head(channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(channels, 32), nn.Dropout(0.1), nn.Conv2d(32, num_classes, 1))


def fast_scnn(num_classes: int, pretrained: bool, mmseg: bool = False) -> FastSCNN:
    """Build Fast-SCNN; it is trained from random weights.

    Args:
        num_classes: Channels of the logits.
        pretrained: False.
        mmseg: As MMSegmentation has it: the pyramid is joined by a 3x3 convolution and not a 1x1, there is no ReLU
            between depthwise and 1x1 convolutions, and features are upsampled without `align_corners`.
    """
    assert not pretrained
    return FastSCNN(num_classes, mmseg=mmseg)
