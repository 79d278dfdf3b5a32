"""BiSeNetV2: a wide shallow branch of details and a narrow deep one of semantics, each gating the other.

Paper: Yu, Gao, Wang, Yu, Shen, Sang: BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic
Segmentation, IJCV 2021
URL: https://arxiv.org/abs/2004.02147
Licence: Apache-2.0 (this file); the code compared with is MIT
Compared with: CoinCheung/BiSeNet 6b4b67a: relative error 0 (float64, 96x160 and 224x64)

The variant is CoinCheung's: a head 1024 wide, where the paper's table and PaddleSeg have 128 (2.31 M parameters for
3.36 M), and the nearest neighbour where semantics are brought to the size of details, where MMSegmentation's is
bilinear: its checkpoints are another function.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from zoo.models.blocks import ConvNorm, init_for_relu

_plain = partial(ConvNorm, activation=None)
_EXPANSION = 6


def _depthwise(channels: int, outputs: int, stride: int = 1) -> ConvNorm:
    return _plain(channels, outputs, 3, stride, groups=channels)


class Stem(nn.Module):
    """Convolutions and max pooling side by side: `(N, 3, H, W)` → `(N, 16, H/4, W/4)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvNorm(3, 16, 3, 2)
        self.narrow = nn.Sequential(ConvNorm(16, 8, 1), ConvNorm(8, 16, 3, 2))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.mix = ConvNorm(32, 16, 3)

    def forward(self, image: Tensor) -> Tensor:
        """Map as the class says."""
        x = self.conv(image)
        mixed: Tensor = self.mix(torch.cat((self.narrow(x), self.pool(x)), 1))
        return mixed


class GatherExpand(nn.Module):
    """Gathers 3x3, expands depthwise and projects, beside a shortcut: `(N, in, H, W)` → `(N, out, H/s, W/s)`."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        wide = inputs * _EXPANSION
        self.gather = ConvNorm(inputs, inputs, 3)
        self.shortcut: nn.Module | None = None
        if stride == 1:
            self.expand = nn.Sequential(ConvNorm(inputs, wide, 3, groups=inputs))
        else:
            self.expand = nn.Sequential(_depthwise(inputs, wide, stride), ConvNorm(wide, wide, 3, groups=wide))
            self.shortcut = nn.Sequential(_depthwise(inputs, inputs, stride), _plain(inputs, outputs, 1))
        self.project = _plain(wide, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        y: Tensor = self.project(self.expand(self.gather(x)))
        y += x if self.shortcut is None else self.shortcut(x)
        return relu(y, inplace=True)


class ContextEmbedding(nn.Module):
    """Adds what the whole image holds to every pixel: `(N, 128, H, W)` of both."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.BatchNorm2d(128), ConvNorm(128, 128, 1))
        self.mix = ConvNorm(128, 128, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        mixed: Tensor = self.mix(x + self.mean(x.mean((2, 3), keepdim=True)))
        return mixed


class GuidedAggregation(nn.Module):
    """Each branch gated by the other, at the other's scale: details `(N, 128, H, W)`, semantics four times smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.detail = nn.Sequential(_depthwise(128, 128), nn.Conv2d(128, 128, 1, bias=False))
        self.detail_down = nn.Sequential(_plain(128, 128, 3, 2), nn.AvgPool2d(3, 2, 1))
        self.semantic = nn.Sequential(_depthwise(128, 128), nn.Conv2d(128, 128, 1, bias=False))
        self.semantic_up = _plain(128, 128, 3)
        self.mix = ConvNorm(128, 128, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        """Map both to `(N, 128, H, W)`."""
        size = detail.shape[2:]
        fine = self.detail(detail) * interpolate(self.semantic_up(semantic).sigmoid(), size)  # to the nearest
        coarse = self.detail_down(detail) * self.semantic(semantic).sigmoid()
        mixed: Tensor = self.mix(fine + interpolate(coarse, size))
        return mixed


def auxiliary_head(inputs: int, up_factor: int, num_classes: int) -> nn.Sequential:
    """A booster of training: twice the size, classes at each pixel of that."""
    return nn.Sequential(
        ConvNorm(inputs, 128, 3),
        nn.Dropout(0.1),
        nn.Upsample(scale_factor=2),
        ConvNorm(128, up_factor * up_factor, 3),
        nn.Conv2d(up_factor * up_factor, num_classes, 1),
    )


class BiSeNetV2(nn.Module):
    """Details at stride 8, semantics at stride 32, aggregated; logits at stride 8."""

    training_only = ("auxiliary_heads",)

    def __init__(self, num_classes: int, head_width: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            ConvNorm(3, 64, 3, 2), ConvNorm(64, 64, 3),
            ConvNorm(64, 64, 3, 2), ConvNorm(64, 64, 3), ConvNorm(64, 64, 3),
            ConvNorm(64, 128, 3, 2), ConvNorm(128, 128, 3), ConvNorm(128, 128, 3),
        )  # fmt: skip
        self.stem = Stem()
        self.stage3 = nn.Sequential(GatherExpand(16, 32, 2), GatherExpand(32, 32))
        self.stage4 = nn.Sequential(GatherExpand(32, 64, 2), GatherExpand(64, 64))
        self.stage5 = nn.Sequential(GatherExpand(64, 128, 2), *(GatherExpand(128, 128) for _ in range(3)))
        self.embed = ContextEmbedding()
        self.aggregate = GuidedAggregation()
        self.head = nn.Sequential(ConvNorm(128, head_width, 3), nn.Dropout(0.1), nn.Conv2d(head_width, num_classes, 1))
        self.auxiliary_heads: nn.ModuleList | None = nn.ModuleList(
            auxiliary_head(inputs, factor, num_classes) for inputs, factor in ((16, 4), (32, 8), (64, 16), (128, 32))
        )
        init_for_relu(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        return self._run(image)[0]

    def training_logits(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits of the head, and of the semantics behind each of their four stages, all `(N, K, h, w)`."""
        assert self.auxiliary_heads is not None, "the auxiliary heads were dropped for deployment"
        logits, stages = self._run(image)
        return logits, *(head(stage) for head, stage in zip(self.auxiliary_heads, stages, strict=True))

    def _run(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        stages = [self.stem(image)]
        for stage in (self.stage3, self.stage4, self.stage5):
            stages.append(stage(stages[-1]))
        return self.head(self.aggregate(self.detail(image), self.embed(stages[-1]))), stages


def bisenetv2(num_classes: int, pretrained: bool, *, head_width: int) -> BiSeNetV2:
    """Build the network; its encoder has no published weights that fit by themselves."""
    assert not pretrained
    return BiSeNetV2(num_classes, head_width)
