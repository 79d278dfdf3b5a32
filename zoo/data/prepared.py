"""A split decoded once: its frames as memory-mapped arrays, of which a crop reads no more than it shows.

The arrays lie in blocks of up to 32 frames, each a folder that is named by a hash of what it was made from:

    <cache>/prepared/<dataset's folder>-<split>-<hash of its path>/<hash of the frames' files>/
        sizes.npy    int64 (n, 2)            height and width of each frame
        images.npy   uint8 (sum of H*W*3,)   RGB
        labels.npy   uint8 (sum of H*W,)     train ids

So a block is there whole or not at all, an interrupted preparation goes on at the next block, a changed source asks for
another block, and all processes share one copy, the page cache's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.cache import cache_folder, use
from zoo.data.headers import say_forms
from zoo.data.layout import Dataset, Frame, OnFrame, named_train_ids
from zoo.data.reading import frame_sizes, read_frame, unreadable
from zoo.data.spelling import Pixels
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import remove_folder, whole_folder
from zoo.spec import DatasetSpec, Size

BLOCK_FRAMES = 32
RESERVE_BYTES = 1 << 30
"""Disk that a preparation leaves free."""
_VERSION = 1
"""Of what a block holds; raised whenever that changes."""


class PreparationError(UserError):
    """The cache has no room, or cannot be written or read; the dataset itself can be read unprepared."""


class Prepared:
    """A prepared split: `frame(i)` is the i-th frame of `Dataset.frames(split)` as two read-only arrays."""

    def __init__(self, blocks: Sequence[Path]) -> None:
        self.folder = blocks[0].parent
        self._blocks = [_Block(folder) for folder in blocks]

    def frame(self, index: int) -> tuple[Pixels, Pixels]:
        """Image `(H, W, 3)` and train ids `(H, W)`; what is not looked at is not read."""
        block, position = divmod(index, BLOCK_FRAMES)
        return self._blocks[block].frame(position)


def prepare(
    dataset: Dataset,
    split: str,
    *,
    cache: Path | None = None,
    on_frame: OnFrame | None = None,
    turn: tuple[int, int] = (0, 1),
) -> Prepared:
    """Decode what is not decoded yet, on all cores, and open it; what no longer matches its source is removed first.

    A source counts as changed when the path, size or time of modification of a file is another.

    Args:
        dataset: an opened dataset.
        split: such as `"train"`; its frames need labels.
        cache: where the arrays are kept; `None`: `cache_folder()`.
        on_frame: told of every frame that was decoded.
        turn: `(i, n)` for the i-th of n processes that prepare at the same time: each begins elsewhere, so that they
            share the work.

    Raises:
        PreparationError: the disk is too full, or the cache cannot be written or read.
        UserError: no such split, or a file that cannot be read.
    """
    folder = _folder(dataset, split, cache)
    use(folder)
    frames = dataset.frames(split)
    if turn[0] == 0:
        say_forms(dataset, split, frames)
    groups = [frames[first : first + BLOCK_FRAMES] for first in range(0, len(frames), BLOCK_FRAMES)]
    blocks = {folder / _block_name(dataset, group): group for group in groups}
    try:
        _remove_others(folder, blocks)
        missing = [block for block in blocks if not _can_be_opened(block)]
        first = len(missing) * turn[0] // turn[1]
        if missing:
            work = {block: blocks[block] for block in missing[first:] + missing[:first]}
            _decode(work, dataset.spec, len(frames), on_frame or (lambda _done, _total: None))
            use(folder)
        prepared = Prepared(list(blocks))
    except OSError as error:
        advice = how_to_write(error, "another cache with --cache or ZOO_CACHE")
        raise PreparationError(f"prepared data cannot be kept in {folder}: {reason(error)}; {advice}") from error
    return prepared


class _Block:
    """The frames of one folder, mapped: pixels reach memory when they are looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.sizes: list[list[int]] = np.load(folder / "sizes.npy").tolist()
            self.images, self.labels = (
                np.load(folder / name, mmap_mode="r").view(np.ndarray) for name in ("images.npy", "labels.npy")
            )
        except (EOFError, ValueError) as error:  # shorter than its header says
            raise PreparationError(f"prepared data {folder} is damaged; delete that folder") from error
        self.starts = [0, *accumulate(height * width for height, width in self.sizes)]

    def __reduce__(self) -> tuple[type[_Block], tuple[Path]]:
        return _Block, (self.folder,)  # a process of its own maps the files anew

    def frame(self, position: int) -> tuple[Pixels, Pixels]:
        (height, width), start, end = self.sizes[position], *self.starts[position : position + 2]
        return (
            self.images[3 * start : 3 * end].reshape(height, width, 3),
            self.labels[start:end].reshape(height, width),
        )


def _folder(dataset: Dataset, split: str, cache: Path | None) -> Path:
    path_hash = hashlib.sha256(os.fsencode(dataset.root)).hexdigest()[:8]
    return (cache or cache_folder()) / "prepared" / f"{dataset.root.name[:40]}-{split}-{path_hash}"


def _block_name(dataset: Dataset, frames: Sequence[Frame]) -> str:
    """Hash of all that decides what a block holds; the label's encoding is part of most files' names."""
    facts: list[object] = [_VERSION, sorted(dataset.spec.label_to_train_id.items()), dataset.spec.num_classes]
    for frame in frames:
        for what, path in (("image", frame.image), ("label", frame.label)):
            if path is None:
                continue
            try:
                status = path.stat()
            except OSError as error:
                raise unreadable(what, path, error) from error
            facts.append([path.relative_to(dataset.root).as_posix(), status.st_size, status.st_mtime_ns])
        if frame.label is not None and frame.has_train_ids and not named_train_ids(frame.label):
            facts.append("trainIds")
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _can_be_opened(block: Path) -> bool:
    """Whether a block is there; a damaged one is removed, so that it is made again."""
    if not block.is_dir():
        return False
    try:
        _Block(block)
    except (OSError, PreparationError):
        with suppress(OSError):  # another process was faster, or this one may only read
            remove_folder(block)
        return False
    return True


def _remove_others(folder: Path, blocks: Container[Path]) -> None:
    """Remove blocks whose source has changed, which makes room for what it is now."""
    for standing in folder.iterdir() if folder.is_dir() else ():
        if standing not in blocks and not standing.name.startswith("."):
            with suppress(OSError):  # another process was faster, or this one may only read
                remove_folder(standing)


def _decode(work: Mapping[Path, Sequence[Frame]], spec: DatasetSpec, total: int, on_frame: OnFrame) -> None:
    """Make the folders of `work` from their frames, one after the other, the frames of each on all cores."""
    with ThreadPoolExecutor() as pool:
        frames = [frame for group in work.values() for frame in group]
        sizes = dict(zip(frames, frame_sizes(frames), strict=True))
        _require_room(next(iter(work)), sum(4 * height * width for height, width in sizes.values()))

        def fill(group: Sequence[Frame], ready: int, draft: Path) -> None:
            pairs = pool.map(lambda frame: _read_sized(frame, sizes[frame], spec), group)
            area = sum(height * width for height, width in map(sizes.__getitem__, group))
            np.save(draft / "sizes.npy", np.array([sizes[frame] for frame in group]))
            with (draft / "images.npy").open("wb") as images, (draft / "labels.npy").open("wb") as labels:
                _write_header(images, 3 * area)
                _write_header(labels, area)
                for count, (image, label) in enumerate(pairs, start=ready + 1):
                    images.write(image.data)  # not through a map: a full disk would end the process there
                    labels.write(label.data)
                    on_frame(count, total)

        ready = total - len(frames)
        for block, group in work.items():
            whole_folder(block, partial(fill, group, ready))
            ready += len(group)


def _read_sized(frame: Frame, size: Size, spec: DatasetSpec) -> tuple[Pixels, Pixels]:
    image, label = read_frame(frame, spec)
    if image.shape[:2] != size:
        raise UserError(f"image {frame.image} was changed while it was read; prepare again")
    return image, label


def _write_header(stream: BinaryIO, length: int) -> None:
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (length,)})


def _require_room(path: Path, need: int) -> None:
    standing = next(folder for folder in path.parents if folder.is_dir())
    free = shutil.disk_usage(standing).free
    if free < need + RESERVE_BYTES:
        raise PreparationError(
            f"prepared data needs {need / 2**30:.1f} GiB in {standing}, which has {free / 2**30:.1f} GiB free and "
            f"keeps {RESERVE_BYTES / 2**30:.0f} GiB so; free some room, or name another cache with --cache or ZOO_CACHE"
        )
