"""`zoo eval`: what was counted over a split as a table of classes, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from zoo.record import Accuracy, Mode, Network, Reading
from zoo.report.markdown import grid
from zoo.report.terminal import print_to_text, simple_table
from zoo.score.accuracy import (
    category_iou,
    class_accuracy,
    class_iou,
    instance_iou,
    mean_class_accuracy,
    mean_of,
    miou,
    pixel_accuracy,
)
from zoo.score.comparing import images_said, sharing
from zoo.score.metrics import METRICS
from zoo.score.rows import text_of


def show_accuracy(
    accuracy: Accuracy,
    form: Literal["table", "json", "md"] = "table",
    *,
    network: Network | None = None,
    reading: Reading | None = None,
) -> str:
    """Return what was counted over a split, of which network, and what the values of label maps were taken for.

    JSON: fractions; `class_iou` and its like by name (null: neither true nor predicted), `category_*` null where the
    dataset has no categories and `*_iiou` null where it has no instance maps; the `confusion` as counted (last column:
    predictions of no class), `num_images`, which images they were, how each was read, and by which `network`; of label
    maps of another program the `reading`.
    """
    values = _values(accuracy)
    if form == "json":
        facts = {"network": network, "reading": reading}
        values |= {name: fact and fact.model_dump(mode="json") for name, fact in facts.items()}
        return json.dumps(values, indent=1) + "\n"
    pixels = np.array(accuracy.confusion).sum(axis=1)
    shares = dict(zip(accuracy.class_names, (pixels / max(pixels.sum(), 1)).tolist(), strict=True))
    classes = _table(
        "class",
        {
            "IoU %": (values["class_iou"], values["miou"]),
            "recall %": (values["class_accuracy"], values["mean_class_accuracy"]),
            "iIoU %": (values["class_iiou"], values["mean_class_iiou"]),
            "pixels %": (shares, None),
        },
        form,
    )
    categories = _table(
        "category",
        {
            "IoU %": (values["category_iou"], values["mean_category_iou"]),
            "iIoU %": (values["category_iiou"], values["mean_category_iiou"]),
        },
        form,
    )
    sentences = _sentences(accuracy, values, network)
    if reading is not None:
        sentences += _taken(reading, values["pixel_accuracy"])
    if form == "md":
        sentences = [f"- {sentence}" for sentence in sentences]
    return "\n".join((*classes, *categories, *sentences)) + "\n"


def _table(
    title: str, columns: dict[str, tuple[dict[str, float | None] | None, float | None]], form: Literal["table", "md"]
) -> list[str]:
    """One row a name and one for their mean; a column of which nothing is known is left out."""
    show = METRICS["miou"].show
    known = [(head, *column) for head, column in columns.items() if column[0]]
    if not known:
        return []
    heads, numbers, means = zip(*known, strict=True)
    rows = [[name, *(show(column[name]) if name in column else "" for column in numbers)] for name in numbers[0]]
    rows.append(["mean", *("" if mean is None else show(mean) for mean in means)])
    if form == "md":
        return [grid([title, *heads], rows) + "\n"]
    return [print_to_text(simple_table([title, *heads], rows))]


def _values(accuracy: Accuracy) -> dict[str, Any]:
    confusion, dataset, mode = accuracy.confusion, accuracy.dataset, accuracy.mode

    def by_class(numbers: Sequence[float | None]) -> dict[str, float | None]:
        return dict(zip(accuracy.class_names, numbers, strict=True))

    categories = category_iou(confusion, accuracy.class_categories) if accuracy.class_categories else None
    class_iiou = instance_iou(accuracy.class_instances) if accuracy.class_instances else None
    category_iiou = instance_iou(accuracy.category_instances) if accuracy.category_instances else None
    return {
        "miou": miou(confusion),
        "miou_interval": accuracy.miou_interval,
        "resampled": accuracy.resampled,
        "pixel_accuracy": pixel_accuracy(confusion),
        "mean_class_accuracy": mean_class_accuracy(confusion),
        "mean_class_iiou": class_iiou and mean_of(class_iiou),
        "mean_category_iou": categories and mean_of(categories),
        "mean_category_iiou": category_iiou and mean_of(category_iiou),
        "class_iou": by_class(class_iou(confusion)),
        "class_accuracy": by_class(class_accuracy(confusion)),
        "class_iiou": class_iiou,
        "category_iou": categories,
        "category_iiou": category_iiou,
        "confusion": [list(row) for row in confusion],
        "num_images": accuracy.image_count,
        "split_images": dataset.split_count,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "split": dataset.split,
        "shared_sequences": dataset.shared_sequences,
        "synthetic": dataset.synthetic,
        "mode": mode and mode.model_dump(mode="json"),
    }


def _sentences(accuracy: Accuracy, values: dict[str, Any], network: Network | None) -> list[str]:
    percent, dataset = METRICS["miou"].show, accuracy.dataset
    interval = ""
    if accuracy.miou_interval:
        low, high = map(percent, accuracy.miou_interval)
        interval = f" (95 % interval {low} to {high}, by bootstrap over {accuracy.resampled})"
    kind = " (synthetic: drawn streets, not real ones)" if dataset.synthetic else ""
    found = [
        f"mIoU {percent(values['miou'])} %{interval}, pixel accuracy {percent(values['pixel_accuracy'])} %",
        f"{images_said(dataset)} images of {dataset.name} {dataset.split}, full size, {_said(accuracy.mode)}{kind}",
        f"dataset fingerprint {dataset.fingerprint}",
    ]
    if network is not None:
        found.append(_named(network))
    if (shared := sharing(dataset)) is not None:
        found.append(shared)
    return found


def _named(network: Network) -> str:
    """Model, weights and what it computed with, in words."""
    weights, seen = network.weights, network.input_size
    size = "each frame's own size" if seen is None else text_of(seen)
    recipe = f", recipe hash {weights.recipe_hash}" if weights.recipe_hash else ""
    known = f" ({weights.sha256[:8]})" if weights.sha256 else ""
    return f"{network.model} in {network.precision} at {size}, weights {weights.label}{known}{recipe}"


def _said(mode: Mode | None) -> str:
    """How frames were read, in words."""
    if mode is None:
        return "label maps of another program"
    parts = ["read whole"]
    if mode.window is not None:
        parts = [f"read by a {text_of(mode.window)} window in steps of {text_of(mode.stride)}"]
    if mode.scales != (1.0,):
        parts.append(f"at scales {', '.join(f'{scale:g}' for scale in mode.scales)}")
    if mode.flip:
        parts.append("and mirrored")
    return " ".join(parts)


def _taken(reading: Reading, right: float | None) -> list[str]:
    """What the values were taken for, in words, and what else they may be."""
    show = METRICS["pixel_accuracy"].show
    none = f", {_listed(reading.void)} as none of the classes" if reading.void else ""
    asked = ", as asked" if reading.asked else "" if reading.right_as else ", the only encoding they fit"
    said = f"values read as {reading.encoding}{none}{asked}"
    if reading.right_as:
        others = ", ".join(f"{show(share)} % as {name}" for name, share in reading.right_as.items())
        said += f": {show(right)} % of the counted pixels are right; they fit others too: {others}"
    return [said, *(f"caution: {doubt}" for doubt in reading.doubts)]


def _listed(values: Sequence[int]) -> str:
    return " and ".join(", ".join(map(str, values)).rsplit(", ", 1))
