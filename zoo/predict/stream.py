"""Images through a predictor: read, predicted and written side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from zoo.data.layout import OnFrame
from zoo.data.spelling import Pixels
from zoo.errors import ModelError, UserError
from zoo.faults import how_to_write, reason
from zoo.files import Content, write_all
from zoo.predict.predictor import Prediction, Predictor

Item = TypeVar("Item")
Saved = TypeVar("Saved")
OnFault = Callable[[UserError], None]
"""Told of an image that could not be read or predicted; the others go on."""
_THREADS = 4  # that read, draw and write while the network computes


class WriteError(UserError):
    """Nothing can be written where predictions belong: no reason to go on with the next image."""


class Count:
    """Images done, of a number that may prove too low: told to `on_image` one by one."""

    def __init__(self, on_image: OnFrame | None, total: int) -> None:
        self.on_image, self.total, self.done = on_image, total, 0

    def __call__(self) -> None:
        """One more is done."""
        self.done += 1
        if self.on_image:
            self.on_image(self.done, max(self.done, self.total))


def stream(
    predictor: Predictor,
    images: Iterable[tuple[Item, Callable[[], Pixels]]],
    save: Callable[[Item, Prediction], Saved],
    *,
    confidence: bool,
    on_done: Callable[[], None],
    on_fault: OnFault | None = None,
) -> Iterator[Saved]:
    """Yield `save(item, prediction)` in order; threads read and save other images while the network sees one.

    What cannot be read, and what the network fails on, is told to `on_fault` and left out; without it, it is raised.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        rest = iter(images)
        reading = deque((item, pool.submit(read)) for item, read in islice(rest, 2))
        saving: deque[Future[Saved]] = deque()
        while reading or saving:
            if reading:
                item, image = reading.popleft()
                reading.extend((later, pool.submit(read)) for later, read in islice(rest, 1))
                prediction = _predicted(predictor, item, image, confidence, on_fault)
                if prediction is None:
                    on_done()
                else:
                    saving.append(pool.submit(save, item, prediction))
            if saving and (not reading or len(saving) == _THREADS):
                yield saving.popleft().result()
                on_done()


def _predicted(
    predictor: Predictor, item: object, image: Future[Pixels], confidence: bool, on_fault: OnFault | None
) -> Prediction | None:
    try:
        pixels = image.result()
    except UserError as error:
        if on_fault is None:
            raise
        on_fault(error)
        return None
    try:
        return predictor(pixels, confidence=confidence)
    except ModelError as error:
        if on_fault is None:
            raise
        on_fault(ModelError(f"{item}: {error}"))
        return None


def write(contents: Mapping[Path, Content], target: Path) -> None:
    """`write_all` with one line for what a disk may say."""
    try:
        write_all(contents)
    except OSError as error:
        raise WriteError(f"cannot write {target}: {reason(error)}; {how_to_write(error, 'another place')}") from error
