"""Accuracy by `zoo-miou/1`: a split's pixels counted at the ground truth's full size, whatever predicted them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from zoo import record
from zoo.confusion import Counts, confusion_matrix, counts
from zoo.data.layout import Dataset, Frame
from zoo.data.loading import evaluation_frames, read_label
from zoo.errors import UserError
from zoo.spec import IGNORE_INDEX, DatasetSpec, Size

Predict = Callable[[Tensor], Tensor]
"""`(N, H, W, 3)` `uint8` RGB on the host → `(N, H, W)` `uint8` train ids on the host."""
LabelMap = npt.NDArray[np.uint8]
OnImage = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""
Encoding = Literal["auto", "labelIds", "trainIds"]
Item = tuple[Frame, LabelMap, LabelMap]
"""A frame, its image `(H, W, 3)` and its truth `(H, W)`."""


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


def evaluate(
    predict: Predict,
    dataset: Dataset,
    split: str,
    *,
    batch_size: int = 1,
    image_limit: int | None = None,
    on_image: OnImage | None = None,
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
    tally = _Tally(dataset.spec.num_classes, min(image_limit or image_count, image_count), on_image)
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
            tally.add(frame.name, truth, label_map)
    return tally.result()


def by_size(make: Callable[[Size], Predict]) -> Predict:
    """One `predict` for frames of any size out of predictors that are made for one size, each made once."""
    made = cache(make)
    return lambda images: made((images.shape[1], images.shape[2]))(images)


def evaluate_predictions(
    folder: Path | str,
    dataset: Dataset,
    split: str,
    encoding: Encoding = "auto",
    on_image: OnImage | None = None,
) -> EvaluationResult:
    """Score label maps any other program wrote: one single-channel 8-bit PNG per frame, found by the frame's name.

    Args:
        folder: Searched with all folders below it for names that begin with `<city>_<seq>_<frame>`.
        dataset: An opened dataset.
        split: Such as `"val"`.
        encoding: What the values are. `"auto"` decides from the values of all files, and refuses when both fit.
        on_image: Told of every image counted.

    Raises:
        UserError: unknown encoding; a frame without a prediction or with two; a file that is damaged, of another size,
            not single-channel 8-bit, or holds values of neither encoding; or `"auto"` cannot tell.
    """
    if encoding not in get_args(Encoding):
        raise UserError(f"encoding is one of {', '.join(get_args(Encoding))}; got {encoding!r}")
    frames = dataset.frames(split)
    files = _find_predictions(Path(folder), frames)
    tables = {name: table for name, table in _tables(dataset.spec).items() if encoding in ("auto", name)}
    # Every encoding that still fits is counted, so that each file is read once.
    tallies = {name: _Tally(dataset.spec.num_classes, len(frames), None) for name in tables}
    for done, frame in enumerate(frames, 1):
        truth = read_label(frame, dataset.spec)
        values = _read_prediction(files[frame.name], truth.shape)
        present = np.unique(values)
        fitting = [known for known, table in tables.items() if (table[present] >= 0).all()]
        if not fitting:
            odd = sorted({int(value) for table in tables.values() for value in present[table[present] < 0]})
            before = "; the files before it fit no other encoding" if len(tables) < len(tallies) else ""
            raise UserError(f"{files[frame.name]} holds {_some(odd)}, no value of {' or '.join(tables)}{before}")
        tables = {known: tables[known] for known in fitting}
        for known, table in tables.items():
            tallies[known].add(frame.name, truth, table[values].astype(np.uint8))
        if on_image:
            on_image(done, len(frames))
    if len(tables) > 1:
        raise UserError(f"the values in {folder} fit both labelIds and trainIds; give --encoding labelIds or trainIds")
    (known,) = tables
    return tallies[known].result()


def mean_label_map(dataset: Dataset, split: str = "train") -> LabelMap:
    """The map that is right most often when every image gets the same one: each pixel's most frequent train id.

    Pixels that are never labelled get the most frequent class of all.

    Returns:
        `(H, W)` at the size of the split's first frame; labels of other sizes are resized (nearest) to it.
    """
    spec = dataset.spec
    frames = dataset.frames(split)
    size = read_label(frames[0], spec).shape
    seen = np.zeros((size[0] * size[1], spec.num_classes + 1), np.int32)  # pixels, K + 1: the last one is ignored
    pixels = np.arange(len(seen))
    for frame in frames:
        truth = _nearest(read_label(frame, spec), size)
        seen[pixels, np.minimum(truth.ravel(), spec.num_classes)] += 1
    seen = seen[:, : spec.num_classes]
    seen[~seen.any(axis=1), seen.sum(axis=0).argmax()] = 1
    label_map: LabelMap = seen.argmax(axis=1).astype(np.uint8).reshape(size)
    return label_map


def predict_constant(label_map: LabelMap) -> Predict:
    """A `predict` that answers every image with the same `(H, W)` map, resized (nearest) to the image."""

    def predict(images: Tensor) -> Tensor:
        answer = torch.from_numpy(_nearest(label_map, (images.shape[1], images.shape[2])))
        return answer.expand(len(images), -1, -1)

    return predict


def dataset_record(dataset: Dataset, split: str, image_limit: int | None = None) -> record.Dataset:
    """Which images a row's accuracy is counted on; `image_limit` as in `evaluate`."""
    return record.Dataset(
        name=dataset.name,
        fingerprint=dataset.fingerprint(split),
        split=split,
        image_count=min(len(dataset.frames(split)), image_limit or sys.maxsize),
        synthetic=dataset.synthetic,
    )


def accuracy_record(result: EvaluationResult, dataset: Dataset, split: str) -> record.Accuracy:
    """The result as a record keeps it; the per-image counts go into the sidecar."""
    return record.Accuracy(
        dataset=dataset_record(dataset, split, len(result.image_names)),
        class_names=dataset.spec.class_names,
        confusion=tuple(tuple(row) for row in result.confusion.tolist()),
        image_count=len(result.image_names),
    )


class _Tally:
    """Adds up images."""

    def __init__(self, num_classes: int, image_count: int, on_image: OnImage | None) -> None:
        self.confusion = np.zeros((num_classes, num_classes + 1), np.int64)
        self.per_image: list[Counts] = []
        self.names: list[str] = []
        self.image_count = image_count
        self.on_image = on_image
        self.started = time.perf_counter()

    def add(self, name: str, truth: LabelMap, prediction: LabelMap) -> None:
        confusion = confusion_matrix(truth, prediction, len(self.confusion))
        self.confusion += confusion
        self.per_image.append(counts(confusion))
        self.names.append(name)
        if self.on_image:
            self.on_image(len(self.names), self.image_count)

    def result(self) -> EvaluationResult:
        tp, fp, fn = (np.stack(part).astype(np.int32) for part in zip(*self.per_image, strict=True))
        return EvaluationResult(self.confusion, tp, fp, fn, tuple(self.names), time.perf_counter() - self.started)


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


def _read_prediction(path: Path, size: tuple[int, ...]) -> LabelMap:
    try:
        with Image.open(path) as image:
            values, mode = np.asarray(image), image.mode
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for a broken PNG chunk
        raise UserError(f"{path} cannot be read as an image: {error}") from error
    if mode not in ("L", "P") or values.dtype != np.uint8:
        raise UserError(f"{path} is a {mode} image; a label map is single-channel 8-bit, one class per pixel")
    if values.shape != size:
        raise UserError(
            f"{path} is {values.shape[0]}x{values.shape[1]}, its ground truth {size[0]}x{size[1]}; "
            "predictions are compared at full size"
        )
    return values


def _tables(spec: DatasetSpec) -> dict[str, npt.NDArray[np.int16]]:
    """Per encoding: value in a file → train id (`IGNORE_INDEX`: none of the classes), -1 for no value of it."""
    label_ids = np.full(256, -1, np.int16)
    label_ids[list(spec.label_to_train_id)] = list(spec.label_to_train_id.values())
    train_ids = np.full(256, -1, np.int16)
    train_ids[: spec.num_classes] = np.arange(spec.num_classes)
    train_ids[IGNORE_INDEX] = IGNORE_INDEX
    return {"labelIds": label_ids, "trainIds": train_ids}


def _nearest(label_map: LabelMap, size: tuple[int, ...]) -> LabelMap:
    if label_map.shape == size:
        return label_map
    return np.array(Image.fromarray(label_map).resize((size[1], size[0]), Image.Resampling.NEAREST))


def _some(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:5])) + (" …" if len(values) > 5 else "")
