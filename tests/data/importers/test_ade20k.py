import pytest

from zoo.data.importers.ade20k import CLASSES
from zoo.data.importers.writing import import_dataset
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label

TOP = "ADEChallengeData2016"


@pytest.fixture
def ade(source):
    """All 151 values over two frames' worth of pixels."""
    for folder, split in (("training", "train"), ("validation", "val")):
        for number in (1, 2):
            name = f"ADE_{split}_{number:08d}"
            source.image(f"{TOP}/images/{folder}/{name}.jpg")
            source.label(f"{TOP}/annotations/{folder}/{name}.png", range(151))
    return source


def info(names):
    rows = (f"{place} \t0.1\t10\t1\t{name} " for place, name in enumerate(names, 1))
    return "Idx\tRatio\tTrain\tVal\tName\n" + "\n".join(rows) + "\n"


def test_its_150_classes_are_kept_and_0_counts_nowhere(ade, tmp_path):
    imported = import_dataset("ade20k", ade.root, tmp_path / "out")
    assert (imported.counts, imported.notes) == ({"train": 2, "val": 2}, ())
    dataset = open_dataset(imported.root)
    assert (dataset.name, dataset.spec.num_classes) == ("ade20k", 150)
    assert dataset.spec.class_names[:3] == ("wall", "building", "sky")
    assert dataset.spec.class_names[149] == "flag"
    assert dataset.spec.class_colors[0] == (120, 120, 120)
    frame = dataset.frames("val")[0]
    assert (frame.name, frame.image.suffix) == ("ADE_val_00000001", ".jpg")
    assert read_label(frame, dataset.spec).ravel()[:151].tolist() == [255, *range(150)]


def test_classes_are_named_as_its_table_has_them(ade, tmp_path):
    names = [name for name, _ in CLASSES]
    ade.text(f"{TOP}/objectInfo150.txt", info([f"{name}, thing" for name in names]))
    assert import_dataset("ade20k", ade.root, tmp_path / "same").notes == ()
    names[89] = "television receiver"
    ade.text(f"{TOP}/objectInfo150.txt", info([f"{name};thing" for name in names]))
    imported = import_dataset("ade20k", ade.root, tmp_path / "out")
    assert imported.notes == (
        "classes are named as in objectInfo150.txt, such as 'television receiver' in place of 'television'",
    )
    assert open_dataset(imported.root).spec.class_names == tuple(names)


def test_what_is_wrong_is_named(ade, refused):
    ade.text(f"{TOP}/objectInfo150.txt", info(["wall", "sky"]))
    refused("ade20k", ade.root, "objectInfo150.txt names 2 classes; expected 150")
    (ade.root / TOP / "objectInfo150.txt").unlink()
    label = ade.label(f"{TOP}/annotations/validation/ADE_val_00000002.png", [151])
    refused("ade20k", ade.root, label, "holds 151; ADE20K's values are 0 (none) to 150")
    label.unlink()
    refused("ade20k", ade.root, "ADE_val_00000002.jpg has no annotation of the same name (2 images, 1 annotation")
    (ade.root / TOP / "annotations").rename(ade.root / TOP / "labels")
    refused(
        "ade20k",
        ade.root / TOP,
        "has images/training, images/validation, and lacks annotations/training, annotations/validation; expected",
    )
    refused("ade20k", ade.root, "has nothing for --variant", variant="v2.0")
