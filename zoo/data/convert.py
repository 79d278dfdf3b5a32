"""A folder of images and label maps in the plain form: 8-bit RGB, and single-channel 8-bit ids. Free of torch.

What `zoo.data.reading` reads in one way alone is written that way; what could mean two things is decided here, for all
files alike and by what all of them hold, or asked for: how many of 16 bits a camera fills, whether a label map's
numbers or its colours are meant, whether the pixels are to be turned as EXIF says.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from zoo.data.classes import CLASSES_FILE, read_classes
from zoo.data.coloring import ids_of_colors
from zoo.data.layout import OnFrame, named_train_ids, open_dataset
from zoo.data.naming import LABEL_KINDS, PHOTO_SUFFIXES
from zoo.data.reading import opened, orientation_of, read_image, require_map, upright
from zoo.data.spelling import (
    OTHER_COLORS,
    Pixels,
    Samples,
    deep_samples,
    form_of,
    in_three,
    known_values,
    require_one_picture,
    stored_mode,
    unread_form,
    values_of,
)
from zoo.errors import UserError, counted
from zoo.faults import how_to_read, how_to_write, reason
from zoo.files import threads, whole_folder
from zoo.labels import CITYSCAPES
from zoo.spec import DatasetSpec

LabelBy = Literal["auto", "values", "colors"]
Exif = Literal["auto", "turn", "ignore"]
PLAIN_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Of files that stay as they are where their pixels are plain; others become PNG."""
CAMERA_BITS = (8, 10, 12, 14, 16)
"""What cameras put into 16 bits."""
_COPIED = "copied as they are"
_SAVED = "saved as PNG"
_DONE = {
    "grey": "grey made RGB",
    "bits": "grey of few bits made RGB",
    "palette": "palette made RGB",
    "alpha": "alpha left out",
}


@dataclass(frozen=True)
class Converted:
    """What was written."""

    root: Path
    images: Mapping[str, int]
    """What was done → number of images; one image may count more than once."""
    labels: Mapping[str, int]
    """Likewise of label maps."""
    image_count: int
    label_count: int

    def lines(self) -> list[str]:
        """What was done, a line for the images and one for the label maps."""
        return [
            f"{counted(count, noun)}: "
            + ", ".join(f"{number} {what}" for what, number in sorted(done.items(), key=lambda item: -item[1]))
            for noun, count, done in (
                ("image", self.image_count, self.images),
                ("label map", self.label_count, self.labels),
            )
            if count
        ]


@dataclass(frozen=True)
class _File:
    """A file of the source."""

    path: Path
    kind: Literal["image", "label", "other"]
    partner: Path | None = None
    """An image's label map, a label map's image."""
    train_ids: bool = False
    """Of a label map: whether it holds train ids."""

    @property
    def what(self) -> str:
        return f"{self.kind} {self.path}"


class _Readings(NamedTuple):
    """A label map as it could be meant."""

    form: str
    """`"palette"` and `"color"` have colours, `"values"` have none."""
    against_numbers: UserError | None
    against_colors: UserError | None


@dataclass(frozen=True)
class _Choices:
    """What is decided once, for all files."""

    spec: DatasetSpec
    bits: int
    exif: Exif
    by_color: Mapping[str, bool]
    """Form of a label map → whether its colours are meant."""
    numbers_asked: bool
    """Whether somebody said that numbers are, whatever the colours."""
    ignore_others: bool
    """Whether pixels in no class's colour count nowhere, instead of being an error."""


def convert_folder(
    source: Path | str,
    target: Path | str,
    *,
    labels: bool = False,
    classes: Path | str | None = None,
    label_by: LabelBy = "auto",
    ignore_other_colors: bool = False,
    bits: int | None = None,
    exif: Exif = "auto",
    on_file: OnFrame | None = None,
) -> Converted:
    """Write a dataset, or any folder, with its images as 8-bit RGB and its label maps as 8-bit ids.

    What has that form already is copied byte for byte, as are files that are no image; what is converted becomes a PNG.

    Args:
        source: A dataset that `open_dataset` opens, where the layout tells images from label maps; or a folder of
            images (of label maps, with `labels`), in the folders below it too.
        target: A folder that is not there yet; it appears whole or not at all.
        labels: `source` is no dataset but holds label maps.
        classes: With `labels`, the `classes.toml` with their colours; `None`: Cityscapes' classes.
        label_by: What palettes and RGB label maps mean: their numbers, or their colours, which become the ids of the
            classes; `"auto"`: the one that all of them can mean.
        ignore_other_colors: Pixels in a colour that no class has count nowhere; else they are an error.
        bits: How many of 16 bits the camera fills; `None`: the fewest of `CAMERA_BITS` that hold all images' values.
        exif: Whether pixels are turned as EXIF says; `"auto"`: where the label map's size says so, and where an image
            has none.
        on_file: Told of every file.

    Raises:
        UserError: no such folder, one file that cannot be read or converted, what can be meant in two ways, or a target
            that is there or cannot be written.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if not source.is_dir():
        raise UserError(f"no folder {source}; give one that holds images or a dataset")
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} is there already; give a new folder")
    if source.resolve() in target.resolve().parents:
        raise UserError(f"{target} lies inside {source}; give a folder outside it")
    spec, files = _files(source, labels=labels, classes=classes)
    targets = _targets(source, files)
    done: dict[str, Counter[str]] = {"image": Counter(), "label": Counter(), "other": Counter()}
    images, maps = ([file for file in files if file.kind == kind] for kind in ("image", "label"))
    with threads() as pool:
        highest = dict(zip(images, pool.map(_highest, images), strict=True))
        read = partial(_readings, spec=spec, ignore_others=ignore_other_colors)
        meanings = _meanings(list(pool.map(read, maps)), label_by)
    choices = _Choices(spec, _bits(highest, bits), exif, meanings, label_by == "values", ignore_other_colors)

    def fill(folder: Path) -> None:
        written = {path: folder / name for path, name in targets.items()}
        write = partial(_write, choices=choices, targets=written)
        with threads() as pool:
            for count, (file, what) in enumerate(zip(files, pool.map(write, files), strict=True), 1):
                done[file.kind].update(what)
                if on_file:
                    on_file(count, len(files))
        _keep_one_ending(folder / CLASSES_FILE, written, files, done)

    try:
        whole_folder(target, fill)
    except OSError as error:
        advice = how_to_write(error, "another folder")
        raise UserError(f"cannot convert to {target}: {reason(error)}; {advice}") from error
    return Converted(target, dict(+done["image"]), dict(+done["label"]), len(images), len(maps))


def _files(source: Path, *, labels: bool, classes: Path | str | None) -> tuple[DatasetSpec, list[_File]]:
    """The classes and all files of a source, sorted."""
    paths = []
    for folder, below, names in os.walk(source, onerror=_unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        paths += [Path(folder, name) for name in names if not name.startswith(".")]
    if not any((source / name).exists() for name in ("leftImg8bit", "gtFine", CLASSES_FILE)):
        spec = read_classes(Path(classes)).spec if classes else CITYSCAPES
        kind: Literal["image", "label"] = "label" if labels else "image"
        found = [
            _File(path, kind if path.suffix.lower() in PHOTO_SUFFIXES else "other", train_ids=named_train_ids(path))
            for path in sorted(paths)
        ]
        if all(file.kind == "other" for file in found):
            raise UserError(f"no image in {source}; an image ends in {', '.join(PHOTO_SUFFIXES)}")
        return spec, found
    if labels or classes:
        raise UserError(
            f"{source} is a dataset, whose layout and {CLASSES_FILE} say what is a label map; leave --labels and "
            "--classes away"
        )
    dataset = open_dataset(source)
    frames = [frame for split in dataset.splits() for frame in dataset.frames(split)]
    label_of = {frame.image: frame.label for frame in frames}
    of_label = {frame.label: frame for frame in frames if frame.label}
    found = []
    for path in sorted(dataset.root / path.relative_to(source) for path in paths):
        if path in label_of:
            found.append(_File(path, "image", label_of[path]))
        elif frame := of_label.get(path):
            found.append(_File(path, "label", frame.image, frame.has_train_ids))
        elif path.stem.rpartition("_")[2] in LABEL_KINDS:
            found.append(_File(path, "label", train_ids=named_train_ids(path)))
        else:
            found.append(_File(path, "other"))
    return dataset.spec, found


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {reason(error)}; {how_to_read(error)}") from error


def _targets(source: Path, files: Sequence[_File]) -> dict[Path, Path]:
    """Where each file goes, below the target; two that would become one are refused."""
    root = source.resolve()
    targets: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for file in files:
        below = file.path.relative_to(source if file.path.is_relative_to(source) else root)
        as_png = below if file.kind == "other" else below.with_suffix(".png")
        if (first := taken.setdefault(as_png, file.path)) != file.path:
            raise UserError(f"{first} and {file.path} would be written to the same file; rename one of them")
        targets[file.path] = below
    return targets


# What is decided for all files


def _highest(file: _File) -> int | None:
    """The highest value of an image of 16 bits, its alpha apart; `None` of any other."""
    with opened(file.kind, file.path) as image:
        require_one_picture(image, file.what)
        if form_of(stored_mode(image)) != "deep":
            return None
        return int(_without_alpha(deep_samples(image)).max())


def _bits(highest: Mapping[_File, int | None], asked: int | None) -> int:
    """How many bits are filled."""
    if asked is not None and asked not in range(8, 17):
        raise UserError(f"an image of 16 bits has 8 to 16 of them filled; got --bits {asked}")
    most, file = max(((value, file) for file, value in highest.items() if value is not None), default=(0, None))
    needed = next(bits for bits in CAMERA_BITS if most < 1 << bits) if asked is None else asked
    if most >= 1 << needed:
        raise UserError(
            f"image {file.path if file else ''} holds {most}, more than {asked} bits; give --bits a larger number"
        )
    return needed


def _readings(file: _File, spec: DatasetSpec, ignore_others: bool) -> _Readings:
    """What speaks against reading a label map's numbers, and against reading its colours."""
    with opened("label", file.path) as image:
        require_map(image, file.what)
        form = _label_form(image)
    against: list[UserError | None] = []
    for by_color in (False, True):
        try:
            _label_values(file, spec, by_color=by_color and form != "values", ignore_others=ignore_others)
            against.append(None)
        except UserError as error:
            against.append(error)
    return _Readings(form, *against)


def _meanings(readings: Iterable[_Readings], asked: LabelBy) -> dict[str, bool]:
    """Form → whether its colours are meant: for all files the same."""
    meant = {"values": False}
    for form in ("palette", "color"):
        of_form = [told for told in readings if told.form == form]
        numbers = next((told.against_numbers for told in of_form if told.against_numbers), None)
        colors = next((told.against_colors for told in of_form if told.against_colors), None)
        if asked == "auto" and numbers and colors:
            raise colors if form == "color" else numbers
        meant[form] = asked == "colors" or (asked == "auto" and numbers is not None)
    return meant


# One file


def _write(file: _File, *, choices: _Choices, targets: Mapping[Path, Path]) -> list[str]:
    """Write a file, and return what was done to it."""
    target = targets[file.path]
    target.parent.mkdir(parents=True, exist_ok=True)
    done: list[str] = []
    pixels = None
    if file.kind == "image":
        pixels, done = _image(file, choices)
    elif file.kind == "label":
        pixels, done = _label(file, choices)
    if pixels is None or not done:
        shutil.copyfile(file.path, target)
        return [_COPIED]
    Image.fromarray(pixels).save(target.with_suffix(".png"))
    return done


def _keep_one_ending(
    classes: Path, targets: Mapping[Path, Path], files: Sequence[_File], done: Mapping[str, Counter[str]]
) -> None:
    """Where a `classes.toml` names images, or label maps, by their ending, one that became a PNG takes all with it."""
    if not classes.is_file() or read_classes(classes).naming is None:
        return
    text = classes.read_text(encoding="utf-8")
    for kind in ("image", "label"):
        written = [targets[file.path] for file in files if file.kind == kind]
        named, count = re.subn(rf"""(?m)^(\s*{kind}\s*=\s*["'][^"'\n]*)\.\w+(["'])""", r"\1.png\2", text)
        if not count or all(path.exists() for path in written):
            continue
        text = named
        for path in (path for path in written if path.exists() and path.suffix.lower() != ".png"):
            Image.fromarray(read_image(path)).save(path.with_suffix(".png"))
            path.unlink()
            done[kind].update({_COPIED: -1, _SAVED: 1})
    classes.write_text(text, encoding="utf-8")


def _image(file: _File, choices: _Choices) -> tuple[Pixels, list[str]]:
    with opened("image", file.path) as image:
        mode, done = stored_mode(image), []
        form = form_of(mode)
        if form == "deep":
            samples = _without_alpha(deep_samples(image))
            full = (1 << choices.bits) - 1
            pixels = in_three(((samples * 255 + full // 2) // full).astype(np.uint8))
            done.append(f"16 bits scaled to 8, as {choices.bits} bits are filled")
        elif form == "other" and image.mode not in OTHER_COLORS:
            raise unread_form(file.what, mode)
        else:
            pixels = np.array(_as_rgb(image))
            if form == "other":
                done.append(f"{image.mode} made RGB")
            elif form != "color":
                done.append(_DONE[form])
            if "A" in mode and (np.array(image.getchannel("A")) < 255).any():
                done.append("alpha that hid something left out")
        orientation = orientation_of(image)
    pixels, turned = _turned(file, pixels, orientation, choices.exif)
    done += turned
    if not done and file.path.suffix.lower() not in PLAIN_SUFFIXES:
        done.append(_SAVED)
    return pixels, done


def _label(file: _File, choices: _Choices) -> tuple[Pixels, list[str]]:
    with opened("label", file.path) as image:
        form, plain = _label_form(image), (image.format, stored_mode(image)) == ("PNG", "L")
    by_color = choices.by_color[form]
    values = _label_values(
        file,
        choices.spec,
        by_color=by_color,
        ignore_others=choices.ignore_others,
        whatever_colors=choices.numbers_asked,
    )
    what = {"palette": "indices of a palette", "color": "equal channels", "values": "other depths or formats"}[form]
    done = [] if plain else ["colours made ids" if by_color else f"{what} made ids"]
    with opened("label", file.path) as image:
        orientation = orientation_of(image)
    values, turned = _turned(file, values, orientation, choices.exif)
    return values, done + turned


def _as_rgb(image: Image.Image) -> Image.Image:
    """By its own profile, where ink (CMYK) has one; alpha is left out."""
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        with suppress(ImageCms.PyCMSError):  # a profile of something else
            ink, screen = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, ink, screen, outputMode="RGB") or image.convert("RGB")
    return image.convert("RGB")


def _without_alpha(samples: Samples) -> Samples:
    return samples[..., :-1] if samples.ndim == 3 and samples.shape[2] in (2, 4) else samples


def _turned(file: _File, pixels: Pixels, orientation: int, exif: Exif) -> tuple[Pixels, list[str]]:
    """Turn the pixels upright, or leave them as they are stored, and say so."""
    if orientation == 1:
        return pixels, []
    turned = upright(pixels, orientation)
    turn = exif == "turn"
    if exif == "auto":
        turn = True
        if file.partner is not None:
            with opened("image", file.partner) as partner:
                size, same = (partner.height, partner.width), orientation_of(partner) == orientation
            turn = same or turned.shape[:2] == size
            if not same and (turned.shape[:2] == pixels.shape[:2] or size not in (turned.shape[:2], pixels.shape[:2])):
                raise UserError(
                    f"{file.what} has EXIF orientation {orientation}, and the size of {file.partner} does not tell "
                    "whether that one is drawn on turned pixels; give --exif turn or --exif ignore"
                )
    return (turned, ["turned as EXIF says"]) if turn else (pixels, ["EXIF orientation removed"])


def _label_form(image: Image.Image) -> str:
    """Which of an opened label map's readings there are."""
    mode = stored_mode(image)
    return "palette" if form_of(mode) == "palette" else "color" if mode in ("RGB", "RGBA") else "values"


def _label_values(
    file: _File, spec: DatasetSpec, *, by_color: bool, ignore_others: bool, whatever_colors: bool = False
) -> Pixels:
    """A label map's values `(H, W)`, all of which mean something."""
    with opened("label", file.path) as image:
        require_map(image, file.what)
        if by_color:
            return ids_of_colors(
                np.array(image.convert("RGB")), file.what, spec, train_ids=file.train_ids, ignore_others=ignore_others
            )
        plain = image.convert(image.mode[:-1]) if stored_mode(image) in ("LA", "RGBA") else image
        values = values_of(plain, file.what, spec, train_ids=file.train_ids, whatever_colors=whatever_colors)
    known = known_values(spec, train_ids=file.train_ids)
    strange = [value for value in np.flatnonzero(np.bincount(values.ravel())).tolist() if value not in known]
    if strange:
        raise UserError(
            f"{file.what} holds {', '.join(map(str, strange[:8]))}, which mean nothing in {spec.name}; correct it, or "
            f"list the values in {CLASSES_FILE}"
        )
    return values
