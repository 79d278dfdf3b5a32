"""A trained model that answers images of any size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.artifact import deploy, find_source
from zoo.catalog import find
from zoo.data.layout import Dataset
from zoo.data.spelling import Pixels
from zoo.errors import UserError, blamed_on
from zoo.measure.device import resolve_device
from zoo.pipeline import Pipeline
from zoo.record import Precision
from zoo.runtimes.base import Runnable
from zoo.spec import DatasetSpec, Size
from zoo.weights.source import Source, require_weights

_BAND_ROWS = 64  # of full-size logits that are alive at a time


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image."""

    image: Pixels
    """`(H, W, 3)` RGB."""
    train_ids: Pixels
    """`(H, W)` classes, `IGNORE_INDEX` for none of the dataset's."""
    confidence: Pixels | None
    """`(H, W)` highest softmax probability in 255ths; `None` where it was not asked for."""


@dataclass(frozen=True)
class Predictor:
    """A trained model that answers images of any size."""

    name: str
    classes: DatasetSpec
    source: Source
    """Its weights."""
    deployed: Callable[[Size], tuple[Pipeline, Runnable]]

    def __call__(self, image: Pixels, *, confidence: bool = False) -> Prediction:
        """Predict `(H, W, 3)` `uint8` RGB through the pipeline that is evaluated and benchmarked.

        Raises:
            UserError: the network fails on this image, or the device does not compute in this precision.
        """
        height, width, _ = image.shape
        with blamed_on(self.name):
            pipeline, runnable = self.deployed((height, width))
            *stages, upsample_argmax, copy_out = runnable.stages.values()
            x = torch.from_numpy(image)[None]
            for stage in stages:
                x = stage(x)  # at last (1, K, h, w) logits
            sure = _confidence(x, pipeline) if confidence else None
            return Prediction(image, copy_out(upsample_argmax(x))[0].numpy(), sure)


def load_predictor(
    name: str,
    dataset: Dataset | None = None,
    *,
    weights: Path | str = "auto",
    input_size: Size | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    runs: Path | str | None = None,
    cache: Path | None = None,
) -> Predictor:
    """Load a trained model to predict with.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        dataset: Its classes and colours, and which run's weights; `None`: those that a file of weights tells.
        weights: `auto`, `random`, `run[:RECIPE[:SEED]]`, `published[:TAG]`, `own` or a file (`zoo.weights.asked`).
        input_size: What the network sees, `(height, width)`; `None`: as it was trained, else the image's own size.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        precision: What the network computes in.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where published weights are kept; `None`: `ZOO_CACHE`, else the user's cache folder.

    Raises:
        UserError: unknown model or device, no weights, weights of another model or of other classes, or nobody tells
            what the classes are.
    """
    spec = find(name)
    source = find_source(weights, spec, dataset, runs, cache)
    if weights != "random":
        require_weights(source, spec.name)
    classes = dataset.spec if dataset is not None else source.classes
    if classes is None:
        raise UserError(f"{spec.name}: these weights tell no classes; give a dataset that has them with --data")
    deployed = deploy(spec, classes, source, device=resolve_device(device), precision=precision, input_size=input_size)
    return Predictor(name, classes, source, functools.lru_cache(maxsize=8)(deployed))


def _confidence(logits: Tensor, pipeline: Pipeline) -> Pixels:
    """Highest softmax probability of every pixel, `(1, K, h, w)` → `(H, W)` in 255ths, a band of rows at a time."""
    (rows, columns), corners = pipeline.grid_size, pipeline.spec.align_corners
    with torch.inference_mode():
        # Bilinear is separable: rows first, K * H * w values in all.
        tall = F.interpolate(logits.float(), (rows, logits.shape[3]), mode="bilinear", align_corners=corners)
        bands = []
        for band in torch.split(tall[:, :, : pipeline.output_size[0]], _BAND_ROWS, dim=2):
            wide = F.interpolate(band, (band.shape[2], columns), mode="bilinear", align_corners=corners)
            highest = wide[..., : pipeline.output_size[1]].softmax(dim=1).amax(dim=1)
            bands.append((highest * 255).round().to(torch.uint8))
        return torch.cat(bands, dim=1)[0].numpy(force=True)
