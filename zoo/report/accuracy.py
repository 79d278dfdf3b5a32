"""`zoo eval`: one confusion matrix as a table of classes, or as JSON."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np

from zoo.record import Accuracy
from zoo.report.terminal import print_to_text, simple_table
from zoo.score import METRICS, class_accuracy, class_iou, mean_class_accuracy, miou, pixel_accuracy


def show_accuracy(accuracy: Accuracy, form: Literal["table", "json"] = "table") -> str:
    """Return what was counted over a split.

    JSON: `miou` and `pixel_accuracy` as fractions, `class_iou` by name (null: neither true nor predicted), the
    `confusion` as counted (last column: predictions of no class), `num_images`, and which images they were.
    """
    confusion, class_names = np.array(accuracy.confusion, dtype=np.int64), accuracy.class_names
    ious, recalls = class_iou(confusion), class_accuracy(confusion)
    if form == "json":
        values = {
            "miou": miou(confusion),
            "pixel_accuracy": pixel_accuracy(confusion),
            "mean_class_accuracy": mean_class_accuracy(confusion),
            "class_iou": {
                name: None if np.isnan(iou) else float(iou) for name, iou in zip(class_names, ious, strict=True)
            },
            "confusion": confusion.tolist(),
            "num_images": accuracy.image_count,
            "dataset": accuracy.dataset.name,
            "split": accuracy.dataset.split,
            "synthetic": accuracy.dataset.synthetic,
        }
        return json.dumps(values, indent=1) + "\n"
    percent, pixels = METRICS["miou"].show, confusion.sum(axis=1)
    rows = [
        [name, percent(iou), percent(recall), f"{count / max(pixels.sum(), 1):.2%}"]
        for name, iou, recall, count in zip(class_names, ious, recalls, pixels, strict=True)
    ]
    rows.append(["mean", percent(miou(confusion)), percent(mean_class_accuracy(confusion)), ""])
    table = print_to_text(simple_table(["class", "IoU %", "recall %", "share of pixels"], rows))
    images = f"{accuracy.image_count} images of {accuracy.dataset.name} {accuracy.dataset.split}"
    kind = " (synthetic: drawn streets, not real ones)" if accuracy.dataset.synthetic else ""
    return f"{table}\npixel accuracy {percent(pixel_accuracy(confusion))} %, {images}, full size{kind}\n"
