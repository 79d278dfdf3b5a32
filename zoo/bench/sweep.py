"""The sweep: claim a cell, measure it, keep its record the moment it is made; beside any number of others that do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from zoo import store
from zoo.bench.cell import Maker, Samples
from zoo.bench.forecast import fit, forecast, summary
from zoo.bench.ledger import Ledger
from zoo.bench.past import read_spent
from zoo.bench.plan import Cell, cell_id, require_disk, rounds
from zoo.bench.planning import Hand, Tell, gauge_of, prepare
from zoo.bench.request import Request, read
from zoo.bench.workshop import Workshop
from zoo.files import remove_leftovers
from zoo.record import Record


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
    """Measured before or meanwhile by others, and not again."""
    left_out: list[str] = field(default_factory=list)
    """Models of which something did not fit the budget."""
    stranded: list[str] = field(default_factory=list)
    """Models of which a fleet has no device left to measure something."""
    claimed: list[str] = field(default_factory=list)
    """Models of which other sweeps were measuring cells when this one had nothing else to do, one for each cell."""
    claimed_by: list[str] = field(default_factory=list)
    """Who they are, for a person at the terminal (`locks.holder`)."""
    seconds: float = 0.0
    seconds_before_cells: float = 0.0
    """Of these, what was spent once: opening the dataset, imports, looking at the machine."""

    @property
    def exit_code(self) -> int:
        """0 when every cell is ok or unsupported and none is stranded, 3 otherwise."""
        done = all(record.status in {"ok", "unsupported"} for record in self.records)
        return 0 if done and not self.stranded else 3


def run_bench(request: Request, on_event: OnEvent = lambda _event: None) -> Sweep:
    """Measure every cell of a request and keep a record of each under its `results`.

    Other sweeps may do the same in the same folder: what one of them measures or has measured, the others do not.

    Args:
        request: What to measure, and where its data, weights and records are.
        on_event: Called as the sweep goes on, by one thread at a time.

    Returns:
        The records measured now and those that were finished before.

    Raises:
        UserError: a mistake in what was asked for, a folder that cannot be written, a disk too full, a budget that
            nothing fits.
    """
    started = time.monotonic()
    deadline = None if request.budget_s is None else started + request.budget_s
    wanted = read(request)
    require_disk(wanted.config, Path(request.results), wanted.runs)
    sweep, total = Sweep(), 0
    with Ledger.open(request.results, rerun=request.rerun) as ledger, Workshop() as workshop:
        remove_leftovers(wanted.runs)
        lock = threading.RLock()

        def tell(model: str, note: str = "", record: Record | None = None) -> None:
            with lock:
                on_event(Event(model, len(sweep.records) + len(sweep.finished), total, note, record))

        hands = prepare(wanted, ledger.folders, workshop, tell)
        if deadline is not None:
            hands = [_within(deadline, hand, request, ledger, sweep, workshop, tell) for hand in hands]
        queues = dict[str, _Queue]()
        for hand in hands:
            queues.setdefault(hand.setting.survey.device.slug, _Queue(hand.cells, hand.setting.trainings_at_once))
        total = sum(queue.cell_count for queue in queues.values())
        sweep.seconds_before_cells = time.monotonic() - started

        def shift(hand: Hand) -> None:
            with ExitStack() as rooms:
                maker = Maker(hand.setting, workshop, wanted.runs, rooms, tell)
                _Shift(queues[hand.setting.survey.device.slug], ledger, maker, deadline, sweep, lock, tell).work()

        workshop.together([partial(shift, hand) for hand in hands])
        sweep.claimed = [cell.spec.name for queue in queues.values() for cell in queue.held]
        settings = {hand.setting.survey.device.slug: hand.setting for hand in hands}
        held_by = [one for kind, queue in queues.items() for one in ledger.holders(queue.held, settings[kind])]
        sweep.claimed_by = list(dict.fromkeys(held_by))
    sweep.left_out = list(dict.fromkeys(sweep.left_out))
    sweep.seconds = time.monotonic() - started
    return sweep


def measure(
    request: Request, *, folder: str, on_event: OnEvent = lambda _event: None
) -> Generator[tuple[str, Record, Samples]]:
    """Measure the cells of a plan on one device of this machine, and hand each record over; none is kept here.

    Args:
        request: With the share of the plan that is meant; its `results` is not touched.
        folder: Id of the results folder that the records are for.
        on_event: Called as it goes on.

    Yields:
        The cell's id in the plan, its record, and its samples.

    Raises:
        UserError: as `run_bench`.
    """
    wanted = read(request)

    def tell(model: str, note: str) -> None:
        on_event(Event(model, done, total, note))

    done = total = 0
    with Workshop() as workshop, ExitStack() as rooms:
        (hand,) = prepare(wanted, (folder,), workshop, tell)
        total = len(hand.cells)
        maker = Maker(hand.setting, workshop, wanted.runs, rooms, tell)
        for together in rounds(hand.cells, hand.setting.trainings_at_once):
            with closing(maker.records(together)) as records:
                for cell, (record, samples) in zip(together, records, strict=True):
                    done += 1
                    yield cell_id(cell, hand.setting), record, samples


class _Queue:
    """Cells that the devices of one kind share, those of a round together."""

    def __init__(self, cells: Sequence[Cell], at_once: int) -> None:
        self.cell_count = len(cells)
        self._waiting, self._held, self._is_moving = deque(rounds(cells, at_once)), deque[list[Cell]](), False
        self._lock = threading.Lock()

    def next(self) -> list[Cell] | None:
        """The next cells; when all were seen, those that others had claimed, as long as some were free since."""
        with self._lock:
            if not self._waiting and self._is_moving:
                self._waiting, self._held, self._is_moving = self._held, deque(), False
            return self._waiting.popleft() if self._waiting else None

    def put_back(self, held: list[Cell], *, moved: bool) -> None:
        """Take back what others have claimed; `moved`: something was measured."""
        with self._lock:
            self._is_moving = self._is_moving or moved
            if held:
                self._held.append(held)

    @property
    def held(self) -> list[Cell]:
        """Cells that others have claimed."""
        return [cell for together in self._held for cell in together]


@dataclass(frozen=True)
class _Shift:
    """One device's way through the cells of its kind."""

    queue: _Queue
    ledger: Ledger
    maker: Maker
    deadline: float | None
    sweep: Sweep
    lock: threading.RLock
    tell: Callable[..., None]

    def work(self) -> None:
        """Measure what is free until nothing is."""
        while (together := self.queue.next()) is not None:
            pending = self._unfinished(together)
            with self.ledger.claimed(pending, self.maker.setting) as claimed:
                self.ledger.look_again(claimed, self.maker.setting)
                mine = self._unfinished(claimed)
                self._measure(mine)
            held = [cell for cell in pending if not any(cell is one for one in claimed)]
            self.queue.put_back(held, moved=bool(mine))

    def _measure(self, mine: Sequence[Cell]) -> None:
        """Measure cells of a round; of what is not begun in time, the names are kept."""
        done = 0
        with closing(self.maker.records(mine)) as records:
            while done < len(mine) and (self.deadline is None or time.monotonic() < self.deadline):
                record, samples = next(records)
                with self.lock:
                    if self.ledger.keep(record, samples):
                        self.sweep.records.append(record)
                        self.tell(record.artifact.model, record=record)
                    else:  # another kept its own first
                        self._unfinished([mine[done]])
                done += 1
        with self.lock:
            self.sweep.left_out += [cell.spec.name for cell in mine[done:]]

    def _unfinished(self, cells: Sequence[Cell]) -> list[Cell]:
        """Cells that are still to be measured; what became of the others is told."""
        pending = list[Cell]()
        for cell in cells:
            if (record := self.ledger.finished(cell, self.maker.setting)) is None:
                pending.append(cell)
            else:
                with self.lock:
                    self.sweep.finished.append(record)
                    self.tell(cell.spec.name, "finished before")
        return pending


def _within(
    deadline: float, hand: Hand, request: Request, ledger: Ledger, sweep: Sweep, workshop: Workshop, tell: Tell
) -> Hand:
    """What fits, slowest last; that is told, and what does not is noted in the sweep."""
    found = read_spent(Path(request.results))
    gauge = gauge_of(hand.setting, found, workshop, tell)
    finished = ledger.finished_of(hand.cells, hand.setting)
    foreseen = forecast(hand.setting, hand.cells, finished, store.newest(found), gauge)
    foreseen = fit(foreseen, deadline - time.monotonic())
    for line in summary(foreseen):
        tell("", line)
    sweep.left_out += [line.cell.spec.name for line in foreseen.left_out]
    return replace(hand, cells=[line.cell for line in foreseen.kept])
