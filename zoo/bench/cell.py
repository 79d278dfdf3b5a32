"""One cell becomes one record: a declared list of steps, each run in a worker process."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo.bench.job import Job, Measured
from zoo.bench.plan import Cell, Setting, cell_id, cell_key, trainings
from zoo.bench.workshop import Outcome, Workshop
from zoo.checkpoint import run_folder
from zoo.counting import EvaluationResult, accuracy_record
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import draft_in
from zoo.identity import network_sha256
from zoo.measure.clock import grows
from zoo.protocol import SPEED_PROTOCOL
from zoo.record import Artifact, Build, Failure, Record
from zoo.timed import BatchRate, Throughput
from zoo.train.loop import Trained
from zoo.weights.asked import Asked
from zoo.weights.resolve import resolve
from zoo.weights.source import Source

Samples = dict[str, np.ndarray]
Tell = Callable[[str, str], None]
"""Takes a model, or nothing for all of them, and a line of progress."""


@dataclass(frozen=True)
class Step:
    """One thing that is done to a cell."""

    name: str
    """In `worker.STEPS`, and in a `Failure`."""
    wanted: Callable[[Cell, Setting], bool]
    fields: Callable[[Any, Setting], dict[str, Any]]
    """What its answer puts into the record; of two that put the same, the earlier step's stays."""
    samples: Callable[[Any], Samples] = lambda _answer: {}
    """What its answer puts into the sidecar."""
    basic: bool = False
    """Without its answer nothing after it is run."""
    joined: bool = False
    """Run in the process of the step before; else in one of its own."""
    run: Callable[[Maker, Job], Outcome] | None = None
    """How, where one process is not enough."""


class Maker:
    """Makes records of cells, in the processes of a workshop.

    Args:
        setting: What the cells share.
        workshop: Runs the steps.
        runs: Folder of training runs.
        rooms: Closed with the sweep, whatever becomes of it.
        tell: Called as it goes on.
    """

    def __init__(self, setting: Setting, workshop: Workshop, runs: Path, rooms: ExitStack, tell: Tell) -> None:
        self.setting, self.workshop, self.runs, self.rooms, self.tell = setting, workshop, runs, rooms, tell

    def records(self, cells: Sequence[Cell]) -> Generator[tuple[Record, Samples]]:
        """Measure cells; what some of them wait for is trained before the first, beside each other."""
        started, groups = datetime.now(UTC), trainings(cells)
        try:
            trained = self._train([group[0] for group in groups if group[0].recipe and not group[0].is_trained])
            for group in groups:
                yield from self._records(group, trained.get(group[0].training, Outcome()), started)
                started = datetime.now(UTC)
        finally:
            if "scratch" in vars(self):
                shutil.rmtree(self.scratch, ignore_errors=True)

    def _records(self, cells: Sequence[Cell], trained: Outcome, started: datetime) -> Generator[tuple[Record, Samples]]:
        """Measure cells of one training, or one that needs none."""
        if "train" in trained.answers:
            source = self._trained(cells[0], trained.answers["train"])
            cells = [replace(cell, source=source) for cell in cells]
        for cell in cells:
            outcomes = [trained, *(self._measure(cell) if trained.status == "ok" else ())]
            yield record_of(cell, self.setting, started, outcomes)
            if trained.status == "ok":  # the next cell begins here, and is not trained again
                started, trained = datetime.now(UTC), Outcome()

    def run(self, names: list[str], job: Job) -> Outcome:
        """Run steps in one process, and tell of it."""

        def note(name: str, text: str) -> None:
            self.tell(job.spec.name, f"{name}: {text}")

        self.tell(job.spec.name, names[0])
        outcome = self.workshop.run(names, job, timeout_s=self.setting.config.timeout_s, on_note=note)
        for text in outcome.warnings:
            self.tell("", text)
        return outcome

    @cached_property
    def scratch(self) -> Path:
        """Folder of trainings that are not kept, gone with the sweep; what a killed one left, the next removes."""
        try:
            return self.rooms.enter_context(draft_in(self.runs)) / "run"
        except OSError as error:
            advice = how_to_write(error, "another folder with --runs")
            raise UserError(f"cannot write {self.runs}: {reason(error)}; {advice}") from error

    def _train(self, firsts: Sequence[Cell]) -> dict[Any, Outcome]:
        """Train what these cells wait for, and return what became of each by its `training`."""
        calls = dict[Any, Callable[[], Outcome]]()
        for cell in firsts:
            assert cell.recipe is not None
            assert self.setting.dataset is not None
            root = self.runs if self.setting.config.keep_checkpoints else self.scratch
            job = self._job(replace(cell, runtime="eager", precision="fp32"))
            threads = self.setting.thread_count // self.setting.trainings_at_once
            job = replace(
                job,
                config=job.config.model_copy(update={"threads": threads}),
                recipe=cell.recipe,
                run_dir=run_folder(root, cell.spec, self.setting.dataset, cell.recipe),
            )
            calls[cell.training] = partial(self.run, ["train"], job)
        ended = self.workshop.together(list(calls.values()), self.setting.trainings_at_once)
        outcomes = dict(zip(calls, ended, strict=True))
        for outcome in outcomes.values():
            for trained in outcome.answers.values():
                for warning in trained.warnings:
                    self.tell("", warning)
        return outcomes

    def _trained(self, cell: Cell, trained: Trained) -> Source:
        return resolve(Asked("file", file=trained.best), cell.spec, self.setting.dataset, runs=self.runs)

    def _measure(self, cell: Cell) -> list[Outcome]:
        """Run what is wanted of a cell; after a failure only what does not build on it goes on."""
        if cell.refused:
            return [Outcome(status="unsupported", step="plan", reason=cell.refused)]
        job, outcomes = self._job(cell), list[Outcome]()
        for first, *joined in _processes(cell, self.setting):
            names = [step.name for step in (first, *joined)]
            outcome = first.run(self, job) if first.run else self.run(names, job)
            outcomes.append(outcome)
            if first.basic and first.name not in outcome.answers:
                break
        return outcomes

    def _job(self, cell: Cell) -> Job:
        return Job(
            self.setting.config,
            cell.spec,
            self.setting.survey.device_name,
            cell.runtime,
            cell.precision,
            image_size=self.setting.image_size,
            input_size=cell.input_size,
            resize=cell.resize,
            batch_size=self.setting.config.batch_size,
            dataset=self.setting.dataset,
            source=cell.source,
            cache=self.setting.cache,
            device_id=self.setting.survey.device.machine_id,
            file=cell.file,
        )


def record_of(cell: Cell, setting: Setting, started: datetime, outcomes: Sequence[Outcome]) -> tuple[Record, Samples]:
    """Put what the steps answered, and the first failure among them, into one record and its sidecar."""
    survey = setting.survey
    seconds: Counter[str] = Counter()
    for outcome in outcomes:
        seconds.update(outcome.seconds)
    answers = {name: answer for outcome in outcomes for name, answer in outcome.answers.items()}
    fields, samples = dict[str, Any](), Samples()
    for step in reversed(STEPS):
        if step.name in answers:
            fields |= step.fields(answers[step.name], setting)
            samples |= step.samples(answers[step.name])
    failed = next((outcome for outcome in outcomes if outcome.status != "ok"), None)
    artifact = Artifact(
        model=cell.spec.name,
        family=cell.spec.family,
        runtime=cell.runtime,
        precision=cell.precision,
        memory_format="own" if cell.runtime in survey.file_runtimes else setting.config.memory_format,
        batch_size=setting.config.batch_size,
        input_size=cell.input_size,
        output_size=setting.image_size,
        resize=cell.resize,
        weights=cell.weights,
        code_sha256="" if cell.is_baseline or cell.file else network_sha256(cell.spec),
    )
    record = Record(
        protocol=SPEED_PROTOCOL if cell.is_baseline else setting.config.protocol,
        status=failed.status if failed else "ok",
        key=cell_key(cell, setting),
        folder=setting.folders[0],
        cell=cell_id(cell, setting),
        quick=setting.config.quick and not cell.is_baseline,
        preset=setting.config.name,
        artifact=artifact.model_copy(update=fields.pop("artifact", {})),
        device=survey.device,
        software=survey.software.get(cell.runtime) or next(iter(survey.software.values())),
        dataset=setting.images,
        started_at=started,
        seconds=dict(seconds),
        failure=Failure(step=failed.step, reason=failed.reason, detail=failed.detail) if failed else None,
        config=setting.config.model_dump(mode="json", exclude={"models"}),
        **fields,
    )
    return record, samples


def _processes(cell: Cell, setting: Setting) -> list[list[Step]]:
    """The steps that are wanted of a cell, those of one process together."""
    processes = list[list[Step]]()
    for step in STEPS:
        if step.wanted(cell, setting):
            if step.joined:
                processes[-1].append(step)
            else:
                processes.append([step])
    return processes


def steps_of(cell: Cell, setting: Setting) -> list[str]:
    """Names of the steps that are wanted of a cell, training apart."""
    return [step.name for process in _processes(cell, setting) for step in process]


def _growing_batches(maker: Maker, job: Job) -> Outcome:
    """Double the batch until memory ends or the rate stops growing.

    On an accelerator it goes on to the end of its memory: the largest batch that fits is worth knowing, and a host
    that runs out of memory is not.
    """
    whole, rates, batch_size, is_limit = Outcome(), list[BatchRate](), 1, False
    while grows(rates) or maker.setting.survey.device.kind != "cpu":
        job = replace(job, batch_size=batch_size)
        outcomes = [maker.run(["build"], job)] if job.runtime != "eager" else []
        if all(outcome.status == "ok" for outcome in outcomes):
            outcomes.append(maker.run(["throughput"], job))
        for outcome in outcomes:
            whole.seconds = dict(Counter(whole.seconds) + Counter(outcome.seconds))
        if outcomes[-1].status != "ok":
            is_limit = outcomes[-1].status == "oom"
            if not rates or (outcomes[-1].crashed and not is_limit):
                return replace(outcomes[-1], seconds=whole.seconds, answers={})
            break
        rates.append(outcomes[-1].answers["throughput"])
        batch_size *= 2
    largest = rates[-1].batch_size
    whole.answers["throughput"] = Throughput(rates=tuple(rates), largest_batch=largest, largest_is_limit=is_limit)
    return whole


def _measured(measured: Measured, _setting: Setting) -> dict[str, Any]:
    loading = {} if measured.build == Build() else {"build": measured.build}
    named = ("weights", "file_sha256", "file_bytes")
    artifact = {name: getattr(measured, name) for name in named}
    timed = {"speed": measured.speed, "paced": measured.paced}
    return {"artifact": artifact, **timed, "cost": measured.cost, **loading}


def _scored(counted: EvaluationResult, setting: Setting) -> dict[str, Any]:
    assert setting.dataset is not None
    return {"accuracy": accuracy_record(counted, setting.dataset, setting.config.split)}


def _per_image(counted: EvaluationResult) -> Samples:
    return counted.samples


def _as(field: str) -> Callable[[Any, Setting], dict[str, Any]]:
    return lambda answer, _setting: {field: answer}


def _is_made(cell: Cell, _setting: Setting) -> bool:
    return cell.runtime != "eager" and cell.file is None and not cell.is_baseline


def _is_compared(cell: Cell, _setting: Setting) -> bool:
    return (cell.runtime, cell.precision) != ("eager", "fp32") and cell.file is None and not cell.is_baseline


def _is_started(cell: Cell, setting: Setting) -> bool:
    """Whether fresh processes are started; of a quick run not those that import this package (zoo-cold/1, rule 5)."""
    alone = cell.runtime in setting.survey.file_runtimes and (cell.file is None or cell.file[1].network is None)
    return not cell.is_baseline and (alone or not setting.config.quick)


STEPS = (
    Step("baseline", lambda cell, _setting: cell.is_baseline, _scored, _per_image, basic=True),
    Step("build", _is_made, _as("build"), basic=True),
    Step(
        "measure",
        lambda cell, _setting: not cell.is_baseline,
        _measured,
        lambda measured: dict(measured.samples),
        basic=True,
    ),
    Step(
        "evaluate",
        lambda cell, setting: setting.dataset is not None and cell.is_trained,
        _scored,
        _per_image,
        joined=True,
    ),
    Step("memory", lambda cell, _setting: not cell.is_baseline, _as("memory")),
    Step("cold", _is_started, _as("cold_start")),
    Step("agreement", _is_compared, _as("agreement")),
    Step(
        "throughput",
        lambda cell, setting: setting.config.throughput and cell.file is None and not cell.is_baseline,
        _as("throughput"),
        run=_growing_batches,
    ),
)
"""All that is done to a cell whose weights are there, in order; each is asked of those it is wanted for."""
