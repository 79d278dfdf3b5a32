"""The Cityscapes folder layout: which frames a dataset has, checked on opening. Free of torch."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

from zoo.data import synthetic
from zoo.data.classes import CLASSES_FILE, read_classes
from zoo.errors import UserError, did_you_mean
from zoo.labels import CITYSCAPES
from zoo.spec import DatasetSpec

DATASET_VARIABLE = "CITYSCAPES_DATASET"
CACHE_VARIABLE = "ZOO_CACHE"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LABEL_KINDS = ("labelIds", "labelTrainIds")
"""In order of precedence; a split is read from the first kind that all of its frames have."""
INSTANCES = "instanceIds"
LAYOUT = (
    "leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png (or .jpg, .jpeg, .webp) with "
    "gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png (or _gtFine_labelTrainIds.png)"
)
OFFICIAL_SIZES = {"train": 2975, "val": 500, "test": 1525}
"""Number of frames of each Cityscapes split."""
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on a file that cannot be decoded; SyntaxError is for broken chunks of a PNG."""
OnFrame = Callable[[int, int], None]
"""Called with the number of frames done and the number of all."""
_LABELLED = ("train", "val")
"""Splits that are of no use without labels."""
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
    def sequence(self) -> str:
        """`<city>_<seq>`: the recording that the frame was taken from; frames of one recording resemble each other."""
        return self.name.rpartition("_")[0]

    @property
    def has_train_ids(self) -> bool:
        """True when the label file already holds train ids."""
        return self.label is not None and self.label.stem.endswith("_labelTrainIds")


@dataclass(frozen=True)
class Dataset:
    """A folder in the Cityscapes layout, opened and checked by `open_dataset`."""

    name: str
    """As `classes.toml` has it; else `cityscapes` for the official set, `synthetic` for sets drawn by zoo, else the
    folder's own name."""
    root: Path
    spec: DatasetSpec
    synthetic: bool
    frames_by_split: Mapping[str, tuple[Frame, ...]] = field(repr=False)
    said: set[str] = field(default_factory=set, repr=False, compare=False)
    """Splits whose files' forms were looked at and told of (`zoo.data.headers`)."""
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

    def shared_sequences(self, split: str) -> tuple[str, ...]:
        """Names of the sequences (`<city>_<seq>`) that a split shares with `train`, sorted; none for `train` itself.

        Scores on a split that shares sequences with training are optimistic: its frames resemble trained ones.

        Raises:
            UserError: no such split.
        """
        frames = self.frames(split)
        if split == "train":
            return ()
        trained = {frame.sequence for frame in self.frames_by_split.get("train", ())}
        return tuple(sorted(trained & {frame.sequence for frame in frames} - {""}))

    def fingerprint(self, *splits: str) -> str:
        """Hash of what these splits held when first asked (all when none is named): equal on every machine, 16 digits.

        Covers the frames' paths below the root, the images' sizes in bytes, the labels' contents and what
        `classes.toml` says. A synthetic set's files may be compressed differently on each machine, so there the drawing
        parameters and the labels' pixels count.
        """
        splits = tuple(sorted(splits or self.splits()))
        if splits not in self._fingerprints:
            self._fingerprints[splits] = self._fingerprint(splits)
        return self._fingerprints[splits]

    def _fingerprint(self, splits: tuple[str, ...]) -> str:
        digest = hashlib.sha256()
        if self.synthetic:
            digest.update(synthetic.read_marker(self.root).canonical())
        if self.spec != CITYSCAPES:
            digest.update(self.spec.model_dump_json(exclude_defaults=True).encode())
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


def spread(frames: Sequence[Frame], count: int | None) -> Sequence[Frame]:
    """At most `count` frames, spread evenly; `None`: all.

    Raises:
        UserError: a count below 1.
    """
    if count is None or count >= len(frames):
        return frames
    if count < 1:
        raise UserError(f"a number of images is 1 or more; got {count}")
    return [frames[index * len(frames) // count] for index in range(count)]


def open_dataset(root: Path | str | None = None, *, cache: Path | None = None) -> Dataset:
    """Open a dataset in the Cityscapes layout and check that its files belong together; no image is decoded.

    Args:
        root: the folder; `None`: the variable `CITYSCAPES_DATASET`, else the embedded synthetic set, drawn on first
            use.
        cache: where the embedded set is kept; `None`: `cache_folder()`.

    Raises:
        UserError: folder missing or in another layout, empty split, image without label, two files of a kind for one
            frame, a name that is not UTF-8, a label of another city than its image, an empty file, a link that leads
            nowhere, or a `classes.toml` that cannot be.
    """
    try:
        return _open(root, cache)
    except OSError as error:
        raise UserError(f"{error.filename or root} cannot be read: {error.strerror or error}") from error


def find_root(given: Path | str | None = None, *, cache: Path | None = None) -> Path:
    """Folder that `open_dataset` would open: it has `leftImg8bit`, and nothing more is known of it.

    Raises:
        UserError: no such folder, or another layout.
    """
    given = given if given is not None else os.environ.get(DATASET_VARIABLE) or None
    if given is None:
        given = synthetic.embedded(cache or cache_folder())
    try:
        root = Path(given).expanduser().resolve()
    except RuntimeError as error:  # of links that lead in a circle, or of ~ without a home
        raise UserError(f"{given} cannot be followed: {error}; give --data the folder itself") from error
    if not (root / "leftImg8bit").is_dir():
        raise UserError(_wrong_folder(root))
    return root


def _open(given: Path | str | None, cache: Path | None) -> Dataset:
    root = find_root(given, cache=cache)
    images = root / "leftImg8bit"
    broken: dict[Path, str] = {}
    splits = [folder.name for folder in folders(images, broken)]
    _refuse(broken)
    if not splits:
        raise UserError(f"{images} has no split folder such as train or val; expected {LAYOUT}")
    frames_by_split = {split: _checked(root, list_split(root, split)) for split in splits}
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
    official = all(sizes.get(split) == OFFICIAL_SIZES[split] for split in _LABELLED)
    name = synthetic.NAME if marker else "cityscapes" if official else _slug(root.name)
    spec = CITYSCAPES
    if _has_own_classes(root):
        spec = read_classes(root / CLASSES_FILE)
        name = _slug(spec.name)
    return Dataset(name, root, spec, marker is not None, frames_by_split)


def _has_own_classes(root: Path) -> bool:
    return os.path.lexists(root / CLASSES_FILE)  # a link that leads nowhere is no reason to take Cityscapes' classes


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
    images = root / "leftImg8bit"
    if os.path.lexists(images):
        return f"{images} {_flaw(images).get(images, 'is a file')}; a dataset folder holds {LAYOUT}"
    return f"{root} has no folder leftImg8bit; a dataset folder holds {LAYOUT}"


@dataclass(frozen=True)
class Listing:
    """What the folders of a split hold, right or wrong; nothing but names and sizes in bytes has been looked at."""

    split: str
    images: Mapping[str, tuple[Path, ...]]
    """Frame → its image files, of which there should be one."""
    annotations: Mapping[str, Mapping[str, tuple[Path, ...]]]
    """Kind (`LABEL_KINDS` and `INSTANCES`) → frame → its files, of which there should be one; frames without image
    included."""
    misnamed: tuple[Path, ...]
    """Images that are not named as the layout wants."""
    broken: Mapping[Path, str]
    """What cannot be a file or folder of a dataset → why."""

    @property
    def label_kind(self) -> str:
        """The kind of label that most frames have, the first of `LABEL_KINDS` among equals."""
        return max(LABEL_KINDS, key=lambda kind: len(self.images.keys() & self.annotations[kind].keys()))

    @property
    def unlabelled(self) -> list[str]:
        """Frames without a label of that kind, sorted."""
        return sorted(self.images.keys() - self.annotations[self.label_kind].keys())

    @property
    def needs_labels(self) -> bool:
        """Whether it is a split that is of no use without labels, or some are there."""
        return self.split in _LABELLED or any(self.annotations[kind] for kind in LABEL_KINDS)


def list_split(root: Path, split: str) -> Listing:
    """List a split's images and annotations: one directory listing per city, no file is opened."""
    images: dict[str, tuple[Path, ...]] = {}
    annotations: dict[str, dict[str, tuple[Path, ...]]] = {kind: {} for kind in (*LABEL_KINDS, INSTANCES)}
    misnamed: list[Path] = []
    broken: dict[Path, str] = {}
    for path in _files(root / "leftImg8bit" / split, broken):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        name = path.stem.removesuffix(_IMAGE_END)
        if name in ("", path.stem):
            misnamed.append(path)
            continue
        images[name] = (*images.get(name, ()), path)
        broken |= _flaw(path)
    for path in _files(root / "gtFine" / split, broken):
        name, _, kind = path.stem.rpartition("_gtFine_")
        if kind in annotations and path.suffix == ".png":
            annotations[kind][name] = (*annotations[kind].get(name, ()), path)
            broken |= _flaw(path)
    return Listing(split, images, annotations, tuple(misnamed), broken)


def folders(folder: Path, broken: dict[Path, str]) -> list[Path]:
    """Folders in a folder, sorted, hidden ones left out; links that lead nowhere are added to `broken`."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in entries:
        if path.is_symlink() and not path.exists():
            broken |= _flaw(path)
    return [path for path in entries if path.is_dir()]


def _files(folder: Path, broken: dict[Path, str]) -> Iterator[Path]:
    """What lies in the folders of a folder, sorted; nothing where there is no such folder."""
    if folder.is_symlink() and not folder.exists():
        broken |= _flaw(folder)
    for inner in folders(folder, broken) if folder.is_dir() else ():
        yield from sorted(path for path in inner.iterdir() if not path.name.startswith("."))


def _flaw(path: Path) -> dict[Path, str]:
    """Why a path cannot be read as a file, empty where it may."""
    try:
        facts = path.stat()
    except OSError as error:
        why = {errno.ELOOP: "is a link that leads back to itself", errno.ENOENT: "is a link that leads nowhere"}
        return {path: why.get(error.errno or 0, f"cannot be read: {error.strerror or error}")}
    if not stat.S_ISREG(facts.st_mode):
        return {path: "is no file"}
    return {} if facts.st_size else {path: "is empty (0 bytes)"}


def _refuse(broken: Mapping[Path, str]) -> None:
    for path, why in broken.items():
        raise UserError(f"{path} {why}; replace or remove it")


def _checked(root: Path, listing: Listing) -> tuple[Frame, ...]:
    """A split's frames, sorted by city and name; the first thing wrong with them is raised."""
    folder = root / "leftImg8bit" / listing.split
    for path in listing.misnamed:
        raise UserError(f"{path} is not named <city>_<seq>_<frame>{_IMAGE_END}{path.suffix}; rename or remove it")
    _refuse(listing.broken)
    images = _one_each("images", listing.images)
    for path in images.values():
        if (name := str(path).encode(errors="backslashreplace").decode()) != str(path):
            raise UserError(f"{name} is not named in UTF-8, as records and reports are; rename it")
    annotations = {kind: _one_each(f"{kind} files", files) for kind, files in listing.annotations.items()}
    if not listing.images:
        raise UserError(f"split folder {folder} holds no image; expected {LAYOUT}")
    for files in annotations.values():
        for name in sorted(images.keys() & files.keys()):
            if files[name].parent.name != images[name].parent.name:
                raise UserError(f"{files[name]} is in another city's folder than {images[name]}; move one of them")
    kind, missing = listing.label_kind, listing.unlabelled
    if missing and listing.needs_labels:
        path = images[missing[0]]
        expected = root / "gtFine" / listing.split / path.parent.name / f"{missing[0]}_gtFine_{kind}.png"
        raise UserError(
            f"{len(missing)} of {len(images)} images in {folder} have no label, first {path.name}: expected "
            f"{expected}; every frame of a split needs the same kind of label file ({' or '.join(LABEL_KINDS)})"
        )
    labels = {} if missing else annotations[kind]
    return tuple(
        Frame(name, path.parent.name, path, labels.get(name), annotations[INSTANCES].get(name))
        for name, path in sorted(images.items(), key=lambda item: (item[1].parent.name, item[0]))
    )


def _one_each(what: str, files: Mapping[str, tuple[Path, ...]]) -> dict[str, Path]:
    """Frame → its only file."""
    for name, (first, *others) in files.items():
        if others:
            raise UserError(f"two {what} for frame {name}: {first} and {others[0]}; keep one of them")
    return {name: paths[0] for name, paths in files.items()}


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "dataset"
    return f"{slug}-other" if slug in _RESERVED_NAMES else slug


def _pixels(path: Path) -> bytes:
    try:
        with Image.open(path) as image:
            return np.asarray(image).tobytes()
    except DAMAGE as error:
        raise UserError(f"label {path} cannot be read: {error}; draw the set anew with `zoo data synth`") from error
