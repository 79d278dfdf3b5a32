"""ONNX files as other makers write them, around one network that knows a class by its colour."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF, UINT8, INT32, INT64 = (
    getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "UINT8", "INT32", "INT64")
)


def write_network(
    file,
    colors,
    *,
    size=(32, 64),
    batch=1,
    dtype=FLOAT,
    layout="NCHW",
    answer="logits",
    made=INT64,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    stride=1,
    aux=0,
    inside=False,
    extra_input=False,
):
    """Write a network whose class of a pixel is that of the nearest colour; `colors` are `(K, 3)`, 0 to 255.

    Args:
        size: of the input; names of axes leave it open, as a `batch` does.
        answer: `logits` `(N, K, h, w)` (or `(N, h, w, K)` for that layout), `NHW` or `N1HW` labels of type `made`.
        mean, std: what the input has been normalised by.
        stride: of the logits.
        aux: channels of a second output, half as large.
        inside: normalise in the graph: the input is raw pixels.
    """
    colors = np.asarray(colors, np.float32) / 255
    # -|x - c|² = 2 c·x - |c|² + what all classes share; x = std * input + mean
    weight = 2 * colors * np.asarray(std, np.float32)
    bias = 2 * colors @ np.asarray(mean, np.float32) - (colors**2).sum(1)
    if inside:
        weight = 2 * colors / 255
    kind = HALF if dtype == HALF else FLOAT
    real = np.float16 if kind == HALF else np.float32
    nodes, x = [], "image"
    if dtype == UINT8:
        nodes.append(helper.make_node("Cast", [x], ["floats"], to=FLOAT))
        x = "floats"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [x], ["planes"], perm=[0, 3, 1, 2]))
        x = "planes"
    nodes.append(helper.make_node("Conv", [x, "weight", "bias"], ["scores"], strides=[stride, stride]))
    weights = [
        numpy_helper.from_array(weight[:, :, None, None].astype(real), "weight"),
        numpy_helper.from_array(bias.astype(real), "bias"),
    ]
    k, open_size = len(colors), isinstance(size[0], str)
    small = ("h2", "w2") if open_size else tuple(-(-side // stride) for side in size)
    if answer == "logits" and layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["scores"], ["answer"], perm=[0, 2, 3, 1]))
        out = helper.make_tensor_value_info("answer", kind, [batch, *small, k])
    elif answer == "logits":
        nodes.append(helper.make_node("Identity", ["scores"], ["answer"]))
        out = helper.make_tensor_value_info("answer", kind, [batch, k, *small])
    else:
        nodes.append(helper.make_node("ArgMax", ["scores"], ["index"], axis=1, keepdims=int(answer == "N1HW")))
        nodes.append(helper.make_node("Cast", ["index"], ["answer"], to=made))
        out = helper.make_tensor_value_info("answer", made, [batch, *([1] if answer == "N1HW" else []), *small])
    outputs = [out]
    if aux:
        weights.append(numpy_helper.from_array(np.ones((aux, k, 1, 1), real), "aux_weight"))
        nodes.append(helper.make_node("Conv", ["scores", "aux_weight"], ["aux"], strides=[2, 2]))
        half = ("h3", "w3") if open_size else tuple(-(-side // 2) for side in small)
        outputs.insert(0, helper.make_tensor_value_info("aux", kind, [batch, aux, *half]))
    shape = [batch, 3, *size] if layout == "NCHW" else [batch, *size, 3]
    inputs = [helper.make_tensor_value_info("image", dtype, shape)]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("scale", FLOAT, [1]))
    graph = helper.make_graph(nodes, "theirs", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    return file
