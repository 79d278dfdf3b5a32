"""The ONNX files that ONNX Runtime, OpenVINO and TensorRT run: cut into stages by name, quantised.

A file holds the whole pipeline, `uint8` image to `uint8` label map, in standard operators, full-size logits included.
Two tensors inside it keep their names: the network scope and the waterfall are measured on cuts of the very file.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zoo.any_size import AnySizePostprocess, AnySizePreprocess
from zoo.errors import UserError
from zoo.lazy import Lazy
from zoo.pipeline import Pipeline
from zoo.quantisation import Quantisation
from zoo.record import Build, MemoryFormat, Precision
from zoo.runtimes.base import DTYPES, first_line, model_errors, stage_modules, trace, without
from zoo.runtimes.onnx_stages import CUTS, IMAGES, INPUT, LABELS, LOGITS, cut
from zoo.runtimes.quantising import DEFAULT, Quantiser, Way

try:
    import onnx
    from onnx import compose
except ImportError:
    onnx = compose = None  # type: ignore[assignment]
if TYPE_CHECKING:
    import onnx_ir
else:
    onnx_ir = Lazy("onnx_ir")  # of the exporter: what only reads files has none

FORMAT = ".onnx"
FRAME = "frame"
"""The images once more, as the last stage of a graph for any size takes them before the stages are merged."""
SIDES = ("height", "width")
"""Names of the sides of the images, where they are open."""
_TAKEN_FOR_0 = 1e-8
"""By the exporter's optimiser, where it is added."""
_INT8 = {"QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}
"""Operators that only a quantised file has, beside those of a `QLinear…` name."""


def why_missing(runtime: str, *packages: str) -> str:
    """What to install before `runtime` can build and run ONNX files."""
    missing = [
        name for name in ("onnx", "onnxscript", "onnxruntime", *packages) if importlib.util.find_spec(name) is None
    ]
    if not missing:
        return ""
    how = "'zoo-seg[runtimes]'" if runtime != "tensorrt" else f"'zoo-seg[runtimes]' {' '.join(packages)}"
    return f"runtime {runtime} needs {', '.join(missing)}: pip install {how}"


def build(
    pipeline: Pipeline,
    file: Path,
    *,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat,  # noqa: ARG001  the runtimes lay tensors out as they like
    batch_size: int,
    calibration: Sequence[Tensor],
    opset: int,
    any_size: bool,
    by_reductions: bool = False,
) -> Build:
    """Write `pipeline` as one ONNX file, of the lowest IR version that its operator set allows.

    Args:
        pipeline: in eval mode.
        file: to be written.
        device: where it is recorded.
        precision: `fp32`, `fp16`, or `int8`, which is fp32 quantised by what `calibration` shows.
        memory_format: means nothing here.
        batch_size: N, fixed.
        calibration: images `(1, *image_size, 3)` `uint8`, for int8 alone.
        opset: one of `OPSETS`.
        any_size: leave the sides of the frame open.
        by_reductions: find the largest logit without `ArgMax`.

    Raises:
        ModelError: the network cannot be recorded, converted or quantised, or its file be written.
    """
    assert precision in ("fp32", "fp16", "int8")
    start = time.perf_counter()
    pipeline.to(device).cast(DTYPES[precision if precision == "fp16" else "fp32"], torch.contiguous_format)
    images = torch.zeros((batch_size, *pipeline.image_size, 3), dtype=torch.uint8, device=device)
    # One by one, so that no optimiser moves an operator across a border.
    graph, *others = (_export(*stage, opset, any_size) for stage in _stages(pipeline, images, any_size))
    if by_reductions:
        _find_largest_by_reductions(others[-1].graph)
    for border, other in zip((INPUT, LOGITS), others, strict=True):
        ends = list(graph.graph.output)
        graph = compose.merge_models(graph, other, io_map=[(border, border)])
        graph.graph.value_info.extend(ends)  # merging forgets them, and a cut needs its ends' types
    _share_images(graph.graph)
    del graph.opset_import[1:]  # merging lists the one operator set once per stage
    facts = Build(export_s=time.perf_counter() - start, options={"opset": str(opset)})
    if precision == "int8":
        start = time.perf_counter()
        quantise(Quantiser(graph, calibration), DEFAULT, file)
        calibrated = {"calibrate_s": time.perf_counter() - start, "calibration_image_count": len(calibration)}
        options = facts.options | quantisation(DEFAULT.name)
        return facts.model_copy(
            update={**calibrated, "options": options, "quantisation": Quantisation(way=DEFAULT.name)}
        )
    _save(graph, file)
    return facts


def build_by_reductions(pipeline: Pipeline, file: Path, **how: Any) -> Build:
    """Write it as `build` does, but for `ArgMax`: the same label is found by reductions."""
    return build(pipeline, file, by_reductions=True, **how)


def quantise(quantiser: Quantiser, way: Way, file: Path) -> None:
    """Write a network in int8.

    Raises:
        ModelError: it cannot be quantised, or its file be written.
    """
    with model_errors("this network cannot be quantised"):
        graph = quantiser.quantise(way)
    _save(graph, file)


def quantisation(way: str) -> dict[str, str]:
    """Return what an artifact's options say of how it was quantised, by the way's name."""
    return {"quantisation": f"static, QDQ, {way}, weights per channel, u8 activations"}


def _save(graph: onnx.ModelProto, file: Path) -> None:
    graph.ir_version = onnx.helper.find_min_ir_version_for(graph.opset_import)  # the exporter writes its own newest
    with model_errors("ONNX cannot hold this network"):  # protobuf ends at 2 GiB
        onnx.save(graph, str(file))


def cuts(file: Path) -> dict[str, bytes]:
    """The stages of a file as models of their own; empty for a file without the names that mark them.

    Where the sides of the frame are open the last stage is left out: it needs the frame beside the logits.

    Raises:
        UserError: not an ONNX file.
    """
    graph = read(file)
    names = {name for node in graph.graph.node for name in node.output}
    if not {INPUT, LOGITS, LABELS} <= names:
        return {}
    graph = onnx.shape_inference.infer_shapes(graph)  # a cut needs its ends' types
    kept = list(CUTS)[: 3 if all(_port(graph.graph.input[0]).shape) else 2]
    return {stage: cut(graph, stage).SerializeToString() for stage in kept}


def read(file: Path) -> onnx.ModelProto:
    """Read and check an ONNX file.

    Raises:
        UserError: it is none.
    """
    try:
        graph = onnx.load(str(file))
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf's and the checker's errors have no common parent
        if missing := [name for name in _data_files(file) if not (file.parent / name).is_file()]:
            raise UserError(
                f"{file} keeps weights in {', '.join(missing)}, which is not there; copy it beside the file"
            ) from error
        raise UserError(f"{file} is not a valid ONNX file: {first_line(error)}") from error
    return graph


def _data_files(file: Path) -> tuple[str, ...]:
    """Names of the files beside an ONNX file that hold its weights; none where it is no ONNX file."""
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except Exception:  # noqa: BLE001  protobuf's errors have no common parent
        return ()
    entries = (entry for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location")
    return tuple(dict.fromkeys(entry.value for entry in entries))


@dataclass(frozen=True)
class Port:
    """An input or output: a size that is not fixed is 0."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    precision: Precision
    """What it computes in where a runtime chooses nothing else: its integers or half-precision weights say so."""
    batch_norm: Literal["kept"] | None
    """`None`: there is none, which does not tell whether the exporter folded it into the convolutions."""
    weights_bytes: int
    """Of the initialisers."""
    opset: int
    ir_version: int
    data_files: tuple[str, ...] = ()
    """Names of the files beside it that hold weights."""


def contents(file: Path) -> Contents:
    """Read a file once.

    Raises:
        UserError: not an ONNX file.
    """
    model = read(file)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    return Contents(
        inputs=tuple(_port(value) for value in graph.input if value.name not in weights),
        outputs=tuple(_port(value) for value in graph.output),
        precision=_precision(graph),
        batch_norm="kept" if any(node.op_type == "BatchNormalization" for node in graph.node) else None,
        weights_bytes=sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer),
        opset=max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        ir_version=model.ir_version,
        data_files=_data_files(file),
    )


def shapes(file: Path, given: str, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shapes of the outputs by name, where the input `given` has this one; a side that does not follow is 0."""
    model = read(file)
    for value in model.graph.input:
        if value.name == given:
            for side, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                side.dim_value = size
    for value in model.graph.output:  # what it says of them itself may be names
        for side in value.type.tensor_type.shape.dim:
            if not side.dim_value:
                side.Clear()
    outputs = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
    return {value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim) for value in outputs}


def _port(value: onnx.ValueInfoProto) -> Port:
    kind = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return Port(value.name, name, tuple(side.dim_value for side in kind.shape.dim))


def _precision(graph: onnx.GraphProto) -> Precision:
    if any("QLinear" in node.op_type or node.op_type in _INT8 for node in graph.node):
        return "int8"
    kinds = {tensor.data_type for tensor in graph.initializer}
    if onnx.TensorProto.BFLOAT16 in kinds:
        return "bf16"
    return "fp16" if onnx.TensorProto.FLOAT16 in kinds else "fp32"


def _stages(pipeline: Pipeline, images: Tensor, any_size: bool) -> list[tuple[str, nn.Module, tuple[Tensor, ...]]]:
    """Name, module and what it is given, for each stage in order."""
    (preprocess, _), (network, x), (postprocess, logits) = stage_modules(pipeline, images).values()
    if any_size:
        preprocess, postprocess = AnySizePreprocess(pipeline), AnySizePostprocess(pipeline)
    last = (logits, images) if any_size else (logits,)
    return list(zip(CUTS, (preprocess, network, postprocess), ((images,), (x,), last), strict=True))


def _export(stage: str, module: nn.Module, given: tuple[Tensor, ...], opset: int, any_size: bool) -> onnx.ModelProto:
    """One stage as ONNX; all names but those of its ends begin with the stage's own."""
    begin, end = CUTS[stage]
    recorded = trace(module, *given, any_size=any_size)
    with (
        model_errors("the ONNX exporter cannot convert this network"),
        without("onnx_ir._convenience", "Attribute type is ambiguous"),  # of the exporter's own making
        warnings.catch_warnings(),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            recorded,
            dynamo=True,
            opset_version=opset,
            input_names=[begin, FRAME][: len(given)],
            output_names=[end],
            optimize=False,
            verbose=False,
        )
        assert program is not None
        _keep_small_terms(program.model.graph)
        program.optimize()
    model = program.model_proto
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")  # stack traces, with the folders of the machine that exported it
    if any_size:
        _name_sides(graph)
    return compose.add_prefix(model, f"{stage}/", rename_inputs=False, rename_outputs=False)


def _keep_small_terms(graph: onnx_ir.Graph) -> None:
    """Make vectors of one element of the terms that the exporter's optimiser would leave out: `x + 1e-15` is not `x`.

    It takes every scalar of at most 1e-8 for 0, and looks at scalars alone.
    """
    for node in graph:
        value = node.attributes.get("value")
        if (
            node.op_type != "Constant"
            or value is None
            or not all(user.op_type in ("Add", "Sub") for user, _ in node.outputs[0].uses())
        ):
            continue
        term = value.as_tensor().numpy()
        if term.ndim == 0 and 0 < abs(term) <= _TAKEN_FOR_0:
            node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(term.reshape(1)))


def _find_largest_by_reductions(graph: onnx.GraphProto) -> None:
    """Replace `ArgMax` and the cast of what it finds: the first channel that equals the largest, as it does.

    The last one where none does, which NaN makes so.
    """
    argmax = next(node for node in graph.node if node.op_type == "ArgMax")
    cast = next(node for node in graph.node if argmax.output[0] in node.input)
    assert cast.op_type == "Cast", "to uint8"
    (logits,), (labels,), count = argmax.input, cast.output, _port(graph.input[0]).shape[1]
    ids, last, axis, largest, found, named, first = (
        f"upsample_argmax/{name}" for name in ("ids", "last", "axis", "largest", "found", "named", "first")
    )
    channels = np.arange(count, dtype=np.uint8)
    held = {ids: channels.reshape(1, count, 1, 1), last: channels[-1:], axis: np.array([1])}
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in held.items())
    nodes = (
        onnx.helper.make_node("ReduceMax", [logits, axis], [largest], largest, keepdims=1),
        onnx.helper.make_node("Equal", [logits, largest], [found], found),
        onnx.helper.make_node("Where", [found, ids, last], [named], named),
        onnx.helper.make_node("ReduceMin", [named, axis], [labels], first, keepdims=0),
    )
    at = list(graph.node).index(argmax)
    kept = [node for node in graph.node if node not in (argmax, cast)]
    del graph.node[:]
    graph.node.extend((*kept[:at], *nodes, *kept[at:]))
    shapes = [value for value in graph.value_info if value.name != argmax.output[0]]
    del graph.value_info[:]
    graph.value_info.extend(shapes)


def _name_sides(graph: onnx.GraphProto) -> None:
    """Call the open sides of a stage's images `height` and `width`; what else is open in it gets no name."""
    del graph.value_info[:]
    open_sides = [
        dict(zip((side.dim_param for side in value.type.tensor_type.shape.dim[1:3]), SIDES, strict=True))
        for value in graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    ]
    for names in open_sides:
        for value in (*graph.input, *graph.output):
            for side in value.type.tensor_type.shape.dim:
                if side.dim_param:
                    side.dim_param = names.get(side.dim_param, side.dim_param)


def _share_images(graph: onnx.GraphProto) -> None:
    """Let the last stage look at the one input, where it has asked for the images as well."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == FRAME:
                node.input[index] = IMAGES
    kept = [value for value in graph.input if value.name != FRAME]
    del graph.input[:]
    graph.input.extend(kept)
