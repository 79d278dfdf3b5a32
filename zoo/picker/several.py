"""One model for several devices: on each it ships as what is best there, and each number counts where it is worst."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from zoo.picker.deciding import Asked, decide
from zoo.score.comparing import Family, Group, family_of, place_of
from zoo.score.licences import all_of
from zoo.score.metrics import COST, METRICS
from zoo.score.paired import Pairs, hull
from zoo.score.rows import Row


@dataclass(frozen=True)
class Candidate:
    """What could be chosen: of one device an artifact; of several a model, which ships on each in one of its own."""

    artifacts: tuple[tuple[Row, ...], ...]
    """By device that it was measured on; of one that several machines have, each number where it is worst."""
    missing: tuple[str, ...] = ()
    """Devices that were asked for and on which it was not measured."""

    @property
    def rows(self) -> list[Row]:
        """All of its artifacts, on every machine."""
        return [row for there in self.artifacts for artifact in there for row in artifact.measured]


def on_all(taken: dict[Group, list[Row]]) -> tuple[Candidate, ...]:
    """One candidate a model, with its weights and input size.

    Of a device with several machines each counts; a cell that failed does where no other was done there.
    """
    found: dict[Family, dict[str, dict[tuple[object, ...], list[Row]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for group, rows in taken.items():
        for row in rows:
            family, *artifact = artifact_of(row)
            found[family][group.device][(*artifact,)].append(row)
    devices = [group.device for group in taken]
    return tuple(
        Candidate(
            tuple(tuple(worst(_done(rows)) for rows in there.values()) for there in by_device.values()),
            tuple(device for device in devices if device not in by_device),
        )
        for by_device in found.values()
    )


def as_shipped(candidate: Candidate, asked: Asked, pairs: Pairs) -> Row:
    """Return a candidate's row: on each device what would be chosen there, else what is nearest to what is asked.

    Of several devices each number is that of the one where it is worst.
    """
    chosen = [_best(there, asked, pairs) for there in candidate.artifacts]
    return chosen[0] if len(chosen) == 1 else worst([row for one in chosen for row in one.measured])


def _best(there: Sequence[Row], asked: Asked, pairs: Pairs) -> Row:
    winner, _ = decide([row for row in there if asked.fits(row)], asked, pairs)
    return winner or min(there, key=lambda row: (len(asked.broken(row)), asked.miss(row), asked.rank(row)))


def artifact_of(row: Row) -> tuple[Family, str, str, str, str | None]:
    """In what the rows of one artifact are alike, on whatever machine."""
    family = family_of(row)._replace(machine_id="")
    return family, row.runtime, row.precision, row.memory_format, row.compile_mode


def _done(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.status == "ok"] or rows[:1]


def worst(rows: Sequence[Row]) -> Row:
    """Return one row of a model's rows on several devices, each number that of the device where it is worst.

    A number that is not known on one of them is not known. The rest is that of the row whose mIoU is lowest.
    """
    if len(rows) == 1:
        return rows[0]
    failed = next((row for row in rows if row.status != "ok"), None)
    if failed is not None:
        return failed._replace(parts=(failed,))
    base = min(rows, key=lambda row: float("inf") if row.miou is None else row.miou)
    numbers = {
        key: _of_all(min if metric.better == "higher" else max, [row.value(key) for row in rows])
        for key, metric in {**METRICS, COST.key: COST}.items()
    }
    intervals = {
        key: hull(row.interval(key) for row in rows if row.value(key) == numbers[key]) for key in base.intervals
    }
    grades = [row.grade for row in rows if row.grade is not None]
    least = max(rows, key=lambda row: row.grade or "")
    class_iou = {name: _of_all(min, [row.class_iou.get(name) for row in rows]) for name in base.class_iou}
    class_lost = {name: _of_all(max, [row.class_lost.get(name) for row in rows]) for name in base.class_lost}
    return base._replace(
        device=_each(row.device for row in rows),
        runtime=_each(row.runtime for row in rows),
        precision=_each(row.precision for row in rows),
        numbers=numbers,
        intervals=intervals,
        class_iou=class_iou,
        class_lost=class_lost,
        licences=all_of(row.licences for row in rows),
        grade=least.grade if len(grades) == len(rows) else None,
        doubts=tuple(
            doubt._replace(what=f"{doubt.what} on {place_of(row, rows)}")
            for row in rows
            if row.grade == least.grade
            for doubt in row.doubts
        ),
        parts=tuple(rows),
    )


def _each(values: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(values))


def _of_all(choose: Callable[[list[float]], float], values: list[float | None]) -> float | None:
    """One of several numbers, where all are known."""
    known = [value for value in values if value is not None]
    return choose(known) if len(known) == len(values) else None
