"""U-Net as published in 2015, with two changes everyone makes.

Paper: Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015
URL: https://arxiv.org/abs/1505.04597
Licence: Apache-2.0 (this file)

Changes: convolutions are padded, so that the logits are as large as the image (the paper crops), and each is followed
by BatchNorm, without which it hardly trains from scratch. Channels are the paper's: 64, 128, 256, 512, 1024.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

CHANNELS = (64, 128, 256, 512, 1024)


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Five double convolutions down, four up, each step up joined with its skip."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_double_conv(before, after) for before, after in pairwise((3, *CHANNELS)))
        self.pool = nn.MaxPool2d(2)
        pairs = list(pairwise(CHANNELS[::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for deep, shallow in pairs)
        self.decoder = nn.ModuleList(_double_conv(deep, shallow) for deep, shallow in pairs)
        self.head = nn.Conv2d(CHANNELS[0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H, W)`; H and W are multiples of 16."""
        x = self.encoder[0](image)
        skips = []
        for block in self.encoder[1:]:
            skips.append(x)
            x = block(self.pool(x))
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat((skips.pop(), up(x)), dim=1))
        logits: Tensor = self.head(x)
        return logits


def unet(num_classes: int, pretrained: bool) -> UNet:
    """Build the network; it has no published weights."""
    assert not pretrained
    return UNet(num_classes)
