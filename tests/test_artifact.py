"""`zoo.artifact`: one road to what runs; files cached by their content."""

import textwrap
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.artifacts import CPU, FRAME, make_place, make_wanted
from zoo import artifact
from zoo.catalog import find
from zoo.data.layout import open_dataset
from zoo.data.synthetic import write_dataset
from zoo.errors import ModelError, UserError
from zoo.labels import CITYSCAPES
from zoo.runtimes import base, table
from zoo.spec import Feeding
from zoo.weights.source import Source


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def wanted(place):
    return make_wanted(place)


def test_equal_content_is_built_once(wanted, monkeypatch):
    file, built = artifact.build(wanted)
    monkeypatch.setattr(table, "build", lambda *_, **__: pytest.fail("built again"))
    again, cached = artifact.build(wanted)
    assert (again, cached.sha256) == (file, built.sha256)
    assert cached.build.cached
    for other in ({"runtime": "tensorrt"}, {"runtime": "openvino", "precision": "bf16"}):
        assert artifact.build(replace(wanted, **other))[0] == file, "one fp32 file serves them all"


def test_whatever_changes_the_file_changes_its_name(wanted, place, tmp_path):
    other, network = tmp_path / "net.py", tmp_path / "weights.pt"
    other.write_text((place / "net.py").read_text().replace("8", "4"))
    changes = [
        {},
        {"spec": find(f"{other}:build")},
        {"source": Source(kind="file", file=network, sha256="a" * 64)},
        {"source": Source(kind="own", sha256="b" * 64)},
        {"source": Source(kind="random", feeding=Feeding(mean=(0.1, 0.2, 0.3)))},
        {"source": Source(kind="random", feeding=Feeding(channel_order="bgr"))},
        {"source": Source(kind="random", num_classes=3, train_ids=(2, 1, 0))},
        {"image_size": (64, 128)},
        {"input_size": (32, 48)},
        {"resize": "stretch"},
        {"batch_size": 2},
        {"precision": "int8"},
        {"opset": 18},
        {"any_size": True},
        {"runtime": "aoti"},
        {"runtime": "aoti", "precision": "bf16"},
        {"classes": CITYSCAPES.model_copy(update={"class_names": ("a", "b"), "class_colors": ((0, 0, 0), (1, 1, 1))})},
    ]
    hashes = {artifact._content(replace(wanted, **change)) for change in changes}
    assert len(hashes) == len(changes)


def test_the_code_that_writes_the_file_is_part_of_its_name(wanted, monkeypatch):
    before = artifact._content(wanted)
    monkeypatch.setattr(artifact, "makers", lambda: "other")
    assert artifact._content(wanted) != before


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_state_tells_what_the_network_was(runtime, wanted, tmp_path):
    """Batch norm and auxiliary heads are known where the file was built, and only there."""
    plain, heads = tmp_path / "plain.py", tmp_path / "heads.py"
    plain.write_text("import torch\n\ndef build(num_classes):\n    return torch.nn.Conv2d(3, num_classes, 3, 2, 1)\n")
    heads.write_text(
        textwrap.dedent("""
            import torch

            class Net(torch.nn.Sequential):
                def training_logits(self, x):
                    return self(x), self(x)

            def build(num_classes):
                return Net(torch.nn.Conv2d(3, num_classes, 3, 2, 1), torch.nn.BatchNorm2d(num_classes))
        """)
    )
    for file, aux_heads, batch_norm in ((plain, "none", "none"), (heads, "off", "folded")):
        asked = replace(wanted, runtime=runtime, spec=find(f"{file}:build"))
        runnable, _, built = artifact.load(asked)
        state = runnable.state()
        assert (state.aux_heads, state.batch_norm) == (aux_heads, batch_norm)
        assert 0 < runnable.weights_bytes == built.traits.weights_bytes < built.bytes
        eager, _, _ = artifact.load(replace(asked, runtime="eager"))
        assert (eager.state().aux_heads, eager.state().batch_norm) == (aux_heads, batch_norm)
        assert eager.state().folding == state.folding
        assert state.folding.batch_norm_count == (batch_norm == "folded")
        foreign = table.load_file(runtime, artifact.build(asked)[0], device=CPU, precision="fp32").state()
        assert (foreign.aux_heads, foreign.batch_norm) == (None, None)


def test_a_file_that_does_not_load_is_the_models_fault(wanted, tmp_path):
    asked = replace(wanted, cache=tmp_path)
    file, _ = artifact.build(asked)
    file.write_bytes(b"garbage")
    with pytest.raises(ModelError, match="not a valid ONNX file"):
        artifact.load(asked)


def test_only_the_systems_errors_are_told_as_such(wanted, tmp_path, monkeypatch):
    for error, kind in ((OSError(28, "No space left"), UserError), (OSError("CUDA_HOME is not set"), OSError)):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr(table, "build", fail)
        with pytest.raises(kind):
            artifact.build(replace(wanted, cache=tmp_path))


def test_int8_needs_images_to_be_calibrated_on(wanted):
    with pytest.raises(base.UnsupportedError, match="--data"):
        artifact.build(replace(wanted, precision="int8", dataset=None))
    file, built = artifact.build(replace(wanted, precision="int8"))
    assert built.build.calibration_image_count == 3
    assert file != artifact.build(wanted)[0]


def test_calibration_images_are_spread_over_the_train_split(wanted, place, monkeypatch):
    write_dataset(place / "five", image_size=(48, 96), train_count=5, val_count=1)
    dataset = open_dataset(place / "five")
    monkeypatch.setattr(artifact, "CALIBRATION_IMAGES", 3)
    images = artifact._calibration(replace(wanted, dataset=dataset, image_size=(48, 96), batch_size=2))
    frames = [np.array(Image.open(dataset.frames("train")[index].image)) for index in (0, 1, 3)]
    assert [image.shape for image in images] == [(2, 48, 96, 3)] * 3
    assert all((image.numpy() == frame).all() for image, frame in zip(images, frames, strict=True))
    resized = artifact._calibration(replace(wanted, dataset=dataset))
    assert {image.shape for image in resized} == {(1, *FRAME, 3)}
