"""Training augmentation of an image and its label map together; `uint8` in, `uint8` out.

Only the window that will be seen is resampled, once, from the full-resolution frame.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.config import TrainConfig
from zoo.spec import IGNORE_INDEX, IMAGENET_MEAN, Size

Pixels = NDArray[np.uint8]

PAD_COLOR = tuple(round(mean * 255) for mean in IMAGENET_MEAN)
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def augment(image: Pixels, label: Pixels, config: TrainConfig, dice: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Resize, scale, crop, flip and recolour one sample as `config` says.

    The frame is brought to `image_size` (aspect kept), scaled by a factor drawn log-uniformly from `scale_range`, and a
    window of `crop_size` is cut at random; what is missing at the right and bottom is filled with the mean colour, and
    with `IGNORE_INDEX` in the label. Images are resampled bilinearly, labels by nearest neighbour, on the same grid.

    Args:
        image: RGB `(H, W, 3)`.
        label: train ids `(H, W)`.
        config: names sizes and strengths.
        dice: decides; equal dice give equal results.

    Returns:
        Image `(h, w, 3)` and label `(h, w)` of `crop_size`.
    """
    crop = config.crop_size
    low, high = config.scale_range
    scale = low * (high / low) ** dice.random()
    if config.image_size is not None:
        scale *= fit_scale((label.shape[0], label.shape[1]), config.image_size)
    scaled = tuple(max(1, round(extent * scale)) for extent in label.shape)
    height, width = (min(cut, whole) for cut, whole in zip(crop, scaled, strict=True))
    top, left = (int(dice.integers(whole - cut + 1)) for whole, cut in zip(scaled, (height, width), strict=True))
    flip = config.flip and bool(dice.integers(2))

    step_y, step_x = label.shape[0] / scaled[0], label.shape[1] / scaled[1]  # source pixels per target pixel
    box = (left * step_x, top * step_y, (left + width) * step_x, (top + height) * step_y)
    window = resample(image, box, (height, width), Image.Resampling.BILINEAR)
    if config.color_jitter > 0:
        window = window.convert("RGB", _jitter(np.asarray(window), config.color_jitter, dice))
    target = resample(label, box, (height, width), Image.Resampling.NEAREST)

    out_image = np.empty((*crop, 3), np.uint8)
    out_label = np.full(crop, IGNORE_INDEX, np.uint8)
    if (height, width) != crop:
        out_image[:] = PAD_COLOR
    step = -1 if flip else 1
    out_image[:height, :width] = np.asarray(window)[:, ::step]
    out_label[:height, :width] = np.asarray(target)[:, ::step]
    return out_image, out_label


def fit_scale(size: Size, within: Size) -> float:
    """The factor that brings `size` to `within` with its aspect kept, so that both sides fit."""
    return min(within[0] / size[0], within[1] / size[1])


def resample(
    pixels: Pixels, box: tuple[float, float, float, float], size: Size, method: Image.Resampling
) -> Image.Image:
    """Resize the part `box` (left, top, right, bottom) of an array to `size`; only that part is touched."""
    left, top, right, bottom = box
    margin_x, margin_y = (
        ceil(length / extent) + 1 for length, extent in ((right - left, size[1]), (bottom - top, size[0]))
    )
    x0, y0 = max(0, floor(left) - margin_x), max(0, floor(top) - margin_y)
    x1, y1 = min(pixels.shape[1], ceil(right) + margin_x), min(pixels.shape[0], ceil(bottom) + margin_y)
    part = Image.fromarray(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
    inside = (left - x0, top - y0, min(right - x0, x1 - x0), min(bottom - y0, y1 - y0))
    return part.resize((size[1], size[0]), method, box=inside)


def _jitter(window: Pixels, strength: float, dice: np.random.Generator) -> tuple[float, ...]:
    """Brightness, contrast and saturation as one linear map: a row of 4 per output channel."""
    brightness, contrast, saturation = dice.uniform(1 - strength, 1 + strength, 3)
    gray = float(window[::8, ::8].reshape(-1, 3).mean(axis=0) @ _LUMA) * brightness
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA
    rows = np.column_stack([contrast * brightness * mix, np.full(3, (1 - contrast) * gray)])
    return tuple(float(value) for value in rows.flat)
