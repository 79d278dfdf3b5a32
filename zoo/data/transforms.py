"""Training augmentation of an image and its label map together; `uint8` in, `uint8` out.

Only the window that will be seen is read and resampled, once, from the full-resolution frame. Colours are drawn here,
with the sample's own dice, and changed in batches on the device that trains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from zoo.config import TrainConfig
from zoo.spec import IGNORE_INDEX, IMAGENET_MEAN, Size

Pixels = NDArray[np.uint8]

PAD_COLOR = np.array([round(mean * 255) for mean in IMAGENET_MEAN], np.uint8)


class Sample(NamedTuple):
    """One augmented frame of `crop_size`."""

    image: Pixels
    """RGB `(h, w, 3)`."""
    label: Pixels
    """Train ids `(h, w)`."""
    color: NDArray[np.float32]
    """Factors of brightness, contrast and saturation `(3,)` that the image is still to be changed by; 1 is as it is."""


def augment(image: Pixels, label: Pixels, config: TrainConfig, dice: np.random.Generator) -> Sample:
    """Scale, crop and flip one frame as `config` says, and draw its colours.

    The frame is seen at `image_size` (aspect kept), scaled by a factor drawn log-uniformly from `scale_range`; of that,
    a window of `crop_size` is cut at random. The window is cut from the source first, at whole source pixels, and
    resampled alone: images bilinearly with antialiasing, labels by nearest neighbour, on the same grid. What is missing
    at the right and bottom is filled with the mean colour, and with `IGNORE_INDEX` in the label.

    Args:
        image: RGB `(H, W, 3)`; may be a memory map, of which only the window is read.
        label: train ids `(H, W)`.
        config: names sizes and strengths.
        dice: decides; equal dice give equal results.
    """
    low, high = config.scale_range
    scale = low * (high / low) ** dice.random()
    if config.image_size is not None:
        scale *= fit_scale((label.shape[0], label.shape[1]), config.image_size)
    (top, bottom, height), (left, right, width) = (
        _span(whole, crop, scale, dice) for whole, crop in zip(label.shape, config.crop_size, strict=True)
    )
    flip = config.flip and bool(dice.integers(2))
    strength = config.color_jitter
    color = dice.uniform(1 - strength, 1 + strength, 3) if strength > 0 else np.ones(3)

    window = resize_image(image[top:bottom, left:right], (height, width), mirrored=flip)
    target = resize_label(label[top:bottom, left:right], (height, width), mirrored=flip)
    return Sample(
        _pad(window, config.crop_size, PAD_COLOR),
        _pad(target, config.crop_size, np.uint8(IGNORE_INDEX)),
        color.astype(np.float32),
    )


def fit_scale(size: Size, within: Size) -> float:
    """The factor that brings `size` to `within` with its aspect kept, so that both sides fit."""
    return min(within[0] / size[0], within[1] / size[1])


def resize_image(image: Pixels, size: Size, *, mirrored: bool = False) -> Pixels:
    """Resize `(H, W, 3)` bilinearly, antialiased where it shrinks; `mirrored` left to right if asked for."""
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]  # 13HW, its memory stays HWC
    if pixels.shape[2:] != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    if mirrored:
        pixels = pixels.flip(3)
    resized: Pixels = pixels[0].permute(1, 2, 0).numpy()
    return resized


def resize_label(label: Pixels, size: Size, *, mirrored: bool = False) -> Pixels:
    """Resize `(H, W)` to the pixels under the target pixels' centres; `mirrored` left to right if asked for."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, label.shape, strict=True))
    resized: Pixels = label.take(rows, axis=0).take(columns[::-1] if mirrored else columns, axis=1)
    return resized


def _span(whole: int, crop: int, scale: float, dice: np.random.Generator) -> tuple[int, int, int]:
    """Where a window begins and ends along one axis, in source pixels, and its length in target pixels."""
    scaled = max(1, round(whole * scale))
    seen = min(crop, scaled)
    source = max(1, round(whole * seen / scaled))
    start = int(dice.integers(whole - source + 1))
    return start, start + source, seen


def _pad(pixels: Pixels, size: Size, value: Pixels | np.uint8) -> Pixels:
    """Fill up to `size` at the right and bottom."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    padded = np.empty((*size, *pixels.shape[2:]), np.uint8)
    padded[:] = value
    padded[:height, :width] = pixels
    return padded
