"""How a frame is read when accuracy is counted: whole, through a sliding window, at several scales, mirrored.

The field's convention, that of MMSegmentation (`slide_inference` and `aug_test` of its `EncoderDecoder`): logits are
averaged where windows overlap; class probabilities (softmax) are brought to the output's size, then averaged over
scales and mirror images. Published results "with multi-scale and flip" are made so, and so many times slower.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.record import Mode
from zoo.runtimes.base import Runnable
from zoo.spec import Size

MAX_SCALE = 4.0


def evaluation_mode(
    *,
    window: Size | None = None,
    stride: Size | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Mode:
    """Check what was asked for.

    Args:
        window: `None`: frames are read whole.
        stride: `None`: two thirds of the window (MMSegmentation's 513 of 769 for Cityscapes).
        scales: Times the input size.
        flip: Whether each frame is also read mirrored.

    Raises:
        UserError: a stride without a window or beyond it, or a scale out of range.
    """
    if stride is not None and window is None:
        raise UserError("a stride is the step of a window; give --window too, or leave --stride away")
    if window is not None and stride is None:
        stride = (-(-2 * window[0] // 3), -(-2 * window[1] // 3))
    if window is not None and stride is not None and (stride[0] > window[0] or stride[1] > window[1]):
        raise UserError(
            f"a stride of {stride[0]}x{stride[1]} leaves gaps between windows of {window[0]}x{window[1]}; "
            "choose one no larger than the window"
        )
    if not scales or not all(0 < scale <= MAX_SCALE for scale in scales):
        given = ", ".join(f"{scale:g}" for scale in scales) or "none"
        raise UserError(f"scales are above 0 and at most {MAX_SCALE:g}, such as 0.75,1,1.25; got {given}")
    return Mode(window=window, stride=stride, scales=tuple(scales), flip=flip)


def seen_window(window: Size, size: Size) -> Size:
    """A window inside an image no larger than it."""
    return min(window[0], size[0]), min(window[1], size[1])


def predictor(mode: Mode, deployed: Sequence[tuple[Pipeline, Runnable]]) -> Callable[[Tensor], Tensor]:
    """Make what answers frames of one size in a mode; whole frames are read by the deployed pipeline itself.

    Args:
        mode: How frames are read.
        deployed: The network deployed for that frame size at each of the mode's scales.

    Returns:
        `(N, H, W, 3)` `uint8` on the host → `(N, H, W)` `uint8` train ids on the host.
    """
    if mode == Mode():
        return deployed[0][1].predict

    @torch.inference_mode()
    def predict(images: Tensor) -> Tensor:
        pipeline, runnable = deployed[0]
        total = functools.reduce(Tensor.add_, _probabilities(mode, deployed, images))  # has the argmax of the average
        labels = total.argmax(1).to(torch.uint8)
        return runnable.copy_out(labels if pipeline.classes is None else pipeline.classes[labels.int()])

    return predict


def _probabilities(mode: Mode, deployed: Sequence[tuple[Pipeline, Runnable]], images: Tensor) -> Iterator[Tensor]:
    """Read the images once at each scale, and once more mirrored: `(N, K, *output_size)` each."""
    for pipeline, runnable in deployed:
        yield _logits(pipeline, runnable, mode, images).softmax(1)
        if mode.flip:
            yield _logits(pipeline, runnable, mode, images.flip(2)).softmax(1).flip(3)


def _logits(pipeline: Pipeline, runnable: Runnable, mode: Mode, images: Tensor) -> Tensor:
    """`(N, H, W, 3)` `uint8` → `(N, K, *output_size)` logits, on the device."""
    assert runnable.preprocess is not None, "eager mode has its stages"
    assert runnable.network is not None
    align_corners = pipeline.spec.align_corners
    x = runnable.preprocess(runnable.copy_in(images))  # N, 3, *padded_size
    if mode.window is None:
        return _upsample(runnable.network(x), pipeline.grid_size, pipeline.output_size, align_corners)
    assert mode.stride is not None
    height, width = pipeline.fitted_size
    window = seen_window(mode.window, (height, width))
    padded = pipeline.spec.padded(window)
    padding = 0, padded[1] - window[1], 0, padded[0] - window[0]  # with the mean, as the pipeline does
    total, times = None, torch.zeros((height, width), device=x.device)
    for top in _starts(height, window[0], mode.stride[0]):
        for left in _starts(width, window[1], mode.stride[1]):
            part = F.pad(x[..., top : top + window[0], left : left + window[1]], padding)
            logits = _upsample(runnable.network(part), padded, window, align_corners)
            if total is None:
                total = logits.new_zeros((*logits.shape[:2], height, width))
            total[..., top : top + window[0], left : left + window[1]] += logits
            times[top : top + window[0], left : left + window[1]] += 1
    assert total is not None
    return _upsample(total / times, pipeline.output_size, pipeline.output_size, align_corners)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along one axis; the last one ends with the frame."""
    return [*range(0, length - window, stride), length - window]


def _upsample(logits: Tensor, size: Size, crop: Size, align_corners: bool) -> Tensor:
    if tuple(logits.shape[2:]) != tuple(size):
        logits = F.interpolate(logits.float(), size, mode="bilinear", align_corners=align_corners)
    return logits[..., : crop[0], : crop[1]].float()
