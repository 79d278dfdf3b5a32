"""What happens inside one worker process: one step of one cell (protocol, rules 1 to 3).

Importing this module imports the libraries and runs no torch operation: the fork server preloads it, and a parallel
operation in the server was seen to hang every child.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zoo.baseline import mean_label_map, predict_constant
from zoo.bench import look
from zoo.bench.job import Job, Measured, Paired, Side
from zoo.bench.loading import as_program, load, random_images
from zoo.bench.look import Report
from zoo.bench.trouble import trouble_of
from zoo.cache import cache_folder, use
from zoo.checkpoint import run_lock
from zoo.counting import EvaluationResult, by_size, evaluate, in_batches_of
from zoo.data.loading import evaluation_frames
from zoo.lived import ColdStart
from zoo.machine import core_count
from zoo.measure import clock, device, energy, macs, memory, pace
from zoo.measure.cold import measure_cold
from zoo.measure.speed import macs_per_s
from zoo.models import from_smp, from_torchvision  # noqa: F401  imported here so that the fork server has them
from zoo.models.build import build_empty
from zoo.models.deployment import merge_branches
from zoo.pipeline import Pipeline
from zoo.record import Agreement, Build, Cost, Memory, Speed
from zoo.runtimes import base, table
from zoo.score.summary import Samples, summarise, summarise_stages
from zoo.timed import BatchRate, Energy
from zoo.train.loop import Trained, train

AGREEMENT_IMAGES = 4
MAX_VARIED = 6
"""Labels of at least 1 % each that a reference map holds before equal ones mean anything; of few classes a third."""


def build_step(job: Job, report: Report) -> Build:
    """Make the artifact's file, or compile what is compiled on loading; both are cached by content."""
    report("exporting, compiling or calibrating")
    runnable, _, built = load(job, tell=report)
    if built is None:
        return runnable.build
    facts = runnable.build
    return built.build.model_copy(
        update={
            "compile_s": facts.compile_s or built.build.compile_s,
            "options": {**built.build.options, **facts.options},
        }
    )


def train_step(job: Job, report: Report) -> Trained:
    """Train the recipe; `best` is the checkpoint to measure."""
    assert job.recipe is not None
    assert job.dataset is not None
    assert job.run_dir is not None
    total = job.recipe.steps

    def on_step(step: int, loss: float, rate: float) -> None:
        report(f"step {step}/{total}, loss {loss:.3f}, {rate:.1f} images/s")

    with run_lock(job.run_dir):
        return train(
            job.spec,
            job.recipe,
            job.dataset,
            run_dir=job.run_dir,
            device=device.resolve_device(job.device),
            cache=job.cache,
            on_frame=lambda done, total: report(f"frame {done}/{total} prepared"),
            on_step=on_step,
            keep_state=job.config.keep_checkpoints,
            validate=job.recipe.val_every is not None,
        )


def measure_step(job: Job, report: Report) -> Measured:
    """Time both scopes, or calls at a rate, and count the cost."""
    runnable, weights, built = load(job)
    images = random_images(job)
    target = torch.device(job.device)
    quick, rate_hz = job.config.quick, job.config.rate_hz
    state = runnable.state()
    scopes, stages, frames = dict[str, Samples](), dict[str, Samples](), None
    with device.Watch(target) as watch:
        if rate_hz is None:
            report("network and pipeline scope")
            scopes, stages = _time(runnable, images, target, quick=quick)
        else:
            report(f"pipeline scope, paced at {rate_hz:g} Hz")
            frames = _pace(runnable, images, target, rate_hz, quick=quick)
            scopes = {"pipeline": frames.samples}
    speed = Speed(
        network=summarise(scopes["network"]) if "network" in scopes else None,
        pipeline=summarise(scopes["pipeline"]) if "pipeline" in scopes else None,
        waterfall=summarise_stages({name: one.seconds for name, one in stages.items()}),
        energy=_energy(job, runnable, images) if runnable.is_pipeline and frames is None else None,
        state=state,
        witness=watch.witness(),
    )
    report("cost")
    return Measured(
        weights=weights,
        file_sha256=built.sha256 if built else None,
        file_bytes=built.bytes if built else None,
        build=runnable.build,
        cost=None if job.file else _cost(job),
        speed=speed,
        paced=None if frames is None else frames.summary,
        samples={
            **{f"{scope}_s": samples.seconds for scope, samples in scopes.items()},
            **{f"stage_{name}_s": samples.seconds for name, samples in stages.items()},
            **({} if frames is None else {"paced_frames": frames.frames}),
        },
    )


def _time(
    runnable: base.Runnable, images: list[torch.Tensor], target: torch.device, *, quick: bool
) -> tuple[dict[str, Samples], dict[str, Samples]]:
    """Both scopes in turn, and the stages of a call; a file that holds one graph has no network scope and no stages.

    In a quick run of what fuses nothing across stages both scopes are read off the stages of the same calls.
    """
    calls = {"pipeline": _rotating(runnable.predict, images)} if runnable.is_pipeline else {}
    if runnable.network is not None and runnable.preprocess is not None:
        inputs = [runnable.preprocess(runnable.copy_in(batch)) for batch in images]
        _assert_sane(runnable.network(inputs[0]))
        calls = {"network": _rotating(runnable.network, inputs), **calls}
    if quick and runnable.stages and runnable.whole is None:
        stages = clock.measure_stages(runnable.stages, images, device=target, quick=True)
        return {"network": stages["network"], "pipeline": clock.whole(stages)}, stages
    samples = clock.measure_latency(list(calls.values()), device=target, quick=quick)
    stages = {}
    if runnable.stages and not quick:
        stages = clock.measure_stages(runnable.stages, images, device=target, quick=False)
    return dict(zip(calls, samples, strict=True)), stages


def _pace(
    runnable: base.Runnable, images: list[torch.Tensor], target: torch.device, rate_hz: float, *, quick: bool
) -> pace.Frames:
    if not runnable.is_pipeline:
        raise base.UnsupportedError("paced calls go from frame to label map, and this file answers with neither")
    if runnable.network is not None and runnable.preprocess is not None:
        _assert_sane(runnable.network(runnable.preprocess(runnable.copy_in(images[0]))))
    return pace.measure_paced(_rotating(runnable.predict, images), rate_hz=rate_hz, device=target, quick=quick)


def _energy(job: Job, runnable: base.Runnable, images: list[torch.Tensor]) -> Energy | None:
    """In a pass of its own: counters move in steps of up to 0.1 s, too coarse for scopes that take turns."""
    target = torch.device(job.device)
    meter = energy.Meter(target)
    if not meter.counts:
        return None
    with meter:
        (pipeline,) = clock.measure_latency(
            [_rotating(runnable.predict, images)], device=target, quick=job.config.quick
        )
    return meter.per_image(job.batch_size * (pipeline.warmup_count + len(pipeline.seconds)))


def _rotating(call: base.Call, given: list[torch.Tensor]) -> clock.Call:
    return lambda index: call(given[index % len(given)])


def _assert_sane(logits: torch.Tensor) -> None:
    assert not logits.requires_grad, "gradients are off: the answer records none"
    if not bool(torch.isfinite(logits).all()):
        raise RuntimeError("the network's logits are not finite (NaN or infinity)")


def _cost(job: Job) -> Cost:
    """Counted on the model itself, its branches merged: a file is that model."""
    input_size = job.input_size or job.image_size
    module, spec = build_empty(job.spec, job.source.num_classes or job.classes.num_classes, (input_size,))
    shell = Pipeline(
        module, spec, image_size=input_size, input_size=input_size, output_size=input_size, resize=job.resize
    )
    merge_branches(module)
    return macs.count(module, shell.padded_size)


def memory_step(job: Job, _report: Report) -> Memory:
    """Peak memory of the pipeline scope, of a network alone its own, in a process that does nothing else."""
    target = torch.device(job.device)
    table.prepare(job.runtime, target)
    before = memory.baseline(target)
    runnable, _, _ = load(job)
    images = random_images(job)
    call: base.Call = runnable.predict
    given = images
    if not runnable.is_pipeline:
        assert runnable.preprocess is not None
        assert runnable.network is not None
        call, given = runnable.network, [runnable.preprocess(runnable.copy_in(batch)) for batch in images]
    return memory.measure_memory(before, lambda index: call(given[index % len(given)]), runnable, target)


def cold_step(job: Job, report: Report) -> ColdStart | None:
    """Start the artifact in fresh processes; nothing of a file that answers with no label maps."""
    if job.file is not None and not load(job)[0].is_pipeline:
        return None
    report("fresh processes")
    program = as_program(job)
    image = random_images(job)[0].numpy()
    starts = measure_cold(program.snippet, image, program.files, given=program.given, quick=job.config.quick)
    return ColdStart(loaded_by="zoo" if program.given else "runtime", starts=starts)


def evaluate_step(job: Job, report: Report) -> EvaluationResult:
    """Count the split through the artifact itself."""
    assert job.dataset is not None
    return evaluate(
        by_size(lambda size: in_batches_of(job.batch_size, load(job, size)[0].predict)),
        job.dataset,
        job.config.split,
        batch_size=job.batch_size,
        image_limit=job.config.accuracy_images,
        on_image=lambda done, total: report(f"image {done}/{total}"),
    )


def agreement_step(job: Job, _report: Report) -> Agreement:
    """Compare the artifact with fp32 eager on the same images (protocol, rule 12), on random ones without a dataset.

    The reference answers first and alone: TF32 is a flag of the process.
    """
    images = _agreement_images(job)
    reference, _, _ = load(replace(job, runtime="eager", precision="fp32"))
    expected = [(reference.predict(image)[:1], _logits(reference, image)) for image in images]
    del reference
    runnable, _, _ = load(job)
    least = max(2, min(MAX_VARIED, job.classes.num_classes // 3))
    equal = pixels = varied = 0
    worst = 0.0
    for image, (labels, logits) in zip(images, expected, strict=True):
        shares = torch.bincount(labels.flatten().long(), minlength=256) / labels.numel()
        varied += int((shares >= 0.01).sum() >= least)
        equal += int((runnable.predict(image)[:1] == labels).sum())
        pixels += labels.numel()
        worst = max(worst, float((_logits(runnable, image) - logits).abs().nan_to_num(math.inf).max()))
    meaningful = job.source.kind != "random" and 0 < len(images) == varied
    return Agreement(
        equal_label_share=equal / pixels if meaningful else None,
        max_logit_error=worst if images and math.isfinite(worst) else None,
        image_count=len(images),
    )


def _agreement_images(job: Job) -> list[torch.Tensor]:
    """A few batches, each of one image again and again."""
    if job.dataset is None:
        return random_images(job)[:AGREEMENT_IMAGES]
    frames = evaluation_frames(job.dataset, job.config.split, limit=AGREEMENT_IMAGES)
    images = (torch.from_numpy(image)[None] for _, image, _ in frames if image.shape[:2] == job.image_size)
    return [image.expand(job.batch_size, -1, -1, -1).contiguous() for image in images]


def _logits(runnable: base.Runnable, images: torch.Tensor) -> torch.Tensor:
    assert runnable.preprocess is not None, "an artifact built here has its stages"
    assert runnable.network is not None
    return runnable.network(runnable.preprocess(runnable.copy_in(images))).float()


def throughput_step(job: Job, report: Report) -> BatchRate:
    """Images per second at the job's batch size."""
    runnable, _, _ = load(job)
    images = random_images(job)
    report(f"batch {job.batch_size}")
    return clock.measure_rate(
        lambda index: runnable.predict(images[index % len(images)]),
        batch_size=job.batch_size,
        device=torch.device(job.device),
        quick=job.config.quick,
    )


def pair_step(job: Job, report: Report) -> Paired:
    """Time the job's artifact and its rival's in turn, in pipeline scope, on the same images."""
    assert job.rival is not None
    target, images = torch.device(job.device), random_images(job)

    def begin(one: Job) -> tuple[Side, Callable[[int], object]]:
        report(one.name)
        runnable, weights, built = load(one)
        if runnable.network is not None and runnable.preprocess is not None:
            _assert_sane(runnable.network(runnable.preprocess(runnable.copy_in(images[0]))))

        def call(index: int) -> object:
            base.set_tf32(one.precision == "tf32")  # a flag of the process, which both share; 1 us
            return runnable.predict(images[index % len(images)])

        side = Side(weights, built, runnable.state())
        call(0)  # what fails, fails under this one's name
        return side, call

    (first, one), (second, other) = begin(job), begin(job.rival)
    report("both in turn")
    with device.Watch(target) as watch:
        turns = clock.measure_pair((one, other), device=target, quick=job.config.quick)
    return Paired((first, second), turns, watch.witness())


def probe_step(job: Job, _report: Report) -> float:
    """How fast this machine computes, to estimate by."""
    return macs_per_s(torch.device(job.device))


def cost_step(job: Job, _report: Report) -> Cost:
    """What a network costs, to estimate by."""
    return _cost(job)


def baseline_step(job: Job, _report: Report) -> EvaluationResult:
    """Score the mean label map of the training split."""
    assert job.dataset is not None
    label_map = mean_label_map(job.dataset, "train")
    return evaluate(predict_constant(label_map), job.dataset, job.config.split, image_limit=job.config.accuracy_images)


STEPS: dict[str, Callable[[Job, Report], Any]] = {
    "devices": look.devices,
    "survey": look.survey,
    "brought": look.brought,
    "probe": probe_step,
    "cost": cost_step,
    "train": train_step,
    "build": build_step,
    "measure": measure_step,
    "memory": memory_step,
    "cold": cold_step,
    "evaluate": evaluate_step,
    "agreement": agreement_step,
    "throughput": throughput_step,
    "pair": pair_step,
    "baseline": baseline_step,
}


class _Warnings(logging.Handler):
    """Sends what this package warns of to the sweep, which has the terminal."""

    def __init__(self, answers: Connection) -> None:
        super().__init__(logging.WARNING)
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        self._answers.send(("warning", " ".join(record.getMessage().split())))


def main(steps: list[str], job: Job, answers: Connection, lifeline: Connection) -> None:
    """Run steps in this process and send `(step, result)` of each, or `("trouble", Trouble)`.

    Before these come any number of `("note", text)` and `("warning", text)`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's to answer
    threading.Thread(target=_die_with_the_sweep, args=(lifeline,), daemon=True).start()
    with contextlib.suppress(OSError):  # under memory pressure the worker goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    torch.set_num_threads(job.config.threads or core_count())
    kernels = (job.cache or cache_folder()).absolute() / "inductor"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kernels))
    if job.runtime in {"compile", "aoti"}:
        with contextlib.suppress(OSError):  # it is the compiler's to say what is wrong
            kernels.mkdir(parents=True, exist_ok=True)
        use(kernels)
    tqdm.set_lock(threading.RLock())  # torch's compiler uses tqdm, whose own lock is a semaphore that outlives a kill
    logging.getLogger("zoo").addHandler(_Warnings(answers))
    try:
        answers.send(("start", None))
        for step in steps:
            answers.send((step, STEPS[step](job, lambda text: answers.send(("note", text)))))
    except BaseException as error:  # noqa: BLE001  failure is data: whatever it is becomes a record
        answers.send(("trouble", trouble_of(error)))
    answers.close()
    sys.stdout.flush()


def _die_with_the_sweep(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()  # never written to: it ends when the sweep's process does
    os._exit(1)
