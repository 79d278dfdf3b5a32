"""SegNeXt: an encoder of convolutional attention (MSCAN) and a decoder that factorises its features (Hamburger).

Paper: Guo, Lu, Hou, Liu, Cheng, Hu: SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation,
    NeurIPS 2022
URL: https://arxiv.org/abs/2209.08575
Licence: Apache-2.0 (this file, and the reference code, whose authors ask to be contacted for commercial use)
Compared with: Visual-Attention-Network/SegNeXt c87bcae (T, S, B; given the bases of this file), relative error 0 in
    float64 at 65x129 and 90x75.
MACs at 1024x2048: 124.1 and 274.9 G for S and B (125 and 276 published), but 50.1 G for T (56 published): the
    reference's code and configuration build this very graph, so that the published figure must be of another one.

The decoder approximates its features by a non-negative factorisation of low rank, found by a few multiplicative
updates from random bases. The reference draws new bases at each call. Here training does so too; otherwise they are
drawn once, from a fixed seed, so that a network answers an image the same way each time, in each runtime.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from zoo.models.blocks import ConvNorm, resize_to


class _Size(NamedTuple):
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    decoder: int
    """Channels."""
    rank: int


_SIZES = {
    "t": _Size((32, 64, 160, 256), (3, 3, 5, 2), 256, 16),
    "s": _Size((64, 128, 320, 512), (2, 2, 4, 2), 256, 16),
    "b": _Size((64, 128, 320, 512), (3, 3, 12, 3), 512, 64),
}
_EXPANSIONS = (8, 8, 4, 4)
_STRIPS = (7, 11, 21)
"""Lengths of the strip convolutions that stand for large kernels."""
_DROP_PATH = 0.1
"""Of the last block; it grows from 0 at the first."""
_STEPS_TRAINING, _STEPS = 6, 7
_EPS = 1e-6


class _Attention(nn.Module):
    """Weighs each channel of each pixel by what depthwise convolutions of several sizes see around it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.strips = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, (1, length), padding=(0, length // 2), groups=width),
                nn.Conv2d(width, width, (length, 1), padding=(length // 2, 0), groups=width),
            )
            for length in _STRIPS
        )
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x)
        weights = near + self.strips[0](near)
        for strip in list(self.strips)[1:]:
            weights += strip(near)
        y: Tensor = self.mix(weights)
        return y * x


class _Block(nn.Module):
    def __init__(self, width: int, expansion: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.attention = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.GELU(), _Attention(width), nn.Conv2d(width, width, 1)
        )
        self.norm2 = nn.BatchNorm2d(width)
        wide = width * expansion
        self.mlp = nn.Sequential(
            nn.Conv2d(width, wide, 1), nn.Conv2d(wide, wide, 3, padding=1, groups=wide), nn.GELU(),
            nn.Conv2d(wide, width, 1),
        )  # fmt: skip
        self.scale1 = nn.Parameter(torch.full((width,), 0.01))
        self.scale2 = nn.Parameter(torch.full((width,), 0.01))
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = self.attention(y) + y
        x = torch.addcmul(x, self.scale1[:, None, None], self.drop_path(y))
        y = self.mlp(self.norm2(x))
        return torch.addcmul(x, self.scale2[:, None, None], self.drop_path(y))


class _Stage(nn.Module):
    def __init__(self, embed: nn.Sequential, width: int, expansion: int, drop_paths: list[float]) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.Sequential(*(_Block(width, expansion, rate) for rate in drop_paths))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.embed(x))
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x.contiguous()


class _Factorisation(nn.Module):
    """`(N, D, n)`, nowhere below 0 → its approximation by `(N, D, rank) @ (N, rank, n)`."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        begin = torch.rand(width, rank, generator=torch.Generator().manual_seed(0))
        self.register_buffer("bases", nn.functional.normalize(begin, dim=0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        bases: Tensor = self.bases  # type: ignore[assignment]
        bases = bases.expand(len(x), -1, -1)
        if self.training:
            bases = nn.functional.normalize(torch.rand_like(bases), dim=1)
        transposed = x.transpose(1, 2)
        weights = (transposed @ bases).softmax(dim=2)  # (N, n, rank)
        for _ in range(_STEPS_TRAINING if self.training else _STEPS):
            weights = _update(weights, transposed, bases)
            bases = _update(bases, x, weights)
        weights = _update(weights, transposed, bases)
        return bases @ weights.transpose(1, 2)


def _update(factor: Tensor, product: Tensor, other: Tensor) -> Tensor:
    """Lee and Seung's multiplicative update of `factor` in `product ≈ factor @ other.T`."""
    return factor * (product @ other) / (factor @ (other.transpose(1, 2) @ other) + _EPS)


class SegNeXt(nn.Module):
    """Four stages at 1/4 to 1/32; the last three are joined at 1/8 and factorised."""

    def __init__(self, num_classes: int, size: str) -> None:
        super().__init__()
        widths, depths, decoder, rank = _SIZES[size]
        rates = iter(torch.linspace(0, _DROP_PATH, sum(depths)).tolist())
        self.stages = nn.ModuleList()
        for stage, (before, width) in enumerate(pairwise((widths[0] // 2, *widths))):
            embed = [ConvNorm(before, width, stride=2, bias=True, activation=None)]
            if stage == 0:
                embed.insert(0, ConvNorm(3, before, stride=2, bias=True, activation=nn.GELU))
            drop_paths = [next(rates) for _ in range(depths[stage])]
            self.stages.append(_Stage(nn.Sequential(*embed), width, _EXPANSIONS[stage], drop_paths))
        self.squeeze = _conv_norm(sum(widths[1:]), decoder)
        self.ham_in = nn.Conv2d(decoder, decoder, 1)
        self.ham = _Factorisation(decoder, rank)
        self.ham_out = _conv_norm(decoder, decoder)
        self.align = _conv_norm(decoder, decoder)
        self.dropout = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(decoder, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`, sizes rounded up."""
        features = []
        x = image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        x = torch.cat([features[1], *(resize_to(deep, features[1]) for deep in features[2:])], dim=1)
        x = self.squeeze(x).relu_()
        parts = self.ham(self.ham_in(x).relu_().flatten(2)).unflatten(2, x.shape[2:])
        x = (self.ham_out(parts) + x).relu_()
        logits: Tensor = self.head(self.dropout(self.align(x).relu_()))
        return logits


def _conv_norm(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.GroupNorm(32, outputs))


def segnext(num_classes: int, pretrained: bool, *, size: str) -> SegNeXt:
    """Build SegNeXt of size `t`, `s` or `b`, with the decoders of the reference for Cityscapes."""
    assert not pretrained
    return SegNeXt(num_classes, size)
