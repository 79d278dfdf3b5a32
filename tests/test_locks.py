"""Locks, where the file system has them and where it has none."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from zoo import checkpoint, files, locks, store
from zoo.errors import UserError

LACKING = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]
HOLDER = """
import sys, time
from pathlib import Path
from zoo import files, locks
{lack}
{work}
"""
LACK = "locks.fcntl = None"


@pytest.fixture(params=["flock", "no fcntl", *LACKING], ids=lambda param: errno.errorcode.get(param, param))
def system(request, monkeypatch):
    """A system with locks, one without the module, and file systems that refuse in their own ways."""
    if request.param == "no fcntl":
        monkeypatch.setattr(locks, "fcntl", None)
    elif request.param != "flock":

        def flock(_descriptor, _operation):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


def another_process(system, work):
    """A process that does `work` on the same sort of system, says so, and stays."""
    code = HOLDER.format(lack="" if system == "flock" else LACK, work=work)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def end(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_one_holder_at_a_time(system, tmp_path):
    lock = tmp_path / "lock"
    for _ in range(2):
        with locks.hold(lock):
            assert locks.take(lock) is None
            with pytest.raises(locks.HeldError), locks.hold(lock):
                pass
            with locks.hold(tmp_path / "other"):
                pass


def test_a_lock_goes_with_its_process(system, tmp_path):
    lock = tmp_path / "lock"
    process = another_process(
        system, f"release = locks.take(Path({str(lock)!r})); print('there', flush=True); time.sleep(600)"
    )
    assert locks.take(lock) is None
    end(process)
    release = locks.take(lock)
    assert release is not None
    release()


def test_a_holder_is_named_as_long_as_it_holds(system, tmp_path):
    """What a killed process had signed names nobody, and asking leaves the lock as free as it was."""
    lock = tmp_path / "lock"
    process = another_process(
        system, f"release = locks.take(Path({str(lock)!r}), signed=True); print('there', flush=True); time.sleep(600)"
    )
    assert locks.holder(lock) == f"process {process.pid} on {socket.gethostname()}"
    end(process)
    assert locks.holder(lock) == ""
    release = locks.take(lock, signed=True)
    assert release is not None
    assert locks.holder(lock) == f"process {os.getpid()} on {socket.gethostname()}"
    release()
    assert locks.holder(lock) == ""


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_a_lock_is_for_whoever_may_write_there_unless_it_is_private(umask, tmp_path):
    """A lock that outlives its process in a folder that several users share must not lock the others out."""
    before = os.umask(umask)
    try:
        for name, private in (("lock", False), ("private", True)):
            locks.take(tmp_path / name, private=private)()
        (tmp_path / "file").touch()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"lock": modes["file"], "private": 0o600, "file": 0o666 & ~umask}


def test_a_folder_that_is_gone_is_no_lock(system, tmp_path):
    assert locks.take(tmp_path / "gone" / "lock") is None


def test_results_and_runs_are_held_on_any_file_system(system, tmp_path):
    results, run = tmp_path / "results", tmp_path / "runs" / "run"
    with store.locked(results) as first, pytest.raises(UserError, match="another merge writes to") as caught:  # noqa: SIM117
        with store.locked(results):
            pass
    assert "\n" not in str(caught.value)
    assert "free some space" not in str(caught.value)
    with store.locked(results) as again:
        assert again == first
    with checkpoint.run_lock(run), pytest.raises(UserError, match="another process is training in"):  # noqa: SIM117
        with checkpoint.run_lock(run):
            pass
    with checkpoint.run_lock(run):
        pass


def test_what_lives_is_left_alone_and_what_died_is_removed(system, records, tmp_path):
    fill = "def fill(draft):\n    (draft / 'half').write_text('x'); print('there', flush=True); time.sleep(600)\n"
    process = another_process(system, f"{fill}files.whole_folder(Path({str(tmp_path / 'entry')!r}), fill)")
    store.save(records.make(), {}, tmp_path)
    files.remove_leftovers(tmp_path)
    assert len(list(tmp_path.glob(".zoo-draft-*"))) == 1
    end(process)
    files.whole_folder(tmp_path / "entry", lambda draft: (draft / "whole").write_text("x"))
    assert not list(tmp_path.glob(".zoo-draft-*"))
    assert [path.name for path in (tmp_path / "entry").iterdir()] == ["whole"]


def names_a_holder(lock, process, host, started):
    lock.with_name(f"{lock.name}.held").write_text(f"{process}\n{host}\n{started}\n")


@pytest.fixture
def without_locks(monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)


@pytest.mark.usefixtures("without_locks")
def test_a_process_number_given_out_anew_is_nobody(tmp_path):
    """The file names this very process's number, but a process that started at another time."""
    lock = tmp_path / "lock"
    with locks.hold(lock):
        number, host, started = lock.with_name("lock.held").read_text().split()
    assert (int(number), host) == (os.getpid(), socket.gethostname())
    other = psutil.Process().parent()
    names_a_holder(lock, other.pid, host, int(started) - 1)
    with locks.hold(lock):
        pass


@pytest.mark.usefixtures("without_locks")
def test_a_holder_on_another_host_is_believed_and_named(tmp_path):
    """Its number means nothing here: nobody has it, and yet it may live."""
    lock = tmp_path / "run" / "lock"
    lock.parent.mkdir()
    names_a_holder(lock, 2**22 + 1, "node17", 5)
    os.utime(lock.with_name("lock.held"), (time.time() - 10**6,) * 2)
    with pytest.raises(UserError) as caught, checkpoint.run_lock(lock.parent):
        pass
    assert "lock.held: process 4194305 on node17; delete that file if it is gone" in str(caught.value)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_any_other_trouble_is_not_taken_for_a_missing_lock(number, tmp_path, monkeypatch):
    def flock(_descriptor, _operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=os.strerror(number)):
        locks.take(tmp_path / "lock")
    assert not list(tmp_path.glob("*.held"))
    with pytest.raises(UserError, match=os.strerror(number)), checkpoint.run_lock(tmp_path / "run"):
        pass
