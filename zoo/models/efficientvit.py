"""EfficientViT-Seg: multi-scale linear attention.

Paper: Cai, Li, Hu, Gan, Han: EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction, ICCV 2023
URL: https://arxiv.org/abs/2205.14756
Licence: Apache-2.0 (this file, and the reference code)
Compared with: mit-han-lab/efficientvit de7d773 (B0, B1, B2, L1), relative error below 2e-15 in float64 at 96x160 and
    224x32.

Attention without softmax: with ReLU on queries and keys, products of keys and values are summed over all positions
first, so that its cost grows with the number of pixels and not with its square. Half of the heads see the pixels
themselves, half see them aggregated over 5x5. The reference multiplies queries with keys first on maps of fewer pixels
than channels in a head, which is the same function. The head brings its inputs to 1/8 bicubically.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm

_Activation = Callable[[], nn.Module] | None
_Kind = Literal["separable", "plain", "fused", "inverted", "attention"]

_EPS = 1e-15
"""Where no query meets a key, attention is 0 and not undefined."""


class _Size(NamedTuple):
    width: int
    """Of the first stage; each further one has twice as many channels."""
    kinds: tuple[_Kind, ...]
    """Blocks of each stage."""
    depths: tuple[int, ...]
    """How many of them follow the layer that halves the resolution."""
    expansions: tuple[int, ...]
    halving_expansions: tuple[int, ...]
    head_dim: int
    """Channels of a query."""
    head: tuple[int, int, int]
    """The segmentation head's width, blocks and expansion."""
    last_expansion: int
    """In front of the classifier; 0: no such layer."""


_B: tuple[_Kind, ...] = ("separable", "inverted", "inverted", "attention", "attention")
_L: tuple[_Kind, ...] = ("plain", "fused", "fused", "inverted", "attention")
_FOUR = (1, 4, 4, 4, 4)
_SIZES = {
    "b0": _Size(8, _B, (1, 1, 1, 2, 2), _FOUR, _FOUR, 16, (32, 1, 4), 4),
    "b1": _Size(16, _B, (1, 1, 2, 3, 4), _FOUR, _FOUR, 16, (64, 3, 4), 4),
    "b2": _Size(24, _B, (1, 2, 3, 4, 6), _FOUR, _FOUR, 32, (96, 3, 4), 4),
    "l1": _Size(32, _L, (1, 1, 1, 6, 6), (1, 4, 4, 4, 6), (1, 16, 16, 16, 24), 32, (256, 3, 1), 0),
}


class _Residual(nn.Module):
    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.main(x)
        y += x
        return y


def _conv(
    inputs: int, outputs: int, kernel: int, activation: _Activation, *, stride: int = 1, groups: int = 1, norm: bool
) -> nn.Sequential:
    """Convolution, batch norm (without it: bias) and activation."""
    if norm:
        return ConvNorm(inputs, outputs, kernel, stride, groups=groups, activation=activation)
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)]
    return nn.Sequential(*layers, *([] if activation is None else [activation()]))


def _block(
    kind: _Kind, inputs: int, outputs: int, expansion: int, activation: _Activation, *, stride: int = 1, norm: bool
) -> nn.Sequential:
    """Convolutions of a block without its residual; `norm`: behind each, or else behind the last alone."""
    middle = inputs * expansion
    if kind == "separable":
        return nn.Sequential(
            _conv(inputs, inputs, 3, activation, stride=stride, groups=inputs, norm=norm),
            _conv(inputs, outputs, 1, None, norm=True),
        )
    if kind in {"plain", "fused"}:
        return nn.Sequential(
            _conv(inputs, middle, 3, activation, stride=stride, norm=norm),
            _conv(middle, outputs, 3 if kind == "plain" else 1, None, norm=True),
        )
    return nn.Sequential(
        _conv(inputs, middle, 1, activation, norm=norm),
        _conv(middle, middle, 3, activation, stride=stride, groups=middle, norm=norm),
        _conv(middle, outputs, 1, None, norm=True),
    )


class _LinearAttention(nn.Module):
    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        groups = 3 * channels // head_dim
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.aggregate = nn.Sequential(
            nn.Conv2d(3 * channels, 3 * channels, 5, padding=2, groups=3 * channels, bias=False),
            nn.Conv2d(3 * channels, 3 * channels, 1, groups=groups, bias=False),
        )
        self.project = ConvNorm(2 * channels, channels, 1, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, h, w)` to the same."""
        qkv = self.qkv(x)
        qkv = torch.cat((qkv, self.aggregate(qkv)), dim=1)
        batch, _, height, width = qkv.shape
        heads = qkv.view(batch, -1, 3 * self.head_dim, height * width)
        if heads.dtype == torch.float16:  # sums over pixels leave its range, and _EPS is 0 in it
            heads = heads.float()
        queries, keys, values = heads.chunk(3, dim=2)
        queries, keys = queries.relu(), keys.relu()
        sums = torch.cat((values @ keys.transpose(2, 3), keys.sum(3).unsqueeze(2)), dim=2)  # (N, heads, d + 1, d)
        weighted = sums @ queries
        mean = (weighted[:, :, :-1] / (weighted[:, :, -1:] + _EPS)).to(qkv.dtype)
        y: Tensor = self.project(mean.view(batch, -1, height, width))
        return y


class _Head(nn.Module):
    """Sums the last three stages at the resolution of the first of them."""

    def __init__(self, num_classes: int, size: _Size, activation: _Activation) -> None:
        super().__init__()
        width, depth, expansion = size.head
        kind: _Kind = "fused" if size.kinds is _L else "inverted"
        self.inputs = nn.ModuleList(
            ConvNorm(size.width << stage, width, 1, activation=None) for stage in (4, 3, 2)
        )  # fmt: skip
        self.middle = nn.Sequential(
            *(_Residual(_block(kind, width, width, expansion, activation, norm=True)) for _ in range(depth))
        )
        last = width * size.last_expansion
        wide = [ConvNorm(width, last, 1, activation=activation)] if last else []
        self.out = nn.Sequential(*wide, nn.Conv2d(last or width, num_classes, 1))

    def forward(self, deep: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        parts = [enter(x) for enter, x in zip(self.inputs, (deep, middle, fine), strict=True)]
        first, second = (nn.functional.interpolate(x, parts[2].shape[2:], mode="bicubic") for x in parts[:2])
        logits: Tensor = self.out(self.middle(first + second + parts[2]))
        return logits


class EfficientViTSeg(nn.Module):
    """Convolutions in the first stages, linear attention in the last, and a head on the last three."""

    def __init__(self, num_classes: int, size: _Size) -> None:
        super().__init__()
        large = size.kinds is _L
        activation = partial(nn.GELU, approximate="tanh") if large else partial(nn.Hardswish, inplace=True)
        widths = [size.width << stage for stage in range(5)]
        stem = ConvNorm(3, widths[0], stride=2, activation=activation)
        halvings = [
            _block(
                "inverted" if kind == "attention" else kind, before, after, expansion, activation, stride=2,
                norm=stage < 3,
            )
            for stage, kind, (before, after), expansion in zip(
                range(1, 5), size.kinds[1:], pairwise(widths), size.halving_expansions[1:], strict=True
            )
        ]  # fmt: skip
        self.stages = nn.ModuleList()
        for stage, halving in enumerate((stem, *halvings)):
            width, kind, expansion = widths[stage], size.kinds[stage], size.expansions[stage]
            blocks: list[nn.Module] = [halving]
            for _ in range(size.depths[stage]):
                local = _Residual(_block(kind, width, width, expansion, activation, norm=stage < 3))
                attends = kind == "attention"
                blocks.append(
                    nn.Sequential(_Residual(_LinearAttention(width, size.head_dim)), local) if attends else local
                )
            self.stages.append(nn.Sequential(*blocks))
        self.head = _Head(num_classes, size, activation)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-7 if large else 1e-5

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        features = [image]
        for stage in self.stages:
            features.append(stage(features[-1]))
        logits: Tensor = self.head(features[5], features[4], features[3])
        return logits


def efficientvit_seg(num_classes: int, pretrained: bool, *, size: str) -> EfficientViTSeg:
    """Build EfficientViT-Seg of size `b0`, `b1`, `b2` or `l1`, with the heads of the reference for Cityscapes."""
    assert not pretrained
    return EfficientViTSeg(num_classes, _SIZES[size])
