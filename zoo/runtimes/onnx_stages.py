"""The names that mark the stages inside an ONNX file, and cutting a stage out of it."""

from __future__ import annotations

try:
    from onnx import ModelProto
    from onnx.utils import Extractor
except ImportError:
    Extractor = None  # type: ignore[assignment, misc]

IMAGES, INPUT, LOGITS, LABELS = "images", "network_input", "logits", "labels"
CUTS = {"preprocess": (IMAGES, INPUT), "network": (INPUT, LOGITS), "upsample_argmax": (LOGITS, LABELS)}


def cut(graph: ModelProto, stage: str) -> ModelProto:
    """Return a stage of a graph, whose shapes are inferred, as a model of its own."""
    begin, end = CUTS[stage]
    return Extractor(graph).extract_model([begin], [end])
