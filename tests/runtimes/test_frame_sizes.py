"""A file runs whatever the frame's size and the input's: no size leaves an operator behind that a runtime lacks."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.runtimes import aoti, base, onnx_file, table
from zoo.runtimes.opset import OPSET
from zoo.spec import ModelSpec

CPU = torch.device("cpu")
SIZES = (
    ((720, 1280), (512, 1024)),
    ((1080, 1920), (512, 1024)),
    ((480, 640), (512, 1024)),
    ((720, 960), (512, 1024)),
    ((1208, 1920), (512, 1024)),
    ((375, 500), (512, 512)),
    ((376, 1241), (256, 512)),
    ((1024, 2048), (512, 1024)),
    ((1086, 2046), (256, 512)),
    ((2160, 3840), (256, 512)),
    ((321, 481), (96, 128)),
)
"""Frame → input."""
FEW = SIZES[0], SIZES[5], SIZES[6]


def make_pipeline(frame, size, resize="fit", train_ids=None) -> Pipeline:
    torch.manual_seed(0)
    spec = ModelSpec(name="net", builder="tests:none", family="Net", divisor=32, train_ids=train_ids)
    model = nn.Conv2d(3, 5, 8, 8)
    return Pipeline(model, spec, image_size=frame, input_size=size, output_size=frame, resize=resize).eval()


def smooth(frame) -> torch.Tensor:
    """A picture whose labels do not hang on rounding: `(1, *frame, 3)` `uint8`."""
    coarse = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(3))
    picture = nn.functional.interpolate(coarse, frame, mode="bicubic").clamp(0, 1)
    return (picture * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="module", params=SIZES, ids=lambda sizes: "{}x{}-{}x{}".format(*sizes[0], *sizes[1]))
def resized(request, tmp_path_factory):
    """The preprocess stage as a file, what it is given, and what torch makes of it."""
    pipeline = make_pipeline(*request.param)
    images = smooth(request.param[0])
    file = tmp_path_factory.mktemp("resized") / "preprocess.onnx"
    onnx.save(onnx_file._export(*onnx_file._stages(pipeline, images, False)[0], OPSET, False), file)
    return file, images, pipeline.preprocess(images)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_size_is_brought_to_the_input_as_torch_does(runtime, resized):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    file, images, expected = resized
    found = table.load_file(runtime, file, device=CPU, precision="fp32").whole(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_nothing_in_a_file_is_float64(resized):
    graph = onnx.shape_inference.infer_shapes(onnx.load(resized[0])).graph
    kinds = {tensor.data_type for tensor in graph.initializer}
    kinds |= {value.type.tensor_type.elem_type for value in graph.value_info}
    assert onnx.TensorProto.FLOAT in kinds
    assert onnx.TensorProto.DOUBLE not in kinds


def expected(frame, size) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, and what eager labels them."""
    images = smooth(frame)
    labels = table.load_pipeline("eager", make_pipeline(frame, size), device=CPU, precision="fp32").predict(images)
    assert len(labels.unique()) > 2 or min(frame) == 1, "the labels must vary"
    return images, labels


def check(runtime, file, frame, size) -> base.Runnable:
    images, labels = expected(frame, size)
    runnable = table.load_file(runtime, file, device=CPU, precision="fp32")
    assert (runnable.predict(images) == labels).float().mean() > 0.999
    return runnable


@pytest.mark.parametrize(("frame", "size"), FEW)
def test_a_whole_file_answers_as_eager_does(frame, size, tmp_path):
    file = tmp_path / "model.onnx"
    table.build("onnxruntime", make_pipeline(frame, size), file, device=CPU, precision="fp32")
    for runtime in ("onnxruntime", "openvino"):
        if not table.why_missing(runtime, CPU):
            check(runtime, file, frame, size)


@pytest.mark.slow
@pytest.mark.parametrize(("frame", "size"), FEW[-1:])
def test_a_whole_package_answers_as_eager_does(frame, size, tmp_path, monkeypatch):
    if reason := table.why_missing("aoti", CPU):
        pytest.skip(reason)
    monkeypatch.setattr(aoti, "stage_modules", lambda *_: {})  # only the whole is asked here
    table.build("aoti", make_pipeline(frame, size), tmp_path / "model.pt2", device=CPU, precision="fp32")
    check("aoti", tmp_path / "model.pt2", frame, size)


@pytest.fixture(scope="module", params=["fit", "stretch"])
def any_size(request, tmp_path_factory):
    """A file for frames of any size, recorded with a square one; the input it brings them to, and how."""
    pipeline = make_pipeline((96, 96), (256, 512), request.param)
    file = tmp_path_factory.mktemp("any") / "model.onnx"
    table.build("onnxruntime", pipeline, file, device=CPU, precision="fp32", any_size=True)
    return file, request.param


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_one_file_takes_frames_of_any_size(runtime, any_size):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    file, resize = any_size
    runnable = table.load_file(runtime, file, device=CPU, precision="fp32")
    for frame in ((375, 500), (96, 96), (376, 1241), (720, 960), (256, 512), (1, 1), (97, 31)):
        pipeline = make_pipeline(frame, (256, 512), resize)
        images = smooth(frame)
        labels = table.load_pipeline("eager", pipeline, device=CPU, precision="fp32").predict(images)
        answer = runnable.predict(images)
        assert answer.shape == labels.shape
        assert (answer == labels).float().mean() > 0.999, frame
    x = runnable.preprocess(smooth((375, 500)))
    assert x.shape == (1, 3, 256, 512)
    assert runnable.network(x).shape == (1, 5, 32, 64)
    assert runnable.stages == {}, "the last stage needs the frame beside the logits"


@pytest.mark.parametrize("sides", ["fixed", "open"])
@pytest.mark.parametrize(
    ("runtime", "precision"), [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "fp32")]
)
def test_a_file_names_its_channels_as_eager_does(runtime, precision, sides, tmp_path):
    """Weights of another class order, of more classes, of classes that are none of the dataset's."""
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    frame, size, order = (120, 160), (96, 128), (2, 255, 0, 1, 255)
    images = smooth(frame)
    plain, named = (make_pipeline(frame, size, train_ids=train_ids) for train_ids in (None, order))
    channels, labels = (
        table.load_pipeline("eager", one, device=CPU, precision="fp32").predict(images) for one in (plain, named)
    )
    assert torch.equal(labels, torch.tensor(order, dtype=torch.uint8)[channels.long()])
    assert len(labels.unique()) >= 3
    file = tmp_path / "model.onnx"
    table.build(runtime, named, file, device=CPU, precision=precision, calibration=[images], any_size=sides == "open")
    answer = table.load_file(runtime, file, device=CPU, precision=precision).predict(images)
    assert (answer.dtype, answer.shape) == (torch.uint8, labels.shape)
    assert (answer == labels).float().mean() > (0.999 if precision == "fp32" else 0.9)


def test_open_sides_have_names(any_size):
    graph = onnx.load(any_size[0]).graph
    (given,), (made,) = graph.input, graph.output
    sides = [[side.dim_param or side.dim_value for side in port.type.tensor_type.shape.dim] for port in (given, made)]
    assert sides == [[1, "height", "width", 3], [1, "height", "width"]]


@pytest.mark.parametrize("runtime", ["aoti", "tensorrt"])
def test_a_runtime_of_one_size_says_so_in_one_line(runtime, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_require", lambda *_, **__: None)
    with pytest.raises(UserError, match="leave --dynamic out") as caught:
        table.build(
            runtime, make_pipeline((64, 96), (64, 96)), tmp_path / "m", device=CPU, precision="fp32", any_size=True
        )
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("frame", "size"), FEW[1:])
def test_compiled_code_answers_as_eager_does(frame, size):
    if reason := table.why_missing("compile", CPU):
        pytest.skip(reason)
    images, labels = expected(frame, size)
    compiled = table.load_pipeline("compile", make_pipeline(frame, size), device=CPU, precision="fp32")
    assert (compiled.predict(images) == labels).float().mean() > 0.999
