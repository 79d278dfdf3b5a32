"""FC-HarDNet-70: a U-shaped network of harmonic dense blocks.

Paper: Chao, Kao, Ruan, Huang, Lin: HarDNet: A Low Memory Traffic Network, ICCV 2019
URL: https://arxiv.org/abs/1909.00948
Licence: Apache-2.0 (this file); the reference code is MIT
Compared with: PingoLH/FCHarDNet dab48c0, relative error 0 in float64 at 65x129 and 90x139.

In a harmonic dense block, layer k reads layers k - 1, k - 2, k - 4 … for every power of two that divides k, and is the
wider the more it reads; the odd layers and the last are what the block answers with. Far fewer feature maps travel
through memory than in a DenseNet.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, resize_to

_STEM = (16, 24, 32, 48)
_WIDTHS = (64, 96, 160, 224, 320)
_GROWTHS = (10, 16, 18, 24, 32)
_LAYERS = (4, 4, 8, 8, 8)
_MULTIPLIER = 1.7
"""By how much a layer is wider for each further layer that it reads."""


class _HarmonicBlock(nn.Module):
    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        self.links = [[layer - (1 << i) for i in range(4) if layer % (1 << i) == 0] for layer in range(1, layers + 1)]
        widths = [inputs]
        self.layers = nn.ModuleList()
        for links in self.links:
            width = float(growth)
            for _ in links[1:]:
                width *= _MULTIPLIER
            even = int(width + 1) // 2 * 2
            self.layers.append(ConvNorm(sum(widths[link] for link in links), even))
            widths.append(even)
        self.answered = [layer for layer in range(1, layers + 1) if layer % 2 or layer == layers]
        self.outputs = sum(widths[layer] for layer in self.answered)

    def forward(self, x: Tensor) -> Tensor:
        xs = [x]
        for links, layer in zip(self.links, self.layers, strict=True):
            read = [xs[link] for link in links]
            xs.append(layer(torch.cat(read, dim=1) if len(read) > 1 else read[0]))
        return torch.cat([xs[layer] for layer in self.answered], dim=1)


class FCHarDNet(nn.Module):
    """Five blocks down to 1/64, four up to 1/4, each joined with what the way down had at its resolution."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        pairs = pairwise((3, *_STEM))
        self.stem = nn.Sequential(
            *(ConvNorm(before, after, stride=2 - index % 2) for index, (before, after) in enumerate(pairs))
        )
        self.pool = nn.AvgPool2d(2)
        self.down = nn.ModuleList()
        self.squeeze_down = nn.ModuleList()
        skips = []
        channels = _STEM[-1]
        for width, growth, layers in zip(_WIDTHS, _GROWTHS, _LAYERS, strict=True):
            block = _HarmonicBlock(channels, growth, layers)
            skips.append(block.outputs)
            self.down.append(block)
            self.squeeze_down.append(ConvNorm(block.outputs, width, 1))
            channels = width
        self.squeeze_up = nn.ModuleList()
        self.up = nn.ModuleList()
        for skip, growth, layers in list(zip(skips, _GROWTHS, _LAYERS, strict=True))[-2::-1]:
            joined = channels + skip
            self.squeeze_up.append(ConvNorm(joined, joined // 2, 1))
            block = _HarmonicBlock(joined // 2, growth, layers)
            self.up.append(block)
            channels = block.outputs
        self.head = nn.Conv2d(channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)`, 64 or more each, to logits `(N, K, H/4, W/4)`, sizes rounded up."""
        x = self.stem(image)
        skips: list[Tensor] = []
        for block, squeeze in zip(self.down, self.squeeze_down, strict=True):
            x = block(self.pool(x) if skips else x)
            skips.append(x)
            x = squeeze(x)
        skips.pop()
        for squeeze, block in zip(self.squeeze_up, self.up, strict=True):
            skip = skips.pop()
            x = block(squeeze(torch.cat((resize_to(x, skip, align_corners=True), skip), dim=1)))
        logits: Tensor = self.head(x)
        return logits


def fc_hardnet_70(num_classes: int, pretrained: bool) -> FCHarDNet:
    """Build FC-HarDNet-70."""
    assert not pretrained
    return FCHarDNet(num_classes)
