"""What a sweep finds before it measures: the machine's devices, every model's weights, the cells, their time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo import store
from zoo.bench.forecast import Forecast, fit, forecast
from zoo.bench.gauge import Gauge
from zoo.bench.job import RANDOM, Job, Survey
from zoo.bench.ledger import Ledger
from zoo.bench.past import Spent, read_spent
from zoo.bench.pinning import chosen_of, require_same, weights_of
from zoo.bench.plan import Cell, Chosen, Setting, baseline_cell, cells, choose, make_cell, of_file
from zoo.bench.plan_file import Pinned, Plan, make_plan
from zoo.bench.request import Request, Wanted, read
from zoo.bench.workshop import Workshop
from zoo.catalog import MODELS
from zoo.config import ALL_CUDA, INSTALLED
from zoo.data.reading import frame_size
from zoo.errors import UserError, grouped
from zoo.record import MEAN_LABEL_MAP
from zoo.spec import ModelSpec, Size
from zoo.weights.source import Brought

SURVEY_TIMEOUT_S = 300.0

Tell = Callable[[str, str], None]
"""Takes a model, or nothing for all of them, and a line of progress."""
Models = Sequence[tuple[ModelSpec, Sequence[Chosen]]]
"""Each model with its weights."""


@dataclass(frozen=True)
class Hand:
    """A device of this machine, and the cells it could measure."""

    setting: Setting
    cells: list[Cell]
    is_substitute: bool = False
    """In place of a device that is asked for and is not here."""


@dataclass(frozen=True)
class Outlook:
    """What a sweep would do, and the same as a plan for any number of machines."""

    forecast: Forecast
    plan: Plan
    hand: Hand
    """The device that it was estimated for."""


def plan_bench(request: Request, tell: Tell = lambda _model, _note: None, *, elsewhere: bool = False) -> Outlook:
    """List what `run_bench` would do and about how long it would take; nothing is measured, trained or written.

    Args:
        request: As `run_bench` takes it; its records say how long their like took.
        tell: Called as it goes on.
        elsewhere: Plan for other machines: the device that is asked for need not be here.

    Raises:
        UserError: a mistake in what was asked for, a budget that nothing fits.
    """
    started = time.monotonic()
    wanted, results = read(request), Path(request.results)
    with Workshop() as workshop:
        hand = prepare(wanted, store.folder_ids(results), workshop, tell, elsewhere=elsewhere)[0]
        found = read_spent(results)
        gauge = gauge_of(hand.setting, found, workshop, tell)
        finished = set[str]()
        if not (request.rerun or hand.is_substitute):
            finished = Ledger(results, hand.setting.folders).finished_of(hand.cells, hand.setting)
        foreseen = forecast(hand.setting, hand.cells, finished, store.newest(found), gauge)
        all_open = forecast(hand.setting, hand.cells, set(), store.newest(found), gauge) if finished else foreseen
    if request.budget_s is not None:
        left_s = request.budget_s - (time.monotonic() - started)
        foreseen, all_open = fit(foreseen, left_s), fit(all_open, left_s)
    return Outlook(foreseen, make_plan(hand.setting, all_open.kept, hand.setting.survey.device.slug), hand)


def prepare(
    wanted: Wanted, folders: tuple[str, ...], workshop: Workshop, tell: Tell, *, elsewhere: bool = False
) -> list[Hand]:
    """Look at the machine and find every model's weights; which they are is told.

    Args:
        wanted: What was asked for.
        folders: Ids of the results folder.
        workshop: Runs the steps that look.
        tell: Called as it goes on.
        elsewhere: As in `plan_bench`.

    Raises:
        UserError: no such device here, a runtime that is not installed, weights that are not here.
    """
    for note in wanted.notes:
        tell("", note)
    config, dataset = wanted.config, wanted.dataset
    image_size = frame_size(dataset, config.split) if dataset else config.image_size
    tell("", "importing torch, looking at the machine")
    devices = _devices(wanted, workshop, tell) if config.device == ALL_CUDA or elsewhere else (config.device,)
    is_substitute = not devices
    if is_substitute and not elsewhere:
        raise UserError(f"device {config.device} was asked for, but torch finds none here: use --device cpu")
    if is_substitute:
        tell("", f"no device {config.device} here: planned for where there is one, with times of this machine's CPU")
    found = {spec.name: (spec, _weights(wanted, spec, workshop, tell)) for spec in wanted.specs}
    models = [(spec, list(chosen.values())) for spec, chosen in found.values()]
    hands = list[Hand]()
    for device in devices or ("cpu",):
        survey = _survey(wanted, models, device, image_size, workshop, tell, strict=not is_substitute)
        setting = Setting(config, survey, image_size, dataset, wanted.cache, folders)
        hands.append(Hand(setting, _cells(wanted, setting, found), is_substitute))
    if wanted.file is None and wanted.plan is None:
        for line in _said(models, scored=dataset is not None):
            tell("", line)
    return hands


def gauge_of(setting: Setting, found: Sequence[Spent], workshop: Workshop, tell: Tell) -> Gauge:
    """Estimates what has no like among the records, by what it computes."""

    def look(step: str, job: Job) -> Any:
        tell(job.spec.name, "estimating")
        try:
            return workshop.run([step], job, timeout_s=SURVEY_TIMEOUT_S).answers.get(step)
        except UserError:  # its cell will say so
            return None

    return Gauge(setting, found, look)


def _cells(
    wanted: Wanted, setting: Setting, found: dict[str, tuple[ModelSpec, dict[Pinned | int, Chosen]]]
) -> list[Cell]:
    """Every cell of what was asked for; those of a plan are held against it."""
    if wanted.plan is None:
        models = [(spec, list(chosen.values())) for spec, chosen in found.values()]
        return cells(setting, models, wanted.file)
    listed = []
    for planned in wanted.plan.cells:
        if planned.model == MEAN_LABEL_MAP:
            cell = baseline_cell(setting)
        else:
            spec, chosen = found[planned.model]
            one = chosen[planned.weights]._replace(resize=planned.resize)
            cell = make_cell(setting, spec, one, planned.input_size, planned.runtime, planned.precision, wanted.file)
        require_same(planned, cell, setting)
        listed.append(cell)
    return listed


def _devices(wanted: Wanted, workshop: Workshop, tell: Tell) -> tuple[str, ...]:
    """The devices of this machine that are meant; none where it lacks what is asked for."""
    job = Job(wanted.config, _any_spec(wanted), wanted.config.device)
    here: tuple[str, ...] = _look("devices", job, workshop, tell)
    return here


def _any_spec(wanted: Wanted) -> ModelSpec:
    """Of a job that is no model's."""
    return wanted.specs[0] if wanted.specs else next(iter(MODELS.values()))


def _weights(wanted: Wanted, spec: ModelSpec, workshop: Workshop, tell: Tell) -> dict[Pinned | int, Chosen]:
    """A model's weights, by what the plan calls them or numbered; what one of your own brings is seen in a worker."""
    job = Job(wanted.config, spec, wanted.config.device, dataset=wanted.dataset)

    def brings() -> Brought:
        brought: Brought = _look("brought", job, workshop, tell)
        return brought

    if wanted.plan is not None:
        return {weights: chosen_of(wanted, spec, weights, brings) for weights in weights_of(wanted.plan, spec.name)}
    if wanted.file is not None:
        return {0: of_file(wanted.file[0], wanted.config)}
    asked, runs, cache = wanted.asked[spec.name], wanted.runs, wanted.cache
    return dict(enumerate(choose(spec, asked, wanted.config, wanted.dataset, runs=runs, cache=cache, brings=brings)))


def _survey(
    wanted: Wanted,
    models: Models,
    device: str,
    image_size: Size,
    workshop: Workshop,
    tell: Tell,
    *,
    strict: bool,
) -> Survey:
    """Probe a device, and try every model that is not of the table, in a worker: the sweep touches no device."""
    config = wanted.config
    if wanted.plan is not None:  # of its share, and no more
        runtimes = tuple(dict.fromkeys(cell.runtime for cell in wanted.plan.cells if cell.runtime != "none"))
        precisions = tuple(dict.fromkeys(cell.precision for cell in wanted.plan.cells))
        config = config.model_copy(update={"runtimes": runtimes or ("eager",), "precisions": precisions or ("fp32",)})
    seen = [(spec, chosen) for spec, chosen in models if spec.name not in MODELS] or models[:1]
    for spec, chosen in seen or [(_any_spec(wanted), [Chosen(RANDOM)])]:
        job = Job(
            config,
            spec,
            device,
            image_size=image_size,
            input_size=None if config.input_sizes else chosen[0].input_size,
            dataset=wanted.dataset,
            file=wanted.file,
        )
        survey: Survey = _look("survey", job, workshop, tell)
    if not strict:  # what another machine has and runs is for that one to say
        return replace(survey, missing={}, unsupported={})
    if INSTALLED in config.runtimes:
        for reason in survey.missing.values():
            tell("", f"left out: {reason}")
    elif survey.missing:
        raise UserError("; ".join(survey.missing.values()))
    return survey


def _look(step: str, job: Job, workshop: Workshop, tell: Tell) -> Any:
    """Run a step that belongs to no cell."""
    outcome = workshop.run([step], job, timeout_s=SURVEY_TIMEOUT_S)
    for text in outcome.warnings:
        tell("", text)
    if outcome.status != "ok":
        raise UserError(f"{job.spec.name} cannot be measured: {outcome.reason}")
    return outcome.answers[step]


def _said(models: Models, *, scored: bool) -> list[str]:
    """A line for each set of weights, of models that have the same one for all."""
    notes = []
    for spec, chosen in models:
        for source, recipe, *_ in chosen:
            if recipe is not None:
                said = f"to be trained by the recipe {recipe.name} ({recipe.steps} steps, seed {recipe.seed})"
            else:  # without a dataset there is no accuracy, whatever the weights
                said = (source if scored else source.model_copy(update={"missing": ""})).said
            notes.append((spec.name, said))
    return grouped(notes)
