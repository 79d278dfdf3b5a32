"""A fleet's driver, and devices that answer, vanish, refuse or never begin: they are played, nothing is measured."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pytest

from zoo import store
from zoo.bench.cell import record_of
from zoo.bench.forecast import forecast
from zoo.bench.job import RANDOM, Survey
from zoo.bench.ledger import Ledger
from zoo.bench.plan import Chosen, Setting, cell_id, cells
from zoo.bench.plan_file import make_plan
from zoo.bench.planning import Hand
from zoo.bench.request import Request
from zoo.bench.workshop import Outcome
from zoo.catalog import find
from zoo.config import BenchConfig, TrainConfig
from zoo.errors import UserError
from zoo.fleet import sweep
from zoo.fleet.cluster import Node, Seat
from zoo.fleet.measurer import Answer, Errand
from zoo.fleet.needs import Needs

MODELS = ("encoder_decoder", "fast_scnn", "unet")
NODES = [Node(name * 56, f"10.0.0.{name}", 2, 0) for name in "1234"]


class LostError(Exception):
    """In place of Ray's own."""


@dataclass(eq=False)
class Call:
    give: object
    is_pending: bool = False


class Played:
    """In place of Ray: every device answers at once, as its node's fate says."""

    def __init__(self, hand):
        self.hand, self.nodes, self.fates, self.killed, self.began = hand, NODES[:3], {}, [], []

    def remote(self, _measurer):
        return self

    def options(self, scheduling_strategy, **_taken):
        return type("Placed", (), {"remote": partial(Actor, self, scheduling_strategy.node_id)})

    def wait(self, asked, num_returns, timeout):
        ready = [call for call in asked if not call.is_pending]
        return ready, [call for call in asked if call.is_pending]

    def get(self, call):
        return call.give()

    def kill(self, actor):
        self.killed.append(actor)

    def put(self, content):
        return content


class Actor:
    def __init__(self, played, node, errand, *, is_cpu):
        assert is_cpu
        self.played, self.node, self.errand = played, node, errand
        for name in ("look", "begin", "next"):
            setattr(self, name, type("Method", (), {"remote": partial(self._call, getattr(self, f"_{name}"))}))

    def _call(self, method, *given):
        fate = self.played.fates.get(self.node[0], "")
        return Call(partial(method, fate, *given), fate == "busy")

    def _look(self, fate):
        if fate == "stillborn":
            raise LostError
        if fate == "unlike":
            return None, 0, "runtime openvino needs openvino: pip install 'zoo-seg[runtimes]'"
        return self.played.hand.setting.survey, 15 if fate == "nice" else 0, ""

    def _begin(self, fate, ids, parcels):
        assert parcels == {}
        self.left = list(ids)
        self.played.began += ids[:1]
        return self._next(fate)

    def _next(self, fate):
        if fate in {"lost", "gone"}:
            if fate == "gone":
                self.played.nodes = [node for node in self.played.nodes if node.id != self.node]
            raise LostError
        if fate == "mistaken":
            return Answer(mistake="the disk is full")
        if not self.left:
            return Answer()
        cell = next(cell for cell in self.played.hand.cells if cell_id(cell, self.played.hand.setting) == self.left[0])
        record, samples = record_of(cell, self.played.hand.setting, datetime.now(UTC), [Outcome()])
        return Answer(self.left.pop(0), record, samples, ("said there",))


@pytest.fixture
def hand(records):
    made = records.make()
    survey = Survey("cpu", made.device, {"eager": made.software}, frozenset(), {}, {})
    config = BenchConfig(accuracy=False, image_size=(64, 128), precisions=("fp32", "bf16"), device="cpu")
    setting = Setting(config, survey, config.image_size, None, None, ("folder",))
    return Hand(setting, cells(setting, [(find(name), [Chosen(RANDOM)]) for name in MODELS]))


@pytest.fixture
def played(hand, monkeypatch):
    made = Played(hand)
    monkeypatch.setattr(sweep, "ray", made)
    monkeypatch.setattr(sweep, "is_lost", lambda error: isinstance(error, LostError))
    monkeypatch.setattr(sweep, "nodes", lambda: made.nodes)
    return made


@pytest.fixture
def run(played, hand, tmp_path):
    """`run(budget_s=…)`: the sweep, and what was told of it."""
    pytest.importorskip("ray")  # says where a device is

    def start(*, is_local=False, **changes):
        events, config = [], hand.setting.config
        foreseen = forecast(hand.setting, hand.cells, set(), [])
        plan = make_plan(hand.setting, foreseen.lines, "somewhere")
        with Ledger.open(tmp_path / "results") as ledger:
            setting = Setting(config, hand.setting.survey, config.image_size, None, None, ledger.folders)
            played.hand = Hand(setting, hand.cells)
            request, began = Request(config, **changes), sweep.time.monotonic()
            fleet = sweep._Fleet(request, (), ledger, events.append, began, is_local=is_local)
            errand = Errand(plan, Needs(), ledger.folder)
            done = fleet.run(errand, played.hand, [Seat(node, "cpu") for node in played.nodes])
        return done, [event.note for event in events if event.note], events

    return start


def kept(tmp_path):
    return sorted(
        (record.artifact.model, record.artifact.precision, record.status, record.tries)
        for record in store.scan(tmp_path / "results", history=True).records
    )


ALL = [(model, precision, "ok", 1) for model in MODELS for precision in ("bf16", "fp32")]


def test_every_cell_is_measured_once_and_never_again(run, played, tmp_path):
    done, notes, events = run()
    assert kept(tmp_path) == ALL
    assert len(done.records) == 6
    assert done.exit_code == 0
    begun = [f"node 10.0.0.{number} cpu begins: intel-xeon-2c" for number in "123"]
    assert notes == [*begun, "said there"], "what all nodes say is said once"
    assert (events[-1].done, events[-1].total, events[-1].left_s) == (6, 6, None)
    assert len(played.killed) == 3, "no actor stays behind"
    again, _, events = run()
    assert (again.records, len(again.finished)) == ([], 6)
    assert events[-1].total == 0


def test_a_cell_whose_node_vanishes_is_measured_elsewhere(run, played, tmp_path):
    played.fates["2"] = "gone"
    done, notes, _ = run()
    assert sorted(row[:3] for row in kept(tmp_path)) == [row[:3] for row in ALL]
    assert sorted(record.tries for record in done.records) == [1, 1, 1, 1, 1, 2]
    (lost,) = [note for note in notes if "lost" in note]
    assert lost.startswith("node 10.0.0.2 cpu was lost while it measured ")
    assert lost.endswith(", try 1 of 3")


def test_a_cell_that_takes_every_node_down_is_given_up_after_three_tries(run, played, tmp_path):
    played.fates |= dict.fromkeys("123", "lost")
    done, notes, _ = run()
    records = store.scan(tmp_path / "results", history=True).records
    assert {(record.status, record.tries) for record in records} == {("failed", 3)}
    assert {(record.failure.step, record.failure.reason) for record in records} == {
        ("node", "lost with its node, 3 times of 3")
    }
    assert len(records) == 6
    assert done.exit_code == 3
    assert max(map(played.began.count, played.began)) == 3
    assert len({note for note in notes if note.endswith("try 3 of 3")}) >= 3


def test_cells_that_no_device_is_left_for_are_named(run, played, tmp_path):
    played.fates |= dict.fromkeys("123", "gone")
    done, notes, _ = run()
    assert kept(tmp_path) == []
    assert done.stranded == list(MODELS)
    assert done.exit_code == 3
    assert len([note for note in notes if "was lost while it measured" in note]) == 3


def test_a_mistake_ends_the_sweep_with_the_node_it_is_of(run, played):
    played.fates["1"] = "mistaken"
    with pytest.raises(UserError, match=r"^node 10\.0\.0\.1 cpu: the disk is full$"):
        run()
    assert len(played.killed) == 3


def test_a_node_without_a_runtime_of_the_plan_says_what_to_install(run, played):
    played.fates["3"] = "unlike"
    with pytest.raises(UserError, match=r"^node 10\.0\.0\.3 cpu: runtime openvino needs openvino: pip install "):
        run()


def test_a_device_that_others_hold_is_not_waited_for(run, played, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "BUSY_S", 0.3)
    played.fates["1"] = "busy"
    _, notes, _ = run()
    assert kept(tmp_path) == ALL
    assert "node 10.0.0.1 cpu is busy with other work of the cluster; it joins in when that ends" in notes
    played.fates |= dict.fromkeys("123", "busy")
    with pytest.raises(UserError, match="every device of the fleet is busy"):
        run(rerun=True)


def test_a_node_whose_processes_yield_to_others_is_named(run, played):
    played.fates["2"] = "nice"
    notes = run()[1]
    assert [note for note in notes if "RAY_worker_niceness=0" in note and note.startswith("node 10.0.0.2: ")]
    assert not [note for note in notes if "without `nice`" in note]


def test_a_fleet_of_this_machine_alone_yields_as_its_command_does(run, played):
    """It is started by the command itself, which says what it needs: nothing that a person could set."""
    played.fates["2"] = "nice"
    notes = run(is_local=True)[1]
    assert [note for note in notes if note.endswith("(nice 15), which slows what is timed where anything else runs: "
            "run this command without `nice`")]  # fmt: skip
    assert not [note for note in notes if "RAY_worker_niceness" in note]


def test_nothing_is_begun_after_the_budget(run, played, tmp_path):
    done, _, _ = run(budget_s=0.0)
    assert kept(tmp_path) == []
    assert done.left_out == list(MODELS)


def test_a_node_that_comes_is_taken_on(run, played, monkeypatch):
    monkeypatch.setattr(sweep, "LOOK_EVERY_S", 0.0)
    asked = []
    monkeypatch.setattr(sweep, "require_fit", lambda nodes, needs: asked.append([node.id for node in nodes]))
    monkeypatch.setattr(sweep, "nodes", lambda: NODES)
    notes = run()[1]
    assert "node 10.0.0.4 cpu came" in notes
    assert asked[0] == [NODES[3].id], "asked like the others before it does anything"


def test_cells_of_one_training_stay_together(hand):
    recipe = TrainConfig(name="tiny", steps=2)
    trained = cells(hand.setting, [(find("unet"), [Chosen(RANDOM, recipe)]), (find("fast_scnn"), [Chosen(RANDOM)])])
    plan = make_plan(hand.setting, forecast(hand.setting, trained, set(), []).lines, "somewhere")
    assert [len(task) for task in sweep._tasks(plan)] == [2, 1, 1]
    with pytest.raises(UserError, match="and unet still have to be trained by tiny: do so first with `zoo train"):
        sweep._require_trained(plan.model_copy(update={"config": plan.config.model_copy(update={"train": recipe})}))


def test_devices_that_never_begin_are_not_tried_for_ever(run, played):
    played.fates |= dict.fromkeys("123", "stillborn")
    with pytest.raises(UserError, match="no device of the fleet began: Ray's processes end there"):
        run()
    assert len(played.killed) == 9, "three tries each"


def test_what_another_sweep_measures_is_left_to_it(run, hand, tmp_path):
    with Ledger.open(tmp_path / "results") as other:
        setting = Setting(hand.setting.config, hand.setting.survey, hand.setting.image_size, None, None, other.folders)
        with other.claimed(hand.cells[:1], setting) as claimed:
            done, _, events = run()
    assert len(claimed) == 1
    assert done.claimed == ["encoder_decoder"]
    assert done.claimed_by == [f"process {os.getpid()} on {socket.gethostname()}"]
    assert kept(tmp_path) == [row for row in ALL if row[:2] != ("encoder_decoder", "fp32")]
    assert (events[-1].done, events[-1].total) == (5, 5)
    assert [len(run()[0].records) for _ in range(2)] == [1, 0], "free again, then finished"
