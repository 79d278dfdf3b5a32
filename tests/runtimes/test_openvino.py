"""How OpenVINO's file differs from the others': where its argmax is slow, it is found otherwise, and is the same."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
import torch
from torch import nn

from zoo.runtimes import onnxruntime, openvino, table

CPU = torch.device("cpu")


class Ties(nn.Module):
    """Every class has twins: 0 and 7, 1 and 8 … answer the same number at every pixel."""

    def forward(self, x):
        x = x.mean(1, keepdim=True)
        return torch.cat([(x * (1 + k % 7) / 7).sin() for k in range(19)], 1)


@pytest.mark.parametrize("precision", ["fp32", "int8", "bf16"])
def test_argmax_is_left_out_where_it_is_slow(precision, pipeline, images, tmp_path):
    if why := table.why_unsupported("openvino", CPU, precision):
        pytest.skip(why)
    file, calibration = tmp_path / "model.onnx", [images(1, seed) for seed in range(4)]
    table.build("openvino", pipeline(), file, device=CPU, precision=precision, calibration=calibration)
    count = Counter(node.op_type for node in onnx.load(file).graph.node)
    assert (count["ArgMax"], count["ReduceMin"]) == ((1, 0) if precision == "bf16" else (0, 1))


@pytest.mark.parametrize("any_size", [False, True])
def test_the_first_of_equals_is_the_label(any_size, pipeline, images, tmp_path):
    files = [tmp_path / f"{builder}.onnx" for builder in ("openvino", "onnxruntime")]
    for file in files:
        table.build(file.stem, pipeline(Ties()), file, device=CPU, precision="fp32", any_size=any_size)
    for runtime in (openvino, onnxruntime):
        ours, argmax = (runtime.load(file, device=CPU, precision="fp32").predict(images(1)) for file in files)
        assert torch.equal(ours, argmax)
        assert ours.unique().numel() > 2
        assert ours.max() < 7, "not a twin"
