"""The ONNX file that ships: standard, reproducible, whole in its parts, quantised where it says so."""

from __future__ import annotations

import logging
from collections import Counter

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from zoo.runtimes import onnx_file, table
from zoo.runtimes.opset import OPSET

CPU = torch.device("cpu")
PROVIDERS = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def files(pipeline, images, tmp_path_factory):
    """fp32 and int8."""
    folder = tmp_path_factory.mktemp("files")
    for precision in ("fp32", "int8"):
        table.build(
            "onnxruntime",
            pipeline(resize="fit"),
            folder / f"{precision}.onnx",
            device=CPU,
            precision=precision,
            calibration=[images(1, seed) for seed in range(4)],
        )
    return folder


def operators(model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def run(model: bytes, given):
    session = onnxruntime.InferenceSession(model, providers=PROVIDERS)
    return session.run(None, {session.get_inputs()[0].name: given})[0]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_file_is_valid_standard_and_tells_nothing_of_its_maker(precision, files):
    file = files / f"{precision}.onnx"
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET]
    assert not model.functions
    assert "BatchNormalization" not in operators(model)
    contents = onnx_file.contents(file)
    (given,), (made,) = contents.inputs, contents.outputs
    assert (given.name, given.dtype, given.shape) == ("images", "uint8", (1, 41, 57, 3))
    assert (made.name, made.dtype, made.shape) == ("labels", "uint8", (1, 41, 57))
    assert b".py" not in file.read_bytes(), "the exporter's stack traces name folders of this machine"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_cuts_make_up_the_whole(precision, files, images):
    file = files / f"{precision}.onnx"
    given = images(1).numpy()
    answer = given
    for cut in onnx_file.cuts(file).values():
        answer = run(cut, answer)
    assert (answer == run(file.read_bytes(), given)).all()


def test_equal_weights_give_equal_bytes(files, pipeline, tmp_path):
    table.build("onnxruntime", pipeline(resize="fit"), tmp_path / "again.onnx", device=CPU, precision="fp32")
    assert (tmp_path / "again.onnx").read_bytes() == (files / "fp32.onnx").read_bytes()


class Small(nn.Conv2d):
    """Terms so small that the exporter's optimiser takes them for 0, each of which decides."""

    def forward(self, x):
        nothing = super().forward(x).clamp(0, 0)
        added, added_to, taken = nothing + 1e-15, 1e-9 + nothing, nothing - 1e-12
        return torch.cat((added * 2e15, added_to * 3e9, taken * -4e12), 1)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_small_terms_stay(runtime, pipeline, images, tmp_path):
    pipe = pipeline(Small(3, 1, 1))
    labels = table.load_pipeline("eager", pipe, device=CPU, precision="fp32").predict(images(1))
    assert (labels == 2).all()
    table.build(runtime, pipe, tmp_path / "model.onnx", device=CPU, precision="fp32")
    runnable = table.load_file(runtime, tmp_path / "model.onnx", device=CPU, precision="fp32")
    assert (runnable.predict(images(1)) == labels).all()
    found = runnable.network(runnable.preprocess(images(1)))
    assert found.flatten(2).mean(2).flatten().tolist() == pytest.approx([2, 3, 4])


def test_int8_is_int8_when_it_runs(files, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(files / "int8.onnx"), options, providers=PROVIDERS)
    ran = onnx.load(tmp_path / "optimised.onnx").graph.node
    inside = {node.op_type for node in ran if "network/" in node.name or node.op_type.startswith("QLinear")}
    assert sum(node.op_type == "QLinearConv" for node in ran) == 2, "both of the network's convolutions"
    assert "Conv" not in inside
    assert onnx_file.contents(files / "int8.onnx").weights_bytes < onnx_file.contents(files / "fp32.onnx").weights_bytes


def test_a_file_of_somebody_else_has_no_cuts(tmp_path):
    node = onnx.helper.make_node("ArgMax", ["x"], ["y"], axis=3, keepdims=0)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 4, 4, 3])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [1, 4, 4])
    graph = onnx.helper.make_graph([node], "g", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "other.onnx")
    assert onnx_file.cuts(tmp_path / "other.onnx") == {}


class Unpools(nn.Module):
    """Makes the exporter warn of an attribute of its own making."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 19, 1)

    def forward(self, x):
        y, places = nn.functional.max_pool2d(self.stem(x), 2, 2, return_indices=True)
        return self.head(nn.functional.max_unpool2d(y, places, 2, 2))


def test_the_exporter_says_nothing_of_what_it_makes_itself(pipeline, tmp_path, capfd, caplog):
    table.build("onnxruntime", pipeline(Unpools()), tmp_path / "model.onnx", device=CPU, precision="fp32")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr().err == ""
