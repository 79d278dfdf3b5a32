"""The accuracy of a model by its name, and the record of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch

from zoo import store
from zoo.artifact import Deployed, deploy, find_source
from zoo.catalog import find
from zoo.checkpoint import read_facts
from zoo.counting import EvaluationResult, Predict, accuracy_record, by_size, evaluate
from zoo.data.layout import Dataset, OnFrame
from zoo.data.loading import evaluation_frames
from zoo.data.reading import frame_size
from zoo.data.spelling import Pixels
from zoo.errors import UserError, blamed_on
from zoo.files import short_hash
from zoo.identity import network_sha256
from zoo.measure.device import probe, resolve_device, software
from zoo.modes import predictor
from zoo.record import Artifact, Mode, Precision, Record
from zoo.spec import Feeding, Size
from zoo.train.norms import GAP_IMAGES, mode_gap
from zoo.weights.source import Source, require_weights

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
        weights: `auto`, `run[:RECIPE[:SEED]]`, `published[:TAG]`, `own` or a file (`zoo.weights.asked`).
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


def keep_record(
    result: EvaluationResult,
    dataset: Dataset,
    split: str,
    *,
    name: str = "",
    device: str = "auto",
    results: Path | str = "results",
) -> Path:
    """Keep what `evaluate_model` counted as a record without speed; what `zoo eval --record` does.

    Args:
        result: Of a model of the zoo.
        dataset: What it was counted on.
        split: Likewise.
        name: As it was given to `evaluate_model`; empty: as tables show it, which finds no file in another folder.
        device: Likewise.
        results: Folder of the records.

    Returns:
        The file that was written.

    Raises:
        UserError: label maps of another program, which no model of the zoo made; or the folder cannot be written.
    """
    network, target = result.network, resolve_device(device)
    if network is None:
        raise UserError("a record is that of a model, and these label maps are another program's")
    spec, machine, versions = find(name or network.model), probe(target), software(target)
    accuracy = accuracy_record(result, dataset, split)
    size = frame_size(dataset, split)
    artifact = Artifact(
        model=spec.name,
        family=spec.family,
        runtime="eager",
        precision=network.precision,
        memory_format="channels_last",
        batch_size=1,
        input_size=network.input_size or size,
        output_size=size,
        resize=(network.weights.feeding or Feeding()).resize,
        weights=network.weights,
        code_sha256=network_sha256(spec),
    )
    known = {
        "artifact": artifact.model_dump(mode="json"),
        "dataset": accuracy.dataset.model_dump(mode="json"),
        "mode": None if accuracy.mode is None else accuracy.mode.model_dump(mode="json"),
        "protocol": accuracy.protocol,
        "torch": versions.torch,
        "machine": machine.machine_id,
    }
    kept = Record(
        status="ok",
        key=short_hash(known, 32),
        quick=False,
        preset="eval",
        artifact=artifact,
        device=machine,
        software=versions,
        dataset=accuracy.dataset,
        started_at=datetime.now(UTC) - timedelta(seconds=result.seconds),
        seconds={"evaluate": result.seconds},
        accuracy=accuracy,
        config={"threads": torch.get_num_threads()},
    )
    return store.save(kept, result.samples, Path(results))


def _stale_statistics(deployed: Deployed, dataset: Dataset, split: str) -> str | None:
    """Warn of batch norms whose statistics lag behind the weights of a run on this dataset; a few frames tell."""
    source = deployed.source
    trained = None if source.file is None or source.kind == "published" else read_facts(source.file)
    if trained is None or trained.fingerprint != dataset.fingerprint():  # elsewhere the images may be the cause
        return None
    by_frame_size: dict[Size, list[tuple[Pixels, Pixels]]] = defaultdict(list)
    for _, image, truth in evaluation_frames(dataset, split, limit=GAP_IMAGES):
        by_frame_size[truth.shape].append((image, truth))
    size, pairs = max(by_frame_size.items(), key=lambda item: len(item[1]))
    height, width = deployed.facts.input_size or size
    step = min(GAP_IMAGES, max(2, GAP_PIXELS // (height * width)))
    spec, facts = deployed.spec, deployed.facts
    as_trained = deploy(
        *(spec, deployed.classes, source),
        device=deployed.device,
        precision=facts.precision,
        input_size=facts.input_size,
        folded=False,
    )
    _, runnable = as_trained(size)

    def answers() -> Iterator[tuple[Pixels, Pixels]]:
        for start in range(0, len(pairs) - 1, step):
            images, truths = (np.stack(part) for part in zip(*pairs[start : start + step], strict=True))
            yield truths, runnable.predict(torch.from_numpy(images)).numpy(force=True)

    gap = mode_gap(as_trained.module, answers, dataset.spec.num_classes)
    return None if gap is None else gap.warning(spec.name, trained.batch_norm_batches)
