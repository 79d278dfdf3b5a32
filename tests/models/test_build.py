import urllib.error

import huggingface_hub.constants
import pytest
import torch

from zoo.catalog import MODELS, find
from zoo.errors import UserError
from zoo.models.build import (
    build_model,
    create_model,
    drop_aux_heads,
    has_aux_heads,
    training_logits,
)

NET = """
from torch import nn

def build(num_classes):
    return nn.Sequential(nn.Conv2d(3, num_classes, 3, stride=4, padding=1))
"""


@pytest.fixture
def own(tmp_path):
    """Write a model of one's own and find it."""

    def write(text, function="build"):
        (tmp_path / "net.py").write_text(text)
        return find(f"{tmp_path}/net.py:{function}")

    return write


def test_a_model_of_ones_own(own):
    model, spec = build_model(own(NET), 4)
    assert (spec.name, spec.divisor) == ("net:build", 1)
    assert model.training
    assert training_logits(model, torch.zeros(1, 3, 8, 8))[0].shape == (1, 4, 2, 2)
    assert create_model(spec.builder, 7)(torch.zeros(1, 3, 8, 8)).shape[1] == 7


def test_it_imports_its_neighbours_and_modules_of_the_working_directory(own, tmp_path, monkeypatch):
    (tmp_path / "neighbour_of_net.py").write_text(NET)
    assert build_model(own("from neighbour_of_net import build"), 4)[0]
    monkeypatch.chdir(tmp_path)
    assert create_model("neighbour_of_net:build", 4)


def test_callable_and_module_carry_what_the_pipeline_needs(own):
    text = NET + "build.mean = [0.5, 0.5, 0.5]\nbuild.divisor = 8\nbuild.align_corners = True\n"
    spec = build_model(own(text), 4)[1]
    assert (spec.mean, spec.divisor, spec.align_corners) == ((0.5, 0.5, 0.5), 8, True)
    text = """
import torch
from torch import nn

class Net(nn.Conv2d):
    train_ids = [0, 255, 1]
    def __init__(self, num_classes):
        super().__init__(3, 3, 4, stride=4)
        self.divisor = 4
        self.register_buffer("mean", torch.zeros(3))  # the network's own business
"""
    spec = build_model(own(text, "Net"), 2)[1]
    assert (spec.train_ids, spec.divisor, spec.mean) == ((0, 255, 1), 4, MODELS["unet"].mean)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return nn.Conv2d(3, num_classes + 1, 1)", r"becomes float32 \(1, 5, 128, 160\)"),
        ("return Calls(lambda x: (x,))", "forward answers with a tuple"),
        ("return Calls(lambda x: {'out': x})", "forward answers with a dict"),
        ("return Calls(lambda x: x[:, :1].repeat(1, num_classes, 1, 1) * float('nan'))", "NaN or infinity"),
        ("return Calls(lambda x: x.argmax(1))", r"int64 \(1, 128, 160\)"),
        ("return Calls(lambda x: x[:, :1].repeat(1, num_classes, 2, 2))", "h <= H"),
        ("return Calls(lambda x: 1 / 0)", "forward fails on a .* image: ZeroDivisionError: division by zero"),
        ("raise KeyError('first\\nsecond')", r"build\(4\) fails: KeyError"),
        ("raise SystemExit(3)", "fails: SystemExit: 3"),
        ("return 5", "answers with int, not an nn.Module"),
        ("build.divisor = 0; return nn.Conv2d(3, num_classes, 1)", "its divisor cannot be used"),
        ("build.train_ids = (0, 4); return nn.Conv2d(3, 2, 1)", "train_ids holds 4"),
    ],
)
def test_a_model_that_does_not_keep_the_contract(own, body, says):
    calls = (
        "class Calls(nn.Module):\n    def __init__(self, f):\n        super().__init__()\n        self.forward = f\n"
    )
    text = f"from torch import nn\n{calls}def build(num_classes):\n    {body}\n"
    with pytest.raises(UserError, match=says) as caught:
        build_model(own(text), 4)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("net:build: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_library", "importing it fails: ModuleNotFoundError"),
        ("def build(:", "importing it fails: SyntaxError"),
        ("def make(num_classes): ...\nbuild = 3", "no callable 'build' in it; it has make"),
        ("def build(): ...", r"build\(4\) fails: TypeError"),
    ],
)
def test_a_file_that_is_no_model(own, text, says):
    with pytest.raises(UserError, match=says) as caught:
        build_model(own(text), 4)
    assert "\n" not in str(caught.value)


def test_auxiliary_heads_come_off():
    model = create_model("fcn_resnet50", 3).eval()
    image = torch.zeros(1, 3, 16, 16)
    with torch.no_grad():
        before = model(image)
        assert has_aux_heads(model)
        assert not has_aux_heads(drop_aux_heads(model))
        assert torch.equal(model(image), before)
    assert not has_aux_heads(create_model("encoder_decoder", 3))


@pytest.mark.parametrize("name", ["fcn8s_vgg16", "lraspp_mobilenet_v3_large", "unet_resnet18", "upernet_convnext_tiny"])
def test_weights_that_cannot_be_fetched(name, monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("[Errno -2] Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # at once, where a lookup retries for long
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(UserError, match="could not be fetched") as caught:
        create_model(name, 3, pretrained=True)
    said = str(caught.value)
    assert MODELS[name].pretrained in said
    assert "pretrained = false" in said
    assert "\n" not in said


def test_pretrained_is_never_ignored(own):
    with pytest.raises(UserError, match="no published weights"):
        create_model("encoder_decoder", 3, pretrained=True)
    with pytest.raises(UserError, match="loads its weights itself"):
        build_model(own(NET), 3, pretrained=True)


def test_a_fault_of_ours_is_not_called_a_download(monkeypatch):
    spec = MODELS["fcn_resnet50"].model_copy(update={"args": {"function": "no_such"}})
    with pytest.raises(AttributeError):
        build_model(spec, 3, pretrained=True)
