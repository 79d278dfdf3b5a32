"""GPUs, as a driver made of answers tells of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zoo.measure import device
from zoo.measure.checkup import gpu

IDLE = {
    "nvmlDeviceGetName": "NVIDIA H200",
    "nvmlDeviceGetClockInfo": 345,
    "nvmlDeviceGetMaxClockInfo": 1980,
    "nvmlDeviceGetTemperature": 31,
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetComputeRunningProcesses": [],
    "nvmlDeviceGetCurrentClocksEventReasons": 0x1,
}


class NVMLError(Exception):
    pass


class Driver:
    """One GPU that answers what it is told to, and refuses the rest."""

    NVMLError = NVMLError

    def __init__(self, answers, count=1, names=None):
        self.answers, self.count, self.names = answers, count, names or {}

    def nvmlDeviceGetCount(self):  # noqa: N802
        if self.count is None:
            raise NVMLError("Driver Not Loaded")
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlSystemGetProcessName(self, number):  # noqa: N802
        if number not in self.names:
            raise NVMLError("Not Found")
        return self.names[number]

    def __getattr__(self, name):
        if name not in self.answers:
            raise AttributeError(name)
        return lambda *_: self.answers[name]


@pytest.fixture
def looks(monkeypatch):
    def look(changes=(), **driver):
        known = Driver({**IDLE, **dict(changes)}, **driver)
        monkeypatch.setattr(gpu, "nvml", lambda: known)
        monkeypatch.setattr(device, "pynvml", known)
        return gpu.gpus()

    return look


def test_an_idle_gpu(looks):
    (look,) = looks()
    assert (look.what, look.seen) == ("GPU 0", "NVIDIA H200, clock 345 of 1980 MHz, 31 °C, persistence on")
    assert look.findings == ()


def test_each_gpu_is_looked_at(looks):
    assert [look.what for look in looks(count=2)] == ["GPU 0", "GPU 1"]


def test_who_else_is_on_it_is_named_without_folders_or_arguments(looks):
    running = [SimpleNamespace(pid=number) for number in (7, 8, 9, 10, 11)]
    names = {7: b"/opt/my app/train --key=secret", 8: "python3", 9: ""}
    (finding,) = looks({"nvmlDeviceGetComputeRunningProcesses": running}, names=names)[0].findings
    assert finding.what == "GPU 0 runs other work: my, python3, process 9 and 2 more"
    assert finding.severity == "error"


@pytest.mark.parametrize(
    ("bits", "words", "advice"),
    [(0x40, "GPU 0 is throttled (thermal_hardware)", "cool"), (0x4, "GPU 0 is throttled (power_cap)", "-pl WATTS")],
)
def test_what_slows_it_down(looks, bits, words, advice):
    (finding,) = looks({"nvmlDeviceGetCurrentClocksEventReasons": bits})[0].findings
    assert finding.what == words
    assert advice in finding.advice


def test_persistence(looks):
    (look,) = looks({"nvmlDeviceGetPersistenceMode": 0})
    assert look.seen.endswith("persistence off")
    assert [(finding.severity, finding.advice) for finding in look.findings] == [
        ("note", "`sudo nvidia-smi -i 0 -pm 1`")
    ]


def test_a_gpu_that_tells_nothing(monkeypatch):
    known = Driver({})
    monkeypatch.setattr(gpu, "nvml", lambda: known)
    monkeypatch.setattr(device, "pynvml", known)
    (look,) = gpu.gpus()
    assert (look.seen, look.findings) == ("a GPU", ())


def test_no_driver_no_gpu_and_a_driver_that_fails(monkeypatch, looks):
    assert [look.seen for look in looks(count=0)] == ["none"]
    (failed,) = looks(count=None)
    assert (failed.seen, failed.why) == ("", "the driver says: Driver Not Loaded")
    monkeypatch.setattr(gpu, "nvml", lambda: None)
    assert [(look.seen, bool(look.why)) for look in gpu.gpus()] == [("", True)]
