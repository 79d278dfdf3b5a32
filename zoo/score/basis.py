"""What each number of a row rests on, as seen from this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from zoo.machine import Named
from zoo.published.table import published_of
from zoo.score.fields import quoted
from zoo.score.metrics import GRADE, metric_of
from zoo.score.rows import Row, text_of

Basis = Literal[
    "measured here",
    "measured on the same kind of machine",
    "measured on another machine",
    "published",
    "not known",
]


def rests_on(row: Row, key: str, here: Sequence[Named]) -> Basis:
    """Return what a number of a row rests on.

    Args:
        row: The row.
        key: Of the metric (`metric_of`).
        here: This machine's devices, `zoo.machine.here()`.
    """
    if row.value(key) is None:
        return "not known"
    if row.accepted and key == "miou":
        return "published"
    if any(row.machine_id == device.machine_id for device in here):
        return "measured here"
    if any((row.device, row.device_name) == (device.slug, device.name) for device in here):
        return "measured on the same kind of machine"
    return "measured on another machine"


def how_to_measure(row: Row, key: str = "pipeline_p50_s") -> str:
    """Return the commands that measure a number of a row's cell on the machine where they are run.

    Accuracy of random weights asks for others: published ones where there are some, else a training.
    """
    models = f"--models {quoted(row.model)}"
    words = ["zoo bench", models, f"--runtimes {row.runtime}", f"--precision {row.precision}"]
    accuracy = key != GRADE.key and metric_of(key).averaged
    first, weights, preset = "", weights_flag(row), row.preset
    if accuracy and row.weights_source == "random":
        preset = "cityscapes"
        tags = [one.tag for one in published_of(row.model)]
        first = "" if tags else f"zoo train {quoted(row.model)} --data DIR && "
        weights = f"--weights {quoted(f'published:{tags[0]}')}" if tags else ""
    if accuracy or (row.dataset is not None and not row.synthetic):
        words.append("--data DIR")
    words += [f"--preset {preset}", f"--input-size {text_of(row.input_size)}"]
    words += [f"--batch {row.batch_size}"] if row.batch_size != 1 else []
    words += ["--throughput"] if key in {"throughput_per_s", "largest_batch"} else []
    return first + " ".join([*words, *([weights] if weights else [])])


def weights_flag(row: Row) -> str:
    """Return what names a row's weights on the command line; empty where the newest run is meant anyway."""
    match row.weights_source:
        case "random" | "own":
            return f"--weights {row.weights_source}"
        case "run":
            seed = f":{row.seed}" if row.seed_count == 1 and row.seed is not None else ""
            return f"--weights {quoted(f'run:{row.recipe}{seed}')}"
        case "published":
            tag = row.weights.removeprefix("published").strip()
            return f"--weights {quoted(f'published:{tag}')}" if tag else "--weights published"
        case "file":
            return "--weights FILE"
        case _:
            return ""
