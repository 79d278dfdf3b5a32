"""What the folders of a dataset hold, right or wrong: names and sizes in bytes, no file is opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from zoo.data.naming import (
    CITYSCAPES_NAMES,
    IMAGE_SUFFIXES,
    IMAGES,
    INSTANCES,
    LABEL_KINDS,
    LABELS,
    Naming,
    is_junk,
    known_split,
)
from zoo.errors import UserError
from zoo.faults import reason

NEEDS_LABELS = ("train", "val")
"""Splits that are of no use without labels."""
MAX_FILES = 1_000_000
"""A tree with more files than this is no dataset but a disk."""

Files = Mapping[str, tuple[Path, ...]]
"""Frame → its files, of which there should be one."""


@dataclass(frozen=True)
class Listing:
    """What the folders of a split hold, right or wrong; nothing but names and sizes in bytes has been looked at."""

    split: str
    folder: Path
    """Where its images are."""
    label_folder: Path
    """Where its label maps are, or would be."""
    naming: Naming
    images: Files
    annotations: Mapping[str, Files]
    """Kind (`LABEL_KINDS` and `INSTANCES`) → frame → its files; frames without image included."""
    misnamed: tuple[Path, ...]
    """Images that are not named as the layout wants."""
    broken: Mapping[Path, str]
    """What cannot be a file or folder of a dataset → why."""
    cities: Mapping[Path, str]
    """Folder → the city its files are of; that of any other folder is its name."""
    rivals: tuple[Path, ...] = ()
    """Other folders that are this split by name and hold images too."""

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
        return self.split in NEEDS_LABELS or any(self.annotations[kind] for kind in LABEL_KINDS)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that is or might be an image, nor anything broken."""
        return not (self.images or self.misnamed or self.broken)

    def city(self, path: Path) -> str:
        """The city (or recording) that a file is of; empty where it lies right below its split."""
        return self.cities.get(path.parent, path.parent.name)

    def expected_label(self, frame: str) -> Path:
        """Where a frame's label map would be."""
        pattern = self.naming.labels.get(self.label_kind) or next(iter(self.naming.labels.values()))
        city = self.city(self.images[frame][0]) if frame in self.images else "<city>"
        return self.label_folder / city / pattern.file(frame)


def list_layout(root: Path) -> list[Listing]:
    """List the splits of a folder in the Cityscapes layout, by split: one directory listing per city."""
    broken: dict[Path, str] = {}
    claiming: dict[str, list[Path]] = {}
    for folder in (*folders(root / IMAGES, broken), *broken):
        claiming.setdefault(known_split(folder.name) or folder.name, []).append(folder)
    listings = []
    for split, of_split in sorted(claiming.items()):
        listed = [
            _list_split(root, split, folder, {path: why for path, why in broken.items() if path == folder})
            for folder in of_split
        ]
        full = [listing for listing in listed if not listing.is_empty] or listed[:1]
        full.sort(key=lambda listing: listing.folder.name != split)
        listings.append(replace(full[0], rivals=tuple(listing.folder for listing in full[1:])))
    return listings


def _list_split(root: Path, split: str, folder: Path, broken: dict[Path, str]) -> Listing:
    images: dict[str, tuple[Path, ...]] = {}
    annotations: dict[str, dict[str, tuple[Path, ...]]] = {kind: {} for kind in (*LABEL_KINDS, INSTANCES)}
    misnamed: list[Path] = []
    for path in _files(folder, broken, lambda name: name.lower().endswith(IMAGE_SUFFIXES)):
        if name := CITYSCAPES_NAMES.frame(path.name):
            images[name] = (*images.get(name, ()), path)
            broken |= flaw(path)
        else:
            misnamed.append(path)
    labels = _label_folder(root / LABELS, split, folder.name)
    for path in _files(labels, broken, lambda name: CITYSCAPES_NAMES.annotated(name)[1] != ""):
        kind, name = CITYSCAPES_NAMES.annotated(path.name)
        annotations[kind][name] = (*annotations[kind].get(name, ()), path)
        broken |= flaw(path)
    return Listing(
        split,
        folder,
        labels,
        CITYSCAPES_NAMES,
        images,
        annotations,
        tuple(misnamed),
        broken,
        cities={folder: "", labels: ""},
    )


def _label_folder(top: Path, split: str, name: str) -> Path:
    """The folder below `gtFine` with the labels of a split whose images' folder has this name."""
    if not os.path.lexists(top / name) and top.is_dir():
        for folder in folders(top, {}):
            if known_split(folder.name) == split:
                return folder
    return top / name


def list_named(root: Path, naming: Naming, files: Iterable[Path]) -> list[Listing]:
    """List the splits of a folder whose files are named so, by split; of split `""` are images of no split.

    Args:
        root: The dataset's top folder.
        naming: How files are named.
        files: Those of the folder (`walk`).
    """
    images: dict[str, list[_Placed]] = {}
    annotations: dict[str, dict[str, list[_Placed]]] = {}
    for path in files:
        parts = path.relative_to(root).parts[:-1]
        kind, label = naming.annotated(path.name) if _is_below(parts, naming.label_folder) else ("", "")
        name = naming.frame(path.name) if _is_below(parts, naming.image_folder) else ""
        if label and not 0 < len(name) < len(label):  # of two names that fit, the longer pattern's
            split, inner = place_below(parts, naming.label_folder)
            annotations.setdefault(split, {}).setdefault(kind, []).append(_Placed(label, inner, path))
        elif name:
            split, inner = place_below(parts, naming.image_folder)
            images.setdefault(split, []).append(_Placed(name, inner, path))
    return [_named_split(root, naming, split, images[split], annotations) for split in sorted(images)]


class _Placed(NamedTuple):
    """A file of a frame."""

    name: str
    inner: tuple[str, ...]
    """Folders between split and file."""
    path: Path


def _named_split(
    root: Path,
    naming: Naming,
    split: str,
    images: Sequence[_Placed],
    annotations: Mapping[str, Mapping[str, Sequence[_Placed]]],
) -> Listing:
    """One split; where file names come again in other folders (`0001.png` of each video), folders are part of them."""
    names = [placed.name for placed in images]
    named_by_folder = len(set(names)) < len(names)

    def by_frame(files: Iterable[_Placed]) -> dict[str, tuple[Path, ...]]:
        found: dict[str, tuple[Path, ...]] = {}
        for name, inner, path in files:
            frame = "_".join((*inner, name)) if named_by_folder else name
            found[frame] = (*found.get(frame, ()), path)
        return found

    of_split = annotations.get(split) or annotations.get("", {})  # labels in one folder serve every split
    files = {kind: by_frame(of_split.get(kind, ())) for kind in (*LABEL_KINDS, INSTANCES)}
    placed = [*images, *(one for of_kind in of_split.values() for one in of_kind)]
    broken: dict[Path, str] = {}
    for one in placed:
        broken |= flaw(one.path)
    labels = [one.path.parent for kind in LABEL_KINDS for one in of_split.get(kind, ())]
    return Listing(
        split,
        Path(os.path.commonpath([one.path.parent for one in images])),
        Path(os.path.commonpath(labels)) if labels else root / (naming.label_folder or LABELS),
        naming,
        by_frame(images),
        files,
        misnamed=(),
        broken=broken,
        cities={one.path.parent: one.inner[-1] if one.inner else "" for one in placed},
    )


def _is_below(parts: tuple[str, ...], folder: str) -> bool:
    return not folder or folder in parts


def place_below(parts: tuple[str, ...], folder: str) -> tuple[str, tuple[str, ...]]:
    """Split of a file in these folders, and the folders between: the split is below `folder` or, else, above it."""
    start = len(parts) - parts[::-1].index(folder) if folder else 0
    above, below = parts[: max(start - 1, 0)], parts[start:]
    for position, part in enumerate(below):
        if split := known_split(part):
            return split, (*(below[:position] if folder else ()), *below[position + 1 :])
    for part in reversed(above):
        if split := known_split(part):
            return split, below
    return (below[0], below[1:]) if folder and below else ("", below)


def walk(root: Path) -> list[Path]:
    """Every file below a folder, sorted, what systems put there left out; links are followed, each folder once.

    Raises:
        UserError: more than `MAX_FILES`.
    """
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if not is_junk(name))
        files += (Path(folder, name) for name in names if not is_junk(name))
        if len(files) > MAX_FILES:
            raise UserError(f"{root} holds more than {MAX_FILES} files; give --data the folder of one dataset")
    return sorted(files)


def folders(folder: Path, broken: dict[Path, str]) -> list[Path]:
    """Folders in a folder, sorted, what systems put there left out; links that lead nowhere are added to `broken`."""
    entries = sorted(path for path in folder.iterdir() if not is_junk(path.name))
    for path in entries:
        if path.is_symlink() and not path.exists():
            broken |= flaw(path)
    return [path for path in entries if path.is_dir()]


def _files(folder: Path, broken: dict[Path, str], wanted: Callable[[str], bool]) -> list[Path]:
    """The wanted files in the folders of a folder, sorted; where there is none, those in the folder itself."""
    if folder.is_symlink() and not folder.exists():
        broken |= flaw(folder)
    if not folder.is_dir():
        return []
    try:
        inner = [path for city in folders(folder, broken) for path in _wanted(city, wanted)]
        return inner or _wanted(folder, wanted)
    except OSError as error:
        broken[Path(error.filename or folder)] = f"cannot be read: {reason(error)}"
        return []


def _wanted(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not is_junk(path.name) and wanted(path.name))


def how_to_mend(flaw: str) -> str:
    """What to do about a path that is no file: each flaw of `Listing.broken` has its own remedy."""
    if "link" in flaw:
        return "correct the link, or remove it"
    if "empty" in flaw:
        return "copy or download it again, or remove it"
    return "permit reading it, or remove it" if "cannot be read" in flaw else "remove it: a file belongs there"


def flaw(path: Path) -> dict[Path, str]:
    """Why a path cannot be read as a file, empty where it may."""
    try:
        facts = path.stat()
    except OSError as error:
        why = {errno.ELOOP: "is a link that leads back to itself", errno.ENOENT: "is a link that leads nowhere"}
        return {path: why.get(error.errno or 0, f"cannot be read: {reason(error)}")}
    if not stat.S_ISREG(facts.st_mode):
        return {path: "is no file"}
    return {} if facts.st_size else {path: "is empty (0 bytes)"}
