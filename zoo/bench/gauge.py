"""How long a cell may take whose like was not measured here: by what its network computes, and a look at the machine.

Rough: a network is taken to compute at a fixed share of the speed of one large convolution. Of the table's rows on a
CPU most take from half to twice as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from zoo.bench.job import Job
from zoo.bench.past import Spent, SpentCost
from zoo.bench.plan import Cell, Setting
from zoo.config import TrainConfig
from zoo.measure.clock import FULL, QUICK
from zoo.measure.cold import COUNT
from zoo.measure.memory import CALL_COUNT
from zoo.measure.pace import PACED, PACED_QUICK
from zoo.record import Cost
from zoo.spec import Size

SHARE = 0.5
"""Of a large convolution's speed, that of a whole network."""
CALL_S = 0.015
"""What a call takes beside its arithmetic: resizing, many small operators."""
CELL_S = 0.6
"""What a cell takes beside its calls: two processes, counting."""
START_S = 3.0
"""What a fresh process takes to import torch and this package."""
DRAW_S = 25e-9
"""To draw a parameter at random, in both processes."""
UNTIMED = 4 / 3
"""All calls over those that are timed, where scopes take turns: each block begins with some that are not."""
TRAINING = 3.0
"""A training step over its forward pass."""

Look = Callable[[str, Job], Any]
"""Runs a step of a worker that belongs to no cell, and returns its answer; `None` where it has none."""


class Gauge:
    """Estimates seconds of cells in eager mode.

    Args:
        setting: What the cells share.
        records: Of any machine: what a network computes is the same everywhere.
        look: Runs the worker's steps `probe` and `cost`.
    """

    def __init__(self, setting: Setting, records: Sequence[Spent], look: Look) -> None:
        self._setting, self._look = setting, look
        known = [(record.artifact.model, record.cost) for record in records]
        self._costs: dict[str, Cost | SpentCost | None] = {model: cost for model, cost in known if cost is not None}
        self.macs_per_s: float | None = None
        """Of one large convolution here; `None` as long as nothing had to be estimated by it."""

    def measuring(self, cell: Cell) -> float | None:
        """Seconds of a cell whose weights are there; `None` where nothing can be said."""
        call_s, cost = self._call_s(cell, cell.input_size, self._setting.config.batch_size), self._cost(cell)
        if call_s is None or cost is None:
            return None
        quick, images = self._setting.config.quick, self._setting.images
        rate_hz, budget, each_s = self._setting.config.rate_hz, QUICK if quick else FULL, call_s
        if rate_hz is not None:
            budget, each_s = PACED_QUICK if quick else PACED, math.ceil(call_s * rate_hz) / rate_hz
        warmup_s = max(budget.warmup_s, 2 * call_s, min(budget.warmup_cap_s, 4 * call_s))
        enough_s = max(budget.sample_s, budget.sample_count * each_s)
        scope_s = warmup_s + max(budget.cap_count * each_s, min(budget.cap_s, enough_s))
        scopes = 1 if quick or rate_hz is not None else 2 * UNTIMED
        starts_s = 0.0 if quick else COUNT * (START_S + 2 * call_s)
        calls = float(CALL_COUNT)
        if images is not None and (cell.is_trained or cell.recipe is not None):
            calls += images.image_count / self._setting.config.batch_size
        return CELL_S + DRAW_S * cost.param_count + scope_s * scopes + calls * call_s + starts_s

    def training(self, cell: Cell, recipe: TrainConfig) -> float | None:
        """Seconds of a training; `None` where nothing can be said."""
        call_s = self._call_s(cell, recipe.crop_size, recipe.batch_size)
        return None if call_s is None else TRAINING * recipe.steps * call_s

    def _call_s(self, cell: Cell, size: Size, batch_size: int) -> float | None:
        cost = self._cost(cell)
        if cost is None or cost.mac_count is None:
            return None
        if self.macs_per_s is None:
            self.macs_per_s = self._look("probe", self._job(cell)) or 0.0
        if not self.macs_per_s:
            return None
        pixels = batch_size * size[0] * size[1] / (cost.mac_input_size[0] * cost.mac_input_size[1])
        return CALL_S + pixels * cost.mac_count / (SHARE * self.macs_per_s)

    def _cost(self, cell: Cell) -> Cost | SpentCost | None:
        """What a network costs, at whatever size it was counted; of eager mode alone, and of no file."""
        if cell.runtime != "eager" or cell.file is not None:
            return None
        if cell.spec.name not in self._costs:
            self._costs[cell.spec.name] = self._look("cost", self._job(cell))
        return self._costs[cell.spec.name]

    def _job(self, cell: Cell) -> Job:
        survey, image_size = self._setting.survey, self._setting.image_size
        return Job(
            self._setting.config, cell.spec, survey.device_name, image_size=image_size, input_size=cell.input_size
        )
