"""Two artifacts in turn in one process: what `zoo bench --pair` does.

The answer is printed and not kept: a record is of one artifact, and everything below a results folder is a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import numpy as np

from zoo.bench.job import Job, Paired, Side, Survey
from zoo.bench.plan import parse_checkpoints, plan_weights
from zoo.bench.sweep import Event
from zoo.bench.workshop import Workshop
from zoo.catalog import MODELS, find
from zoo.checkpoint import runs_folder
from zoo.config import INSTALLED, BenchConfig
from zoo.data.layout import Dataset, open_dataset
from zoo.data.reading import frame_size
from zoo.errors import UserError, did_you_mean
from zoo.identity import network_sha256
from zoo.record import Artifact, Precision
from zoo.report.pair import Pair
from zoo.runtimes import table
from zoo.spec import ModelSpec, Size
from zoo.units import parse_size

CHOICES: dict[str, tuple[str, ...]] = {"runtime": tuple(table.RUNTIMES), "precision": get_args(Precision)}
"""What the words of a side may be; `input_size` is any size."""
KEYS = (*CHOICES, "input_size")
Value = TypeVar("Value")


class PairError(Exception):
    """A side did not run to its end; the text is one line that names it."""


@dataclass(frozen=True)
class Asked:
    """One side as it was asked for."""

    spec: ModelSpec
    runtime: str
    precision: Precision
    input_size: Size | None
    """`None`: the frame's own size."""


def run_pair(
    config: BenchConfig,
    first: str,
    second: str,
    *,
    data: Path | str | None = None,
    runs: Path | str | None = None,
    cache: Path | None = None,
    checkpoints: Sequence[str] = (),
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Pair:
    """Time two artifacts in turn, in pipeline scope, on the same seeded random images.

    Weights are those `zoo bench` would measure. Nothing is trained: a model without a finished run has random ones,
    and the answer says so.

    Args:
        config: How to measure, and what a side does not say of itself; `models` is not read.
        first: `MODEL[,runtime=R][,precision=P][,input_size=HxW]`.
        second: Likewise; the verdict is on this one.
        data: As `run_bench` takes it; its frames' size is the images'.
        runs: Folder of training runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Folder of the embedded dataset and of built artifacts; `None`: `ZOO_CACHE`, else the user's cache folder.
        checkpoints: `MODEL=FILE` pairs.
        on_event: Called as it goes on.

    Raises:
        UserError: a mistake in what was asked for, a side that this machine does not run included.
        PairError: a side crashed, ran out of memory or out of time.
    """
    sides = [parse_side(text, config) for text in (first, second)]
    specs = [side.spec for side in sides]
    named = parse_checkpoints(list(checkpoints), specs)
    dataset = open_dataset(data, cache=cache) if config.accuracy else None
    plans = [plan_weights(spec, config, dataset, runs_folder(runs), named)[0] for spec in specs]
    image_size = frame_size(dataset, config.split) if dataset else config.image_size
    with _runner(config, on_event) as run:
        survey = _survey(run, config, sides, dataset, image_size)
        one, other = (
            Job(
                config,
                side.spec,
                survey.device_name,
                side.runtime,
                side.precision,
                image_size=image_size,
                input_size=side.input_size or image_size,
                batch_size=config.batch_size,
                dataset=dataset,
                weights=plan.file,
                cache=cache,
            )
            for side, plan in zip(sides, plans, strict=True)
        )
        for job in (one, other):
            if job.runtime != "eager":
                run("build", job, job.name)
        paired: Paired = run("pair", replace(one, rival=other), one.name)
    wanted_weights = dataset is not None and config.train is not None
    seconds = paired.turns.seconds
    p50s = np.median(seconds, axis=0)
    return Pair(
        artifacts=(_artifact(one, paired.sides[0]), _artifact(other, paired.sides[1])),
        device=survey.device,
        software=(survey.software[one.runtime], survey.software[other.runtime]),
        quick=config.quick,
        thread_count=paired.sides[0].state.thread_count,
        turn_count=len(seconds),
        p50_s=(float(p50s[0]), float(p50s[1])),
        ratio=paired.turns.ratio,
        ratio_interval=paired.turns.ratio_interval,
        warmup_settled=paired.turns.warmup_settled,
        witness=paired.witness,
        missing_weights=tuple(
            dict.fromkeys(job.spec.name for job in (one, other) if wanted_weights and job.weights is None)
        ),
    )


def parse_side(text: str, config: BenchConfig) -> Asked:
    """Read `MODEL[,runtime=R][,precision=P][,input_size=HxW]`; what it does not say is `config`'s.

    Raises:
        UserError: no such model, key or value, or nothing said where `config` has several.
    """
    model, *conditions = text.split(",")
    given: dict[str, str] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals or key not in KEYS:
            raise UserError(f"{text}: {condition!r} is none of {', '.join(f'{known}=…' for known in KEYS)}")
        if key in CHOICES and value not in CHOICES[key]:
            near = did_you_mean(value, CHOICES[key])
            raise UserError(f"{text}: no {key} {value!r}.{near} There are: {', '.join(CHOICES[key])}")
        if given.setdefault(key, value) != value:
            raise UserError(f"{text}: {key} is given as {given[key]} and as {value}; give it once")
    runtimes = (given["runtime"],) if "runtime" in given else config.runtimes
    precisions: Sequence[Precision] = config.precisions
    if "precision" in given:
        precisions = [known for known in get_args(Precision) if known == given["precision"]]
    sizes: Sequence[Size | None] = config.input_sizes or (None,)
    if "input_size" in given:
        sizes = [parse_size(given["input_size"])]
    return Asked(
        find(model),
        _only(runtimes, text, "runtime"),
        _only(precisions, text, "precision"),
        _only(sizes, text, "input_size"),
    )


def _only(values: Sequence[Value], text: str, key: str) -> Value:
    if len(values) != 1 or INSTALLED in values:
        raise UserError(f"{text} does not say which {key}; add ,{key}=…")
    return values[0]


def _survey(run: Run, config: BenchConfig, sides: Sequence[Asked], dataset: Dataset | None, image_size: Size) -> Survey:
    """Look at the machine for both sides, and try each model that is not of the table."""
    asked = config.model_copy(
        update={
            "runtimes": tuple(dict.fromkeys(side.runtime for side in sides)),
            "precisions": tuple(dict.fromkeys(side.precision for side in sides)),
        }
    )
    for side in [side for side in sides if side.spec.name not in MODELS] or sides[:1]:
        size = side.input_size or image_size
        job = Job(asked, side.spec, config.device, image_size=image_size, input_size=size, dataset=dataset)
        survey: Survey = run("survey", job, side.spec.name)
    if survey.missing:
        raise UserError("; ".join(survey.missing.values()))
    for side in sides:
        if reason := survey.unsupported.get((side.runtime, side.precision)):
            raise UserError(f"{side.spec.name},runtime={side.runtime},precision={side.precision}: {reason}")
    return survey


class Run(Protocol):
    """Runs a stage in a process of its own; what goes wrong is blamed on `name` or on who the stage names last."""

    def __call__(self, stage: str, job: Job, name: str) -> Any:
        """The stage's answer."""


@contextmanager
def _runner(config: BenchConfig, on_event: Callable[[Event], None]) -> Iterator[Run]:
    """A workshop that tells what it does."""
    with Workshop() as workshop:

        def run(stage: str, job: Job, name: str) -> Any:
            at = name

            def note(_stage: str, text: str) -> None:
                nonlocal at
                at = text if stage == "pair" else at
                on_event(Event(name, 0, 1, f"{stage}: {text}"))

            on_event(Event(name, 0, 1, stage))
            try:
                outcome = workshop.run([stage], job, timeout_s=config.timeout_s, on_note=note)
            except UserError as error:
                raise UserError(f"{at}: {error}") from error
            for text in outcome.warnings:
                on_event(Event("", 0, 1, text))
            if outcome.status == "unsupported":
                raise UserError(f"{at}: {outcome.reason}")
            if outcome.status != "ok":
                raise PairError(f"{at}: {outcome.reason}")
            return outcome.answers[stage]

        yield run


def _artifact(job: Job, side: Side) -> Artifact:
    return Artifact(
        model=job.spec.name,
        family=job.spec.family,
        runtime=job.runtime,
        precision=job.precision,
        memory_format=side.state.memory_format,
        batch_size=job.batch_size,
        input_size=job.input_size or job.image_size,
        output_size=job.image_size,
        resize=job.config.resize,
        weights=side.weights,
        code_sha256=network_sha256(job.spec),
        file_sha256=side.file.sha256 if side.file else None,
        file_bytes=side.file.bytes if side.file else None,
    )
