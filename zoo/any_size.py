"""The pipeline for frames of any size: what `Pipeline` fixes when it is made is reckoned from each frame.

Only the frame's sides are open. The network sees the same padded input whatever the frame, so any network will do.
These modules are made to be exported: sides stand in tensors, where a graph can reckon with them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.pipeline import Pipeline


class AnySizePreprocess(nn.Module):
    """`Pipeline.preprocess` of any frame: `(N, H, W, 3)` `uint8` RGB → `(N, 3, *padded_size)`.

    Resizing is a product with one matrix for the rows and one for the columns. Most of their weights are 0, so it costs
    more than it does for a fixed size (`resample.py`): 6 G multiply-accumulates from 1080x1920 to 512x1024.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self._shared = (pipeline,)  # its network is no part of this module

    def forward(self, images: Tensor) -> Tensor:
        """Resize, normalise, pad."""
        (pipeline,) = self._shared
        sides = _sides(images)
        filters = [
            _filter(torch.arange(length, device=images.device), side, fitted, padded)
            for length, side, fitted, padded in zip(
                images.shape[1:3], sides, _fitted(pipeline, sides), pipeline.padded_size, strict=True
            )
        ]
        (down, inside_rows), (across, inside_columns) = filters
        x = down @ pipeline.channels_first(images) @ across.T
        x = torch.addcmul(pipeline.offset, x, pipeline.gain) * inside_rows * inside_columns.T  # 0 is the mean here
        return x.to(pipeline.dtype)


class AnySizePostprocess(nn.Module):
    """`Pipeline.postprocess` for any frame: logits, images `(N, H, W, 3)` → `(N, H, W)` `uint8` class ids."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self._shared = (pipeline,)

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Upsample, crop, argmax; the images are asked for their size alone."""
        (pipeline,) = self._shared
        sides = _sides(images)
        grid = [
            _divide(padded * side, fitted)
            for padded, side, fitted in zip(pipeline.padded_size, sides, _fitted(pipeline, sides), strict=True)
        ]
        x = logits.float()
        for axis in (1, 0):  # columns first, while there are few rows
            at = torch.arange(images.shape[1 + axis], device=images.device)
            x = _upsample(x, 2 + axis, at, grid[axis], pipeline.spec.align_corners)
        return pipeline.named(x.argmax(1).to(torch.uint8))


def _sides(images: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width as `int64`."""
    height, width = (
        torch.full((), side, dtype=torch.int64, device=images.device) for side in (images.shape[1], images.shape[2])
    )
    return height, width


def _divide(x: Tensor, by: Tensor) -> Tensor:
    """Nearest integer to `x / by`, both above 0."""
    return torch.div(2 * x + by, 2 * by, rounding_mode="trunc")


def _fitted(pipeline: Pipeline, sides: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """`Pipeline.fitted_size` of a frame."""
    height, width = sides
    rows, columns = (torch.full_like(height, side) for side in pipeline.input_size)
    if pipeline.resize == "stretch":
        return rows, columns
    return (
        torch.minimum(rows, _divide(height * columns, width)).clamp(min=1),
        torch.minimum(columns, _divide(width * rows, height)).clamp(min=1),
    )


def _filter(at: Tensor, side: Tensor, fitted: Tensor, padded: int) -> tuple[Tensor, Tensor]:
    """Weights `(padded, side)` of the triangle filter of `resample.py`, and which rows of them are not padding."""
    scale = side / fitted
    support = scale.clamp(min=1)
    row = torch.arange(padded, device=at.device)[:, None]
    inside = (row < fitted).float()
    center = (torch.minimum(row, fitted - 1) + 0.5) * scale
    weights = (1 - (at + 0.5 - center).abs() / support).clamp(min=0)
    return weights / weights.sum(1, keepdim=True), inside


def _upsample(x: Tensor, axis: int, at: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """Bilinear along one axis: the pixels `at` of a grid of `grid` pixels that `x` covers."""
    source = x.shape[axis]
    if align_corners:
        position = at * ((source - 1) / (grid - 1).clamp(min=1))
    else:
        position = ((at + 0.5) * (source / grid) - 0.5).clamp(min=0)
    upper = position.to(torch.int64).clamp(max=source - 1)
    lower = (upper + 1).clamp(max=source - 1)
    share = (position - upper).clamp(0, 1).reshape([-1 if axis == number else 1 for number in range(4)])
    above, below = x.index_select(axis, upper), x.index_select(axis, lower)
    return above + share * (below - above)
