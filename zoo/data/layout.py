"""The Cityscapes folder layout: which frames a dataset has, checked on opening. Free of torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

from zoo.data import synthetic
from zoo.errors import UserError, did_you_mean
from zoo.labels import CITYSCAPES
from zoo.spec import DatasetSpec

DATASET_VARIABLE = "CITYSCAPES_DATASET"
CACHE_VARIABLE = "ZOO_CACHE"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LABEL_KINDS = ("labelIds", "labelTrainIds")
"""In order of precedence; a split is read from the first kind that all of its frames have."""
LAYOUT = (
    "leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png (or .jpg, .jpeg, .webp) with "
    "gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png (or _gtFine_labelTrainIds.png)"
)
_OFFICIAL_SIZES = {"train": 2975, "val": 500}
_RESERVED_NAMES = ("cityscapes", synthetic.NAME)
_IMAGE_END = "_leftImg8bit"


@dataclass(frozen=True)
class Frame:
    """One street image with its files."""

    name: str
    """`<city>_<seq>_<frame>`, unique in its split."""
    city: str
    image: Path
    label: Path | None
    """`None` in a split that is published without labels, such as Cityscapes' test."""
    instances: Path | None

    @property
    def has_train_ids(self) -> bool:
        """True when the label file already holds train ids."""
        return self.label is not None and self.label.stem.endswith("_labelTrainIds")


@dataclass(frozen=True)
class Dataset:
    """A folder in the Cityscapes layout, opened and checked by `open_dataset`."""

    name: str
    """`cityscapes` for the official set, `synthetic` for sets drawn by zoo, else the folder's own name."""
    root: Path
    spec: DatasetSpec
    synthetic: bool
    frames_by_split: Mapping[str, tuple[Frame, ...]] = field(repr=False)
    _fingerprints: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False, compare=False)

    def splits(self) -> tuple[str, ...]:
        """Names of the splits this folder has, sorted."""
        return tuple(sorted(self.frames_by_split))

    def frames(self, split: str) -> tuple[Frame, ...]:
        """Frames of a split, sorted by city and name.

        Raises:
            UserError: no such split.
        """
        if split not in self.frames_by_split:
            raise UserError(
                f"{self.root} has no split {split!r}.{did_you_mean(split, self.splits())} "
                f"It has: {', '.join(self.splits())}"
            )
        return self.frames_by_split[split]

    def fingerprint(self, *splits: str) -> str:
        """Hash of what these splits held when first asked (all when none is named): equal on every machine, 16 digits.

        Covers the frames' paths below the root, the images' sizes in bytes and the labels' contents. A synthetic set's
        files may be compressed differently on each machine, so there the drawing parameters and the labels' pixels
        count.
        """
        splits = tuple(sorted(splits or self.splits()))
        if splits not in self._fingerprints:
            self._fingerprints[splits] = self._fingerprint(splits)
        return self._fingerprints[splits]

    def _fingerprint(self, splits: tuple[str, ...]) -> str:
        digest = hashlib.sha256()
        if self.synthetic:
            digest.update(synthetic.read_marker(self.root).canonical())
        for split in splits:
            for frame in self.frames(split):
                for path in (frame.image, frame.label):
                    if path is None:
                        continue
                    digest.update(f"\n{path.relative_to(self.root).as_posix()}\n".encode())
                    try:
                        if not self.synthetic:
                            digest.update(str(path.stat().st_size).encode())
                        if path == frame.label:
                            digest.update(_pixels(path) if self.synthetic else path.read_bytes())
                    except OSError as error:
                        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Folder for what can be made again: the variable `ZOO_CACHE`, else the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("zoo")


def open_dataset(root: Path | str | None = None, *, cache: Path | None = None) -> Dataset:
    """Open a dataset in the Cityscapes layout and check that its files belong together; no image is decoded.

    Args:
        root: the folder; `None`: the variable `CITYSCAPES_DATASET`, else the embedded synthetic set, drawn on first
            use.
        cache: where the embedded set is kept; `None`: `cache_folder()`.

    Raises:
        UserError: folder missing or in another layout, empty split, image without label, two files for one frame.
    """
    try:
        return _open(root if root is not None else os.environ.get(DATASET_VARIABLE) or None, cache)
    except OSError as error:
        raise UserError(f"{error.filename or root} cannot be read: {error.strerror or error}") from error


def _open(given: Path | str | None, cache: Path | None) -> Dataset:
    if given is None:
        given = synthetic.embedded(cache or cache_folder())
    root = Path(given).expanduser().resolve()
    images = root / "leftImg8bit"
    if not images.is_dir():
        raise UserError(_wrong_folder(root))
    splits = [folder.name for folder in _folders(images)]
    if not splits:
        raise UserError(f"{images} has no split folder such as train or val; expected {LAYOUT}")
    frames_by_split = {split: _scan(root, split) for split in splits}
    marker = synthetic.read_marker(root) if synthetic.is_synthetic(root) else None
    if marker is not None and (
        not marker.complete or any(len(frames_by_split.get(split, ())) != n for split, n in marker.counts().items())
    ):
        raise UserError(
            f"the synthetic set in {root} is not whole ({sum(map(len, frames_by_split.values()))} of "
            f"{sum(marker.counts().values())} frames); delete the folder to have it drawn anew, or remove "
            f"{synthetic.MARKER} in it to use what is there as any other dataset"
        )
    sizes = {split: len(frames) for split, frames in frames_by_split.items()}
    official = all(sizes.get(split) == count for split, count in _OFFICIAL_SIZES.items())
    name = synthetic.NAME if marker else "cityscapes" if official else _slug(root.name)
    return Dataset(name, root, CITYSCAPES, marker is not None, frames_by_split)


def _wrong_folder(root: Path) -> str:
    if not root.exists():
        return f"no dataset folder {root}; give --data or {DATASET_VARIABLE} a folder that holds {LAYOUT}"
    if not root.is_dir():
        return f"{root} is a file; a dataset is a folder that holds {LAYOUT}"
    for parent in root.parents[:2]:
        if (parent / "leftImg8bit").is_dir():
            return f"{root} lies inside a dataset; give its top folder {parent}"
    if not any(root.iterdir()):
        return f"dataset folder {root} is empty; it should hold {LAYOUT}"
    return f"{root} has no folder leftImg8bit; a dataset folder holds {LAYOUT}"


def _scan(root: Path, split: str) -> tuple[Frame, ...]:
    """List and check a split's frames; one directory listing per city, no file is opened."""
    folder = root / "leftImg8bit" / split
    images: dict[str, Path] = {}
    labels: dict[str, dict[str, Path]] = {kind: {} for kind in (*LABEL_KINDS, "instanceIds")}
    for city in _folders(folder):
        for path in sorted(city.iterdir()):
            if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if not path.stem.endswith(_IMAGE_END):
                raise UserError(
                    f"{path} is not named <city>_<seq>_<frame>{_IMAGE_END}{path.suffix}; rename or remove it"
                )
            name = path.stem.removesuffix(_IMAGE_END)
            if name in images:
                raise UserError(f"two images for frame {name}: {images[name]} and {path}; keep one of them")
            images[name] = path
        annotations = root / "gtFine" / split / city.name
        for path in annotations.iterdir() if annotations.is_dir() else ():
            name, _, kind = path.stem.rpartition("_gtFine_")
            if kind in labels and path.suffix == ".png":
                labels[kind][name] = path
    if not images:
        raise UserError(f"split folder {folder} holds no image; expected {LAYOUT}")
    chosen = next((kind for kind in LABEL_KINDS if images.keys() <= labels[kind].keys()), None)
    has_labels = split in _OFFICIAL_SIZES or any(labels[kind] for kind in LABEL_KINDS)
    if chosen is None and has_labels:
        fullest = max(LABEL_KINDS, key=lambda kind: len(images.keys() & labels[kind].keys()))
        missing = sorted(images.keys() - labels[fullest].keys())
        path = images[missing[0]]
        raise UserError(
            f"{len(missing)} of {len(images)} images in {folder} have no label, first {path.name}: expected "
            f"{root / 'gtFine' / split / path.parent.name / f'{missing[0]}_gtFine_{fullest}.png'}; "
            f"every frame of a split needs the same kind of label file ({' or '.join(LABEL_KINDS)})"
        )
    return tuple(
        Frame(name, path.parent.name, path, labels[chosen][name] if chosen else None, labels["instanceIds"].get(name))
        for name, path in sorted(images.items(), key=lambda item: (item[1].parent.name, item[0]))
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "dataset"
    return f"{slug}-other" if slug in _RESERVED_NAMES else slug


def _pixels(path: Path) -> bytes:
    try:
        with Image.open(path) as image:
            return np.asarray(image).tobytes()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"label {path} cannot be read: {error}; draw the set anew with `zoo data synth`") from error
