"""SwiftNet on ResNet-18, single scale.

Paper: Oršić, Krešo, Bevandić, Šegvić: In Defense of Pre-trained ImageNet Architectures for Real-time Semantic
    Segmentation of Road-driving Images, CVPR 2019
URL: https://arxiv.org/abs/1903.08469
Licence: Apache-2.0 (this file, written from the paper alone: its public code is GPL-3.0), BSD-3-Clause (torchvision's
    ResNet)
Compared with: no code. That of zh320/realtime-semantic-segmentation-pytorch is another network: other skips, another
    order of batch norm, classes from the last upsampling block. Parameters (11.81 M, 11.8 published) and MACs at
    1024x2048 (103.6 G, 104.0 published) are the paper's.

An ImageNet encoder, spatial pyramid pooling, and a decoder so thin that it costs little: three times bilinear
upsampling, a sum with the encoder's features, and one 3x3 convolution. Outside the encoder, batch norm and ReLU stand
in front of convolutions, and skips are taken in front of the last ReLU of a stage, as the paper says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, ResNet18_Weights, resnet18
from torchvision.models.resnet import BasicBlock

from zoo.models.blocks import resize_to

_WIDTH = 128
_GRIDS = (8, 4, 2, 1)
"""Sides of the pyramid's square grids."""
_LEVEL = _WIDTH // 3


class _NormConv(nn.Sequential):
    """Batch norm, ReLU and convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, bias: bool = False) -> None:
        super().__init__(
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias),
        )


class _Pyramid(nn.Module):
    """Averages over grids of several sizes beside the features themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = _NormConv(channels, _WIDTH)
        self.levels = nn.ModuleList(_NormConv(_WIDTH, _LEVEL) for _ in _GRIDS)
        self.join = _NormConv(_WIDTH + len(_GRIDS) * _LEVEL, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        pooled = [
            level(nn.functional.adaptive_avg_pool2d(x, side)) for side, level in zip(_GRIDS, self.levels, strict=True)
        ]
        y: Tensor = self.join(torch.cat([x, *(resize_to(level, x) for level in pooled)], dim=1))
        return y


class SwiftNet(nn.Module):
    """ResNet-18, a pyramid at 1/32, and a decoder of 128 channels up to 1/4."""

    def __init__(self, num_classes: int, encoder: ResNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(encoder.conv1, encoder.bn1, encoder.relu, encoder.maxpool)
        self.stages = nn.ModuleList([encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4])
        self.pyramid = _Pyramid(512)
        self.skips = nn.ModuleList(_NormConv(channels, _WIDTH) for channels in (256, 128, 64))
        self.blends = nn.ModuleList(_NormConv(_WIDTH, _WIDTH, 3) for _ in range(3))
        self.head = _NormConv(_WIDTH, num_classes, bias=True)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/4, W/4)`, sizes rounded up."""
        x = self.stem(image)
        sums = []
        for stage in self.stages:
            first, last = stage.children()
            x = _without_last_relu(last, first(x))
            sums.append(x)
            x = x.relu()
        x = self.pyramid(sums.pop())
        for skip, blend in zip(self.skips, self.blends, strict=True):
            fine = skip(sums.pop())
            x = blend(resize_to(x, fine) + fine)
        logits: Tensor = self.head(x)
        return logits


def _without_last_relu(block: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(block, BasicBlock)
    y: Tensor = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    y += x
    return y


def swiftnet_resnet18(num_classes: int, pretrained: bool) -> SwiftNet:
    """Build SwiftNet; `pretrained` begins from ImageNet's ResNet-18."""
    return SwiftNet(num_classes, resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if pretrained else None))
