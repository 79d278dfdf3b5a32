"""What was measured before, as far as a plan is made by it: what of a record says how long its like may take.

A plan over a folder of very many records keeps little of each, and decodes no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import msgspec

from zoo import store
from zoo.bench.cell import steps_of
from zoo.bench.plan import Cell, Setting
from zoo.config import TrainConfig
from zoo.record import MEAN_LABEL_MAP, SCHEMA, Record


class _Part(msgspec.Struct, gc=False):
    """Some fields of a fact of records, named and typed as there; the others are passed over."""


class _Weights(_Part):
    recipe_hash: str | None
    step_count: int | None


class _Artifact(_Part):
    model: str
    runtime: str
    precision: str
    weights: _Weights


class _Device(_Part):
    slug: str


class _Config(_Part):
    rate_hz: Any = None


class SpentCost(_Part):
    """As `record.Cost`."""

    param_count: int
    mac_count: int | None
    mac_input_size: tuple[int, int]


class Spent(_Part):
    """As `record.Record`."""

    schema_version: int
    status: str
    key: str
    quick: bool
    artifact: _Artifact
    device: _Device
    started_at: Annotated[datetime, msgspec.Meta(tz=True)]
    seconds: dict[str, float]
    cost: SpentCost | None
    config: _Config

    @property
    def is_baseline(self) -> bool:
        """As `record.Record.is_baseline`."""
        return self.artifact.model == MEAN_LABEL_MAP


_DECODER = msgspec.json.Decoder(Spent)


def spent_of(record: Record) -> Spent:
    """Return what a record says."""
    return msgspec.convert(record.model_dump(mode="json"), Spent)


def read_spent(results: Path) -> list[Spent]:
    """Read what all records below `results` say; a missing folder holds none.

    What is no record is passed over; one that is damaged elsewhere than in what is read here counts.
    """

    def read(path: str) -> Spent:
        content = store.content(path)
        try:
            found = _DECODER.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # of an older form, or none
            found = None
        if found is None or found.schema_version > SCHEMA:
            return spent_of(store.parse(content, Path(path)))
        return found

    return store.read_all(results, read, required=False)[0]


class Past:
    """What this kind of device took before; many cells ask the same, and records are gone through once for it."""

    def __init__(self, setting: Setting, records: Sequence[Spent]) -> None:
        self._setting = setting
        self._own = [
            record
            for record in sorted(records, key=store.when())
            if record.status == "ok" and record.device.slug == setting.survey.device.slug
        ]
        self._of_model = dict[str, list[Spent]]()
        for record in self._own:
            self._of_model.setdefault(record.artifact.model, []).append(record)
        self._spent_by = dict[object, list[float]]()
        self._step_s = dict[tuple[str, str], float | None]()

    def exactly(self, cell: Cell) -> float | None:
        """Seconds of the newest record of the same model, runtime and precision."""
        spent = self._spent(cell, self._of_model.get(cell.spec.name, ()), ("model", "runtime", "precision"))
        return spent[-1] if spent else None

    def nearly(self, cell: Cell) -> float | None:
        """The median of the nearest like."""
        for same in (("runtime", "precision"), ("runtime",)):
            if spent := self._spent(cell, self._own, same):
                return median(spent)
        return None

    def training(self, cell: Cell, recipe: TrainConfig) -> float | None:
        """Seconds of the newest training of the same model, as many times as it has more steps."""
        asked = cell.spec.name, recipe.recipe_hash
        if asked not in self._step_s:
            like = [
                (record.artifact.weights.recipe_hash, count, record.seconds["train"])
                for record in self._of_model.get(cell.spec.name, ())
                if "train" in record.seconds and (count := record.artifact.weights.step_count)
            ]
            exactly = [one for one in like if one[0] == recipe.recipe_hash]
            newest = (exactly or like)[-1:]
            self._step_s[asked] = next((seconds / count for _, count, seconds in newest), None)
        step_s = self._step_s[asked]
        return None if step_s is None else step_s * recipe.steps

    def _spent(self, cell: Cell, records: Sequence[Spent], same: Sequence[str]) -> list[float]:
        """Seconds of the records that have these facts in common with a cell, of the steps that are wanted of it."""
        facts = {"model": cell.spec.name, "runtime": cell.runtime, "precision": cell.precision}
        facts, wanted = {fact: facts[fact] for fact in same}, frozenset({"start", *steps_of(cell, self._setting)})
        asked = cell.is_baseline, wanted, *facts.items()
        if asked not in self._spent_by:
            like = [record for record in records if record.is_baseline == cell.is_baseline]
            if not cell.is_baseline:
                as_now = self._setting.config.quick, self._setting.config.rate_hz
                like = [record for record in like if (record.quick, record.config.rate_hz) == as_now]
            self._spent_by[asked] = [
                sum(seconds for step, seconds in record.seconds.items() if step in wanted)
                for record in like
                if all(getattr(record.artifact, fact) == value for fact, value in facts.items())
            ]
        return self._spent_by[asked]
