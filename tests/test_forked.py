"""`zoo.forked`: what copies of this process make is what this process would make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zoo import forked
from zoo.machine import core_count

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # these copies call no library
]


def all_of(*given):
    with forked.made(*given) as found:
        return list(found)


def children():
    return [listed for task in Path("/proc/self/task").iterdir() for listed in (task / "children").read_text().split()]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_in_order_by_any_number_of_copies(count):
    before = children()
    assert all_of(range(7), lambda part: (part, os.getpid() != HERE), count) == [(part, True) for part in range(7)]
    assert children() == before


HERE = os.getpid()


def test_more_than_a_pipe_holds():
    assert [len(one) for one in all_of(range(6), lambda _: b"x" * (1 << 20), 2)] == [1 << 20] * 6


def test_what_a_copy_that_dies_did_not_make_is_missing():
    def make(part):
        if part == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if part == 4:
            raise ValueError(part)
        return part

    assert all_of(range(9), make, 3) == [0, 1, 2, 5, 8]


def test_a_copy_that_dies_in_the_middle_of_its_word():
    def make(part):
        if part == 1:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()  # while it waits for a reader
        return [b"x" * (1 << 20), part]

    found = []
    with forked.made(range(2), make, 2) as answers:
        for one in answers:
            time.sleep(1)
            found.append(one[1])
    assert found == [0]


def test_they_begin_before_they_are_asked(tmp_path):
    with forked.made(["a", "b"], lambda name: (tmp_path / name).touch(), 2):
        end = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < end:
            time.sleep(0.01)
    assert len(list(tmp_path.iterdir())) == 2


def test_none_is_left_when_nobody_asks_for_more():
    before = children()
    with forked.made(range(100), lambda part: part, 2) as found:
        assert next(found) == 0
    assert children() == before
    with pytest.raises(KeyboardInterrupt), forked.made(range(100), lambda part: part, 2):
        raise KeyboardInterrupt
    assert children() == before


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(forked, "process_count", lambda: 2)


def note(file):
    """Add this process to those that a file names."""
    with file.open("a") as stream:
        stream.write(f"{'here' if os.getpid() == HERE else 'a copy'};")


def test_a_copy_does_something_beside_this_process(two, tmp_path):
    before = children()
    with forked.beside(lambda: (time.sleep(0.2), note(tmp_path / "done"))):
        assert not (tmp_path / "done").exists()
    assert (tmp_path / "done").read_text() == "a copy;"
    assert children() == before


@pytest.mark.parametrize("fault", ["one core", "no more processes"])
def test_without_a_copy_it_is_done_here_before(fault, two, tmp_path, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    if fault == "one core":
        monkeypatch.setattr(forked, "process_count", lambda: 1)
    else:
        monkeypatch.setattr(os, "fork", refuse)
    with forked.beside(lambda: note(tmp_path / "done")):
        assert (tmp_path / "done").read_text() == "here;"
    assert (tmp_path / "done").read_text() == "here;"


def test_what_a_copy_died_of_is_done_and_seen_here(two, tmp_path):
    def do():
        note(tmp_path / "tried")
        if os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"), forked.beside(do):
        pass
    assert (tmp_path / "tried").read_text() == "a copy;here;"


def test_an_error_of_this_process_is_its_own_and_leaves_no_copy(two):
    before = children()
    with pytest.raises(BlockingIOError), forked.beside(lambda: time.sleep(60)):
        raise BlockingIOError
    assert children() == before


@pytest.mark.parametrize(("threads", "expected"), [(0, min(core_count(), forked.AT_MOST)), (1, 1)])
def test_nothing_is_forked_beside_a_thread(threads, expected):
    """In a process that has no thread of its own, as that of a verb that reads."""
    script = f"""
import threading
import zoo.report.board_text, zoo.score.kept
from zoo import decoding, forked
done = threading.Event()
for _ in range({threads}):
    threading.Thread(target=done.wait).start()
print(forked.process_count())
done.set()
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == f"{expected}\n"


def test_nothing_is_forked_where_threads_cannot_be_counted(monkeypatch):
    def refuse(_folder):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert forked.process_count() == 1


def test_a_quota_of_the_container_counts_as_cores_do(monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000")
    monkeypatch.setattr("zoo.machine.CGROUP", tmp_path)
    monkeypatch.setattr(Path, "iterdir", lambda _folder: iter([Path("1")]))  # of threads
    assert forked.process_count() == 1
