"""Score a trained model by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zoo.catalog import find
from zoo.checkpoint import CheckpointFacts, find_any_checkpoint, load_weights, read_facts, runs_folder
from zoo.data.layout import Dataset, OnFrame
from zoo.data.loading import evaluation_frames
from zoo.data.spelling import Pixels
from zoo.errors import UserError, blamed_on
from zoo.evaluate import EvaluationResult, Predict, by_size, evaluate
from zoo.measure.device import resolve_device
from zoo.models.build import build_empty
from zoo.models.trial import fit_model
from zoo.modes import predictor, seen_window
from zoo.pipeline import Pipeline
from zoo.record import Mode, Network, Precision
from zoo.runtimes.base import Runnable, UnsupportedError
from zoo.runtimes.table import load_pipeline
from zoo.spec import ModelSpec, Size
from zoo.train.norms import GAP_IMAGES, mode_gap

WHOLE = Mode()
GAP_PIXELS = 8_000_000
"""At most so many of the network's input at once, where statistics are looked at, but two frames."""


@dataclass(frozen=True)
class Deploy:
    """Deploys one trained network for frames of any size."""

    module: nn.Module
    spec: ModelSpec
    class_count: int
    facts: Network
    device: torch.device
    trained: CheckpointFacts | None
    """What its checkpoint says; `None` for weights another program wrote."""

    def __call__(self, size: Size, scale: float = 1.0, window: Size | None = None) -> tuple[Pipeline, Runnable]:
        """Deploy it for frames of `size`, of which it sees `scale` times its input size, whole or by windows.

        Raises:
            ModelError: the network does not take what it would see.
            UserError: the device does not compute in the precision.
        """
        height, width = self.facts.input_size or size
        seen = max(1, round(scale * height)), max(1, round(scale * width))

        def around(spec: ModelSpec) -> Pipeline:
            return Pipeline(self.module, spec, image_size=size, input_size=seen, output_size=size, resize="fit")

        pipeline = around(self.spec)
        fed = pipeline.input_size if window is None else seen_window(window, pipeline.fitted_size)
        pipeline = around(fit_model(self.module, self.spec, self.class_count, [fed]))
        try:
            return pipeline, load_pipeline("eager", pipeline, device=self.device, precision=self.facts.precision)
        except UnsupportedError as error:
            raise UserError(f"{error}; choose another --precision") from error


def evaluate_model(
    name: str,
    dataset: Dataset,
    split: str = "val",
    *,
    checkpoint: Path | str | None = None,
    input_size: Size | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    mode: Mode = WHOLE,
    runs: Path | str | None = None,
    on_image: OnFrame | None = None,
) -> EvaluationResult:
    """Score a model on a split at the ground truth's full size; what `zoo eval MODEL` does.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        dataset: An opened dataset.
        split: Such as `"val"`.
        checkpoint: Its weights; `None`: those of its finished run on this dataset, where there is one recipe alone.
        input_size: What the network sees, `(height, width)`; `None`: as it was trained, else the frame's own size.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        precision: What the network computes in.
        mode: How frames are read (`zoo.modes.evaluation_mode`); as they are deployed, whole, unless given.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        on_image: Told of every image.

    Raises:
        UserError: unknown model or device, no weights, weights of another model, or a split without labels.
    """
    deployed = trained_pipeline(
        name,
        dataset,
        checkpoint=checkpoint,
        input_size=input_size,
        device=device,
        precision=precision,
        runs=runs,
    )

    def make(size: Size) -> Predict:
        return predictor(mode, [deployed(size, scale, mode.window) for scale in mode.scales])

    with blamed_on(name):
        counted = evaluate(by_size(make), dataset, split, on_image=on_image)
        warning = _stale_statistics(deployed, dataset, split)
    return replace(counted, mode=mode, network=deployed.facts, warnings=(warning,) if warning else ())


def trained_pipeline(
    name: str,
    dataset: Dataset,
    *,
    checkpoint: Path | str | None = None,
    input_size: Size | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    runs: Path | str | None = None,
) -> Deploy:
    """Load a trained model; arguments as in `evaluate_model`.

    Returns:
        What deploys it for frames of one size: the pipeline, whose output is of that size too, and what runs it. All
        sizes share one network.

    Raises:
        UserError: unknown model or device, no weights, or weights of another model.
    """
    spec, target = find(name), resolve_device(device)
    file = Path(checkpoint) if checkpoint else find_any_checkpoint(runs_folder(runs), spec, dataset)
    module, spec = build_empty(spec, dataset.spec.num_classes, None)  # tried at each size as it comes
    weights = load_weights(module, file, spec.name, dataset.spec.num_classes)
    trained = read_facts(file)
    if input_size is None and trained:
        input_size = trained.config.image_size
    network = Network(model=spec.name, weights=weights, precision=precision, input_size=input_size)
    return Deploy(module, dataset.spec.adapt(spec), dataset.spec.num_classes, network, target, trained)


def _stale_statistics(deployed: Deploy, dataset: Dataset, split: str) -> str | None:
    """Warn of batch norms whose statistics lag behind the weights of a run on this dataset; a few frames tell."""
    trained = deployed.trained
    if trained is None or trained.dataset != dataset.name:  # elsewhere the images may be the cause
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
