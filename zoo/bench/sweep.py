"""The sweep: lock, skip what is finished, measure the rest the same way, keep each record the moment it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from zoo import store
from zoo.bench.cell import Maker
from zoo.bench.forecast import Forecast, fit, forecast, summary
from zoo.bench.gauge import Gauge
from zoo.bench.given import config_of, fitted, spec_of
from zoo.bench.job import Job, Survey
from zoo.bench.plan import (
    Cell,
    Chosen,
    Setting,
    cell_key,
    cells,
    choose,
    of_file,
    require_disk,
    require_one_seed,
)
from zoo.bench.workshop import Workshop
from zoo.card import Card, read_exported
from zoo.catalog import MODELS, select
from zoo.checkpoint import runs_folder
from zoo.config import INSTALLED, BenchConfig
from zoo.data.layout import Dataset, open_dataset
from zoo.data.reading import frame_size
from zoo.errors import UserError, listed
from zoo.files import remove_leftovers
from zoo.foreign import NOTHING, Feed
from zoo.record import Record
from zoo.spec import ModelSpec, Size
from zoo.weights.asked import Asked, parse_all_asked
from zoo.weights.source import Brought

SURVEY_TIMEOUT_S = 300.0
MAX_NAMED = 3
"""Models that one line names."""


@dataclass(frozen=True)
class Event:
    """Something the person at the terminal may want to see: how far the sweep is, a line of progress, a new record."""

    model: str
    done: int
    total: int
    note: str = ""
    record: Record | None = None


OnEvent = Callable[[Event], None]


@dataclass
class Sweep:
    """What a sweep did."""

    records: list[Record] = field(default_factory=list)
    """Measured now."""
    finished: list[Record] = field(default_factory=list)
    """Measured before, and not again."""
    left_out: list[str] = field(default_factory=list)
    """Models of which something did not fit the budget."""
    seconds: float = 0.0
    seconds_before_cells: float = 0.0
    """Of these, what was spent once: opening the dataset, imports, looking at the machine."""

    @property
    def exit_code(self) -> int:
        """0 when every cell is ok or unsupported, 3 otherwise."""
        return 0 if all(record.status in {"ok", "unsupported"} for record in self.records) else 3


def run_bench(
    config: BenchConfig,
    *,
    data: Path | str | None = None,
    results: Path | str = "results",
    runs: Path | str | None = None,
    cache: Path | None = None,
    weights: Sequence[str] = (),
    rerun: bool = False,
    file: Path | str | None = None,
    trust: bool = False,
    feed: Feed = NOTHING,
    budget_s: float | None = None,
    on_event: OnEvent = lambda _event: None,
) -> Sweep:
    """Measure every cell of `config` and keep a record of each under `results`.

    Args:
        config: What to measure.
        data: Dataset in the Cityscapes layout; `None`: `CITYSCAPES_DATASET`, else the embedded synthetic streets.
        results: Folder of the records.
        runs: Folder of training runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Folder of the embedded dataset and of built artifacts; `None`: `ZOO_CACHE`, else the user's cache folder.
        weights: `W` for every model or `MODEL=W` for one, as `zoo.weights.asked` reads them.
        rerun: Measure finished cells again.
        file: One that somebody exported, measured in place of `config.models`.
        trust: Run a `.pt2`, which is native code.
        feed: What a file of another maker cannot say of itself.
        budget_s: Seconds there are, from the call on: what is estimated to fit is measured, slowest last, and nothing
            is begun after them. A later call goes on.
        on_event: Called as the sweep goes on.

    Returns:
        The records measured now and those that were finished before.

    Raises:
        UserError: a mistake in what was asked for, a folder that cannot be written, a disk too full, a budget that
            nothing fits.
    """
    started = time.monotonic()
    wanted = _read(config, data, runs, cache, weights, file, trust=trust, feed=feed)
    results = Path(results)
    require_disk(wanted.config, results, wanted.runs)
    sweep, total = Sweep(), 0
    with store.locked(results) as folders, Workshop() as workshop, ExitStack() as rooms:
        remove_leftovers(wanted.runs)
        found = store.scan(results, history=True).records
        finished = {} if rerun else _finished(found, folders)

        def tell(model: str, note: str = "", record: Record | None = None) -> None:
            on_event(Event(model, len(sweep.records) + len(sweep.finished), total, note, record))

        setting, planned = _plan(wanted, folders, workshop, tell)
        if budget_s is not None:
            foreseen = _forecast(setting, planned, finished, found, workshop, tell)
            planned = _within(budget_s - (time.monotonic() - started), foreseen, sweep, tell)
        total = len(planned)
        sweep.seconds_before_cells = time.monotonic() - started

        maker = Maker(setting, workshop, wanted.runs, rooms, tell)
        for _, together in groupby(planned, key=lambda cell: cell.training):
            pending = list[Cell]()
            for cell in together:
                if (record := finished.get(cell_key(cell, setting))) is None:
                    pending.append(cell)
                else:
                    sweep.finished.append(record)
                    tell(cell.spec.name, "finished before")
            done = 0
            with closing(maker.records(pending)) as records:
                while done < len(pending) and (budget_s is None or time.monotonic() - started < budget_s):
                    record, samples = next(records)
                    store.save(record, samples, results)
                    sweep.records.append(record)
                    tell(record.artifact.model, record=record)
                    done += 1
            sweep.left_out += [cell.spec.name for cell in pending[done:]]
    sweep.left_out = list(dict.fromkeys(sweep.left_out))
    sweep.seconds = time.monotonic() - started
    return sweep


def plan_bench(
    config: BenchConfig,
    *,
    data: Path | str | None = None,
    results: Path | str = "results",
    runs: Path | str | None = None,
    cache: Path | None = None,
    weights: Sequence[str] = (),
    rerun: bool = False,
    file: Path | str | None = None,
    trust: bool = False,
    feed: Feed = NOTHING,
    budget_s: float | None = None,
    on_event: OnEvent = lambda _event: None,
) -> Forecast:
    """List what `run_bench` would do and about how long it would take; nothing is measured, trained or written.

    Args:
        config: As `run_bench` takes it, as are all others.
        data: Likewise.
        results: Likewise; its records say how long their like took.
        runs: Likewise.
        cache: Likewise.
        weights: Likewise.
        rerun: Likewise.
        file: Likewise.
        trust: Likewise.
        feed: Likewise.
        budget_s: Likewise.
        on_event: Likewise.

    Raises:
        UserError: a mistake in what was asked for, a budget that nothing fits.
    """
    started = time.monotonic()
    wanted = _read(config, data, runs, cache, weights, file, trust=trust, feed=feed)
    results = Path(results)
    with Workshop() as workshop:
        folders = store.folder_ids(results)

        def tell(model: str, note: str = "") -> None:
            on_event(Event(model, 0, 0, note))

        setting, planned = _plan(wanted, folders, workshop, tell)
        found = store.scan(results, history=True).records
        finished = {} if rerun else _finished(found, folders)
        foreseen = _forecast(setting, planned, finished, found, workshop, tell)
    return foreseen if budget_s is None else fit(foreseen, budget_s - (time.monotonic() - started))


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, read and checked before any process starts."""

    config: BenchConfig
    specs: list[ModelSpec]
    asked: dict[str, Asked]
    dataset: Dataset | None
    runs: Path
    cache: Path | None
    file: tuple[Path, Card] | None
    notes: list[str]


def _read(
    config: BenchConfig,
    data: Path | str | None,
    runs: Path | str | None,
    cache: Path | None,
    weights: Sequence[str],
    file: Path | str | None,
    *,
    trust: bool,
    feed: Feed,
) -> _Wanted:
    if file is not None and config.seeds > 1:
        raise UserError(
            f"seeds = {config.seeds} measures as many trainings of each model and a --file holds one; "
            "set seeds = 1, or leave --file away"
        )
    if file is not None and weights:
        raise UserError(f"--file {file} holds its weights; leave --weights away")
    if file is None and feed.model_fields_set:
        raise UserError("--mean, --std, --classes and --output speak of a --file; name one, or leave them away")
    given = None if file is None else (Path(file), read_exported(Path(file), trust=trust, feed=feed))
    notes = list[str]()
    if given is not None:
        config, notes = config_of(given[1], config)
    specs = [spec_of(given[1])] if given else select(config.models)
    asked = parse_all_asked(weights, [spec.name for spec in specs])
    for model, one in asked.items():
        require_one_seed(config, model, one)
    dataset = open_dataset(data, cache=cache) if config.accuracy else None
    if given is not None:
        card, more = fitted(given[1], config, dataset)
        given, notes = (given[0], card), [*notes, *more]
    return _Wanted(config, specs, asked, dataset, runs_folder(runs), cache, given, notes)


def _plan(
    wanted: _Wanted, folders: tuple[str, ...], workshop: Workshop, tell: Callable[[str, str], None]
) -> tuple[Setting, list[Cell]]:
    """Look at the machine and find every model's weights; which they are is told."""
    for note in wanted.notes:
        tell("", note)
    config, dataset = wanted.config, wanted.dataset
    image_size = frame_size(dataset, config.split) if dataset else config.image_size
    tell("", "importing torch, looking at the machine")
    if wanted.file is not None:
        models = [(wanted.specs[0], [of_file(wanted.file[0], config)])]
    else:
        models = [(spec, _choose(wanted, spec, workshop, tell)) for spec in wanted.specs]
    survey = _survey(wanted, models, image_size, workshop, tell)
    if wanted.file is None:
        for line in _said(models, scored=dataset is not None):
            tell("", line)
    setting = Setting(config, survey, image_size, dataset, wanted.cache, folders)
    return setting, cells(setting, models, wanted.file)


def _choose(wanted: _Wanted, spec: ModelSpec, workshop: Workshop, tell: Callable[[str, str], None]) -> list[Chosen]:
    """A model's weights; what one of your own brings is seen in a worker, and only where that decides."""
    job = Job(wanted.config, spec, wanted.config.device, dataset=wanted.dataset)

    def brings() -> Brought:
        brought: Brought = _look("brought", job, workshop, tell)
        return brought

    return choose(
        spec,
        wanted.asked[spec.name],
        wanted.config,
        wanted.dataset,
        runs=wanted.runs,
        cache=wanted.cache,
        brings=brings,
    )


def _survey(
    wanted: _Wanted,
    models: Sequence[tuple[ModelSpec, Sequence[Chosen]]],
    image_size: Size,
    workshop: Workshop,
    tell: Callable[[str, str], None],
) -> Survey:
    """Probe the device, and try every model that is not of the table, in a worker: the sweep touches no device."""
    config = wanted.config
    for spec, chosen in [(spec, chosen) for spec, chosen in models if spec.name not in MODELS] or models[:1]:
        job = Job(
            config,
            spec,
            config.device,
            image_size=image_size,
            input_size=None if config.input_sizes else chosen[0].input_size,
            dataset=wanted.dataset,
            file=wanted.file,
        )
        survey: Survey = _look("survey", job, workshop, tell)
    if INSTALLED in config.runtimes:
        for reason in survey.missing.values():
            tell("", f"left out: {reason}")
    elif survey.missing:
        raise UserError("; ".join(survey.missing.values()))
    return survey


def _within(budget_s: float, foreseen: Forecast, sweep: Sweep, tell: Callable[[str, str], None]) -> list[Cell]:
    """What fits, slowest last; that is told, and what does not is noted in the sweep."""
    foreseen = fit(foreseen, budget_s)
    for line in summary(foreseen):
        tell("", line)
    sweep.left_out += [line.cell.spec.name for line in foreseen.left_out]
    return [line.cell for line in foreseen.kept]


def _forecast(
    setting: Setting,
    planned: Sequence[Cell],
    finished: Collection[str],
    found: Sequence[Record],
    workshop: Workshop,
    tell: Callable[[str, str], None],
) -> Forecast:
    """Estimate every cell; what has no like among the records is estimated by what it computes."""

    def look(step: str, job: Job) -> Any:
        tell(job.spec.name, "estimating")
        try:
            return workshop.run([step], job, timeout_s=SURVEY_TIMEOUT_S).answers.get(step)
        except UserError:  # its cell will say so
            return None

    return forecast(setting, planned, finished, store.newest(found), Gauge(setting, found, look))


def _look(step: str, job: Job, workshop: Workshop, tell: Callable[[str, str], None]) -> Any:
    """Run a step that belongs to no cell."""
    outcome = workshop.run([step], job, timeout_s=SURVEY_TIMEOUT_S)
    for text in outcome.warnings:
        tell("", text)
    if outcome.status != "ok":
        raise UserError(f"{job.spec.name} cannot be measured: {outcome.reason}")
    return outcome.answers[step]


def _said(models: Sequence[tuple[ModelSpec, Sequence[Chosen]]], *, scored: bool) -> list[str]:
    """A line for each set of weights, of models that have the same one for all."""
    who = dict[str, list[str]]()
    for spec, chosen in models:
        for source, recipe, *_ in chosen:
            if recipe is not None:
                said = f"to be trained by the recipe {recipe.name} ({recipe.steps} steps, seed {recipe.seed})"
            else:  # without a dataset there is no accuracy, whatever the weights
                said = (source if scored else source.model_copy(update={"missing": ""})).said
            who.setdefault(said, []).append(spec.name)
    return [f"{listed(names, MAX_NAMED)}: {said}" for said, names in who.items()]


def _finished(found: Sequence[Record], folders: tuple[str, ...]) -> dict[str, Record]:
    """The newest record of each cell that need not be measured again: one that was made in this very folder."""
    done = [record for record in found if record.folder in folders and record.status in {"ok", "unsupported"}]
    return {record.key: record for record in sorted(done, key=lambda record: record.started_at)}
