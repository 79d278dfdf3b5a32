"""The machine's names, and what is said about it when it does not tell."""

import os
import socket
from types import SimpleNamespace

import pytest
import torch

from zoo.errors import UserError
from zoo.measure import device as room
from zoo.measure.device import Watch, foreign_load, probe, resolve_device, software, throttle_names

CPU = torch.device("cpu")


def test_cpu_is_always_there():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_missing_cuda_gets_one_line(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device here: use --device cpu") as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


def test_second_gpu_of_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert str(resolve_device("auto")) == str(resolve_device("cuda")) == "cuda:0"
    with pytest.raises(UserError, match="has 1 CUDA"):
        resolve_device("cuda:1")


def test_unknown_device():
    with pytest.raises(UserError, match="'gpu'"):
        resolve_device("gpu")


def test_probe_names_no_host():
    found = probe(CPU)
    assert found == probe(CPU)
    assert found.kind == "cpu"
    assert found.slug.endswith(f"-{found.core_count}c")
    assert found.slug == found.slug.lower()
    assert found.memory_bytes > 1 << 28
    text = found.model_dump_json()
    assert socket.gethostname() not in text
    assert len(found.machine_id) == 16
    assert int(found.machine_id, 16) >= 0


def test_software_names_versions():
    found = software(CPU)
    assert found.torch == torch.__version__
    assert found.cuda is None
    assert os.uname().nodename not in found.model_dump_json()
    assert found.runtime is None
    assert software(CPU, "onnxruntime 1.32.0").runtime == "onnxruntime 1.32.0"


def test_foreign_load():
    assert foreign_load(10, 25, 20) == pytest.approx(0.5)
    assert foreign_load(10, 19.95, 20) == 0, "ticks are coarse"
    assert foreign_load(10, 0, 20) is None, "a system that hides its counters is not idle"


def test_watch_on_a_cpu_tells_its_load_and_nothing_of_gpus():
    with Watch(CPU) as watch:
        torch.randn(500, 500) @ torch.randn(500, 500)
    seen = watch.witness()
    assert seen.foreign_load is None or seen.foreign_load >= 0
    assert seen.foreign_process_count is None
    assert seen.throttle_reasons is None
    assert seen.power_start_w is seen.power_end_w is None
    assert seen.temperature_start_c is seen.temperature_end_c is None
    assert seen.load_start >= 0
    assert seen.load_end >= 0
    assert seen.affinity == tuple(sorted(os.sched_getaffinity(0)))


def test_what_changes_threads_is_witnessed_without_folders(monkeypatch):
    for name in room.environment():
        monkeypatch.delenv(name)
    assert room.environment() == {}
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("OMP_PROC_BIND", "")
    monkeypatch.setenv("LD_PRELOAD", "/home/somebody/lib/libjemalloc.so.2:libother.so")
    with Watch(CPU) as watch:
        pass
    assert watch.witness().environment == {"OMP_WAIT_POLICY": "passive", "LD_PRELOAD": "libjemalloc.so.2 libother.so"}


def mhz(*clocks):
    return lambda percpu: [SimpleNamespace(current=clock) for clock in clocks]


def refuse(percpu):
    raise NotImplementedError("no cpufreq")


@pytest.mark.parametrize(
    ("read", "hz"),
    [
        (mhz(1000, 2000, 3000, 9000), 2.5e9),
        (mhz(1000, 2000, 3000, 0), 2e9),
        (mhz(0, 0, 0, 0), None),
        (mhz(3000), None),  # the whole chip's: whose is not said
        (mhz(), None),
        (refuse, None),
    ],
)
def test_clock_of_a_cpu_is_that_of_the_usable_cores(read, hz, monkeypatch):
    monkeypatch.setattr(room.psutil, "cpu_freq", read)
    monkeypatch.setattr(room.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(room, "affinity", lambda: (1, 2) if hz != 2e9 else (1, 3))
    assert room._cpu_clock_hz() == hz


def test_watch_keeps_both_ends_of_a_cpu(monkeypatch):
    clocks, loads = iter([3e9, 2e9]), iter([0.5, 1.5])
    monkeypatch.setattr(room, "_cpu_clock_hz", lambda: next(clocks))
    monkeypatch.setattr(room, "_load", lambda: next(loads))
    with Watch(CPU) as watch:
        pass
    seen = watch.witness()
    assert (seen.clock_start_hz, seen.clock_end_hz) == (3e9, 2e9)
    assert (seen.load_start, seen.load_end) == (0.5, 1.5)


def test_a_cpu_that_tells_nothing(monkeypatch):
    monkeypatch.setattr(room.psutil, "cpu_freq", refuse)
    monkeypatch.setattr(room, "affinity", lambda: None)
    monkeypatch.setattr(room.os, "getloadavg", lambda: (_ for _ in ()).throw(OSError("no load")))
    with Watch(CPU) as watch:
        pass
    seen = watch.witness()
    assert seen.clock_start_hz is seen.clock_end_hz is seen.load_start is seen.load_end is seen.affinity is None


class Nvml:
    """A driver that answers what it is told to, once at the start and once at the end."""

    class NVMLError(Exception):
        pass

    def __init__(self, **answers):
        self.answers = {name: iter(values) for name, values in answers.items()}

    def __getattr__(self, name):
        if name not in self.answers:
            raise AttributeError(name)
        return lambda handle, *_: self.answer(name)

    def answer(self, name):
        value = next(self.answers[name])
        if value is None:
            raise self.NVMLError(name)
        return value


def watch_with(monkeypatch, **answers):
    monkeypatch.setattr(room, "pynvml", Nvml(**answers))
    monkeypatch.setattr(room, "nvml_handle", lambda _: "handle")
    with Watch(torch.device("cuda:0")) as watch:
        pass
    return watch.witness()


def test_watch_keeps_both_ends_of_a_gpu(monkeypatch):
    ours, other = SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=-1)
    seen = watch_with(
        monkeypatch,
        nvmlDeviceGetClockInfo=[345, 1980],
        nvmlDeviceGetTemperature=[35, 61],
        nvmlDeviceGetPowerUsage=[75_000, 640_500],
        nvmlDeviceGetCurrentClocksEventReasons=[0x1 | 0x4, 0x40],
        nvmlDeviceGetComputeRunningProcesses=[[ours, other, other], [ours]],
    )
    assert (seen.clock_start_hz, seen.clock_end_hz) == (345e6, 1980e6)
    assert (seen.temperature_start_c, seen.temperature_end_c) == (35, 61)
    assert (seen.power_start_w, seen.power_end_w) == (75, 640.5)
    assert seen.throttle_reasons == ("power_cap", "thermal_hardware"), "seen at either end"
    assert seen.foreign_process_count == 2, "the larger of both ends"
    assert seen.foreign_load is seen.load_start is seen.affinity is None


def test_what_a_gpu_tells_once_is_kept(monkeypatch):
    seen = watch_with(
        monkeypatch,
        nvmlDeviceGetPowerUsage=[None, 300_000],
        nvmlDeviceGetCurrentClocksThrottleReasons=[0, None],  # an old driver's name
        nvmlDeviceGetComputeRunningProcesses=[None, None],
    )
    assert (seen.power_start_w, seen.power_end_w) == (None, 300)
    assert seen.throttle_reasons == ()
    assert seen.foreign_process_count is None
    assert seen.clock_start_hz is seen.temperature_end_c is None


def test_watch_without_nvml(monkeypatch):
    monkeypatch.setattr(room, "pynvml", None)
    assert room.nvml_handle(torch.device("cuda:0")) is None


def test_throttle_names():
    assert throttle_names(0x1 | 0x2) == ()
    assert throttle_names(0x4 | 0x40) == ("power_cap", "thermal_hardware")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_probe_and_watch_on_cuda():
    there = resolve_device("cuda")
    found = probe(there)
    assert found.kind == "cuda"
    assert found.slug.startswith("nvidia-")
    with Watch(there) as watch:
        torch.randn(4096, 4096, device=there) @ torch.randn(4096, 4096, device=there)
    seen = watch.witness()
    assert seen.foreign_load is None
    assert seen.temperature_start_c is None or 0 < seen.temperature_start_c < 120
    assert seen.power_start_w is None or seen.power_start_w > 0
