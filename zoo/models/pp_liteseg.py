"""PP-LiteSeg: STDC's encoder under a decoder that grows narrower, fused by one attention map for all channels.

Paper: Peng, Liu, Tang, Hao, Chu, Chen, Wu, Chen, Yu, Du, Dang, Lai, Liu, Hu, Yu, Ma: PP-LiteSeg: A Superior Real-Time
Semantic Segmentation Model, 2022
URL: https://arxiv.org/abs/2204.02681
Licence: Apache-2.0 (this file); the reference code (PaddleSeg, super-gradients) is Apache-2.0
Compared with: Deci-AI/super-gradients e0ccacf, T and B: relative error 6e-16 (float64, 96x160 and 224x64)

Auxiliary heads stand on the projected stages of the encoder, as in super-gradients. Pooling to 1, 2 and 4 bins a side
cuts them as torch does where stride 32 does not divide into 4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.models.bisenetv1 import head
from zoo.models.blocks import ConvNorm, init_for_relu, resize_to
from zoo.models.stdc import BLOCKS, STDCNet

_BINS = (1, 2, 4)


class PyramidPooling(nn.Module):
    """Sum of averages over 1, 4 and 16 parts of the image: `(N, 1024, H, W)` → `(N, 128, H, W)`."""

    def __init__(self, inputs: int = 1024, outputs: int = 128) -> None:
        super().__init__()
        self.pooled = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), ConvNorm(inputs, outputs, 1)) for bins in _BINS
        )
        self.mix = ConvNorm(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        mixed: Tensor = self.mix(torch.stack([resize_to(pooled(x), x) for pooled in self.pooled]).sum(0))
        return mixed


class AttentionFusion(nn.Module):
    """Mixes deep and shallow by a weight for each pixel: `(N, C, h, w)` and `(N, S, H, W)` → `(N, out, H, W)`."""

    def __init__(self, channels: int, skip_channels: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Identity() if skip_channels == channels else ConvNorm(skip_channels, channels, 3)
        self.attention = nn.Sequential(ConvNorm(4, 2, 3), ConvNorm(2, 1, 3, activation=None))
        self.mix = ConvNorm(channels, outputs, 3)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Map as the class says."""
        skip = self.project(skip)
        if deep.shape[2:] != skip.shape[2:]:
            deep = resize_to(deep, skip)
        seen = [part for x in (deep, skip) for part in (x.mean(1, keepdim=True), x.amax(1, keepdim=True))]
        weight = self.attention(torch.cat(seen, 1)).sigmoid()
        mixed: Tensor = self.mix(skip + weight * (deep - skip))
        return mixed


class Size(NamedTuple):
    """What the paper's two networks differ in."""

    encoder: str
    projected: tuple[int, int, int]
    """Channels of stages 3, 4 and 5 on their way to the decoder."""
    decoder: tuple[int, int, int]
    """Its channels, at stride 32, 16 and 8."""


SIZES = {"t": Size("1", (64, 128, 128), (128, 64, 32)), "b": Size("2", (96, 128, 128), (128, 96, 64))}


class PPLiteSeg(nn.Module):
    """Encoder, pyramid pooling and three fusions up to stride 8, where the logits are."""

    training_only = ("auxiliary_heads",)

    def __init__(self, num_classes: int, size: Size) -> None:
        super().__init__()
        self.encoder = STDCNet(BLOCKS[size.encoder])
        self.pyramid = PyramidPooling()
        self.project = nn.ModuleList(
            ConvNorm(inputs, outputs, 3) for inputs, outputs in zip((256, 512, 1024), size.projected, strict=True)
        )
        self.decoder = nn.ModuleList()
        channels = 128
        for skip_channels, outputs in zip(reversed(size.projected), size.decoder, strict=True):
            self.decoder.append(AttentionFusion(channels, skip_channels, outputs))
            channels = outputs
        self.head = head(channels, channels, num_classes, bias=False)
        self.auxiliary_heads: nn.ModuleList | None = nn.ModuleList(
            head(inputs, width, num_classes, bias=False)
            for inputs, width in zip(size.projected, (32, 64, 64), strict=True)
        )
        init_for_relu(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        return self._run(image)[0]

    def training_logits(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits of the head, and of the encoder's stages at stride 8, 16 and 32, all `(N, K, h, w)`."""
        assert self.auxiliary_heads is not None, "the auxiliary heads were dropped for deployment"
        logits, projected = self._run(image)
        return logits, *(head(x) for head, x in zip(self.auxiliary_heads, projected, strict=True))

    def _run(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        stages = self.encoder(image)
        projected = [project(x) for project, x in zip(self.project, stages, strict=True)]
        x = self.pyramid(stages[-1])
        for fuse, skip in zip(self.decoder, reversed(projected), strict=True):
            x = fuse(x, skip)
        return self.head(x), projected


def pp_liteseg(num_classes: int, pretrained: bool, *, size: str) -> PPLiteSeg:
    """Build one of `SIZES`; its encoder has no published weights that fit by themselves."""
    assert not pretrained
    return PPLiteSeg(num_classes, SIZES[size])
