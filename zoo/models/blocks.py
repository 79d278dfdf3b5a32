"""Blocks that many networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and activation: `(N, in, H, W)` → `(N, out, H / stride, W / stride)` of same padding.

    Args:
        inputs: Channels.
        outputs: Channels.
        kernel: Side, or `(height, width)`.
        stride: Of the convolution.
        dilation: Likewise.
        groups: Likewise.
        bias: Of the convolution; batch norm has its own.
        eps: Of batch norm.
        activation: Makes the activation; `None`: none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        *,
        bias: bool = False,
        eps: float = 1e-5,
        activation: Callable[[], nn.Module] | None = lambda: nn.ReLU(inplace=True),
    ) -> None:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, sides, stride, padding, dilation, groups, bias=bias),
            nn.BatchNorm2d(outputs, eps=eps),
        ]
        super().__init__(*layers, *([] if activation is None else [activation()]))


class ConvPool(nn.Module):
    """3x3 convolution and max pooling side by side, then batch norm: `(N, in, H, W)` → `(N, out, H/2, W/2)`.

    Args:
        inputs: Channels; the pooled ones are the last of the output.
        outputs: Channels, more than `inputs`.
        pool: Side of the pooling's window, 2 or 3.
        bias: Of the convolution.
        eps: Of batch norm.
        activation: Makes the activation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        pool: int = 2,
        *,
        bias: bool = False,
        eps: float = 1e-5,
        activation: Callable[[], nn.Module] = lambda: nn.ReLU(inplace=True),
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs - inputs, 3, 2, 1, bias=bias)
        self.pool = nn.MaxPool2d(pool, 2, (pool - 1) // 2)
        self.norm = nn.Sequential(nn.BatchNorm2d(outputs, eps=eps), activation())

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in, H, W)` with even sides to `(N, out, H/2, W/2)`."""
        joined: Tensor = self.norm(torch.cat((self.conv(x), self.pool(x)), dim=1))
        return joined


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 up to `expansion` times the channels, 3x3 depthwise, 1x1 down without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: int = 6) -> None:
        super().__init__()
        wide = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            ConvNorm(inputs, wide, 1),
            ConvNorm(wide, wide, 3, stride, groups=wide),
            ConvNorm(wide, outputs, 1, activation=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in, H, W)` to `(N, out, H/stride, W/stride)`."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def separable(inputs: int, outputs: int, stride: int = 1, *, between: bool = True) -> nn.Sequential:
    """3x3 depthwise, then 1x1 convolution, each with batch norm and ReLU; `between`: also behind the first."""
    depthwise = (
        ConvNorm(inputs, inputs, 3, stride, groups=inputs)
        if between
        else ConvNorm(inputs, inputs, 3, stride, groups=inputs, activation=None)
    )
    return nn.Sequential(depthwise, ConvNorm(inputs, outputs, 1))


def norm_prelu(channels: int, eps: float = 1e-5) -> nn.Sequential:
    """Batch norm and a PReLU with a slope for each channel."""
    return nn.Sequential(nn.BatchNorm2d(channels, eps=eps), nn.PReLU(channels))


def resize_to(x: Tensor, like: Tensor, *, align_corners: bool = False) -> Tensor:
    """Bring `(N, C, h, w)` to the height and width of another tensor, bilinearly."""
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=align_corners)


def init_for_relu(module: nn.Module) -> None:
    """Draw the convolutions of a network as He et al. (https://arxiv.org/abs/1502.01852), by their outputs."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
