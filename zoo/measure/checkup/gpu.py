"""The GPUs, as NVML tells of them: who is on them, what their clocks do, and what slows them down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from zoo.machine import nvml
from zoo.measure.device import MULTIPROCESSORS, ask_nvml, throttle_names
from zoo.record import Witness
from zoo.report.doctor import Finding
from zoo.report.machine import Look
from zoo.score.trust import REMEDIES, witnessed

NAMED = 3
"""Processes on a GPU that are named."""


def gpus() -> tuple[Look, ...]:
    """A look at each GPU, or one that says why none can be seen."""
    known = nvml()
    if known is None:
        return (Look("GPU", "", "no NVIDIA driver here"),)
    try:
        handles = [known.nvmlDeviceGetHandleByIndex(index) for index in range(known.nvmlDeviceGetCount())]
    except known.NVMLError as error:
        return (Look("GPU", "", f"the driver says: {error}"),)
    return tuple(_look(known, index, handle) for index, handle in enumerate(handles)) or (Look("GPU", "none"),)


def _look(known: Any, index: int, handle: Any) -> Look:
    clock = ask_nvml(handle, "nvmlDeviceGetClockInfo", arguments=(MULTIPROCESSORS,))
    most = ask_nvml(handle, "nvmlDeviceGetMaxClockInfo", arguments=(MULTIPROCESSORS,))
    heat = ask_nvml(handle, "nvmlDeviceGetTemperature", arguments=(0,))  # 0: the GPU's own sensor
    keeps = ask_nvml(handle, "nvmlDeviceGetPersistenceMode")
    seen = (
        str(ask_nvml(handle, "nvmlDeviceGetName") or "a GPU"),
        f"clock {clock} of {most} MHz" if clock is not None and most else "",
        f"{heat} °C" if heat is not None else "",
        f"persistence {'on' if keeps else 'off'}" if keeps is not None else "",
    )
    return Look(f"GPU {index}", ", ".join(filter(None, seen)), findings=tuple(_findings(known, index, handle)))


def _findings(known: Any, index: int, handle: Any) -> Iterator[Finding]:
    running = ask_nvml(handle, "nvmlDeviceGetComputeRunningProcesses") or ()
    if running:
        names = [_name(known, process.pid) for process in running[:NAMED]]
        more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
        yield Finding(
            "error",
            f"GPU {index} runs other work: {', '.join(names)}{more}",
            REMEDIES["other processes"],
            effect="it takes turns with what is timed and holds memory: latency and spread grow, no row gets grade A",
        )
    bits = ask_nvml(handle, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    for doubt in witnessed(Witness(throttle_reasons=throttle_names(bits or 0))):
        yield Finding(
            "error", f"GPU {index} is {doubt.what}", doubt.remedy, effect="its clock is held down: latency is higher"
        )
    if ask_nvml(handle, "nvmlDeviceGetPersistenceMode") == 0:
        yield Finding(
            "note",
            f"GPU {index} forgets its state when nothing uses it (persistence mode is off)",
            f"`sudo nvidia-smi -i {index} -pm 1`",
            effect="each process wakes the driver anew: a cell starts slower, and a clock that was held is let go",
        )


def _name(known: Any, number: int) -> str:
    """A process on a GPU by its program, without folders or arguments."""
    with contextlib.suppress(known.NVMLError, AttributeError):
        said = known.nvmlSystemGetProcessName(number)
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        if words := text.split():
            return PurePath(words[0]).name
    return f"process {number}"
