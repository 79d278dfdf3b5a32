"""Who may run what beside whom on one machine, whatever shell, sweep or fleet it comes from.

A step that is timed has its device to itself, and one that is timed on the CPU the whole machine; all other steps of
cells share. So two shells train and score beside each other, and wait for each other where a clock runs. A step that
waits to be alone goes before steps that come later. What is only looked at (the machine, a model) waits for nobody.

Slots are lock files in a folder of this machine's memory, one set for each user. Containers, each with a memory of its
own, see each other where all name one folder that they share in `ZOO_SLOTS`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from zoo import locks
from zoo.errors import UserError
from zoo.faults import how_to_write, reason

VARIABLE = "ZOO_SLOTS"
FOLDERS = ("/dev/shm", "/tmp")  # noqa: S108  names that only this user's processes lock
"""Where this machine's own files are; a job's `TMPDIR` may be its own."""
TIMED = frozenset({"measure", "cold", "throughput", "pair"})
"""Steps of a worker that run alone."""
SHARING = frozenset({"train", "baseline", "build", "evaluate", "memory", "agreement"})
"""Steps that run beside each other."""
MACHINE = "machine"

OnWait = Callable[[], None]
"""Called again and again while a step waits; what it raises ends that."""


@contextmanager
def held(steps: Sequence[str], device: str, device_id: str, on_wait: OnWait = lambda: None) -> Iterator[None]:
    """Hold what steps of one process need of this machine.

    Args:
        steps: Names in `worker.STEPS`.
        device: `cpu`, `cuda:0` …
        device_id: Tells it from the other devices of this machine.
        on_wait: Called while it waits.

    Raises:
        UserError: the folder of the slots cannot be written to.
    """
    timed = not TIMED.isdisjoint(steps)
    if not timed and SHARING.isdisjoint(steps):
        yield
        return
    is_cpu = device.startswith("cpu")
    with ExitStack() as stack:
        stack.enter_context(_slot(MACHINE, alone=timed and is_cpu, on_wait=on_wait))
        if not is_cpu:
            name = "-".join(part for part in (device.partition(":")[0], device_id[:16]) if part)
            stack.enter_context(_slot(name, alone=timed, on_wait=on_wait))
        yield


def folder() -> Path:
    """Where the slots of this machine are."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return next((Path(place) for place in FOLDERS if os.access(place, os.W_OK)), Path(tempfile.gettempdir()))


@contextmanager
def _slot(name: str, *, alone: bool, on_wait: OnWait) -> Iterator[None]:
    """Hold a slot, alone or beside others; whoever waits for it keeps those who come later behind the gate."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = folder() / f"zoo-{user}-{name}"
    let_in = _take(path.with_name(f"{path.name}.gate"), alone=True, on_wait=on_wait)
    try:
        release = _take(path, alone=alone, on_wait=on_wait)
    finally:
        let_in()
    try:
        yield
    finally:
        release()


def _take(path: Path, *, alone: bool, on_wait: OnWait) -> locks.Release:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while (release := locks.take(path, shared=not alone, private=True)) is None:
            on_wait()
            time.sleep(locks.POLL_S)
        return release
    except OSError as error:
        advice = how_to_write(error, f"another folder in {VARIABLE}")
        raise UserError(f"cannot lock {path}, by which timed steps wait: {reason(error)}; {advice}") from error
