"""What is wrong with a dataset folder, also with one that `open_dataset` refuses. Reads, never writes; free of torch.

Without `full`, every file's header is read, and the pixels of a sample; with it every file is decoded, and images that
look alike are searched across splits.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from zoo.checks.cityscapes import against_cityscapes
from zoo.checks.files import file_names, missing_splits
from zoo.checks.labels import pixels_of
from zoo.checks.seen import Seen, class_pixels, finding_of
from zoo.data.classes import CLASSES_FILE
from zoo.data.headers import read_header
from zoo.data.layout import Frame, OnFrame, dataset_of, spread, survey_dataset
from zoo.data.listing import NEEDS_LABELS, Listing
from zoo.data.naming import LABEL_KINDS
from zoo.data.reading import label_histogram, read_image, read_label, unreadable
from zoo.data.survey import Survey
from zoo.errors import UserError, counted
from zoo.faults import how_to_read, reason
from zoo.files import sha256_of
from zoo.frames import OFFICIAL_SIZES
from zoo.labels import CITYSCAPES
from zoo.report.doctor import Finding, Report, Severity, Split, by_gravity
from zoo.score.rows import text_of
from zoo.spec import DatasetSpec, Size

SAMPLED_LABELS = 64
"""Label maps of a split whose pixels are counted without `full`."""
SAMPLED_IMAGES = 8
HASH_SIDE = 16
"""A perceptual hash has this many bits, squared."""
ALIKE_BITS = 32
"""Two images whose hashes differ in no more of their 256 bits are near-duplicates. Seen on CamVid: up to 4 bits after
JPEG at quality 50, 24 after brightening by 30 %, 34 for 95 % of frames 1/15 s apart; 58 and more for other streets."""
HASHES_AT_ONCE = 1024
"""Held against all of another split: 20,000 against 20,000 at once would be 3 GiB."""

_ORDER = {split: place for place, split in enumerate(OFFICIAL_SIZES)}
_PNG_END = b"IEND"


def examine(
    data: Path | str | None = None, *, full: bool = False, cache: Path | None = None, on_image: OnFrame | None = None
) -> Report:
    """Look a dataset folder over; what `zoo doctor` does.

    Args:
        data: Folder in the Cityscapes layout; `None`: `CITYSCAPES_DATASET`, else the embedded synthetic set.
        full: Decode every file, and search for images that look alike across splits.
        cache: Where the embedded set is kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        on_image: Told of every frame looked at.

    Raises:
        UserError: no dataset folder, or one that cannot be listed.
    """
    try:
        return _examine(survey_dataset(data, cache=cache), full=full, on_image=on_image)
    except OSError as error:
        advice = how_to_read(error)
        raise UserError(f"{error.filename or data} cannot be read: {reason(error)}; {advice}") from error


def _examine(found: Survey, *, full: bool, on_image: OnFrame | None) -> Report:
    root, spec = found.root, found.own.spec if found.own else CITYSCAPES
    findings = [Finding("note", note, "nothing to do, if it is what you mean") for note in found.notes]
    if found.mistake:
        advice = f"correct {CLASSES_FILE}; until then labels are judged here by Cityscapes' classes"
        findings.append(Finding("error", found.mistake, advice, (str(root / CLASSES_FILE),)))
    listings = sorted(found.listings, key=lambda listing: _ORDER.get(listing.split, len(_ORDER)))
    seen = _look_at_all(listings, spec, full=full, on_image=on_image)
    findings += missing_splits(listings)
    for listing in listings:
        of_split = [*file_names(listing), *pixels_of(listing.split, seen[listing.split], spec)]
        if spec == CITYSCAPES:
            of_split += against_cityscapes(listing, seen[listing.split])
        if listing.split not in NEEDS_LABELS:  # whatever is wrong with it, training and validation go on
            of_split = [replace(one, severity="warning") if one.severity == "error" else one for one in of_split]
        findings += of_split
    splits = tuple(_split(listing, seen[listing.split], spec) for listing in listings)
    findings += _absent_classes(splits, spec, full=full)
    findings += _shared(seen)
    findings += _copies(seen)
    findings += _near_duplicates(seen)
    if all(finding.severity != "error" for finding in findings):
        findings += _refusal(found)
    below = [
        replace(finding, files=tuple(file.replace(f"{root}{os.sep}", "") for file in finding.files))
        for finding in by_gravity(findings)
    ]
    return Report(root, full, spec, splits, tuple(below))


# What the files hold


def _look_at_all(
    listings: Sequence[Listing], spec: DatasetSpec, *, full: bool, on_image: OnFrame | None
) -> dict[str, list[Seen]]:
    """Look at every frame of every split; the frames of a split stay in order."""
    frames = {listing.split: _frames(listing) for listing in listings}
    total = sum(map(len, frames.values()))
    seen: dict[str, list[Seen]] = {split: [] for split in frames}
    done = 0
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for split, of_split in frames.items():
            images, labels = (
                set(of_split if full else spread(of_split, count)) for count in (SAMPLED_IMAGES, SAMPLED_LABELS)
            )
            decode = [(frame in images, frame in labels) for frame in of_split]
            for look in pool.map(partial(_look, spec=spec, hashed=full), of_split, decode):
                seen[split].append(look)
                done += 1
                if on_image:
                    on_image(done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return seen


def _frames(listing: Listing) -> list[Frame]:
    """A split's frames with whatever label they have; broken files are left out."""
    labels = listing.annotations[listing.label_kind]
    frames = []
    for name, (image, *_) in sorted(listing.images.items()):
        label = labels.get(name, (None,))[0]
        if image not in listing.broken:
            label = None if label in listing.broken else label
            has_train_ids = listing.label_kind == LABEL_KINDS[1]
            frames.append(Frame(name, listing.city(image), image, label, None, has_train_ids))
    return frames


def _look(frame: Frame, decode: tuple[bool, bool], *, spec: DatasetSpec, hashed: bool) -> Seen:
    """Decode the image, the label map, both or neither; of the others the header and the end are read.

    A file of another form than the plain one is always decoded: what it holds decides whether it can be read.
    """
    image, label, image_fault, label_fault, values, bits = None, None, "", "", None, None
    try:
        image = read_header("image", frame.image)
        if decode[0] or image.form != "color":
            pixels = read_image(frame.image)
            bits = imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE).hash.ravel() if hashed else None
        else:
            _require_end("image", frame.image)
    except UserError as error:
        image_fault = _nameless(error, frame)
    if frame.label is not None:
        try:
            label = read_header("label", frame.label)
            if decode[1] or label.form != "grey":
                values = label_histogram(frame, spec)
                read_label(frame, spec)
            else:
                _require_end("label", frame.label)
                _require_size(frame, frame.label, label.size, image.size if image else None)
        except UserError as error:
            label_fault = _nameless(error, frame)
    label_fault = "" if label_fault == image_fault else label_fault
    return Seen(frame, image.size if image else None, image_fault, label_fault, values, (image, label), bits)


def _require_end(what: str, path: Path) -> None:
    """Refuse a PNG that a broken transfer has cut off, without decoding it."""
    if path.suffix.lower() != ".png":
        return
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64))
            end = file.read()
    except OSError as error:
        raise unreadable(what, path, error) from error
    if _PNG_END not in end:
        raise unreadable(what, path, ValueError("its end is missing"))


def _require_size(frame: Frame, label: Path, found: Size, size: Size | None) -> None:
    """Refuse a label map of another size than its image, by its header, as the loader would."""
    if size and found != size:
        raise UserError(
            f"label {label} is {text_of(found)} but image {frame.image} is {text_of(size)}; both need the same size"
        )


def _nameless(error: UserError, frame: Frame) -> str:
    """What the loader says, in words that fit every file with this fault."""
    said = str(error)
    if frame.label is not None and str(frame.label) in said:
        return said.replace(str(frame.label), "FILE").replace(f"image {frame.image}", "its image")
    return said.replace(str(frame.image), "FILE")


def _split(listing: Listing, seen: Sequence[Seen], spec: DatasetSpec) -> Split:
    read = [class_pixels(look, spec) for look in seen if look.values is not None]
    return Split(
        name=listing.split,
        image_count=len(listing.images),
        label_count=len(listing.images) - len(listing.unlabelled),
        label_kind=listing.label_kind,
        city_count=len({listing.city(paths[0]) for paths in listing.images.values()} - {""}),
        sizes=dict(Counter(look.size for look in seen if look.size).most_common()),
        labels_read=len(read),
        class_pixels=tuple(map(sum, zip(*(pixels for pixels, _ in read), strict=True))) or (0,) * spec.num_classes,
        ignored_pixels=sum(ignored for _, ignored in read),
    )


# What the splits say of each other


def _absent_classes(splits: Sequence[Split], spec: DatasetSpec, *, full: bool) -> Iterator[Finding]:
    """Classes that no pixel is of, in the label maps that were read."""
    absent = {
        split.name: {name for name, pixels in zip(spec.class_names, split.class_pixels, strict=True) if not pixels}
        for split in splits
        if any(split.class_pixels)
    }
    where = "" if full else " in the label maps that were read (--full reads all)"
    severity: Severity = "warning" if full else "note"
    everywhere = set.intersection(*absent.values()) if absent else set()
    if everywhere:
        yield Finding(
            severity, f"{len(everywhere)} of {spec.num_classes} classes never occur{where}: {_names(everywhere, spec)}",
            f"mIoU leaves out what is neither true nor predicted; a {CLASSES_FILE} can leave them out altogether",
        )  # fmt: skip
    for split, names in absent.items():
        if split != "train" and (untaught := absent.get("train", set()) - names):
            yield Finding(
                severity, f"{split} has classes that train never shows{where}: {_names(untaught, spec)}",
                "they can only be missed; move some of their frames to train",
            )  # fmt: skip


def _names(names: set[str], spec: DatasetSpec) -> str:
    return ", ".join(name for name in spec.class_names if name in names)


def _shared(seen: dict[str, list[Seen]]) -> Iterator[Finding]:
    trained = {look.frame.sequence for look in seen.get("train", ())} - {None}
    silent = [look.frame for looks in seen.values() for look in looks if look.frame.sequence is None]
    if silent and len(seen) > 1:
        yield finding_of(
            "note", f"{counted(len(silent), 'frame')} whose name tells no recording: what splits share is not known",
            "names <city>_<6 digits>_<6 digits>, as Cityscapes has them, tell; --full finds images that look alike",
            [frame.image for frame in silent],
        )  # fmt: skip
    for split, looks in seen.items():
        shared = [look.frame for look in looks if look.frame.sequence in trained]
        if split != "train" and shared:
            names = ", ".join(sorted({frame.sequence for frame in shared if frame.sequence})[:4])
            yield finding_of(
                "warning", f"{len(shared)} of {len(looks)} frames of {split} are of sequences that train has: {names}",
                "scores are optimistic, and records say so; to mend it, keep each sequence in one split",
                [frame.image for frame in shared],
            )  # fmt: skip


def _copies(seen: dict[str, list[Seen]]) -> Iterator[Finding]:
    """Images that stand, byte for byte, in two splits."""
    by_length: dict[int, list[tuple[str, Path]]] = {}
    for split, looks in seen.items():
        for look in looks:
            if look.image_fault:
                continue  # it may be unreadable, and is named already
            by_length.setdefault(look.frame.image.stat().st_size, []).append((split, look.frame.image))
    by_content: dict[str, list[tuple[str, Path]]] = {}
    for same in by_length.values():
        if len({split for split, _ in same}) > 1:
            for split, path in same:
                by_content.setdefault(sha256_of(path), []).append((split, path))
    copies = [same for same in by_content.values() if len({split for split, _ in same}) > 1]
    if copies:
        yield finding_of(
            "error", f"{counted(len(copies), 'image')} in more than one split, byte for byte",
            "keep each in one split: a model is scored on what it was trained on",
            [path for same in copies for _, path in same],
        )  # fmt: skip


def _near_duplicates(seen: dict[str, list[Seen]]) -> Iterator[Finding]:
    """Images of one split that look like an image of another."""
    for split, other in combinations(seen, 2):
        ours, theirs = (
            [(look.frame.image, look.hash) for look in seen[name] if look.hash is not None] for name in (other, split)
        )
        if not ours or not theirs:
            continue
        two = np.stack([bits for _, bits in theirs]).astype(np.float32) * 2 - 1
        alike = []
        for start in range(0, len(ours), HASHES_AT_ONCE):
            some = ours[start : start + HASHES_AT_ONCE]
            one = np.stack([bits for _, bits in some]).astype(np.float32) * 2 - 1
            differing = (HASH_SIDE**2 - one @ two.T) / 2  # (some of ours, theirs) bits
            alike += [
                f"{path} ~ {theirs[match][0]}"
                for (path, _), match, bits in zip(some, differing.argmin(axis=1), differing.min(axis=1), strict=True)
                if bits <= ALIKE_BITS
            ]
        if alike:
            yield Finding(
                "warning", f"{len(alike)} of {len(ours)} images of {other} look like one of {split}",
                "look at the pairs: frames of one scene in two splits make scores optimistic", tuple(alike),
            )  # fmt: skip


def _refusal(found: Survey) -> Iterator[Finding]:
    """Whatever else opening it, to train and to validate, stumbles over."""
    try:
        faults = dataset_of(found).faults
    except UserError as error:
        yield Finding("error", "zoo cannot open it", str(error))
    else:
        for split in NEEDS_LABELS:
            if split in faults:
                yield Finding("error", f"zoo cannot open it, at its split {split}", faults[split])
