"""What happens inside one worker process: one stage of one cell (protocol, rules 1 to 3).

Importing this module imports the libraries and runs no torch operation: the fork server preloads it, and a parallel
operation in the server was seen to hang every child.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.catalog import MODELS
from zoo.checkpoint import load_weights, run_lock
from zoo.config import BenchConfig
from zoo.data.layout import Dataset
from zoo.data.loading import evaluation_frames
from zoo.errors import ModelError, UserError
from zoo.evaluate import EvaluationResult, by_size, evaluate, mean_label_map, predict_constant
from zoo.labels import CITYSCAPES
from zoo.measure import clock, device, macs, memory
from zoo.models import from_smp, from_torchvision  # noqa: F401  imported here so that the fork server has them
from zoo.models.build import build_empty, build_model
from zoo.pipeline import Pipeline
from zoo.record import Agreement, Cost, Device, Memory, Precision, Software, Speed, Weights
from zoo.runtimes import base
from zoo.spec import ModelSpec, Size
from zoo.train.loop import train

ROTATION = 4
"""Seeded random inputs a clock rotates through."""
AGREEMENT_IMAGES = 4
RANDOM_SEED = 0


@dataclass(frozen=True)
class Job:
    """All a worker needs to know of its cell."""

    config: BenchConfig
    spec: ModelSpec
    device: str
    runtime: str = "eager"
    precision: Precision = "fp32"
    image_size: Size = (0, 0)
    dataset: Dataset | None = None
    weights: Path | None = None
    run_dir: Path | None = None

    @property
    def num_classes(self) -> int:
        """K of the dataset, Cityscapes' where there is none."""
        return self.dataset.spec.num_classes if self.dataset else CITYSCAPES.num_classes


@dataclass(frozen=True)
class Survey:
    """The machine as a worker sees it."""

    device_name: str
    device: Device
    software: Software
    unsupported: dict[tuple[str, Precision], str]
    """Reason, for each pair of runtime and precision that this device does not run."""


@dataclass(frozen=True)
class Measured:
    """What the timed process counted; `samples` are seconds per scope."""

    weights: Weights
    cost: Cost
    speed: Speed
    samples: dict[str, np.ndarray]


Report = Callable[[str], None]
"""Takes a line of progress."""


def survey(job: Job, _report: Report) -> Survey:
    """Resolve and describe the device; try a model that is not of the table on a small image."""
    target = device.resolve_device(job.device)
    if job.spec.name not in MODELS:
        build_model(job.spec, job.num_classes)
    reasons = {
        (runtime, precision): base.why_unsupported(runtime, target, precision)
        for runtime in job.config.runtimes
        for precision in job.config.precisions
    }
    unsupported = {pair: reason for pair, reason in reasons.items() if reason}
    return Survey(str(target), device.probe(target), device.software(target), unsupported)


def train_stage(job: Job, report: Report) -> Path:
    """Train the recipe and return the checkpoint to measure."""
    assert job.config.train is not None
    assert job.dataset is not None
    assert job.run_dir is not None
    total = job.config.train.steps

    def on_step(step: int, loss: float, rate: float) -> None:
        report(f"step {step}/{total}, loss {loss:.3f}, {rate:.1f} images/s")

    with run_lock(job.run_dir):
        trained = train(
            job.spec,
            job.config.train,
            job.dataset,
            run_dir=job.run_dir,
            device=device.resolve_device(job.device),
            on_step=on_step,
            keep_state=job.config.keep_checkpoints,
            validate=job.config.train.val_every is not None,
        )
    return trained.best


def measure_stage(job: Job, report: Report) -> Measured:
    """Time both scopes and count the cost."""
    runnable, weights = _load(job)
    images = _random_images(job)
    inputs = [runnable.preprocess(batch) for batch in images]
    state = runnable.state()
    report("network scope")
    logits = runnable.network(inputs[0])
    assert logits.is_inference(), "gradients are off: the answer records none"
    if not bool(torch.isfinite(logits).all()):
        raise RuntimeError("the network's logits are not finite (NaN or infinity)")
    target = torch.device(job.device)
    with device.Watch(target) as watch:
        network = clock.measure_latency(
            lambda index: runnable.network(inputs[index % ROTATION]), device=target, quick=job.config.quick
        )
        report("pipeline scope")
        pipeline = clock.measure_latency(
            lambda index: runnable.predict(images[index % ROTATION]), device=target, quick=job.config.quick
        )
    speed = Speed(
        network=clock.summarise(network),
        pipeline=clock.summarise(pipeline),
        state=state,
        witness=watch.witness(),
    )
    report("cost")
    module, _ = build_empty(job.spec, job.num_classes)
    padded = inputs[0].shape[-2:]
    cost = macs.count(module, (int(padded[0]), int(padded[1])))
    return Measured(weights, cost, speed, {"network_s": network.seconds, "pipeline_s": pipeline.seconds})


def memory_stage(job: Job, _report: Report) -> Memory:
    """Peak memory of the pipeline scope, in a process that does nothing else."""
    target = torch.device(job.device)
    before = memory.baseline(target)
    runnable, _ = _load(job)
    images = _random_images(job)
    return memory.measure_memory(before, lambda index: runnable.predict(images[index % ROTATION]), runnable, target)


def evaluate_stage(job: Job, report: Report) -> EvaluationResult:
    """Count the split through the artifact itself."""
    assert job.dataset is not None
    return evaluate(
        by_size(lambda size: _load(job, size)[0].predict),
        job.dataset,
        job.config.split,
        image_limit=job.config.accuracy_images,
        on_image=lambda done, total: report(f"image {done}/{total}"),
    )


def agreement_stage(job: Job, _report: Report) -> Agreement:
    """Compare the artifact with fp32 eager on the same images (protocol, rule 12)."""
    assert job.dataset is not None
    artifact, _ = _load(job)
    reference, _ = _load(Job(**{**vars(job), "runtime": "eager", "precision": "fp32"}))
    equal = pixels = varied = 0
    worst = 0.0
    count = 0
    for _, image, _ in evaluation_frames(job.dataset, job.config.split, limit=AGREEMENT_IMAGES):
        if image.shape[:2] != job.image_size:
            continue
        batch = torch.from_numpy(image)[None]
        expected = reference.predict(batch)
        shares = torch.bincount(expected.flatten().long(), minlength=256) / expected.numel()
        varied += int((shares >= 0.01).sum() >= 6)
        equal += int((artifact.predict(batch) == expected).sum())
        pixels += expected.numel()
        ours, theirs = (runnable.network(runnable.preprocess(batch)).float() for runnable in (artifact, reference))
        worst = max(worst, float((ours - theirs).abs().nan_to_num(math.inf).max()))
        count += 1
    meaningful = job.weights is not None and count > 0 and varied == count
    return Agreement(
        equal_label_share=equal / pixels if meaningful else None,
        max_logit_error=worst if count and math.isfinite(worst) else None,
        image_count=count,
    )


def baseline_stage(job: Job, _report: Report) -> EvaluationResult:
    """Score the mean label map of the training split."""
    assert job.dataset is not None
    label_map = mean_label_map(job.dataset, "train")
    return evaluate(predict_constant(label_map), job.dataset, job.config.split, image_limit=job.config.accuracy_images)


STAGES: dict[str, Callable[[Job, Report], Any]] = {
    "survey": survey,
    "train": train_stage,
    "measure": measure_stage,
    "memory": memory_stage,
    "evaluate": evaluate_stage,
    "agreement": agreement_stage,
    "baseline": baseline_stage,
}


@dataclass(frozen=True)
class Trouble:
    """Why a stage gave no answer, as the worker saw it."""

    status: str
    reason: str
    detail: str


def main(stages: list[str], job: Job, answers: Connection, lifeline: Connection, log: Path) -> None:
    """Run stages in this process and send `("note", text)`, `(stage, result)` … or `("trouble", Trouble)`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's to answer
    threading.Thread(target=_die_with_the_sweep, args=(lifeline,), daemon=True).start()
    with contextlib.suppress(OSError):  # under memory pressure the worker goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except FileNotFoundError:  # the sweep has gone, and its folder with it
        os._exit(1)
    for stream in (1, 2):  # a library's chatter must not tear the table
        os.dup2(descriptor, stream)
    torch.set_num_threads(job.config.threads or device.core_count())
    try:
        answers.send(("start", None))
        for stage in stages:
            answers.send((stage, STAGES[stage](job, lambda text: answers.send(("note", text)))))
    except BaseException as error:  # noqa: BLE001  failure is data: whatever it is becomes a record
        answers.send(("trouble", _trouble(error)))
    answers.close()
    sys.stdout.flush()


def _die_with_the_sweep(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()  # never written to: it ends when the sweep's process does
    os._exit(1)


def _trouble(error: BaseException) -> Trouble:
    reason = " ".join(str(error).split()) or type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    trace = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    reason = without_folders(reason)
    if isinstance(error, base.UnsupportedError):
        return Trouble("unsupported", reason, "")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in reason:
        return Trouble("oom", f"out of memory: {reason[:200]}", trace)
    if isinstance(error, UserError) and not isinstance(error, ModelError):
        return Trouble("user", " ".join(str(error).split()), "")
    kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
    return Trouble("failed", kind + reason[:300], trace)


def without_folders(text: str) -> str:
    """Leave only the file name of each absolute path: no folder of this machine ever stands in a record."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\":,;|]+/)+", "", text)


def _load(job: Job, image_size: Size | None = None) -> tuple[base.Runnable, Weights]:
    """Build the artifact a job names, for frames of `image_size`."""
    size = image_size or job.image_size
    if job.weights is None:
        torch.manual_seed(RANDOM_SEED)
        module, spec = build_model(job.spec, job.num_classes)
        weights = Weights(source="random", sha256=None, recipe="none", seed=RANDOM_SEED)
    else:
        module, spec = build_empty(job.spec, job.num_classes)
        weights = load_weights(module, job.weights, spec.name, job.num_classes)
    input_size = job.config.input_size or size
    pipeline = Pipeline(
        module, spec, image_size=size, input_size=input_size, output_size=size, resize=job.config.resize
    )
    runnable = base.load(
        job.runtime,
        pipeline,
        device=torch.device(job.device),
        precision=job.precision,
        memory_format=job.config.memory_format,
    )
    return runnable, weights


def _random_images(job: Job) -> list[torch.Tensor]:
    generator = np.random.Generator(np.random.PCG64(RANDOM_SEED))
    shape = (job.config.batch_size, *job.image_size, 3)
    return [torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8)) for _ in range(ROTATION)]
