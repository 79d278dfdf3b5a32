"""Joules of the device while something runs, read from a counter that the device keeps itself."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import torch

from zoo.measure.device import nvml_handle
from zoo.timed import Energy

try:
    import pynvml
except ImportError:  # Linux only
    pynvml = None

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows RAPL's counters, AMD's included (Documentation/power/powercap/powercap.rst)."""


class Meter:
    """Counts a device's joules between `with` and its end.

    It counts the whole device, idling and other processes' work included, so nothing but the calls it is for may run
    inside: warm-up and samples of the pipeline scope, all of whose images are counted.

    A counter is taken to begin anew at most once meanwhile: RAPL's do after 65 kJ or more, minutes of any CPU.

    Args:
        device: CUDA is asked through NVML, a CPU through RAPL (all its packages); others do not tell.
        powercap: the folder of RAPL's counters. Most systems let only root read them; few virtual machines have any.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        self._source: Literal["nvml", "rapl"] = "nvml" if device.type == "cuda" else "rapl"
        self._counters: list[_Nvml | _Package] = []
        if (handle := nvml_handle(device)) is not None:
            self._counters.append(_Nvml(handle))
        elif device.type == "cpu":
            self._counters += _packages(powercap)
        self._joules: float | None = None

    @property
    def counts(self) -> bool:
        """Whether the device has a counter at all."""
        return bool(self._counters)

    def __enter__(self) -> Self:
        self._start = [counter.joules() for counter in self._counters]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end = [counter.joules() for counter in self._counters]
        self._joules = sum(map(_between, self._start, end, self._counters))

    def per_image(self, image_count: int) -> Energy | None:
        """Joules per image; `None` where the device does not tell, or its counter did not move in so short a time."""
        if not self._joules or not math.isfinite(self._joules):
            return None
        return Energy(per_image_j=self._joules / image_count, image_count=image_count, source=self._source)


def _between(start_j: float | None, end_j: float | None, counter: _Nvml | _Package) -> float:
    """NaN where one of the two is not known."""
    if start_j is None or end_j is None:
        return math.nan
    return end_j - start_j if end_j >= start_j else end_j - start_j + counter.wraps_at_j


@dataclass(frozen=True)
class _Nvml:
    """A GPU's counter, board and memory included; it moves in steps of up to 0.1 s."""

    handle: object
    wraps_at_j = math.inf

    def joules(self) -> float | None:
        with contextlib.suppress(pynvml.NVMLError):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1e3  # mJ
        return None


@dataclass(frozen=True)
class _Package:
    """A CPU package's counter, without its memory."""

    folder: Path
    wraps_at_j: float

    def joules(self) -> float | None:
        return _micro(self.folder / "energy_uj")


def _packages(powercap: Path) -> list[_Package]:
    """One counter per CPU package; the parts inside one (`core`, `dram`) and the platform around all are left out."""
    found = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        with contextlib.suppress(OSError):
            if (folder / "name").read_text(encoding="ascii").startswith("package-"):
                found.append(_Package(folder, _micro(folder / "max_energy_range_uj") or math.inf))
    return found


def _micro(path: Path) -> float | None:
    """The number in `path`, a millionth of it; `None` where it may not or cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii")) / 1e6
    return None
