"""FCN-8s on VGG16.

Paper: Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, CVPR 2015
URL: https://arxiv.org/abs/1411.4038
Licence: Apache-2.0 (this file), BSD-3-Clause (torchvision's VGG16 layers)

VGG16's two hidden fully connected layers become convolutions (7x7 and 1x1); class scores at stride 32 are brought to
stride 16 and 8 by learned transposed convolutions, which begin as bilinear upsampling, and summed with scores of pool4
and pool3. Changes: fc6 is padded by 3 where the paper pads the image by 100 and crops, and the last, fixed bilinear x8
is left to the pipeline, as for every network of the zoo.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.models.from_torchvision import vgg16_features, vgg16_hidden_weights

_POOL3, _POOL4 = 17, 24
"""Where VGG16's features are cut: just behind its third and fourth max-pooling."""


class FCN8s(nn.Module):
    """VGG16 features, fc6 and fc7 as convolutions, skips from pool3 and pool4; logits at stride 8."""

    def __init__(self, num_classes: int, features: nn.Sequential) -> None:
        super().__init__()
        self.pool3 = features[:_POOL3]
        self.pool4 = features[_POOL3:_POOL4]
        self.pool5 = features[_POOL4:]
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.dropout = nn.Dropout(0.5)
        self.score = nn.Conv2d(4096, num_classes, 1)
        self.score_pool4 = nn.Conv2d(512, num_classes, 1)
        self.score_pool3 = nn.Conv2d(256, num_classes, 1)
        self.up_to_16 = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1, bias=False)
        self.up_to_8 = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1, bias=False)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for up in (self.up_to_16, self.up_to_8):
            nn.init.zeros_(up.weight)
            ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
            with torch.no_grad():
                up.weight[range(num_classes), range(num_classes)] = torch.outer(ramp, ramp)  # (K, K, 4, 4)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`; H and W are multiples of 32."""
        pool3 = self.pool3(image)
        pool4 = self.pool4(pool3)
        x = self.dropout(self.fc6(self.pool5(pool4)).relu())
        x = self.dropout(self.fc7(x).relu())
        x = self.up_to_16(self.score(x)) + self.score_pool4(pool4)
        logits: Tensor = self.up_to_8(x) + self.score_pool3(pool3)
        return logits


def fcn8s_vgg16(num_classes: int, pretrained: bool) -> FCN8s:
    """Build FCN-8s; `pretrained` fills features, fc6 and fc7 from ImageNet's VGG16, as the paper does."""
    model = FCN8s(num_classes, vgg16_features(pretrained))
    if pretrained:
        for layer, (weight, bias) in zip((model.fc6, model.fc7), vgg16_hidden_weights(), strict=True):
            layer.load_state_dict({"weight": weight.view_as(layer.weight), "bias": bias})
    return model
