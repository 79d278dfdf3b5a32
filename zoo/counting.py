"""Accuracy by `zoo-miou/1`: a split's pixels counted at the ground truth's full size, whatever predicted them.

Void, the pixels whose truth is ignored, counts nowhere: Cityscapes' own definition. Three others are in use: what is
predicted on void counts as a false positive; pixels predicted as void are dropped; void is one more class. Each gives
another mIoU for the same label maps (ESPNet's on CamVid: 57.2 by ours, then 55.6, 59.8 and 53.2), so a published number
is comparable only where its definition is known to be this one. Here a pixel that is predicted as no class is a miss.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo import record
from zoo.confusion import Counts, count_pairs, count_runs, counts, find_runs
from zoo.data.layout import Dataset, Frame, OnFrame
from zoo.data.loading import evaluation_frames
from zoo.data.png import DEEP_GREY, GREY, plain_png
from zoo.data.reading import opened
from zoo.data.spelling import stored_mode
from zoo.encodings import (
    Table,
    tables,
)
from zoo.errors import UserError
from zoo.instances import CATEGORY_NAMES, CLASS_NAMES, TARGETS, Seen, instance_counts, see_instances
from zoo.labels import CITYSCAPES
from zoo.score.accuracy import COUNTS, miou_interval
from zoo.spec import Size

Predict = Callable[[Tensor], Tensor]
"""`(N, H, W, 3)` `uint8` RGB on the host → `(N, H, W)` `uint8` train ids on the host."""
LabelMap = npt.NDArray[np.uint8]
Item = tuple[Frame, LabelMap, LabelMap]
"""A frame, its image `(H, W, 3)` and its truth `(H, W)`."""
Given = TypeVar("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class EvaluationResult:
    """What was counted over a split: everything accuracy is derived from."""

    confusion: npt.NDArray[np.int64]
    """`(K, K + 1)`: row = truth, column = prediction, last column = predictions of no class."""
    true_positives: npt.NDArray[np.int32]
    """`(images, K)` pixels per image, as are the next two."""
    false_positives: npt.NDArray[np.int32]
    false_negatives: npt.NDArray[np.int32]
    image_names: tuple[str, ...]
    seconds: float
    """Wall time, reading included."""
    instances: npt.NDArray[np.float64] | None = None
    """`(T, 3)`: weighted true positives, weighted false negatives and false positives of each of
    `zoo.instances.TARGETS`; `None` where a frame has no instance map in Cityscapes' encoding."""
    mode: record.Mode | None = field(default_factory=record.Mode)
    """How frames were read; `None` for label maps another program wrote."""
    network: record.Network | None = None
    """What predicted, where it is a model of the zoo."""
    reading: record.Reading | None = None
    """What the values were taken for, where another program wrote them."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about it, one line each."""

    @property
    def per_image(self) -> npt.NDArray[np.int32]:
        """`(3, images, K)`: true positives, false positives and false negatives."""
        return np.stack([getattr(self, name) for name in COUNTS])

    @property
    def samples(self) -> dict[str, npt.NDArray[Any]]:
        """Per-image counts, as the sidecar of a record keeps them."""
        return {"image_names": np.array(self.image_names), **{name: getattr(self, name) for name in COUNTS}}


def evaluate(
    predict: Predict,
    dataset: Dataset,
    split: str,
    *,
    batch_size: int = 1,
    image_limit: int | None = None,
    on_image: OnFrame | None = None,
) -> EvaluationResult:
    """Count what `predict` gets right on a split.

    Args:
        predict: Answers a batch of frames of one size with label maps of the same size. Where frames differ in size and
            a predictor is made for one of them, give `by_size(make)`.
        dataset: An opened dataset.
        split: Such as `"val"`.
        batch_size: Largest number of frames predicted at once; frames of different sizes never share a batch.
        image_limit: Count only this many images, spread evenly over the split; `None`: all.
        on_image: Told of every image counted.

    Raises:
        UserError: no such split, a split without labels, a damaged file, or label maps of another size or type.
    """
    image_count = len(dataset.frames(split))
    image_count = min(image_limit or image_count, image_count)
    weighs_instances = has_instances(dataset, split)
    tally = Tally(tables(dataset.spec)["trainIds"], dataset.spec.num_classes)
    for batch in _batches(evaluation_frames(dataset, split, limit=image_limit), batch_size):
        frames, images, truths = zip(*batch, strict=True)
        maps = predict(torch.from_numpy(np.stack(images)))
        expected = (len(batch), *truths[0].shape)
        if maps.dtype != torch.uint8 or tuple(maps.shape) != expected:
            raise UserError(
                f"predictions are {maps.dtype} {tuple(maps.shape)}; expected torch.uint8 {expected}: label maps are "
                "compared at the ground truth's full size"
            )
        for frame, truth, label_map in zip(frames, truths, maps.numpy(force=True), strict=True):
            tally.add(count_image(frame, truth, label_map, dataset.spec.num_classes, weighs_instances=weighs_instances))
            if on_image:
                on_image(len(tally.names), image_count)
    return _in_order_of(dataset.frames(split), tally.result())


def by_size(make: Callable[[Size], Predict]) -> Predict:
    """One `predict` for frames of any size out of predictors that are made for one size.

    One of them is kept at a time: each may hold a whole network, and `evaluate` asks for one size after the other.
    """
    made: dict[Size, Predict] = {}

    def predict(images: Tensor) -> Tensor:
        size = images.shape[1], images.shape[2]
        if size not in made:
            made.clear()  # before the next one is there
            made[size] = make(size)
        return made[size](images)

    return predict


def in_batches_of(size: int, predict: Predict) -> Predict:
    """Fill a short batch up with its last image: a file takes its own number of images and no other."""

    def run(images: Tensor) -> Tensor:
        short = size - len(images)
        return predict(torch.cat([images, images[-1:].expand(short, -1, -1, -1)]) if short else images)[: len(images)]

    return run


def dataset_record(dataset: Dataset, split: str, image_limit: int | None = None) -> record.Dataset:
    """Which images a row's accuracy is counted on; `image_limit` as in `evaluate`."""
    return record.Dataset(
        name=dataset.name,
        fingerprint=dataset.fingerprint(split),
        split=dataset.own_name(split),
        image_count=min(len(dataset.frames(split)), image_limit or sys.maxsize),
        split_count=dataset.split_count(split),
        synthetic=dataset.synthetic,
        shared_sequences=dataset.shared_sequences(split),
    )


def accuracy_record(result: EvaluationResult, dataset: Dataset, split: str) -> record.Accuracy:
    """The result as a record keeps it; the per-image counts go into the sidecar."""
    interval = miou_interval(result.per_image, result.image_names)
    instances = None
    if result.instances is not None:
        instances = {
            target: record.InstanceCounts(true_positives=tp, false_negatives=fn, false_positives=int(fp))
            for target, (tp, fn, fp) in zip(TARGETS, result.instances.tolist(), strict=True)
        }
    return record.Accuracy(
        dataset=dataset_record(dataset, split, len(result.image_names)),
        class_names=dataset.spec.class_names,
        class_categories=dataset.spec.class_categories,
        confusion=tuple(tuple(row) for row in result.confusion.tolist()),
        class_instances=instances and {name: instances[name] for name in CLASS_NAMES},
        category_instances=instances and {name: instances[name] for name in CATEGORY_NAMES},
        image_count=len(result.image_names),
        mode=result.mode,
        miou_interval=interval and (interval.low, interval.high),
        resampled=interval and interval.resampled,
    )


class ImageCounts(NamedTuple):
    """What was counted on one image, before it is known what a prediction's values stand for."""

    name: str
    pairs: npt.NDArray[np.int64]
    """`(K, 256)` counted pixels: row = truth, column = value of the prediction."""
    present: npt.NDArray[np.bool_]
    """`(256,)` values that the prediction holds anywhere."""
    seen: Seen | None
    are_ids: bool = True
    """False for a prediction in colours, whose values stand for nothing but `colors`."""
    colors: Table | None = None
    """What the values are by their colours; `None` where they have none, or some colour is no class's."""
    strange_color: tuple[int, ...] = ()


class Tally:
    """Adds up images whose predictions are read in one encoding.

    Args:
        table: What values are; `None`: what each image's colours say.
        num_classes: K.
        known_void: Which value of no encoding is none of the classes, without further evidence.
        inferable: Which may be, if much speaks for it; one such value at most.
    """

    def __init__(
        self,
        table: Table | None,
        num_classes: int,
        known_void: frozenset[int] = frozenset(),
        inferable: frozenset[int] = frozenset(),
    ) -> None:
        self.table, self.num_classes, self.known_void, self.inferable = table, num_classes, known_void, inferable
        self.strange: set[int] = set()
        self.names_a_class = False
        self.folding = None if table is None else table.folding(num_classes)
        self.confusion = np.zeros((num_classes, num_classes + 1), np.int64)
        self.instances: npt.NDArray[np.float64] | None = None
        self.per_image: list[Counts] = []
        self.names: list[str] = []
        self.started = time.perf_counter()

    def fits(self, image: ImageCounts) -> bool:
        """Whether all values of an image are of this encoding; the one that may be inferred is remembered."""
        if self.table is None:
            return image.colors is not None
        if not image.are_ids:
            return False
        strange = self.strange | set(self.table.strange(image.present))
        if len(strange) > 1 or not strange <= self.inferable:
            return False
        self.strange = strange
        return True

    @property
    def is_sound(self) -> bool:
        """Whether it may be taken with no other in question."""
        return self.strange <= self.known_void

    def add(self, image: ImageCounts) -> None:
        """Count one more image, whose values `fits` found to be of this encoding."""
        table = self.table or image.colors
        assert table is not None
        self.names_a_class = self.names_a_class or table.names_a_class(image.present)
        confusion = image.pairs @ (table.folding(self.num_classes) if self.folding is None else self.folding)
        self.confusion += confusion
        self.per_image.append(counts(confusion))
        self.names.append(image.name)
        if image.seen is not None:
            weighed = instance_counts(image.seen, image.pairs, table.label_ids)
            self.instances = weighed if self.instances is None else self.instances + weighed

    def result(self) -> EvaluationResult:
        """What was counted over all images."""
        tp, fp, fn = (np.stack(part).astype(np.int32) for part in zip(*self.per_image, strict=True))
        return EvaluationResult(
            self.confusion,
            tp,
            fp,
            fn,
            tuple(self.names),
            time.perf_counter() - self.started,
            self.instances,
        )


def count_image(
    frame: Frame, truth: LabelMap, prediction: LabelMap, num_classes: int, *, weighs_instances: bool
) -> ImageCounts:
    """Count one label map `(H, W)` against its truth `(H, W)` and its frame's instance map."""
    if not weighs_instances:
        pairs, seen = count_pairs(truth, prediction), None
    else:
        instances = _read_instances(frame, truth.shape)
        runs = find_runs(instances, truth, prediction)
        pairs = count_runs(runs, truth, prediction)
        try:
            seen = see_instances(runs, instances, prediction)
        except ValueError as error:
            raise UserError(f"{frame.instances} holds {error}; correct or remove the file") from error
    return ImageCounts(frame.name, pairs[:num_classes].copy(), pairs.sum(axis=0) > 0, seen)


def in_order(call: Callable[[Given], Answer], items: Iterable[Given], workers: int) -> Iterator[Answer]:
    """Map in threads, which decode and count outside Python's lock; two items a thread are under way, no more."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Answer]] = deque()
        for item in items:
            waiting.append(pool.submit(call, item))
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _in_order_of(frames: Sequence[Frame], result: EvaluationResult) -> EvaluationResult:
    """Per-image counts as the split has its frames, whatever their sizes were."""
    place = {frame.name: index for index, frame in enumerate(frames)}
    order = sorted(range(len(result.image_names)), key=lambda index: place[result.image_names[index]])
    return replace(
        result,
        true_positives=result.true_positives[order],
        false_positives=result.false_positives[order],
        false_negatives=result.false_negatives[order],
        image_names=tuple(result.image_names[index] for index in order),
    )


def has_instances(dataset: Dataset, split: str) -> bool:
    """Whether every frame has an instance map, in the encoding of Cityscapes' labels."""
    return dataset.spec == CITYSCAPES and all(frame.instances is not None for frame in dataset.frames(split))


def _batches(items: Iterable[Item], batch_size: int) -> Iterator[list[Item]]:
    """Group neighbours whose images are of one size."""
    batch: list[Item] = []
    for item in items:
        if batch and (len(batch) == batch_size or batch[0][1].shape != item[1].shape):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _read_instances(frame: Frame, size: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    """Read an instance map `(H, W)` of the ground truth's size."""
    path = frame.instances
    assert path is not None
    values: npt.NDArray[Any] | None = plain_png(path, DEEP_GREY, GREY)  # without an object 8 bits are enough
    if values is None:
        with opened("instance map", path) as image:
            mode, values = stored_mode(image), np.asarray(image)
        if mode not in ("I;16B", "L"):
            raise UserError(
                f"{path} is an image of mode {mode}; an instance map is single-channel 16-bit, label id * 1000 + n"
            )
    require_size(path, values, size)
    return values.astype(np.uint16, copy=False)


def require_size(path: Path, values: npt.NDArray[Any], size: tuple[int, ...]) -> None:
    """Refuse a file `(H, W)` that is not of its ground truth's size.

    Raises:
        UserError: it is of another.
    """
    if values.shape != size:
        raise UserError(
            f"{path} is {values.shape[0]}x{values.shape[1]}, its ground truth {size[0]}x{size[1]}; "
            "all are compared at full size"
        )
