"""Where below a folder its dataset is and how it is named: the Cityscapes layout, and those one step away from it.

What can be meant in one way alone is taken, with a note; of the rest, what is there is named and what to do is said.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.data.classes import CLASSES_FILE, ClassesFile, read_classes
from zoo.data.listing import Listing, flaw, folders, list_layout, list_named, place_below, walk
from zoo.data.naming import (
    CITYSCAPES_NAMES,
    IMAGE_SUFFIXES,
    IMAGES,
    LABEL_SUFFIX,
    LABELS,
    LAYOUT,
    Naming,
    cityscapes_names,
    known_split,
)
from zoo.errors import UserError, counted, listed

_IMAGE = re.compile(r".+?_(leftImg8bit(?:_(?:foggy|rain)[\w.]*)?|rgb_anon)$")
_LABEL = re.compile(r".+_(gtFine|gtCoarse|gt)_label(?:Train)?Ids$")
_LABELS_OF = {IMAGES: (LABELS, "gtCoarse"), "rgb_anon": ("gt",)}
"""How images end → how their label maps end, the better ones first."""
_TOP = re.compile(r"leftImg8bit|rgb_anon|gtFine|gtCoarse|gt(?:_|$)", re.IGNORECASE)
"""How the folders of images and of label maps begin, and those of the archives they come in."""
_COARSE = 'label = "*_gtCoarse_labelIds.png"'
_DEPTH = 2
"""How many folders down whole datasets are searched."""

_Tops = Mapping[Path, set[str]]
"""Folder of images or labels → the splits it has."""


@dataclass(frozen=True)
class Survey:
    """Where a dataset is, and what its folders hold."""

    root: Path
    own: ClassesFile | None
    """What its `classes.toml` says, where it has one that can be read."""
    mistake: str
    """Why its `classes.toml` cannot be read, empty where it can."""
    naming: Naming
    listings: tuple[Listing, ...]
    """By split."""
    notes: tuple[str, ...]
    """How the folder was understood, where that is not plain."""


def survey(given: Path) -> Survey:
    """Find the dataset that a folder is, holds or is a part of, and list it; no image is opened.

    Raises:
        UserError: no such folder, no dataset there, more than one, or one that may be read in two ways.
    """
    root, notes = _find(given)
    own, mistake = _own_file(root)
    naming = own.naming if own else None
    if naming is None and not ((root / IMAGES).is_dir() and os.path.lexists(root / LABELS)):
        known = _recognise(root)
        if known is not None:
            root, naming, *more = known
            notes += more
            own, mistake = _own_file(root)
            naming = own.naming if own and own.naming else naming
    if naming is None:
        if not (root / IMAGES).is_dir():
            raise UserError(_unknown(root))
        return Survey(root, own, mistake, CITYSCAPES_NAMES, tuple(list_layout(root)), (*notes, *_left_out(root)))
    listings = list_named(root, naming, walk(root))
    placed = [listing for listing in listings if listing.split]
    if not placed:
        raise UserError(_unplaced(root, naming, listings))
    stray = sum(len(listing.images) for listing in listings if not listing.split)
    if stray:
        notes.append(f"{stray} images in {root} lie in no folder train, val or test and are left out")
    return Survey(root, own, mistake, naming, tuple(placed), tuple(notes))


def _own_file(root: Path) -> tuple[ClassesFile | None, str]:
    """What `classes.toml` says, and why it cannot be read."""
    path = root / CLASSES_FILE
    if not os.path.lexists(path):  # a link that leads nowhere is no reason to take Cityscapes' classes
        return None, ""
    try:
        return read_classes(path), ""
    except UserError as error:
        return None, str(error)


# Another folder than the one that was given


def _find(given: Path) -> tuple[Path, list[str]]:
    """The top folder of the dataset, and a note where that is another one than was given."""
    if not given.exists():
        raise UserError(f"no dataset folder {given}; give --data or CITYSCAPES_DATASET a folder that holds {LAYOUT}")
    if not given.is_dir():
        raise UserError(f"{given} is a file; a dataset is a folder that holds {LAYOUT}")
    if not any(given.iterdir()):
        raise UserError(f"dataset folder {given} is empty; it should hold {LAYOUT}")
    images = given / IMAGES
    if os.path.lexists(images) and not images.is_dir():
        raise UserError(f"{images} {flaw(images).get(images, 'is a file')}; a dataset folder holds {LAYOUT}")
    if images.is_dir() or os.path.lexists(given / CLASSES_FILE):
        return given, []
    for parent in given.parents[:3]:
        if top := _dataset_at(parent):
            if given.parent == parent == top and _TOP.match(given.name):
                if line := _unread(given, top):
                    raise UserError(f"{given} is not what {top} is read from; have it read by `{written(top, line)}`")
                return top, [f"{given} is a part of the dataset {top}, which is read as a whole"]
            raise UserError(f"{given} lies inside a dataset; give its top folder: --data {shlex.quote(str(top))}")
    inside = _datasets_in(given)
    if len(inside) > 1:
        flags = " or ".join(f"--data {shlex.quote(str(top))}" for top in inside[:4])
        more = f" and {len(inside) - 4} more" if len(inside) > 4 else ""
        raise UserError(f"{given} holds {len(inside)} datasets; give one of them: {flags}{more}")
    if inside:
        return inside[0], [f"{given} holds one dataset, {inside[0]}, which is read"]
    return given, []


def _dataset_at(folder: Path) -> Path | None:
    """The dataset whose images lie right below a folder: the folder, or the one above that has the labels."""
    for images, labels in ((IMAGES, LABELS), ("rgb_anon", "gt")):
        if (folder / images).is_dir():
            has_labels = os.path.lexists(folder / labels) or (folder / "gtCoarse").is_dir()
            if not has_labels and any(not _is_whole(found.parent) for found in _beside(folder, labels)):
                return folder.parent
            if images == IMAGES or (folder / labels).is_dir():
                return folder
    return None


def _unread(part: Path, top: Path) -> str:
    """The line that names the files of a folder beside those that the layout reads; empty where it is one of those."""
    if part.name in (IMAGES, LABELS) or not _is_whole(top) or os.path.lexists(top / CLASSES_FILE):
        return ""
    named = [(key, path, match) for path in walk(part) for key, match in _matches(path)]
    return next((f'{key} = "*_{path.name[match.start(1) :]}"' for key, path, match in reversed(named)), "")


def _datasets_in(folder: Path) -> list[Path]:
    """Whole datasets below a folder, the nearest ones."""
    level = [folder]
    for _ in range(_DEPTH):
        level = [inner for outer in level for inner in _readable_folders(outer)]
        if found := [inner for inner in level if _is_whole(inner)]:
            return found
    return []


def _is_whole(folder: Path) -> bool:
    return os.path.lexists(folder / CLASSES_FILE) or all((folder / top).is_dir() for top in (IMAGES, LABELS))


def _readable_folders(folder: Path) -> list[Path]:
    try:
        return folders(folder, {})
    except OSError:
        return []


def _beside(folder: Path, name: str) -> list[Path]:
    """Folders of this name in the folders beside a folder."""
    return [other / name for other in _readable_folders(folder.parent) if other != folder and (other / name).is_dir()]


def labels_beside(root: Path) -> str:
    """Where labels that a folder lacks may be, and what brings them together; empty where none are near."""
    if (root / "gtCoarse").is_dir():
        return f"; those of gtCoarse are taken by `{written(root, _COARSE)}`"
    others = [path for path in walk(root / LABELS) if path.suffix != LABEL_SUFFIX and dict(_matches(path)).get("label")]
    if others:
        line = f'label = "*_{LABELS}_{others[0].name.rpartition("_")[2]}"'
        return f"; those in {others[0].suffix} files are taken by `{written(root, line)}`"
    found = [] if os.path.lexists(root / LABELS) else _beside(root, LABELS)
    if len(found) != 1:
        return ""
    if (found[0].parent / IMAGES).is_dir():
        return f"; if {found[0]} has them: `{shlex.join(['ln', '-s', str(found[0]), str(root / LABELS)])}`"
    return f"; if {found[0]} has them: --data {shlex.quote(str(root.parent))}"


# Files that are named as in datasets that are known


def _recognise(root: Path) -> tuple[Path, Naming, str] | None:
    """Top folder, naming and a note for a dataset whose files bear known names; `None` where none does.

    Raises:
        UserError: images or labels alone, or more than one way to pair them.
    """
    images: dict[str, dict[Path, set[str]]] = {}
    labels: dict[str, dict[Path, set[str]]] = {}
    extensions: dict[str, str] = {}
    for path in walk(root):
        for key, match in _matches(path):
            top, split = _top_of(root, path)
            (images if key == "image" else labels).setdefault(match[1], {}).setdefault(top, set()).add(split)
            extensions.setdefault(match[1], path.suffix[1:])
    if not images and not labels:
        return None
    kinds = {next(known for known in _LABELS_OF if end.startswith(known)) for end in images}
    if not images or not labels:
        if (root / IMAGES).is_dir():
            return None  # splits without labels are no mistake
        raise UserError(_half(root, images, labels))
    if len(kinds) > 1:
        tops = list(dict.fromkeys(str(next(iter(images[end]))) for end in sorted(images)))
        raise UserError(f"{root} holds more than one dataset ({', '.join(tops[:4])}); give --data the folder of one")
    (kind,) = kinds
    image_end = kind if kind in images else next(iter(images))
    if kind not in images and len(images) > 1:
        raise UserError(_choice(root, images, extensions))
    label_end = next((end for end in _LABELS_OF[kind] if end in labels), "")
    if not label_end:
        raise UserError(_half(root, images, {}))
    _require_one_each(root, "images", images[image_end])
    _require_one_each(root, "labels", labels[label_end])
    places = [*images[image_end], *labels[label_end]]
    top = Path(os.path.commonpath([place if place == root else place.parent for place in places]))
    naming = cityscapes_names(
        f"_{image_end}",
        f"_{label_end}",
        image_folder=_shared_name(root, images[image_end]),
        label_folder=_shared_name(root, labels[label_end]),
    )
    note = (
        f"{top} is not in Cityscapes' own layout; read are the images *_{image_end} of {_said(images[image_end])} with "
        f"the labels *_{label_end} of {_said(labels[label_end])}"
    )
    others = [end for end in (*images, *labels) if end not in (image_end, label_end)]
    return top, naming, note + (f", and not {', '.join(others)}" if others else "")


def _matches(path: Path) -> list[tuple[str, re.Match[str]]]:
    """What a file may be by its name, `"image"` or `"label"`, with how that ends in group 1."""
    kinds = (("image", _IMAGE), ("label", _LABEL)) if path.suffix.lower() in IMAGE_SUFFIXES else ()
    return [(key, match) for key, pattern in kinds if (match := pattern.match(path.stem))]


def _top_of(root: Path, path: Path) -> tuple[Path, str]:
    """The folder of images or labels that a file is in, above its split, and the split."""
    parts = path.relative_to(root).parts[:-1]
    named = [position for position, part in enumerate(parts) if _TOP.match(part)]
    if named:
        split, _ = place_below(parts, parts[named[-1]])
        return root.joinpath(*parts[: named[-1] + 1]), split
    position = next((position for position, part in enumerate(parts) if known_split(part)), len(parts))
    return root.joinpath(*parts[:position]), known_split(parts[position]) if position < len(parts) else ""


def _require_one_each(root: Path, what: str, tops: _Tops) -> None:
    """Refuse two folders with the same split."""
    owners: dict[str, Path] = {}
    for top, splits in tops.items():
        for split in sorted(splits):
            if owners.setdefault(split, top) != top:
                raise UserError(
                    f"{root} holds {what} of {split or 'no split'} twice, in {owners[split]} and {top}; give --data "
                    "the folder of one dataset"
                )


def _shared_name(root: Path, tops: Iterable[Path]) -> str:
    names = {top.name for top in tops if top != root}
    return names.pop() if len(names) == 1 else ""


def _said(tops: Iterable[Path]) -> str:
    return " and ".join(map(str, tops))


def _choice(root: Path, images: Mapping[str, object], extensions: Mapping[str, str]) -> str:
    """What to say of a frame that has several images, such as Foggy Cityscapes' three densities of fog."""
    ends = sorted(images)
    line = f'image = "*_{ends[-1]}.{extensions[ends[-1]]}"'
    shown = listed(ends, 4)
    return f"{root} holds {len(ends)} images of each frame ({shown}); choose one, such as with `{written(root, line)}`"


def written(root: Path, *lines: str) -> str:
    """The command that writes these lines into a dataset's `classes.toml`, before what it holds already."""
    file, new = (shlex.quote(str(root / name)) for name in (CLASSES_FILE, f"{CLASSES_FILE}.new"))
    command = f"printf '%s\\n' {' '.join(map(shlex.quote, lines))}"
    if os.path.lexists(root / CLASSES_FILE):
        return f"{{ {command}; cat {file}; }} > {new} && mv {new} {file}"
    return f"{command} > {file}"


def _half(root: Path, images: Mapping[str, _Tops], labels: Mapping[str, _Tops]) -> str:
    """What to say of images without labels, or of labels without images."""
    have, lack = ("labels", "images") if labels and not images else ("images", "labels")
    end, tops = next(iter((labels if have == "labels" else images).items()))
    if have == "labels":
        wanted = next(known for known, ends in _LABELS_OF.items() if end in ends)
    else:
        wanted = _LABELS_OF[next(known for known in _LABELS_OF if end.startswith(known))][0]
    said = f"{root} holds {have} alone (*_{end} in {_said(tops)}) and no {lack} named *_{wanted}*"
    target = next(iter(tops)).parent if next(iter(tops)) != root else root
    found = _beside(root, wanted)
    siblings = [folder for folder in _readable_folders(root.parent) if folder.name.lower().startswith(wanted.lower())]
    if siblings or (len(found) == 1 and not _is_whole(found[0].parent)):
        return f"{said}; those are beside it: --data {shlex.quote(str(root.parent))}"
    source = shlex.quote(str(found[0])) if len(found) == 1 else f"FOLDER/{wanted}"
    archive = f"unpack the archive with {wanted} there, or " if not found else ""
    return f"{said}; {archive}link them: `ln -s {source} {shlex.quote(str(target / wanted))}`"


# What else is there


def _left_out(root: Path) -> list[str]:
    """What lies beside the images and labels of the layout, and how it would be read."""
    return [
        f"{IMAGES} is read and {folder.name} beside it is not; image = '*_….png' in {CLASSES_FILE} names its files"
        for folder in _readable_folders(root)
        if re.match(rf"{IMAGES}_(foggy|rain)", folder.name)
    ]


def _unplaced(root: Path, naming: Naming, listings: Sequence[Listing]) -> str:
    """What to say where no image of a split is named as `classes.toml` says."""
    pattern = naming.images[0]
    asked = f"image = '{pattern.before}*{pattern.after}'" + (
        f" with image_folder = '{naming.image_folder}'" if naming.image_folder else ""
    )
    if listings:
        count = sum(len(listing.images) for listing in listings)
        return (
            f"{counted(count, 'image')} in {root} named as {asked} says, but in no folder train, val or test; put them "
            "into folders of these names, their labels likewise"
        )
    return f"no file in {root} is named as {asked} says ({root / CLASSES_FILE}); {_images_there(root)}"


def _unknown(root: Path) -> str:
    return (
        f"{root} has no folder {IMAGES}; a dataset folder holds {LAYOUT}. {_images_there(root)}; other names than "
        f"Cityscapes' are given in {root / CLASSES_FILE}, such as image = '*.jpg', label = '*_labels.png'"
    )


def _images_there(root: Path) -> str:
    """The images in a folder in words, by folder and extension."""
    found: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for path in walk(root):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            place = path.relative_to(root)
            key = (place.parts[0] if len(place.parts) > 1 else "", path.suffix)
            found[key] += 1
            first.setdefault(key, place.as_posix())
    if not found:
        return "It holds no image"
    said = [f"{count} {key[1]} files such as {first[key]}" for key, count in found.most_common(3)]
    return f"It holds {', '.join(said)}"
