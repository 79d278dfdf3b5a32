import json

import pytest

from zoo.data.importers.vistas import CLASSES
from zoo.data.importers.writing import import_dataset
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label
from zoo.labels import LABELS

OLD = {
    "animal--bird": "unlabeled",
    "construction--barrier--curb": "sidewalk",
    "construction--flat--road": "road",
    "marking--crosswalk-zebra": "unlabeled",
    "marking--general": "road",
    "human--rider--motorcyclist": "rider",
    "object--vehicle--on-rails": "train",
    "void--unlabeled": "unlabeled",
}
NEW = {
    "construction--flat--road": "road",
    "human--person--individual": "person",
    "human--person--person-group": "unlabeled",
    "marking--discrete--ambiguous": "unlabeled",
    "marking--discrete--arrow--left": "road",
    "marking-only--discrete--crosswalk-zebra": "unlabeled",
    "object--traffic-light--general-upright": "traffic light",
    "object--traffic-light--ambiguous": "unlabeled",
    "object--traffic-sign--back": "unlabeled",
}
NAMES = {"training": ("_1Gn_xkw7sa_i9GU4mkxxQ", "0035fkbjWljhaftpVM37-g"), "validation": ("-BJOKpXgQxyyz",)}


def config(classes, **more):
    labels = [{"name": name, "readable": name.title(), "color": [0, 0, 0], "evaluate": True} for name in classes]
    return json.dumps({"labels": labels, **more})


def add(source, labels, classes):
    for folder, names in NAMES.items():
        for name in names:
            source.image(f"{folder}/images/{name}.jpg")
            source.label(f"{folder}/{labels}/{name}.png", range(len(classes)), [(k, k, k) for k in range(256)])


@pytest.fixture
def old(source):
    source.text("config.json", config(OLD, version="1.2"))
    add(source, "labels", OLD)
    source.image("testing/images/aaa.jpg")
    return source


@pytest.fixture
def both(source):
    for version, classes in (("v1.2", OLD), ("v2.0", NEW)):
        source.text(f"config_{version}.json", config(classes))
        add(source, f"{version}/labels", classes)
    return source


def labels_of(dataset):
    train_ids = read_label(dataset.frames("val")[0], dataset.spec).ravel()
    return [dataset.spec.class_names[value] if value != 255 else "unlabeled" for value in train_ids]


def test_every_class_is_one_of_cityscapes():
    assert set(CLASSES.values()) == {label.name for label in LABELS if not label.ignore_in_eval}


def test_the_first_version(old, tmp_path):
    imported = import_dataset("vistas", old.root, tmp_path / "out")
    assert imported.counts == {"train": 2, "val": 1, "test": 1}
    assert imported.classes == OLD
    assert imported.notes == ("labels are those of v1.2", "test has no labels")
    dataset = open_dataset(imported.root)
    assert labels_of(dataset)[: len(OLD)] == list(OLD.values())
    assert sorted(frame.name for frame in dataset.frames("train")) == sorted(NAMES["training"])
    (line, source, *_) = imported.said()
    assert "construction--flat--road, marking--general → road" in line
    assert "map to Cityscapes' 19 classes of https://" in source


def test_the_newest_version_unless_another_is_asked_for(both, tmp_path):
    newest = import_dataset("vistas", both.root.parent, tmp_path / "new")
    assert newest.classes == NEW
    assert newest.notes == ("labels are those of v2.0; --variant v1.2 takes the older ones",)
    assert labels_of(open_dataset(newest.root))[: len(NEW)] == list(NEW.values())
    first = import_dataset("vistas", both.root, tmp_path / "old", variant="v1.2")
    assert (first.classes, first.notes) == (OLD, ("labels are those of v1.2",))
    assert labels_of(open_dataset(first.root))[: len(OLD)] == list(OLD.values())


def test_what_is_wrong_is_named(old, refused):
    refused("vistas", old.root, "holds Vistas v1.2, not v2.0; leave --variant away", variant="v2.0")
    label = old.label("validation/labels/-BJOKpXgQxyyz.png", [8])
    refused("vistas", old.root, label, "holds 8; Vistas v1.2 has the 8 classes of config.json, 0 to 7")
    old.text("config.json", '{"labels": [{"id": 3}]}')
    refused("vistas", old.root, "config.json is no config of Vistas, which has a list 'labels' with a 'name' each")
    old.text("config.json", '{"labels": [{"name": "cat"}]}')
    refused("vistas", old.root, "lists 1 labels, such as ['cat']")
    old.text("config.json", "{")
    refused("vistas", old.root, "config.json cannot be read as JSON")
    (old.root / "config.json").unlink()
    refused(
        "vistas",
        old.root,
        "is no copy of Mapillary Vistas",
        "has training/images, training/labels, and lacks config.json; expected",
    )
