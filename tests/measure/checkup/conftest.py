"""A machine made of files, as Linux shows one."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from zoo.measure.checkup import cores, heat, load

CPU = "sys/devices/system/cpu"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """`system({path: text}, usable=(0, 1), there=2)` writes files below a root and returns it."""
    root = tmp_path / "root"
    root.mkdir()

    def make(files=(), *, usable=(0, 1), there=2):
        for room in (cores, heat, load):
            monkeypatch.setattr(room, "usable_cores", lambda: usable)
        monkeypatch.setattr(cores, "affinity", lambda: usable)
        monkeypatch.setattr(os, "cpu_count", lambda: there)
        monkeypatch.setattr(cores.platform, "system", lambda: "Linux")
        for name, text in dict(files).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    for name in cores.environment():
        monkeypatch.delenv(name)
    return make


@pytest.fixture
def sensors(monkeypatch):
    """`sensors(coretemp=[40, 71])` is what psutil reads; nothing by default."""

    def make(battery=None, **degrees):
        read = {name: [SimpleNamespace(current=one) for one in several] for name, several in degrees.items()}
        monkeypatch.setattr(heat.psutil, "sensors_temperatures", lambda: read, raising=False)
        monkeypatch.setattr(heat.psutil, "sensors_battery", lambda: battery, raising=False)

    make()
    return make
