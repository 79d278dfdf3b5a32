"""One file to one array: an image or a label map, refused in one line where it is not what a dataset holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from zoo.data.layout import DAMAGE, Dataset, Frame
from zoo.errors import UserError
from zoo.spec import IGNORE_INDEX, DatasetSpec, Size

Pixels = NDArray[np.uint8]

_UNKNOWN = 254  # no train id: there are at most 254 classes
_TURNED = range(2, 9)  # EXIF orientations other than upright


def read_image(path: Path) -> Pixels:
    """Read a PNG, JPEG or WebP file of 8-bit RGB as `(H, W, 3)`.

    Raises:
        UserError: the file is missing, damaged or truncated, is not 8-bit RGB, or is to be shown turned (EXIF).
    """
    try:
        with Image.open(path) as image:
            mode = stored_mode(image)
            pixels = np.array(image) if mode == "RGB" else np.empty(0, np.uint8)
            orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DAMAGE as error:
        raise unreadable("image", path, error) from error
    if mode != "RGB":
        raise UserError(
            f"image {path} has Pillow mode {mode}; a frame is 8-bit RGB: convert it, such as with "
            "`magick FILE -alpha off -depth 8 PNG24:FILE`"
        )
    _require_upright("image", path, orientation)
    return pixels


def read_label(frame: Frame, spec: DatasetSpec) -> Pixels:
    """Read a frame's label map as train ids `(H, W)`, `IGNORE_INDEX` where no class counts.

    Raises:
        UserError: no label, a damaged file, not a single-channel 8-bit PNG, one to be shown turned (EXIF), a size
            unlike the image's, values the dataset lacks.
    """
    path = frame.label
    if path is None:
        raise UserError(f"frame {frame.name} has no label file; its split cannot be trained or evaluated on")
    identity = {value: value for value in (*range(spec.num_classes), IGNORE_INDEX)}
    known = identity if frame.has_train_ids else spec.label_to_train_id
    table = [known.get(value, _UNKNOWN) for value in range(256)]
    train_ids: Pixels = np.empty(0, np.uint8)
    try:
        with Image.open(path) as label:
            kind = f"{label.format} file of Pillow mode {stored_mode(label)}"
            is_map = kind == "PNG file of Pillow mode L"
            if is_map:
                train_ids = np.array(label.point(table))  # by Pillow in a sixth of the time of numpy's look-up
                histogram = label.histogram() if (train_ids == _UNKNOWN).any() else []
                orientation = label.getexif().get(ExifTags.Base.Orientation)
    except DAMAGE as error:
        raise unreadable("label", path, error) from error
    if not is_map:
        raise UserError(
            f"label {path} is a {kind}; a label map is a single-channel 8-bit PNG (mode L) of ids, not of "
            "colours, palette entries or 16-bit instance ids"
        )
    _require_upright("label", path, orientation)
    strange = [value for value, pixels in enumerate(histogram) if pixels and value not in known]
    if strange:
        ids = f"train ids (0 to {spec.num_classes - 1}, 255)" if frame.has_train_ids else f"{spec.name} label ids"
        raise UserError(f"label {path} holds {', '.join(map(str, strange[:8]))}: not among the {ids}; correct the file")
    height, width = image_size(frame.image)
    if train_ids.shape != (height, width):
        raise UserError(
            f"label {path} is {train_ids.shape[0]}x{train_ids.shape[1]} but image {frame.image} is {height}x{width}; "
            "both need the same size"
        )
    return train_ids


def read_frame(frame: Frame, spec: DatasetSpec) -> tuple[Pixels, Pixels]:
    """Read a frame's image `(H, W, 3)` and its train ids `(H, W)`.

    Raises:
        UserError: as `read_image` and `read_label`.
    """
    return read_image(frame.image), read_label(frame, spec)


def image_size(path: Path) -> Size:
    """`(height, width)` of an image file; its header alone is read.

    Raises:
        UserError: the file is missing, or no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except DAMAGE as error:
        raise unreadable("image", path, error) from error


def frame_size(dataset: Dataset, split: str) -> Size:
    """`(height, width)` of most of a split's frames, of equally many those that come first; headers alone are read.

    Raises:
        UserError: no such split, or an image that cannot be read.
    """
    sizes = Counter(image_size(frame.image) for frame in dataset.frames(split))
    return max(sizes, key=lambda size: sizes[size])


def unreadable(what: str, path: Path, error: BaseException) -> UserError:
    """Say in one line why a file cannot be read; `what` it is comes first."""
    if isinstance(error, FileNotFoundError):
        why = "it does not exist"
    elif isinstance(error, UnidentifiedImageError):
        why = "it is not an image Pillow knows" if path.stat().st_size else "it is empty"
    elif isinstance(error, OSError) and error.strerror:
        why = error.strerror
    else:
        why = str(error) or type(error).__name__
    return UserError(f"{what} {path} cannot be read: {why}; replace the file")


def stored_mode(image: Image.Image) -> str:
    """Pillow's mode as the file has it: of a PNG of other depths, Pillow silently makes 8 bits (`RGB;16B` → `RGB`).

    To be asked before the pixels are read.
    """
    tiles = getattr(image, "tile", [])
    return str(tiles[0][3]) if image.format == "PNG" and tiles else image.mode


def _require_upright(what: str, path: Path, orientation: int | None) -> None:
    if orientation in _TURNED:
        other = "label map" if what == "image" else "image"
        raise UserError(
            f"{what} {path} has EXIF orientation {orientation}: viewers turn it, its {other} is not turned; remove "
            "the tag (`exiftool -Orientation= FILE`), or turn the pixels too (`magick mogrify -auto-orient FILE`)"
        )
