"""PNGs that hold pixels and nothing else, such as Cityscapes' own, in half to three quarters of Pillow's time.

All that could mean something else stays with Pillow: a palette, few bits, transparency, EXIF, an animation, damage. So
what is read, and what is refused and why, are what they are by Pillow alone.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import imagecodecs
from numpy.typing import NDArray
from PIL import Image

_HEAD = struct.Struct(">16sII5B4x")  # signature, length and kind; width, height; bits, colours, three methods; sum
_BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_CHUNK = struct.Struct(">I4s")  # length and kind, before the content and its sum
_SUM = struct.Struct(">I")
_BESIDE = 1 << 16
"""Bytes that chunks and lines may take beside the pixels of a small picture."""
_FAILED = Event()
"""Set by the first stream that the decoder refuses: before Python 3.12 each takes references from `None`, the last of
which ends the process, and Pillow reads some of them."""
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
        found = path.stat()
        if _FAILED.is_set() or not stat.S_ISREG(found.st_mode):  # of a pipe nothing would be left for Pillow
            return None
        with path.open("rb") as file:
            if not _begins_as(forms, file.read(_HEAD.size), found.st_size):
                return None
            file.seek(0)
            content = file.read()
        kinds = list(_sound_chunks(content))
        if kinds[-1:] != [b"IEND"] or set(kinds[:-1]) != {b"IDAT"}:
            return None
        pixels: NDArray[Any] = imagecodecs.png_decode(content)
    except (OSError, MemoryError):
        return None
    except (imagecodecs.PngError, ValueError):
        _FAILED.set()
        return None
    return pixels


def _begins_as(forms: Sequence[Form], head: bytes, byte_count: int) -> bool:
    """Whether a file begins as a PNG of such a form, and is no larger than what Pillow reads without a warning."""
    if len(head) < _HEAD.size:
        return False
    beginning, width, height, bits, colors, *methods = _HEAD.unpack(head)
    if (beginning, tuple(methods)) != (_BEGINNING, _METHODS) or (bits, colors) not in forms:
        return False
    pixel_count: int = width * height
    pixel_bytes = pixel_count * (bits // 8) * (3 if colors else 1)
    return 0 < pixel_count <= (Image.MAX_IMAGE_PIXELS or 0) and byte_count <= 2 * pixel_bytes + _BESIDE


def _sound_chunks(content: bytes) -> Iterator[bytes]:
    """Kinds of the chunks after the header, up to the first that is cut off or whose sum is wrong.

    So the decoder is not shown what a copy or a disk damages, of which it prints a warning.
    """
    at, view = _HEAD.size, memoryview(content)
    while at + _CHUNK.size + _SUM.size <= len(content):
        length, kind = _CHUNK.unpack_from(content, at)
        end = at + _CHUNK.size + length
        if end + _SUM.size > len(content) or _SUM.unpack_from(content, end) != (zlib.crc32(view[at + 4 : end]),):
            return
        yield kind
        at = end + _SUM.size
