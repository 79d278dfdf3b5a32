"""A fleet that measures nothing: a thousand workers in one process, with a clock of their own.

The planner, the claims, the ledger and the store are the real ones, and so are the files. What is invented is the time
that a cell takes, what its record says, and what goes wrong: cells that fail, nodes that are lost with what they had
claimed, answers that come twice, and answers that come when their node was given up and its cell measured elsewhere.
"""

from __future__ import annotations

import heapq
import itertools
import random
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from zoo.bench.forecast import forecast
from zoo.bench.job import RANDOM
from zoo.bench.ledger import Ledger
from zoo.bench.plan import Cell, Chosen, Setting, cell_id, cell_key, cells, trainings
from zoo.bench.plan_file import Plan, make_plan
from zoo.catalog import MODELS
from zoo.config import TrainConfig
from zoo.record import Record
from zoo.spec import Size

FAILING = 0.02
LOST = 0.01
"""Share of the nodes that are lost in the middle of a cell."""
TWICE = 0.01
CELL_S = (20.0, 40.0)
SAMPLES = np.linspace(0.01, 0.02, 100)


@dataclass
class Tally:
    """What became of it."""

    plan_s: float = 0.0
    work_s: float = 0.0
    """Wall seconds of claims, ledgers and store, all workers together."""
    cell_count: int = 0
    dropped: int = 0
    """Answers that came twice or late."""
    lost: int = 0
    """Nodes."""
    rounds: int = 0
    kept: list[str] = field(default_factory=list)
    """Ids of the cells whose record was kept."""

    @property
    def overhead_s(self) -> float:
        """Of a cell."""
        return (self.plan_s + self.work_s) / self.cell_count


def plan_of(setting: Setting, *, seed_count: int, model_count: int) -> tuple[Plan, dict[str, Cell]]:
    """Plan models of the table, each trained with several seeds, by the real planner; the cells by their ids."""
    recipes = [TrainConfig(name="tiny", steps=10, seed=seed) for seed in range(seed_count)]
    chosen = [Chosen(RANDOM, recipe) for recipe in recipes]
    listed = cells(setting, [(spec, chosen) for spec in itertools.islice(MODELS.values(), model_count)])
    plan = make_plan(setting, forecast(setting, listed, set(), ()).lines, setting.survey.device.slug)
    return plan, {planned.id: cell for planned, cell in zip(plan.cells, listed, strict=True)}


def run(
    setting: Setting, results: Path, pattern: Record, *, seed_count: int, model_count: int, worker_count: int
) -> Tally:
    """Measure a plan by shards, then what lost nodes left by whoever is free, until nothing is left.

    Args:
        setting: What the cells share, with a dataset; its `folders` are not read.
        results: The folder.
        pattern: A record, of which all others are made.
        seed_count: Trainings of each model.
        model_count: Models of the table.
        worker_count: Workers of the first round, a shard each; a hundredth of them finish what is left.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each worker has its claims open, all in one process
    tally, began = Tally(), time.monotonic()
    plan, by_id = plan_of(setting, seed_count=seed_count, model_count=model_count)
    tally.cell_count = len(plan.cells)
    shares = plan.shares(worker_count)
    tally.plan_s = time.monotonic() - began
    began, dice = time.monotonic(), random.Random(0)
    with ExitStack() as stack:
        first = stack.enter_context(Ledger.open(results))
        setting = replace(setting, folders=first.folders)
        work = [[by_id[planned.id] for planned in share.cells] for share in shares]
        lost = set(dice.sample(range(worker_count), max(2, round(LOST * worker_count))))
        late = list[Record]()
        while any(work):
            tally.rounds += 1
            ledgers = [stack.enter_context(Ledger.open(results)) for _ in work]
            workers = [
                _Worker(ledger, setting, share, pattern, dice, tally, is_lost=tally.rounds == 1 and index in lost)
                for index, (ledger, share) in enumerate(zip(ledgers, work, strict=True))
            ]
            _go(workers)
            late += [record for worker in workers for record in worker.late]
            if tally.rounds == 1:  # half of what was under way on lost nodes arrives before it is measured anew
                for record in late[::2]:
                    _answer(first, record, tally)
            done = set(tally.kept)
            left = [cell for planned_id, cell in by_id.items() if planned_id not in done]
            work = [left] * max(2, worker_count // 100) if left else []
        for record in late[1::2]:  # and half when it was
            _answer(first, record, tally)
    tally.work_s = time.monotonic() - began
    return tally


def _go(workers: Sequence[_Worker]) -> None:
    """Let workers go on, each when its cell is over, until none has anything to do."""
    numbered = itertools.count()
    waiting = [(0.0, next(numbered), worker.steps()) for worker in workers]
    heapq.heapify(waiting)
    while waiting:
        now, _, steps = heapq.heappop(waiting)
        for seconds in steps:
            heapq.heappush(waiting, (now + seconds, next(numbered), steps))
            break


def _answer(ledger: Ledger, record: Record, tally: Tally) -> None:
    if ledger.keep(record, {"pipeline_s": SAMPLES}):
        tally.kept.append(record.cell)
    else:
        tally.dropped += 1


@dataclass
class _Worker:
    """A process of `zoo bench --plan`, as `sweep` goes about it."""

    ledger: Ledger
    setting: Setting
    cells: Sequence[Cell]
    pattern: Record
    dice: random.Random
    tally: Tally
    is_lost: bool
    late: list[Record] = field(default_factory=list)

    def steps(self) -> Iterator[float]:
        """Virtual seconds of each cell; in the middle of one, a node may be lost with all it had claimed."""
        together_all = trainings(self.cells)
        dies_at = self.dice.randrange(max(1, len(self.cells))) if self.is_lost else -1
        count = 0
        for together in together_all:
            pending = [cell for cell in together if self.ledger.finished(cell, self.setting) is None]
            with self.ledger.claimed(pending, self.setting) as claimed:
                self.ledger.look_again(claimed, self.setting)
                for cell in [cell for cell in claimed if self.ledger.finished(cell, self.setting) is None]:
                    yield self.dice.uniform(*CELL_S)
                    record = self._record(cell)
                    if count == dies_at:
                        self.late.append(record)
                        self.tally.lost += 1
                        return
                    count += 1
                    _answer(self.ledger, record, self.tally)
                    if self.dice.random() < TWICE:
                        _answer(self.ledger, record, self.tally)

    def _record(self, cell: Cell) -> Record:
        fails = self.dice.random() < FAILING
        changes: dict[str, Any] = {
            "status": "failed" if fails else "ok",
            "key": cell_key(cell, self.setting),
            "cell": cell_id(cell, self.setting),
            "folder": self.ledger.folder,
            "device": self.setting.survey.device,
            "software": self.setting.survey.software.get(cell.runtime, self.pattern.software),
            "started_at": self.pattern.started_at + timedelta(seconds=self.dice.random() * 1e6),
            "artifact": self.pattern.artifact.model_copy(
                update={
                    "model": cell.spec.name,
                    "runtime": cell.runtime,
                    "precision": cell.precision,
                    "input_size": cell.input_size,
                    "batch_size": self.setting.config.batch_size,
                    "weights": cell.weights,
                }
            ),
        }
        return self.pattern.model_copy(update=changes)


def sizes(count: int) -> tuple[Size, ...]:
    """Input sizes that differ."""
    return tuple((32 + 32 * index, 64) for index in range(count))
