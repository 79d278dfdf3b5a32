"""A run once more: same model, same recipe, same data; does the same come out?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.checkpoint import read_facts
from zoo.data.layout import OnFrame, open_dataset
from zoo.errors import UserError
from zoo.state_dict import read_weights, weights_sha256
from zoo.train.loop import OnStep, OnValidation, Trained, train_model
from zoo.train.run import Run, read_run


@dataclass(frozen=True)
class Repeated:
    """A run beside the one it repeats."""

    trained: Trained
    miou_before: float | None
    """Of the first run's best weights, as it was scored in training."""
    same_weights: bool
    """Bit for bit, after the last step."""
    differences: tuple[str, ...]
    """What else was not the same: versions, device, processes, commit."""


def repeat_run(
    run_dir: Path,
    *,
    data: Path | str | None = None,
    init: Path | str | None = None,
    runs: Path | str | None = None,
    cache: Path | None = None,
    device: str = "auto",
    on_frame: OnFrame | None = None,
    on_step: OnStep | None = None,
    on_validation: OnValidation | None = None,
    resume: bool = True,
    time_limit_s: float | None = None,
) -> Repeated:
    """Train what a run's folder describes again; what `zoo train --repeat` does.

    Args:
        run_dir: Folder of a finished run.
        data: Where its data is now; `None`: where it was.
        init: Where the weights it began from are now, likewise.
        runs: Folder for the new run; `None`: `repeat` in the old one's.
        cache: As in `train_model`.
        device: As in `train_model`; on another kind than before the weights will differ.
        on_frame: As in `train_model`, as are the next two.
        on_step: Told of every step.
        on_validation: Told of every validation.
        resume: Go on with a repetition that was interrupted.
        time_limit_s: Stop after so many seconds, between two steps.

    Raises:
        UserError: not the folder of a finished run, other data or other weights to begin from, or whatever
            `train_model` refuses.
    """
    before = read_run(run_dir)
    last = read_facts(run_dir / "last.safetensors")
    if last is None or not last.complete:
        raise UserError(f"{run_dir} holds a run that was not finished; there is nothing to compare a repetition with")
    dataset = open_dataset(data or before.data, cache=cache)
    if dataset.fingerprint() != before.fingerprint:
        raise UserError(
            f"{dataset.root} is not what {run_dir} was trained on: its fingerprint is {dataset.fingerprint()}, that of "
            f"{before.dataset} was {before.fingerprint}; give the same data with --data"
        )
    trained = train_model(
        before.source,
        before.config,
        data=dataset.root,
        init=_start_of(before, init),
        runs=runs or run_dir / "repeat",
        cache=cache,
        device=device,
        on_frame=on_frame,
        on_step=on_step,
        on_validation=on_validation,
        resume=resume,
        time_limit_s=time_limit_s,
    )
    best = read_facts(run_dir / "best.safetensors") if (run_dir / "best.safetensors").is_file() else last
    hashes = {weights_sha256(read_weights(folder / "last.safetensors")) for folder in (run_dir, trained.last.parent)}
    return Repeated(
        trained=trained,
        miou_before=best.miou if best else None,
        same_weights=len(hashes) == 1,
        differences=(
            *before.differences(read_run(trained.last.parent)),
            *(f"the run before went on after {resumed}" for resumed in before.resumed),
        ),
    )


def _start_of(before: Run, given: Path | str | None) -> Path | str | None:
    """What the repetition begins from."""
    if before.init is None:
        if given is not None:
            raise UserError("the run began from no weights, so its repetition does not either; leave --init away")
        return None
    known = Path(before.init.given)
    if given is None and known.is_absolute() and not known.is_file():
        raise UserError(f"the run began from the weights {known}, which are gone; give the same with --init")
    return given or before.init.given
