"""Joules from counters of our own making."""

import os
from types import SimpleNamespace

import pytest
import torch

from zoo.measure import energy
from zoo.measure.energy import Meter

CPU = torch.device("cpu")
CUDA = torch.device("cuda:0")


@pytest.fixture
def powercap(tmp_path):
    """Two packages with a part each, the platform, and a second view of package 0, as on a server."""
    for folder, name in {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:1": "package-1",
        "intel-rapl:1:0": "dram",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
        "dtpm": "dtpm",
    }.items():
        write(tmp_path / folder, "name", name)
        write(tmp_path / folder, "energy_uj", 1_000_000)
        write(tmp_path / folder, "max_energy_range_uj", 262_143_328_850)
    return tmp_path


def write(folder, name, value):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"{value}\n")


def spend(powercap, **ends_uj):
    """The energy between two readings; `ends_uj` are the counters' second ones, the rest run on by a kilojoule."""
    with Meter(CPU, powercap) as meter:
        for folder in powercap.glob("*"):
            write(folder, "energy_uj", 1_001_000_000)
        for name, end_uj in ends_uj.items():
            write(powercap / f"intel-rapl:{name[1:]}", "energy_uj", end_uj)
    return meter


def test_packages_are_summed_and_their_parts_are_not(powercap):
    found = spend(powercap, _0=4_000_000, _1=6_500_000).per_image(10)
    assert (found.source, found.image_count) == ("rapl", 10)
    assert found.per_image_j == pytest.approx((3 + 5.5) / 10)


def test_a_counter_that_begins_anew(powercap):
    write(powercap / "intel-rapl:1", "energy_uj", 262_143_000_000)
    found = spend(powercap, _0=1_000_000, _1=671_150).per_image(1)
    assert found.per_image_j == pytest.approx(1.0)


def test_a_counter_without_its_range_that_begins_anew(powercap):
    (powercap / "intel-rapl:1" / "max_energy_range_uj").unlink()
    assert spend(powercap, _0=2_000_000, _1=5).per_image(1) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_only_root_may_read(powercap):
    (powercap / "intel-rapl:1" / "energy_uj").chmod(0o000)
    with Meter(CPU, powercap) as meter:
        pass
    assert meter.per_image(1) is None


def test_one_package_that_does_not_tell_makes_the_sum_unknown(powercap, monkeypatch):
    read = energy.Path.read_text

    def refuse(path, **options):
        if path.parent.name == "intel-rapl:1" and path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, **options)

    monkeypatch.setattr(energy.Path, "read_text", refuse)
    assert spend(powercap, _0=2_000_000).per_image(1) is None


def test_a_counter_that_goes_away(powercap):
    with Meter(CPU, powercap) as meter:
        (powercap / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.per_image(1) is None


def test_a_counter_that_does_not_move_is_not_zero_joules(powercap):
    assert spend(powercap, _0=1_000_000, _1=1_000_000).per_image(1) is None


@pytest.mark.parametrize("device", [CPU, CUDA, torch.device("mps")])
def test_a_machine_that_does_not_tell(device, tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "nvml_handle", lambda _: None)
    with Meter(device, tmp_path / "none") as meter:
        pass
    assert meter.per_image(1) is None


def nvml(monkeypatch, *answers_mj):
    class RefusedError(Exception):
        pass

    left = list(answers_mj)

    def count(handle):
        assert handle == "handle"
        if (answer := left.pop(0)) is None:
            raise RefusedError
        return answer

    monkeypatch.setattr(energy, "nvml_handle", lambda device: "handle" if device.type == "cuda" else None)
    monkeypatch.setattr(
        energy, "pynvml", SimpleNamespace(NVMLError=RefusedError, nvmlDeviceGetTotalEnergyConsumption=count)
    )


def test_a_gpu_counts_millijoules(monkeypatch, powercap):
    nvml(monkeypatch, 5_000_000, 5_090_000)
    with Meter(CUDA, powercap) as meter:
        pass
    found = meter.per_image(30)
    assert (found.source, found.image_count) == ("nvml", 30)
    assert found.per_image_j == pytest.approx(3.0), "the processor's counters are left out"


@pytest.mark.parametrize("answers", [(None, 5), (5, None), (None, None)])
def test_a_gpu_without_the_counter(monkeypatch, answers):
    nvml(monkeypatch, *answers)
    with Meter(CUDA) as meter:
        pass
    assert meter.per_image(30) is None


def test_an_error_inside_passes_through(powercap):
    with pytest.raises(ZeroDivisionError), Meter(CPU, powercap):
        1 / 0  # noqa: B018


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_takes_watts():
    weights = torch.randn(8192, 8192, device=CUDA)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with Meter(CUDA) as meter:
        start.record()
        for _ in range(1000):
            weights @ weights
        end.record()
        torch.cuda.synchronize()
    found = meter.per_image(1)
    assert found is None or 10 < found.per_image_j / (start.elapsed_time(end) / 1e3) < 2000
