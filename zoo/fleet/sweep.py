"""The sweep of a fleet: plan once, hand out cells, keep each record when it comes, try again what a node took along."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from zoo.bench.cell import record_of
from zoo.bench.job import Survey
from zoo.bench.ledger import Ledger
from zoo.bench.plan import Setting, cell_id
from zoo.bench.plan_file import Plan
from zoo.bench.planning import Hand, plan_bench
from zoo.bench.request import Request, read
from zoo.bench.sweep import Sweep
from zoo.bench.workshop import Outcome
from zoo.errors import UserError, listed
from zoo.files import sha256_of
from zoo.fleet.board import MAX_TRIES, Board, Task
from zoo.fleet.cluster import LOCAL, Seat, is_lost, joined, nodes, nodes_of, seats
from zoo.fleet.fitness import require_fit
from zoo.fleet.measurer import Answer, Errand, Measurer, Parcel
from zoo.fleet.needs import needs_of
from zoo.lazy import Lazy
from zoo.record import Record

if TYPE_CHECKING:
    import ray
else:
    ray = Lazy("ray")

TICK_S = 0.5
"""How often the person at the terminal sees how far it is."""
BUSY_S = 300.0
"""How long a device may take to begin, which imports torch, before it is said to be busy."""
LOOK_EVERY_S = 15.0
"""How often the cluster is asked for nodes that came."""


@dataclass(frozen=True)
class SeatLine:
    """One device as a table shows it."""

    node: str
    device: str
    does: str
    for_s: float | None
    done: int
    failed: int


@dataclass(frozen=True)
class FleetEvent:
    """How far a fleet is: a line for a person, a new record, or only the time that went by."""

    seats: tuple[SeatLine, ...]
    done: int
    total: int
    failed: int
    left_s: float | None
    """About how long it will take yet; `None`: nothing to tell by."""
    note: str = ""
    record: Record | None = None


OnEvent = Callable[[FleetEvent], None]


@dataclass(eq=False)
class _Crew:
    """A device, its actor, and what it does."""

    seat: Seat
    actor: Any
    asked: Any
    """The answer that is waited for; `None`: it is idle."""
    kind: str = ""
    """Of device, once that is known."""
    task: Task | None = None
    claims: ExitStack = field(default_factory=ExitStack)
    """On the cells of the task, against other sweeps that share the results folder."""
    since: float = field(default_factory=time.monotonic)
    done: int = 0
    failed: int = 0


def run_fleet(request: Request, address: str, on: Sequence[str] = (), on_event: OnEvent = lambda _event: None) -> Sweep:
    """Measure every cell of a request once on each kind of device of a fleet; records are kept here as they come.

    Args:
        request: As `run_bench` takes it; its `device` is not asked for.
        address: Of the fleet (`cluster.joined`).
        on: Accelerators as Ray calls them, and `cpu` (`cluster.seats`).
        on_event: Called as it goes on.

    Raises:
        UserError: as `run_bench`; no such fleet, no such device, a node that is not fit, weights still to be trained
            that are to be kept.
    """
    started = time.monotonic()
    with joined(address):
        chosen = seats(nodes(), on)
        device = "cpu" if all(seat.is_cpu for seat in chosen) else "cuda"
        request = replace(request, config=request.config.model_copy(update={"device": device}))
        wanted = read(request)
        needs = needs_of(wanted.dataset, wanted.specs, wanted.cache)
        with Ledger.open(request.results, rerun=request.rerun) as ledger:
            fleet = _Fleet(request, on, ledger, on_event, started, is_local=address == LOCAL)
            asked = nodes_of(chosen)
            fleet.tell(f"asking {listed(node.address for node in asked)} for zoo, its data and models")
            require_fit(asked, needs)
            outlook = plan_bench(request, lambda model, note: fleet.tell("" if model else note), elsewhere=True)
            _require_trained(outlook.plan)
            errand = Errand(outlook.plan, needs, ledger.folder, request.trust, request.feed)
            return fleet.run(errand, outlook.hand, chosen)


class _Fleet:
    """One sweep of a fleet, seen from the driver."""

    def __init__(
        self,
        request: Request,
        on: Sequence[str],
        ledger: Ledger,
        on_event: OnEvent,
        started: float,
        *,
        is_local: bool = False,
    ) -> None:
        self.request, self.on, self.ledger, self.on_event, self.started = request, on, ledger, on_event, started
        self.is_local = is_local
        self.sweep = Sweep()
        self.crews: list[_Crew] = []
        self.board = Board((), lambda _cell, _kind: False)
        self.settings: dict[str, Setting] = {}
        """By kind of device."""
        self.spent: dict[str, list[float]] = defaultdict(list)
        """Seconds of each cell that was measured, by kind of device."""
        self.failed = 0
        """Cells, lost ones among them."""
        self.false_starts = Counter[Seat]()
        self.parcels: dict[Path, Parcel] = {}
        """Files that were given to Ray, which is done once for all cells."""
        self.said: set[str] = set()

    def tell_once(self, note: str) -> None:
        """Tell what any number of nodes may say."""
        if note not in self.said:
            self.said.add(note)
            self.tell(note)

    def tell(self, note: str = "", record: Record | None = None) -> None:
        """Show how far it is."""
        now = time.monotonic()
        lines = tuple(
            SeatLine(
                crew.seat.node.address,
                crew.kind or crew.seat.device,
                self._does(crew),
                now - crew.since if crew.asked is not None else None,
                crew.done,
                crew.failed,
            )
            for crew in self.crews
        )
        done = self.board.answered_count
        self.on_event(FleetEvent(lines, done, self.board.total, self.failed, self._left_s(), note, record))

    def run(self, errand: Errand, hand: Hand, chosen: Sequence[Seat]) -> Sweep:
        """Measure until nothing is left that any device could do."""
        self.errand, self.hand = errand, hand
        self.cells = {cell_id(cell, hand.setting): replace(cell, refused="") for cell in hand.cells}
        self.planned = {cell.id: cell for cell in errand.plan.cells}
        self.board = Board([*_tasks(errand.plan)], self._is_finished)
        looked_at = time.monotonic()
        try:
            for seat in chosen:
                self._open(seat)
            while not self._is_done():
                for crew in [crew for crew in self.crews if crew.asked is None]:
                    self._hand_out(crew)
                asked = {crew.asked: crew for crew in self.crews if crew.asked is not None}
                if not asked:  # the budget is spent
                    break
                ready, _ = ray.wait(list(asked), num_returns=1, timeout=TICK_S)
                for one in ready:
                    self._answered(asked[one])
                if time.monotonic() - looked_at > LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    self._look_for_nodes()
                self.tell()
        finally:
            for crew in self.crews:
                crew.claims.close()
                with suppress(Exception):  # it may be gone
                    ray.kill(crew.actor)
        if not self.board.kinds:
            raise UserError(
                "no device of the fleet began: Ray's processes end there before they answer; Ray's logs say why "
                "(`/tmp/ray/session_latest/logs` on the node)"
            )
        dropped = set(self.board.drop(self.board.kinds))
        left = list(dict.fromkeys(planned.model for cell, planned in self.planned.items() if cell in dropped))
        if self._is_over():
            self.sweep.left_out = left
        else:
            self.sweep.stranded = left
        self.sweep.seconds = time.monotonic() - self.started
        return self.sweep

    def _is_done(self) -> bool:
        """Whether nothing is left to wait for; a device that something else holds is waited for some time."""
        now = time.monotonic()
        starting = [crew for crew in self.crews if not crew.kind]
        busy = [crew for crew in starting if now - crew.since > BUSY_S]
        for crew in busy:
            self.tell_once(f"node {crew.seat.name} is busy with other work of the cluster; it joins in when that ends")
        if busy and len(busy) == len(self.crews):
            raise UserError("every device of the fleet is busy with other work of the cluster; come back when it ends")
        return not self.crews or (self.board.is_done and len(busy) == len(starting))

    def _is_over(self) -> bool:
        """Whether the budget is spent."""
        budget_s = self.request.budget_s
        return budget_s is not None and time.monotonic() - self.started >= budget_s

    def _open(self, seat: Seat) -> None:
        actor = ray.remote(Measurer).options(**seat.options).remote(self.errand, is_cpu=seat.is_cpu)
        self.crews.append(_Crew(seat, actor, actor.look.remote()))

    def _answered(self, crew: _Crew) -> None:
        """Take an answer, or note that there will be none."""
        try:
            answer = ray.get(crew.asked)
        except Exception as error:
            if not is_lost(error):
                raise
            self._lost(crew)
            return
        crew.asked = None
        if crew.task is None:
            self._looked(crew, *answer)
        else:
            self._take(crew, crew.task, answer)

    def _looked(self, crew: _Crew, survey: Survey | None, niceness: int, mistake: str) -> None:
        """Know a device's kind, and list what it has to measure."""
        if survey is None or mistake:
            raise UserError(f"node {crew.seat.name}: {mistake}")
        if niceness > 0:
            how = "run this command without `nice`" if self.is_local else "start Ray with RAY_worker_niceness=0"
            self.tell_once(
                f"node {crew.seat.node.address}: Ray's processes yield to all others there (nice {niceness}), which "
                f"slows what is timed where anything else runs: {how}"
            )
        crew.kind, known = survey.device.slug, self.settings.get(survey.device.slug)
        if known is None:
            config = self.errand.plan.config_for(survey.device.kind)
            self.settings[crew.kind] = replace(self.hand.setting, config=config, survey=survey)
        self.board.add_kind(crew.kind)
        self.tell(f"node {crew.seat.name} begins: {crew.kind}")

    def _hand_out(self, crew: _Crew) -> None:
        """Give an idle device its next task, if there is one and time for it."""
        if not crew.kind or self._is_over():
            return
        node = crew.seat.node.id
        others = {other.seat.node.id for other in self.crews if other.kind == crew.kind} - {node}
        while (task := self.board.take(crew.kind, node, others)) is not None:
            self._claim(crew, task)
            if task.left:
                crew.task, crew.since = task, time.monotonic()
                crew.asked = crew.actor.begin.remote(list(task.left), dict(self._parcels(task.left)))
                return
            self._end(crew, task)

    def _claim(self, crew: _Crew, task: Task) -> None:
        """Leave to other sweeps what they are at, and take note of what they did since."""
        setting, cells = self.settings[crew.kind], [self.cells[cell] for cell in task.left]
        mine = {cell_id(cell, setting) for cell in crew.claims.enter_context(self.ledger.claimed(cells, setting))}
        self.ledger.look_again(cells, setting)
        done = {cell for cell in task.left if self._is_finished(cell, crew.kind)}
        held = [cell for cell in task.left if cell not in mine | done]
        self.sweep.claimed += [self.planned[cell].model for cell in held]
        held_by = self.ledger.holders([self.cells[cell] for cell in held], setting)
        self.sweep.claimed_by += [one for one in held_by if one not in self.sweep.claimed_by]
        self.board.leave(task, {cell for cell in task.left if cell not in mine or cell in done})

    def _end(self, crew: _Crew, task: Task) -> None:
        self.board.end(task)
        crew.claims.close()
        crew.task = None

    def _take(self, crew: _Crew, task: Task, answer: Answer) -> None:
        for note in answer.notes:
            self.tell_once(note)
        if answer.mistake:
            raise UserError(f"node {crew.seat.name}: {answer.mistake}")
        if answer.record is None:
            self._end(crew, task)
            return
        tries = self.board.answer(task, answer.cell)
        self._keep(crew, answer.record.model_copy(update={"tries": tries}), answer.samples)
        crew.since, crew.asked = time.monotonic(), crew.actor.next.remote()

    def _keep(self, crew: _Crew, record: Record, samples: Any) -> None:
        crew.done += 1
        self.spent[crew.kind].append(time.monotonic() - crew.since)
        if not self.ledger.keep(record, samples):  # another kept its own first
            self._is_finished(record.cell, crew.kind)
            return
        failed = record.status not in {"ok", "unsupported"}
        crew.failed, self.failed = crew.failed + failed, self.failed + failed
        self.sweep.records.append(record)
        self.tell(record=record)

    def _lost(self, crew: _Crew) -> None:
        """Take its task back from a device that is gone; where its node still lives, begin there anew."""
        self.crews.remove(crew)
        crew.claims.close()
        with suppress(Exception):  # a process that lives on without a connection must not answer any more
            ray.kill(crew.actor)
        name, task = crew.seat.name, crew.task
        if task is None or not task.left:
            self.tell(f"node {name} was lost")
        else:
            model = self.planned[task.left[0]].model
            tries = task.lost[task.left[0]] + 1
            self.tell(f"node {name} was lost while it measured {model}, try {tries} of {MAX_TRIES}")
        if task is not None and (given_up := self.board.lose(task, crew.seat.node.id)) is not None:
            self._give_up(crew, given_up)
        self.false_starts[crew.seat] += not crew.kind
        if self.false_starts[crew.seat] < MAX_TRIES and any(node.id == crew.seat.node.id for node in nodes()):
            self._open(crew.seat)

    def _give_up(self, crew: _Crew, cell: str) -> None:
        """Keep a record of a cell whose nodes were lost too often."""
        why = f"lost with its node, {MAX_TRIES} times of {MAX_TRIES}"
        outcome = Outcome(status="failed", step="node", reason=why)
        record, samples = record_of(self.cells[cell], self.settings[crew.kind], datetime.now(UTC), [outcome])
        self._keep(crew, record.model_copy(update={"tries": MAX_TRIES}), samples)

    def _look_for_nodes(self) -> None:
        """Take on devices that came since, where there is something for them to do."""
        taken = {crew.seat.place for crew in self.crews} | {
            seat.place for seat, count in self.false_starts.items() if count >= MAX_TRIES
        }
        try:
            new = [seat for seat in seats(nodes(), self.on) if seat.place not in taken]
            if new and not self.board.is_done:
                require_fit(nodes_of(new), self.errand.needs)
        except UserError as error:  # those that are at work go on
            self.tell_once(str(error))
            return
        for seat in new:
            self.tell(f"node {seat.name} came")
            self._open(seat)

    def _is_finished(self, cell: str, kind: str) -> bool:
        """Whether a kind of device has answered a cell, in this folder."""
        record = self.ledger.finished(self.cells[cell], self.settings[kind])
        if record is not None:
            self.sweep.finished.append(record)
        return record is not None

    def _parcels(self, cells: Sequence[str]) -> Iterator[tuple[str, Parcel]]:
        """The files that these cells need, by the hash that the plan knows them by."""
        for one in {cell.source.sha256: cell for cell in map(self.cells.__getitem__, cells)}.values():
            file = one.file[0] if one.file is not None else one.source.file
            if file is not None and one.source.sha256 is not None and not one.source.of_hub:
                if file not in self.parcels:
                    self.parcels[file] = Parcel(file.name, sha256_of(file), [ray.put(file.read_bytes())])
                yield one.source.sha256, self.parcels[file]

    def _does(self, crew: _Crew) -> str:
        if not crew.kind:
            return "starts"
        if crew.task is None or not crew.task.left:
            return ""
        cell = self.planned[crew.task.left[0]]
        return cell.model if cell.runtime in {"none", "eager"} else f"{cell.model} {cell.runtime} {cell.precision}"

    def _left_s(self) -> float | None:
        """Of the kind that will be last; by what its cells took so far."""
        times = []
        for kind in self.board.kinds:
            hands = sum(crew.kind == kind for crew in self.crews)
            if (left := self.board.left(kind)) and hands:
                if not self.spent[kind]:
                    return None
                times.append(left * fmean(self.spent[kind]) / min(hands, left))
        return max(times, default=None)


def _tasks(plan: Plan) -> Iterator[list[str]]:
    """Cells that one training serves together; all others alone."""
    for group in plan.groups():
        if group[0].weights.kind == "train":
            yield [cell.id for cell in group]
        else:
            yield from ([cell.id] for cell in group)


def _require_trained(plan: Plan) -> None:
    """Refuse to train on each kind of device what is to be kept: they would be other weights on each."""
    untrained = list(dict.fromkeys(cell.model for cell in plan.cells if cell.weights.kind == "train"))
    if plan.config.keep_checkpoints and untrained:
        assert plan.config.train is not None
        raise UserError(
            f"a fleet measures the same weights on every device, and {listed(untrained)} still have to be trained by "
            f"{plan.config.train.name}: do so first with `zoo train MODEL --fleet ADDRESS`, or name others by --weights"
        )
