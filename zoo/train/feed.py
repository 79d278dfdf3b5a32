"""From a batch as it is loaded to what a network is fed: colours changed and normalised in float, on the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.loading import Batch
from zoo.errors import ModelError
from zoo.spec import IGNORE_INDEX, ModelSpec

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601)."""


class Feed:
    """Recolours, normalises and pads images to the divisor; labels become channel indices.

    `Batch` of `uint8 (N, H, W, 3)`, `uint8 (N, H, W)` and `float (N, 3)` → `float (N, 3, H', W')`, channels last, and
    `int64 (N, H', W')`.

    Raises:
        ModelError: several channels of the network are the same class.
    """

    def __init__(self, spec: ModelSpec, num_classes: int, device: torch.device) -> None:
        self.device, self.spec = device, spec
        self.mean = torch.tensor(spec.mean, device=device) * 255
        self.std = torch.tensor(spec.std, device=device) * 255
        self.is_bgr = spec.channel_order == "bgr"
        channels = torch.full((256,), IGNORE_INDEX)  # train id → channel
        for channel, train_id in enumerate(spec.train_ids or range(num_classes)):
            if train_id == IGNORE_INDEX:
                continue
            if channels[train_id] != IGNORE_INDEX:
                raise ModelError(
                    f"{spec.name}: its train_ids give class {train_id} to several channels, so there is no one channel "
                    "to train; evaluate it with weights of its own, or give it one channel per class"
                )
            channels[train_id] = channel
        self.channels = channels.to(device)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Bring one batch to the device."""
        pixels = batch.images.to(self.device, non_blocking=True).float()  # NHW3
        if not torch.equal(batch.colors, torch.ones_like(batch.colors)):
            pixels = recolor(pixels, batch.colors.to(self.device, non_blocking=True))
        pixels = pixels.flip(3) if self.is_bgr else pixels
        image = ((pixels - self.mean) / self.std).permute(0, 3, 1, 2)  # its memory stays NHWC
        label = self.channels[batch.labels.to(self.device, non_blocking=True).int()]
        height, width = label.shape[1:]
        padded = self.spec.padded((height, width))
        bottom, right = padded[0] - height, padded[1] - width
        if bottom or right:
            image = F.pad(image, (0, right, 0, bottom))  # 0 is the mean here
            label = F.pad(label, (0, right, 0, bottom), value=IGNORE_INDEX)
        return image, label


def recolor(pixels: Tensor, colors: Tensor) -> Tensor:
    """Change brightness, contrast and saturation as one linear map per image.

    Args:
        pixels: RGB `(N, H, W, 3)`, 0 to 255.
        colors: Factors `(N, 3)` of brightness (towards black), contrast (towards the image's mean gray) and saturation
            (towards each pixel's gray); 1 changes nothing.

    Returns:
        `(N, H, W, 3)`, cut to 0 … 255.
    """
    luma = torch.tensor(LUMA, device=pixels.device)
    brightness, contrast, saturation = colors.view(-1, 3, 1, 1).unbind(1)  # each (N, 1, 1)
    gray = brightness * (pixels[:, ::8, ::8].mean((1, 2)) @ luma).view(-1, 1, 1)
    mix = saturation * torch.eye(3, device=pixels.device) + (1 - saturation) * luma  # (N, 3, 3): out x in
    offset = ((1 - contrast) * gray).expand(-1, 1, 3)
    mapped = torch.baddbmm(offset, pixels.flatten(1, 2), (contrast * brightness * mix).mT)
    return mapped.clamp_(0, 255).view(pixels.shape)
