"""The cores: how many of them are zoo's, what their clocks may do, and which neighbours they have."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from zoo.machine import affinity, quota, usable_cores
from zoo.measure.device import environment
from zoo.report.doctor import Finding
from zoo.report.machine import Look
from zoo.score.trust import APART, GOVERNOR

ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_TURBO = ((f"{_CPUS}/intel_pstate/no_turbo", "0"), (f"{_CPUS}/cpufreq/boost", "1"))
"""Where Linux says whether cores may clock beyond what they can keep, what it says when they may."""


def text(path: Path) -> str:
    """What a file of the system says; empty where there is none, as in many containers."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").strip()
    return ""


def usable(root: Path = ROOT) -> Look:
    """Which cores this process may use, and how much of them."""
    mine, there = usable_cores(), os.cpu_count() or 1
    seen = f"{len(mine)} of {there}" if len(mine) < there else f"{there}"
    seen += f" ({ranges(mine)})" if affinity() is not None else ""
    found, cgroup = [], root / "sys/fs/cgroup"
    if (allowed := quota(cgroup)) is not None:
        seen += f", quota {allowed:g}"
        if allowed < len(mine):
            found.append(
                Finding(
                    "warning",
                    f"a quota allows {allowed:g} of {len(mine)} cores{_halts(cgroup)}",
                    "give the container whole cores: `docker run --cpuset-cpus 0-3` in place of `--cpus 4`",
                    effect="used up within a period, it halts all threads until the next: p99 grows by up to a period, "
                    "0.1 s as a rule",
                )
            )
    nodes = text(root / "sys/devices/system/node/online")
    if any(mark in nodes for mark in ",-"):
        seen += f", memory nodes {nodes}"
        found.append(
            Finding(
                "note",
                f"the cores have {nodes} as memory nodes",
                f"stay on one: `numactl --cpunodebind 0 --membind 0 zoo bench …`, {APART}",
                effect="threads that reach into another node's memory wait longer, in some runs and not in others",
            )
        )
    if given := environment():
        found.append(
            Finding(
                "warning",
                f"set in this shell: {', '.join(f'{name}={value}' for name, value in given.items())}",
                f"`unset {' '.join(given)}`, unless what you deploy has it too",
                effect="a sweep's processes inherit it: rows may differ from those of other shells; records name it",
            )
        )
    return Look("cores", seen, findings=tuple(found))


def _halts(cgroup: Path) -> str:
    """How often the quota has halted this container; empty where nobody counts."""
    lines = (text(cgroup / "cpu.stat") or text(cgroup / "cpu" / "cpu.stat")).splitlines()
    halts = next((line.split()[1] for line in lines if line.startswith("nr_throttled ")), "0")
    return f", and has halted this container {halts} times" if halts != "0" else ""


def threads_per_core(root: Path = ROOT) -> Look:
    """Whether two of the usable cores are threads of one (SMT)."""
    siblings = {core: text(root / f"{_CPUS}/cpu{core}/topology/thread_siblings_list") for core in usable_cores()}
    if not all(siblings.values()):
        return Look("SMT", "", "this system does not name a core's threads")
    physical, threads = len(set(siblings.values())), len(siblings)
    if physical == threads:
        return Look("SMT", "off, or one thread of each core is used")
    found = Finding(
        "note",
        f"{threads} usable cores are threads of {physical}",
        f"compare `--threads {physical}` with the default, {threads}",
        effect="two threads share a core's arithmetic: one thread a core is often as fast, and steadier",
    )
    return Look("SMT", f"on, {threads} threads of {physical} cores", findings=(found,))


def governor(root: Path = ROOT) -> Look:
    """Who decides over the clocks of the usable cores."""
    named = {core: text(root / f"{_CPUS}/cpu{core}/cpufreq/scaling_governor") for core in usable_cores()}
    if not all(named.values()):
        return Look("governor", "", _not_on_linux() or "no cpufreq, as in virtual machines")
    chosen = sorted(set(named.values()))
    if chosen == ["performance"]:
        return Look("governor", "performance")
    slow = [core for core, name in named.items() if name != "performance"]
    found = Finding(
        "warning",
        f"the governor of cores {ranges(slow)} is {' and '.join(sorted({named[core] for core in slow}))}",
        f"`{GOVERNOR}`",
        effect="clocks follow the load: short and paced calls meet slow cores, and the spread grows",
    )
    return Look("governor", ", ".join(chosen), findings=(found,))


def turbo(root: Path = ROOT) -> Look:
    """Whether cores may clock beyond what they can keep."""
    for name, on in _TURBO:
        if said := text(root / name):
            if said != on:
                return Look("turbo", "off")
            off = "1" if on == "0" else "0"
            found = Finding(
                "note",
                "turbo is on",
                f"leave it on if what you deploy has it; else `echo {off} | sudo tee /{name}`",
                effect="clocks fall as the chip warms and as more cores work: the first rows of a sweep may be faster",
            )
            return Look("turbo", "on", findings=(found,))
    return Look("turbo", "", _not_on_linux() or "no switch for it, as in virtual machines")


def virtual(root: Path = ROOT) -> Look:
    """Whether this is a machine of its own, a virtual one or a container."""
    maker = text(root / "sys/class/dmi/id/sys_vendor")
    flags = text(root / "proc/cpuinfo").partition("\nflags")[2].partition("\n")[0].split()
    seen = []
    if "hypervisor" in flags:
        seen.append(f"virtual machine{f' ({maker})' if maker else ''}")
    if any((root / name).exists() for name in (".dockerenv", "run/.containerenv")):
        seen.append("container")
    if not seen:
        return Look("kind", "", _not_on_linux()) if _not_on_linux() else Look("kind", "a machine of its own")
    if "hypervisor" not in flags:
        return Look("kind", "container")
    found = Finding(
        "note",
        "this is a virtual machine",
        "measure twice, hours apart, and `zoo compare` both; or take a whole host",
        effect="neighbours that nobody sees from here share its memory and caches, and its clocks cannot be read: a "
        "grade speaks of what is seen",
    )
    return Look("kind", " and ".join(seen), findings=(found,))


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as Linux writes them: `0-3,8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def _not_on_linux() -> str:
    return "" if platform.system() == "Linux" else f"{platform.system()} does not say"
