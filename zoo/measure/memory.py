"""Peak memory of inference (protocol, rule 9), read in a process that does nothing else.

On a CPU it is resident memory: `baseline` before the artifact is built, `measure_memory` after. Memory that building it
took and gave back does not count; memory that inference takes in its first call, such as repacked weights, does.
`baseline` changes how the process allocates: nothing may be timed in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from zoo.measure.device import nvml_handle
from zoo.record import Memory
from zoo.runtimes.base import Runnable

try:
    import pynvml
except ImportError:  # Linux only
    pynvml = None

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
CALL_COUNT = 5
"""Inferences the peak is taken over: the first ones allocate what later ones reuse …"""
FIRST_COUNT = 2
"""… so many of them, as a rule: what is held more after the last than after these is growth."""


@dataclass(frozen=True)
class Baseline:
    """Memory of the process before the artifact is built."""

    resident_bytes: int | None


def baseline(device: torch.device) -> Baseline:
    """Read the process's memory; call it before the artifact is built."""
    if device.type != "cpu":
        return Baseline(None)
    torch.zeros(1 << 16).add_(1)  # the thread pool is torch's, not the artifact's
    return Baseline(_resident())


def measure_memory(before: Baseline, call: Callable[[int], object], runnable: Runnable, device: torch.device) -> Memory:
    """Run a few inferences and read their peak.

    Args:
        before: from `baseline`, of this process.
        call: one inference in pipeline scope; takes its number.
        runnable: the artifact, for its weights' bytes.
        device: where it runs.

    Returns:
        Peaks; `None` for what this system does not tell. Without a peak that can be reset (macOS) the CPU's is unknown:
        it would hold whatever the process did before.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        growth = _run(call, lambda: torch.cuda.memory_allocated(device))
        torch.cuda.synchronize(device)
        seen = not runnable.own_memory
        allocated = torch.cuda.max_memory_allocated(device) if seen else None
        return Memory(
            peak_bytes=allocated,
            allocated_peak_bytes=allocated,
            reserved_peak_bytes=torch.cuda.max_memory_reserved(device) if seen else None,
            process_bytes=_process_bytes(device),
            growth_bytes=growth if seen else None,
            weights_bytes=runnable.weights_bytes,
        )
    if device.type != "cpu":  # MPS keeps no peak
        return Memory(peak_bytes=None, weights_bytes=runnable.weights_bytes)
    _return_what_is_freed()
    can_reset = _reset_peak()
    growth = _run(call, _resident)
    peak = _peak_resident() if can_reset else None
    return Memory(
        peak_bytes=None if peak is None or before.resident_bytes is None else max(0, peak - before.resident_bytes),
        process_bytes=peak,
        growth_bytes=growth,
        resident_before_bytes=before.resident_bytes,
        weights_bytes=runnable.weights_bytes,
    )


def _run(call: Callable[[int], object], held_bytes: Callable[[], int]) -> int:
    """Run the calls; how much more is held after the last of them than after the first `FIRST_COUNT`."""
    held = []
    for index in range(CALL_COUNT):
        call(index)
        if index + 1 in (FIRST_COUNT, CALL_COUNT):
            gc.collect()  # a cycle that waits for the collector is no leak
            held.append(held_bytes())
    return held[1] - held[0]


def _resident() -> int:
    """Bytes of this process in memory, freed ones given back."""
    _return_what_is_freed()
    resident: int = psutil.Process().memory_info().rss
    return resident


def _reset_peak() -> bool:
    """Set the kernel's peak resident set back to the present one; false where it cannot be (Linux only)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return True
    return False


def _peak_resident() -> int | None:
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None


def _return_what_is_freed() -> None:
    """Make glibc return freed blocks of 128 KiB and more to the system at once, and what it holds now.

    Left alone it raises that threshold as it goes and keeps what fits nowhere: the same network was then seen anywhere
    between 175 and 214 MiB. With this it repeats within 1 %, and the peak is what was in use.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 128 << 10)
        libc.mallopt(_M_TRIM_THRESHOLD, 128 << 10)
        libc.malloc_trim(0)


def _process_bytes(device: torch.device) -> int | None:
    """What the driver counts for this process; `None` where it does not tell, as inside most containers."""
    if (handle := nvml_handle(device)) is None:
        return None
    with contextlib.suppress(pynvml.NVMLError):
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == os.getpid():
                used: int | None = process.usedGpuMemory
                return used
    return None
