"""Pictures of what a model sees in photographs, in videos and in the frames of a split."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePath

from PIL import Image

from zoo.data.headers import notes, sound_headers
from zoo.data.layout import Dataset, OnFrame, spread
from zoo.data.naming import PHOTO_SUFFIXES
from zoo.data.reading import read_image, read_pages, read_photo
from zoo.data.spelling import Pixels
from zoo.errors import UserError
from zoo.faults import how_to_read, reason
from zoo.predict.drawing import KINDS, PICTURES, Kind, check_kinds, encoded
from zoo.predict.predictor import Prediction, Predictor
from zoo.predict.stream import Count, OnFault, WriteError, stream, write
from zoo.predict.video import FILMED, VIDEO_SUFFIXES, frame_count, predict_clip

_log = logging.getLogger(__name__)


@dataclass
class _Sources:
    """What there is to predict, by what the predictions are called: a path below the source, without suffix."""

    photos: dict[PurePath, Path] = field(default_factory=dict)
    stacks: dict[PurePath, tuple[Path, int]] = field(default_factory=dict)
    """Pages of a TIFF, frames of an animation: the file and how many."""
    clips: dict[PurePath, Path] = field(default_factory=dict)


def predict_images(
    predictor: Predictor,
    source: Path | str,
    output: Path | str,
    *,
    kinds: Sequence[Kind] | None = None,
    rate: Fraction | None = None,
    on_image: OnFrame | None = None,
    on_fault: OnFault | None = None,
) -> list[Path]:
    """Write pictures of what a model sees in photographs and videos; what `zoo predict MODEL IMAGE|DIR -o OUT` does.

    Each image gives `<output>/<kind>/<its own path>/<stem>_<kind>.png`, at its own size:

    - `overlay`: the image blended with the classes' colours, a white line where two classes meet;
    - `color`: the classes' colours alone, black where there is none;
    - `labelIds`: the values that the dataset's label files hold, which is what every scorer takes. They have a folder
      for themselves so that `zoo eval --predictions <output>/labelIds` and the official scripts find one file a frame;
    - `confidence`: the highest softmax probability, 255 for 1.

    Pages of a TIFF and frames of an animation become `<stem>/<stem>_000001_<kind>.png` and so on. A video becomes
    `<stem>_overlay.mp4` and `<stem>_color.mp4`; the other kinds, which a video would not keep exactly, are written for
    its frames as they are for pages, where they are asked for.

    Args:
        predictor: The model.
        source: An image in any form that `zoo.data.reading` takes, turned upright as its EXIF says; a video; or a
            folder, where all of them are taken, in the folders below it too.
        output: Folder for the pictures; what is there under the same name is replaced.
        kinds: Which pictures; `None`: all, of a video `overlay` and `color`.
        rate: Frames per second of the videos that are written; `None`: as each was.
        on_image: Told of every image.
        on_fault: Told of what cannot be read or predicted, and the rest goes on; `None`: it is raised.

    Raises:
        UserError: no image, the only one is damaged, two that would be written to one file, an unknown kind, or a
            folder that cannot be written.
    """
    source, output = Path(source).expanduser(), Path(output).expanduser()
    check_kinds(kinds if kinds is not None else KINDS, KINDS)
    found = _find(source, output)
    if rate is not None and not found.clips:
        raise UserError(f"{source} holds no video, and a rate is a video's; leave it away")
    headers = sound_headers(found.photos.values())
    _say(notes("image", list(headers.values())).values())
    for name, path in list(found.photos.items()):
        if path in headers and headers[path].pages > 1:
            found.stacks[name] = found.photos.pop(name), headers[path].pages
    total = len(found.photos) + sum(count for _, count in found.stacks.values())
    on_done = Count(on_image, total + sum(map(frame_count, found.clips.values())))
    reads = [(name, partial(read_photo, path)) for name, path in found.photos.items()]
    alone = source.is_file() and not found.stacks
    files = _write_pictures(predictor, reads, output, kinds or KINDS, on_done, None if alone else on_fault)
    for name, (path, _) in found.stacks.items():
        pages = _numbered(name, path, on_fault)
        files += _write_pictures(predictor, pages, output, kinds or KINDS, on_done, on_fault)
    for name, path in found.clips.items():
        try:
            files += _write_clip(predictor, name, path, output, kinds or FILMED, rate, on_done, on_fault)
        except UserError as error:
            if alone or on_fault is None or isinstance(error, WriteError):
                raise
            on_fault(error)
    return files


def predict_split(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    output: Path | str,
    *,
    image_count: int | None = None,
    kinds: Sequence[Kind] = KINDS,
    on_image: OnFrame | None = None,
    on_fault: OnFault | None = None,
) -> list[Path]:
    """Write the pictures of `predict_images` for the frames of a split, in a folder per city.

    Args:
        predictor: The model.
        dataset: An opened dataset.
        split: Such as `"val"`; it needs no labels.
        output: As in `predict_images`.
        image_count: This many frames, spread evenly over the split; `None`: all.
        kinds: Which pictures.
        on_image: Told of every image.
        on_fault: As in `predict_images`.

    Raises:
        UserError: no such split, a damaged file, an unknown kind, or a folder that cannot be written.
    """
    check_kinds(kinds, KINDS)
    frames = spread(dataset.frames(split), image_count)
    reads = [(PurePath(frame.city, frame.name), partial(read_image, frame.image)) for frame in frames]
    headers = sound_headers(frame.image for frame in frames)
    _say(notes("image", list(headers.values()), f" of {split}").values())
    on_done = Count(on_image, len(reads))
    return _write_pictures(predictor, reads, Path(output).expanduser(), kinds, on_done, on_fault)


def _find(source: Path, output: Path) -> _Sources:
    """Photographs and videos of a folder, or the one file."""
    found = _Sources()
    if source.is_file():
        _kind_of(found, source)[PurePath(source.stem)] = source
        return found
    if not source.is_dir():
        raise UserError(f"no image file or folder {source}")
    if source.resolve() == output.resolve():
        raise UserError(f"{output} is the folder of the images themselves; name another one with -o")
    for folder, below, names in os.walk(source, onerror=_unreadable):  # links to folders are not followed: no loops
        below[:] = sorted(
            name for name in below if not name.startswith(".") and Path(folder, name).resolve() != output.resolve()
        )
        for path in (Path(folder, name) for name in sorted(names)):
            if path.name.startswith(".") or path.suffix.lower() not in (*PHOTO_SUFFIXES, *VIDEO_SUFFIXES):
                continue
            of_kind, name = _kind_of(found, path), path.relative_to(source).with_suffix("")
            if name in of_kind:
                raise UserError(f"{of_kind[name]} and {path} would be written to the same files; rename one of them")
            of_kind[name] = path
    if not found.photos and not found.clips:
        raise UserError(f"no image in {source}; an image ends in {', '.join(PHOTO_SUFFIXES)}")
    return found


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        _log.warning("%s", line)


def _kind_of(found: _Sources, path: Path) -> dict[PurePath, Path]:
    return found.clips if path.suffix.lower() in VIDEO_SUFFIXES else found.photos


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {reason(error)}; {how_to_read(error)}") from error


def _numbered(name: PurePath, path: Path, on_fault: OnFault | None) -> Iterator[tuple[PurePath, Callable[[], Pixels]]]:
    """Pages by their numbers, as far as they can be read."""
    try:
        for number, pixels in enumerate(read_pages(path), 1):
            yield _frame_name(name, number), partial(_same, pixels)
    except UserError as error:
        if on_fault is None:
            raise
        on_fault(error)


def _frame_name(name: PurePath, number: int) -> PurePath:
    return name / f"{name.name}_{number:06d}"


def _same(pixels: Pixels) -> Pixels:
    return pixels


def _save(
    output: Path, kinds: Sequence[Kind], predictor: Predictor, name: PurePath, prediction: Prediction
) -> list[Path]:
    files = {
        output / kind / name.parent / f"{name.name}_{kind}.png": PICTURES[kind](prediction, predictor.classes)
        for kind in kinds
    }
    write({file: encoded(Image.fromarray(pixels), ".png") for file, pixels in files.items()}, output)
    return list(files)


def _write_pictures(
    predictor: Predictor,
    images: Iterable[tuple[PurePath, Callable[[], Pixels]]],
    output: Path,
    kinds: Sequence[Kind],
    on_done: Callable[[], None],
    on_fault: OnFault | None,
) -> list[Path]:
    save = partial(_save, output, kinds, predictor)
    with _no_empty_folders(output):
        written = stream(predictor, images, save, confidence="confidence" in kinds, on_done=on_done, on_fault=on_fault)
        return [file for files in written for file in files]


def _write_clip(
    predictor: Predictor,
    name: PurePath,
    path: Path,
    output: Path,
    kinds: Sequence[Kind],
    rate: Fraction | None,
    on_done: Callable[[], None],
    on_fault: OnFault | None,
) -> list[Path]:
    videos = {kind: output / kind / name.parent / f"{name.name}_{kind}.mp4" for kind in kinds if kind in FILMED}
    others = [kind for kind in kinds if kind not in videos]
    frames: list[Path] = []

    def on_frame(number: int, prediction: Prediction) -> None:
        if others:
            frames.extend(_save(output, others, predictor, _frame_name(name, number), prediction))
        on_done()

    with _no_empty_folders(output):
        fault = predict_clip(predictor, path, videos, rate=rate, confidence="confidence" in kinds, on_frame=on_frame)
    if fault is not None:
        if on_fault is None:
            raise fault
        on_fault(fault)
    return [*videos.values(), *frames]


@contextmanager
def _no_empty_folders(output: Path) -> Iterator[None]:
    """Whatever ends the work: no folder stays empty that was not there before."""
    before = {folder for folder, _, _ in os.walk(output)}
    above = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        yield
    finally:
        made = [folder for folder, _, _ in os.walk(output, topdown=False) if folder not in before]
        for folder in (*map(Path, made), *above):
            with suppress(OSError):  # it holds pictures, or was never made
                folder.rmdir()
