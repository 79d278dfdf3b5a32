"""Why an image file cannot be decoded, and what mends that: a cut-off file is copied again, a HEIC photo is not."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from zoo.faults import how_to_read, reason

_AGAIN = "copy or download it again"
_AS_PNG = "save it as PNG with the program that opens it"
_FIRST_BYTES = 64
_CONTENTS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "it is a pointer of Git LFS, not the image", "fetch the images: `git lfs pull`"),
    (0, b"<svg", "it is a drawing (SVG)", _AS_PNG),
    (0, b"<?xml", "it is XML", _AS_PNG),
    (0, b"<", "it is a web page, which a failed download leaves", _AGAIN),
    (0, b"\x93NUMPY", "it is an array of NumPy", "save it as PNG: `Image.fromarray(np.load(FILE)).save(NAME)`"),
    (0, b"PK\3\4", "it is a zip archive", "unpack it"),
    (0, b"\x1f\x8b", "it is packed by gzip", "unpack it: `gunzip`"),
    (0, b"%PDF", "it is a PDF", "save its pages as PNG: `pdftoppm -png`"),
    (0, b"\x1a\x45\xdf\xa3", "it is a video", "give it to `zoo predict`, by a video's ending such as .mkv"),
    (8, b"AVI ", "it is a video", "give it to `zoo predict`, by a video's ending such as .avi"),
    (4, b"ftyphei", "it is HEIC, which Pillow does not decode", "save it as JPEG or PNG: `heif-convert`"),
    (4, b"ftypmif", "it is HEIF, which Pillow does not decode", "save it as JPEG or PNG: `heif-convert`"),
    (4, b"ftypcrx", "it is a camera's raw file", "develop it to PNG or JPEG"),
    (4, b"ftyp", "it is a video", "give it to `zoo predict`, by a video's ending such as .mp4"),
    *((0, head, "its head is damaged", _AGAIN) for head in (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM")),
)
"""Where, what stands there, what that means, what to do; the first that fits."""
_MESSAGES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("truncated", "end is missing", "end of file", "not enough data"),
        f"a part is missing: {_AGAIN}",
    ),
    (
        ("max_text_chunk", "text memory", "metadata"),
        "its notes are too large: save it again without them (`magick IN -strip OUT`)",
    ),
    (("out of memory",), "make the image smaller, or use a machine with more memory"),
    (("not available", "not supported", "unsupported", "cannot decode", "unknown"), _AS_PNG),
)
"""Words of Pillow's message → what to do; the first that fits."""


def explain(path: Path, error: BaseException) -> tuple[str, str]:
    """Why a file cannot be read, and what to do about it, by what was raised when it was read."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist", how_to_read(error)
    if isinstance(error, UnidentifiedImageError):
        return _unknown(path)
    if isinstance(error, OSError) and error.errno:
        return reason(error), how_to_read(error)
    if isinstance(error, Image.DecompressionBombError):
        return reason(error).rstrip("."), "if it is what it should be, cut it into tiles or make it smaller"
    if isinstance(error, MemoryError):
        return "memory ran out", "make the image smaller, or use a machine with more memory"
    said = reason(error)
    for words, remedy in _MESSAGES:
        if any(word in said.lower() for word in words):
            return said, remedy
    return said, f"it is damaged: {_AGAIN}"


def _unknown(path: Path) -> tuple[str, str]:
    """The same for what Pillow does not know, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(_FIRST_BYTES)
    except OSError as error:
        return reason(error), how_to_read(error)
    if not head:
        return "it is empty", _AGAIN
    if not head.strip(b"\0"):
        return "it holds zeros, as an interrupted copy does", _AGAIN
    for start, known, why, remedy in _CONTENTS:
        if head[start:].lstrip().lower().startswith(known.lower()):
            return why, remedy
    return "it is not an image Pillow knows", f"{_AS_PNG}, or move it elsewhere"
