"""What `zoo doctor --machine` does: every look at the machine, in the order a person reads them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

from zoo.cache import cache_folder
from zoo.machine import core_count, here
from zoo.measure.checkup import cores, gpu, heat, load, space
from zoo.measure.checkup.cores import ROOT
from zoo.measure.device import resolve_device
from zoo.report.doctor import Finding
from zoo.report.machine import Look, MachineReport
from zoo.runtimes import table


def examine_machine(
    results: Path | str = "results",
    *,
    cache: Path | None = None,
    root: Path = ROOT,
    pause: Callable[[float], object] = time.sleep,
) -> MachineReport:
    """Look at this machine before something is measured on it. Reads, never writes or changes anything.

    Args:
        results: The folder that records would be saved in.
        cache: Where built artifacts are kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        root: Where the system's folders are.
        pause: Waits so many seconds while the machine is watched.
    """
    slowed = heat.throttle_counts(root)
    written = {"records": Path(results), "the cache": cache or cache_folder(), "temporary files": Path(gettempdir())}
    looks = (
        load.other_load(pause),
        cores.usable(root),
        cores.threads_per_core(root),
        cores.governor(root),
        cores.turbo(root),
        heat.heat(slowed, root),
        heat.power(),
        cores.virtual(root),
        space.memory(),
        space.disk(written),
        *gpu.gpus(),
        runtimes(),
    )
    return MachineReport(here(), core_count(), looks)


def runtimes() -> Look:
    """Which runtimes are there, on the best device, and what those lack that could be."""
    device = resolve_device("auto")
    able = [name for name in table.RUNTIMES if not table.why_unsupported(name, device, "fp32")]
    missing = {name: why for name in able if (why := table.why_missing(name, device))}
    found = tuple(
        Finding("note", f"no runtime {name} here", why, effect="it has no rows until then")
        for name, why in missing.items()
    )
    return Look("runtimes", ", ".join(name for name in able if name not in missing), findings=found)
