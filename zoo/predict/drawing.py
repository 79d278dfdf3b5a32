"""What a prediction looks like: colours, an overlay, label values."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image

from zoo.data.spelling import Pixels
from zoo.errors import UserError, did_you_mean
from zoo.predict.predictor import Prediction
from zoo.spec import IGNORE_INDEX, DatasetSpec

Kind = Literal["overlay", "color", "labelIds", "confidence"]
"""What is written of an image; the name of its folder and the end of its name."""
KINDS: tuple[Kind, ...] = get_args(Kind)


def color_map(train_ids: Pixels, spec: DatasetSpec) -> Pixels:
    """Classes in their colours: `(H, W)` train ids → `(H, W, 3)` RGB, black where there is no class."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: spec.num_classes] = spec.class_colors
    return palette[train_ids]


def overlay(image: Pixels, train_ids: Pixels, spec: DatasetSpec) -> Pixels:
    """Half image, half colour, and a white line of two pixels where classes meet: `(H, W, 3)` RGB."""
    blended = (image // 2) + (color_map(train_ids, spec) // 2)
    across, down = train_ids[:, 1:] != train_ids[:, :-1], train_ids[1:] != train_ids[:-1]
    for border in (blended[:, 1:], blended[:, :-1]):
        border[across] = 255
    for border in (blended[1:], blended[:-1]):
        border[down] = 255
    return blended


def label_ids(train_ids: Pixels, spec: DatasetSpec) -> Pixels:
    """Train ids → the values of the dataset's label files, the first one that each class has there.

    No class becomes the first ignored value, else the first one that the dataset does not use.
    """
    first: dict[int, int] = {}
    for value, train_id in spec.label_to_train_id.items():
        first.setdefault(train_id, value)
    unused = next(value for value in range(257) if value not in spec.label_to_train_id)
    table = np.full(256, first.pop(IGNORE_INDEX, unused), np.uint8)
    table[list(first)] = list(first.values())
    return table[train_ids]


PICTURES: dict[str, Callable[[Prediction, DatasetSpec], Pixels]] = {
    "image": lambda prediction, _: prediction.image,
    "overlay": lambda prediction, spec: overlay(prediction.image, prediction.train_ids, spec),
    "color": lambda prediction, spec: color_map(prediction.train_ids, spec),
    "labelIds": lambda prediction, spec: label_ids(prediction.train_ids, spec),
    "confidence": lambda prediction, _: np.asarray(prediction.confidence),
}


def check_kinds(given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse kinds that are not there, and none at all."""
    for kind in given:
        if kind not in known:
            raise UserError(f"no kind {kind!r} here.{did_you_mean(kind, known)} There are: {', '.join(known)}")
    if not given:
        raise UserError(f"name one kind at least of {', '.join(known)}")


def encoded(picture: Image.Image, suffix: str) -> bytes:
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    options = {".jpg": {"quality": 88}, ".jpeg": {"quality": 88}, ".webp": {"quality": 88}}.get(suffix, {})
    picture.save(file, Image.registered_extensions()[suffix], **options)
    return file.getvalue()
