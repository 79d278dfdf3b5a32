"""Scoring label maps that another program wrote: one PNG per frame, in whatever encoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from zoo.counting import EvaluationResult, ImageCounts, Tally, count_image, has_instances, in_order, require_size
from zoo.data.layout import Dataset, Frame, OnFrame
from zoo.data.reading import read_label
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
from zoo.machine import core_count
from zoo.record import Reading
from zoo.spec import DatasetSpec


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
        name: Tally(table, spec.num_classes, *inferable(name, spec.num_classes, auto=encoding == "auto"))
        for name, table in known.items()
        if encoding in ("auto", name)
    }
    asked = len(tallies)
    pairs, present, are_ids = np.zeros((spec.num_classes, 256), np.int64), np.zeros(256, np.bool_), True
    count = partial(_count_file, spec=spec, weighs_instances=has_instances(dataset, split))
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
    reading = _reading(tallies, encoding, spec, void, pairs, present, are_ids=are_ids)
    return replace(tallies[reading.encoding].result(), mode=None, reading=reading)


def _reading(
    tallies: Mapping[str, Tally],
    encoding: Encoding,
    spec: DatasetSpec,
    void: tuple[int, ...],
    pairs: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
    *,
    are_ids: bool,
) -> Reading:
    """Choose among the encodings that fit all files."""
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
    return Reading(
        encoding=taken,
        asked=encoding != "auto",
        void=(*void, *fits[taken].inferred),
        right_as={name: fit.right for name, fit in others.items()},
        doubts=tuple(better(right, others) or order),
    )


def _strange(file: Path, image: ImageCounts, tallies: Mapping[str, Tally], asked: int, spec: DatasetSpec) -> UserError:
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


def _count_file(item: tuple[Frame, Path], *, spec: DatasetSpec, weighs_instances: bool) -> ImageCounts:
    frame, file = item
    truth = read_label(frame, spec)
    prediction = read_prediction(file, spec)
    require_size(file, prediction.values, truth.shape)
    counted = count_image(frame, truth, prediction.values, spec.num_classes, weighs_instances=weighs_instances)
    return counted._replace(
        are_ids=prediction.are_ids, colors=prediction.colors, strange_color=prediction.strange_color
    )


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


def _some(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:5])) + (" …" if len(values) > 5 else "")
