import pytest

from zoo.data.importers.writing import import_dataset
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label
from zoo.labels import CITYSCAPES

NAMES = {"train": ("0004a4c0-d4dff0ad", "00054602-3bf57337"), "val": ("7d06fefd-f7be05a6",)}
FORMS = {
    "present": ("bdd100k/images/10k", "bdd100k/labels/sem_seg/masks", ""),
    "former": ("bdd100k/seg/images", "bdd100k/seg/labels", "_train_id"),
}


@pytest.fixture(params=FORMS)
def bdd(request, source):
    images, labels, end = FORMS[request.param]
    for split, names in NAMES.items():
        for name in names:
            source.image(f"{images}/{split}/{name}.jpg")
            source.label(f"{labels}/{split}/{name}{end}.png", [*range(19), 255])
    source.image(f"{images}/test/ff3da814-c3463a43.jpg")
    source.last = f"{labels}/val/{NAMES['val'][0]}{end}.png"
    return source


def test_its_train_ids_are_those_of_cityscapes(bdd, tmp_path):
    imported = import_dataset("bdd100k", bdd.root, tmp_path / "out")
    assert (imported.counts, imported.notes) == ({"train": 2, "val": 1, "test": 1}, ("test has no labels",))
    assert imported.classes == {name: name for name in CITYSCAPES.class_names}
    dataset = open_dataset(imported.root)
    assert dataset.spec == CITYSCAPES
    assert [frame.name for frame in dataset.frames("train")] == list(NAMES["train"])
    for frame in dataset.frames("train"):
        assert frame.has_train_ids
        assert read_label(frame, dataset.spec).ravel()[:20].tolist() == [*range(19), 255]
    assert dataset.frames("test")[0].label is None
    assert dataset.shared_sequences("val") is None, "its names tell no sequences"


def test_what_is_wrong_is_named(bdd, refused):
    label = bdd.label(bdd.last, [19])
    refused("bdd100k", bdd.root, label, "holds 19; BDD100K's values are Cityscapes' train ids, 0 to 18 and 255")
    label.unlink()
    refused("bdd100k", bdd.root, "7d06fefd-f7be05a6.jpg has no annotation of the same name (1 image, 0 annotations)")
    refused("bdd100k", bdd.root / "bdd100k" / "nothing", "no folder", "that BDD100K's segmentation was unpacked into")
