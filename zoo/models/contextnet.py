"""ContextNet: a deep branch on the quarter image beside a shallow one on the whole.

Paper: Poudel, Bonde, Liwicki, Zach: ContextNet: Exploring Context and Detail for Semantic Segmentation in Real-time,
    BMVC 2018
URL: https://arxiv.org/abs/1805.04554
Licence: Apache-2.0 (this file); MIT (the one below)
Compared with: xiaoyufenfei/Efficient-Segmentation-Networks 0f0c32e (its first convolutions padded); largest difference
    of logits in float64: 0 of their largest

The paper's 0.85 M parameters are the weights of the convolutions alone; with biases and batch norm they are 0.877 M.
The network of this name in zh320/realtime-semantic-segmentation-pytorch is another one: its shallow branch ends at 1/2.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.models.blocks import ConvNorm, InvertedResidual, resize_to, separable

DEEP = ((1, 32, 1, 1), (6, 32, 1, 1), (6, 48, 3, 2), (6, 64, 3, 2), (6, 96, 2, 1), (6, 128, 2, 1))
"""Of each stage of inverted residuals: expansion, channels, blocks, stride of the first."""


class ContextNet(nn.Module):
    """Shallow branch at 1/8, deep branch at 1/32, their sum, two separable convolutions and a classifier."""

    training_only = ("shallow_head",)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.shallow = nn.Sequential(
            ConvNorm(3, 32, 3, 2), separable(32, 64, 2), separable(64, 128, 2), separable(128, 128)
        )
        before, stages = 32, []
        for expansion, channels, count, stride in DEEP:
            first = InvertedResidual(before, channels, stride, expansion)
            others = (InvertedResidual(channels, channels, 1, expansion) for _ in range(count - 1))
            stages.append(nn.Sequential(first, *others))
            before = channels
        self.deep = nn.Sequential(ConvNorm(3, 32, 3, 2), *stages)
        self.lateral = ConvNorm(128, 128, 1, bias=True, activation=None)
        self.raised = nn.Sequential(
            ConvNorm(128, 128, 3, groups=128), ConvNorm(128, 128, 1, bias=True, activation=None)
        )
        self.head = nn.Sequential(
            separable(128, 128), separable(128, 128), nn.Dropout(0.1), nn.Conv2d(128, num_classes, 1)
        )
        self.shallow_head: nn.Module | None = nn.Sequential(
            ConvNorm(128, 32), nn.Dropout(0.1), nn.Conv2d(32, num_classes, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        return self._decode(image, self.shallow(image))

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Main head, then that of the shallow branch, both at 1/8."""
        assert self.shallow_head is not None
        shallow = self.shallow(image)
        return self._decode(image, shallow), self.shallow_head(shallow)

    def _decode(self, image: Tensor, shallow: Tensor) -> Tensor:
        quarter = nn.functional.interpolate(image, scale_factor=0.25, mode="bilinear", align_corners=True)
        raised = self.raised(resize_to(self.deep(quarter), shallow, align_corners=True))
        logits: Tensor = self.head((self.lateral(shallow) + raised).relu_())
        return logits


def contextnet(num_classes: int, pretrained: bool) -> ContextNet:
    """Build the network; it has no published weights of an encoder."""
    assert not pretrained
    return ContextNet(num_classes)
