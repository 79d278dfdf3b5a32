"""One training loop for every model, readable top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from zoo.catalog import find
from zoo.checkpoint import CheckpointFacts, read_facts, run_folder, run_lock, runs_folder
from zoo.config import TrainConfig
from zoo.counting import Predict, by_size, evaluate
from zoo.data.layout import Dataset, OnFrame, open_dataset
from zoo.data.loading import Batch, train_batches
from zoo.data.reading import frame_sizes
from zoo.errors import ModelError, UserError, blamed_on
from zoo.machine import core_count
from zoo.measure.device import software
from zoo.models.build import build_model
from zoo.models.contract import tensors_of
from zoo.pipeline import Pipeline
from zoo.score.accuracy import class_iou, miou
from zoo.spec import Feeding, ModelSpec, Size
from zoo.state_dict import save_weights, write_atomic
from zoo.train.distributed import ALONE, Group, process_group, synchronised
from zoo.train.journal import CURVES, VALIDATION, Journal, read_losses
from zoo.train.losses import channel_weights
from zoo.train.norms import GAP_IMAGES
from zoo.train.preflight import (
    kept_copies,
    require_a_readable_split,
    require_a_recipe_that_learns,
    require_room,
    require_something_to_learn,
    try_network,
    unvalidated,
    useful_crop_size,
)
from zoo.train.run import describe_run, resume_run, write_run
from zoo.train.schedule import family_of
from zoo.train.start import Start, find_start, require_start, warn_of_other_lengths
from zoo.train.step import TrainingStep, seed
from zoo.train.stop import Stop, asked_to_stop

_log = logging.getLogger(__name__)
FIRST_SAVE_S = 30.0
SAVE_EVERY_S = 300.0
"""A run that is killed outright loses at most this much."""

OnStep = Callable[[int, float, float], None]
"""Called after each step with its number (1 is the first), its loss and the images per second so far."""
OnValidation = Callable[[int, float | None, dict[str, float | None]], None]
"""Called after each validation with the step's number, the mIoU and the IoU of each class by its name."""


@dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    best: Path
    """Weights with the highest mIoU seen in validation; the last ones where there was none."""
    last: Path
    step_count: int
    complete: bool
    """False when a time limit ended it before its last step; the same call goes on."""
    seconds: float
    """Wall time of this call, validation included."""
    losses: tuple[float, ...]
    """One per step, the steps before a resume included."""
    miou: float | None
    """Of `best`, at the ground truth's full size; `None` without validation."""
    synthetic: bool
    """True for drawn streets, whose mIoU says nothing about real ones."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the weights, one line each."""


def train_model(
    name: str,
    config: TrainConfig,
    *,
    data: Path | str | None = None,
    runs: Path | str | None = None,
    cache: Path | None = None,
    init: Path | str | None = None,
    device: str = "auto",
    on_frame: OnFrame | None = None,
    on_step: OnStep | None = None,
    on_validation: OnValidation | None = None,
    resume: bool = True,
    time_limit_s: float | None = None,
) -> Trained:
    """Train a model by name; what `zoo train` does, in one process or in those that `torchrun` started.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        config: The recipe.
        data: Folder in the Cityscapes layout; `None`: `CITYSCAPES_DATASET`, else the embedded synthetic set.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where the embedded set and prepared data are kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        init: Weights to begin from: `run[:RECIPE[:SEED]]`, `published[:TAG]`, `own` or a file. They are part of
            the recipe.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        on_frame: Told of every frame that is prepared, in the first process, as are the next two of what they name.
        on_step: Told of every step.
        on_validation: Told of every validation.
        resume: Go on with an interrupted run, and leave a finished one as it is.
        time_limit_s: Stop after so many seconds, between two steps; the same call then goes on.

    Raises:
        UserError: unknown model, dataset or device, and whatever `train` refuses.
    """
    spec, dataset = find(name), open_dataset(data, cache=cache)
    start, config = find_start(init, config, spec, dataset, runs=runs, cache=cache)
    with process_group(device) as (group, target):
        run_dir = run_folder(runs_folder(runs), spec, dataset, config)
        if group.is_first and not (resume and (run_dir / "last.safetensors").is_file()):
            warn_of_other_lengths(config, spec, dataset, runs_folder(runs))
        with run_lock(run_dir) if group.is_first else nullcontext(), blamed_on(spec.name):
            return train(
                spec,
                config,
                dataset,
                run_dir=run_dir,
                start=start,
                device=target,
                group=group,
                cache=cache,
                on_frame=on_frame,
                on_step=on_step,
                on_validation=on_validation,
                resume=resume,
                time_limit_s=time_limit_s,
            )


def train(
    spec: ModelSpec,
    config: TrainConfig,
    dataset: Dataset,
    *,
    run_dir: Path,
    device: torch.device,
    start: Start | None = None,
    group: Group = ALONE,
    cache: Path | None = None,
    on_frame: OnFrame | None = None,
    on_step: OnStep | None = None,
    on_validation: OnValidation | None = None,
    keep_state: bool = True,
    resume: bool = True,
    validate: bool = True,
    time_limit_s: float | None = None,
) -> Trained:
    """Train one model by one recipe.

    The loss is the cross-entropy of logits upsampled to the label's size, `aux_weight` times that of auxiliary heads
    and a boundary head's own added. A finished run is not trained again; an interrupted one goes on where it stopped,
    step for step as if it had never been interrupted. Of several processes each computes its share of every batch; the
    first one alone validates and writes.

    Args:
        spec: The model.
        config: The recipe.
        dataset: Trained on its split `train`, validated on `val`; without one it is trained all the same.
        run_dir: Where checkpoints, state, log and `run.json` go (`checkpoint.run_folder`).
        device: Where to train.
        start: Weights to begin from, which the recipe names (`start.find_start`).
        group: The processes that train together.
        cache: Where prepared data is kept; `None`: as in `train_model`, as are the next three.
        on_frame: Told of every frame that is prepared.
        on_step: Told of every step.
        on_validation: Told of every validation.
        keep_state: Keep, beside weights and log, what a resume and TensorBoard read.
        resume: Go on with what `run_dir` holds; `False` begins anew.
        validate: Score `val` every `config.val_every` steps and at the end.
        time_limit_s: Stop after so many seconds, between two steps.

    Raises:
        UserError: before the first step: the recipe does not fit the model, the data or the processes, there is nothing
            to learn or to measure, or the disk is too full (`train.preflight`); later: loss or gradient is not finite.
    """
    started = time.perf_counter()
    best, last, state_file = run_dir / "best.safetensors", run_dir / "last.safetensors", run_dir / "state.pt"
    fingerprint = dataset.fingerprint()
    identity = (spec.name, fingerprint, config.recipe_hash, config.seed)
    if group.share(lambda: resume and _is_finished(last, identity)):
        return _trained(run_dir, config.steps, config, dataset, started)
    require_start(start, config)
    begins = group.share(lambda: not (resume and state_file.is_file()))
    validates, warnings = validate and "val" in dataset.splits(), list[str]()
    if validate and not validates:
        warnings.append(unvalidated(dataset))
        if group.is_first:
            _log.warning("%s", warnings[0])
    seed(config.seed)  # of the initial weights
    if begins:
        require_a_recipe_that_learns(spec, config, family_of(spec, config))  # before weights are fetched
    pretrained = bool(spec.pretrained) if config.pretrained == "auto" else config.pretrained
    module, spec = build_model(spec, dataset.spec.num_classes, pretrained, _sizes(config, dataset, validate=validates))
    init, begun_from = (None, "") if start is None or not begins else start.fill(module, spec, dataset.spec)
    spec = dataset.spec.adapt(spec) if start is None else start.source.fed(spec, dataset.spec)
    if group.count > 1 and device.type == "cuda":
        module = synchronised(module, spec.name)
    module.train().to(device).to(memory_format=torch.channels_last)
    one = TrainingStep(
        module,
        spec,
        config,
        num_classes=dataset.spec.num_classes,
        device=device,
        weights=group.share(lambda: channel_weights(config, spec, dataset)),
        group=group,
    )
    journal = Journal(run_dir, dataset.spec.class_names, curves=keep_state and group.is_first)
    if not begins:
        _resume(state_file, one, journal)
    versions, estimated_at = software(device), -1

    def is_due() -> bool:
        """Whether the weights as they are now are to be scored and kept."""
        count = journal.step_count
        return count == config.steps or (count > 0 and config.val_every is not None and count % config.val_every == 0)

    def is_scored() -> bool:
        return not validates or (bool(journal.validations) and journal.validations[-1].step == journal.step_count)

    def is_complete() -> bool:
        return journal.step_count == config.steps and is_scored()

    def facts(score: float | None) -> CheckpointFacts:
        return CheckpointFacts(
            model=spec.name,
            num_classes=dataset.spec.num_classes,
            dataset=dataset.name,
            fingerprint=fingerprint,
            synthetic=dataset.synthetic,
            classes=dataset.spec,
            feeding=Feeding(
                mean=spec.mean, std=spec.std, channel_order=spec.channel_order, input_size=config.image_size
            ),
            config=config,
            recipe_hash=config.recipe_hash,
            step=journal.step_count,
            complete=is_complete(),
            precision="bf16" if one.bf16 else "fp32",
            batch_norm_batches=config.batch_norm_batches if journal.step_count == estimated_at else 0,
            **({"pretrained": spec.pretrained if pretrained else ""} if start is None else start.facts),
            miou=score,
            zoo=versions.zoo,
            torch=versions.torch,
        )

    def begin() -> None:
        if begun_from:
            _log.warning("%s", begun_from)
        now = describe_run(spec, config, dataset, device, group.count, init)
        journal.write()  # fails now rather than at the first save
        if journal.step_count == 0:  # what an earlier run left here is not of this one
            for file in (best, last, state_file, run_dir / VALIDATION, *run_dir.glob(CURVES)):
                file.unlink(missing_ok=True)
            write_run(run_dir, now)
        else:
            resume_run(run_dir, now, journal.step_count)

    def save() -> None:
        if keep_state and not is_complete():
            state = {"step": one.state(), "journal": journal.state()}
            write_atomic(state_file, lambda draft: torch.save(state, draft))
        journal.write()
        save_weights(last, tensors_of(one.trained), facts(journal.log[-1].miou))
        if is_complete():
            state_file.unlink(missing_ok=True)

    def try_first() -> None:
        require_something_to_learn(spec, config, dataset)
        weights_bytes = sum(tensor.nbytes for tensor in tensors_of(one.module).values())
        require_room(run_dir, weights_bytes, copies=kept_copies(config, one.family, keep_state=keep_state))
        if validates:
            require_a_readable_split(dataset, "val")
        if "val" in dataset.splits():
            with _scoring(one):
                try_network(spec, dataset, "val", _predictor(one, spec))

    if begins:
        group.share(try_first)
    first_step = journal.step_count
    crop_size = group.share(lambda: useful_crop_size(config, dataset))
    if crop_size != config.crop_size and group.is_first:
        asked, used = ("x".join(map(str, size)) for size in (config.crop_size, crop_size))
        _log.warning(
            "crops of %s are cut to %s: at their largest scale no frame fills more, all else is padding", asked, used
        )
    batches = train_batches(
        dataset,
        "train",
        config.model_copy(update={"crop_size": crop_size}),
        start_step=first_step,
        workers=_worker_count(config, device, group),
        pin_memory=device.type == "cuda",
        cache=cache,
        shard=(group.rank, group.count),
        on_frame=on_frame if group.is_first else None,
    )

    group.share(begin)

    def some_batches(count: int) -> Iterator[Batch]:
        """Batches that no step has seen, whole, for the first process alone."""
        return islice(batches.whole_batches(config.steps), count * config.accumulate)

    def keep_and_score() -> None:
        """Keep the weights after a step that is due, then score them: what fails in scoring costs no step."""
        nonlocal estimated_at
        if config.batch_norm_batches:
            group.share(lambda: one.estimate_statistics(some_batches(config.batch_norm_batches)))
            estimated_at = journal.step_count
        if not is_scored():
            if group.is_first:
                save()
            best_before = journal.best_miou
            with _kept_in(last), blamed_on(spec.name):
                score, by_class = group.share(lambda: _validate(one, spec, dataset))
            journal.validated(score, by_class)
            if group.is_first:
                if score is not None and (best_before is None or score > best_before):
                    save_weights(best, tensors_of(one.trained), facts(score))
                if on_validation:
                    classes = dict(zip(dataset.spec.class_names, by_class, strict=True))
                    on_validation(journal.step_count, score, classes)
        if group.is_first:
            save()

    begun = time.perf_counter()
    saved_at = begun - SAVE_EVERY_S + FIRST_SAVE_S
    deadline = None if time_limit_s is None else started + time_limit_s
    with closing(journal), closing(batches), asked_to_stop(deadline) as stop_now:
        if is_due() and not is_scored():  # it was ended in between
            keep_and_score()
        for step in range(first_step, config.steps):
            try:
                pieces = list(islice(batches, config.accumulate))
            except UserError:  # a file, or a process that loads; the weights are whole
                if group.is_first and journal.step_count > 0:
                    save()
                raise
            loss, norm = one.gradients(step, pieces)
            if not (math.isfinite(loss) and math.isfinite(norm)):  # the weights are still good
                raise ModelError(_diverged(spec, step + 1, loss, norm, one.rate(step), last))
            one.update(step)
            images_per_s = (step + 1 - first_step) * config.batch_size / (time.perf_counter() - begun)
            journal.add(loss, one.rate(step), images_per_s)
            if on_step and group.is_first:
                on_step(step + 1, loss, images_per_s)
            if is_due():
                keep_and_score()
                saved_at = time.perf_counter()
            stop = group.largest(stop_now(), device)
            if group.is_first and not is_due() and (stop or time.perf_counter() - saved_at > SAVE_EVERY_S):
                save()
                saved_at = time.perf_counter()
            if stop == Stop.INTERRUPT and step + 1 < config.steps:
                raise KeyboardInterrupt
            if stop:
                break
        if journal.step_count == config.steps:
            gap = group.share(lambda: one.mode_gap(list(some_batches(-(-GAP_IMAGES // config.batch_size)))))
            warning = None if gap is None else gap.warning(spec.name, config.batch_norm_batches)
            warnings += [warning] if warning else []
    count = journal.step_count
    return group.share(lambda: _trained(run_dir, count, config, dataset, started, warnings))


def _sizes(config: TrainConfig, dataset: Dataset, *, validate: bool) -> list[Size]:
    """What the network will be fed with: crops, and the frames of `val` at the size they are seen at."""
    if not validate:
        return [config.crop_size]
    seen = [config.image_size] if config.image_size else frame_sizes(dataset.frames("val"))
    return [config.crop_size, *dict.fromkeys(seen)]


def _validate(one: TrainingStep, spec: ModelSpec, dataset: Dataset) -> tuple[float | None, tuple[float | None, ...]]:
    """Score `val`: mIoU and IoU per class at the ground truth's full size."""
    with _scoring(one):
        confusion = evaluate(by_size(_predictor(one, spec)), dataset, "val").confusion
    return miou(confusion), tuple(class_iou(confusion))


def _predictor(one: TrainingStep, spec: ModelSpec) -> Callable[[Size], Predict]:
    """What makes the predictor of frames of one size."""

    def make(size: Size) -> Predict:
        input_size = one.config.image_size or size
        pipeline = Pipeline(one.trained, spec, image_size=size, input_size=input_size, output_size=size, resize="fit")
        pipeline.to(one.device).eval()

        def predict(images: Tensor) -> Tensor:
            with torch.no_grad(), torch.autocast(one.device.type, torch.bfloat16, enabled=one.bf16):
                label_map: Tensor = pipeline(images.to(one.device))
            return label_map.cpu()

        return predict

    return make


@contextmanager
def _scoring(one: TrainingStep) -> Iterator[None]:
    """Leave the network in training mode, whatever happens."""
    try:
        yield
    finally:
        one.trained.train()


@contextmanager
def _kept_in(last: Path) -> Iterator[None]:
    """Say of what fails in scoring where the weights are."""
    try:
        yield
    except UserError as error:
        raise type(error)(
            f"{error}; the weights are kept in {last}, and the same command goes on from there"
        ) from error


def _resume(path: Path, one: TrainingStep, journal: Journal) -> None:
    """Put back what `save` kept."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        one.restore(state["step"])
        journal.restore(state["journal"])
    except Exception as error:  # torch.load raises whatever a damaged file makes it stumble over
        raise UserError(
            f"{path} cannot be resumed ({type(error).__name__}); delete it to begin this run anew"
        ) from error


def _is_finished(last: Path, identity: tuple[str, str, str, int]) -> bool:
    """Whether `last` ends a run of this identity.

    Raises:
        UserError: the folder holds another run.
    """
    facts = read_facts(last) if last.is_file() else None
    if facts is not None and facts.identity != identity:
        raise UserError(f"{last.parent} holds a run of {facts.model} by {facts.config.name}; choose another folder")
    return facts is not None and facts.complete


def _trained(
    run_dir: Path, step_count: int, config: TrainConfig, dataset: Dataset, started: float, warnings: Sequence[str] = ()
) -> Trained:
    best, last = run_dir / "best.safetensors", run_dir / "last.safetensors"
    best = best if best.is_file() else last
    facts = read_facts(best)
    return Trained(
        best=best,
        last=last,
        step_count=step_count,
        complete=step_count == config.steps,
        seconds=time.perf_counter() - started,
        losses=read_losses(run_dir),
        miou=facts.miou if facts else None,
        synthetic=dataset.synthetic,
        warnings=tuple(warnings),
    )


def _diverged(spec: ModelSpec, step: int, loss: float, norm: float, rate: float, last: Path) -> str:
    what = f"the loss became {loss}" if not math.isfinite(loss) else f"the gradient's norm became {norm}"
    kept = f"{last} holds an earlier step" if last.is_file() else "nothing was saved before"
    return (
        f"{spec.name}: {what} at step {step} with learning rate {rate:.2g}, so training stopped; {kept}. Choose a "
        "lower learning rate, or precision = fp32"
    )


def _worker_count(config: TrainConfig, device: torch.device, group: Group) -> int:
    """Loader processes of each training process."""
    if config.workers is not None:
        return config.workers
    return 0 if device.type == "cpu" else min(8, max(1, core_count() // group.count))
