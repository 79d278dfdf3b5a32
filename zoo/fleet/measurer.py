"""What runs on a node: an actor that has one device for itself, and measures what it is handed, a record at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.bench.cell import Samples
from zoo.bench.job import Job, Survey
from zoo.bench.plan_file import Plan
from zoo.bench.planning import SURVEY_TIMEOUT_S
from zoo.bench.request import Request
from zoo.bench.sweep import Event, measure
from zoo.bench.workshop import Workshop
from zoo.cache import cache_folder, used_folder
from zoo.catalog import MODELS
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import remove_leftovers, sha256_of
from zoo.fleet.needs import Needs, find_data
from zoo.foreign import NOTHING, Feed
from zoo.lazy import Lazy
from zoo.record import Record

if TYPE_CHECKING:
    import ray
else:
    ray = Lazy("ray")


SENT = "sent"
"""Folder below the cache: copies of the driver's files, by content, and trainings that are not kept."""


@dataclass(frozen=True)
class Errand:
    """What is the same for all devices of a fleet."""

    plan: Plan
    needs: Needs
    folder: str
    """Id of the driver's results folder."""
    trust: bool = False
    feed: Feed = NOTHING


@dataclass(frozen=True)
class Parcel:
    """A file of the driver that a node reads only where it has no copy of it yet."""

    name: str
    sha256: str
    box: list[Any]
    """A reference to its bytes: in a list, or Ray would fetch them whether they are wanted or not."""


@dataclass(frozen=True)
class Answer:
    """What came of one cell; none at all: the task is done."""

    cell: str = ""
    record: Record | None = None
    samples: Samples = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """For the person at the driver."""
    mistake: str = ""
    """The user's to mend, and the end of the sweep."""


class Measurer:
    """Holds a device of a node; Ray keeps all else off it.

    Args:
        errand: What is asked of the fleet.
        is_cpu: Whether the device is the processor; else it is the one GPU that Ray lets this process see.
    """

    def __init__(self, errand: Errand, *, is_cpu: bool) -> None:
        self._errand, self._device = errand, "cpu" if is_cpu else "cuda:0"
        self._answers: Generator[tuple[str, Record, Samples]] = iter(())  # type: ignore[assignment]
        self._notes = list[str]()
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's; a sweep says itself how many threads it takes
        vars(sys.modules["__main__"]).pop("__file__", None)  # Ray's main module, which each worker would import again

    @property
    def _cache(self) -> Path:
        return self._errand.needs.cache or cache_folder()

    def look(self) -> tuple[Survey | None, int, str]:
        """Describe the device and what runs on it; how much its processes yield to others (nice); a mistake."""
        plan = self._errand.plan
        job = Job(plan.config_for(self._device), next(iter(MODELS.values())), self._device)
        with Workshop() as workshop:
            outcome = workshop.run(["survey"], job, timeout_s=SURVEY_TIMEOUT_S)
        survey = outcome.answers.get("survey")
        mistake = outcome.reason if survey is None else "; ".join(survey.missing.values())
        return survey, os.nice(0), mistake

    def begin(self, cells: Sequence[str], parcels: Mapping[str, Parcel]) -> Answer:
        """Begin with cells of the plan, and answer the first.

        Args:
            cells: Their ids.
            parcels: Files that the plan names, by the hash that it knows them by.
        """
        try:
            runs = self._cache / SENT
            runs.mkdir(parents=True, exist_ok=True)
            remove_leftovers(runs)
            request = Request(
                self._errand.plan.config_for(self._device),
                data=find_data(self._errand.needs),
                runs=runs,
                cache=self._errand.needs.cache,
                plan=self._errand.plan.only(cells),
                models=[source for source, _ in self._errand.needs.models],
                trust=self._errand.trust,
                feed=self._errand.feed,
                by_content={sha256: self._unpacked(parcel) for sha256, parcel in parcels.items()},
            )
        except OSError as error:
            advice = how_to_write(error, "another folder with --cache")
            return Answer(mistake=f"cannot write to {self._cache}: {reason(error)}; {advice}")
        except UserError as error:
            return Answer(mistake=str(error))
        self._answers = measure(request, folder=self._errand.folder, on_event=self._note)
        return self.next()

    def next(self) -> Answer:
        """Measure the next cell."""
        try:
            cell, record, samples = next(self._answers)
        except StopIteration:
            return Answer(notes=self._told())
        except UserError as error:
            return Answer(notes=self._told(), mistake=str(error))
        return Answer(cell, record, samples, self._told())

    def _unpacked(self, parcel: Parcel) -> Path:
        """This node's copy of a file, fetched where there is none."""

        def fill(draft: Path) -> None:
            (draft / parcel.name).write_bytes(ray.get(parcel.box[0]))
            if sha256_of(draft / parcel.name) != parcel.sha256:
                raise UserError(f"{parcel.name} arrived damaged; run the same command again")

        return used_folder(self._cache / SENT / parcel.sha256[:32], fill) / parcel.name

    def _note(self, event: Event) -> None:
        if not event.model:
            self._notes.append(event.note)

    def _told(self) -> tuple[str, ...]:
        notes, self._notes = tuple(self._notes), []
        return notes
