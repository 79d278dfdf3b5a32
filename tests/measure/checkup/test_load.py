"""Other load, of a machine whose `/proc` is files that change while it is watched."""

from __future__ import annotations

import os

import psutil
import pytest

from zoo.measure import device
from zoo.measure.checkup import load

TICKS = os.sysconf("SC_CLK_TCK")
BUSY, SHELL, IDLE, WIDE = 4_190_001, 4_190_002, 4_190_003, 4_190_004
"""Numbers that no process of this machine has."""


def stat(cores):
    """`/proc/stat` of cores given as (user, idle, steal) seconds."""
    lines = [f"cpu{n} {user * TICKS:.0f} 0 0 {idle * TICKS:.0f} 0 0 0 {steal * TICKS:.0f} 0 0"
             for n, (user, idle, steal) in enumerate(cores)]  # fmt: skip
    return "\n".join(["cpu  0 0 0 0 0 0 0 0 0 0", *lines, "btime 1700000000", ""])


def process(number, name, seconds):
    ticks = round(seconds * TICKS)
    return f"{number} ({name}) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 500 0 0 " + "0 " * 30


@pytest.fixture
def watched(system, monkeypatch):
    """`watched(before, after)`: what `other_load` says of two states of `/proc`, each cores and processes."""
    root = system()
    proc = root / "proc"
    proc.mkdir()

    def write(cores, programs):
        (proc / "stat").write_text(stat(cores))
        (proc / "uptime").write_text("100.0 100.0")
        for number, (name, seconds) in {IDLE: ("init", 3), **programs}.items():
            (proc / str(number)).mkdir(exist_ok=True)
            (proc / str(number) / "stat").write_text(process(number, name, seconds))
            (proc / str(number) / "cmdline").write_text(f"/usr/bin/{name}\0--secret\0")

    def look(before, after):
        now = iter([0.0, load.WATCH_S])
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))
        monkeypatch.setattr(device.time, "monotonic", lambda: next(now))
        monkeypatch.setattr(device, "usable_cores", lambda: (0, 1))
        write(*before)
        return load.other_load(lambda _: write(*after))

    return look


def test_a_machine_at_rest(watched):
    look = watched(([(5, 100, 0), (5, 100, 0)], {}), ([(5, 102, 0), (5.1, 101.9, 0)], {}))
    assert look.seen == "0.05 of 2 cores in 2 s"
    assert look.findings == ()


def test_the_busiest_programs_are_named_by_name_alone(watched):
    before = {BUSY: ("chrome", 1), SHELL: ("chrome", 5), IDLE: ("bash", 9)}
    after = {BUSY: ("chrome", 2), SHELL: ("chrome", 5.5), IDLE: ("bash", 9), WIDE: ("new (odd) name", 0.2)}
    (finding,) = watched(([(0, 9, 0)] * 2, before), ([(1, 10, 0), (0.7, 10.3, 0)], after)).findings
    assert finding.severity == "error"
    assert finding.what == "other work keeps 0.8 of 2 cores busy: chrome 0.8, new (odd) name 0.1"
    assert "secret" not in finding.what
    assert "taskset -c CORES" in finding.advice  # a number may be of a core that is not there
    assert "keep to 1 free core: " in finding.advice
    assert "another device" in finding.advice, "of one core"
    assert finding.effect


def test_where_no_core_is_free_none_is_advised(watched):
    (finding,) = watched(([(0, 9, 0)] * 2, {}), ([(2, 9, 0), (1.9, 9.1, 0)], {BUSY: ("chrome", 4)})).findings
    assert finding.advice == "close it, or wait until it ends: it leaves no core free"


def test_a_little_is_a_warning(watched):
    (finding,) = watched(([(0, 9, 0)] * 2, {}), ([(0.3, 10.7, 0), (0.1, 10.9, 0)], {})).findings
    assert finding.severity == "warning"
    assert finding.what == (
        "other work keeps 0.2 of 2 cores busy: 0.2 that cannot be seen from here, such as other containers"
    )


def test_what_the_hypervisor_takes_is_told_apart(watched):
    (finding,) = watched(([(0, 9, 0)] * 2, {}), ([(0, 9.5, 1.5), (0, 11, 0)], {})).findings
    assert (finding.severity, finding.what) == ("error", "the hypervisor takes 0.8 cores away for others")


def test_cores_of_others_do_not_count(watched):
    look = watched(([(0, 9, 0)] * 4, {}), ([(0, 11, 0), (0, 11, 0), (2, 9, 0), (2, 9, 0)], {}))
    assert look.seen == "0.00 of 2 cores in 2 s"


def test_programs_that_may_run_elsewhere_are_said_to(watched, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    cores = [(1, 10, 0), (1, 10, 0), (2, 9, 0), (2, 9, 0)]
    (finding,) = watched(([(0, 9, 0)] * 4, {BUSY: ("chrome", 0)}), (cores, {BUSY: ("chrome", 6)})).findings
    assert finding.what == "other work keeps 1.0 of 2 cores busy, and on all cores: chrome 3.0"


def test_a_system_that_does_not_count_is_not_at_rest(system, monkeypatch):
    system()
    monkeypatch.setattr(load, "foreign_load", lambda *_: None)
    look = load.other_load(lambda _: None)
    assert look.seen == ""
    assert look.findings == ()
    assert look.why
