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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from zoo import record
from zoo.confusion import Counts, count_pairs, count_runs, counts, find_runs
from zoo.data.layout import DAMAGE, Dataset, Frame, OnFrame
from zoo.data.loading import evaluation_frames
from zoo.data.reading import read_label, unreadable
from zoo.data.spelling import stored_mode
from zoo.encodings import (
    Encoding,
    Fit,
    Table,
    better,
    choose,
    fitting_numbers,
    inferable,
    read_prediction,
    renamed,
    require_void,
    tables,
)
from zoo.errors import UserError
from zoo.instances import CATEGORY_NAMES, CLASS_NAMES, TARGETS, Seen, instance_counts, see_instances
from zoo.labels import CITYSCAPES
from zoo.measure.device import core_count
from zoo.score.accuracy import miou_interval
from zoo.spec import DatasetSpec, Size

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
        return np.stack([self.true_positives, self.false_positives, self.false_negatives])

    @property
    def samples(self) -> dict[str, npt.NDArray[Any]]:
        """Per-image counts, as the sidecar of a record keeps them."""
        counted = ("true_positives", "false_positives", "false_negatives")
        return {"image_names": np.array(self.image_names), **{name: getattr(self, name) for name in counted}}


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
    weighs_instances = _has_instances(dataset, split)
    tally = _Tally(tables(dataset.spec)["trainIds"], dataset.spec.num_classes)
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
            tally.add(_count(frame, truth, label_map, dataset.spec.num_classes, weighs_instances=weighs_instances))
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


def evaluate_predictions(
    folder: Path | str,
    dataset: Dataset,
    split: str,
    encoding: Encoding = "auto",
    *,
    void: Sequence[int] = (),
    workers: int | None = None,
    on_image: OnFrame | None = None,
) -> EvaluationResult:
    """Score label maps any other program wrote: one PNG per frame, found by the frame's name.

    Args:
        folder: Searched with all folders below it for names that begin with `<city>_<seq>_<frame>`.
        dataset: An opened dataset.
        split: Such as `"val"`.
        encoding: What the values are. `"auto"` decides from the values of all files and, where they fit several
            encodings, by which of them most pixels are right; the result's `reading` says what was taken.
        void: Values that mean none of the classes, a miss on a counted pixel, as 255 does everywhere.
        workers: Threads that decode and count, a few files each at a time; `None`: one per core. The result is the same
            for any number.
        on_image: Told of every image counted.

    Raises:
        UserError: unknown encoding; `void` that is a class; a frame without a prediction or with two; a file that is
            damaged, of another size, no 8-bit label map, or holds values of no encoding; or `"auto"` cannot tell.
    """
    if encoding not in get_args(Encoding):
        raise UserError(f"encoding is one of {', '.join(get_args(Encoding))}; got {encoding!r}")
    if workers is not None and workers < 1:
        raise UserError(f"workers are threads, 1 or more; got {workers}")
    spec, void = dataset.spec, tuple(sorted(set(void)))
    require_void(spec, encoding, void)
    frames = dataset.frames(split)
    files = _find_predictions(Path(folder), frames)
    # Every encoding that still fits is counted, so that each file is read once.
    known: dict[str, Table | None] = {**tables(spec, void), "colors": None}
    tallies = {
        name: _Tally(table, spec.num_classes, *inferable(name, spec.num_classes, auto=encoding == "auto"))
        for name, table in known.items()
        if encoding in ("auto", name)
    }
    asked = len(tallies)
    pairs, present, are_ids = np.zeros((spec.num_classes, 256), np.int64), np.zeros(256, np.bool_), True
    count = partial(_count_file, spec=spec, weighs_instances=_has_instances(dataset, split))
    items = ((frame, files[frame.name]) for frame in frames)
    for done, image in enumerate(in_order(count, items, workers or core_count()), 1):
        fitting = {name: tally for name, tally in tallies.items() if tally.fits(image)}
        if not any(tally.is_sound for tally in fitting.values()):
            raise _strange(files[image.name], image, tallies, asked, spec)
        tallies = fitting
        for tally in tallies.values():
            tally.add(image)
        pairs, present, are_ids = pairs + image.pairs, present | image.present, are_ids and image.are_ids
        if on_image:
            on_image(done, len(frames))
    if len(tallies) > 1 and "colors" in tallies and not tallies["colors"].names_a_class:  # black alone is no colour
        del tallies["colors"]
    fits = {
        name: Fit(
            tally.confusion,
            tuple(tally.strange),
            tally.is_sound,
            None if tally.table is None else tally.table.meant(present),
        )
        for name, tally in tallies.items()
    }
    most = max(fit.right for fit in fits.values())
    order = renamed(pairs, most, spec.class_names) if are_ids else []
    taken = choose(fits, order) if encoding == "auto" else encoding
    if are_ids and encoding != "auto":
        fits |= fitting_numbers(pairs, present, spec, void, without=encoding)
    right = fits[taken].right
    others = {name: fit for name, fit in fits.items() if name != taken}
    reading = record.Reading(
        encoding=taken,
        asked=encoding != "auto",
        void=(*void, *fits[taken].inferred),
        right_as={name: fit.right for name, fit in others.items()},
        doubts=tuple(better(right, others) or order),
    )
    return replace(tallies[taken].result(), mode=None, reading=reading)


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


class _ImageCounts(NamedTuple):
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


class _Tally:
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

    def fits(self, image: _ImageCounts) -> bool:
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

    def add(self, image: _ImageCounts) -> None:
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


def _strange(
    file: Path, image: _ImageCounts, tallies: Mapping[str, _Tally], asked: int, spec: DatasetSpec
) -> UserError:
    """Say what a file holds that no encoding still in question has, and what to do about it."""
    before = "; the files before it fit no other encoding" if len(tallies) < asked else ""
    numbers = {name: tally.table for name, tally in tallies.items() if tally.table is not None}
    names = " or ".join(numbers)
    if not image.are_ids and numbers.keys() == tallies.keys():
        return UserError(f"{file} is an image in colours, and {names} are numbers{before}; see --encoding colors")
    if not image.are_ids or not numbers:
        color = f"colour {list(image.strange_color)}" if image.strange_color else "numbers"
        return UserError(f"{file} holds {color}, which is no class's colour in {spec.name}{before}")
    strange = sorted({value for table in numbers.values() for value in table.strange(image.present)})
    hint = "" if len(strange) > 1 else f"; if it means none of the classes, give --void {strange[0]}"
    return UserError(f"{file} holds {_some(strange)}, no value of {names}{before}{hint}")


def _count(
    frame: Frame, truth: LabelMap, prediction: LabelMap, num_classes: int, *, weighs_instances: bool
) -> _ImageCounts:
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
    return _ImageCounts(frame.name, pairs[:num_classes].copy(), pairs.sum(axis=0) > 0, seen)


def _count_file(item: tuple[Frame, Path], *, spec: DatasetSpec, weighs_instances: bool) -> _ImageCounts:
    frame, file = item
    truth = read_label(frame, spec)
    prediction = read_prediction(file, spec)
    _require_size(file, prediction.values, truth.shape)
    counted = _count(frame, truth, prediction.values, spec.num_classes, weighs_instances=weighs_instances)
    return counted._replace(
        are_ids=prediction.are_ids, colors=prediction.colors, strange_color=prediction.strange_color
    )


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


def _has_instances(dataset: Dataset, split: str) -> bool:
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


def _find_predictions(folder: Path, frames: Iterable[Frame]) -> dict[str, Path]:
    """File of every frame's prediction, by frame name."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; give a folder that holds one label PNG per frame")
    names = {frame.name for frame in frames}
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.png")):
        name = _frame_name(path.stem, names)
        if name in found:
            raise UserError(f"two predictions for frame {name}: {found[name]} and {path}; keep one of them")
        if name is not None:
            found[name] = path
    missing = sorted(names - found.keys())
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} frames have no prediction in {folder}, first {missing[0]}; "
            f"expected a file named {missing[0]}*.png"
        )
    return found


def _frame_name(stem: str, names: set[str]) -> str | None:
    """The frame a file name begins with; `a_0_1` does not begin `a_0_10_labelIds`."""
    ends = (end for end in range(len(stem), 0, -1) if end == len(stem) or not stem[end].isalnum())
    return next((stem[:end] for end in ends if stem[:end] in names), None)


def _read_instances(frame: Frame, size: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    """Read an instance map `(H, W)` of the ground truth's size."""
    path = frame.instances
    assert path is not None
    try:
        with Image.open(path) as image:
            mode, values = stored_mode(image), np.asarray(image)
    except DAMAGE as error:
        raise unreadable("instance map", path, error) from error
    if mode not in ("I;16B", "L"):  # without an object 8 bits are enough
        raise UserError(f"{path} is a {mode} image; an instance map is single-channel 16-bit, label id * 1000 + n")
    _require_size(path, values, size)
    return values.astype(np.uint16, copy=False)


def _require_size(path: Path, values: npt.NDArray[Any], size: tuple[int, ...]) -> None:
    if values.shape != size:
        raise UserError(
            f"{path} is {values.shape[0]}x{values.shape[1]}, its ground truth {size[0]}x{size[1]}; "
            "all are compared at full size"
        )


def _some(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:5])) + (" …" if len(values) > 5 else "")
