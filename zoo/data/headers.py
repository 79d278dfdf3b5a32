"""What files say of themselves before they are decoded: size and form, and a note for forms that are not the plain one.

Free of torch. A header costs a fraction of a millisecond, so that all files of a split are looked at before the first
one is decoded: what no reader takes is named before the work, and what is read in another form is said once.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from zoo.data.layout import Dataset, Frame
from zoo.data.reading import opened, require_map
from zoo.data.spelling import Form, form_of, page_count, require_one_picture, stored_mode, unread_form
from zoo.errors import UserError
from zoo.spec import Size

IMAGE_NOTES: dict[Form, str] = {
    "grey": "as grey: the one channel is read as red, green and blue",
    "bits": "in few bits: the one channel is read as red, green and blue",
    "palette": "with a palette: the colours are read",
    "alpha": "with alpha: it hides nothing and is left out",
    "deep": "in 16 bits: 8-bit values in them are read, others refused",
}
LABEL_NOTES: dict[Form, str] = {
    "bits": "in 1, 2 or 4 bits: the values are read unscaled",
    "palette": "with a palette: the indices are read, not the colours",
    "color": "as RGB: the value of the three equal channels is read",
    "alpha": "with alpha: it hides nothing and is left out",
    "deep": "in 16 bits: 8-bit values in them are read, others refused",
}
"""How a form that is not the plain one is read; no form but these is."""

_log = logging.getLogger(__name__)


class Header(NamedTuple):
    """What a file says of itself."""

    size: Size
    form: Form
    mode: str
    """Pillow's, as the file has it."""
    pages: int = 1
    """Pictures in it: pages, or frames of an animation."""


def read_header(what: str, path: Path, *, several: bool = False) -> Header:
    """Read the header of an image (`what` is `"image"`) or of a label map (`"label"`).

    Args:
        what: It is.
        path: Its file.
        several: Whether it may hold several pictures.

    Raises:
        UserError: the file is missing, no image, of a format that keeps no values (a label map), or holds several
            pictures.
    """
    with opened(what, path) as image:
        if what == "label":
            require_map(image, f"label {path}")
        elif not several:
            require_one_picture(image, f"image {path}")
        mode = stored_mode(image)
        return Header((image.height, image.width), form_of(mode), mode, page_count(image))


def notes(what: str, headers: Sequence[Header], of: str = "") -> dict[Form, str]:
    """Form → how files of it are read, with their number, of those that are not the plain one.

    Args:
        what: `"image"` or `"label"`.
        headers: Of all of them.
        of: Where they are, such as `" of val"`.
    """
    said = IMAGE_NOTES if what == "image" else LABEL_NOTES
    noun = "image" if what == "image" else "label map"
    lines = {}
    for form, count in Counter(header.form for header in headers).items():
        if form in said:
            nouns, verb = noun if len(headers) == 1 else f"{noun}s", "is" if count == 1 else "are"
            lines[form] = f"{count} of {len(headers)} {nouns}{of} {verb} stored {said[form]}"
    return lines


def say_forms(dataset: Dataset, split: str, frames: Sequence[Frame]) -> None:
    """Warn, once for an opened dataset's split, of files in other forms than 8-bit RGB and single-channel 8-bit.

    Raises:
        UserError: a file that no reader takes, by its header.
    """
    if split in dataset.said:
        return
    images = read_headers("image", [frame.image for frame in frames])
    labels = read_headers("label", [frame.label for frame in frames if frame.label is not None])
    dataset.said.add(split)
    for what, headers in (("image", images), ("label", labels)):
        for line in notes(what, headers, f" of {split}").values():
            _log.warning("%s", line)


def sound_headers(paths: Iterable[Path]) -> dict[Path, Header]:
    """Headers of the images that have one; of what else is there, reading them says why."""
    headers = {}
    for path in paths:
        with suppress(UserError):
            headers[path] = read_header("image", path, several=True)
    return headers


def read_headers(what: str, paths: Sequence[Path]) -> list[Header]:
    """Read the headers of images or of label maps, all of which some reader takes.

    Raises:
        UserError: the first one that none does.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        headers = list(pool.map(lambda path: read_header(what, path), paths))
    strange = [(path, header) for path, header in zip(paths, headers, strict=True) if header.form == "other"]
    for path, header in strange:
        raise unread_form(f"{what} {path}{f' (and {len(strange) - 1} more)' * (len(strange) > 1)}", header.mode)
    return headers
