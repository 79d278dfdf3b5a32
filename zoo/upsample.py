"""The label of every pixel from logits at the network's own stride, without the full-resolution logits."""

from __future__ import annotations

import bisect
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.spec import Size

try:
    from zoo.upsample_triton import upsample_argmax_triton
except ImportError:  # Triton comes with torch where that has CUDA
    upsample_argmax_triton = None  # type: ignore[assignment]

_WIDE_BYTES = 12 << 20  # logit rows widened at a time, by all threads together
_BAND_BYTES = 8 << 20  # full-resolution logits alive at a time, likewise


def upsample_argmax(logits: Tensor, size: Size, crop: Size, align_corners: bool) -> Tensor:
    """Class of every pixel: logits bilinearly upsampled to `size`, cropped to `crop` from the top left, argmax.

    Neither on a CPU nor on a CUDA device do the full-resolution logits exist. On CUDA it is one Triton kernel.
    On a CPU: bilinear interpolation is separable, so a few logit rows are widened to the output's width first, then
    output rows are a `lerp` of two of them: contiguous, whatever the scale.
    The argmax over classes is a max-pooling with a `(K, 1)` window over channels-last rows, the one kernel of torch
    that is vectorised across pixels and keeps indices. Threads take strips of rows and do not meet before the end:
    torch's own meet hundreds of times here, which on a busy machine was seen to take a hundred times as long.
    `benchmarks/test_upsample_argmax.py` has the figures.
    While a graph is being recorded (export, compile) and on other devices, it is the plain reference; Inductor fuses
    that one by itself.

    Args:
        logits: `(N, K, h, w)`, any floating dtype; computed in `float32`. K ≤ 255.
        size: of the whole grid the logits cover.
        crop: the part to keep, at most `size`.
        align_corners: as in `torch.nn.functional.interpolate`.

    Returns:
        `(N, *crop)` `uint8` channel indices; the first one on a tie.
    """
    assert logits.shape[1] <= 255, "a uint8 label map holds 255 classes"
    assert max(crop[0] - size[0], crop[1] - size[1]) <= 0, f"crop {crop} is larger than {size}"
    if not torch.compiler.is_compiling():
        if logits.device.type == "cpu":
            return _upsample_argmax_in_strips(logits, size, crop, align_corners)
        if logits.device.type == "cuda" and upsample_argmax_triton is not None:
            return upsample_argmax_triton(logits, size, crop, align_corners)
    return upsample_argmax_reference(logits, size, crop, align_corners)


def upsample_argmax_reference(logits: Tensor, size: Size, crop: Size, align_corners: bool) -> Tensor:
    """`upsample_argmax` as anyone would write it: what a graph records and what faster versions are tested against."""
    grid = F.interpolate(logits.float(), size, mode="bilinear", align_corners=align_corners)
    return grid[..., : crop[0], : crop[1]].argmax(1).to(torch.uint8)


def _upsample_argmax_in_strips(logits: Tensor, size: Size, crop: Size, align_corners: bool) -> Tensor:
    (n, k, h, _), (height, width) = logits.shape, size
    threads = torch.get_num_threads()
    upper, lower, share = _source_rows(h, height, align_corners)
    band_rows, wide_rows = (total // threads // (4 * k * width) for total in (_BAND_BYTES, _WIDE_BYTES))
    labels = torch.empty((n, *crop), dtype=torch.uint8)

    def fill(image: int, start: int, stop: int) -> None:
        band = torch.empty((max(1, min(band_rows, stop - start)), k, width))  # output rows, K, W
        wide, first, last = band, 0, -1  # logit rows [first, last] at full width: rows, K, W
        for top in range(start, stop, len(band)):
            bottom = min(top + len(band), stop)
            if lower[bottom - 1] > last:
                first = upper[top]
                last = max(lower[bottom - 1], min(first + wide_rows, lower[stop - 1]))
                rows = logits[image, :, first : last + 1].to(torch.float32).transpose(0, 1).contiguous()
                wide = F.interpolate(rows[None], (k, width), mode="bilinear", align_corners=align_corners)[0]
            row = top
            while row < bottom:  # rows between the same two logit rows
                end = min(bisect.bisect_right(upper, upper[row]), bottom)
                above, below = wide[upper[row] - first], wide[lower[row] - first]  # K, W
                torch.lerp(above, below, share[row:end], out=band[row - top : end - top])
                row = end
            pixels = band[: bottom - top, :, None].permute(0, 3, 1, 2)  # rows, W, K, 1; W stays innermost in memory
            _, best = F.max_pool2d(pixels, (k, 1), return_indices=True)
            labels[image, top:bottom] = best[:, : crop[1], 0, 0]

    strip = max(8, -(-crop[0] // (4 * threads)))
    jobs = [(image, top, min(top + strip, crop[0])) for image in range(n) for top in range(0, crop[0], strip)]
    work = torch.inference_mode()(fill)  # the mode belongs to a thread
    if threads == 1:
        for job in jobs:
            work(*job)
    else:
        list(_serial_threads(threads, os.getpid()).map(work, *zip(*jobs, strict=True)))  # raises what a thread raised
    return labels


@functools.cache
def _serial_threads(count: int, _process: int) -> ThreadPoolExecutor:
    """`count` threads in which torch's operators run on that thread alone; a forked process gets its own.

    OpenMP keeps the number of threads per thread, but torch hands the process's number to every new one on its first
    question, so that has to be asked first; and it tells MKL for all, which is undone at the end.
    """
    met = threading.Barrier(count)

    def start() -> None:
        torch.get_num_threads()
        torch.set_num_threads(1)
        met.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="upsample_argmax")
    for future in [pool.submit(start) for _ in range(count)]:  # each waits for all: one per thread
        future.result()
    torch.set_num_threads(count)
    return pool


def _source_rows(source: int, target: int, align_corners: bool) -> tuple[list[int], list[int], Tensor]:
    """Upper row, lower row and the lower one's share for each target row, rounded as torch's own kernel does."""
    row = torch.arange(target, dtype=torch.float32)
    if align_corners:
        at = row * (torch.tensor(float(source - 1)) / max(target - 1, 1))
    else:
        at = ((row + 0.5) * (torch.tensor(float(source)) / target) - 0.5).clamp(min=0)
    upper = at.floor().clamp(max=source - 1)
    lower = (upper + 1).clamp(max=source - 1)
    return upper.int().tolist(), lower.int().tolist(), (at - upper).clamp(0, 1).view(-1, 1, 1)
