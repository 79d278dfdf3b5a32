"""What may slow the cores down while they are timed: heat, and a battery."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from zoo.machine import usable_cores
from zoo.measure.checkup.cores import ROOT, text
from zoo.report.doctor import Finding
from zoo.report.machine import Look
from zoo.score.trust import REMEDIES

HOT_C = 85.0
"""From here on a core is near where chips slow down, 90 to 105 °C as a rule."""
_CORES = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "acpitz", "soc_thermal")
"""Sensors that sit at the cores, the nearest first, as Linux names them."""


def throttle_counts(root: Path = ROOT) -> dict[int, int]:
    """How often heat has slowed each usable core since the start of the system; empty where that is not counted."""
    counts = {
        core: text(root / f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count")
        for core in usable_cores()
    }
    return {core: int(count) for core, count in counts.items() if count.isdecimal()}


def heat(before: dict[int, int], root: Path = ROOT) -> Look:
    """How warm the cores are, and whether heat slows them down.

    Args:
        before: `throttle_counts` before the machine was watched.
        root: Where the system's folders are.
    """
    now, warmest = throttle_counts(root), _warmest_c()
    times = sum(now.values())
    seen = [f"{warmest:.0f} °C"] if warmest is not None else []
    if now:
        seen.append(f"slowed by heat {times} times since the system started")
    if not seen:
        return Look("heat", "", "no sensor, as in virtual machines")
    effect = "clocks fall while it is timed: later rows are slower than the first ones"
    if now and times > sum(before.values()):
        found = Finding("error", "heat slows the cores down right now", REMEDIES["heat"], effect=effect)
    elif warmest is not None and warmest >= HOT_C:
        found = Finding("warning", f"the cores are at {warmest:.0f} °C", REMEDIES["heat"], effect=effect)
    elif times:
        what = f"heat has slowed the cores down {times} times since the system started"
        found = Finding("note", what, "see to its air if that was under such load as a sweep", effect=effect)
    else:
        return Look("heat", ", ".join(seen))
    return Look("heat", ", ".join(seen), findings=(found,))


def _warmest_c() -> float | None:
    """Of the cores' own sensors."""
    sensors = {}
    with contextlib.suppress(AttributeError, OSError, ValueError):  # Linux and FreeBSD alone have them
        sensors = psutil.sensors_temperatures()
    for name in _CORES:
        if found := [sensor.current for sensor in sensors.get(name, ()) if sensor.current and sensor.current > 0]:
            return float(max(found))
    return None


def power() -> Look:
    """Whether it runs on a battery."""
    battery = None
    with contextlib.suppress(AttributeError, OSError, ValueError):
        battery = psutil.sensors_battery()
    if battery is None:
        return Look("power", "no battery")
    if battery.power_plugged is not False:
        return Look("power", f"plugged in, battery at {battery.percent:.0f} %")
    found = Finding(
        "warning",
        "it runs on its battery",
        "plug it in",
        effect="clocks are held down to save power: latency is higher than on the mains",
    )
    return Look("power", f"battery at {battery.percent:.0f} %", findings=(found,))
