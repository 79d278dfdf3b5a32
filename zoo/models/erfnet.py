"""ERFNet: residual blocks of factorised convolutions.

Paper: Romera, Álvarez, Bergasa, Arroyo: ERFNet: Efficient Residual Factorized ConvNet for Real-Time Semantic
    Segmentation, IEEE T-ITS 2018
URL: https://doi.org/10.1109/TITS.2017.2750080
Licence: Apache-2.0 (this file); CC BY-NC 4.0 (the authors' code)
Compared with: Eromera/erfnet_pytorch d4a46fa; largest difference of logits in float64: 0 of their largest
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.models.blocks import ConvPool

EPS = 1e-3


class _NonBottleneck(nn.Module):
    """3x1, 1x3, and both again dilated, added to the input: non-bottleneck-1D."""

    def __init__(self, channels: int, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, (1, 3), padding=(0, 1)),
            nn.BatchNorm2d(channels, eps=EPS),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
            nn.BatchNorm2d(channels, eps=EPS),
            nn.Dropout2d(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return (y + x).relu_()


def _down(inputs: int, outputs: int) -> ConvPool:
    return ConvPool(inputs, outputs, bias=True, eps=EPS)


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1),
        nn.BatchNorm2d(outputs, eps=EPS),
        nn.ReLU(inplace=True),
    )


class ERFNet(nn.Module):
    """Encoder to 1/8 with 5 and 8 residual blocks, decoder with twice 2, learned upsampling to the full size."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.initial = _down(3, 16)
        self.encoder = nn.Sequential(
            _down(16, 64), *(_NonBottleneck(64, dropout=0.03) for _ in range(5)),
            _down(64, 128), *(_NonBottleneck(128, dilation, 0.3) for dilation in (2, 4, 8, 16) * 2),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            _up(128, 64), _NonBottleneck(64), _NonBottleneck(64), _up(64, 16), _NonBottleneck(16), _NonBottleneck(16)
        )
        self.head = nn.ConvTranspose2d(16, num_classes, 2, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H, W)`; H and W are multiples of 8."""
        logits: Tensor = self.head(self.decoder(self.encoder(self.initial(image))))
        return logits


def erfnet(num_classes: int, pretrained: bool) -> ERFNet:
    """Build the network, its encoder included from random weights."""
    assert not pretrained
    return ERFNet(num_classes)
