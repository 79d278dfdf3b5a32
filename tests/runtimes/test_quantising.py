"""int8 in several ways: each makes a file that runs, and those that help do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from zoo.runtimes import onnx_file, quantising, table
from zoo.runtimes.onnx_stages import cut
from zoo.runtimes.quantising import DEFAULT, OPERATORS, Way, remedies

CPU = torch.device("cpu")
NNCF = Way("NNCF", by_nncf=True)
WAYS = (DEFAULT, Way("7-bit weights", seven_bits=True), *remedies("onnxruntime"))


class Loud(torch.nn.Module):
    """One channel of its middle is 3000 times as loud as the others, and adds as little to what comes out."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 5, 4, 2)
        self.middle = torch.nn.Conv2d(16, 16, 3, 1, 1)
        self.head = torch.nn.Conv2d(16, 19, 1)
        with torch.no_grad():
            self.middle.weight[5] *= 3000
            self.head.weight[:, 5] /= 3000

    def forward(self, x):
        return self.head(torch.relu(self.middle(torch.relu(self.stem(x)))))


class Normed(torch.nn.Module):
    """A batch norm over a concatenation, before a convolution: DDRNet's and PIDNet's pyramids."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 5, 4, 2)
        self.sides = torch.nn.ModuleList(torch.nn.Conv2d(8, 8, 3, 1, 1) for _ in range(2))
        self.norm = torch.nn.BatchNorm2d(16)
        self.head = torch.nn.Conv2d(16, 19, 1)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.norm(torch.cat([side(x) for side in self.sides], 1))))


@pytest.fixture(scope="module")
def loud(pipeline, images, tmp_path_factory):
    """An fp32 file, and what quantises it."""
    file = tmp_path_factory.mktemp("loud") / "model.onnx"
    torch.manual_seed(0)
    table.build("onnxruntime", pipeline(Loud()), file, device=CPU, precision="fp32")
    return file, table.quantiser(file, [images(1, seed) for seed in range(4)])


def logits(model: onnx.ModelProto, image) -> np.ndarray:
    graph = onnx.shape_inference.infer_shapes(model)
    begin, network = (
        onnxruntime.InferenceSession(cut(graph, stage).SerializeToString()) for stage in ("preprocess", "network")
    )
    (given,) = begin.run(None, {"images": image.numpy()})
    return network.run(None, {"network_input": given})[0]


def noise(model: onnx.ModelProto, reference: onnx.ModelProto, image) -> float:
    expected = logits(reference, image)
    return float(np.abs(logits(model, image) - expected).mean() / np.abs(expected).mean())


def in_fp32(model: onnx.ModelProto) -> int:
    """Products that read what no DequantizeLinear gives."""
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    return sum(made.get(node.input[0]) != "DequantizeLinear" for node in model.graph.node
               if node.op_type == "Conv" and node.name.startswith("network/"))  # fmt: skip


@pytest.mark.parametrize("way", [*WAYS, NNCF], ids=lambda way: way.name)
def test_each_way_makes_a_valid_file_that_runs(way, loud, images, tmp_path):
    _, quantiser = loud
    if way is NNCF and importlib.util.find_spec("nncf") is None:
        pytest.skip(quantiser.why_not(way))
    assert quantiser.why_not(way) == ""
    onnx_file.quantise(quantiser, way, tmp_path / "int8.onnx")
    model = onnx.load(tmp_path / "int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert onnx_file.contents(tmp_path / "int8.onnx").precision == "int8"
    assert set(onnx_file.cuts(tmp_path / "int8.onnx")) == {"preprocess", "network", "upsample_argmax"}
    for runtime in ("onnxruntime", "openvino"):
        if table.why_missing(runtime, CPU):
            continue
        labels = table.load_file(runtime, tmp_path / "int8.onnx", device=CPU, precision="int8").predict(images(1))
        assert labels.shape == (1, 41, 57)


@pytest.mark.parametrize("way", [DEFAULT, WAYS[-1]], ids=lambda way: way.name)
def test_a_concatenation_that_a_norm_alone_reads_stays_whole(way, pipeline, images, tmp_path):
    table.build("onnxruntime", pipeline(Normed()), tmp_path / "model.onnx", device=CPU, precision="fp32")
    quantiser = table.quantiser(tmp_path / "model.onnx", [images(1, seed) for seed in range(4)])
    onnx_file.quantise(quantiser, way, tmp_path / "int8.onnx")
    made = {name: node for node in onnx.load(tmp_path / "int8.onnx").graph.node for name in node.output}
    (norm,) = (node for node in made.values() if node.op_type == "BatchNormalization")
    assert made[norm.input[0]].op_type == "Concat"
    if not table.why_missing("openvino", CPU):  # in a process of its own, which it used to end
        program = f"import openvino; openvino.compile_model({str(tmp_path / 'int8.onnx')!r}, 'CPU')"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_is_left_out_helps_where_one_channel_is_loud(loud, images):
    file, quantiser = loud
    reference, image = onnx.load(file), images(1, 9)
    default = quantiser.quantise(DEFAULT)
    helped = quantiser.quantise(Way("half", left_out=0.5))
    assert noise(default, reference, image) > 0.05
    assert noise(helped, reference, image) < noise(default, reference, image) / 4
    assert in_fp32(default) == 0 < in_fp32(helped) < 3


@pytest.mark.parametrize("how", ["Percentile", "Entropy"])
def test_percentile_and_entropy_cut_the_range(how, pipeline, images, tmp_path, monkeypatch):
    """Of a channel that is loud at a few bright spots alone."""
    monkeypatch.setitem(quantising._CALIBRATION["Percentile"], "percentile", 99.0)  # of 10,000 values
    net = Loud()
    with torch.no_grad():
        net.stem.weight[3], net.stem.bias[3] = 300.0, -300.0 * 75 * 0.5
    table.build("onnxruntime", pipeline(net), tmp_path / "model.onnx", device=CPU, precision="fp32")
    quantiser = table.quantiser(tmp_path / "model.onnx", [images(1, seed) for seed in range(4)])
    whole, cut_off = (
        {name: np.ptp(np.asarray(data.range_value, np.float64)) for name, data in quantiser._calibrate(one).items()}
        for one in ("MinMax", how)
    )
    assert whole.keys() == cut_off.keys()
    assert all(cut_off[name] <= width * 1.001 for name, width in whole.items())
    assert any(cut_off[name] < width * 0.9 for name, width in whole.items())


def test_seven_bits_are_half_of_eight(loud):
    _, quantiser = loud
    weights = {
        way.seven_bits: max(
            np.abs(onnx.numpy_helper.to_array(one)).max()
            for one in quantiser.quantise(way).graph.initializer
            if one.data_type == onnx.TensorProto.INT8 and one.dims
        )
        for way in WAYS[:2]
    }
    assert weights == {False: 127, True: 64}


def test_what_does_not_fit_in_memory_is_not_tried(loud, monkeypatch):
    _, quantiser = loud
    monkeypatch.setattr(quantising, "MEMORY_SHARE", 1e-9)
    assert "activations take 0.0 GiB" in quantiser.why_not(Way("entropy", calibration="Entropy"))
    assert "are free" in quantiser.why_not(Way("some", left_out=0.1))
    assert quantiser.why_not(DEFAULT) == quantiser.why_not(WAYS[1]) == ""


def test_nncf_is_named_where_it_is_missing(loud, monkeypatch):
    _, quantiser = loud
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert quantiser.why_not(NNCF) == "not installed: pip install 'zoo-seg[nncf]'"


def test_what_is_around_the_network_stays_in_floating_point(loud):
    _, quantiser = loud
    nodes = quantiser.quantise(DEFAULT).graph.node
    outside = {node.op_type for node in nodes if node.name.startswith(("preprocess/", "upsample_argmax/"))}
    assert "ArgMax" in outside
    assert outside.isdisjoint({"QuantizeLinear", "DequantizeLinear"})
    inside = {node.op_type for node in nodes if node.name.startswith("network/")}
    assert inside & set(OPERATORS)
