"""Hubs' folders and repositories as models, without their libraries."""

import json

import huggingface_hub
import pytest
from huggingface_hub import constants

from zoo.catalog import find, select
from zoo.errors import UserError
from zoo.hub import folder as hub_folder
from zoo.hub import models
from zoo.hub.models import hub_weights
from zoo.identity import network_sha256
from zoo.labels import CITYSCAPES

LABELS = dict(enumerate(CITYSCAPES.class_names))


@pytest.fixture(autouse=True)
def _transformers(monkeypatch):
    """Nothing here builds a network."""
    monkeypatch.setattr(models, "package_version", lambda _package: "5")
    monkeypatch.setattr(hub_folder, "_missing", set())


def lay(path, *, weights="model.safetensors", card=None, processor=None, **config):
    known = {"architectures": ["SegformerForSemanticSegmentation"], "model_type": "segformer", "id2label": LABELS}
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({**known, **config}))
    if weights:
        (path / weights).write_bytes(b"w")
    if card is not None:
        (path / "README.md").write_text(card)
    if processor is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(processor))
    return path


def lay_smp(path, **config):
    path.mkdir()
    known = {"_model_class": "Unet", "encoder_name": "resnet18", "encoder_weights": "imagenet", "classes": 19}
    (path / "config.json").write_text(json.dumps({**known, **config}))
    (path / "model.safetensors").write_bytes(b"w")
    return path


def test_a_folder_is_called_as_it_is_without_the_way_there(tmp_path, monkeypatch):
    lay(tmp_path / "a" / "net")
    monkeypatch.chdir(tmp_path / "a")
    spec = find("hf:net")
    assert (spec.name, spec.hub, spec.family) == ("hf:net", f"hf:{tmp_path / 'a' / 'net'}", "SegFormer")
    assert find(spec.hub) == spec
    assert str(tmp_path) not in json.dumps(spec.model_dump(mode="json", exclude={"hub"}))
    assert select(["hf:net,unet"])[0].name == "unet"


def test_the_network_is_its_configuration(tmp_path):
    first = find(f"hf:{lay(tmp_path / 'a' / 'net', torch_dtype='float16', _name_or_path='here')}")
    names = {index: f"class {index}" for index in range(150)}
    same = find(f"hf:{lay(tmp_path / 'b' / 'other', transformers_version='4', id2label=names)}")
    wider = find(f"hf:{lay(tmp_path / 'c' / 'net', hidden_sizes=[1, 2, 3, 4])}")
    assert network_sha256(first) == network_sha256(same) != network_sha256(wider)
    with pytest.raises(UserError, match="two different models are called 'hf:net'"):
        select([first.hub, wider.hub])


@pytest.mark.parametrize(
    ("architecture", "family", "recipe"),
    [
        ("UperNetForSemanticSegmentation", "UPerNet", "adamw_poly"),
        ("MobileNetV2ForSemanticSegmentation", "MobileNetV2", "sgd_poly"),
        ("MaskFormerForInstanceSegmentation", "MaskFormer", "adamw_poly"),
        ("EomtForUniversalSegmentation", "EoMT", "adamw_poly"),
    ],
)
def test_heads(architecture, family, recipe, tmp_path):
    spec = find(f"hf:{lay(tmp_path / 'net', architectures=[architecture])}")
    assert (spec.family, spec.recipe) == (family, recipe)


def test_what_the_folder_says_of_its_weights(tmp_path):
    card = "---\nlicense: other\nlicense_name: nvidia\ndatasets:\n- cityscapes\n---\n# SegFormer\n"
    processor = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 64, "width": 128}}
    spec = find(f"hf:{lay(tmp_path / 'net', card=card, processor=processor)}")
    found = hub_weights(spec)
    assert (found.licence, found.trained_on, found.url) == ("nvidia", "cityscapes", "")
    assert (found.file.name, found.num_classes, found.classes) == ("model.safetensors", 19, CITYSCAPES)
    assert (spec.mean, found.processor.mean, found.processor.input_size) == ((0.5,) * 3, (0.5,) * 3, (64, 128))


def test_a_damaged_card_is_no_fault(tmp_path):
    net = lay(tmp_path / "net", card="---\nlicense: [\n---\n")
    assert hub_weights(find(f"hf:{net}")).licence == ""


def test_weights_in_parts_are_known_by_all_of_them(tmp_path):
    net = lay(tmp_path / "net", weights=None)
    (net / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "1.bin", "b": "2.bin"}}))
    (net / "1.bin").write_bytes(b"1")
    with pytest.raises(UserError, match=r"no 2\.bin in"):
        hub_weights(find(f"hf:{net}"))
    (net / "2.bin").write_bytes(b"2")
    before = hub_weights(find(f"hf:{net}"))
    (net / "2.bin").write_bytes(b"3")
    assert before.sha256 != hub_weights(find(f"hf:{net}")).sha256


def test_channels_without_names(tmp_path):
    names = {index: f"LABEL_{index}" for index in range(19)}
    assert hub_weights(find(f"hf:{lay(tmp_path / 'net', id2label=names)}")).classes is None
    told = hub_weights(find(f"hf:{lay(tmp_path / 'net-cityscapes', id2label=names)}"))
    assert told.classes is CITYSCAPES
    assert "no names" in told.notes[0]


def test_other_classes_have_colours_of_their_own(tmp_path):
    names = {index: f"thing {index}" for index in range(150)}
    classes = hub_weights(find(f"hf:{lay(tmp_path / 'net', id2label=names)}")).classes
    assert len({*classes.class_colors}) == 150
    assert classes.class_colors[:3] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))  # VOC's aeroplane, bicycle, bird


def test_smp(tmp_path):
    spec = find(f"smp:{lay_smp(tmp_path / 'net', decoder_channels=[16, 8])}")
    assert (spec.name, spec.family, spec.divisor, spec.align_corners) == ("smp:net", "U-Net", 32, False)
    assert spec.args == {"kind": "Unet", "options": {"encoder_name": "resnet18", "decoder_channels": [16, 8]}}
    (tmp_path / "net" / "README.md").write_text("## Dataset\nDataset name: Cityscapes\n")
    found = hub_weights(spec)
    assert (found.trained_on, found.classes) == ("Cityscapes", CITYSCAPES)
    fpn = find(f"smp:{lay_smp(tmp_path / 'fpn', _model_class='FPN')}")
    assert (fpn.family, fpn.align_corners) == ("FPN", True)


def bad(tmp_path, kind):
    net = tmp_path / "net"
    if kind == "classifier":
        return f"hf:{lay(net, architectures=['SegformerForImageClassification'])}"
    if kind == "headless":
        return f"hf:{lay(net, architectures=[])}"
    if kind == "video":
        return f"hf:{lay(net, architectures=['VideomtForUniversalSegmentation'])}"
    if kind == "empty":
        net.mkdir()
        return f"hf:{net}"
    if kind == "damaged":
        lay(net)
        (net / "config.json").write_text("{")
        return f"hf:{net}"
    if kind == "smp as hf":
        return f"hf:{lay_smp(net)}"
    if kind == "hf as smp":
        return f"smp:{lay(net)}"
    if kind == "channels":
        return f"smp:{lay_smp(net, in_channels=4)}"
    return f"hf:{tmp_path}/none"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("classifier", "SegformerForImageClassification, which has no semantic head"),
        ("headless", "no architecture"),
        ("video", "no semantic head"),
        ("empty", r"no config\.json in"),
        ("damaged", "is damaged"),
        ("smp as hf", "smp:.*names it"),
        ("hf as smp", "hf:.*names it"),
        ("channels", "4 channels"),
        ("none", "no folder"),
    ],
)
def test_one_line_says_why_not(kind, said, tmp_path):
    with pytest.raises(UserError, match=said) as caught:
        find(bad(tmp_path, kind))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"id2label": {0: "mask"}}, "1 output channel;"),
        ({"id2label": {index: f"class {index}" for index in range(300)}}, "300 output channels"),
        ({"id2label": {0: "a", 2: "b"}}, "leaves channels out"),
        ({"id2label": {"a": "0"}}, "no mapping of channels"),
    ],
)
def test_classes_that_cannot_be_used(config, said, tmp_path):
    with pytest.raises(UserError, match=said):
        hub_weights(find(f"hf:{lay(tmp_path / 'net', **config)}"))


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no weights \(model\.safetensors, "):
        hub_weights(find(f"hf:{lay(tmp_path / 'net', weights=None)}"))


def test_without_transformers(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "package_version", lambda _package: None)
    with pytest.raises(UserError, match=r"pip install 'zoo-seg\[hf\]'"):
        find(f"hf:{lay(tmp_path / 'net')}")
    assert find(f"smp:{lay_smp(tmp_path / 'other')}").name == "smp:other"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of Hugging Face, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_repository_of_the_cache_works_offline(cache):
    commit = "0123456789abcdef" * 2 + "01234567"
    repository = cache / "models--owner--net"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    lay(repository / "snapshots" / commit)
    spec = find("hf:owner/net")
    assert (spec.name, spec.hub) == ("hf:owner/net", "hf:owner/net")
    found = hub_weights(spec)
    assert found.file.parent.name == commit
    assert found.url == f"https://huggingface.co/owner/net/tree/{commit}"


def test_offline_and_not_in_the_cache(cache):
    for name in ("hf:owner/net", "smp:owner/net"):
        with pytest.raises(UserError, match=r"not in the cache of Hugging Face .* `hf download owner/net`") as caught:
            find(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["RepositoryNotFoundError", "GatedRepoError", "HfHubHTTPError"])
def test_what_the_hub_refuses(kind, cache, monkeypatch):
    error = getattr(huggingface_hub.errors, kind)
    refused = error.__new__(error)
    refused.args = ("404 Client Error",)

    def fail(*_, **__):
        raise refused

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    said = {"RepositoryNotFoundError": "no such repository", "GatedRepoError": "terms", "HfHubHTTPError": "404"}
    with pytest.raises(UserError, match=said[kind]):
        find("hf:owner/net")
