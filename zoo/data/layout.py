"""The Cityscapes folder layout: which frames a dataset has, checked on opening. Free of torch."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from zoo.allowed import NAME_LETTERS
from zoo.cache import cache_folder
from zoo.data import synthetic
from zoo.data.listing import NEEDS_LABELS, Listing, how_to_mend, walk
from zoo.data.naming import (
    CITYSCAPES_NAMES,
    IMAGES,
    INSTANCES,
    LABEL_KINDS,
    LABELS,
    LAYOUT,
    OTHER_SUFFIXES,
    Naming,
    known_split,
)
from zoo.data.survey import Survey, labels_beside, survey, written
from zoo.errors import UserError, did_you_mean
from zoo.faults import how_to_read, reason
from zoo.frames import OFFICIAL_CITIES, OFFICIAL_SIZES, sequence_of, shared_sequences
from zoo.labels import CITYSCAPES
from zoo.spec import DatasetSpec

DATASET_VARIABLE = "CITYSCAPES_DATASET"
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on a file that cannot be decoded; SyntaxError is for broken chunks of a PNG."""
OnFrame = Callable[[int, int], None]
"""Called with the number of frames done and the number of all."""
_log = logging.getLogger(__name__)
_told: set[str] = set()
"""Notes that this process has given: a dataset may be opened more than once."""
_RESERVED_NAMES = ("cityscapes", synthetic.NAME)


@dataclass(frozen=True)
class Frame:
    """One street image with its files."""

    name: str
    """`<city>_<seq>_<frame>` in Cityscapes, or whatever it is called elsewhere; unique in its split."""
    city: str
    """The folder it is in; empty where it lies right below its split."""
    image: Path
    label: Path | None
    """`None` in a split that is published without labels, such as Cityscapes' test."""
    instances: Path | None
    has_train_ids: bool
    """True when the label file already holds train ids."""

    @property
    def sequence(self) -> str | None:
        """`<city>_<seq>`: the recording that the frame was taken from; frames of one recording resemble each other.

        `None` where the name does not tell.
        """
        return sequence_of(self.name)


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
    """Empty for a split that cannot be used."""
    naming: Naming = field(default=CITYSCAPES_NAMES, repr=False)
    faults: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Split that cannot be used, or holds no image → why, in one line; `frames` says it to those who ask for it."""
    notes: tuple[str, ...] = ()
    """How the folder was understood, where that is not plain: sentences for a person."""
    said: set[str] = field(default_factory=set, repr=False, compare=False)
    """Splits whose files' forms were looked at and told of (`zoo.data.headers`)."""
    _fingerprints: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False, compare=False)

    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold images, sorted; of which one may be among `faults`."""
        return tuple(sorted(self.frames_by_split))

    def own_name(self, split: str) -> str:
        """The split as it is called here, where other tools call it so."""
        return split if split in {*self.frames_by_split, *self.faults} else known_split(split) or split

    def frames(self, split: str) -> tuple[Frame, ...]:
        """Frames of a split, sorted by city and name; `"validation"` and the like are names of `"val"`.

        Raises:
            UserError: no such split, or one that cannot be used.
        """
        asked, split = split, self.own_name(split)
        if split in self.faults:
            raise UserError(self.faults[split])
        if split not in self.frames_by_split:
            split = asked
            raise UserError(
                f"{self.root} has no split {split!r}.{did_you_mean(split, self.splits())} "
                f"It has: {', '.join(self.splits())}{self._renamed(split)}"
            )
        return self.frames_by_split[split]

    def _renamed(self, split: str) -> str:
        """The command that makes a folder with nearly this name the split, where one is needed."""
        near = difflib.get_close_matches(split, self.splits(), n=1) if split in NEEDS_LABELS else []
        tops = [self.root / top for top in (IMAGES, LABELS) if near and (self.root / top / near[0]).is_dir()]
        moves = [shlex.join(["mv", str(top / near[0]), str(top / split)]) for top in tops]
        return f"; if that is it: `{' && '.join(moves)}`" if moves else ""

    def shared_sequences(self, split: str) -> tuple[str, ...] | None:
        """Names of the sequences (`<city>_<seq>`) that a split shares with `train`, sorted; none for `train` itself.

        `None` where the frames' names do not tell.

        Scores on a split that shares sequences with training are optimistic: its frames resemble trained ones.

        Raises:
            UserError: no such split.
        """
        frames = self.frames(split)
        if self.own_name(split) == "train":
            return ()
        trained = self.frames_by_split.get("train", ())
        return shared_sequences((frame.name for frame in frames), (frame.name for frame in trained))

    def fingerprint(self, *splits: str) -> str:
        """Hash of what these splits held when first asked (all when none is named): equal on every machine, 16 digits.

        Covers the frames' paths below the root, the images' sizes in bytes, the labels' contents and what
        `classes.toml` says. A synthetic set's files may be compressed differently on each machine, so there the drawing
        parameters and the labels' pixels count.
        """
        splits = tuple(sorted(splits or self.frames_by_split.keys() - self.faults.keys()))
        if splits not in self._fingerprints:
            self._fingerprints[splits] = self._fingerprint(splits)
        return self._fingerprints[splits]

    def split_count(self, split: str) -> int:
        """Images of the whole split: Cityscapes' published number where all that is there is Cityscapes', else what is.

        Raises:
            UserError: as `frames`.
        """
        frames = self.frames(split)
        published = OFFICIAL_CITIES.get(self.own_name(split), {})
        if self.synthetic or self.spec != CITYSCAPES or self.naming.images != CITYSCAPES_NAMES.images:
            return len(frames)
        found = Counter(frame.city for frame in frames)
        is_part = all(count <= published.get(city, 0) for city, count in found.items())
        return sum(published.values()) if is_part else len(frames)

    def _place(self, path: Path, folder: str) -> PurePosixPath:
        """A file's path from `folder` on: the same where each archive was unpacked into a folder of its own."""
        parts = path.relative_to(self.root).parts
        start = len(parts) - 1 - parts[::-1].index(folder) if folder in parts else 0
        return PurePosixPath(*parts[start:])

    def _fingerprint(self, splits: Iterable[str]) -> str:
        digest = hashlib.sha256()
        if self.synthetic:
            digest.update(synthetic.read_marker(self.root).canonical())
        if self.spec != CITYSCAPES:
            digest.update(self.spec.model_dump_json(exclude_defaults=True).encode())
        folders = self.naming.image_folder, self.naming.label_folder
        for split in sorted(splits, key=lambda split: self._place(self.frames(split)[0].image, folders[0]).parts):
            for frame in self.frames(split):
                for path, folder in zip((frame.image, frame.label), folders, strict=True):
                    if path is None:
                        continue
                    digest.update(f"\n{self._place(path, folder)}\n".encode())
                    try:
                        if not self.synthetic:
                            digest.update(str(path.stat().st_size).encode())
                        if path == frame.label:
                            digest.update(_pixels(path) if self.synthetic else path.read_bytes())
                            if frame.has_train_ids and not named_train_ids(path):
                                digest.update(b"trainIds")
                    except OSError as error:
                        raise UserError(f"{path} cannot be read: {reason(error)}; {how_to_read(error)}") from error
        return digest.hexdigest()[:16]


def named_train_ids(label: Path) -> bool:
    """Whether a label file's name says that it holds train ids."""
    return label.stem.endswith(f"_{LABEL_KINDS[1]}")


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
        dataset = dataset_of(survey_dataset(root, cache=cache))
    except OSError as error:
        advice = how_to_read(error)
        raise UserError(f"{error.filename or root} cannot be read: {reason(error)}; {advice}") from error
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun started, one speaks
        for note in (note for note in dataset.notes if note not in _told):
            _log.warning("%s", note)
            _told.add(note)
    return dataset


def survey_dataset(given: Path | str | None = None, *, cache: Path | None = None) -> Survey:
    """Find and list what `open_dataset` would open, right or wrong.

    Raises:
        UserError: no such folder, or no dataset that could be meant.
    """
    given = given if given is not None else os.environ.get(DATASET_VARIABLE) or None
    if given is None:
        given = synthetic.embedded(cache or cache_folder())
    try:
        root = Path(given).expanduser().resolve()
    except RuntimeError as error:  # of links that lead in a circle, or of ~ without a home
        raise UserError(f"{given} cannot be followed: {error}; give --data the folder itself") from error
    return survey(root)


def dataset_of(found: Survey) -> Dataset:
    """What was found as a dataset, its files checked by name.

    Raises:
        UserError: as `open_dataset`.
    """
    if found.mistake:
        raise UserError(found.mistake)
    if not found.listings:
        raise UserError(f"{found.root / IMAGES} has no split folder such as train or val; expected {LAYOUT}")
    frames_by_split: dict[str, tuple[Frame, ...]] = {}
    faults: dict[str, str] = {}
    notes = list(found.notes)
    for listing in found.listings:
        split, name = listing.split, listing.folder.name
        try:
            frames_by_split[split] = _checked(listing)
        except UserError as error:
            faults[split] = str(error)
            if listing.is_empty:
                notes.append(f"{listing.folder} holds no image and is left out")
            else:
                frames_by_split[split] = ()
                notes.append(f"split {split} cannot be used: {error}")
        else:
            if name != split and known_split(name) == split:
                notes.append(f"{listing.folder} is read as the split {split}")
    if not any(frames_by_split.values()):
        raise UserError(next(iter(faults.values())))
    marker = synthetic.read_marker(found.root) if synthetic.is_synthetic(found.root) else None
    if marker is not None:
        _require_whole(found.root, marker, frames_by_split, faults)
    sizes = {listing.split: len(listing.images) for listing in found.listings}
    official = found.naming == CITYSCAPES_NAMES and all(
        sizes.get(split) == OFFICIAL_SIZES[split] for split in NEEDS_LABELS
    )
    name = synthetic.NAME if marker else "cityscapes" if official else _slug(found.root.name)
    if found.own and found.own.name:
        name = _slug(found.own.name)
    return Dataset(
        name=name,
        root=found.root,
        spec=found.own.spec if found.own else CITYSCAPES,
        synthetic=marker is not None,
        frames_by_split=frames_by_split,
        naming=found.naming,
        faults=faults,
        notes=tuple(notes),
    )


def _require_whole(
    root: Path, marker: synthetic.Marker, frames_by_split: Mapping[str, Sequence[Frame]], faults: Mapping[str, str]
) -> None:
    """Refuse a drawn set that lacks frames: it is drawn anew in seconds."""
    for fault in faults.values():
        raise UserError(fault)
    if not marker.complete or any(len(frames_by_split.get(split, ())) != n for split, n in marker.counts().items()):
        raise UserError(
            f"the synthetic set in {root} is not whole ({sum(map(len, frames_by_split.values()))} of "
            f"{sum(marker.counts().values())} frames); delete the folder to have it drawn anew, or remove "
            f"{synthetic.MARKER} in it to use what is there as any other dataset"
        )


def _refuse(broken: Mapping[Path, str]) -> None:
    for path, why in broken.items():
        raise UserError(f"{path} {why}; {how_to_mend(why)}")


def _checked(listing: Listing) -> tuple[Frame, ...]:
    """A split's frames, sorted by city and name; the first thing wrong with them is raised."""
    folder = listing.folder
    for rival in listing.rivals:
        raise UserError(
            f"{folder} and {rival} are both the split {listing.split} by name; rename the one that is not, such as "
            f"with `mv {shlex.quote(str(rival))} {shlex.quote(f'{folder}_unused')}`"
        )
    for path in listing.misnamed:
        raise UserError(
            f"{path} is not named <city>_<seq>_<frame>_{IMAGES}{path.suffix}; rename or remove it{_pair_for(listing)}"
        )
    _refuse(listing.broken)
    images = _one_each("images", listing.images)
    for path in images.values():
        if (name := str(path).encode(errors="backslashreplace").decode()) != str(path):
            raise UserError(f"{name} is not named in UTF-8, as records and reports are; rename it")
    annotations = {kind: _one_each(f"{kind} files", files) for kind, files in listing.annotations.items()}
    if not listing.images:
        raise UserError(f"split folder {folder} holds no image; expected {LAYOUT}{_other_images(folder)}")
    for files in annotations.values() if listing.naming == CITYSCAPES_NAMES else ():
        for name in sorted(images.keys() & files.keys()):
            cities = {listing.city(path) for path in (images[name], files[name])}
            if len(cities - {""}) > 1:
                raise UserError(f"{files[name]} is in another city's folder than {images[name]}; move one of them")
    kind, missing = listing.label_kind, listing.unlabelled
    if missing and listing.needs_labels:
        kinds = " or ".join(LABEL_KINDS)
        near = labels_beside(listing.label_folder.parents[1]) if listing.naming == CITYSCAPES_NAMES else ""
        raise UserError(
            f"{len(missing)} of {len(images)} images in {folder} have no label, first {images[missing[0]].name}: "
            f"expected {listing.expected_label(missing[0])}; every frame of a split needs the same kind of label file "
            f"({kinds}){near}"
        )
    labels = {} if missing else annotations[kind]
    frames = [
        Frame(
            name, listing.city(path), path, labels.get(name), annotations[INSTANCES].get(name), kind == LABEL_KINDS[1]
        )
        for name, path in images.items()
    ]
    return tuple(sorted(frames, key=lambda frame: (frame.city, frame.name)))


def _pair_for(listing: Listing) -> str:
    """The command that names a split's images as they are, where each has its label; else nothing."""
    labelled = {name for kind in LABEL_KINDS for name in listing.annotations[kind]}
    extensions = {path.suffix for path in listing.misnamed}
    if listing.images or len(extensions) > 1 or {path.stem for path in listing.misnamed} != labelled:
        return ""
    lines = (f'image = "*{extensions.pop()}"', f'image_folder = "{IMAGES}"')
    return f"; or name all images so: `{written(listing.folder.parents[1], *lines)}`"


def _other_images(folder: Path) -> str:
    """The command that makes PNGs of the images of a split, where they are of kinds that are not read; else nothing."""
    endings = {path.suffix for path in walk(folder) if path.suffix.lower() in OTHER_SUFFIXES}
    command = shlex.join(["zoo", "data", "convert", str(folder.parent), f"{folder.parent}_png"])
    return f"; `{command}` makes PNGs of {' and '.join(sorted(endings))}, to be put in its place" if endings else ""


def _one_each(what: str, files: Mapping[str, tuple[Path, ...]]) -> dict[str, Path]:
    """Frame → its only file."""
    for name, (first, *others) in files.items():
        if others:
            raise UserError(f"two {what} for frame {name}: {first} and {others[0]}; keep one of them")
    return {name: paths[0] for name, paths in files.items()}


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower())[:NAME_LETTERS].strip("-") or "dataset"
    return f"{slug}-other" if slug in _RESERVED_NAMES else slug


def _pixels(path: Path) -> bytes:
    try:
        with Image.open(path) as image:
            return np.asarray(image).tobytes()
    except DAMAGE as error:
        raise UserError(f"label {path} cannot be read: {error}; draw the set anew with `zoo data synth`") from error
