import numpy as np
import pytest
from PIL import Image

from zoo.data.importers.voc import CLASSES, color_of
from zoo.data.importers.writing import import_dataset
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label

TOP = "VOCdevkit/VOC2012"
PALETTE = [color_of(value) for value in range(255)] + [(224, 224, 192)]
NAMES = {"train": ("2007_000032", "2008_000008"), "val": ("2007_000033",)}


@pytest.fixture
def voc(source):
    """Each label holds all classes and what is ignored."""
    for split, names in NAMES.items():
        source.text(f"{TOP}/ImageSets/Segmentation/{split}.txt", "\n".join(names) + "\n")
        for name in names:
            source.image(f"{TOP}/JPEGImages/{name}.jpg")
            source.label(f"{TOP}/SegmentationClass/{name}.png", [*range(21), 255], PALETTE)
    source.image(f"{TOP}/JPEGImages/2009_000001.jpg")  # of another task
    return source


def names_of(dataset):
    return {split: [frame.name for frame in dataset.frames(split)] for split in dataset.splits()}


def test_its_21_classes_are_kept(voc, tmp_path):
    imported = import_dataset("voc", voc.root, tmp_path / "out")
    assert (imported.counts, imported.classes, imported.notes) == ({"train": 2, "val": 1}, {}, ())
    dataset = open_dataset(imported.root)
    assert (dataset.name, dataset.spec.class_names) == ("voc2012", CLASSES)
    assert dataset.spec.class_colors[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert dataset.spec.class_colors[20] == (0, 64, 128)
    assert names_of(dataset) == {split: list(names) for split, names in NAMES.items()}
    for frame in dataset.frames("train"):
        assert read_label(frame, dataset.spec).ravel()[:22].tolist() == [*range(21), 255]
        assert (
            frame.image.read_bytes()
            == (voc.root / TOP / "JPEGImages" / frame.image.name.replace("_leftImg8bit", "")).read_bytes()
        )
    (line, source) = imported.said()
    assert line == "classes: its own, in classes.toml"
    assert "21 classes, 255 is ignored" in source


def test_labels_saved_as_colours_or_as_plain_values(voc, tmp_path):
    path = voc.root / TOP / "SegmentationClass" / "2007_000032.png"
    Image.open(path).convert("RGB").save(path)
    voc.label(f"{TOP}/SegmentationClass/2008_000008.png", [*range(21), 255])
    dataset = open_dataset(import_dataset("voc", voc.root, tmp_path / "out").root)
    for frame in dataset.frames("train"):
        assert read_label(frame, dataset.spec).ravel()[:22].tolist() == [*range(21), 255]


LISTS = {
    "ImageSets/Segmentation/aug.txt": "2009_000001\n2007_000033\n",
    "ImageSets/Segmentation/trainaug.txt": "2007_000032\n2008_000008\n2009_000001\n",
    "ImageSets/SegmentationAug/train_aug.txt": "/JPEGImages/2009_000001.jpg /SegmentationClassAug/2009_000001.png\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_further_annotations(voc, tmp_path, name):
    voc.text(f"{TOP}/{name}", LISTS[name])
    for stem in ("2009_000001", "2007_000032", "2007_000033"):
        voc.label(f"{TOP}/SegmentationClassAug/{stem}.png", [1])
    imported = import_dataset("voc", voc.root, tmp_path / "out")
    assert imported.notes[0].startswith(f"train has 1 image more, of {name.rpartition('/')[2]}")
    dataset = open_dataset(imported.root)
    assert names_of(dataset) == {"train": ["2007_000032", "2008_000008", "2009_000001"], "val": ["2007_000033"]}
    first, _, last = dataset.frames("train")
    assert np.unique(read_label(first, dataset.spec)).size == 22, "VOC's own annotation where there is one"
    assert np.unique(read_label(last, dataset.spec)).tolist() == [1]
    plain = import_dataset("voc", voc.root, tmp_path / "plain", variant="plain")
    assert (plain.counts, plain.notes) == ({"train": 2, "val": 1}, ())


def test_further_annotations_without_a_list(voc, tmp_path):
    voc.label(f"{TOP}/SegmentationClassAug/2009_000001.png", [1])
    imported = import_dataset("voc", voc.root, tmp_path / "out")
    assert imported.counts["train"] == 2
    assert "SegmentationClassAug is left away: no list" in imported.notes[0]


def test_a_test_split_has_no_labels(voc, tmp_path):
    voc.text(f"{TOP}/ImageSets/Segmentation/test.txt", "2009_000001\n2010_000001\n")
    dataset = open_dataset(import_dataset("voc", voc.root, tmp_path / "out").root)
    assert names_of(dataset)["test"] == ["2009_000001"]
    assert dataset.frames("test")[0].label is None


def test_what_is_wrong_is_named(voc, refused):
    voc.text(f"{TOP}/ImageSets/Segmentation/train.txt", "\n")
    refused("voc", voc.root, "has no frame to train on")
    voc.text(f"{TOP}/ImageSets/Segmentation/train.txt", "2007_000032\n")
    label = voc.label(f"{TOP}/SegmentationClass/2007_000033.png", [21])
    refused("voc", voc.root, label, "holds 21; VOC's values are 0 to 20, and 255 is ignored")
    (voc.root / TOP / "JPEGImages" / "2007_000033.jpg").unlink()
    refused("voc", voc.root, "2007_000033 is listed, and ", "2007_000033.jpg is missing (3 files are there)")
    (voc.root / TOP / "ImageSets" / "Segmentation" / "train.txt").unlink()
    refused(
        "voc",
        voc.root,
        "is no copy of Pascal VOC 2012",
        "VOC2012 has JPEGImages, SegmentationClass, and lacks ImageSets/Segmentation/train.txt",
    )
