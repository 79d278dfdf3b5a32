"""How the files of a dataset are named, and how splits are: names alone, nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
"""Of a dataset's images."""
OTHER_SUFFIXES = (".bmp", ".gif", ".jp2", ".ppm")
"""Of pictures that no dataset has, but that are predicted and converted."""
PHOTO_SUFFIXES = (*IMAGE_SUFFIXES, *OTHER_SUFFIXES)
"""What is taken for an image in a folder; a file that is named is tried whatever its suffix."""
LABEL_SUFFIX = ".png"
LABEL_SUFFIXES = (LABEL_SUFFIX, ".tif", ".tiff", ".bmp")
"""What a `classes.toml` may name: their values survive."""
LABEL_KINDS = ("labelIds", "labelTrainIds")
"""In order of precedence; a split is read from the first kind that all of its frames have."""
INSTANCES = "instanceIds"
IMAGES, LABELS = "leftImg8bit", "gtFine"
LAYOUT = (
    "leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png (or .jpg, .jpeg, .webp, .tif) with "
    "gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png (or _gtFine_labelTrainIds.png)"
)
SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "validating", "dev"),
    "test": ("test", "testing", "tst"),
    "train_extra": ("train_extra",),
}
"""Split → what other tools call it; case and a year behind it (`train2017`) do not matter."""
_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_YEAR = re.compile(r"[-_ ]?(19|20)\d\d$")
_JUNK = frozenset(
    {
        "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found",
        "system volume information",
    }
)  # fmt: skip


def known_split(folder: str) -> str:
    """The split that a folder of this name is, empty where the name says nothing."""
    return _SPLITS.get(_YEAR.sub("", folder.lower()), "")


def is_junk(name: str) -> bool:
    """Whether systems put files or folders of this name beside other people's: hidden ones, thumbnails, bins."""
    return name.startswith(".") or name.lower() in _JUNK


class Pattern(NamedTuple):
    """A file's name with one `*`, which stands for the frame's name; the case of its extension does not matter."""

    before: str
    after: str
    """With the extension."""

    def frame(self, file: str) -> str:
        """Name of the frame a file belongs to, empty where it is named otherwise."""
        (stem, _, extension), (end, _, wanted) = file.rpartition("."), self.after.rpartition(".")
        named = extension.lower() == wanted.lower() and stem.startswith(self.before) and stem.endswith(end)
        return stem[len(self.before) : len(stem) - len(end)] if named else ""

    def file(self, frame: str) -> str:
        """Name of a frame's file."""
        return f"{self.before}{frame}{self.after}"


@dataclass(frozen=True)
class Naming:
    """How the images and label maps of a dataset are named."""

    images: tuple[Pattern, ...]
    labels: Mapping[str, Pattern] = field(hash=False)
    """Kind, of `LABEL_KINDS` → the name of its files."""
    instances: Pattern | None = None
    image_folder: str = ""
    """Name of a folder above every image, empty for any."""
    label_folder: str = ""

    def frame(self, file: str) -> str:
        """Name of the frame an image belongs to, empty where it is named otherwise."""
        return next((name for pattern in self.images if (name := pattern.frame(file))), "")

    def annotated(self, file: str) -> tuple[str, str]:
        """Kind, of `LABEL_KINDS` or `INSTANCES`, and frame of an annotation; both empty where it is named otherwise."""
        patterns = {**self.labels, **({INSTANCES: self.instances} if self.instances else {})}
        found = ((kind, name) for kind, pattern in patterns.items() if (name := pattern.frame(file)))
        return next(found, ("", ""))


def image_patterns(end: str) -> tuple[Pattern, ...]:
    """Images of any kind whose names end so."""
    return tuple(Pattern("", f"{end}{suffix}") for suffix in IMAGE_SUFFIXES)


def label_patterns(end: str, kinds: Sequence[str] = LABEL_KINDS) -> dict[str, Pattern]:
    """Kind → label maps named `*<end>_<kind>.png`."""
    return {kind: Pattern("", f"{end}_{kind}{LABEL_SUFFIX}") for kind in kinds}


def cityscapes_names(
    image_end: str = f"_{IMAGES}",
    label_end: str = f"_{LABELS}",
    *,
    image_folder: str = IMAGES,
    label_folder: str = LABELS,
) -> Naming:
    """Names that are built as Cityscapes' are."""
    return Naming(
        image_patterns(image_end),
        label_patterns(label_end),
        Pattern("", f"{label_end}_{INSTANCES}{LABEL_SUFFIX}"),
        image_folder,
        label_folder,
    )


CITYSCAPES_NAMES = cityscapes_names()
