"""What else keeps the cores busy: the machine is watched for a moment while this process does nothing."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from operator import itemgetter

import psutil

from zoo.errors import counted
from zoo.machine import usable_cores
from zoo.measure.device import cpu_times, foreign_load
from zoo.report.doctor import Finding, Severity
from zoo.report.machine import Look
from zoo.score.trust import APART, MAX_FOREIGN_CORES

WATCH_S = 2.0
"""How long the machine is watched."""
SPOILING_CORES = 0.5
"""Cores busy with other work, or taken by the hypervisor, from which on no timing is worth its while."""
NAMED = 3
"""The busiest programs that are named …"""
LEAST_CORES = 0.02
"""… if they take this many cores."""


def other_load(pause: Callable[[float], object] = time.sleep) -> Look:
    """Cores busy with work that is not this process's, as the witness of a record counts them, and who it is.

    Args:
        pause: Waits so many seconds.
    """
    times, stolen_s, programs = cpu_times(), _stolen_s(), _programs()
    pause(WATCH_S)
    wall_s, busy_s, own_s = (now - then for now, then in zip(cpu_times(), times, strict=True))
    load, stolen = foreign_load(wall_s, busy_s, own_s), (_stolen_s() - stolen_s) / wall_s
    if load is None:
        return Look("other load", "", "this system does not count what its processes take")
    taken: defaultdict[str, float] = defaultdict(float)
    for known, (name, seconds) in _programs().items():
        taken[name] += (seconds - programs.get(known, (name, 0.0))[1]) / wall_s
    found, usable = [], len(usable_cores())
    of = f"of {counted(usable, 'core')}"
    if stolen > MAX_FOREIGN_CORES:
        found.append(
            Finding(
                _gravity(stolen),
                f"the hypervisor takes {stolen:.1f} cores away for others",
                "measure at another hour, or on a machine of your own",
                effect="threads wait for each other: latency and its spread grow, and no row gets grade A",
            )
        )
    if load - stolen > MAX_FOREIGN_CORES:
        free = int(usable - load)
        keep = f"keep to {counted(free, 'free core')}: `taskset -c CORES zoo bench …`, {APART}"
        found.append(
            Finding(
                _gravity(load - stolen),
                f"other work keeps {load - stolen:.1f} {of} busy{_who(taken, load - stolen)}",
                f"close it, or {keep if free else 'wait until it ends: it leaves no core free'}",
                effect="it takes turns with what is timed: latency and its spread grow, and no row gets grade A",
            )
        )
    return Look("other load", f"{load:.2f} {of} in {WATCH_S:g} s", findings=tuple(found))


def _gravity(cores: float) -> Severity:
    return "error" if cores > SPOILING_CORES else "warning"


def _who(taken: Mapping[str, float], load: float) -> str:
    """The busiest programs by name, and what nobody here is seen to take."""
    busiest = sorted(taken.items(), key=itemgetter(1), reverse=True)
    named = [(name, cores) for name, cores in busiest[:NAMED] if cores >= LEAST_CORES]
    parts = [f"{name} {cores:.1f}" if cores >= 0.1 else f"{name} {cores:.2f}" for name, cores in named]
    elsewhere = len(usable_cores()) < (os.cpu_count() or 1)
    hidden = load - sum(taken.values())
    if hidden > max(MAX_FOREIGN_CORES, load / 4):
        parts.append(f"{hidden:.1f} that cannot be seen from here, such as other containers")
    return f"{', and on all cores' if elsewhere else ''}: {', '.join(parts)}" if parts else ""


def _stolen_s() -> float:
    """Seconds that the hypervisor ran something else on the usable cores."""
    usable = usable_cores()
    cores = enumerate(psutil.cpu_times(percpu=True))
    return sum(getattr(times, "steal", 0.0) for core, times in cores if core in usable)


def _programs() -> dict[tuple[int, float], tuple[str, float]]:
    """Processes but this one: number and start → name and the seconds it has run."""
    found = {}
    for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
        facts = process.info
        if process.pid != os.getpid() and facts["cpu_times"] is not None:
            seconds = facts["cpu_times"].user + facts["cpu_times"].system
            found[process.pid, facts["create_time"]] = facts["name"] or f"process {process.pid}", seconds
    return found
