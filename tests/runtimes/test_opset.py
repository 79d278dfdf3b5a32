"""A file is of the operator set that was asked for and of the lowest IR version, and it is known who takes it."""

from __future__ import annotations

import onnx
import pytest
import torch

from zoo.errors import UserError
from zoo.runtimes import base, onnx_file, table
from zoo.runtimes.opset import OPSET, OPSETS, RELEASES, oldest_onnxruntime, require_opset

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("opset", "ir_version", "precision"),
    [(18, 8, "fp32"), (19, 9, "fp32"), (20, 9, "fp32"), (21, 10, "fp32"), (18, 8, "int8"), (21, 10, "int8")],
)
def test_the_ir_version_is_the_lowest(opset, ir_version, precision, pipeline, images, tmp_path):
    file, pipe, seen = tmp_path / "model.onnx", pipeline(resize="fit"), [images(1)]
    table.build("onnxruntime", pipe, file, device=CPU, precision=precision, opset=opset, calibration=seen)
    onnx.checker.check_model(onnx.load(file), full_check=True)
    contents = onnx_file.contents(file)
    assert (contents.opset, contents.ir_version) == (opset, ir_version)
    eager = table.load_pipeline("eager", pipeline(resize="fit"), device=CPU, precision="fp32").predict(images(1))
    for runtime in ("onnxruntime", "openvino"):
        if not table.why_missing(runtime, CPU):
            runnable = table.load_file(runtime, file, device=CPU, precision=precision)
            if (runtime, precision) != ("openvino", "int8") or not base.saturates_int8():
                assert (runnable.predict(images(1)) == eager).float().mean() > 0.95
            assert len(runnable.stages) == 5


@pytest.mark.parametrize(
    ("opset", "ir_version", "release"),
    [
        (18, 8, "1.14"),
        (19, 9, "1.16"),
        (20, 9, "1.17"),
        (20, 10, "1.18"),
        (21, 10, "1.18"),
        (19, 8, "1.15"),
        (22, 10, None),
    ],
)
def test_the_oldest_onnxruntime(opset, ir_version, release):
    assert oldest_onnxruntime(opset, ir_version) == release


def test_the_table_grows():
    columns = list(zip(*RELEASES, strict=True))[1:]
    assert all(list(column) == sorted(column) for column in columns)
    assert OPSET in OPSETS


@pytest.mark.parametrize("opset", [0, 17, 22, 99])
def test_another_opset_is_one_line(opset):
    with pytest.raises(UserError, match=f"takes 18 .* to 21; got {opset}") as caught:
        require_opset(opset)
    assert "\n" not in str(caught.value)
