"""The sweep: every cell measured the same way, kept the moment it is done, skipped when it is finished."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np

from zoo import store
from zoo.bench.given import config_of, fitted, spec_of
from zoo.bench.job import Job, Measured, Survey
from zoo.bench.plan import Cell, WeightsPlan, cell_key, parse_checkpoints, plan_weights, require_disk
from zoo.bench.workshop import Outcome, Workshop
from zoo.card import Card, read_artifact
from zoo.catalog import MODELS, select
from zoo.checkpoint import read_facts, run_folder, runs_folder
from zoo.config import INSTALLED, BenchConfig, TrainConfig
from zoo.counting import EvaluationResult, accuracy_record, dataset_record
from zoo.data.layout import Dataset, open_dataset
from zoo.data.reading import frame_size
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import draft_in, remove_leftovers
from zoo.foreign import NOTHING, Feed
from zoo.identity import network_sha256
from zoo.measure.clock import grows
from zoo.record import (
    MEAN_LABEL_MAP,
    Artifact,
    BatchRate,
    Build,
    Failure,
    Precision,
    Record,
    Throughput,
    Weights,
    short_hash,
)
from zoo.record import Dataset as DatasetFacts
from zoo.spec import ModelSpec, Size

SURVEY_TIMEOUT_S = 300.0

Samples = dict[str, np.ndarray]


@dataclass(frozen=True)
class Event:
    """Something the person at the terminal may want to see: how far the sweep is, a line of progress, a new record."""

    model: str
    done: int
    total: int
    note: str = ""
    record: Record | None = None


@dataclass
class Sweep:
    """What a sweep did."""

    records: list[Record] = field(default_factory=list)
    """Measured now."""
    finished: list[Record] = field(default_factory=list)
    """Measured before, and not again."""
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
    checkpoints: Sequence[str] = (),
    rerun: bool = False,
    artifact: Path | str | None = None,
    trust: bool = False,
    feed: Feed = NOTHING,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Sweep:
    """Measure every cell of `config` and keep a record of each under `results`.

    Args:
        config: What to measure.
        data: Dataset in the Cityscapes layout; `None`: `CITYSCAPES_DATASET`, else the embedded synthetic streets.
        results: Folder of the records.
        runs: Folder of training runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Folder of the embedded dataset and of built artifacts; `None`: `ZOO_CACHE`, else the user's cache folder.
        checkpoints: `MODEL=FILE` pairs.
        rerun: Measure finished cells again.
        artifact: A file that somebody exported, measured in place of `config.models`.
        trust: Run a `.pt2`, which is native code.
        feed: What a file of another maker cannot say of itself.
        on_event: Called as the sweep goes on.

    Returns:
        The records measured now and those that were finished before.

    Raises:
        UserError: a mistake in what was asked for, a folder that cannot be written, a disk too full.
    """
    started = time.monotonic()
    if artifact is not None and config.seeds > 1:
        raise UserError(
            f"seeds = {config.seeds} measures as many trainings of each model and an --artifact holds one; "
            "set seeds = 1, or leave --artifact away"
        )
    if artifact is None and feed.model_fields_set:
        raise UserError("--mean, --std, --classes and --output speak of an --artifact; name one, or leave them away")
    foreign = None if artifact is None else (Path(artifact), read_artifact(Path(artifact), trust=trust, feed=feed))
    notes = list[str]()
    if foreign is not None:
        config, notes = config_of(foreign[1], config)
    specs = [spec_of(foreign[1])] if foreign else select(config.models)
    named = parse_checkpoints(list(checkpoints), specs)
    dataset = open_dataset(data, cache=cache) if config.accuracy else None
    if foreign is not None:
        card, more = fitted(foreign[1], config, dataset)
        foreign, notes = (foreign[0], card), [*notes, *more]
    results, runs = Path(results), runs_folder(runs)
    require_disk(config, results, runs)
    if config.seeds > 1:  # a training that is missing is said before the first one takes hours
        for spec in specs:
            plan_weights(spec, config, dataset, runs, named)
    sweep = Sweep()
    with store.locked(results) as folder_id, Workshop() as workshop, ExitStack() as rooms:
        bench = _Bench(config, dataset, runs, cache, workshop, folder_id, rooms)
        if not rerun:
            known = store.scan(results).records
            bench.finished = {record.key: record for record in known if record.status in {"ok", "unsupported"}}

        def tell(model: str, note: str = "", record: Record | None = None) -> None:
            total = len(specs) * bench.cells_per_model + bench.has_baseline
            on_event(Event(model, len(sweep.records) + len(sweep.finished), total, note, record))

        bench.tell = tell
        for note in notes:
            tell("", note)
        bench.look_at_the_machine(specs, foreign)
        sweep.seconds_before_cells = time.monotonic() - started
        for record, samples in bench.cells(specs, named, foreign):
            if record.key in bench.finished:
                sweep.finished.append(record)
                tell(record.artifact.model, "finished before")
            else:
                store.save(record, samples, results)
                sweep.records.append(record)
                tell(record.artifact.model, record=record)
    sweep.seconds = time.monotonic() - started
    return sweep


class _Bench:
    """The facts all cells of one sweep share, and how a cell becomes a record."""

    def __init__(
        self,
        config: BenchConfig,
        dataset: Dataset | None,
        runs: Path,
        cache: Path | None,
        workshop: Workshop,
        folder_id: str,
        rooms: ExitStack,
    ) -> None:
        self.config, self.dataset, self.runs, self.cache = config, dataset, runs, cache
        self.workshop, self.folder_id, self.rooms = workshop, folder_id, rooms
        self.finished: dict[str, Record] = {}
        self.tell: Callable[..., None]
        self.survey: Survey
        self.runtimes: tuple[str, ...] = config.runtimes
        self.unsupported: dict[tuple[str, Precision], str] = {}
        remove_leftovers(runs)
        self.image_size: Size = config.image_size
        self.facts: DatasetFacts | None = None
        if dataset is not None:
            self.image_size = frame_size(dataset, config.split)
            self.facts = dataset_record(dataset, config.split, config.accuracy_images)
        self.input_sizes = config.input_sizes or (self.image_size,)

    def look_at_the_machine(self, specs: Sequence[ModelSpec], artifact: tuple[Path, Card] | None) -> None:
        """Probe the device, and try every model that is not of the table, in a worker: the sweep touches no device."""
        self.tell("", "importing torch, looking at the machine")
        for spec in [spec for spec in specs if spec.name not in MODELS] or specs[:1]:
            job = Job(
                self.config,
                spec,
                self.config.device,
                image_size=self.image_size,
                dataset=self.dataset,
                artifact=artifact,
            )
            outcome = self.workshop.run(["survey"], job, timeout_s=SURVEY_TIMEOUT_S)
            self._warn(outcome)
            if outcome.status != "ok":
                raise UserError(f"{spec.name} cannot be measured: {outcome.reason}")
            self.survey = outcome.answers["survey"]
            self.unsupported = self.survey.unsupported
        if INSTALLED in self.config.runtimes:
            self.runtimes = tuple(self.survey.software)
            for reason in self.survey.missing.values():
                self.tell("", f"left out: {reason}")
        elif self.survey.missing:
            raise UserError("; ".join(self.survey.missing.values()))

    @property
    def cells_per_model(self) -> int:
        """Runtimes x precisions x input sizes; those that can run here once for each seed."""
        pairs = list(product(self.runtimes, self.config.precisions))
        refused = sum(pair in self.unsupported for pair in pairs)
        return (refused + (len(pairs) - refused) * self.config.seeds) * len(self.input_sizes)

    @property
    def has_baseline(self) -> bool:
        """Whether there is a training split to take the mean label map from."""
        return self.dataset is not None and "train" in self.dataset.splits()

    def cells(
        self, specs: Sequence[ModelSpec], named: dict[str, Path], artifact: tuple[Path, Card] | None
    ) -> Iterator[tuple[Record, Samples]]:
        """Yield each cell's record with its samples; one that is finished yields the record it has."""
        if self.has_baseline:
            yield self._baseline()
        for spec in specs:
            row = [
                Cell(spec, runtime, precision, size, artifact)
                for size in self.input_sizes
                for runtime in self.runtimes
                for precision in self.config.precisions
            ]
            if artifact is not None:
                plans = [WeightsPlan(artifact[0])]
            else:
                plans = plan_weights(spec, self.config, self.dataset, self.runs, named)
            yield from self._refused(row, plans[0])
            able = [cell for cell in row if (cell.runtime, cell.precision) not in self.unsupported]
            for weights in plans:
                yield from self._trained(able, weights)

    def _refused(self, row: list[Cell], weights: WeightsPlan) -> Iterator[tuple[Record, Samples]]:
        """The cells of one model that this device does not run, whatever its weights."""
        for cell in row:
            reason = self.unsupported.get((cell.runtime, cell.precision))
            if reason is None:
                continue
            key = self._key(cell, "none")
            refused = Outcome(status="unsupported", stage="plan", reason=reason)
            known = self.finished.get(key)
            yield known or self._record(cell, weights, key, datetime.now(UTC), refused), {}

    def _trained(self, row: list[Cell], weights: WeightsPlan) -> Iterator[tuple[Record, Samples]]:
        """All cells of one model with one set of weights: one training, if any is needed, serves them all."""
        identity = weights.identity(self.config)
        untrained = identity or f"untrained seed:{weights.train.seed if weights.train else None}"
        pending = []
        for cell in row:
            key = self._key(cell, untrained)
            if key in self.finished:
                yield self.finished[key], {}
            else:
                pending.append(cell)
        if not pending:
            return
        started, trained = datetime.now(UTC), Outcome()
        try:
            if weights.train is not None:
                trained = self._train(pending[0].spec, weights.train)
            if trained.status != "ok":
                for cell in pending:
                    yield self._record(cell, weights, self._key(cell, untrained), started, trained), {}
                return
            file = trained.answers["train"].best if "train" in trained.answers else weights.file
            identity = identity or WeightsPlan(file).identity(self.config)
            assert identity is not None
            for cell in pending:
                outcomes = [trained, *self._measure(cell, file)]
                answers = {stage: answer for outcome in outcomes for stage, answer in outcome.answers.items()}
                record = self._record(cell, weights, self._key(cell, identity), started, *outcomes)
                yield record, _arrays(answers.get("measure"), answers.get("evaluate"))
                started, trained = datetime.now(UTC), Outcome()  # the next cell begins here, and is not trained again
        finally:
            if "scratch" in vars(self):
                shutil.rmtree(self.scratch, ignore_errors=True)

    @cached_property
    def scratch(self) -> Path:
        """Folder of trainings that are not kept, gone with the sweep; what a killed one left, the next removes."""
        try:
            return self.rooms.enter_context(draft_in(self.runs)) / "run"
        except OSError as error:
            advice = how_to_write(error, "another folder with --runs")
            raise UserError(f"cannot write {self.runs}: {reason(error)}; {advice}") from error

    def _train(self, spec: ModelSpec, recipe: TrainConfig) -> Outcome:
        assert self.dataset is not None
        kept = run_folder(self.runs, spec, self.dataset, recipe)
        run_dir = kept if self.config.keep_checkpoints else self.scratch
        job = self._job(Cell(spec, "eager", "fp32", self.image_size), None, run_dir=run_dir)
        outcome = self._run(["train"], replace(job, config=self.config.model_copy(update={"train": recipe})))
        for trained in outcome.answers.values():
            for warning in trained.warnings:
                self.tell("", warning)
        return outcome

    def _measure(self, cell: Cell, weights: Path | None) -> list[Outcome]:
        """Each group of stages in a process of its own; after a failure only what does not build on it goes on."""
        job = self._job(cell, weights)
        outcomes = []
        if cell.runtime != "eager" and cell.artifact is None:
            outcomes.append(self._run(["build"], job))
            if outcomes[0].status != "ok":
                return outcomes
        scored = self.dataset is not None and weights is not None
        outcomes.append(self._run(["measure", "evaluate"] if scored else ["measure"], job))
        if "measure" in outcomes[-1].answers:
            outcomes.append(self._run(["memory"], job))
            if cell.artifact is None and (cell.runtime, cell.precision) != ("eager", "fp32"):
                outcomes.append(self._run(["agreement"], job))
            if self.config.throughput and cell.artifact is None:
                outcomes.append(self._throughput(job))
        return outcomes

    def _throughput(self, job: Job) -> Outcome:
        """Double the batch until memory ends or the rate stops growing.

        On an accelerator it goes on to the end of its memory: the largest batch that fits is worth knowing, and a host
        that runs out of memory is not.
        """
        whole, rates, batch_size, is_limit = Outcome(), list[BatchRate](), 1, False
        while grows(rates) or self.survey.device.kind != "cpu":
            job = replace(job, batch_size=batch_size)
            outcomes = [self._run(["build"], job)] if job.runtime != "eager" else []
            if all(outcome.status == "ok" for outcome in outcomes):
                outcomes.append(self._run(["throughput"], job))
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

    def _baseline(self) -> tuple[Record, Samples]:
        assert self.dataset is not None
        assert self.facts is not None
        facts = self.facts.model_dump(mode="json", exclude={"split_count"})
        key = short_hash(
            [MEAN_LABEL_MAP, facts, self.dataset.fingerprint(), self.survey.device.machine_id, self.folder_id], 32
        )
        if key in self.finished:
            return self.finished[key], {}
        spec = ModelSpec(name=MEAN_LABEL_MAP, builder="none:none", family="baseline")
        cell = Cell(spec, "none", "fp32", self.image_size)
        started, outcome = datetime.now(UTC), self._run(["baseline"], self._job(cell, None))
        counted: EvaluationResult | None = outcome.answers.pop("baseline", None)
        if counted is not None:
            outcome.answers["evaluate"] = counted
        return self._record(cell, None, key, started, outcome), _arrays(None, counted)

    def _run(self, stages: list[str], job: Job) -> Outcome:
        def note(stage: str, text: str) -> None:
            self.tell(job.spec.name, f"{stage}: {text}")

        self.tell(job.spec.name, stages[0])
        outcome = self.workshop.run(stages, job, timeout_s=self.config.timeout_s, on_note=note)
        self._warn(outcome)
        return outcome

    def _warn(self, outcome: Outcome) -> None:
        for text in outcome.warnings:
            self.tell("", text)

    def _job(self, cell: Cell, weights: Path | None, run_dir: Path | None = None) -> Job:
        return Job(
            self.config,
            cell.spec,
            self.survey.device_name,
            cell.runtime,
            cell.precision,
            image_size=self.image_size,
            input_size=cell.input_size,
            batch_size=self.config.batch_size,
            dataset=self.dataset,
            weights=weights,
            run_dir=run_dir,
            cache=self.cache,
            artifact=cell.artifact,
        )

    def _key(self, cell: Cell, identity: str) -> str:
        return cell_key(
            cell,
            identity,
            self.config,
            image_size=self.image_size,
            dataset_fingerprint=self.dataset.fingerprint() if self.dataset else None,
            device=self.survey.device,
            software=self.survey.software[cell.runtime],
            folder_id=self.folder_id,
        )

    def _planned(self, cell: Cell, weights: WeightsPlan | None) -> Weights:
        """What a cell without numbers would have been, so that it stands in the table it belongs to."""
        if cell.artifact is not None:
            return cell.artifact[1].weights
        recipe, name = weights.train if weights is not None else None, None
        if weights is not None and weights.file is not None:
            facts = read_facts(weights.file)
            recipe, name = (facts.config, None) if facts else (None, "external")
        return Weights(
            source="none",
            sha256=None,
            recipe=recipe.name if recipe else name or "none",
            recipe_hash=recipe.recipe_hash if recipe else None,
            seed=recipe.seed if recipe else None,
        )

    def _record(
        self, cell: Cell, weights: WeightsPlan | None, key: str, started: datetime, *outcomes: Outcome
    ) -> Record:
        """Put what the stages answered, and the first failure among them, into one record."""
        answers = {stage: answer for outcome in outcomes for stage, answer in outcome.answers.items()}
        seconds: Counter[str] = Counter()
        for outcome in outcomes:
            seconds.update(outcome.seconds)
        failed = next((outcome for outcome in outcomes if outcome.status != "ok"), None)
        measured: Measured | None = answers.get("measure")
        counted: EvaluationResult | None = answers.get("evaluate")
        baseline = cell.spec.name == MEAN_LABEL_MAP
        return Record(
            status=failed.status if failed else "ok",
            key=key,
            quick=self.config.quick and not baseline,
            preset=self.config.name,
            artifact=Artifact(
                model=cell.spec.name,
                family=cell.spec.family,
                runtime=cell.runtime,
                precision=cell.precision,
                memory_format="own" if cell.runtime in self.survey.file_runtimes else self.config.memory_format,
                batch_size=self.config.batch_size,
                input_size=cell.input_size,
                output_size=self.image_size,
                resize=self.config.resize,
                weights=measured.weights if measured else self._planned(cell, weights),
                code_sha256="" if baseline or cell.artifact else network_sha256(cell.spec),
                file_sha256=measured.file_sha256 if measured else None,
                file_bytes=measured.file_bytes if measured else None,
            ),
            device=self.survey.device,
            software=self.survey.software.get(cell.runtime) or next(iter(self.survey.software.values())),
            dataset=self.facts,
            started_at=started,
            seconds=dict(seconds),
            build=answers.get("build") or (measured.build if measured and measured.build != Build() else None),
            speed=measured.speed if measured else None,
            throughput=answers.get("throughput"),
            memory=answers.get("memory"),
            cost=measured.cost if measured else None,
            accuracy=accuracy_record(counted, self.dataset, self.config.split) if counted and self.dataset else None,
            agreement=answers.get("agreement"),
            failure=Failure(step=failed.stage, reason=failed.reason, detail=failed.detail) if failed else None,
            config=self.config.model_dump(mode="json", exclude={"models"}),
        )


def _arrays(measured: Measured | None, counted: EvaluationResult | None) -> Samples:
    """Raw samples and per-image counts, as the sidecar keeps them."""
    arrays: Samples = dict(measured.samples) if measured else {}
    if counted is not None:
        arrays |= {
            "image_names": np.array(counted.image_names),
            "true_positives": counted.true_positives,
            "false_positives": counted.false_positives,
            "false_negatives": counted.false_negatives,
        }
    return arrays
