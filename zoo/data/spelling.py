"""Spellings of the same picture: forms a file may have that can be read in one way alone, and that way.

What is 8-bit RGB (an image) or single-channel 8-bit (a label map) is read as it is. Grey, palettes, an alpha channel
that hides nothing, few bits and 16 bits that hold no more than 8 mean one thing and are read, with a note of
`zoo.data.headers`. What could mean two things is refused: `zoo data convert` (`zoo.data.convert`) asks which.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.errors import UserError
from zoo.labels import CITYSCAPES, LABELS
from zoo.spec import IGNORE_INDEX, DatasetSpec

Pixels = NDArray[np.uint8]
Samples = NDArray[np.int32]
Depth = TypeVar("Depth", np.uint8, np.int32)
Color = tuple[int, int, int]
Form = Literal["color", "grey", "bits", "palette", "alpha", "deep", "other"]
"""RGB; one channel; of 1, 2 or 4 bits; entries of a palette; with alpha; of 16 bits a channel; anything else."""

CONVERT = "`zoo data convert DIR NEW`"
BLACK: Color = (0, 0, 0)
LOSSLESS = ("PNG", "TIFF", "BMP", "PPM", "GIF")
"""Formats, as Pillow calls them, that a label map may have: its values survive."""
OTHER_COLORS = ("CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of other colour spaces, which can be made RGB."""
_GREYS: list[Color] = [(value, value, value) for value in range(256)]
_FEW_BITS = {"1": 255, "L;2": 85, "L;4": 17}  # what Pillow multiplies the values with


def stored_mode(image: Image.Image) -> str:
    """Pillow's mode as the file has it: of other depths, Pillow silently makes 8 bits (PNG, TIFF: `RGB;16B` → `RGB`).

    To be asked before the pixels are read.
    """
    tiles = getattr(image, "tile", [])
    if not tiles or image.format not in ("PNG", "TIFF"):
        return image.mode
    raw = tiles[0][3]
    if image.format == "PNG":
        return str(raw)
    raw = str(raw if isinstance(raw, str) else raw[0])
    return raw if ";16" in raw or raw in _FEW_BITS else image.mode


def form_of(mode: str) -> Form:
    """The form a stored mode is one of."""
    channels, _, depth = mode.partition(";")
    forms: dict[str, Form] = {"RGB": "color", "L": "grey", "1": "bits", "P": "palette", "RGBA": "alpha", "LA": "alpha"}
    if depth.startswith("16") or mode == "I":
        return "deep" if channels in ("I", "RGB", "RGBA", "LA") else "other"
    return "bits" if mode in _FEW_BITS else forms.get(channels, "other")


def colors_of(image: Image.Image, what: str) -> Pixels:
    """An opened image's pixels `(H, W, 3)` RGB, where its form means one thing.

    Args:
        image: Just opened, not read yet.
        what: It, for messages.

    Raises:
        UserError: it is transparent somewhere, has 16 bits that hold more than 8, or another form (CMYK, floats …).
    """
    mode = stored_mode(image)
    match form_of(mode):
        case "color":
            return np.array(image)
        case "grey" | "bits":
            return np.array(image.convert("RGB"))
        case "palette" if "transparency" not in image.info:
            return np.array(image.convert("RGB"))
        case "palette" | "alpha":
            return _opaque(np.array(image.convert("RGBA")), 255, what)
        case "deep":
            return in_three(_narrow(deep_samples(image), what))
    raise unread_form(what, mode)


def values_of(
    image: Image.Image, what: str, spec: DatasetSpec, *, train_ids: bool, whatever_colors: bool = False
) -> Pixels:
    """An opened label map's values `(H, W)` as the file holds them, where its form means one thing.

    Args:
        image: Just opened, not read yet.
        what: It, for messages.
        spec: The classes, whose colours say when a picture's colours are meant and not its numbers.
        train_ids: Whether the values are train ids.
        whatever_colors: Numbers are meant, though the colours be those of other classes.

    Raises:
        UserError: a picture in colours, entries of a palette that contradict its colours, values over 255, or
            transparent pixels.
    """
    mode = stored_mode(image)
    match form_of(mode):
        case "grey":
            return np.array(image)
        case "bits":
            values: Pixels = np.array(image.convert("L")) // _FEW_BITS[mode]
            known = known_values(spec, train_ids=train_ids)
            white = 255 if mode == "1" and 1 not in known and 255 in known else 1  # a mask of 0 and 255 in one bit
            return values * np.uint8(white)
        case "palette":
            values, colors = np.array(image), palette_of(image)
        case "color" | "alpha":
            values, colors = _one_channel(_opaque(np.array(image), 255, what), what), _GREYS
        case "deep":
            samples = _without_opaque(deep_samples(image), what)
            if samples.max() > 255:
                raise UserError(
                    f"{what} has 16 bits and holds {samples.max()}; a label map holds 0 to 255: is it a map of "
                    "instances (label id * 1000 + n)? name that one …_instanceIds.png"
                )
            values, colors = _one_channel(samples.astype(np.uint8), what), _GREYS
        case _:
            raise unread_form(what, mode)
    if not whatever_colors:
        _require_numbers(values, colors, what, spec, train_ids=train_ids)
    return values


def unread_form(what: str, mode: str) -> UserError:
    """Of a form that is never read."""
    if what.startswith("label"):
        return UserError(f"{what} has Pillow mode {mode}, which holds no ids; save it as a single-channel 8-bit PNG")
    if mode.partition(";")[0] in OTHER_COLORS:
        return UserError(f"{what} has Pillow mode {mode}, and 8-bit RGB is read; {CONVERT} writes it so")
    return UserError(f"{what} has Pillow mode {mode}, whose range nobody knows; save it as 8-bit RGB")


def value_colors(spec: DatasetSpec, *, train_ids: bool) -> Mapping[int, Color]:
    """Label value → its colour, of those that have one."""
    by_class = dict(enumerate(spec.class_colors))
    if train_ids:
        return by_class
    if (spec.label_to_train_id, spec.class_colors) == (CITYSCAPES.label_to_train_id, CITYSCAPES.class_colors):
        return {label.id: label.color for label in LABELS if label.id >= 0}
    return {value: by_class[train_id] for value, train_id in spec.label_to_train_id.items() if train_id in by_class}


def known_values(spec: DatasetSpec, *, train_ids: bool) -> Mapping[int, int]:
    """Label value → train id, of those that a label map may hold."""
    identity = {value: value for value in (*range(spec.num_classes), IGNORE_INDEX)}
    return identity if train_ids else spec.label_to_train_id


def palette_of(image: Image.Image) -> list[Color]:
    """Colours of a palette's entries."""
    flat = image.getpalette("RGB") or []
    return [(red, green, blue) for red, green, blue in zip(*[iter(flat)] * 3, strict=False)]


def codes_of(colors: Pixels) -> NDArray[np.int32]:
    """One number for each colour, `(…, 3)` RGB → `(…)`; of ascending colours they ascend."""
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def in_three(pixels: Pixels) -> Pixels:
    """Make `(H, W)` or `(H, W, C)` three channels: grey is repeated, alpha is left out."""
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return np.ascontiguousarray(pixels[..., :3])
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    return np.repeat(grey[..., None], 3, axis=2)


def deep_samples(image: Image.Image) -> Samples:
    """Samples of 16 bits, `(H, W)` or `(H, W, C)`. Of several channels Pillow keeps only the high byte of each.

    So such an image is read twice: taken for the other byte order, its low bytes come out.
    """
    mode = stored_mode(image)
    if mode == "LA;16B":  # two samples are as long as four bytes
        _take_for(image, "RGBA")
        return np.array(image).view(">u2").astype(np.int32)
    if mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    order = mode[-1] if mode[-1] != "N" else sys.byteorder[0].upper()
    with Image.open(image.filename) as other:  # type: ignore[attr-defined]
        other.seek(image.tell())
        _take_for(other, mode[:-1] + ("L" if order == "B" else "B"))
        low = np.asarray(other).astype(np.int32)
    return (np.asarray(image).astype(np.int32) << 8) | low


def page_count(image: Image.Image) -> int:
    """Number of pictures of an opened file: pages, frames of an animation; 1 for a phone's photo with extras."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def require_one_picture(image: Image.Image, what: str) -> None:
    """Refuse pages and animations, of which Pillow shows the first; what a phone stores beside a photo is none."""
    if (count := page_count(image)) > 1:
        raise UserError(
            f"{what} holds {count} pictures (pages, or an animation), and one belongs there; split it "
            "(`magick FILE %04d.png`)"
        )


def _narrow(samples: Samples, what: str) -> Pixels:
    """Samples of 16 bits as 8, where they hold no more: up to 255, or 8 bits that were widened (v * 257)."""
    samples = _without_opaque(samples, what)
    highest = int(samples.max())
    if highest > 255 and (samples % 257).any():
        raise UserError(
            f"{what} has 16 bits a channel and values up to {highest}, and not how many bits of them the camera has "
            f"filled; a frame is 8-bit RGB: {CONVERT} scales all images alike"
        )
    return (samples if highest <= 255 else samples // 257).astype(np.uint8)


def _without_opaque(samples: Samples, what: str) -> Samples:
    """Leave out the alpha of 16 bits, which is full at either depth."""
    return _opaque(samples, 65535 if samples.ndim == 3 and samples[..., -1].max() > 255 else 255, what)


def _opaque(samples: NDArray[Depth], full: int, what: str) -> NDArray[Depth]:
    """Leave out the last channel of two or four, which must hide nothing."""
    if samples.ndim == 2 or samples.shape[2] == 3:
        return samples
    hidden = np.count_nonzero(samples[..., -1] != full)
    if hidden:
        raise UserError(
            f"{what} has {hidden} transparent pixels, and what is under them may be anything; {CONVERT} takes the "
            "colours that are stored there"
        )
    return np.ascontiguousarray(samples[..., :-1])


def _one_channel(values: Pixels, what: str) -> Pixels:
    """`(H, W)` of `(H, W, C)` whose channels are equal."""
    if values.ndim == 2 or values.shape[2] in (1, 2):
        return np.ascontiguousarray(values.reshape(*values.shape[:2], -1)[..., 0])
    first = np.ascontiguousarray(values[..., 0])
    if not (values == first[..., None]).all():
        raise UserError(
            f"{what} is a picture in colours; a label map holds a number for each pixel: {CONVERT} writes the ids of "
            "the classes' colours"
        )
    return first


def _require_numbers(values: Pixels, colors: list[Color], what: str, spec: DatasetSpec, *, train_ids: bool) -> None:
    """Refuse values whose colours are those of other classes: which of the two is meant, nobody can tell."""
    meant = value_colors(spec, train_ids=train_ids)
    used = [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256))]
    shown = {value: colors[value] for value in used if value < len(colors)}
    if len(shown) > 1 and len(set(shown.values())) == 1:
        return  # a palette that tells nothing
    classes = set(spec.class_colors)
    others = [value for value, color in shown.items() if color in classes and color != meant.get(value)]
    if not others:
        return
    if all(value in known_values(spec, train_ids=train_ids) for value in used):
        raise UserError(
            f"{what} contradicts itself: its value {others[0]} has the colour {shown[others[0]]} of another class; "
            f"{CONVERT} with --label-by values or --label-by colors says which one is meant"
        )
    if all(color in classes or color == BLACK for color in shown.values()):
        raise UserError(
            f"{what} has the classes' colours, not their values (it holds {others[0]}, in the colour "
            f"{shown[others[0]]}); {CONVERT} writes the ids of the colours"
        )


def _take_for(image: Image.Image, raw_mode: str) -> None:
    """Have the file's bytes read as another raw mode of Pillow's."""
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:]))
        for tile in image.tile  # type: ignore[attr-defined]
    ]
