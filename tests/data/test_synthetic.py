import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from zoo.data import synthetic
from zoo.data.layout import open_dataset
from zoo.data.reading import read_image, read_label
from zoo.data.street.scene import draw
from zoo.data.synthetic import embedded, write_dataset
from zoo.errors import UserError
from zoo.labels import LABELS

PIXELS_SHA256 = "4228df331aff3700359a274bcd1a9e807e766256f500b7dcde9b8522acf3a003"
"""Of all decoded images, label maps and instance maps of the embedded set; a change of it needs a new `VERSION`."""

SMALL = {"image_size": (64, 128), "train_count": 3, "val_count": 2}


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return open_dataset(embedded(tmp_path_factory.mktemp("cache")))


def test_embedded_pixels_are_the_same_on_every_machine(default):
    digest = hashlib.sha256()
    for split in ("train", "val"):
        for frame in default.frames(split):
            for path in (frame.image, frame.label, frame.instances):
                with Image.open(path) as image:
                    pixels = np.asarray(image)
                digest.update(pixels.astype("<u2" if pixels.dtype.itemsize == 2 else "u1").tobytes())
    assert digest.hexdigest() == PIXELS_SHA256


def test_every_class_has_a_share_in_both_splits(default):
    for split, count in (("train", 48), ("val", 16)):
        counts = np.zeros(256, np.int64)
        assert len(default.frames(split)) == count
        for frame in default.frames(split):
            label = read_label(frame, default.spec)
            assert label.shape == (256, 512)
            counts += np.bincount(label.ravel(), minlength=256)
        shares = counts / counts.sum()
        assert shares[:19].min() >= 0.001, dict(zip(default.spec.class_names, shares, strict=False))
        assert 0.005 < shares[255] < 0.1


def test_embedded_set_is_named_synthetic_and_has_no_shared_city(default):
    assert default.name == "synthetic"
    assert default.synthetic
    cities = {split: {frame.city for frame in default.frames(split)} for split in ("train", "val")}
    assert cities == {"train": {"synth01", "synth02", "synth03"}, "val": {"synth04"}}


def test_instances_follow_the_official_encoding(default):
    has_instances = {label.id for label in LABELS if label.has_instances}
    several = 0
    for frame in default.frames("val"):
        with Image.open(frame.label) as label, Image.open(frame.instances) as instances:
            ids, objects = np.asarray(label), np.asarray(instances).astype(int)
        single = ~np.isin(ids, list(has_instances))
        assert (objects[single] == ids[single]).all()
        assert (objects[~single] // 1000 == ids[~single]).all()
        several += len(np.unique(objects[ids == 26])) > 1
    assert several > 8


def test_colour_does_not_give_the_class_away(default):
    """A table from coarse colour to class, made on train, is far from right on val."""
    votes = np.zeros((4096, 20), np.int64)

    def colours_and_classes(split):
        for frame in default.frames(split):
            coarse = read_image(frame.image).astype(int) >> 4
            yield (coarse @ [256, 16, 1]).ravel(), np.minimum(read_label(frame, default.spec), 19).ravel()

    for colour, truth in colours_and_classes("train"):
        votes += np.bincount(colour * 20 + truth, minlength=votes.size).reshape(votes.shape)
    table = votes[:, :19].argmax(axis=1)
    right = total = 0
    for colour, truth in colours_and_classes("val"):
        counted = truth < 19
        right += (table[colour] == truth)[counted].sum()
        total += counted.sum()
    assert 0.3 < right / total < 0.7


def test_same_scene_at_other_sizes():
    small, large = draw((64, 128), seed=0, number=5), draw((256, 512), seed=0, number=5)
    assert (small.label_ids == large.label_ids[2::4, 2::4]).mean() > 0.85


@pytest.mark.parametrize("size", [(32, 32), (33, 97), (200, 60), (360, 480)])
def test_any_size_can_be_drawn(size):
    for number in range(3):
        scene = draw(size, seed=9, number=number)
        assert scene.image.shape == (*size, 3)
        assert (scene.image.dtype, scene.label_ids.dtype, scene.instance_ids.dtype) == (np.uint8, np.uint8, np.uint16)
        assert scene.label_ids.shape == scene.instance_ids.shape == size
        assert len(np.unique(scene.label_ids)) >= 4


def test_any_counts_can_be_written(tmp_path):
    root = write_dataset(tmp_path / "set", image_size=(32, 64), train_count=18, val_count=2, test_count=1, seed=3)
    dataset = open_dataset(root)
    assert {split: len(dataset.frames(split)) for split in dataset.splits()} == {"train": 18, "val": 2, "test": 1}
    names = [frame.name for split in dataset.splits() for frame in dataset.frames(split)]
    assert len(set(names)) == 21
    other = open_dataset(write_dataset(tmp_path / "other", image_size=(32, 64), train_count=18, val_count=2, seed=4))
    assert dataset.fingerprint("train") != other.fingerprint("train")


def test_fingerprint_does_not_depend_on_compression(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / "a", **SMALL))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = open_dataset(tmp_path / "b")
    for frame in copy.frames("val"):
        for path in (frame.image, frame.label):
            Image.open(path).save(path, compress_level=0)
    assert copy.fingerprint() == dataset.fingerprint()
    label = copy.frames("val")[0].label
    Image.fromarray(np.zeros((64, 128), np.uint8)).save(label)
    assert copy.fingerprint("val") != dataset.fingerprint("val")
    assert copy.fingerprint("train") == dataset.fingerprint("train")


def test_another_set_and_foreign_files_are_kept(tmp_path):
    write_dataset(tmp_path / "set", **SMALL)
    write_dataset(tmp_path / "set", **SMALL)
    with pytest.raises(UserError, match="holds another synthetic set already"):
        write_dataset(tmp_path / "set", **{**SMALL, "train_count": 1})
    assert len(open_dataset(tmp_path / "set").frames("train")) == SMALL["train_count"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(UserError, match="holds files zoo did not write"):
        write_dataset(tmp_path / "mine", **SMALL)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
    with pytest.raises(UserError, match="is a file"):
        write_dataset(tmp_path / "mine" / "notes.txt", **SMALL)


@pytest.mark.parametrize(
    "change", [{"image_size": (8, 8)}, {"train_count": -1}, {"train_count": 0, "val_count": 0}, {"seed": -1}]
)
def test_numbers_out_of_range_are_refused(tmp_path, change):
    with pytest.raises(UserError):
        write_dataset(tmp_path / "set", **{**SMALL, **change})
    assert not (tmp_path / "set").exists()


def test_unfinished_set_is_refused_and_can_be_drawn_anew(tmp_path, monkeypatch):
    def full_disk(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(synthetic, "_write_frame", full_disk)
        with pytest.raises(UserError, match="No space left on device"):
            write_dataset(tmp_path / "set", **SMALL)
    assert json.loads((tmp_path / "set" / "zoo-dataset.json").read_text())["complete"] is False
    write_dataset(tmp_path / "set", **SMALL)
    (frame,) = (frame for frame in open_dataset(tmp_path / "set").frames("val")[:1])
    frame.image.unlink()
    with pytest.raises(UserError, match="not whole"):
        open_dataset(tmp_path / "set")
    (tmp_path / "set" / "zoo-dataset.json").write_text("{}")
    with pytest.raises(UserError, match="damaged"):
        open_dataset(tmp_path / "set")


def test_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the synthetic set"):
        embedded(tmp_path / "file" / "cache")


def test_two_processes_may_draw_at_once(tmp_path):
    code = (
        "import sys, pathlib; from zoo.data import synthetic as s; real = s.write_dataset; "
        "s.write_dataset = lambda root: real(root, image_size=(64, 128), train_count=3, val_count=2); "
        "s.embedded(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path], env=environment) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(open_dataset(embedded(tmp_path)).frames("train")) == 3
    assert [path.name for path in tmp_path.glob("[!.]*")] == [f"synthetic-v{synthetic.VERSION}"]
    assert not list(tmp_path.glob(".zoo-draft-*"))
