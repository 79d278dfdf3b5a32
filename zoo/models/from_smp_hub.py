"""Networks of segmentation-models-pytorch (smp) that `save_pretrained` wrote, adapted as `from_smp` does.

URL: https://github.com/qubvel-org/segmentation_models.pytorch
Licence: MIT; the MiT encoder of SegFormer stands under the NVIDIA Source Code License (non-commercial)

The encoder's own weights are never fetched: they are among those that were saved.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import Tensor, nn

from zoo.errors import ModelError
from zoo.models.contract import tensors_of
from zoo.models.from_smp import DensePredictionTransformer, Segmenter


def smp_hub_model(num_classes: int, pretrained: bool, *, kind: str, options: dict[str, Any]) -> nn.Module:
    """Build smp's class `kind` with random weights; `options` are its keywords.

    The module carries the `mean` and `std` that timm names for its encoder (`tu-…`).

    Raises:
        ModelError: this version of smp does not know it.
    """
    assert not pretrained
    model = _adapted(_library_class(kind)(encoder_weights=None, classes=num_classes, **options), kind)
    encoder = str(options.get("encoder_name", ""))
    config = timm.get_pretrained_cfg(encoder.removeprefix("tu-")) if encoder.startswith("tu-") else None
    if config is not None:
        for name in ("mean", "std"):
            setattr(model, name, tuple(getattr(config, name)))
    return model


def read_tensors(folder: Path, num_classes: int, kind: str, options: dict[str, Any]) -> dict[str, Tensor]:
    """Read a folder's weights as smp does, strictly, under the names of `smp_hub_model`'s network."""
    given = {**options, "encoder_weights": None, "classes": num_classes}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where it reads from
        model = _library_class(kind).from_pretrained(folder, **given, local_files_only=True, strict=True)
    return tensors_of(_adapted(model, kind))


def _library_class(kind: str) -> Any:
    found = getattr(smp, kind, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ModelError(f"smp {smp.__version__} has no network {kind}")
    return found


def _adapted(model: nn.Module, kind: str) -> nn.Module:
    return (DensePredictionTransformer if kind == "DPT" else Segmenter)(model)
