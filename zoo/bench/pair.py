"""Two artifacts in turn in one process: what `zoo bench --pair` does.

The answer is printed and not kept: a record is of one artifact, and everything below a results folder is a record.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import numpy as np

from zoo.bench.job import Job, Paired, Side, Survey
from zoo.bench.plan import Chosen, choose
from zoo.bench.request import open_data
from zoo.bench.sweep import Event, OnEvent
from zoo.bench.workshop import Workshop
from zoo.catalog import MODELS, find
from zoo.checkpoint import runs_folder
from zoo.config import INSTALLED, BenchConfig
from zoo.data.layout import Dataset
from zoo.data.reading import frame_size
from zoo.errors import UserError, did_you_mean
from zoo.identity import network_sha256
from zoo.record import Artifact, Precision
from zoo.report.pair import Pair
from zoo.runtimes import table
from zoo.spec import ModelSpec, Size
from zoo.units import parse_size
from zoo.weights.asked import parse_all_asked

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
    """`None`: as its weights were trained, else the frame's own size."""


def run_pair(
    config: BenchConfig,
    first: str,
    second: str,
    *,
    data: Path | str | None = None,
    runs: Path | str | None = None,
    cache: Path | None = None,
    weights: Sequence[str] = (),
    on_event: OnEvent = lambda _event: None,
) -> Pair:
    """Time two artifacts in turn, in pipeline scope, on the same seeded random images.

    Weights are those `zoo bench` would measure. Nothing is trained: a model for which none are found has random ones,
    and the answer says so.

    Args:
        config: How to measure, and what a side does not say of itself; `models` is not read.
        first: `MODEL[,runtime=R][,precision=P][,input_size=HxW]`.
        second: Likewise; the verdict is on this one.
        data: As `run_bench` takes it; its frames' size is the images'.
        runs: Folder of training runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Folder of the embedded dataset and of built artifacts; `None`: `ZOO_CACHE`, else the user's cache folder.
        weights: `W` for both or `MODEL=W` for one, as `zoo.weights.asked` reads them.
        on_event: Called as it goes on.

    Raises:
        UserError: a mistake in what was asked for, a side that this machine does not run included.
        PairError: a side crashed, ran out of memory or out of time.
    """
    sides = [parse_side(text, config) for text in (first, second)]
    specs = [side.spec for side in sides]
    dataset = open_data(config, data, cache)
    image_size = frame_size(dataset, config.split) if dataset else config.image_size
    with _runner(config, on_event) as run:
        chosen = _weights(run, config, specs, weights, dataset, runs_folder(runs), cache)
        sizes = [side.input_size or chosen[side.spec.name].input_size or image_size for side in sides]
        survey = _survey(run, config, sides, sizes, dataset, image_size)
        for model, one_of in chosen.items():
            if one_of.source.kind != "random":
                on_event(Event("", 0, 1, f"{model}: {one_of.source.said}"))
        one, other = (
            Job(
                config,
                side.spec,
                survey.device_name,
                side.runtime,
                side.precision,
                image_size=image_size,
                input_size=size,
                resize=chosen[side.spec.name].resize,
                batch_size=config.batch_size,
                dataset=dataset,
                source=chosen[side.spec.name].source,
                cache=cache,
                device_id=survey.device.machine_id,
            )
            for side, size in zip(sides, sizes, strict=True)
        )
        for job in (one, other):
            if job.runtime != "eager":
                run("build", job, job.name)
        paired: Paired = run("pair", replace(one, rival=other), one.name)
    p50s = np.median(paired.turns.seconds, axis=0)
    return Pair(
        artifacts=(_artifact(one, paired.sides[0]), _artifact(other, paired.sides[1])),
        device=survey.device,
        software=(survey.software[one.runtime], survey.software[other.runtime]),
        quick=config.quick,
        thread_count=paired.sides[0].state.thread_count,
        turn_count=len(paired.turns.seconds),
        p50_s=(float(p50s[0]), float(p50s[1])),
        ratio=paired.turns.ratio,
        ratio_interval=paired.turns.ratio_interval,
        warmup_settled=paired.turns.warmup_settled,
        witness=paired.witness,
        missing_weights=tuple(
            dict.fromkeys(job.spec.name for job in (one, other) if dataset is not None and job.source.missing)
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


def _survey(
    run: Run,
    config: BenchConfig,
    sides: Sequence[Asked],
    sizes: Sequence[Size],
    dataset: Dataset | None,
    image_size: Size,
) -> Survey:
    """Look at the machine for both sides, and try each model that is not of the table."""
    asked = config.model_copy(
        update={
            "runtimes": tuple(dict.fromkeys(side.runtime for side in sides)),
            "precisions": tuple(dict.fromkeys(side.precision for side in sides)),
        }
    )
    seen = list(zip(sides, sizes, strict=True))
    for side, size in [(side, size) for side, size in seen if side.spec.name not in MODELS] or seen[:1]:
        job = Job(asked, side.spec, config.device, image_size=image_size, input_size=size, dataset=dataset)
        survey: Survey = run("survey", job, side.spec.name)
    if survey.missing:
        raise UserError("; ".join(survey.missing.values()))
    for side in sides:
        if reason := survey.unsupported.get((side.runtime, side.precision)):
            raise UserError(f"{side.spec.name},runtime={side.runtime},precision={side.precision}: {reason}")
    return survey


def _weights(
    run: Run,
    config: BenchConfig,
    specs: Sequence[ModelSpec],
    weights: Sequence[str],
    dataset: Dataset | None,
    runs: Path,
    cache: Path | None,
) -> dict[str, Chosen]:
    """Each model's weights, as a sweep would take them where it trained none."""
    untrained = config.model_copy(update={"train_missing": False, "seeds": 1})
    chosen = dict[str, Chosen]()
    for model, asked in parse_all_asked(weights, list(dict.fromkeys(spec.name for spec in specs))).items():
        spec = next(spec for spec in specs if spec.name == model)
        job = Job(config, spec, config.device, dataset=dataset)
        brings = functools.partial(run, "brought", job, model)
        (chosen[model],) = choose(spec, asked, untrained, dataset, runs=runs, cache=cache, brings=brings)
    return chosen


class Run(Protocol):
    """Runs a step in a process of its own; what goes wrong is blamed on `name` or on who the step names last."""

    def __call__(self, step: str, job: Job, name: str) -> Any:
        """The step's answer."""


@contextmanager
def _runner(config: BenchConfig, on_event: OnEvent) -> Iterator[Run]:
    """A workshop that tells what it does."""
    with Workshop() as workshop:

        def run(step: str, job: Job, name: str) -> Any:
            at = name

            def note(_step: str, text: str) -> None:
                nonlocal at
                at = text if step == "pair" else at
                on_event(Event(name, 0, 1, f"{step}: {text}"))

            on_event(Event(name, 0, 1, step))
            try:
                outcome = workshop.run([step], job, timeout_s=config.timeout_s, on_note=note)
            except UserError as error:
                raise UserError(f"{at}: {error}") from error
            for text in outcome.warnings:
                on_event(Event("", 0, 1, text))
            if outcome.status == "unsupported":
                raise UserError(f"{at}: {outcome.reason}")
            if outcome.status != "ok":
                raise PairError(f"{at}: {outcome.reason}")
            return outcome.answers[step]

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
        resize=job.resize,
        weights=side.weights,
        code_sha256=network_sha256(job.spec),
        file_sha256=side.file.sha256 if side.file else None,
        file_bytes=side.file.bytes if side.file else None,
    )
