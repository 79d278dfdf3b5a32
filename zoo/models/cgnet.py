"""CGNet (M3N21): blocks that see a pixel, its surroundings and the whole image.

Paper: Wu, Tang, Zhang, Cao, Zhang: CGNet: A Light-weight Context Guided Network for Semantic Segmentation,
    IEEE TIP 2021
URL: https://arxiv.org/abs/1811.08201
Licence: Apache-2.0 (this file); MIT (the authors' code), Apache-2.0 (MMSegmentation)
Compared with: wutianyiRosun/CGNet cfccea3 and MMSegmentation 1.x as in gyyang23/RDRNet 93d3b81; largest difference of
    logits in float64: 8e-14 and 1e-15 of their largest

As in MMSegmentation, whose weights are the public ones, the classifier has a bias, which the authors' code has not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, norm_prelu

EPS = 1e-3


def _prelu(channels: int) -> Callable[[], nn.Module]:
    return partial(nn.PReLU, channels)


class _ContextGuided(nn.Module):
    """Local and dilated depthwise features joined, then scaled channel by channel by their means.

    With `down` it halves the size and joins whole channels, else it works on half of them and adds its input.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int, reduction: int, *, down: bool) -> None:
        super().__init__()
        inner = outputs if down else outputs // 2
        kernel, stride = (3, 2) if down else (1, 1)
        self.reduce = ConvNorm(inputs, inner, kernel, stride, eps=EPS, activation=_prelu(inner))
        self.local = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.around = nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, groups=inner, bias=False)
        self.norm = norm_prelu(2 * inner, EPS)
        self.join = nn.Conv2d(2 * inner, outputs, 1, bias=False) if down else nn.Identity()
        self.whole = nn.Sequential(
            nn.Linear(outputs, outputs // reduction), nn.ReLU(inplace=True),
            nn.Linear(outputs // reduction, outputs), nn.Sigmoid(),
        )  # fmt: skip
        self.residual = not down

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)
        y = self.join(self.norm(torch.cat((self.local(y), self.around(y)), dim=1)))
        scale = self.whole(y.mean(dim=(2, 3)))[:, :, None, None]
        return torch.addcmul(x, y, scale) if self.residual else y * scale


class CGNet(nn.Module):
    """Stem at 1/2, 3 blocks at 1/4, 21 at 1/8; the image itself is joined to the first two."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 32, 3, 2, eps=EPS, activation=_prelu(32)),
            ConvNorm(32, 32, eps=EPS, activation=_prelu(32)),
            ConvNorm(32, 32, eps=EPS, activation=_prelu(32)),
        )
        self.halve = nn.AvgPool2d(3, 2, 1)
        self.norm1 = norm_prelu(32 + 3, EPS)
        self.stage2 = _stage(32 + 3, 64, 3, dilation=2, reduction=8)
        self.norm2 = norm_prelu(2 * 64 + 3, EPS)
        self.stage3 = _stage(2 * 64 + 3, 128, 21, dilation=4, reduction=16)
        self.norm3 = norm_prelu(2 * 128, EPS)
        self.classifier = nn.Conv2d(2 * 128, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 8."""
        half = self.halve(image)
        first = self.stage2[0](self.norm1(torch.cat((self.stem(image), half), dim=1)))
        x = self.norm2(torch.cat((self.stage2[1:](first), first, self.halve(half)), dim=1))
        first = self.stage3[0](x)
        logits: Tensor = self.classifier(self.norm3(torch.cat((first, self.stage3[1:](first)), dim=1)))
        return logits


def _stage(inputs: int, outputs: int, count: int, dilation: int, reduction: int) -> nn.Sequential:
    return nn.Sequential(
        _ContextGuided(inputs, outputs, dilation, reduction, down=True),
        *(_ContextGuided(outputs, outputs, dilation, reduction, down=False) for _ in range(count - 1)),
    )


def cgnet(num_classes: int, pretrained: bool) -> CGNet:
    """Build the network; it is trained from random weights."""
    assert not pretrained
    return CGNet(num_classes)
