"""The smallest network of the zoo: two convolutions down, two transposed convolutions up.

Paper: none; a tutorial's first network, with its two faults mended: it answers with as many channels as there are
classes, and every size that is a multiple of 4 comes back whole.
Licence: Apache-2.0 (this file)
"""

from __future__ import annotations

from torch import Tensor, nn


class EncoderDecoder(nn.Module):
    """Two 3x3 convolutions (3→64→128), each with ReLU and max-pooling, then two transposed convolutions of stride 2."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        )  # fmt: skip
        # output_padding makes each of them double its input exactly; without it a pixel is lost at the border.
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(128, 64, 3, stride=2, padding=1, output_padding=1), nn.ReLU(inplace=True),
            nn.ConvTranspose2d(64, num_classes, 3, stride=2, padding=1, output_padding=1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H, W)`; H and W are multiples of 4."""
        logits: Tensor = self.decoder(self.encoder(image))
        return logits


def encoder_decoder(num_classes: int, pretrained: bool) -> EncoderDecoder:
    """Build the network; it has no published weights."""
    assert not pretrained
    return EncoderDecoder(num_classes)
