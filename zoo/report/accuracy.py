"""`zoo eval`: one confusion matrix as a table of classes, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np

from zoo.report.terminal import print_to_text, simple_table
from zoo.score import METRICS, Confusion, class_accuracy, class_iou, mean_class_accuracy, miou, pixel_accuracy


def show_accuracy(
    confusion: Confusion, class_names: Sequence[str], image_count: int, form: Literal["table", "json"] = "table"
) -> str:
    """Return what a confusion matrix `(K, K + 1)` says.

    JSON: `miou` and `pixel_accuracy` as fractions, `class_iou` by name (null: neither true nor predicted), the
    `confusion` as counted (last column: predictions of no class), and `num_images`.
    """
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
            "num_images": image_count,
        }
        return json.dumps(values, indent=1) + "\n"
    percent, pixels = METRICS["miou"].show, confusion.sum(axis=1)
    rows = [
        [name, percent(iou), percent(recall), f"{count / max(pixels.sum(), 1):.2%}"]
        for name, iou, recall, count in zip(class_names, ious, recalls, pixels, strict=True)
    ]
    rows.append(["mean", percent(miou(confusion)), percent(mean_class_accuracy(confusion)), ""])
    table = print_to_text(simple_table(["class", "IoU %", "recall %", "share of pixels"], rows))
    return f"{table}\npixel accuracy {percent(pixel_accuracy(confusion))} %, {image_count} images, full size\n"
