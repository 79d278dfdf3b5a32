"""Heat and battery."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zoo.measure.checkup import heat

COUNT = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"


@pytest.mark.parametrize(
    ("degrees", "counts", "before", "seen", "severity"),
    [
        ({}, (), {}, "", None),
        ({"coretemp": [41.0, 55.0]}, (), {}, "55 °C", None),
        ({"nvme": [88.0], "k10temp": [60.0]}, (), {}, "60 °C", None),
        ({"coretemp": [91.0]}, (), {}, "91 °C", "warning"),
        ({"coretemp": [50.0]}, (0, 0), {0: 0, 1: 0}, "50 °C, slowed by heat 0 times since the system started", None),
        ({}, (3, 4), {0: 3, 1: 4}, "slowed by heat 7 times since the system started", "note"),
        ({}, (3, 9), {0: 3, 1: 4}, "slowed by heat 12 times since the system started", "error"),
    ],
)
def test_heat(system, sensors, degrees, counts, before, seen, severity):
    sensors(**degrees)
    root = system({COUNT.format(core): f"{count}\n" for core, count in enumerate(counts)})
    look = heat.heat(before, root)
    assert look.seen == seen
    assert bool(look.why) == (not seen)
    assert [finding.severity for finding in look.findings] == ([severity] if severity else [])


def test_counts_of_the_usable_cores_alone(system):
    files = {COUNT.format(0): "3\n", COUNT.format(1): "4\n", COUNT.format(2): "unknown\n"}
    assert heat.throttle_counts(system(files, usable=(0, 2))) == {0: 3}


def test_a_system_without_sensors(system, monkeypatch):
    monkeypatch.delattr(heat.psutil, "sensors_temperatures", raising=False)
    monkeypatch.delattr(heat.psutil, "sensors_battery", raising=False)
    assert heat.heat({}, system()).seen == ""
    assert heat.power().seen == "no battery"


@pytest.mark.parametrize(
    ("plugged", "seen", "count"),
    [(True, "plugged in, battery at 80 %", 0), (None, "plugged in, battery at 80 %", 0), (False, "battery at 80 %", 1)],
)
def test_battery(sensors, plugged, seen, count):
    sensors(battery=SimpleNamespace(percent=80.4, power_plugged=plugged))
    look = heat.power()
    assert (look.seen, len(look.findings)) == (seen, count)
