"""ICNet on ResNet-18: three branches, the deeper one the smaller its image.

Paper: Zhao, Qi, Shen, Shi, Jia: ICNet for Real-Time Semantic Segmentation on High-Resolution Images, ECCV 2018
URL: https://arxiv.org/abs/1704.08545
Licence: Apache-2.0 (this file, and mmseg's code)
Compared with: mmseg as vendored in gyyang23/RDRNet 93d3b81, relative error 0 in float64 at 65x129 and 131x90, auxiliary
    heads included.
Size: 24.87 M parameters and 74.2 GMACs at 1024x2048, as mmseg's. Published figures (7.7 or 26.5 M, 30.7 GMACs) are of
    other encoders.

This is mmseg's variant, for which there are weights: the encoder is a ResNet-18 whose stem is three 3x3 convolutions,
dilated in its last two stages; it reads the image at 1/2 and its own features at half their resolution from stage 3 on;
auxiliary heads read the branch that fusion upsampled. The encoder of the paper is a pruned PSPNet on ResNet-50.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, resize_to

_POOLS = (1, 2, 3, 6)
_WIDTH = 128


class _Residual(nn.Module):
    """ResNet's basic block; its first convolution is the strided and the dilated one."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs, stride=stride, dilation=dilation)
        self.conv2 = ConvNorm(outputs, outputs, activation=None)
        changes = stride > 1 or inputs != outputs
        self.skip = ConvNorm(inputs, outputs, 1, stride, activation=None) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        y += self.skip(x)
        return y.relu_()


class _Pyramid(nn.Module):
    """PSPNet's module: averages over grids of several sizes beside the features themselves."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(ConvNorm(channels, outputs, 1) for _ in _POOLS)
        self.join = ConvNorm(channels + len(_POOLS) * outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [
            level(nn.functional.adaptive_avg_pool2d(x, side)) for side, level in zip(_POOLS, self.levels, strict=True)
        ]
        y: Tensor = self.join(torch.cat([*(resize_to(level, x) for level in pooled), x], dim=1))
        return y


class _Fusion(nn.Module):
    """Cascade feature fusion: `(upsampled and fused, upsampled)`."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low = ConvNorm(low, _WIDTH, dilation=2)
        self.high = ConvNorm(high, _WIDTH, 1)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        low = self.low(resize_to(low, high))
        return low + self.high(high), low


class ICNet(nn.Module):
    """A few strided convolutions on the whole image, half of the encoder on 1/2 of it, the rest on 1/4."""

    training_only = ("aux_head_16", "aux_head_8")

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.whole = nn.Sequential(*(ConvNorm(*pair, stride=2) for pair in ((3, 32), (32, 32), (32, 64))))
        self.stem = nn.Sequential(
            ConvNorm(3, 32, stride=2), ConvNorm(32, 32), ConvNorm(32, 64), nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        )
        self.layer1 = nn.Sequential(_Residual(64, 64), _Residual(64, 64))
        self.layer2 = nn.Sequential(_Residual(64, 128, stride=2), _Residual(128, 128))
        self.layer3 = nn.Sequential(_Residual(128, 256), _Residual(256, 256, dilation=2))
        self.layer4 = nn.Sequential(_Residual(256, 512, dilation=2), _Residual(512, 512, dilation=4))
        self.pyramid = _Pyramid(512, 512)
        self.enter_half = ConvNorm(128, 256, 1)
        self.enter_quarter = ConvNorm(512, 256, 1)
        self.fuse_16 = _Fusion(256, 256)
        self.fuse_8 = _Fusion(_WIDTH, 64)
        self.head = _head(num_classes)
        self.aux_head_16: nn.Module | None = _head(num_classes)
        self.aux_head_8: nn.Module | None = _head(num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`, sizes rounded up."""
        logits: Tensor = self.head(self._features(image)[0])
        return logits

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits at 1/8, and those of the auxiliary heads at 1/16 and 1/8, all `(N, K, h, w)`."""
        assert self.aux_head_16 is not None, "the auxiliary heads were dropped for deployment"
        assert self.aux_head_8 is not None
        fused, upsampled_16, upsampled_8 = self._features(image)
        return self.head(fused), self.aux_head_16(upsampled_16), self.aux_head_8(upsampled_8)

    def _features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.layer2(self.layer1(self.stem(_halve(image))))
        quarter = self.pyramid(self.layer4(self.layer3(_halve(half))))
        fused, upsampled_16 = self.fuse_16(self.enter_quarter(quarter), self.enter_half(half))
        fused, upsampled_8 = self.fuse_8(fused, self.whole(image))
        return fused, upsampled_16, upsampled_8


def _halve(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear")


def _head(num_classes: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(_WIDTH, _WIDTH), nn.Conv2d(_WIDTH, num_classes, 1))


def icnet_resnet18(num_classes: int, pretrained: bool) -> ICNet:
    """Build ICNet; the ImageNet weights of its encoder are no part of the weights torchvision publishes."""
    assert not pretrained
    return ICNet(num_classes)
