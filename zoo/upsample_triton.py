"""`upsample_argmax` as one Triton kernel: the only file that imports Triton, which torch brings where it has CUDA."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoo.spec import Size

_COLUMNS = 128  # of a tile: one per thread of four warps
_UNROLL = 4  # classes whose loads are in flight together


@triton.jit  # type: ignore[untyped-decorator]
def _source_index(target: tl.tensor, scale: float, align_corners: tl.constexpr) -> tl.tensor:
    """Where a target pixel lies among the source's, as torch's `area_pixel_compute_source_index` has it."""
    if align_corners:
        return target * scale
    else:  # noqa: RET505  a branch the compiler drops
        return tl.maximum((target + 0.5) * scale - 0.5, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _upsample_argmax_kernel(
    logits: tl.tensor,
    labels: tl.tensor,
    classes: int,
    height: int,
    width: int,
    stride_n: tl.int64,
    stride_k: tl.int64,
    stride_h: tl.int64,
    stride_w: tl.int64,
    crop_height: int,
    crop_width: int,
    scale_h: float,
    scale_w: float,
    align_corners: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    unroll: tl.constexpr,
) -> None:
    """Labels of a tile of `rows` by `columns` output pixels, in one pass per logit row that the tile lies under.

    The arithmetic is that of torch's `upsample_bilinear2d_out_frame` (aten/src/ATen/native/cuda/UpSampleBilinear2d.cu)
    and of the functions it takes from UpSample.cuh, in `float32` and in that order; what depends on the column alone
    is shared by the tile's rows. Strides and offsets are 64 bits wide (Triton takes `int` for 32): in a large
    batch they pass 2^31.
    """
    image = tl.program_id(2).to(tl.int64)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    column = tl.program_id(0) * columns + tl.arange(0, columns)
    y = _source_index(tl.minimum(row, crop_height - 1), scale_h, align_corners)
    x = _source_index(tl.minimum(column, crop_width - 1), scale_w, align_corners)
    upper, left = y.to(tl.int32), x.to(tl.int32)
    right = tl.minimum(left + 1, width - 1)
    lower_share, right_share = (y - upper)[:, None], x - left
    upper_share, left_share = 1 - lower_share, 1 - right_share
    left_offset, right_offset = left.to(tl.int64) * stride_w, right.to(tl.int64) * stride_w
    inside = (row < crop_height)[:, None] & (column < crop_width)[None, :]
    pixel = (image * crop_height + row)[:, None] * crop_width + column[None, :]

    for top in range(tl.min(upper), tl.max(upper) + 1):
        above = logits + image * stride_n + tl.cast(top, tl.int64) * stride_h
        below = logits + image * stride_n + tl.cast(tl.minimum(top + 1, height - 1), tl.int64) * stride_h
        best = tl.full((rows, columns), float("-inf"), tl.float32)
        label = tl.zeros((rows, columns), tl.int32)
        for k in tl.range(classes, loop_unroll_factor=unroll):
            above_left = tl.load(above + left_offset).to(tl.float32)
            above_right = tl.load(above + right_offset).to(tl.float32)
            below_left = tl.load(below + left_offset).to(tl.float32)
            below_right = tl.load(below + right_offset).to(tl.float32)
            wide_above = left_share * above_left + right_share * above_right  # columns
            wide_below = left_share * below_left + right_share * below_right
            value = upper_share * wide_above[None, :] + lower_share * wide_below[None, :]  # rows, columns
            better = (best == best) & ~(value <= best)  # noqa: PLR0124  NaN is the largest, as in torch.argmax
            best = tl.where(better, value, best)
            label = tl.where(better, k, label)
            above += stride_k
            below += stride_k
        tl.store(labels + pixel, label.to(tl.uint8), inside & (upper == top)[:, None])


def upsample_argmax_triton(logits: Tensor, size: Size, crop: Size, align_corners: bool) -> Tensor:
    """`zoo.upsample.upsample_argmax` on a CUDA device: logits are read at their own size, one byte a pixel is written.

    NaN is the largest value and the first one wins, as in `torch.argmax`. At a factor of 1 a neighbour's NaN or
    infinity counts, times 0, where torch copies.

    Args:
        logits: `(N, K, h, w)` of any strides, `float32`, `bfloat16` or `float16`; computed in `float32`. K ≤ 255.
        size: of the whole grid the logits cover.
        crop: the part to keep, at most `size`.
        align_corners: as in `torch.nn.functional.interpolate`.

    Returns:
        `(N, *crop)` `uint8` channel indices; the first one on a tie.
    """
    n, classes, height, width = logits.shape
    labels = torch.empty((n, *crop), dtype=torch.uint8, device=logits.device)
    factor = size[0] / height
    rows = 4 if factor >= 8 else 2 if factor >= 4 else 1  # at half the factor a tile lies between two logit rows
    grid = (triton.cdiv(crop[1], _COLUMNS), triton.cdiv(crop[0], rows), n)
    with torch.cuda.device_of(logits):  # type: ignore[no-untyped-call]  # Triton launches on the current device
        _upsample_argmax_kernel[grid](
            logits,
            labels,
            classes,
            height,
            width,
            *logits.stride(),
            *crop,
            _scale(height, size[0], align_corners),
            _scale(width, size[1], align_corners),
            align_corners=align_corners,
            rows=rows,
            columns=_COLUMNS,
            unroll=_UNROLL,
            enable_fp_fusion=True,  # as torch's own kernels are compiled
        )
    return labels


def _scale(source: int, target: int, align_corners: bool) -> float:
    """Source pixels per target pixel: torch's `area_pixel_compute_scale` (aten/src/ATen/native/cuda/UpSample.cuh)."""
    if align_corners:
        return (source - 1) / (target - 1) if target > 1 else 0.0
    return source / target
