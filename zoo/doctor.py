"""What is wrong with a dataset folder, also with one that `open_dataset` refuses. Reads, never writes; free of torch.

Without `full`, every file's header is read, and the pixels of a sample; with it every file is decoded, and images that
look alike are searched across splits.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.data.classes import CLASSES_FILE, read_classes
from zoo.data.headers import Header, notes, read_header
from zoo.data.layout import (
    INSTANCES,
    LABEL_KINDS,
    LAYOUT,
    OFFICIAL_SIZES,
    Frame,
    Listing,
    OnFrame,
    find_root,
    folders,
    list_split,
    open_dataset,
    spread,
)
from zoo.data.reading import label_histogram, read_image, read_label, unreadable
from zoo.errors import UserError, did_you_mean
from zoo.files import sha256_of
from zoo.labels import CITYSCAPES
from zoo.report.doctor import Finding, Report, Severity, Split
from zoo.score.rows import text_of
from zoo.spec import IGNORE_INDEX, DatasetSpec, Size

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
MIXED_UP_SHARE = 0.5
"""Train ids read as label ids leave more of the pixels than this uncounted."""
MIXED_UP_VALUES = 4
"""One file with fewer values than this says nothing of their kind: a frame that is all void is all 0."""
OFFICIAL_FRAME: Size = (1024, 2048)
# fmt: off
OFFICIAL_CITIES: dict[str, dict[str, int]] = {
    "train": {
        "aachen": 174, "bochum": 96, "bremen": 316, "cologne": 154, "darmstadt": 85, "dusseldorf": 221, "erfurt": 109,
        "hamburg": 248, "hanover": 196, "jena": 119, "krefeld": 99, "monchengladbach": 94, "strasbourg": 365,
        "stuttgart": 196, "tubingen": 144, "ulm": 95, "weimar": 142, "zurich": 122,
    },
    "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
    "test": {"berlin": 544, "bielefeld": 181, "bonn": 46, "leverkusen": 58, "mainz": 298, "munich": 398},
}
# fmt: on
"""Frames of each city of Cityscapes."""

_GRAVITY: tuple[Severity, ...] = ("error", "warning", "note")
_ORDER = {split: place for place, split in enumerate(OFFICIAL_SIZES)}
_PNG_END = b"IEND"


@dataclass(frozen=True)
class _Seen:
    """A frame as far as it was looked at."""

    frame: Frame
    size: Size | None
    image_fault: str
    """What the loader says against the image, empty for nothing."""
    label_fault: str
    values: NDArray[np.int64] | None
    """`(256,)` pixels of each value in a label map that was decoded."""
    headers: tuple[Header | None, Header | None]
    """Of the image and of the label map."""
    hash: NDArray[np.bool_] | None
    """`(HASH_SIDE²,)` bits of an image that was decoded with `full`."""


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
        return _examine(find_root(data, cache=cache), full=full, on_image=on_image)
    except OSError as error:
        raise UserError(f"{error.filename or data} cannot be read: {error.strerror or error}") from error


def _examine(root: Path, *, full: bool, on_image: OnFrame | None) -> Report:
    spec, findings = _classes(root)
    broken: dict[Path, str] = {}
    listings = [list_split(root, folder.name) for folder in folders(root / "leftImg8bit", broken)]
    listings.sort(key=lambda listing: _ORDER.get(listing.split, len(_ORDER)))
    seen = _look_at_all(listings, spec, full=full, on_image=on_image)
    findings += _broken(broken)
    findings += _missing_splits(listings)
    for listing in listings:
        findings += _files(listing)
        findings += _official(root, listing, seen[listing.split])
        findings += _pixels(listing.split, seen[listing.split], spec)
    splits = tuple(_split(listing, seen[listing.split], spec) for listing in listings)
    findings += _absent_classes(splits, spec, full=full)
    findings += _shared(seen)
    findings += _copies(seen)
    findings += _near_duplicates(seen)
    if all(finding.severity != "error" for finding in findings):
        findings += _refusal(root)
    below = [
        replace(finding, files=tuple(file.replace(f"{root}{os.sep}", "") for file in finding.files))
        for finding in sorted(findings, key=lambda finding: _GRAVITY.index(finding.severity))
    ]
    return Report(root, full, spec, splits, tuple(below))


def _classes(root: Path) -> tuple[DatasetSpec, list[Finding]]:
    path = root / CLASSES_FILE
    if not os.path.lexists(path):
        return CITYSCAPES, []
    try:
        return read_classes(path), []
    except UserError as error:
        advice = f"correct {CLASSES_FILE}; until then labels are judged here by Cityscapes' classes"
        return CITYSCAPES, [Finding("error", str(error), advice, (str(path),))]


# What the folders hold


def _broken(broken: Mapping[Path, str]) -> Iterator[Finding]:
    for why in dict.fromkeys(broken.values()):
        files = [path for path, said in broken.items() if said == why]
        what = f"{_count(files, 'path')} unusable: {why.removeprefix('is ')}"
        yield _finding("error", what, "replace or remove what is there", files)


def _missing_splits(listings: Sequence[Listing]) -> Iterator[Finding]:
    names = [listing.split for listing in listings]
    if not names:
        yield Finding("error", "leftImg8bit has no split folder", f"bring it into the layout {LAYOUT}")
        return
    for split, use in (("train", "trained"), ("val", "validated")):
        if split not in names:
            near = did_you_mean(split, names).replace("Did you mean", "Is it")
            yield Finding("warning", f"no split {split}: nothing can be {use} on", f"name its folder {split}.{near}")


def _files(listing: Listing) -> Iterator[Finding]:
    """What is wrong with the names of a split's files."""
    split, kind = listing.split, listing.label_kind
    yield from _broken(listing.broken)
    if listing.misnamed:
        yield _finding(
            "error", f"{_count(listing.misnamed, 'image')} of {split} not named as the layout wants",
            f"rename them as in {LAYOUT}, or remove them", listing.misnamed,
        )  # fmt: skip
    if not listing.images:
        yield Finding("error", f"split {split} holds no image", f"bring it into the layout {LAYOUT}, or remove it")
        return
    for noun, files_by_frame in {"images": listing.images, **listing.annotations}.items():
        twice = [path for paths in files_by_frame.values() if len(paths) > 1 for path in paths]
        if twice:
            yield _finding("error", f"several {noun} for one frame in {split}", "keep one of them", twice)
    if listing.needs_labels and listing.unlabelled:
        files = [listing.images[name][0] for name in listing.unlabelled]
        other = next(known for known in LABEL_KINDS if known != kind)
        mixed = any(name in listing.annotations[other] for name in listing.unlabelled)
        hint = f" (some have {other}: make the kind one, zoo reads a split from one kind)" if mixed else ""
        yield _finding(
            "error", f"images of {split} without a {kind} label: {len(files)} of {len(listing.images)}",
            f"add gtFine/{split}/<city>/<frame>_gtFine_{kind}.png, or remove the images{hint}", files,
        )  # fmt: skip
    for known, files_of in listing.annotations.items():
        orphans = [path for name, paths in sorted(files_of.items()) if name not in listing.images for path in paths]
        if orphans:
            yield _finding(
                "warning", f"{_count(orphans, 'file')} of {known} in {split} without an image, never read",
                f"restore the images in leftImg8bit/{split}/<city>, or remove the files", orphans,
            )  # fmt: skip
    bare = sorted(listing.images.keys() - listing.annotations[INSTANCES].keys())
    if 0 < len(bare) < len(listing.images):
        yield _finding(
            "note", f"frames of {split} without {INSTANCES}: {len(bare)} of {len(listing.images)}",
            "add the missing ones if you want iIoU, which needs all of them",
            [listing.images[name][0] for name in bare],
        )  # fmt: skip


def _official(root: Path, listing: Listing, seen: Sequence[_Seen]) -> Iterator[Finding]:
    """Compare with Cityscapes, city by city, where most images are of its cities."""
    split, official = listing.split, OFFICIAL_CITIES.get(listing.split, {})
    found = Counter(paths[0].parent.name for paths in listing.images.values())
    other = sorted(found.keys() - official.keys())
    official_count = sum(found[city] for city in official)
    if 2 * official_count <= found.total():
        return
    if other:
        yield _finding(
            "warning", f"images of {split} of no city of Cityscapes: {', '.join(other)}",
            "remove them: numbers are not Cityscapes' with them",
            [root / "leftImg8bit" / split / city for city in other],
        )  # fmt: skip
    differing = {city: count for city, count in official.items() if found[city] != count}
    if differing:
        cities = ", ".join(f"{city} {found[city]} of {count}" for city, count in differing.items())
        yield _finding(
            "error", f"{split} has {official_count} of Cityscapes' {OFFICIAL_SIZES[split]} images: {cities}",
            "fetch the missing ones again, or name the cities otherwise: numbers are not Cityscapes' without them",
            [root / "leftImg8bit" / split / city for city in differing if found[city]],
        )  # fmt: skip
    resized = [look.frame.image for look in seen if look.size not in (None, OFFICIAL_FRAME)]
    if resized:
        yield _finding(
            "warning", f"{_count(resized, 'image')} of {split} not of Cityscapes' size, {text_of(OFFICIAL_FRAME)}",
            "fetch the originals: mIoU is counted at the size of the label maps, and published figures at that size",
            resized,
        )  # fmt: skip


# What the files hold


def _look_at_all(
    listings: Sequence[Listing], spec: DatasetSpec, *, full: bool, on_image: OnFrame | None
) -> dict[str, list[_Seen]]:
    """Look at every frame of every split; the frames of a split stay in order."""
    frames = {listing.split: _frames(listing) for listing in listings}
    total = sum(map(len, frames.values()))
    seen: dict[str, list[_Seen]] = {split: [] for split in frames}
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
            frames.append(Frame(name, image.parent.name, image, None if label in listing.broken else label, None))
    return frames


def _look(frame: Frame, decode: tuple[bool, bool], *, spec: DatasetSpec, hashed: bool) -> _Seen:
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
    return _Seen(frame, image.size if image else None, image_fault, label_fault, values, (image, label), bits)


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


def _pixels(split: str, seen: Sequence[_Seen], spec: DatasetSpec) -> Iterator[Finding]:
    """What is wrong with the pixels of a split."""
    yield from _faults(split, "image", [(look.image_fault, look.frame.image) for look in seen])
    yield from _forms(split, seen)
    labelled = [(look, look.frame.label) for look in seen if look.frame.label is not None]
    mixed_up = _mixed_up(split, labelled, spec)
    yield from mixed_up
    named = {file for finding in mixed_up for file in finding.files}
    labelled = [(look, path) for look, path in labelled if str(path) not in named]
    strange = {path: values for look, path in labelled if (values := _strange(look, spec))}
    if strange:
        said = ", ".join(map(str, sorted(set().union(*strange.values()))[:8]))
        yield _finding(
            "error", f"{_count(strange, 'label map')} of {split} with values that mean nothing: {said}",
            f"correct the files, or list the values in {CLASSES_FILE} if the classes are your own", list(strange),
        )  # fmt: skip
    others = [(look.label_fault, path) for look, path in labelled if path not in strange]
    yield from _faults(split, "label map", others)
    void = [path for look, path in labelled if look.values is not None and not sum(_class_pixels(look, spec)[0])]
    if void:
        kept = split == "test" and all(city in OFFICIAL_CITIES["test"] for city in {look.frame.city for look in seen})
        yield _finding(
            "note" if kept else "warning", f"{_count(void, 'label map')} of {split} in which no pixel counts",
            "Cityscapes keeps its test labels: send predictions to its server" if kept else "see what they hold",
            void,
        )  # fmt: skip
    sizes = Counter(look.size for look in seen if look.size)
    if len(sizes) > 1:
        most, _ = sizes.most_common(1)[0]
        odd = [look.frame.image for look in seen if look.size and look.size != most]
        yield _finding(
            "note", f"images of {split} have {len(sizes)} sizes, most {text_of(most)}",
            "fine for mIoU; latency is measured at the first frame's size", odd,
        )  # fmt: skip


def _forms(split: str, seen: Sequence[_Seen]) -> Iterator[Finding]:
    """Files in other forms than the plain one, which are read all the same."""
    for place, what, plain in ((0, "image", "color"), (1, "label", "grey")):
        sound = [look for look in seen if not (look.label_fault if place else look.image_fault)]
        headers = [(header, look) for look in sound if (header := look.headers[place])]
        for line in notes(what, [header for header, _ in headers], f" of {split}"):
            odd = [
                look.frame.image if what == "image" else look.frame.label
                for header, look in headers
                if header.form != plain
            ]
            yield _finding(
                "note", line, "nothing needs to be done; `zoo data convert` makes them plain", filter(None, odd)
            )


def _faults(split: str, noun: str, faults: Sequence[tuple[str, Path]]) -> Iterator[Finding]:
    """One finding for each kind of fault, numbers in it apart."""
    kinds: dict[str, list[tuple[str, Path]]] = {}
    for fault, path in faults:
        if fault:
            kinds.setdefault(re.sub(r"\d+", "", fault), []).append((fault, path))
    for of_kind in kinds.values():
        what = f"{_count(of_kind, noun)} of {split} cannot be used"
        yield _finding("error", what, of_kind[0][0], [path for _, path in of_kind])


def _known(frame: Frame, spec: DatasetSpec) -> dict[int, int]:
    """Value in a frame's label file → train id."""
    if frame.has_train_ids:
        return {value: value for value in (*range(spec.num_classes), IGNORE_INDEX)}
    return spec.label_to_train_id


def _strange(look: _Seen, spec: DatasetSpec) -> set[int]:
    """Values of a label map that mean nothing in its kind of file."""
    present = np.flatnonzero(look.values).tolist() if look.values is not None else []
    return set(present) - _known(look.frame, spec).keys()


def _class_pixels(look: _Seen, spec: DatasetSpec) -> tuple[tuple[int, ...], int]:
    """Pixels of each class, and those that count nowhere."""
    counts = np.zeros(IGNORE_INDEX + 1, np.int64)
    known = _known(look.frame, spec)
    for value, pixels in enumerate(look.values if look.values is not None else ()):
        counts[known.get(value, IGNORE_INDEX)] += pixels
    return tuple(counts[: spec.num_classes].tolist()), int(counts[IGNORE_INDEX])


def _mixed_up(split: str, labelled: Sequence[tuple[_Seen, Path]], spec: DatasetSpec) -> list[Finding]:
    """Label ids in files for train ids, or the reverse: in all files taken together, else in some of them."""
    read = [(path, look.values) for look, path in labelled if look.values is not None]
    if not read:
        return []
    if labelled[0][0].frame.has_train_ids:
        kind, other, right, wrong = "labelTrainIds", "labelIds", "train ids", "label ids"
        files = [path for path, values in read if _holds_label_ids(values, spec)]
    else:
        kind, other, right, wrong = "labelIds", "labelTrainIds", "label ids", "train ids"
        files = [path for path, _ in read]
        if not _holds_train_ids(np.sum([values for _, values in read], axis=0), spec):
            files = [
                path
                for path, values in read
                if np.count_nonzero(values) >= MIXED_UP_VALUES and _holds_train_ids(values, spec)
            ]
    if not files:
        return []
    what = f"{kind} files of {split} hold {wrong}: {len(files)} of {len(read)} read"
    remedy = f"rename them to _{other}.png" if len(files) == len(read) else f"write {right} into them as into the rest"
    return [_finding("error", what, f"{remedy}; as they are, pixels are of other classes or count nowhere", files)]


def _holds_label_ids(values: NDArray[np.int64], spec: DatasetSpec) -> bool:
    """Whether `(256,)` pixels of each value can be label ids and no train ids."""
    present = set(np.flatnonzero(values).tolist())
    return present <= spec.label_to_train_id.keys() and not present <= {*range(spec.num_classes), IGNORE_INDEX}


def _holds_train_ids(values: NDArray[np.int64], spec: DatasetSpec) -> bool:
    """Whether `(256,)` pixels of each value can be train ids and make little sense as label ids."""
    present = set(np.flatnonzero(values).tolist())
    uncounted = sum(
        values[value] for value in present if spec.label_to_train_id.get(value, IGNORE_INDEX) == IGNORE_INDEX
    )
    return present <= {*range(spec.num_classes), IGNORE_INDEX} and uncounted > MIXED_UP_SHARE * values.sum()


def _split(listing: Listing, seen: Sequence[_Seen], spec: DatasetSpec) -> Split:
    counted = [_class_pixels(look, spec) for look in seen if look.values is not None]
    return Split(
        name=listing.split,
        image_count=len(listing.images),
        label_count=len(listing.images) - len(listing.unlabelled),
        label_kind=listing.label_kind,
        city_count=len({paths[0].parent.name for paths in listing.images.values()}),
        sizes=dict(Counter(look.size for look in seen if look.size).most_common()),
        labels_read=len(counted),
        class_pixels=tuple(map(sum, zip(*(pixels for pixels, _ in counted), strict=True))) or (0,) * spec.num_classes,
        ignored_pixels=sum(ignored for _, ignored in counted),
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


def _shared(seen: dict[str, list[_Seen]]) -> Iterator[Finding]:
    trained = {look.frame.sequence for look in seen.get("train", ())} - {""}
    for split, looks in seen.items():
        shared = [look.frame for look in looks if look.frame.sequence in trained]
        if split != "train" and shared:
            names = ", ".join(sorted({frame.sequence for frame in shared})[:4])
            yield _finding(
                "warning", f"{len(shared)} of {len(looks)} frames of {split} are of sequences that train has: {names}",
                "scores are optimistic, and records say so; to mend it, keep each sequence in one split",
                [frame.image for frame in shared],
            )  # fmt: skip


def _copies(seen: dict[str, list[_Seen]]) -> Iterator[Finding]:
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
        yield _finding(
            "error", f"{_count(copies, 'image')} in more than one split, byte for byte",
            "keep each in one split: a model is scored on what it was trained on",
            [path for same in copies for _, path in same],
        )  # fmt: skip


def _near_duplicates(seen: dict[str, list[_Seen]]) -> Iterator[Finding]:
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


def _refusal(root: Path) -> Iterator[Finding]:
    """Whatever else opening it stumbles over."""
    try:
        open_dataset(root)
    except UserError as error:
        yield Finding("error", "zoo cannot open it", str(error))


def _finding(severity: Severity, what: str, advice: str, files: Iterable[Path]) -> Finding:
    return Finding(severity, what, advice, tuple(map(str, files)))


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
