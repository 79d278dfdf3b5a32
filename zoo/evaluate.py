"""The accuracy of a model by its name, and the record of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from zoo.artifact import Deployed, deploy, find_source
from zoo.catalog import find
from zoo.checkpoint import read_facts
from zoo.counting import EvaluationResult, Predict, by_size, evaluate
from zoo.data.layout import Dataset, OnFrame
from zoo.data.loading import evaluation_frames
from zoo.data.spelling import Pixels
from zoo.errors import blamed_on
from zoo.measure.device import resolve_device
from zoo.modes import predictor
from zoo.record import Mode, Precision
from zoo.spec import Size
from zoo.train.norms import GAP_IMAGES, mode_gap
from zoo.weights import Source, require_weights

WHOLE = Mode()
GAP_PIXELS = 8_000_000
"""At most so many of the network's input at once, where statistics are looked at, but two frames."""


def evaluate_model(
    name: str,
    dataset: Dataset,
    split: str = "val",
    *,
    weights: Path | str = "auto",
    input_size: Size | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    mode: Mode = WHOLE,
    runs: Path | str | None = None,
    cache: Path | None = None,
    on_source: Callable[[Source], None] = lambda _source: None,
    on_image: OnFrame | None = None,
) -> EvaluationResult:
    """Score a model on a split at the ground truth's full size; what `zoo eval MODEL` does.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        dataset: An opened dataset.
        split: Such as `"val"`.
        weights: `auto`, `run[:RECIPE[:SEED]]`, `published[:TAG]`, `own` or a file (`zoo.weights`).
        input_size: What the network sees, `(height, width)`; `None`: as it was trained, else the frame's own size.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        precision: What the network computes in.
        mode: How frames are read (`zoo.modes.evaluation_mode`); as they are deployed, whole, unless given.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where published weights are kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        on_source: Told which weights were taken.
        on_image: Told of every image.

    Raises:
        UserError: unknown model or device, no weights, weights of another model or of other classes, or a split without
            labels.
    """
    spec, target = find(name), resolve_device(device)
    source = require_weights(find_source(weights, spec, dataset, runs, cache), spec.name)
    on_source(source)
    deployed = deploy(spec, dataset.spec, source, device=target, precision=precision, input_size=input_size)

    def make(size: Size) -> Predict:
        return predictor(mode, [deployed(size, scale, mode.window) for scale in mode.scales])

    with blamed_on(name):
        counted = evaluate(by_size(make), dataset, split, on_image=on_image)
        warning = _stale_statistics(deployed, dataset, split)
    return replace(counted, mode=mode, network=deployed.facts, warnings=(warning,) if warning else ())


def _stale_statistics(deployed: Deployed, dataset: Dataset, split: str) -> str | None:
    """Warn of batch norms whose statistics lag behind the weights of a run on this dataset; a few frames tell."""
    trained = None if deployed.source.file is None else read_facts(deployed.source.file)
    if trained is None or trained.fingerprint != dataset.fingerprint():  # elsewhere the images may be the cause
        return None
    by_frame_size: dict[Size, list[tuple[Pixels, Pixels]]] = defaultdict(list)
    for _, image, truth in evaluation_frames(dataset, split, limit=GAP_IMAGES):
        by_frame_size[truth.shape].append((image, truth))
    size, pairs = max(by_frame_size.items(), key=lambda item: len(item[1]))
    height, width = deployed.facts.input_size or size
    step = min(GAP_IMAGES, max(2, GAP_PIXELS // (height * width)))
    _, runnable = deployed(size)

    def answers() -> Iterator[tuple[Pixels, Pixels]]:
        for start in range(0, len(pairs) - 1, step):
            images, truths = (np.stack(part) for part in zip(*pairs[start : start + step], strict=True))
            yield truths, runnable.predict(torch.from_numpy(images)).numpy(force=True)

    gap = mode_gap(deployed.module, answers, dataset.spec.num_classes)
    return None if gap is None else gap.warning(deployed.spec.name, trained.batch_norm_batches)
