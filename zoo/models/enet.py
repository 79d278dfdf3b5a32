"""ENet: an encoder and a small decoder of bottlenecks, which unpools where its encoder pooled.

Paper: Paszke, Chaurasia, Kim, Culurciello: ENet: A Deep Neural Network Architecture for Real-Time Semantic
    Segmentation, 2016
URL: https://arxiv.org/abs/1606.02147
Licence: Apache-2.0 (this file); MIT (the one below)
Compared with: davidtvs/PyTorch-ENet e17d404; largest difference of logits in float64: 0 of their largest

As in that code, the first pooling is 3x3 (the paper: 2x2), a PReLU has one slope for all channels, and the bottlenecks
that keep their size have an activation behind the expansion too. The paper's 3.83 G at 640x360 are operations, two to a
MAC; here they are 3.55 G.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, ConvPool

Activation = Callable[[], nn.Module]
CONTEXT = (1, 2, "5x1", 4, 1, 8, "5x1", 16)
"""Middle convolutions of the second and third stage: the dilation of a 3x3, or a 5x1 followed by a 1x5."""


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


class _Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, the middle convolution, 1x1 back, added to the input."""

    def __init__(self, channels: int, middle: int | str, dropout: float, activation: Activation) -> None:
        super().__init__()
        inner = channels // 4
        self.reduce = ConvNorm(channels, inner, 1, activation=activation)
        self.middle = (
            nn.Sequential(ConvNorm(inner, inner, 3, dilation=middle, activation=activation))
            if isinstance(middle, int)
            else nn.Sequential(
                ConvNorm(inner, inner, (5, 1), activation=activation),
                ConvNorm(inner, inner, (1, 5), activation=activation),
            )
        )
        self.expand = ConvNorm(inner, channels, 1, activation=activation)
        self.dropout = nn.Dropout2d(dropout)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x + self.dropout(self.expand(self.middle(self.reduce(x)))))
        return y


class _Downsampling(nn.Module):
    """A bottleneck of stride 2 beside a max pooling; also tells where each maximum stood, for the unpooling."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = inputs // 4
        self.reduce = nn.Sequential(nn.Conv2d(inputs, inner, 2, 2, bias=False), nn.BatchNorm2d(inner), nn.PReLU())
        self.middle = nn.Sequential(ConvNorm(inner, inner, activation=nn.PReLU))
        self.expand = ConvNorm(inner, outputs, 1, activation=nn.PReLU)
        self.dropout = nn.Dropout2d(dropout)
        self.activation = nn.PReLU()
        self.more = outputs - inputs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, places = nn.functional.max_pool2d(x, 2, return_indices=True)
        y = self.dropout(self.expand(self.middle(self.reduce(x))))
        return self.activation(y + nn.functional.pad(pooled, (0, 0, 0, 0, 0, self.more))), places


class _Upsampling(nn.Module):
    """A bottleneck with a transposed convolution beside a max unpooling."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = inputs // 4
        self.main = ConvNorm(inputs, outputs, 1, activation=None)
        self.reduce = ConvNorm(inputs, inner, 1)
        self.middle = nn.Sequential(
            nn.ConvTranspose2d(inner, inner, 2, 2, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)
        )
        self.expand = ConvNorm(inner, outputs, 1, activation=None)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.expand(self.middle(self.reduce(x))))
        return (y + nn.functional.max_unpool2d(self.main(x), places, (2, 2))).relu_()


class ENet(nn.Module):
    """Five stages; the first block of stages 1 and 2 halves the size, that of stages 4 and 5 doubles it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.initial = ConvPool(3, 16, pool=3, activation=nn.PReLU)
        self.down1 = _Downsampling(16, 64, 0.01)
        self.stage1 = nn.Sequential(*(_Bottleneck(64, 1, 0.01, nn.PReLU) for _ in range(4)))
        self.down2 = _Downsampling(64, 128, 0.1)
        self.stage2 = nn.Sequential(*_context())
        self.stage3 = nn.Sequential(*_context())
        self.up4 = _Upsampling(128, 64, 0.1)
        self.stage4 = nn.Sequential(_Bottleneck(64, 1, 0.1, _relu), _Bottleneck(64, 1, 0.1, _relu))
        self.up5 = _Upsampling(64, 16, 0.1)
        self.stage5 = _Bottleneck(16, 1, 0.1, _relu)
        self.head = nn.ConvTranspose2d(16, num_classes, 3, 2, 1, output_padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H, W)`; H and W are multiples of 8."""
        x, places1 = self.down1(self.initial(image))
        x, places2 = self.down2(self.stage1(x))
        x = self.stage4(self.up4(self.stage3(self.stage2(x)), places2))
        logits: Tensor = self.head(self.stage5(self.up5(x, places1)))
        return logits


def _context() -> Iterator[_Bottleneck]:
    return (_Bottleneck(128, middle, 0.1, nn.PReLU) for middle in CONTEXT)


def enet(num_classes: int, pretrained: bool) -> ENet:
    """Build the network; it has no published weights of an encoder."""
    assert not pretrained
    return ENet(num_classes)
