"""PNGs that hold pixels and nothing else, such as Cityscapes' own, in half to three quarters of Pillow's time.

All that could mean something else stays with Pillow: a palette, few bits, transparency, EXIF, an animation, damage. So
what is read, and what is refused and why, are what they are by Pillow alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
from numpy.typing import NDArray
from PIL import Image

_HEAD = struct.Struct(">16sII5B4x")  # signature, length and kind; width, height; bits, colours, three methods; sum
_BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_CHUNK = struct.Struct(">I4s")  # length and kind, before the content and its sum
_SUM = struct.Struct(">I")
_METHODS = (0, 0, 0)  # deflated, filtered line by line, not interlaced


class Form(NamedTuple):
    """What a sample of a PNG is, as its header says it."""

    bits: int
    colors: int
    """0 is grey, 2 is RGB."""


GREY, DEEP_GREY, RGB = Form(8, 0), Form(16, 0), Form(8, 2)
"""`(H, W)` `uint8`; `(H, W)` `uint16`; `(H, W, 3)` `uint8`."""


def plain_png(path: Path, *forms: Form) -> NDArray[Any] | None:
    """Pixels of a PNG of nothing but pixels that has one of the given forms.

    `None`: it is of another form, or damaged; Pillow reads it, or says why it cannot.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_HEAD.size)
            if not _begins_as(forms, content):
                return None
            content += file.read()
    except OSError:
        return None
    kinds = list(_sound_chunks(content))
    if kinds[-1:] != [b"IEND"] or set(kinds[:-1]) != {b"IDAT"}:
        return None
    try:
        pixels: NDArray[Any] = imagecodecs.png_decode(content)
    except (imagecodecs.PngError, ValueError):
        return None
    return pixels


def _begins_as(forms: Sequence[Form], head: bytes) -> bool:
    """Whether a file begins as a PNG of such a form, of no more pixels than Pillow reads without a warning."""
    if len(head) < _HEAD.size:
        return False
    beginning, width, height, bits, colors, *methods = _HEAD.unpack(head)
    is_small = 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 0)
    return (beginning, tuple(methods)) == (_BEGINNING, _METHODS) and (bits, colors) in forms and is_small


def _sound_chunks(content: bytes) -> Iterator[bytes]:
    """Kinds of the chunks after the header, up to the first that is cut off or whose sum is wrong.

    So the decoder sees no damage that a copy or a disk does: it would print a warning, and before Python 3.12 take a
    reference from `None` with each error.
    """
    at, view = _HEAD.size, memoryview(content)
    while at + _CHUNK.size + _SUM.size <= len(content):
        length, kind = _CHUNK.unpack_from(content, at)
        end = at + _CHUNK.size + length
        if end + _SUM.size > len(content) or _SUM.unpack_from(content, end) != (zlib.crc32(view[at + 4 : end]),):
            return
        yield kind
        at = end + _SUM.size
