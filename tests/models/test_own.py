import copy
import importlib
import pickle
import sys

import pytest
import torch

from zoo.catalog import MODELS, find
from zoo.errors import UserError
from zoo.models.build import build_model, create_model
from zoo.models.contract import training_logits

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
    ("change", "says"),
    [
        ("net.to('meta')", r"leaves weight on the device meta; fill it"),
        ("nn.Sequential(net, nn.LazyConv2d(4, 1))", r"leaves 1\.weight lazy; fill it"),
        ("net.register_buffer('few', torch.eye(3).to_sparse()) or net", r"build\(4\) leaves few sparse; fill it"),
    ],
)
def test_tensors_without_plain_numbers(own, change, says):
    with pytest.raises(UserError, match=says):
        build_model(
            own(
                f"import torch\nfrom torch import nn\ndef build(n):\n    net = nn.Conv2d(3, n, 1)\n    return {change}"
            ),
            4,
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_library", "importing it fails: ModuleNotFoundError"),
        ("def build(:", "importing it fails: SyntaxError"),
        ("def make(num_classes): ...\nbuild = 3", "no callable 'build' in it; it has make"),
        ("def build(): ...", r"build\(4\) fails: TypeError"),
        ("import net.missing", "importing it fails: ModuleNotFoundError: No module named 'net.missing'"),
        ("from net import missing", "importing it fails: ImportError: cannot import name 'missing' from 'net'"),
    ],
)
def test_a_file_that_is_no_model(own, text, says):
    with pytest.raises(UserError, match=says) as caught:
        build_model(own(text), 4)
    assert "\n" not in str(caught.value)


HELPED = """
from __future__ import annotations

import dataclasses

from torch import nn

import helper

@dataclasses.dataclass
class Shape:
    bias: bool = True

class Net(nn.Conv2d):
    shape = Shape()

    def forward(self, image):
        from lazy import scale
        return scale(super().forward(image))

def build(num_classes):
    return Net(3, num_classes, helper.WIDTH, padding=helper.WIDTH // 2)
"""


def two_nets(tmp_path):
    """Builders of two folders that differ in their helpers alone."""
    for folder, width in (("one", 1), ("two", 3)):
        (tmp_path / folder / "helper").mkdir(parents=True)
        (tmp_path / folder / "net.py").write_text(HELPED)
        (tmp_path / folder / "helper" / "__init__.py").write_text("from .deep import WIDTH\nimport helper.deep")
        (tmp_path / folder / "helper" / "deep.py").write_text(f"WIDTH = {width}")
        (tmp_path / folder / "lazy.py").write_text(f"def scale(logits):\n    return logits * 0 + {width}\n")
    return [f"{tmp_path}/{folder}/net.py:build" for folder in ("one", "two")]


def test_what_forward_imports_is_the_neighbour_under_a_compiler_too(tmp_path):
    images = torch.zeros(1, 3, 8, 8)
    for name, width in zip(two_nets(tmp_path), (1, 3), strict=True):
        compiled = torch.compile(create_model(name, 4), backend="eager", fullgraph=True)
        assert compiled(images).mean().item() == width


@pytest.mark.parametrize("order", [1, -1])
def test_neighbours_of_one_name_in_two_folders(tmp_path, order):
    names = two_nets(tmp_path)
    built = {name: create_model(name, 4) for name in names[::order]}
    assert [built[name].kernel_size for name in names] == [(1, 1), (3, 3)]
    image = torch.zeros(1, 3, 8, 8)
    assert [built[name](image).mean().item() for name in names] == [1, 3], "what forward imports"
    assert not {"helper", "helper.deep", "lazy", "net"} & set(sys.modules)
    for model in built.values():
        assert torch.equal(pickle.loads(pickle.dumps(model))(image), model(image))
        assert copy.deepcopy(model).shape == model.shape
    assert type(create_model(names[0], 4)) is type(built[names[0]]), "one class as long as nothing changes"


def test_a_neighbour_that_changed_is_built(tmp_path):
    name = two_nets(tmp_path)[0]
    before = create_model(name, 4)
    (tmp_path / "one" / "helper" / "deep.py").write_text("WIDTH = 5")  # as long, and in the same second
    after = create_model(name, 4)
    assert (before.kernel_size, after.kernel_size) == ((1, 1), (5, 5))
    for model in (before, after):
        assert pickle.loads(pickle.dumps(model)).kernel_size == model.kernel_size
    (tmp_path / "one" / "helper" / "deep.py").write_text("raise KeyError('width')")
    for _ in range(2):
        with pytest.raises(UserError, match="importing it fails: KeyError: 'width'"):
            create_model(name, 4)


def test_a_file_of_a_package_imports_its_neighbours_by_dots(tmp_path):
    (tmp_path / "net.py").write_text("from .parts.head import build\nfrom . import parts")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "parts" / "head.py").write_text(NET + "from ..sizes import WIDTH")
    (tmp_path / "sizes.py").write_text("WIDTH = 1")
    assert create_model(f"{tmp_path}/net.py:build", 4)


def test_a_neighbour_called_as_a_module_of_pythons_is_the_files_alone(tmp_path):
    (tmp_path / "net.py").write_text(NET + "from random import STRIDE\nimport json\nimport torch.nn.functional as F\n")
    (tmp_path / "random.py").write_text("STRIDE = 4")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "weights.txt").touch()
    import random

    assert create_model(f"{tmp_path}/net.py:build", 4)
    assert sys.modules["random"] is random


def test_modules_of_the_working_directory_are_imported_again_when_they_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as `python -m` has it
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    two_nets(tmp_path)
    (tmp_path / "two" / "net.py").write_text(HELPED + "\n")
    widths = []
    for folder in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / folder)
        widths.append(create_model("net:build", 4).kernel_size[0])
    (tmp_path / "one" / "helper" / "deep.py").write_text("WIDTH = 7")
    changed, again = create_model("net:build", 4), create_model("net:build", 4)
    assert [*widths, changed.kernel_size[0]] == [1, 3, 1, 7]
    assert type(changed) is type(again) is importlib.import_module("net").Net
    for name in [name for name in sys.modules if name.partition(".")[0] in {"net", "helper", "lazy"}]:
        monkeypatch.delitem(sys.modules, name)


def test_nothing_of_a_builder_that_fails_stays(tmp_path):
    (tmp_path / "net.py").write_text("import missing_here\n" + NET)
    name = f"{tmp_path}/net.py:build"
    with pytest.raises(UserError, match="No module named 'missing_here'"):
        create_model(name, 4)
    (tmp_path / "missing_here.py").touch()
    assert create_model(name, 4)
