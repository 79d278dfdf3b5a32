"""One training loop for every model, readable top to bottom."""

from __future__ import annotations

import csv
import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.catalog import find
from zoo.checkpoint import CheckpointFacts, read_facts, run_folder, run_lock, runs_folder, save_weights, write_atomic
from zoo.config import TrainConfig
from zoo.data.layout import Dataset, open_dataset
from zoo.data.loading import train_batches
from zoo.errors import ModelError, UserError, blamed_on
from zoo.evaluate import by_size, evaluate
from zoo.measure.device import core_count, resolve_device, software
from zoo.models.build import build_model, training_logits
from zoo.pipeline import Pipeline
from zoo.runtimes.base import gains_from_bf16
from zoo.score import miou
from zoo.spec import IGNORE_INDEX, ModelSpec, Size
from zoo.train.schedule import learning_rate, make_optimizer, set_learning_rate

SAVE_EVERY_S = 300.0
"""A run that is killed outright loses at most this much."""

OnStep = Callable[[int, float, float], None]
"""Called after each step with its number (1 is the first), its loss and the images per second so far."""


@dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    best: Path
    """Weights with the highest mIoU seen in validation; the last ones where there was none."""
    last: Path
    step_count: int
    seconds: float
    """Wall time of this call, validation included."""
    losses: tuple[float, ...]
    """One per step, the steps before a resume included."""
    miou: float | None
    """Of `best`, at the ground truth's full size; `None` without validation."""
    synthetic: bool
    """True for drawn streets, whose mIoU says nothing about real ones."""


def train_model(
    name: str,
    config: TrainConfig,
    *,
    data: Path | str | None = None,
    runs: Path | str | None = None,
    cache: Path | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    resume: bool = True,
) -> Trained:
    """Train a model by name; what `zoo train` does.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        config: The recipe.
        data: Folder in the Cityscapes layout; `None`: `CITYSCAPES_DATASET`, else the embedded synthetic set.
        runs: Folder of all runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where the embedded set is kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        on_step: Told of every step.
        resume: Go on with an interrupted run, and leave a finished one as it is.

    Raises:
        UserError: unknown model, dataset or device, and whatever `train` refuses.
    """
    spec, dataset = find(name), open_dataset(data, cache=cache)
    run_dir, target = run_folder(runs_folder(runs), spec, dataset, config), resolve_device(device)
    with run_lock(run_dir), blamed_on(spec.name):
        return train(spec, config, dataset, run_dir=run_dir, device=target, on_step=on_step, resume=resume)


def train(
    spec: ModelSpec,
    config: TrainConfig,
    dataset: Dataset,
    *,
    run_dir: Path,
    device: torch.device,
    on_step: OnStep | None = None,
    keep_state: bool = True,
    resume: bool = True,
    validate: bool = True,
) -> Trained:
    """Train one model by one recipe.

    The loss is the cross-entropy of logits upsampled to the label's size, `aux_weight` times that of auxiliary heads
    added. A finished run is not trained again; an interrupted one goes on where it stopped, step for step as if it had
    never been interrupted.

    Args:
        spec: The model.
        config: The recipe.
        dataset: Trained on its split `train`, validated on `val`.
        run_dir: Where checkpoints, state and log go (`checkpoint.run_folder`).
        device: Where to train.
        on_step: Told of every step.
        keep_state: Keep the optimizer's state beside the weights while the run is unfinished.
        resume: Go on with what `run_dir` holds; `False` begins anew.
        validate: Score `val` every `config.val_every` steps and at the end.

    Raises:
        UserError: the recipe does not fit the model or the data, the loss is not finite, or the disk is full.
    """
    started = time.perf_counter()
    best, last, state_file = run_dir / "best.safetensors", run_dir / "last.safetensors", run_dir / "state.pt"
    fingerprint = dataset.fingerprint()
    if resume and _is_finished(last, (spec.name, fingerprint, config.recipe_hash)):
        return _trained(run_dir, config.steps, started, synthetic=dataset.synthetic)
    _seed(config.seed)  # of the initial weights
    pretrained = bool(spec.pretrained) if config.pretrained == "auto" else config.pretrained
    module, spec = build_model(spec, dataset.spec.num_classes, pretrained)
    module.train().to(device).to(memory_format=torch.channels_last)
    family = spec.recipe if config.optimizer == "auto" else config.optimizer
    optimizer = make_optimizer(module, config, family)
    bf16 = config.precision == "bf16" or (config.precision == "auto" and gains_from_bf16(device))
    versions = software(device)
    feed = _Feed(spec, dataset.spec.num_classes, device)
    log: list[LogRow] = []  # one row per step
    best_miou: float | None = None
    if resume and state_file.is_file():
        log, best_miou = _resume(state_file, module, optimizer)
    write_atomic(run_dir / "log.csv", lambda draft: _write_log(draft, log))  # fails now rather than at the first save
    if not log:  # what an earlier run left here is not of this one
        for file in (best, last, state_file):
            file.unlink(missing_ok=True)

    def facts(miou: float | None) -> CheckpointFacts:
        return CheckpointFacts(
            model=spec.name,
            num_classes=dataset.spec.num_classes,
            dataset=dataset.name,
            fingerprint=fingerprint,
            synthetic=dataset.synthetic,
            config=config,
            recipe_hash=config.recipe_hash,
            step=len(log),
            complete=len(log) == config.steps,
            precision="bf16" if bf16 else "fp32",
            pretrained=spec.pretrained if pretrained else "",
            miou=miou,
            zoo=versions.zoo,
            torch=versions.torch,
        )

    def save() -> None:
        if keep_state and len(log) < config.steps:
            _save_state(state_file, module, optimizer, log, best_miou)
        write_atomic(run_dir / "log.csv", lambda draft: _write_log(draft, log))
        save_weights(last, module.state_dict(), facts(log[-1].miou))
        if len(log) == config.steps:
            state_file.unlink(missing_ok=True)

    first_step, saved_at, begun = len(log), time.perf_counter(), time.perf_counter()
    batches = train_batches(
        dataset,
        "train",
        config,
        start_step=first_step,
        workers=_worker_count(config, device),
        pin_memory=device.type == "cuda",
    )
    with _interrupt_between_steps() as interrupted:
        for step, (images, labels) in zip(range(first_step, config.steps), batches, strict=False):
            _seed(config.seed, step)  # dropout: whatever drew before, this step is the same again after a resume
            rate = learning_rate(step, config, family)
            set_learning_rate(optimizer.param_groups, rate)
            image, label = feed(images, labels)  # N3HW float, NHW int64
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                heads = _training_logits(module, image, spec)
            losses = [_cross_entropy(logits, label, align_corners=spec.align_corners) for logits in heads]
            loss = losses[0] + config.aux_weight * sum(losses[1:])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.grad_clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), config.grad_clip)
            optimizer.step()

            value = loss.item()
            if not math.isfinite(value):
                raise ModelError(_diverged(spec, step + 1, value, rate, last))
            log.append(LogRow(step + 1, value, rate, None))
            if on_step:
                on_step(step + 1, value, (step + 1 - first_step) * config.batch_size / (time.perf_counter() - begun))
            done = step + 1 == config.steps
            due = config.val_every is not None and (step + 1) % config.val_every == 0
            if validate and (done or due):
                score = _validation_miou(module, spec, config, dataset, device, bf16=bf16)
                log[-1] = log[-1]._replace(miou=score)
                if score is not None and (best_miou is None or score > best_miou):
                    best_miou = score
                    save_weights(best, module.state_dict(), facts(score))
            if done or due or interrupted() or time.perf_counter() - saved_at > SAVE_EVERY_S:
                save()
                saved_at = time.perf_counter()
            if interrupted() and not done:
                raise KeyboardInterrupt
    return _trained(run_dir, config.steps, started, synthetic=dataset.synthetic)


class LogRow(NamedTuple):
    """One step of `log.csv`."""

    step: int
    """1 is the first."""
    loss: float
    learning_rate: float
    miou: float | None
    """Where this step was validated."""


class _Feed:
    """Brings a batch to the device as the network is fed: normalised, padded to the divisor, labels as channel indices.

    `uint8 (N, H, W, 3)` and `uint8 (N, H, W)` → `float (N, 3, H', W')`, channels last, and `int64 (N, H', W')`.
    """

    def __init__(self, spec: ModelSpec, num_classes: int, device: torch.device) -> None:
        self.device, self.divisor = device, spec.divisor
        self.mean = torch.tensor(spec.mean, device=device).view(3, 1, 1) * 255
        self.std = torch.tensor(spec.std, device=device).view(3, 1, 1) * 255
        channels = torch.full((256,), IGNORE_INDEX)  # train id → channel
        for channel, train_id in enumerate(spec.train_ids or range(num_classes)):
            if train_id == IGNORE_INDEX:
                continue
            if channels[train_id] != IGNORE_INDEX:
                raise ModelError(
                    f"{spec.name}: its train_ids give class {train_id} to several channels, so there is no one channel "
                    "to train; evaluate it with weights of its own, or give it one channel per class"
                )
            channels[train_id] = channel
        self.channels = channels.to(device)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        image = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # its memory stays NHWC
        image = (image.float() - self.mean) / self.std
        label = self.channels[labels.to(self.device, non_blocking=True).int()]
        bottom, right = (-side % self.divisor for side in label.shape[1:])
        if bottom or right:
            image = F.pad(image, (0, right, 0, bottom))  # 0 is the mean here
            label = F.pad(label, (0, right, 0, bottom), value=IGNORE_INDEX)
        return image, label


def _training_logits(module: nn.Module, image: Tensor, spec: ModelSpec) -> tuple[Tensor, ...]:
    try:
        return training_logits(module, image)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):  # batch norm after global pooling
            raise ModelError(
                f"{spec.name} normalises over the batch what it pooled over the whole image, and cannot train on "
                f"{len(image)} image at a time; set batch_size to 2 or more"
            ) from error
        raise


def _cross_entropy(logits: Tensor, label: Tensor, *, align_corners: bool) -> Tensor:
    """Mean over counted pixels of the loss at the label's size; 0 where nothing is counted."""
    size = (label.shape[1], label.shape[2])
    grid = F.interpolate(logits.float(), size, mode="bilinear", align_corners=align_corners)  # NKHW
    total = F.cross_entropy(grid, label, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (label != IGNORE_INDEX).sum().clamp(min=1)


def _validation_miou(
    module: nn.Module, spec: ModelSpec, config: TrainConfig, dataset: Dataset, device: torch.device, *, bf16: bool
) -> float | None:
    """Score `val` through the pipeline at the ground truth's full size; the network is left in training mode."""

    def make(size: Size) -> Callable[[Tensor], Tensor]:
        input_size = config.image_size or size
        pipeline = Pipeline(module, spec, image_size=size, input_size=input_size, output_size=size, resize="fit")
        pipeline.to(device).eval()

        def predict(images: Tensor) -> Tensor:
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                label_map: Tensor = pipeline(images.to(device))
            return label_map.cpu()

        return predict

    try:
        return miou(evaluate(by_size(make), dataset, "val").confusion)
    finally:
        module.train()


def _seed(*words: int) -> None:
    """Seed every generator a network may draw from; batches are drawn by their step alone (`data.loading`)."""
    seed = int(np.random.SeedSequence(words).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  a model of one's own may use it
    torch.manual_seed(seed)


@contextmanager
def _interrupt_between_steps() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C or a plain kill end the step that is under way first, so that what is saved is whole.

    A second one acts at once. Yields a function that tells whether one came. Where someone else answers such a signal
    already, it stays theirs.
    """
    pressed = threading.Event()
    defaults: dict[signal.Signals, Callable[[int, FrameType | None], object] | signal.Handlers] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }

    def note(number: int, _frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(number, defaults[signal.Signals(number)])

    in_main = threading.current_thread() is threading.main_thread()
    ours = [number for number, default in defaults.items() if in_main and signal.getsignal(number) == default]
    for number in ours:
        signal.signal(number, note)
    try:
        yield pressed.is_set
    finally:
        for number in ours:
            signal.signal(number, defaults[number])


def _save_state(
    path: Path, module: nn.Module, optimizer: Optimizer, log: list[LogRow], best_miou: float | None
) -> None:
    """Everything the next step depends on, in one file, so that it is whole or absent."""
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "log": [list(row) for row in log],
        "best_miou": best_miou,
    }
    write_atomic(path, lambda draft: torch.save(state, draft))


def _resume(path: Path, module: nn.Module, optimizer: Optimizer) -> tuple[list[LogRow], float | None]:
    """Put back what `_save_state` kept; returns the log and the best mIoU so far."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        return [LogRow(*row) for row in state["log"]], state["best_miou"]
    except Exception as error:  # torch.load raises whatever a damaged file makes it stumble over
        raise UserError(
            f"{path} cannot be resumed ({type(error).__name__}); delete it to begin this run anew"
        ) from error


def _write_log(path: Path, log: list[LogRow]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(LogRow._fields)
        rows.writerows(log)


def _read_losses(path: Path) -> tuple[float, ...]:
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(float(row["loss"]) for row in csv.DictReader(file))


def _is_finished(last: Path, identity: tuple[str, str, str]) -> bool:
    """Whether `last` ends a run of this identity.

    Raises:
        UserError: the folder holds another run.
    """
    facts = read_facts(last) if last.is_file() else None
    if facts is not None and facts.identity != identity:
        raise UserError(f"{last.parent} holds a run of {facts.model} by {facts.config.name}; choose another folder")
    return facts is not None and facts.complete


def _trained(run_dir: Path, step_count: int, started: float, *, synthetic: bool) -> Trained:
    best, last = run_dir / "best.safetensors", run_dir / "last.safetensors"
    best = best if best.is_file() else last
    facts = read_facts(best)
    return Trained(
        best=best,
        last=last,
        step_count=step_count,
        seconds=time.perf_counter() - started,
        losses=_read_losses(run_dir / "log.csv"),
        miou=facts.miou if facts else None,
        synthetic=synthetic,
    )


def _diverged(spec: ModelSpec, step: int, loss: float, rate: float, last: Path) -> str:
    kept = f"{last} holds an earlier step" if last.is_file() else "nothing was saved before"
    return (
        f"{spec.name}: the loss became {loss} at step {step} with learning rate {rate:.2g}, so training "
        f"stopped; {kept}. Choose a lower learning rate, or precision = fp32"
    )


def _worker_count(config: TrainConfig, device: torch.device) -> int:
    if config.workers is not None:
        return config.workers
    return 0 if device.type == "cpu" else min(8, core_count())
