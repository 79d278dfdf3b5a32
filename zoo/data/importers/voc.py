"""Pascal VOC 2012, its 21 classes kept as classes of their own. Free of torch.

Everingham, Van Gool, Williams, Winn, Zisserman, "The Pascal Visual Object Classes (VOC) Challenge", 2010; the further
annotations (`SegmentationClassAug`): Hariharan et al., "Semantic contours from inverse detectors", 2011. Images are no
frames of recordings, and keep their names.
"""

from __future__ import annotations

from pathlib import Path

from zoo.data.importers.plan import (
    Kind,
    Pair,
    Plan,
    classes_text,
    images_in,
    is_in_colors,
    listed_names,
    locate,
    read_colors,
    read_numbers,
)
from zoo.data.spelling import Color, Pixels
from zoo.errors import UserError, counted

CLASSES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""In the order of the annotations' values, 0 to 20."""
IGNORED = 255
BORDER: Color = (224, 224, 192)
"""The colour of what is ignored: borders, and objects that are hard to tell."""
LAYOUT = (
    "JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/ with train.txt and val.txt, as in VOCdevkit/VOC2012"
)
SOURCE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (21 classes, 255 is ignored)"
_FURTHER_LISTS = ("aug.txt", "trainaug.txt", "train_aug.txt")
_WHAT = "VOC's values are 0 to 20, and 255 is ignored"


def color_of(value: int) -> Color:
    """The colour of a value in VOC's palette: bits 0, 3, 6 … are red's from the highest down, 1, 4, 7 … green's."""
    red, green, blue = (sum((value >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3))
    return red, green, blue


_BY_VALUE = {**{value: value for value in range(len(CLASSES))}, IGNORED: IGNORED}
_BY_COLOR = {**{color_of(value): value for value in range(len(CLASSES))}, BORDER: IGNORED}


def plan(source: Path, variant: str | None) -> Plan:
    """What a folder with VOC 2012 holds; variant `plain` leaves the further annotations away where they are there.

    Raises:
        UserError: another layout, or a listed image or annotation that is not there.
    """
    marks = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/train.txt")
    _, top = locate("Pascal VOC 2012", source, {"VOC2012": marks}, LAYOUT)
    images, lists = images_in(top / "JPEGImages"), top / "ImageSets" / "Segmentation"
    annotations = images_in(top / "SegmentationClass", (".png",))
    names = {
        split: listed_names(lists / f"{split}.txt") for split in ("train", "val") if (lists / f"{split}.txt").is_file()
    }
    notes = []
    further = images_in(top / "SegmentationClassAug", (".png",))
    found = [
        folder / name
        for folder in (lists, top / "ImageSets" / "SegmentationAug")
        for name in _FURTHER_LISTS
        if (folder / name).is_file()
    ]
    if further and found and variant != "plain":
        held = set(names.get("val", ()))
        more = [name for path in found for name in listed_names(path) if name not in held]
        added = list(dict.fromkeys(name for name in more if name not in set(names["train"])))
        names["train"] = [*names["train"], *added]
        annotations = further | annotations
        beyond = counted(len(added), "image")
        notes.append(
            f"train has {beyond} more, of {found[0].name} with SegmentationClassAug (none of val); "
            "--variant plain leaves them away"
        )
    elif further and variant != "plain":
        notes.append(f"SegmentationClassAug is left away: no list says which to train on ({', '.join(_FURTHER_LISTS)})")
    splits = {
        split: [_pair(name, images, annotations, top) for name in dict.fromkeys(listed)]
        for split, listed in names.items()
    }
    if (lists / "test.txt").is_file() and (
        test := [name for name in listed_names(lists / "test.txt") if name in images]
    ):
        splits["test"] = [Pair(name, "voc", images[name], None) for name in test]
    rows = ((name, color_of(value), value) for value, name in enumerate(CLASSES))
    text = classes_text("voc2012", SOURCE, (IGNORED,), rows)
    return Plan(splits, _decode, {}, SOURCE, classes_file=text, notes=tuple(notes))


KIND = Kind(plan, variants=("plain",))


def _pair(name: str, images: dict[str, Path], annotations: dict[str, Path], top: Path) -> Pair:
    for files, folder, end in ((images, "JPEGImages", "jpg"), (annotations, "SegmentationClass", "png")):
        if name not in files:
            raise UserError(
                f"{name} is listed, and {top / folder / name}.{end} is missing ({len(files)} files are there); unpack "
                "the whole archive"
            )
    return Pair(name, "voc", images[name], annotations[name])


def _decode(path: Path) -> tuple[Pixels, int]:
    """Palette entries as published, plain values, or the palette's colours."""
    if is_in_colors(path):
        return read_colors(path, _BY_COLOR, IGNORED, "VOC's colours are those of its palette")
    return read_numbers(path, _BY_VALUE, _WHAT), 0
