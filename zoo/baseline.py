"""The baseline: one label map for every image. A model below it has learned nothing."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.counting import LabelMap, Predict, in_order
from zoo.data.layout import Dataset
from zoo.data.reading import frame_size, read_label
from zoo.machine import core_count
from zoo.spec import IGNORE_INDEX

BLOCK_BYTES = 512 * 2**20
"""What the mean label map is counted in at a time; all of 12 megapixels and 150 classes would be 7 GiB."""


def mean_label_map(dataset: Dataset, split: str = "train") -> LabelMap:
    """The map that is right most often when every image gets the same one: each pixel's most frequent train id.

    Pixels that are never labelled get the most frequent class of all.

    Rows are counted a block at a time, of `BLOCK_BYTES`, and the labels are read once for each block.

    Returns:
        `(H, W)` at the size of most of the split's frames; labels of other sizes are resized (nearest) to it.
    """
    spec, frames = dataset.spec, dataset.frames(split)
    height, width = size = frame_size(dataset, split)
    label_map: LabelMap = np.empty(size, np.uint8)
    pixel_counts = np.zeros(spec.num_classes, np.int64)
    count_type = np.min_scalar_type(len(frames))
    row_bytes = width * ((spec.num_classes + 1) * count_type.itemsize + 4 * np.intp().itemsize)
    row_count = max(1, BLOCK_BYTES // row_bytes)
    for top in range(0, height, row_count):
        rows = slice(top, min(top + row_count, height))
        seen = np.zeros((rows.stop - top) * width * (spec.num_classes + 1), count_type)
        firsts = np.arange(0, seen.size, spec.num_classes + 1)  # of each pixel, K + 1: the last one is ignored
        for truth in in_order(partial(read_label, spec=spec), frames, core_count()):
            seen[firsts + np.minimum(_nearest(truth, size)[rows].ravel(), spec.num_classes)] += 1
        counted = seen.reshape(-1, spec.num_classes + 1)[:, : spec.num_classes]
        pixel_counts += counted.sum(axis=0, dtype=np.int64)
        label_map[rows] = np.where(counted.any(axis=1), counted.argmax(axis=1), IGNORE_INDEX).reshape(-1, width)
    label_map[label_map == IGNORE_INDEX] = pixel_counts.argmax()
    return label_map


def predict_constant(label_map: LabelMap) -> Predict:
    """A `predict` that answers every image with the same `(H, W)` map, resized (nearest) to the image."""

    def predict(images: Tensor) -> Tensor:
        answer = torch.from_numpy(_nearest(label_map, (images.shape[1], images.shape[2])))
        return answer.expand(len(images), -1, -1)

    return predict


def _nearest(label_map: LabelMap, size: tuple[int, ...]) -> LabelMap:
    if label_map.shape == size:
        return label_map
    return np.array(Image.fromarray(label_map).resize((size[1], size[0]), Image.Resampling.NEAREST))
