"""`run.json`: all that is needed to repeat a run, written when it begins."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError

from zoo.config import TrainConfig
from zoo.data.layout import Dataset
from zoo.errors import UserError
from zoo.faults import how_to_read, reason
from zoo.identity import network_sha256
from zoo.measure.device import probe, software
from zoo.record import Software
from zoo.spec import Facts, ModelSpec
from zoo.state_dict import write_atomic

RUN_FILE = "run.json"


class Init(Facts):
    """Whole weights that a run began from."""

    label: str
    """Which they are, as `record.Weights.label`."""
    given: str
    """What `--init` takes to find them again: a file's path, `published:TAG` or `own`."""
    sha256: str
    """Of all their tensors."""
    licence: str = ""
    """Inherited by the run; empty where it is not known."""
    taken_count: int = 0
    """Tensors of the network that were filled."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Why each other tensor, of the file or the network, was not taken, by its name."""


class Run(Facts):
    """What was trained, on what, by what."""

    schema_version: Literal[1] = 1
    model: str
    source: str
    """What `catalog.find` takes: the model's name, a hub's folder, or file and function of a network of your own."""
    code_sha256: str
    """Of what decides the network (`identity.network_sha256`)."""
    config: TrainConfig
    """The whole recipe, the seed included."""
    recipe_hash: str
    dataset: str
    fingerprint: str
    """Of all its splits."""
    data: str
    """The dataset's folder when the run began; this file is for its owner and no part of a record."""
    device: str
    """Such as `"NVIDIA H200"`."""
    process_count: int
    thread_count: int
    """Of torch, in each process: sums may be rounded in another order with another number."""
    software: Software
    git_commit: str | None
    """Of the checkout zoo runs from; `None`: none, or no git."""
    git_changed: bool | None
    """Whether its tracked files differed from that commit."""
    command: str
    init: Init | None = None
    """`None`: it began from none."""
    resumed: tuple[str, ...] = ()
    """Each time it went on: after which step, and what was not as before: `"step 40: thread_count 1 -> 2"`."""
    began_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def differences(self, other: Run) -> tuple[str, ...]:
        """What else than recipe and data was not the same in another run, such as `"torch 2.11.0 -> 2.12.0"`."""
        mine, others = (
            {**run.software.model_dump(), **run.model_dump(include=set(_CIRCUMSTANCES))} for run in (self, other)
        )
        return tuple(f"{key} {mine[key]} -> {others[key]}" for key in mine if mine[key] != others[key])


_CIRCUMSTANCES = ("device", "process_count", "thread_count", "code_sha256", "git_commit", "git_changed")


def describe_run(
    spec: ModelSpec,
    config: TrainConfig,
    dataset: Dataset,
    device: torch.device,
    count: int,
    init: Init | None = None,
) -> Run:
    """Say what is about to be trained, by `count` processes, and from what it begins."""
    commit, changed = _git(Path(__file__).parents[2])
    return Run(
        model=spec.name,
        source=spec.hub or (spec.builder if spec.own and ".py:" in spec.builder else spec.name),
        code_sha256=network_sha256(spec),
        config=config,
        recipe_hash=config.recipe_hash,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint(),
        data=str(dataset.root),
        device=probe(device).name,
        process_count=count,
        thread_count=torch.get_num_threads(),
        software=software(device),
        git_commit=commit,
        git_changed=changed,
        command=shlex.join(sys.argv),
        init=init,
    )


def resume_run(folder: Path, now: Run, step: int) -> None:
    """Note in a run's folder that it goes on after `step`, and what is not as it was.

    Raises:
        UserError: as `read_run` and `write_run`.
    """
    before = read_run(folder)
    changed = ", ".join(before.differences(now)) or "as before"
    write_run(folder, before.model_copy(update={"resumed": (*before.resumed, f"step {step}: {changed}")}))


def write_run(folder: Path, run: Run) -> None:
    """Keep it in a run's folder.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    write_atomic(folder / RUN_FILE, lambda draft: draft.write_text(run.model_dump_json(indent=1), encoding="utf-8"))


def read_run(folder: Path) -> Run:
    """Read what a run's folder says of it.

    Raises:
        UserError: no run's folder, or a damaged one.
    """
    path = folder / RUN_FILE
    try:
        return Run.model_validate_json(path.read_bytes())
    except OSError as error:
        advice = "give the folder of a run" if isinstance(error, FileNotFoundError) else how_to_read(error)
        raise UserError(f"{path} cannot be read: {reason(error)}; {advice}") from error
    except ValidationError as error:
        raise UserError(f"{path} is damaged or of another zoo: {str(error).splitlines()[0]}") from error


def _git(root: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout at `root`, and whether its tracked files were changed."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None, None

    def said(*words: str) -> str:
        line = [git, "-C", str(root), *words]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout.strip()  # noqa: S603

    try:
        return said("rev-parse", "HEAD"), bool(said("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):  # such as a checkout that git does not trust
        return None, None
