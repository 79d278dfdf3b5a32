"""An artifact held against fp32 eager of the same weights, on the same images: what mIoU and each class lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from zoo.counting import LabelMap, Predict, Tally, count_image
from zoo.data.layout import Dataset, Frame, OnFrame, spread
from zoo.data.loading import evaluation_frames
from zoo.encodings import tables
from zoo.score.accuracy import class_iou, class_shares, miou
from zoo.score.metrics import CLASS_LOSS
from zoo.score.rows import LEAST_CLASS_SHARE, MAX_MIOU_LOSS
from zoo.spec import DatasetSpec, Size


class Expected(NamedTuple):
    """A frame, and what fp32 answers to it."""

    frame: Frame
    image: npt.NDArray[np.uint8]
    """`(H, W, 3)`."""
    truth: LabelMap
    labels: LabelMap


@dataclass(frozen=True)
class Held:
    """What an artifact loses against fp32. Fractions; a gain is below 0."""

    miou: float
    miou_lost: float
    class_lost: dict[str, float]
    """IoU, of the classes that both know."""
    common: frozenset[str]
    """Those of them with at least `LEAST_CLASS_SHARE` of the pixels."""
    equal_share: float
    """Of the pixels: those with the label that fp32 gives."""
    image_count: int

    def value(self, key: str) -> float | None:
        """Return the number of a metric by its key, as a row does; `None` of one that this does not tell."""
        kind, _, name = key.partition(".")
        if kind == CLASS_LOSS:
            return self.class_lost.get(name) if name else max(self.common_lost.values(), default=None)
        return {"miou": self.miou, "miou_lost": self.miou_lost, "equal_label_share": self.equal_share}.get(key)

    @property
    def common_lost(self) -> dict[str, float]:
        """IoU lost of the common classes, the worst first."""
        worst = sorted(self.class_lost.items(), key=lambda one: -one[1])
        return {name: lost for name, lost in worst if name in self.common}

    @property
    def loses_miou(self) -> bool:
        """Whether more of fp32's mIoU is lost than may be."""
        return self.miou_lost > MAX_MIOU_LOSS * (self.miou + self.miou_lost)


def expected(
    reference: Predict, dataset: Dataset, split: str, *, limit: int | None = None, on_image: OnFrame | None = None
) -> Iterator[Expected]:
    """Ask fp32 for the labels of a split.

    Args:
        reference: fp32.
        dataset: An opened dataset.
        split: Such as `"val"`.
        limit: At most this many images, spread over the split; `None`: all.
        on_image: Told of every image.

    Raises:
        UserError: no such split, or a split without labels.
    """
    count = len(spread(dataset.frames(split), limit))
    for number, (frame, image, truth) in enumerate(evaluation_frames(dataset, split, limit=limit), 1):
        yield Expected(frame, image, truth, _labels(reference, image))
        if on_image is not None:
            on_image(number, count)


def hold(artifact: Predict, frames: Iterable[Expected], classes: DatasetSpec) -> Held:
    """Count what an artifact answers to frames, and fp32, one frame after the other."""
    tallies = [Tally(tables(classes)["trainIds"], classes.num_classes) for _ in range(2)]
    equal = pixels = images = 0
    for frame, image, truth, labels in frames:
        found = _labels(artifact, image)
        for tally, answer in zip(tallies, (labels, found), strict=True):
            tally.add(count_image(frame, truth, answer, classes.num_classes, weighs_instances=False))
        equal += int((found == labels).sum())
        pixels += labels.size
        images += 1
    fp32, other = (tally.confusion for tally in tallies)
    both = zip(classes.class_names, class_iou(fp32), class_iou(other), strict=True)
    shares = zip(classes.class_names, class_shares(fp32), strict=True)
    return Held(
        miou=miou(other) or 0.0,
        miou_lost=(miou(fp32) or 0.0) - (miou(other) or 0.0),
        class_lost={name: was - now for name, was, now in both if was is not None and now is not None},
        common=frozenset(name for name, share in shares if share >= LEAST_CLASS_SHARE),
        equal_share=equal / max(1, pixels),
        image_count=images,
    )


def at_size(predict: Predict, size: Size) -> Predict:
    """Make what takes frames of `size` answer to frames of any: resized there, and its labels back."""

    def run(images: Tensor) -> Tensor:
        given = images.shape[1:3]
        if tuple(given) == size:
            return predict(images)
        height, width = size
        bilinear = Image.Resampling.BILINEAR
        pictures = [Image.fromarray(image).resize((width, height), bilinear) for image in images.numpy()]
        labels = predict(torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])))
        return interpolate(labels[:, None].float(), size=given, mode="nearest-exact")[:, 0].to(torch.uint8)

    return run


def _labels(predict: Predict, image: npt.NDArray[np.uint8]) -> LabelMap:
    answer: LabelMap = predict(torch.from_numpy(image)[None])[0].numpy(force=True)
    return answer
