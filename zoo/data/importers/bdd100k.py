"""BDD100K's 10,000 images with semantic labels, which are Cityscapes' train ids. Free of torch.

Yu et al., "BDD100K: a diverse driving dataset for heterogeneous multitask learning", 2020. Each image is of another
recording, and keeps its name.
"""

from __future__ import annotations

from pathlib import Path

from zoo.data.importers.plan import Kind, Pair, Plan, images_in, locate, pair_up, read_numbers
from zoo.data.spelling import Pixels
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.spec import IGNORE_INDEX

LAYOUT = (
    "images/10k/<split>/*.jpg with labels/sem_seg/masks/<split>/*.png; or seg/images/, seg/labels/ (…_train_id.png)"
)
SOURCE = "https://doc.bdd100k.com/format.html (train ids of Cityscapes, 255 is ignored)"
SPLITS = ("train", "val", "test")
_FORMS = {"present": ("images/10k", "labels/sem_seg/masks", ""), "former": ("images", "labels", "_train_id")}
"""Folder of images, folder of annotations, what an annotation's name has after its image's."""
_BY_VALUE = {**{value: value for value in range(CITYSCAPES.num_classes)}, IGNORE_INDEX: IGNORE_INDEX}


def plan(source: Path, variant: str | None) -> Plan:
    """What a folder with BDD100K holds.

    Raises:
        UserError: another layout, or an image without annotation or the reverse.
    """
    del variant
    forms = {form: (f"{images}/train", f"{labels}/train") for form, (images, labels, _) in _FORMS.items()}
    form, top = locate("BDD100K's segmentation", source, forms, LAYOUT)
    images, labels, end = _FORMS[form]
    splits = {
        split: _pairs(top / images / split, top / labels / split, end)
        for split in SPLITS
        if (top / images / split).is_dir()
    }
    classes = {name: name for name in CITYSCAPES.class_names}
    notes = ("test has no labels",) if any(pair.annotation is None for pair in splits.get("test", ())) else ()
    return Plan(splits, _decode, classes, SOURCE, label_kind="labelTrainIds", notes=notes)


KIND = Kind(plan)


def _pairs(images: Path, annotations: Path, end: str) -> list[Pair]:
    found = images_in(images, (".jpg", ".jpeg", ".png"))
    if not found:
        raise UserError(f"{images} holds no image; expected {LAYOUT}")
    labels = {
        stem.removesuffix(end): path for stem, path in images_in(annotations, (".png",)).items() if stem.endswith(end)
    }
    if not labels and images.name == "test":
        return [Pair(stem, "bdd100k", path, None) for stem, path in found.items()]
    return [Pair(image.stem, "bdd100k", image, label) for image, label in pair_up(found, labels, LAYOUT)]


def _decode(path: Path) -> tuple[Pixels, int]:
    return read_numbers(path, _BY_VALUE, "BDD100K's values are Cityscapes' train ids, 0 to 18 and 255"), 0
