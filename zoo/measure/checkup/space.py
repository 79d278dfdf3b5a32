"""Memory and disk: what is left of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import psutil

from zoo.machine import spare_bytes
from zoo.report.doctor import Finding
from zoo.report.machine import Look

GIB = 2**30
LITTLE_MEMORY, NO_MEMORY = 4 * GIB, GIB
"""Under these, large networks and then all of them meet their limit: a sweep's process is about 0.7 GiB by itself."""
LITTLE_DISK, NO_DISK = 5 * GIB, GIB // 2
"""Likewise: of a built artifact there may be three copies of up to 1 GiB, and a cache of prepared frames."""


def memory() -> Look:
    """What the machine, or this container, can still give; and whether it swaps."""
    total, spare = psutil.virtual_memory().total, spare_bytes()
    found, seen = [], f"{_gib(spare)} free of {_gib(total)}"
    if spare < LITTLE_MEMORY:
        found.append(
            Finding(
                "error" if spare < NO_MEMORY else "warning",
                f"{_gib(spare)} of memory is free",
                "close what holds it (`ps -eo rss,comm --sort=-rss | head` names it), or give the container more",
                effect="large models become rows that say out of memory",
            )
        )
    used = 0
    with contextlib.suppress(OSError, RuntimeError):
        used = psutil.swap_memory().used
    if used:
        seen += f", {_gib(used)} swapped out"
        found.append(
            Finding(
                "note" if spare >= LITTLE_MEMORY else "warning",
                f"{_gib(used)} of memory is swapped out",
                "close what fills the memory; then `sudo swapoff -a && sudo swapon -a` brings it back",
                effect="what comes back from there while it is timed makes single calls very slow: p99 grows",
            )
        )
    return Look("memory", seen, findings=tuple(found))


def disk(folders: Mapping[str, Path]) -> Look:
    """What is left where a sweep writes.

    Args:
        folders: What is written there → the folder, which need not be there yet.
    """
    free: dict[int, int] = {}
    written: dict[int, list[str]] = {}
    for what, folder in folders.items():
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.access(one, os.F_OK))
        disk_number = there.stat().st_dev
        free[disk_number] = shutil.disk_usage(there).free
        written.setdefault(disk_number, []).append(what)
    said = {number: f"{_gib(free[number])} for {', '.join(whats)}" for number, whats in written.items()}
    found = tuple(
        Finding(
            "error" if free[number] < NO_DISK else "warning",
            f"the disk has {text}",
            "`zoo cache` shows what can go; or name another disk with --results, --cache (ZOO_CACHE) or TMPDIR",
            effect="a sweep that cannot write ends there; the same command goes on from its last record",
        )
        for number, text in said.items()
        if free[number] < LITTLE_DISK
    )
    return Look("disk, free", "; ".join(said.values()), findings=found)


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
