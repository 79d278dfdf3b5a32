"""int8 of an ONNX file, by the runtimes' own tools: the usual way, and what is known to help where it loses accuracy.

Every way is static: activations are `u8`, weights `s8` per channel, both simulated by pairs of QuantizeLinear and
DequantizeLinear (QDQ) around the network's operators. What comes before and after the network stays in floating point.

Sources: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html and, for NNCF,
https://docs.openvino.ai/2025/openvino-workflow/model-optimization.html
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.machine import spare_bytes
from zoo.protocol import DEFAULT_WAY
from zoo.runtimes.base import saturates_int8
from zoo.runtimes.onnx_stages import IMAGES, INPUT, cut

try:
    import onnx
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization import qdq_loss_debug
except ImportError:
    onnx = onnxruntime = quantization = qdq_loss_debug = None  # type: ignore[assignment]

OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Relu", "MaxPool", "Concat", "GlobalAveragePool")
"""Operators computed in int8, within the network alone."""
Calibration = Literal["MinMax", "Percentile", "Entropy"]
_CALIBRATION: dict[Calibration, dict[str, Any]] = {
    "MinMax": {},
    "Percentile": {"symmetric": False, "percentile": 99.99},
    "Entropy": {"symmetric": False, "num_bins": 512, "num_quantized_bins": 128},  # its own 128 bins leave no choice
}
HISTOGRAM_BYTES = 1 << 30
"""Of activations that a range is chosen from by their distribution, at most, but those of four images."""
MEMORY_SHARE = 0.25
"""Of the free memory that the activations of one image may take, where they are kept all at once."""


@dataclass(frozen=True)
class Way:
    """One way to make int8 of a network."""

    name: str
    """As records, cards and tables say it."""
    calibration: Calibration = "MinMax"
    seven_bits: bool = False
    """Of the weights: then products of `u8` and `s8` do not saturate on an x86 CPU without VNNI."""
    left_out: float = 0.0
    """Share of the activations that stay in floating point with the nodes around them: those that int8 tells worst."""
    by_nncf: bool = False


DEFAULT = Way(DEFAULT_WAY)
_NNCF = Way("NNCF", by_nncf=True)
_NARROW = Way("7-bit weights", seven_bits=True)
_REMEDIES = (
    Way("percentile calibration", calibration="Percentile"),
    Way("entropy calibration", calibration="Entropy"),
    Way("5 % of the activations in fp32", left_out=0.05),
    Way("20 % of the activations in fp32", left_out=0.2),
)


def remedies(runtime: str) -> tuple[Way, ...]:
    """Return what may help where the default loses accuracy in a runtime, in the order it is tried."""
    own = (_NNCF,) if runtime == "openvino" else ()
    narrow = (_NARROW,) if runtime == "openvino" and saturates_int8() else ()  # ONNX Runtime has exact products
    return (*narrow, *own, *_REMEDIES)


class Quantiser:
    """Makes int8 of one graph in several ways; what they share is computed once.

    Args:
        graph: The whole pipeline in fp32.
        images: That calibrate it, `(N, *image_size, 3)` `uint8`.
    """

    def __init__(self, graph: onnx.ModelProto, images: Sequence[Tensor]) -> None:
        assert images, "int8 is calibrated by images"
        self._graph = onnx.shape_inference.infer_shapes(graph)
        self._network = cut(self._graph, "network")
        self._preprocess = onnxruntime.InferenceSession(cut(self._graph, "preprocess").SerializeToString(), _quiet())
        self._images = images
        self._ranges: dict[Calibration, Any] = {}

    def why_not(self, way: Way) -> str:
        """Reason why a way cannot be gone here; empty when it can."""
        if way.by_nncf:
            return "" if importlib.util.find_spec("nncf") else "not installed: pip install 'zoo-seg[nncf]'"
        if way.calibration == "MinMax" and not way.left_out:
            return ""
        takes, free = self._activation_bytes(), spare_bytes()
        if takes > MEMORY_SHARE * free:
            return f"an image's activations take {takes / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
        return ""

    def quantise(self, way: Way) -> onnx.ModelProto:
        """Return the graph with its network in int8."""
        if way.by_nncf:
            return self._by_nncf()
        left_out = self._around(self._worst_told(way.left_out)) if way.left_out else set()
        outside = {node.name for node in self._graph.graph.node if _outside(node)}
        return self._quantise(self._graph, way, outside | left_out)

    def _quantise(self, graph: onnx.ModelProto, way: Way, left_out: set[str]) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(graph)  # it is changed in place
        quantiser = quantization.QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=way.seven_bits,
            weight_qType=quantization.QuantType.QInt8,
            activation_qType=quantization.QuantType.QUInt8,
            tensors_range=self._calibrate(way.calibration),
            nodes_to_quantize=[],
            nodes_to_exclude=sorted(left_out | _for_norms_alone(graph)),
            op_types_to_quantize=list(OPERATORS),
            extra_options={},
        )
        with _silence():
            quantiser.quantize_model()
        quantiser.model.topological_sort()
        made: onnx.ModelProto = quantiser.model.model
        return made

    def _calibrate(self, calibration: Calibration) -> Any:
        """The range of every activation. Images are taken one by one: a histogram's tool keeps all it is given."""
        if calibration not in self._ranges:
            with tempfile.TemporaryDirectory() as folder, _silence():
                source = Path(folder) / "network.onnx"
                onnx.save(self._network, str(source))
                calibrator = quantization.create_calibrator(
                    source,
                    list(OPERATORS),
                    augmented_model_path=str(Path(folder) / "augmented.onnx"),
                    calibrate_method=quantization.CalibrationMethod[calibration],
                    extra_options=_CALIBRATION[calibration],
                )
                for image in self._images[: self._count(calibration)]:
                    calibrator.collect_data(_Reader([self._fed(image)]))
                self._ranges[calibration] = calibrator.compute_data()
        return self._ranges[calibration]

    def _count(self, calibration: Calibration) -> int:
        """How many images are looked at: a histogram of many large activations takes minutes."""
        return len(self._images) if calibration == "MinMax" else max(4, HISTOGRAM_BYTES // self._activation_bytes())

    def _fed(self, image: Tensor) -> dict[str, Any]:
        """What the network sees of an image."""
        (given,) = self._preprocess.run([INPUT], {IMAGES: image.numpy()})
        return {INPUT: given}

    def _worst_told(self, share: float) -> list[str]:
        """Names of the activations that lose most to int8, by the signal-to-noise ratio of ONNX Runtime's debugger."""
        told = self._told()
        return sorted(told, key=lambda name: told[name])[: max(1, round(share * len(told)))]

    def _told(self) -> dict[str, float]:
        """Signal over quantisation noise of each activation, in dB, on one image."""
        fed = self._fed(self._images[len(self._images) // 2])
        int8 = self._quantise(self._network, DEFAULT, set())
        with tempfile.TemporaryDirectory() as folder, _silence():
            seen = []
            for name, model in (("fp32", self._network), ("int8", int8)):
                source, shown = Path(folder) / f"{name}.onnx", Path(folder) / f"{name}_shown.onnx"
                onnx.save(model, str(source))
                qdq_loss_debug.modify_model_output_intermediate_tensors(source, shown)
                seen.append(qdq_loss_debug.collect_activations(str(shown), _Reader([fed])))
            matched = qdq_loss_debug.create_activation_matching(seen[1], seen[0])
            matched = {name: both for name, both in matched.items() if "float" in both}
            errors = qdq_loss_debug.compute_activation_error(matched)
        return {name: error["qdq_err"] for name, error in errors.items()}

    def _around(self, activations: Sequence[str]) -> set[str]:
        """Nodes that make or take an activation."""
        wanted = set(activations)
        return {node.name for node in self._graph.graph.node if wanted & {*node.input, *node.output}}

    def _activation_bytes(self) -> int:
        """Of one image, all at once, as fp32."""
        total = 0
        for value in self._network.graph.value_info:
            size = 4
            for side in value.type.tensor_type.shape.dim:
                size *= max(1, side.dim_value)
            total += size
        return max(1, total)

    def _by_nncf(self) -> onnx.ModelProto:
        """Quantise by NNCF, which also corrects the biases."""
        os.environ.setdefault("NNCF_CI", "1")  # else it reports to its makers
        outside = [node.name for node in self._graph.graph.node if _outside(node)]
        with _silence():
            nncf = importlib.import_module("nncf")  # a package that few have
            made: onnx.ModelProto = nncf.quantize(
                self._graph,
                nncf.Dataset(self._images, lambda image: {IMAGES: image.numpy()}),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(self._images),
                ignored_scope=nncf.IgnoredScope(names=outside, validate=False),
            )
        return made


def _outside(node: onnx.NodeProto) -> bool:
    """Whether a node is none of the network's."""
    return not node.name.startswith("network/")


def _for_norms_alone(graph: onnx.ModelProto) -> set[str]:
    """Concatenations that a batch norm alone reads, in fp32: int8 gains nothing, and OpenVINO 2026.4 dies of it."""
    readers: dict[str, set[str]] = defaultdict(set)
    for node in graph.graph.node:
        for name in node.input:
            readers[name].add(node.op_type)
    return {
        node.name
        for node in graph.graph.node
        if node.op_type == "Concat" and readers[node.output[0]] == {"BatchNormalization"}
    }


def _quiet() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return options


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the tools print and recommend to themselves; what they raise comes through."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


class _Reader(quantization.CalibrationDataReader if quantization else object):  # type: ignore[misc]
    """What a model is fed with, one by one."""

    def __init__(self, fed: Sequence[dict[str, Any]]) -> None:
        self._left = iter(fed)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)
