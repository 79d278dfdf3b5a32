"""One file to one array: an image or a label map, refused in one line where it is not what a dataset holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from zoo.data.damage import explain
from zoo.data.layout import DAMAGE, Dataset, Frame
from zoo.data.png import GREY, RGB, plain_png
from zoo.data.spelling import (
    CONVERT,
    LOSSLESS,
    Pixels,
    colors_of,
    in_three,
    known_values,
    page_count,
    require_one_picture,
    values_of,
)
from zoo.errors import UserError
from zoo.spec import DatasetSpec, Size

_UNKNOWN = 254  # no train id: there are at most 254 classes
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""EXIF orientation → how the pixels are turned to stand upright; 1 is upright."""


@contextmanager
def opened(what: str, path: Path) -> Iterator[Image.Image]:
    """Open an image file; whatever Pillow says against it inside becomes one line that begins with `what` it is."""
    with _explained(what, path), Image.open(path) as image:
        yield image


@contextmanager
def _explained(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (*DAMAGE, EOFError, MemoryError) as error:
        raise unreadable(what, path, error) from error


def read_image(path: Path) -> Pixels:
    """Read a frame as `(H, W, 3)` 8-bit RGB: PNG, JPEG, WebP … in any form that means one thing (`zoo.data.spelling`).

    Raises:
        UserError: the file is missing, damaged or truncated, holds several pictures, is to be shown turned (EXIF), or
            has a form that could mean two things, such as 16 bits a channel.
    """
    pixels, orientation = _colors_in(path)
    _require_upright("image", path, orientation)
    return pixels


def read_photo(path: Path) -> Pixels:
    """Read a photograph as `read_image` reads a frame, but upright: it has no label map that EXIF would not turn.

    Raises:
        UserError: as `read_image`.
    """
    return upright(*_colors_in(path))


def read_pages(path: Path) -> Iterator[Pixels]:
    """Read the pages of a TIFF or the frames of an animation, one after the other, each as `read_photo` would.

    What is transparent in an animation is black.

    Raises:
        UserError: as `read_image`; of the first page that is damaged.
    """
    with opened("image", path) as image:
        for page in range(page_count(image)):
            image.seek(page)
            if getattr(image, "is_animated", False) and image.has_transparency_data:
                seen = image.convert("RGBA")
                seen = Image.alpha_composite(Image.new("RGBA", seen.size, "black"), seen).convert("RGB")
                yield upright(np.array(seen), orientation_of(image))
            else:
                yield upright(colors_of(image, f"page {page + 1} of image {path}"), orientation_of(image))


def read_label(frame: Frame, spec: DatasetSpec) -> Pixels:
    """Read a frame's label map as train ids `(H, W)`, `IGNORE_INDEX` where no class counts.

    Its values may be spelled in any form that means one thing (`zoo.data.spelling`): a palette's entries, say.

    Raises:
        UserError: no label, a damaged file, a lossy format, a picture in colours, one to be shown turned (EXIF), a
            size unlike the image's, values the dataset lacks.
    """
    path = frame.label
    if path is None:
        raise UserError(f"frame {frame.name} has no label file; its split cannot be trained or evaluated on")
    known = known_values(spec, train_ids=frame.has_train_ids)
    table = [known.get(value, _UNKNOWN) for value in range(256)]
    values, orientation = _values_in(path, spec, train_ids=frame.has_train_ids)
    with _explained("label", path):
        label = Image.fromarray(values)
        train_ids = np.array(label.point(table))  # by Pillow in a sixth of the time of numpy's look-up
        histogram = label.histogram() if (train_ids == _UNKNOWN).any() else []
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


def label_histogram(frame: Frame, spec: DatasetSpec) -> NDArray[np.int64]:
    """Pixels of each value `(256,)` in a frame's label map, known or not.

    Raises:
        UserError: as `read_label`, its values and its size apart.
    """
    assert frame.label is not None
    values, _ = _values_in(frame.label, spec, train_ids=frame.has_train_ids)
    return np.array(Image.fromarray(values).histogram(), np.int64)


def label_shares(dataset: Dataset, split: str) -> NDArray[np.float64]:
    """Share of each class in the counted pixels of a split, `(K,)`.

    Raises:
        UserError: no such split, a split without labels, or a damaged file.
    """

    def count(frame: Frame) -> NDArray[np.int64]:
        return np.bincount(read_label(frame, dataset.spec).ravel(), minlength=256)[: dataset.spec.num_classes]

    with ThreadPoolExecutor() as pool:
        counts: NDArray[np.int64] = np.sum(list(pool.map(count, dataset.frames(split))), axis=0)
    return counts / max(int(counts.sum()), 1)


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
    with opened("image", path) as image:
        return image.height, image.width


def frame_sizes(frames: Sequence[Frame]) -> list[Size]:
    """`(height, width)` of each frame's image, in order; headers alone are read, many at once.

    Raises:
        UserError: an image that cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda frame: image_size(frame.image), frames))


def frame_size(dataset: Dataset, split: str) -> Size:
    """`(height, width)` of most of a split's frames, of equally many those that come first; headers alone are read.

    Raises:
        UserError: no such split, or an image that cannot be read.
    """
    sizes = Counter(frame_sizes(dataset.frames(split)))
    return max(sizes, key=lambda size: sizes[size])


def unreadable(what: str, path: Path, error: BaseException) -> UserError:
    """Say in one line why a file cannot be read and what to do about it; `what` it is comes first."""
    why, remedy = explain(path, error)
    return UserError(f"{what} {path} cannot be read: {why}; {remedy}")


def require_map(image: Image.Image, what: str) -> None:
    """Refuse an opened label map whose format does not keep values, or that holds several pictures."""
    if image.format not in LOSSLESS or image.info.get("compression") == "jpeg":
        raise UserError(
            f"{what} is a {image.format} file of Pillow mode {image.mode}; a label map is a PNG: a lossy file does not "
            "hold the values that were drawn, so export it again, as PNG"
        )
    require_one_picture(image, what)


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an image, after its pixels were read; 1 for none."""
    return int(image.getexif().get(ExifTags.Base.Orientation) or 1)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """`(H, W, …)` turned as a viewer shows it."""
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation in _UPRIGHT else pixels


def _colors_in(path: Path) -> tuple[Pixels, int]:
    """An image's pixels `(H, W, 3)` as they are stored, and its EXIF orientation."""
    with _explained("image", path):
        plain = plain_png(path, RGB, GREY)
        if plain is not None:
            return in_three(plain), 1
    with opened("image", path) as image:
        require_one_picture(image, f"image {path}")
        return colors_of(image, f"image {path}"), orientation_of(image)


def _values_in(path: Path, spec: DatasetSpec, *, train_ids: bool) -> tuple[Pixels, int]:
    """A label map's values `(H, W)` as its file means them, and its EXIF orientation."""
    plain = plain_png(path, GREY)
    if plain is not None:
        return plain, 1
    with opened("label", path) as label:
        require_map(label, f"label {path}")
        return values_of(label, f"label {path}", spec, train_ids=train_ids), orientation_of(label)


def _require_upright(what: str, path: Path, orientation: int) -> None:
    if orientation in _UPRIGHT:
        other = "label map" if what == "image" else "image"
        raise UserError(
            f"{what} {path} has EXIF orientation {orientation}: viewers turn it, its {other} is not turned; "
            f"{CONVERT} turns the pixels where the {other} says so, `exiftool -Orientation= FILE` removes the tag"
        )
