"""From files to a stream: walk over a split, or train on it without end."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from zoo.config import TrainConfig
from zoo.data.headers import say_forms
from zoo.data.layout import Dataset, Frame, OnFrame, spread
from zoo.data.prepared import PreparationError, prepare
from zoo.data.reading import frame_sizes, read_frame
from zoo.data.spelling import Pixels
from zoo.data.transforms import Sample, augment
from zoo.errors import ModelError, UserError
from zoo.spec import DatasetSpec, Size

PATIENCE_S = 1800.0
"""How long loader processes may take for a batch."""
POLL_S = 10
"""How often it is looked whether they live, while one waits for them."""
MORE_SHARED_MEMORY = "give a container more of /dev/shm (docker run --shm-size=2g), or load without (--set workers=0)"
Arrays = tuple[NDArray[Any], ...]
"""The parts of a `Batch` as numpy has them."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What one forward pass is trained on: not normalised, not recoloured yet."""

    images: Tensor
    """`uint8 (N, H, W, 3)`, RGB."""
    labels: Tensor
    """`uint8 (N, H, W)`, train ids."""
    colors: Tensor
    """`float32 (N, 3)`: factors of brightness, contrast and saturation to change each image by; 1 is as it is."""


def evaluation_frames(
    dataset: Dataset, split: str, *, limit: int | None = None
) -> Iterator[tuple[Frame, Pixels, Pixels]]:
    """Walk over a split as `(frame, image (H, W, 3), label (H, W))`; the next frames are read while one is used.

    Frames of one size follow each other, so that what is made for a size is made once and need not be kept.

    Args:
        dataset: an opened dataset.
        split: such as `"val"`.
        limit: at most this many frames, spread evenly over the split; `None`: all.

    Raises:
        UserError: no such split, a limit below 1, or a file that cannot be read: where its header tells so, before the
            first frame.
    """
    asked = spread(dataset.frames(split), limit)
    say_forms(dataset, split, asked)
    of_size: dict[Size, list[Frame]] = defaultdict(list)
    for frame, size in zip(asked, frame_sizes(asked), strict=True):
        of_size[size].append(frame)
    reader_count = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(reader_count) as readers:
        frames = list(chain.from_iterable(of_size.values()))
        unread = iter(frames)
        waiting = deque(readers.submit(read_frame, frame, dataset.spec) for frame in islice(unread, reader_count + 1))
        for frame in frames:
            image, label = waiting.popleft().result()
            waiting.extend(readers.submit(read_frame, later, dataset.spec) for later in islice(unread, 1))
            yield frame, image, label


def train_batches(
    dataset: Dataset,
    split: str,
    config: TrainConfig,
    *,
    start_step: int = 0,
    workers: int = 0,
    pin_memory: bool = False,
    cache: Path | None = None,
    shard: tuple[int, int] = (0, 1),
    prepared: bool = True,
    on_frame: OnFrame | None = None,
) -> TrainStream:
    """Endless augmented batches of a split, which is prepared first (`data.prepared`) where the disk has room.

    Every epoch is a new order of the split. A step is `config.batch_size` images; each of `n` processes gets them in
    `config.accumulate` batches, and together they see exactly the images that one process would. A batch depends on
    the split, the config, its step and `shard` alone: a stream that starts at step k continues one that was left
    there, with any number of workers, prepared or not.

    Args:
        dataset: an opened dataset.
        split: such as `"train"`.
        config: names batch size, crop, augmentation and seed.
        start_step: step of the first batch.
        workers: loader processes; 0 loads in this process.
        pin_memory: copy batches to page-locked memory, from where a GPU fetches them faster.
        cache: where prepared data is kept; `None`: `cache_folder()`.
        shard: `(i, n)` for the i-th of n processes that train together.
        prepared: `False` decodes the files anew for every sample; so does a cache that cannot be written, with a note.
        on_frame: told of every frame that is prepared, all of them before this function returns.

    Raises:
        UserError: no such split, a batch that cannot be shared out evenly, or a file that cannot be read.
    """
    batches = _Numbers(start_step, config, shard)
    frames = dataset.frames(split)
    if shard[0] == 0:
        say_forms(dataset, split, frames)
    read: Callable[[int], tuple[Pixels, Pixels]] = partial(_read_number, frames, dataset.spec)
    if prepared:
        try:
            read = prepare(dataset, split, cache=cache, on_frame=on_frame, turn=shard).frame
        except PreparationError as error:
            _log.warning("every frame is decoded anew whenever it is seen: %s", error)
    return TrainStream(_Samples(len(frames), read, config), batches, workers=workers, pin_memory=pin_memory)


class TrainStream(Iterator[Batch]):
    """What `train_batches` returns."""

    def __init__(self, samples: _Samples, numbers: _Numbers, *, workers: int, pin_memory: bool) -> None:
        self._samples = samples
        self._batches = _load(samples, numbers, workers=workers, pin_memory=pin_memory)

    def __next__(self) -> Batch:
        return next(self._batches)

    def close(self) -> None:
        """End the loader processes."""
        self._batches.close()

    def whole_batches(self, start_step: int) -> Iterator[Batch]:
        """Batches from another step on as a process that trains alone gets them, loaded in this process.

        This stream stays where it is.
        """
        return _load(self._samples, _Numbers(start_step, self._samples.config, (0, 1)), workers=0, pin_memory=False)


def _load(samples: _Samples, numbers: _Numbers, *, workers: int, pin_memory: bool) -> Generator[Batch]:
    def start(count: int) -> Iterator[Batch | Arrays | UserError]:
        loader: DataLoader[Sample | UserError] = DataLoader(
            samples,
            batch_sampler=numbers,
            num_workers=count,
            collate_fn=_collate,
            pin_memory=pin_memory,
            timeout=POLL_S if count else 0,
            prefetch_factor=4 if count else None,
            worker_init_fn=_leave_interrupts,
        )
        with _child_signals_kept():
            return iter(loader)

    try:
        batches = start(workers)
    except OSError as error:  # no room for their semaphores, or for themselves
        if not workers:
            raise
        _log.warning(
            "no loader process could be started (%s), so batches are loaded in this one; %s", error, MORE_SHARED_MEMORY
        )
        batches = start(workers := 0)
    piped = False
    for batch in _with_patience(batches) if workers else batches:
        if isinstance(batch, UserError):
            raise batch
        if not isinstance(batch, Batch):
            if not piped:
                _log.warning("shared memory is full, so batches take a slower way; %s", MORE_SHARED_MEMORY)
            piped = True
            batch = Batch(*map(torch.from_numpy, batch))  # noqa: PLW2901
        yield batch


def _with_patience(batches: Iterator[T]) -> Iterator[T]:
    """Wait for each batch while the loader processes live, but not for ever.

    Raises:
        ModelError: one was killed, crashed, or gave nothing within `PATIENCE_S`.
    """
    while True:
        asked = time.monotonic()
        while True:
            try:
                batch = next(batches)
                break
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:  # it may go in the middle of a message
                said = " ".join(str(error).split()) or type(error).__name__
                is_late = said.startswith("DataLoader timed out")
                if is_late and time.monotonic() - asked < PATIENCE_S:
                    continue
                of_torch = said.startswith(("DataLoader worker", "Pin memory thread"))
                if isinstance(error, RuntimeError) and not is_late and not of_torch:
                    raise
                what = f"gave nothing for {PATIENCE_S:.0f} s" if is_late else f"failed ({said[:150]})"
                raise ModelError(
                    f"a process that loads batches {what}; the system ends one mostly for want of memory: take fewer "
                    "or none (--set workers=0), and the same command goes on from the last checkpoint"
                ) from error
        yield batch


@contextmanager
def _child_signals_kept() -> Iterator[None]:
    """Take back the handler by which torch tells of a dead process in the middle of whatever runs; asking it does."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _leave_interrupts(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training loop's to answer


class _Numbers:
    """The sample numbers of one process's batches from a step on, without end.

    Step s is samples `s*B` to `(s+1)*B - 1`, cut into `n*A` equal batches: A after A, every process takes its own of n.
    """

    def __init__(self, start_step: int, config: TrainConfig, shard: tuple[int, int]) -> None:
        index, process_count = shard
        self.start_step, self.step_size = start_step, config.batch_size
        self.size, left_over = divmod(config.batch_size, process_count * config.accumulate)
        if left_over or not self.size:
            raise UserError(
                f"batch_size {config.batch_size} is not a multiple of {process_count} processes x {config.accumulate} "
                "batches accumulated in each; choose one that is"
            )
        self.offsets = [(piece * process_count + index) * self.size for piece in range(config.accumulate)]

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.start_step):
            for offset in self.offsets:
                first = step * self.step_size + offset
                yield list(range(first, first + self.size))


class _Samples(torch.utils.data.Dataset[Sample | UserError]):
    """Sample g of the endless stream: frame `g mod n` of epoch `g // n`'s order, augmented by dice seeded with g."""

    def __init__(self, frame_count: int, read: Callable[[int], tuple[Pixels, Pixels]], config: TrainConfig) -> None:
        self.frame_count = frame_count
        self.read = read
        self.config = config

    def __getitem__(self, number: int) -> Sample | UserError:
        epoch, position = divmod(number, self.frame_count)
        index = int(_order(self.config.seed, epoch, self.frame_count)[position])
        try:
            image, label = self.read(index)
        except UserError as error:
            return error  # raised in the main process, without a worker's traceback around it
        return augment(image, label, self.config, np.random.default_rng((self.config.seed, 1, number)))


def _collate(samples: list[Sample | UserError]) -> Batch | Arrays | UserError:
    sound = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        sound.append(sample)
    arrays = tuple(np.stack(parts) for parts in zip(*sound, strict=True))
    if get_worker_info() is None:
        return Batch(*map(torch.from_numpy, arrays))
    try:  # here, where a fault is seen: torch would do it in a thread that loses the batch, and nobody is told
        return Batch(*(torch.from_numpy(array).share_memory_() for array in arrays))  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError):
        return arrays  # through the pipe


def _read_number(frames: Sequence[Frame], spec: DatasetSpec, index: int) -> tuple[Pixels, Pixels]:
    return read_frame(frames[index], spec)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, frame_count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(frame_count)
