"""The machine's names, and what is said about it when it does not tell."""

import os
import socket

import pytest
import torch

from zoo.errors import UserError
from zoo.measure import device as room
from zoo.measure.device import Watch, core_count, foreign_load, probe, resolve_device, software, throttle_names

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


def test_machine_id_tells_hosts_apart(monkeypatch):
    here = probe(CPU).machine_id
    monkeypatch.setattr(room, "_host_id", lambda: "elsewhere")
    assert probe(CPU).machine_id != here


@pytest.mark.parametrize(
    ("facts", "slug"),
    [
        (("Intel(R) Xeon(R) Processor", "GenuineIntel", "6", "167"), "intel-xeon-2c"),
        (("Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz", "GenuineIntel", "6", "143"), "intel-xeon-2c"),
        (("13th Gen Intel(R) Core(TM) i7-13700K", "GenuineIntel", "6", "183"), "intel-core-2c"),
        (("AMD EPYC 9R45", "AuthenticAMD", "26", "2"), "amd-epyc-zen5-2c"),
        (("AMD EPYC 9R14", "AuthenticAMD", "25", "17"), "amd-epyc-zen4-2c"),
        (("AMD EPYC 7R13 Processor", "AuthenticAMD", "25", "1"), "amd-epyc-zen3-2c"),
        (("AMD Ryzen 7 3700X 8-Core Processor", "AuthenticAMD", "23", "113"), "amd-ryzen-zen2-2c"),
        (("Apple M2", "Apple", "", ""), "apple-m2-2c"),
    ],
)
def test_slugs_are_what_a_person_would_say(facts, slug, monkeypatch):
    cpu = dict(zip(("name", "vendor", "family", "model"), facts, strict=True))
    monkeypatch.setattr(room, "_cpu", lambda: cpu)
    monkeypatch.setattr(room, "core_count", lambda: 2)
    assert probe(CPU).slug == slug


def test_software_names_versions():
    found = software(CPU)
    assert found.torch == torch.__version__
    assert found.cuda is None
    assert os.uname().nodename not in found.model_dump_json()


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_quota_of_the_cgroup(files, cores, tmp_path):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert room._quota(tmp_path) == cores


def test_cores_follow_affinity():
    assert 1 <= core_count() <= len(os.sched_getaffinity(0))


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
    assert seen.power_end_w is None


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
    assert watch.witness().foreign_load is None
