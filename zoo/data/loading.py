"""From files to arrays: read an image or a label map, stream training batches, walk over a split."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader

from zoo.config import TrainConfig
from zoo.data.layout import Dataset, Frame
from zoo.data.transforms import augment
from zoo.errors import UserError
from zoo.spec import IGNORE_INDEX, DatasetSpec, Size

Pixels = NDArray[np.uint8]

KEPT_BYTES = 1 << 30
"""A split whose decoded frames need no more than this is decoded once and kept in memory while it is trained on."""
_DAMAGE = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError)
_COLOR_MODES = ("RGB", "RGBA", "L", "P", "CMYK", "YCbCr")


def read_image(path: Path) -> Pixels:
    """Read a PNG, JPEG or WebP file as RGB `(H, W, 3)`.

    Raises:
        UserError: the file is missing, damaged or truncated, or holds more than 8 bits per channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode in _COLOR_MODES:
                return np.array(image.convert("RGB"))
            mode = image.mode
    except _DAMAGE as error:
        raise _unreadable("image", path, error) from error
    raise UserError(f"image {path} has Pillow mode {mode}; an image has 8 bits per channel: store it as 8-bit RGB")


def frame_size(dataset: Dataset, split: str) -> Size:
    """`(height, width)` of a split's first frame.

    Raises:
        UserError: no such split, or its first image cannot be read.
    """
    height, width = read_image(dataset.frames(split)[0].image).shape[:2]
    return height, width


def read_label(frame: Frame, spec: DatasetSpec) -> Pixels:
    """Read a frame's label map as train ids `(H, W)`, `IGNORE_INDEX` where no class counts.

    Raises:
        UserError: no label, a damaged file, more than one channel, a size unlike the image's, values the dataset lacks.
    """
    path = frame.label
    if path is None:
        raise UserError(f"frame {frame.name} has no label file; its split cannot be trained or evaluated on")
    try:
        with Image.open(path) as label:
            mode = label.mode
            histogram, values = (label.histogram(), np.array(label)) if mode == "L" else ([], np.empty(0, np.uint8))
    except _DAMAGE as error:
        raise _unreadable("label", path, error) from error
    if mode != "L":
        raise UserError(
            f"label {path} has Pillow mode {mode}; a label map is a single-channel 8-bit PNG (mode L) of ids, not of "
            "colours, palette entries or 16-bit instance ids"
        )
    identity = {value: value for value in (*range(spec.num_classes), IGNORE_INDEX)}
    known = identity if frame.has_train_ids else spec.label_to_train_id
    strange = [value for value, pixels in enumerate(histogram) if pixels and value not in known]
    if strange:
        kind = f"train ids (0 to {spec.num_classes - 1}, 255)" if frame.has_train_ids else f"{spec.name} label ids"
        raise UserError(
            f"label {path} holds {', '.join(map(str, strange[:8]))}: not among the {kind}; correct the file"
        )
    height, width = _image_size(frame.image)
    if values.shape != (height, width):
        raise UserError(
            f"label {path} is {values.shape[0]}x{values.shape[1]} but image {frame.image} is {height}x{width}; "
            "both need the same size"
        )
    if frame.has_train_ids:
        return values
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[list(known)] = list(known.values())
    train_ids: Pixels = table[values]
    return train_ids


def evaluation_frames(
    dataset: Dataset, split: str, *, limit: int | None = None
) -> Iterator[tuple[Frame, Pixels, Pixels]]:
    """Walk over a split as `(frame, image (H, W, 3), label (H, W))`; the next frames are read while one is used.

    Args:
        dataset: an opened dataset.
        split: such as `"val"`.
        limit: at most this many frames, spread evenly over the split; `None`: all.

    Raises:
        UserError: no such split, or a file that cannot be read.
    """
    frames = dataset.frames(split)
    if limit is not None and limit < len(frames):
        frames = tuple(frames[index * len(frames) // limit] for index in range(limit))
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(_read_pair, frame, dataset.spec) for frame in frames[:2])
        for index, frame in enumerate(frames):
            image, label = waiting.popleft().result()
            waiting.extend(reader.submit(_read_pair, later, dataset.spec) for later in frames[index + 2 : index + 3])
            yield frame, image, label


def train_batches(
    dataset: Dataset,
    split: str,
    config: TrainConfig,
    *,
    start_step: int = 0,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless augmented batches: images `uint8 (N, H, W, 3)` RGB and train ids `uint8 (N, H, W)`, not normalised.

    Every epoch is a new order of the split. A batch depends on the split, the config and its step alone: a stream that
    starts at step k continues one that was left there, with any number of workers.

    Args:
        dataset: an opened dataset.
        split: such as `"train"`.
        config: names batch size, crop, augmentation and seed.
        start_step: step of the first batch.
        workers: loader processes; 0 loads in this process.
        pin_memory: copy batches to page-locked memory, from where a GPU fetches them faster.

    Raises:
        UserError: no such split, or a file that cannot be read.
    """
    samples = _Samples(dataset.frames(split), dataset.spec, config)
    if workers:
        samples.decode_all()  # once, here: the processes share it
    loader = DataLoader(
        samples,
        batch_sampler=_Steps(start_step, config.batch_size),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_interrupts,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        images, labels = batch
        yield images, labels


def _leave_interrupts(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training loop's to answer


class _Steps:
    """Batches of sample numbers from a step on, without end."""

    def __init__(self, start: int, batch_size: int) -> None:
        self.start = start
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.start):
            yield list(range(step * self.batch_size, (step + 1) * self.batch_size))


class _Samples(torch.utils.data.Dataset[tuple[Pixels, Pixels] | UserError]):
    """Sample g of the endless stream: frame `g mod n` of epoch `g // n`'s order, augmented by dice seeded with g."""

    def __init__(self, frames: Sequence[Frame], spec: DatasetSpec, config: TrainConfig) -> None:
        self.frames = frames
        self.spec = spec
        self.config = config
        height, width, _ = read_image(frames[0].image).shape
        self.keep = height * width * 4 * len(frames) <= KEPT_BYTES
        self.kept: dict[int, tuple[Pixels, Pixels]] = {}

    def __getitem__(self, number: int) -> tuple[Pixels, Pixels] | UserError:
        epoch, position = divmod(number, len(self.frames))
        index = int(_order(self.config.seed, epoch, len(self.frames))[position])
        try:
            image, label = self.kept.get(index) or self._decode(index)
        except UserError as error:
            return error  # raised in the main process, without a worker's traceback around it
        return augment(image, label, self.config, np.random.default_rng((self.config.seed, 1, number)))

    def decode_all(self) -> None:
        """Fill the memory, where the split fits."""
        if self.keep:
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._decode, range(len(self.frames))))

    def _decode(self, index: int) -> tuple[Pixels, Pixels]:
        pair = _read_pair(self.frames[index], self.spec)
        if self.keep:
            self.kept[index] = pair
        return pair


def _collate(samples: list[tuple[Pixels, Pixels] | UserError]) -> tuple[Tensor, Tensor] | UserError:
    pairs = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        pairs.append(sample)
    images, labels = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))


def _read_pair(frame: Frame, spec: DatasetSpec) -> tuple[Pixels, Pixels]:
    return read_image(frame.image), read_label(frame, spec)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, frame_count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(frame_count)


def _image_size(path: Path) -> Size:
    try:
        with Image.open(path) as image:  # reads the header alone
            return image.height, image.width
    except _DAMAGE as error:
        raise _unreadable("image", path, error) from error


def _unreadable(what: str, path: Path, error: BaseException) -> UserError:
    if isinstance(error, FileNotFoundError):
        why = "it does not exist"
    elif isinstance(error, UnidentifiedImageError):
        why = "it is not an image Pillow knows"
    else:
        why = str(error) or type(error).__name__
    return UserError(f"{what} {path} cannot be read: {why}; replace the file")
