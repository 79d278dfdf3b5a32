"""What every importer says of a dataset: which files make a frame, and what their annotations mean. Free of torch."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from zoo.data.naming import IMAGE_SUFFIXES
from zoo.data.reading import opened
from zoo.data.spelling import Color, Pixels, codes_of, stored_mode
from zoo.errors import UserError, counted
from zoo.labels import LABELS

Decode = Callable[[Path], tuple[Pixels, int]]
"""An annotation file → values of a label file `(H, W)`, and how many pixels had a colour of no class."""
LABEL_IDS: Mapping[str, int] = {label.name: label.id for label in LABELS}
"""Cityscapes' label → its id."""
_MAX_STRANGE = 0.01  # a share of pixels in strange colours; with more it is another palette, or was JPEG once
_DEPTH = 3
_LISTED = 8


@dataclass(frozen=True)
class Pair:
    """The files of one frame."""

    name: str
    """Of the frame, as the layout will have it."""
    city: str
    """The folder it is put into."""
    image: Path
    annotation: Path | None


@dataclass(frozen=True)
class Plan:
    """What will be imported; only names have been looked at."""

    splits: Mapping[str, Sequence[Pair]]
    decode: Decode
    classes: Mapping[str, str]
    """Class of the dataset → Cityscapes' label; empty where it keeps its own (`classes_file`)."""
    source: str
    """Where the classes, and how they are mapped, are published."""
    label_kind: Literal["labelIds", "labelTrainIds"] = "labelIds"
    classes_file: str = ""
    """The `classes.toml` of a dataset that keeps its own classes."""
    notes: tuple[str, ...] = ()
    """What a person should know of this copy, a sentence each."""


@dataclass(frozen=True)
class Kind:
    """A dataset that can be imported."""

    plan: Callable[[Path, str | None], Plan]
    """Called with its folder and one of `variants`, or `None` for what is there."""
    variants: tuple[str, ...] = ()


def locate(what: str, source: Path, forms: Mapping[str, Sequence[str]], expected: str) -> tuple[str, Path]:
    """Which form of a dataset a folder holds, and where: there, or at most three levels below.

    Args:
        what: The dataset's name.
        source: The folder.
        forms: Form → files and folders that it has.
        expected: The forms in words.

    Raises:
        UserError: no form is there; says what is, and what is missing of the form that comes nearest.
    """
    levels = [[source]]
    for _ in range(_DEPTH):
        levels.append([inner for folder in levels[-1] for inner in _folders(folder)])
    places = [folder for level in levels for folder in level]
    for form, marks in forms.items():
        for folder in places:
            if all((folder / mark).exists() for mark in marks):
                return form, folder
    raise _not_found(what, source, places, forms, expected)


def _not_found(
    what: str, source: Path, places: Iterable[Path], forms: Mapping[str, Sequence[str]], expected: str
) -> UserError:
    if not source.is_dir():
        return UserError(f"no folder {source}; give the folder that {what} was unpacked into")
    if (source / "leftImg8bit").is_dir():
        return UserError(f"{source} is in the Cityscapes layout already; give it to --data as it is")
    for parent in source.resolve().parents[:_DEPTH]:
        if any(all((parent / mark).exists() for mark in marks) for marks in forms.values()):
            return UserError(f"{source} lies inside a copy of {what}; give its top folder {parent}")
    near = [
        (folder, [m for m in marks if not (folder / m).exists()], marks)
        for folder in places
        for marks in forms.values()
    ]
    folder, missing, marks = min(near, key=lambda item: len(item[1]) / len(item[2]))
    if len(missing) < len(marks):
        have = ", ".join(mark for mark in marks if mark not in missing)
        differs = f"{folder} has {have}, and lacks {', '.join(missing)}"
    else:
        differs = f"{source} holds {_listing(source)}"
    return UserError(f"{source} is no copy of {what} that is known here: {differs}; expected {expected}")


def images_in(folder: Path, endings: Sequence[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Stem → image file of a folder, sorted.

    Raises:
        UserError: two files of one stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.suffix.lower() in endings and not path.name.startswith("."):
            if path.stem in found:
                raise UserError(f"{found[path.stem]} and {path} are two images of one name; keep one of them")
            found[path.stem] = path
    return found


def pair_up(images: Mapping[str, Path], annotations: Mapping[str, Path], expected: str) -> list[tuple[Path, Path]]:
    """Images with the annotations of the same stem, sorted.

    Raises:
        UserError: one without the other.
    """
    for stem in sorted(images.keys() ^ annotations.keys()):
        present, missing = (images, "annotation") if stem in images else (annotations, "image")
        others = annotations if stem in images else images
        found = f"{counted(len(images), 'image')}, {counted(len(annotations), 'annotation')}"
        raise UserError(
            f"{present[stem]} has no {missing} of the same name ({found}"
            f"{', such as ' + next(iter(others.values())).name if others else ''}); expected {expected}"
        )
    return [(path, annotations[stem]) for stem, path in sorted(images.items())]


def require_each_once(pairs: Iterable[Pair]) -> None:
    """Refuse two files that would become one frame.

    Raises:
        UserError: there are such files.
    """
    firsts: dict[str, Path] = {}
    for pair in pairs:
        if firsts.setdefault(pair.name, pair.image) != pair.image:
            raise UserError(
                f"{firsts[pair.name]} and {pair.image} would both become frame {pair.name}; keep one of them"
            )


def is_in_colors(path: Path) -> bool:
    """Whether an annotation has three channels, not one or palette entries.

    Raises:
        UserError: damaged, or JPEG.
    """
    mode, _, _ = _open(path)
    return mode in ("RGB", "RGBA")


def read_numbers(path: Path, meaning: Mapping[int, int], what: str) -> Pixels:
    """Read an annotation of one channel or palette entries as values of a label file.

    Args:
        path: The annotation.
        meaning: Its value → that of the label file.
        what: The dataset, and what its values are.

    Raises:
        UserError: damaged, JPEG, another kind of image, or a value that means nothing.
    """
    mode, pixels, _ = _open(path)
    if mode not in ("L", "P", "P;4", "P;2", "P;1"):  # palette entries are never scaled, grey of fewer bits is
        raise UserError(f"{path} is an image of mode {mode}; expected one 8-bit channel or palette entries: {what}")
    table = np.full(256, -1, np.int16)
    table[list(meaning)] = list(meaning.values())
    values = table[pixels]
    if values.min() < 0:
        raise UserError(f"{path} holds {int(pixels[values < 0].max())}; {what}")
    return values.astype(np.uint8)


def read_colors(path: Path, meaning: Mapping[Color, int], none: int, what: str) -> tuple[Pixels, int]:
    """Read an annotation in colours as values of a label file, and how many pixels had a colour of no class.

    Args:
        path: The annotation.
        meaning: RGB → value of the label file.
        none: The value of a few pixels in other colours, which published annotations have along borders.
        what: The dataset, and where its colours are from.

    Raises:
        UserError: damaged, JPEG, without colours, or more than a hundredth of it in colours of no class.
    """
    mode, pixels, palette = _open(path)
    if mode[0] == "P" and palette is not None:
        pixels = palette[pixels]
    elif mode == "RGBA":
        pixels = pixels[..., :3]
    elif mode != "RGB":
        raise UserError(f"{path} is an image of mode {mode}; expected colours: {what}")
    packed = codes_of(pixels)
    known = sorted((int(codes_of(np.array(color, np.uint8))), value) for color, value in meaning.items())
    codes, values = np.array([code for code, _ in known]), np.array([value for _, value in known], np.uint8)
    places = np.minimum(np.searchsorted(codes, packed), len(codes) - 1)
    strange = codes[places] != packed
    count = int(np.count_nonzero(strange))
    if count > _MAX_STRANGE * packed.size:
        commonest, _ = Counter(map(tuple, pixels[strange].tolist())).most_common(1)[0]
        raise UserError(
            f"{path}: {100 * count / packed.size:.1f} % of it has colours of no class, such as {list(commonest)}; "
            f"{what}"
        )
    label = values[places]
    label[strange] = none
    return label, count


def classes_text(name: str, source: str, ignored: Sequence[int], rows: Iterable[tuple[str, Color, int]]) -> str:
    """A `classes.toml` of `(class, colour, value)` rows."""
    lines = [f"# {source}", f"name = {json.dumps(name)}", f"ignored = {list(ignored)}"]
    for class_name, color, value in rows:
        lines += [
            "",
            "[[classes]]",
            f"name = {json.dumps(class_name)}",
            f"color = {list(color)}",
            f"values = [{value}]",
        ]
    return "\n".join(lines) + "\n"


def listed_names(path: Path) -> list[str]:
    """Stems named in a list file, the first word of each line; folders and endings are left out.

    Raises:
        UserError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return [Path(line.split()[0]).stem for line in lines if line.strip()]


def _open(path: Path) -> tuple[str, Pixels, Pixels | None]:
    """Mode as stored, pixels and palette `(256, 3)`."""
    with opened("annotation", path) as image:
        mode, pixels = stored_mode(image), np.array(image)
        form, entries = image.format, image.getpalette("RGB")
    if form == "JPEG":
        raise UserError(f"{path} is a JPEG, which blurs classes into each other; find the annotations as PNG")
    palette = None
    if entries is not None:
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(entries) // 3] = np.array(entries, np.uint8).reshape(-1, 3)
    return mode, pixels, palette


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []


def _listing(folder: Path) -> str:
    """Its folders with what they hold, and how many files of each kind."""
    seen = [f"{inner.name}/ ({_contents(inner)})" for inner in _folders(folder)]
    seen = [*seen[:_LISTED], *([f"{len(seen) - _LISTED} folders more"] if len(seen) > _LISTED else [])]
    files = Counter(path.suffix or "file" for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    return ", ".join((*seen, *(f"{count} {kind}" for kind, count in files.most_common(3)))) or "nothing"


def _contents(folder: Path) -> str:
    kinds = Counter(
        "folders" if path.is_dir() else path.suffix or "files"
        for path in folder.iterdir()
        if not path.name.startswith(".")
    )
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3)) or "empty"
