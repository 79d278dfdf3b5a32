"""STDC-Seg: an encoder of blocks whose convolutions halve their width and are all kept, under BiSeNet's context path.

Paper: Fan, Lai, Huang, Wei, Chai, Luo, Wei: Rethinking BiSeNet For Real-time Semantic Segmentation, CVPR 2021
URL: https://arxiv.org/abs/2104.13188
Licence: Apache-2.0 (this file); the reference code is MIT
Compared with: MichaelFan01/STDC-Seg 59ff37f with plain batch norm: relative error 2e-15; MMSegmentation as vendored in
gyyang23/RDRNet 93d3b81 and Deci-AI/super-gradients e0ccacf: 0; STDC1 and STDC2 (float64, 96x160 and 224x64)

In place of a path of details of its own, stage 3 learns to tell boundaries while training: the detail head. The paper
trains it with plain cross-entropy and dice loss against Laplacian boundaries at three scales; here it is trained as
PIDNet's boundary head is (`zoo.train.losses.SegmentationLoss.boundary`), by its first loss alone.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from zoo.models.bisenetv1 import ContextPath, FeatureFusion, head
from zoo.models.blocks import ConvNorm, init_for_relu

_plain = partial(ConvNorm, activation=None)

BLOCKS = {"1": (2, 2, 2), "2": (4, 5, 3)}
"""Blocks of stages 3, 4 and 5 of the paper's two encoders."""


class ShortTermDense(nn.Module):
    """Four convolutions of ½, ¼, ⅛ and ⅛ of the width, joined: `(N, in, H, W)` → `(N, out, H / stride, W / stride)`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.point = ConvNorm(inputs, half, 1)
        self.down = _plain(half, half, 3, 2, groups=half) if stride == 2 else nn.Identity()
        self.pool = nn.AvgPool2d(3, 2, 1) if stride == 2 else nn.Identity()
        self.convs = nn.ModuleList(
            ConvNorm(before, after, 3)
            for before, after in ((half, half // 2), (half // 2, half // 4), (half // 4, half // 4))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        x = self.point(x)
        kept, x = [self.pool(x)], self.down(x)
        for conv in self.convs:
            x = conv(x)
            kept.append(x)
        return torch.cat(kept, 1)


class STDCNet(nn.Module):
    """The encoder: 256, 512 and 1024 channels at stride 8, 16 and 32."""

    def __init__(self, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 32, 3, 2), ConvNorm(32, 64, 3, 2))
        self.stages = nn.ModuleList()
        inputs = 64
        for count, outputs in zip(blocks, (256, 512, 1024), strict=True):
            first = ShortTermDense(inputs, outputs, 2)
            self.stages.append(nn.Sequential(first, *(ShortTermDense(outputs, outputs, 1) for _ in range(count - 1))))
            inputs = outputs

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map `(N, 3, H, W)` to what stages 3, 4 and 5 give."""
        x, given = self.stem(image), []
        for stage in self.stages:
            x = stage(x)
            given.append(x)
        return given


def _classifier(inputs: int, num_classes: int) -> nn.Conv2d:
    """1x1 convolution with a bias that no training moves: the reference has none, MMSegmentation's files bring one."""
    conv = nn.Conv2d(inputs, num_classes, 1, bias=False)
    del conv.bias
    conv.register_buffer("bias", torch.zeros(num_classes))
    return conv


class STDCSeg(nn.Module):
    """The encoder, context at stride 8, fused with stage 3; logits at stride 8."""

    training_only = ("auxiliary_heads", "detail_head")
    boundary_weights = (20.0, 0.0)

    def __init__(self, num_classes: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.encoder = STDCNet(blocks)
        self.context = ContextPath(512, 1024)
        attention = nn.Sequential(
            nn.Conv2d(256, 64, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(64, 256, 1, bias=False)
        )
        self.fuse = FeatureFusion(256 + 128, 256, attention)
        self.head = nn.Sequential(ConvNorm(256, 256, 3), _classifier(256, num_classes))
        self.auxiliary_heads: nn.ModuleList | None = nn.ModuleList(head(128, 64, num_classes) for _ in range(2))
        self.detail_head: nn.Module | None = head(256, 64, 1)
        init_for_relu(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        logits: Tensor = self.head(self._features(image)[0])
        return logits

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of the head, of context at stride 8 and 16, and `(N, 1, H/8, W/8)` of a boundary between classes."""
        assert self.auxiliary_heads is not None, "the auxiliary heads were dropped for deployment"
        assert self.detail_head is not None, "the detail head was dropped for deployment"
        fused, at8, context8, context16 = self._features(image)
        head8, head16 = self.auxiliary_heads
        return self.head(fused), head8(context8), head16(context16), self.detail_head(at8)

    def _features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        at8, at16, at32 = self.encoder(image)
        context8, context16 = self.context(at8, at16, at32)
        return self.fuse(at8, context8), at8, context8, context16


def stdc(num_classes: int, pretrained: bool, *, size: str) -> STDCSeg:
    """Build STDC1-Seg or STDC2-Seg; its encoder has no published weights that fit by themselves."""
    assert not pretrained
    return STDCSeg(num_classes, BLOCKS[size])
