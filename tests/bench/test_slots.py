"""Timed steps run alone on their device, on the CPU alone on the machine; everything else beside each other."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from zoo import locks
from zoo.bench import slots, worker
from zoo.errors import UserError

GPU = ("cuda:0", "aaaa")
OTHER = ("cuda:0", "bbbb")
"""Another GPU that its process calls by the same name."""
CPU = ("cpu", "mmmm")

HOLDER = """
import sys
from zoo.bench import slots
with slots.held({steps}, *{device}):
    print("there", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_slots(tmp_path, monkeypatch):
    monkeypatch.setenv(slots.VARIABLE, str(tmp_path / "slots"))


class WaitedError(Exception):
    pass


def give_up():
    raise WaitedError


def is_free(step, device):
    """Whether a step could begin at once."""
    try:
        with slots.held([step], *device, give_up):
            return True
    except WaitedError:
        return False


@pytest.mark.parametrize(
    ("held", "device", "free", "waits"),
    [
        ("measure", CPU, [], [("measure", CPU), ("train", CPU), ("measure", GPU), ("evaluate", GPU)]),
        ("train", CPU, [("train", CPU), ("memory", CPU), ("measure", GPU), ("train", GPU)], [("measure", CPU)]),
        ("measure", GPU, [("train", CPU), ("measure", OTHER)], [("measure", CPU), ("measure", GPU), ("train", GPU)]),
        ("baseline", GPU, [("evaluate", GPU), ("measure", OTHER), ("train", CPU)], [("measure", GPU), ("pair", CPU)]),
        ("survey", CPU, [("measure", CPU), ("measure", GPU)], []),
    ],
)
def test_who_runs_beside_whom(held, device, free, waits):
    with slots.held([held], *device):
        assert [one for one in free if not is_free(*one)] == []
        assert [one for one in waits if is_free(*one)] == []
        assert is_free("survey", device), "what is only looked at waits for nobody"
    assert all(is_free(*one) for one in (*free, *waits))


def test_one_timed_step_of_several_is_enough():
    with slots.held(["measure", "evaluate"], *GPU):
        assert not is_free("evaluate", GPU)


def test_every_step_of_a_worker_is_timed_shares_or_looks():
    assert set(worker.STEPS) == slots.TIMED | slots.SHARING | {"devices", "survey", "brought", "probe", "cost"}


def test_other_processes_wait_and_a_dead_one_holds_nothing(tmp_path):
    code = HOLDER.format(steps=["measure"], device=CPU)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    assert not is_free("train", CPU)
    process.kill()
    process.communicate()
    assert is_free("measure", CPU)


def test_who_waits_to_be_alone_goes_before_who_comes_later():
    """Steps that share, one after the other without a gap, keep no timed step from its turn."""
    order, waiting = [], threading.Event()

    def timed():
        with slots.held(["measure"], *CPU, waiting.set):
            order.append("timed")

    def later():
        with slots.held(["train"], *CPU):
            order.append("later")

    threads = [threading.Thread(target=one) for one in (timed, later)]
    with slots.held(["train"], *CPU):
        threads[0].start()
        assert waiting.wait(60)
        threads[1].start()
        threads[1].join(10 * locks.POLL_S)
        assert order == []
    for thread in threads:
        thread.join(60)
    assert order == ["timed", "later"]


def test_who_gives_up_leaves_the_gate_open():
    with slots.held(["train"], *CPU):
        assert not is_free("measure", CPU)
        assert is_free("train", CPU)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(slots.VARIABLE, str(tmp_path / "file" / "slots"))
    with (
        pytest.raises(
            UserError, match=r"cannot lock .*zoo-.*: Not a directory; .* another folder in ZOO_SLOTS"
        ) as caught,
        slots.held(["measure"], *CPU),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_slots_are_of_this_machine_whatever_a_job_calls_its_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.delenv(slots.VARIABLE)
    before = slots.folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert slots.folder() == before
    monkeypatch.setattr(slots, "FOLDERS", ("/nowhere",))
    assert slots.folder().is_dir()
