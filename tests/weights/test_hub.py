"""The weights of a hub's model: found by every way of asking, matched to the dataset's classes by name."""

import json
from types import SimpleNamespace

import pytest

from tests.hubs import WORDS
from zoo.catalog import find
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.hub import models
from zoo.labels import CITYSCAPES
from zoo.spec import DatasetSpec
from zoo.weights import hub
from zoo.weights.asked import AUTO, RANDOM, Asked, knows_itself
from zoo.weights.resolve import resolve, resolve_start


@pytest.fixture(autouse=True)
def _transformers(monkeypatch):
    monkeypatch.setattr(models, "package_version", lambda _package: "5")
    monkeypatch.setattr(hub, "frame_size", lambda *_: (512, 1024))


@pytest.fixture
def net(tmp_path):
    """`net(names, processor)`: a model in a folder, whose channels are called so."""

    def lay(names=CITYSCAPES.class_names, **processor):
        folder = tmp_path / "net"
        folder.mkdir(exist_ok=True)
        config = {"architectures": ["SegformerForSemanticSegmentation"], "id2label": dict(enumerate(names))}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(b"w")
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return find(f"hf:{folder}")

    return lay


def classes(*names):
    colors = tuple((index, index, index) for index in range(len(names)))
    return DatasetSpec(name="set", class_names=names, class_colors=colors, label_to_train_id={})


def streets(spec=CITYSCAPES):
    return SimpleNamespace(name="streets", spec=spec, fingerprint=lambda: "f" * 16, splits=lambda: ("train", "val"))


@pytest.mark.parametrize("asked", [AUTO, Asked("own"), Asked("published"), Asked("published", "hf")])
def test_every_way_of_asking(asked, net, tmp_path):
    spec = net()
    source = resolve(asked, spec, streets(), runs=tmp_path)
    assert (source.kind, source.tag, source.file.name, source.num_classes) == (
        "published", "hf", "model.safetensors", 19,
    )  # fmt: skip
    assert (source.classes, source.train_ids) == (CITYSCAPES, None)
    assert knows_itself(asked, spec)


def test_random_weights_and_other_tags(net, tmp_path):
    assert resolve(RANDOM, net(), streets(), runs=tmp_path).kind == "random"
    with pytest.raises(UserError, match="called zh320"):
        resolve(Asked("published", "zh320"), net(), streets(), runs=tmp_path)


def test_a_spelling_is_no_other_class(net, tmp_path):
    source = resolve(AUTO, net(WORDS), streets(), runs=tmp_path)
    assert source.train_ids is None
    assert "order" not in source.said


def test_channels_are_matched_by_name(net, tmp_path):
    source = resolve(
        AUTO,
        net(("sky", "boat", "car, auto, automobile", "Road")),
        streets(classes("road", "car", "sky")),
        runs=tmp_path,
    )
    assert source.train_ids == (2, 255, 1, 0)
    assert "1 of its 4 are none of them" in source.said


def test_classes_that_do_not_match(net, tmp_path):
    with pytest.raises(
        UserError, match=r"its weights know 2 classes \(wall, sky, …\) .* \(road, sidewalk, building\)"
    ) as caught:
        resolve(AUTO, net(("wall", "sky")), streets(), runs=tmp_path)
    assert f"zoo train hf:{tmp_path / 'net'} --init own" in str(caught.value)
    start = resolve_start(
        Asked("own"), net(("wall", "sky")), streets(), TrainConfig(name="tiny", steps=6), runs=tmp_path
    )
    assert start.classes.class_names == ("wall", "sky"), "what training begins from may know others"


def test_channels_without_names(net, tmp_path):
    unnamed = [f"LABEL_{index}" for index in range(3)]
    source = resolve(AUTO, net(unnamed), streets(classes("road", "car", "sky")), runs=tmp_path)
    assert "no names: taken for the classes of streets" in source.said
    with pytest.raises(UserError, match="its 3 output channels have no names, and streets has 19 classes"):
        resolve(AUTO, net(unnamed), streets(), runs=tmp_path)


def test_what_it_is_fed_with_is_taken_over_and_said(net, tmp_path):
    spec = net(
        image_processor_type="Mask2FormerImageProcessor", image_mean=[0.5] * 3, image_std=[0.25] * 3,
        size={"shortest_edge": 384, "longest_edge": 640}, size_divisor=32,
    )  # fmt: skip
    source = resolve(AUTO, spec, streets(), runs=tmp_path)
    assert (source.input_size, source.resize) == ((320, 640), "stretch")
    assert source.fed(spec, CITYSCAPES).mean == (0.5, 0.5, 0.5)
    assert "brought to 320x640, as Mask2FormerImageProcessor says" in source.said
    closed = resolve(AUTO, spec, None, runs=tmp_path)
    assert closed.input_size is None
    assert "its short side brought to 384" in closed.said


def test_windows_are_said(net, tmp_path):
    spec = net(image_processor_type="EomtImageProcessor", size={"shortest_edge": 1024}, do_split_image=True)
    source = resolve(AUTO, spec, streets(), runs=tmp_path)
    assert source.input_size == (1024, 2048)
    assert "--window 1024x1024" in source.said
