"""What is deployed around a network: `uint8` image in, `uint8` label map out, as one module.

Three sizes, three names: `image_size` (the frame as it comes), `input_size` (what the network is asked to see) and
`output_size` (the label map). All are `(height, width)`.
"""

from __future__ import annotations

import bisect
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.record import Resize
from zoo.spec import ModelSpec, Size

_WIDE_BYTES = 12 << 20  # logit rows widened at a time, by all threads together
_BAND_BYTES = 8 << 20  # full-resolution logits alive at a time, likewise


class Pipeline(nn.Module):
    """Normalise, resize and pad → network → upsample and argmax.

    Shapes: `(N, *image_size, 3)` `uint8` RGB → `(N, *output_size)` `uint8` class ids (255: no class of the dataset).

    A frame is resized keeping its aspect (`"fit"`), stretched (`"stretch"`) or taken as it is (`"none"`), with the same
    antialiased bilinear filter as Pillow and torchvision. What is left of `input_size`, and of the next multiples of
    the network's divisor, is padded at the right and at the bottom with the mean.

    Labels are read from the logits in one step: bilinear from the network's own stride to the padded grid at output
    resolution, cropped to `output_size`, argmax. Where the frame was not resized that is, bit for bit, the library's
    own pad → forward → upsample → crop → argmax. Where it was, the logits are not brought to the input's resolution
    first and resized a second time; the padded grid at output resolution is rounded to whole pixels.

    Args:
        model: `(N, 3, H, W)` normalised images → `(N, K, h, w)` logits.
        spec: how the model is fed and read: `mean`, `std`, `divisor`, `align_corners`, `train_ids`.
        image_size: of the frames as they come.
        input_size: what the network sees, before padding to the divisor.
        output_size: of the label maps.
        resize: how a frame is brought from `image_size` to `input_size`.

    Attributes:
        fitted_size: of the resized frame inside the network's input.
        padded_size: of the network's input.

    Raises:
        UserError: `resize` is `"none"` and `image_size` differs from `input_size`.
    """

    gain: Tensor
    offset: Tensor
    classes: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        spec: ModelSpec,
        *,
        image_size: Size,
        input_size: Size,
        output_size: Size,
        resize: Resize,
    ) -> None:
        super().__init__()
        if resize == "none" and image_size != input_size:
            raise UserError(
                f"resize = none needs frames of the input's size; frames are {_text(image_size)}, the input is "
                f"{_text(input_size)}: choose resize = fit or stretch, or leave the input size away"
            )
        self.model = model
        self.spec = spec
        self.image_size = image_size
        self.input_size = input_size
        self.output_size = output_size
        self.resize = resize
        self.fitted_size = _fit(image_size, input_size) if resize == "fit" else input_size
        self.padded_size = _round_up(input_size, spec.divisor)
        self.grid_size = (
            round(self.padded_size[0] * output_size[0] / self.fitted_size[0]),
            round(self.padded_size[1] * output_size[1] / self.fitted_size[1]),
        )
        mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (spec.mean, spec.std))
        self.register_buffer("gain", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)
        classes = None if spec.train_ids is None else torch.tensor(spec.train_ids, dtype=torch.uint8)
        self.register_buffer("classes", classes, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` RGB → `(N, *output_size)` `uint8` class ids."""
        return self.postprocess(self.network(self.preprocess(images)))

    def preprocess(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` RGB → `(N, 3, *padded_size)` normalised `float32`, channels last in memory."""
        assert images.shape[1:] == (*self.image_size, 3), f"{tuple(images.shape)} is not (N, *{self.image_size}, 3)"
        x = images.permute(0, 3, 1, 2).to(torch.float32)  # N3HW; its memory stays NHWC
        if self.fitted_size != self.image_size:
            x = F.interpolate(x, self.fitted_size, mode="bilinear", antialias=True)
        x = torch.addcmul(self.offset, x, self.gain)  # 8x the speed of (x - mean) / std on a CPU, in this memory format
        bottom, right = self.padded_size[0] - self.fitted_size[0], self.padded_size[1] - self.fitted_size[1]
        return F.pad(x, (0, right, 0, bottom)) if bottom or right else x  # 0 is the mean here

    def network(self, x: Tensor) -> Tensor:
        """`(N, 3, *padded_size)` → `(N, K, h, w)` logits."""
        logits: Tensor = self.model(x)
        return logits

    def postprocess(self, logits: Tensor) -> Tensor:
        """`(N, K, h, w)` logits → `(N, *output_size)` `uint8` class ids."""
        labels = upsample_argmax(logits, self.grid_size, self.output_size, self.spec.align_corners)
        return labels if self.classes is None else self.classes[labels.int()]


def upsample_argmax(logits: Tensor, size: Size, crop: Size, align_corners: bool) -> Tensor:
    """Class of every pixel: logits bilinearly upsampled to `size`, cropped to `crop` from the top left, argmax.

    On a CPU the full-resolution logits never exist. Bilinear interpolation is separable, so a few logit rows are
    widened to the output's width first, then output rows are a `lerp` of two of them: contiguous, whatever the scale.
    The argmax over classes is a max-pooling with a `(K, 1)` window over channels-last rows, the one kernel of torch
    that is vectorised across pixels and keeps indices. Threads take strips of rows and do not meet before the end:
    torch's own meet hundreds of times here, which on a busy machine was seen to take a hundred times as long.
    `benchmarks/test_upsample_argmax.py` has the figures.
    While a graph is being recorded (export, compile) and on other devices, it is the plain reference.

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
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        return upsample_argmax_reference(logits, size, crop, align_corners)
    return _upsample_argmax_in_strips(logits, size, crop, align_corners)


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


def _fit(size: Size, box: Size) -> Size:
    """Largest size of the same aspect inside `box`, at least one pixel."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))


def _round_up(size: Size, divisor: int) -> Size:
    return -(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
