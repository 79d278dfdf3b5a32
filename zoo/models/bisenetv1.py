"""BiSeNet: a shallow path of details beside a ResNet-18 whose deep stages are weighted by what they see on the whole.

Paper: Yu, Wang, Peng, Gao, Yu, Sang: BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation,
ECCV 2018
URL: https://arxiv.org/abs/1808.00897
Licence: Apache-2.0 (this file), BSD-3-Clause (torchvision's ResNet-18); the code compared with is MIT
Compared with: CoinCheung/BiSeNet 6b4b67a: relative error 0 (float64, 96x160 and 224x64)

The variant is CoinCheung's: convolutions behind each step up, and a fusion whose attention is one normalised 1x1
convolution. MMSegmentation's puts a ReLU before that attention's sigmoid, so that its checkpoints are another function.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from zoo.models.blocks import ConvNorm, init_for_relu
from zoo.models.from_torchvision import resnet18

_plain = partial(ConvNorm, activation=None)


def head(inputs: int, width: int, num_classes: int, *, bias: bool = True) -> nn.Sequential:
    """Mixes 3x3 and classifies 1x1: `(N, in, H, W)` → `(N, K, H, W)`."""
    return nn.Sequential(ConvNorm(inputs, width, 3), nn.Conv2d(width, num_classes, 1, bias=bias))


class AttentionRefinement(nn.Module):
    """Weighs each channel by its mean over the image: `(N, in, H, W)` → `(N, out, H, W)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, outputs, 3)
        self.attention = _plain(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the class says."""
        x = self.conv(x)
        weighed: Tensor = x * self.attention(x.mean((2, 3), keepdim=True)).sigmoid()
        return weighed


class ContextPath(nn.Module):
    """Brings stages at stride 16 and 32, and the mean of the last, to stride 8 and 16, 128 channels each."""

    def __init__(self, inputs16: int, inputs32: int) -> None:
        super().__init__()
        self.refine16 = AttentionRefinement(inputs16, 128)
        self.refine32 = AttentionRefinement(inputs32, 128)
        self.mean = ConvNorm(inputs32, 128, 1)
        self.up16, self.up32 = ConvNorm(128, 128, 3), ConvNorm(128, 128, 3)

    def forward(self, at8: Tensor, at16: Tensor, at32: Tensor) -> tuple[Tensor, Tensor]:
        """Map three stages `(N, C, H, W)` to context of the size of the first and of the second."""
        mean = self.mean(at32.mean((2, 3), keepdim=True))
        up32 = self.up32(interpolate(self.refine32(at32) + mean, at16.shape[2:]))  # to the nearest
        up16 = self.up16(interpolate(self.refine16(at16) + up32, at8.shape[2:]))
        return up16, up32


class FeatureFusion(nn.Module):
    """Joins details and context and adds the mix to itself, weighed by channel: `(N, in, H, W)` → `(N, out, H, W)`."""

    def __init__(self, inputs: int, outputs: int, attention: nn.Module) -> None:
        super().__init__()
        self.mix = ConvNorm(inputs, outputs, 1)
        self.attention = attention

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Map two tensors of one size as the class says."""
        x = self.mix(torch.cat((detail, context), 1))
        fused: Tensor = x + x * self.attention(x.mean((2, 3), keepdim=True)).sigmoid()
        return fused


class BiSeNetV1(nn.Module):
    """Details at stride 8 beside a ResNet-18, fused; logits at stride 8."""

    training_only = ("auxiliary_heads",)

    def __init__(self, num_classes: int, *, pretrained: bool) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            ConvNorm(3, 64, 7, 2), ConvNorm(64, 64, 3, 2), ConvNorm(64, 64, 3, 2), ConvNorm(64, 128, 1)
        )
        self.context = ContextPath(256, 512)
        self.fuse = FeatureFusion(256, 256, _plain(256, 256, 1))
        self.head = head(256, 256, num_classes)
        self.auxiliary_heads: nn.ModuleList | None = nn.ModuleList(head(128, 64, num_classes) for _ in range(2))
        init_for_relu(self)
        self.encoder = resnet18(pretrained)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        logits: Tensor = self.head(self._features(image)[0])
        return logits

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the head, and of the context at stride 8 and 16, all `(N, K, h, w)`."""
        assert self.auxiliary_heads is not None, "the auxiliary heads were dropped for deployment"
        fused, context8, context16 = self._features(image)
        head8, head16 = self.auxiliary_heads
        return self.head(fused), head8(context8), head16(context16)

    def _features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, at8, at16, at32 = self.encoder(image)
        context8, context16 = self.context(at8, at16, at32)
        return self.fuse(self.detail(image), context8), context8, context16


def bisenetv1_resnet18(num_classes: int, pretrained: bool) -> BiSeNetV1:
    """Build the network; `pretrained` begins from ImageNet's ResNet-18."""
    return BiSeNetV1(num_classes, pretrained=pretrained)
