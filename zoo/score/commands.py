"""What each number of a row rests on, as seen from this machine, and the commands that measure, export and load it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from zoo.files import LEAST_DIGITS
from zoo.lazy import Lazy
from zoo.machine import Named
from zoo.presets import RECIPE_HASHES, sweep
from zoo.score.fields import quoted
from zoo.score.metrics import GRADE, Metric, metric_of
from zoo.score.rows import Row
from zoo.store import when
from zoo.units import show_size

if TYPE_CHECKING:
    from zoo.published import table
else:
    table = Lazy("zoo.published.table")

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
    return "published" if row.accepted and key == "miou" else measured_on(row, here)


def measured_on(row: Row, here: Sequence[Named]) -> Basis:
    """Return on which machine a row was measured, as seen from this one."""
    if any(row.machine_id == device.machine_id for device in here):
        return "measured here"
    if any((row.device, row.device_name) == (device.slug, device.name) for device in here):
        return "measured on the same kind of machine"
    return "measured on another machine"


def how_to_measure(row: Row, *keys: str) -> str:
    """Return the commands that measure numbers of a row's cell on the machine where they are run; none: its latency.

    Accuracy of random weights asks for others: published ones where there are some, else a training. Of a row of
    several devices the cell is that of the first.
    """
    row = row.measured[0]
    accuracy = any(key != GRADE.key and metric_of(key).averaged for key in keys)
    first, weights = "", weights_flag(row)
    if accuracy and row.weights_source == "random":
        tags = [one.tag for one in table.published_of(row.model)]
        first = "" if tags else f"zoo train {quoted(row.model)} --data DIR && "
        weights = f"--weights {quoted(f'published:{tags[0]}')}" if tags else ""
    trains = sweep(row.preset).get("train")
    seeds = row.seed_count if isinstance(trains, dict) and trains.get("name") == row.recipe else 1
    if row.is_foreign or seeds > 1:
        weights = ""
    what = "--file FILE" if row.is_foreign else f"--models {quoted(row.model)}"
    precision = [] if row.is_foreign else [f"--precision {row.precision}"]
    words = ["zoo bench", what, f"--runtimes {quoted(row.runtime)}", *precision]
    words += _images_words(row, accuracy=accuracy)
    words.append(f"--input-size {show_size(row.input_size)}")
    words += [f"--batch {row.batch_size}"] if row.batch_size != 1 else []
    words += [f"--seeds {seeds}"] if seeds > 1 else []
    words += _unusual_words(row)
    words += flags_for(set(keys), row.rate_hz)
    return first + " ".join([*words, *([weights] if weights else [])])


def _images_words(row: Row, *, accuracy: bool) -> Iterator[str]:
    """By which preset and on which images a row was measured; accuracy takes images of a dataset."""
    counts = row.dataset is not None
    preset = "cityscapes" if accuracy and (not counts or row.weights_source == "random") else row.preset
    yield from ["--data DIR"] if accuracy or _needs_data(row) else []
    yield f"--preset {quoted(preset)}"
    if counts:
        yield from [f"--accuracy-images {row.image_limit}"] if row.image_limit is not None else []
        yield from [f"--set split={quoted(row.split)}"] if row.split not in (None, SPLIT) else []
    elif not accuracy:
        stated = sweep(preset)
        yield from ["--set accuracy=false"] if stated.get("accuracy", True) else []
        if stated.get("image_size", list(IMAGE_SIZE)) != list(row.output_size):
            yield f"--set image_size={show_size(row.output_size)}"


def _unusual_words(row: Row) -> Iterator[str]:
    """What was asked for that no preset asks for."""
    if _cores_of(row.device) not in (None, row.thread_count):
        yield f"--threads {row.thread_count}"
    if row.resize != "fit":
        yield f"--set resize={row.resize}"
    if row.memory_format == "contiguous":
        yield f"--set memory_format={row.memory_format}"
    if row.compile_mode not in (None, "default"):
        yield f"--set compile_mode={row.compile_mode}"


@functools.cache  # advice asks for every row
def _cores_of(device: str) -> int | None:
    """Of a CPU, as its name has them."""
    cores = re.search(r"-(\d+)c$", device)
    return int(cores[1]) if cores else None


def how_to_train(model: str, recipe: str = "", seed: int = 0, *, version: str = "", on_data: bool) -> str:
    """Return the command that makes a run.

    Args:
        model: As it is typed.
        recipe: By its name; one that does not come with zoo, or is another by now, is a `FILE`. Empty: the default one.
        seed: Of the run.
        version: `@HASH` of the recipe, where it may be another than zoo's own of that name.
        on_data: Whether it is of a dataset that is not drawn.
    """
    words = [f"zoo train {quoted(model)}", *(["--data DIR"] if on_data else [])]
    known = RECIPE_HASHES.get(recipe)
    comes = known is not None and known.startswith(version.removeprefix("@"))
    words += [f"--config {recipe + version if comes else 'FILE'}"] if recipe else []
    return " ".join([*words, *([f"--seed {seed}"] if seed else [])])


def flags_for(keys: set[str], rate_hz: float | None) -> list[str]:
    """Return the flags of `zoo bench` without which it does not measure these numbers."""
    if keys & _OF_BATCHES:  # which are not paced
        return ["--throughput"]
    paced = rate_hz is not None or keys & _OF_PACED_CALLS
    return ["--rate RATE" if rate_hz is None else f"--rate {rate_hz:g}hz"] if paced else []


def weights_flag(row: Row) -> str:
    """Return what names a row's weights on the command line; empty where the newest run is meant anyway."""
    match row.weights_source:
        case "random" | "own":
            return f"--weights {row.weights_source}"
        case "run":
            seed = f":{row.seed}" if row.seed is not None else ""
            return f"--weights {quoted(f'run:{recipe_of(row)}{seed}')}"
        case "published":
            tag = row.weights.removeprefix("published").strip()
            return f"--weights {quoted(f'published:{tag}')}" if tag else "--weights published"
        case "file":
            return "--weights FILE"
        case _:
            return ""


def how_to_export(row: Row, *, beside: bool = False) -> str:
    """Return the command that writes the file a row was measured from; empty where there is none, or it is there.

    A file that is written `beside` those for other devices is named by its own.
    """
    suffix = _SUFFIXES.get(row.runtime)
    if suffix is None or row.is_foreign:
        return ""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", row.model).strip("-.") or "model"
    device = f"-{row.device}" if beside else ""
    file = f"{name}-{row.runtime}-{row.precision}{device}{suffix}"
    words = [f"zoo export {quoted(row.model)} -o {file} --runtime {row.runtime} --precision {row.precision}"]
    words.append(f"--image-size {show_size(row.output_size)} --input-size {show_size(row.input_size)}")
    words += [f"--resize {row.resize}"] if row.resize != "fit" else []
    words += [f"--batch {row.batch_size}"] if row.batch_size != 1 else []
    words += ["--device cuda"] if suffix == ".pt2" and row.device.startswith("nvidia") else []
    words += ["--data DIR"] if _needs_data(row) else []
    return " ".join([*words, *_weights_words(row)])


def how_to_load(row: Row) -> str:
    """Return the command that shows what a row's weights see of a picture, eager; in the row's precision if it can.

    Empty for another maker's file, which no model of zoo's runs.
    """
    if row.is_foreign:
        return ""
    precision = "" if row.precision in {"fp32", "int8"} else f" --precision {row.precision}"
    size = show_size(row.input_size)
    words = [f"zoo predict {quoted(row.model)} frame.png -o pictures --input-size {size}{precision}"]
    words += ["--data DIR"] if _needs_data(row) else []
    return " ".join([*words, *_weights_words(row)])


def how_to_have_weights(row: Row) -> str:
    """Return the command that trains the run that a row's other commands name; empty for other weights."""
    if row.weights_source != "run":
        return ""
    return how_to_train(row.model, row.recipe, row.seed or 0, version=_version(row), on_data=_needs_data(row))


def what_trains(row: Row, command: str, on: str = "") -> str:
    """Return what the command of `how_to_have_weights` is for, `on` a device, and what the file is that it names."""
    file = f"; FILE is the recipe {recipe_of(row)}, none of zoo's own" if "FILE" in command else ""
    return f"first its weights{on}, where no such run is here yet{file}"


def recipe_of(row: Row) -> str:
    """Return what names the recipe of a row and no other of that name: `camvid_cpu@11872d`."""
    return row.recipe + _version(row)


def _version(row: Row) -> str:
    """What tells the recipe of a row from others by its name, as `--weights` and `--config` take it."""
    return f"@{row.recipe_hash[:LEAST_DIGITS]}" if row.recipe_hash else ""


def preset_words(asked: Iterable[Row], needed: Sequence[Metric]) -> list[str]:
    """How the newest row with most of what is needed was measured, for all models; nothing of smoke tests."""
    time_of, rows = when(), [row for row in asked if row.status == "ok"]
    row = max(
        rows,
        key=lambda row: (sum(row.value(metric.key) is not None for metric in needed), time_of(row)),
    )
    if row.quick:
        return []
    models = list(dict.fromkeys(one.model for one in rows if not one.is_foreign))
    words = ["--file FILE"] if row.is_foreign else []
    words += [f"--models {quoted(','.join(models))}"] if not words and len(models) <= MOST_NAMED else []
    words += [f"--runtimes {quoted(row.runtime)}"] if row.runtime != "eager" else []
    words += [f"--precision {row.precision}"] if row.precision != "fp32" and not row.is_foreign else []
    return [*words, *(["--data DIR"] if _needs_data(row) else []), f"--preset {quoted(row.preset)}"]


MOST_NAMED = 8
"""Models that a command names; of more the preset's own are meant."""
SPLIT, IMAGE_SIZE = "val", (1024, 2048)
"""Of a sweep whose preset states none (`zoo.config.BenchConfig`)."""
_OF_PACED_CALLS = {"missed_share", "lateness_p50_s", "lateness_max_s", "frame_count"}
_OF_BATCHES = {"throughput_per_s", "largest_batch"}
_SUFFIXES = {"onnxruntime": ".onnx", "openvino": ".onnx", "tensorrt": ".onnx", "aoti": ".pt2"}
"""What the runtimes that run a file write, as `runtimes.table.file_format` tells with torch."""


def _needs_data(row: Row) -> bool:
    """Whether classes, runs or calibration images come from a dataset that is not drawn."""
    return row.dataset is not None and not row.synthetic


def loads_published(row: Row) -> bool:
    """Whether a row stands for published weights that can be loaded, though it was timed with random ones."""
    return row.accepted and row.published is not None and row.published.weights.startswith("published ")


def _weights_words(row: Row) -> list[str]:
    """Of an accepted row those that were published, where they can be loaded."""
    if row.published is not None and loads_published(row):
        tag = row.published.weights.removeprefix("published ")
        return [f"--weights {quoted(f'published:{tag}')}"]
    flag = weights_flag(row)
    return [flag] if flag else []
