"""The ONNX file that ONNX Runtime, OpenVINO and TensorRT run: written once, cut into stages by name, quantised.

The file holds the whole pipeline, `uint8` image to `uint8` label map, in standard operators, full-size logits included.
Two tensors inside it keep their names: the network scope and the waterfall are measured on cuts of the very file.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Precision
from zoo.runtimes.base import DTYPES, first_line, model_errors, stage_modules, trace

try:
    import onnx
    from onnx import compose
    from onnx.utils import Extractor
    from onnxruntime import quantization
except ImportError:
    onnx = compose = quantization = None  # type: ignore[assignment]

FORMAT = ".onnx"
OPSET = 20
IMAGES, INPUT, LOGITS, LABELS = "images", "network_input", "logits", "labels"
CUTS = {"preprocess": (IMAGES, INPUT), "network": (INPUT, LOGITS), "upsample_argmax": (LOGITS, LABELS)}
QUANTISED = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Relu", "MaxPool", "Concat", "GlobalAveragePool")
"""Operators computed in int8, within the network alone: what comes before and after it stays in floating point."""
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
) -> Build:
    """Write `pipeline` as one ONNX file.

    Args:
        pipeline: in eval mode.
        file: to be written.
        device: where it is recorded.
        precision: `fp32`, `fp16`, or `int8`, which is fp32 quantised by what `calibration` shows.
        memory_format: means nothing here.
        batch_size: N, fixed.
        calibration: images `(1, *image_size, 3)` `uint8`, for int8 alone.

    Raises:
        ModelError: the network cannot be recorded, converted or quantised, or its file be written.
    """
    assert precision in ("fp32", "fp16", "int8")
    start = time.perf_counter()
    pipeline.to(device).cast(DTYPES[precision if precision == "fp16" else "fp32"], torch.contiguous_format)
    images = torch.zeros((batch_size, *pipeline.image_size, 3), dtype=torch.uint8, device=device)
    # One by one, so that no optimiser moves an operator across a border.
    graph, *others = (_export(name, *stage) for name, stage in stage_modules(pipeline, images).items())
    for border, other in zip((INPUT, LOGITS), others, strict=True):
        graph = compose.merge_models(graph, other, io_map=[(border, border)])
    del graph.opset_import[1:]  # merging lists the one operator set once per stage
    facts = Build(export_s=time.perf_counter() - start, options={"opset": str(OPSET)})
    if precision == "int8":
        start = time.perf_counter()
        with model_errors("ONNX Runtime cannot quantise this network"):
            graph = _quantise(graph, calibration)
        calibrate_s = time.perf_counter() - start
        facts = facts.model_copy(
            update={
                "calibrate_s": calibrate_s,
                "calibration_image_count": len(calibration),
                "options": {**facts.options, "quantisation": "static, QDQ, min-max, per channel, u8 activations"},
            }
        )
    with model_errors("ONNX cannot hold this network"):  # protobuf ends at 2 GiB
        onnx.save(graph, str(file))
    return facts


def cuts(file: Path) -> dict[str, bytes]:
    """The stages of a file as models of their own; empty for a file without the names that mark them.

    Raises:
        UserError: not an ONNX file.
    """
    graph = read(file)
    names = {name for node in graph.graph.node for name in node.output}
    if not {INPUT, LOGITS, LABELS} <= names:
        return {}
    graph = onnx.shape_inference.infer_shapes(graph)  # a cut needs its ends' types
    return {stage: _cut(graph, begin, end).SerializeToString() for stage, (begin, end) in CUTS.items()}


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
    data_files: tuple[str, ...] = ()
    """Names of the files beside it that hold weights."""


def contents(file: Path) -> Contents:
    """Read a file once.

    Raises:
        UserError: not an ONNX file.
    """
    graph = read(file).graph
    weights = {tensor.name for tensor in graph.initializer}
    return Contents(
        inputs=tuple(_port(value) for value in graph.input if value.name not in weights),
        outputs=tuple(_port(value) for value in graph.output),
        precision=_precision(graph),
        batch_norm="kept" if any(node.op_type == "BatchNormalization" for node in graph.node) else None,
        weights_bytes=sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer),
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


def _export(stage: str, module: nn.Module, given: Tensor) -> onnx.ModelProto:
    """One stage as ONNX; all names but those of its two ends begin with the stage's own."""
    begin, end = CUTS[stage]
    recorded = trace(module, given)
    with model_errors("the ONNX exporter cannot convert this network"), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            recorded,
            dynamo=True,
            opset_version=OPSET,
            input_names=[begin],
            output_names=[end],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")  # stack traces, with the folders of the machine that exported it
    return compose.add_prefix(model, f"{stage}/", rename_inputs=False, rename_outputs=False)


def _cut(graph: onnx.ModelProto, begin: str, end: str) -> onnx.ModelProto:
    return Extractor(graph).extract_model([begin], [end])


def _quantise(graph: onnx.ModelProto, calibration: Sequence[Tensor]) -> onnx.ModelProto:
    """Insert QDQ pairs into the network by ONNX Runtime's own static quantisation."""
    assert calibration, "int8 is calibrated by images"
    log = logging.getLogger()
    level = log.level
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(graph), str(source))
        log.setLevel(logging.ERROR)  # it recommends a preparation that the exporter has done
        try:
            quantization.quantize_static(
                source,
                target,
                _Images(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=[node.name for node in graph.graph.node if not node.name.startswith("network/")],
            )
        finally:
            log.setLevel(level)
        return onnx.load(str(target))


class _Images(quantization.CalibrationDataReader if quantization else object):  # type: ignore[misc]
    """Calibration images, one by one."""

    def __init__(self, images: Sequence[Tensor]) -> None:
        self._left: Iterator[Tensor] = iter(images)

    def get_next(self) -> dict[str, object] | None:
        image = next(self._left, None)
        return None if image is None else {IMAGES: image.numpy()}
