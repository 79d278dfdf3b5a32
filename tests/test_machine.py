"""`zoo.machine`: the names of this machine, without torch."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
import torch

from zoo import machine as room
from zoo.machine import core_count, cpu, gpu, here
from zoo.measure.device import probe


def test_the_names_are_those_of_the_records_that_are_measured_here():
    found = probe(torch.device("cpu"))
    assert (found.name, found.slug, found.machine_id) in here()


def test_a_gpu_is_one_by_nvml_and_by_torch(monkeypatch):
    uuid = "6f0c2e0e-8a7b-4b3a-9a51-4f4b7a1d9c11"

    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: "NVIDIA H200",
        nvmlDeviceGetUUID=lambda _: f"GPU-{uuid}",
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(room, "_DRIVERS", ("/",))
    assert room._gpus() == (gpu("NVIDIA H200", uuid),)
    assert gpu("NVIDIA H200", uuid).slug == "nvidia-h200"
    assert gpu("Tesla T4", uuid).slug == "nvidia-tesla-t4"


def test_machine_id_tells_hosts_apart(monkeypatch):
    here = cpu().machine_id
    monkeypatch.setattr(room, "_host_id", lambda: "elsewhere")
    assert cpu().machine_id != here


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
    facts_here = dict(zip(("name", "vendor", "family", "model"), facts, strict=True))
    monkeypatch.setattr(room, "_cpu", lambda: facts_here)
    monkeypatch.setattr(room, "core_count", lambda: 2)
    assert cpu().slug == slug


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
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
    assert room.quota(tmp_path) == cores


def test_part_of_a_core_is_a_thread(monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000")
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    monkeypatch.setattr(room, "affinity", lambda: (0, 1, 2, 3))
    assert core_count() == 2


def test_cores_follow_affinity():
    assert 1 <= core_count() <= len(os.sched_getaffinity(0))


def test_a_container_has_less_memory_than_its_machine(tmp_path, monkeypatch):
    whole = room.spare_bytes()
    limit, statistics = tmp_path / "memory.max", tmp_path / "memory.stat"
    monkeypatch.setattr(room, "_CGROUPS", ((str(limit), str(statistics), "anon "),))
    assert room.spare_bytes() > 2**20, "no such cgroup"
    statistics.write_text("anon 1048576\nfile 900000000\nanon_thp 5\n")
    limit.write_text("max\n")
    assert room.spare_bytes() > 2**20
    limit.write_text("4194304\n")
    assert room.spare_bytes() == 3 * 2**20 < whole
    limit.write_text("1000\n")
    assert room.spare_bytes() == 0
