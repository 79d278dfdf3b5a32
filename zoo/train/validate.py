"""Score a trained model by name."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from zoo.catalog import find
from zoo.checkpoint import find_any_checkpoint, load_weights, read_facts, runs_folder
from zoo.data.layout import Dataset
from zoo.errors import UserError, blamed_on
from zoo.evaluate import EvaluationResult, OnImage, Predict, by_size, evaluate
from zoo.measure.device import resolve_device
from zoo.models.build import build_empty
from zoo.pipeline import Pipeline
from zoo.record import Precision
from zoo.runtimes.base import UnsupportedError, load_pipeline
from zoo.spec import Size


def evaluate_model(
    name: str,
    dataset: Dataset,
    split: str = "val",
    *,
    checkpoint: Path | str | None = None,
    input_size: Size | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    runs: Path | str | None = None,
    on_image: OnImage | None = None,
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
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        on_image: Told of every image.

    Raises:
        UserError: unknown model or device, no weights, weights of another model, or a split without labels.
    """
    spec, target = find(name), resolve_device(device)
    file = Path(checkpoint) if checkpoint else find_any_checkpoint(runs_folder(runs), spec, dataset)
    module, spec = build_empty(spec, dataset.spec.num_classes)
    load_weights(module, file, spec.name, dataset.spec.num_classes)
    facts = read_facts(file)
    trained_size = facts.config.image_size if facts else None

    def make(size: Size) -> Predict:
        seen = input_size or trained_size or size
        pipeline = Pipeline(module, spec, image_size=size, input_size=seen, output_size=size, resize="fit")
        try:
            runnable = load_pipeline("eager", pipeline, device=target, precision=precision)
        except UnsupportedError as error:
            raise UserError(f"{error}; choose another --precision") from error

        def predict(images: Tensor) -> Tensor:
            label_map: Tensor = runnable.predict(images)
            return label_map

        return predict

    with blamed_on(spec.name):
        return evaluate(by_size(make), dataset, split, on_image=on_image)
