"""Blocks that many networks share."""

from __future__ import annotations

from collections.abc import Callable

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
        activation: Callable[[], nn.Module] | None = lambda: nn.ReLU(inplace=True),
    ) -> None:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, sides, stride, padding, dilation, groups, bias=bias),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([] if activation is None else [activation()]))


def resize_to(x: Tensor, like: Tensor, *, align_corners: bool = False) -> Tensor:
    """Bring `(N, C, h, w)` to the height and width of another tensor, bilinearly."""
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=align_corners)


def init_for_relu(module: nn.Module) -> None:
    """Draw the convolutions of a network as He et al. (https://arxiv.org/abs/1502.01852), by their outputs."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
