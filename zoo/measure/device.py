"""The machine: which device is meant, what it is called, what runs on it, and what it did while the clock ran."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import platform
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any, Literal, Self

import psutil
import torch

from zoo import machine
from zoo.errors import UserError, counted
from zoo.identity import package_version
from zoo.machine import affinity, core_count, usable_cores
from zoo.record import Device, Software, Witness

try:
    import pynvml
except ImportError:  # Linux only
    pynvml = None

THREADING = (
    *("OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "OMP_DYNAMIC", "OMP_SCHEDULE", "OMP_THREAD_LIMIT"),
    *("GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT", "KMP_AFFINITY", "KMP_BLOCKTIME", "LD_PRELOAD", "CUDA_LAUNCH_BLOCKING"),
)
"""Variables that a sweep's processes inherit and that change what they measure: which core a thread gets, how it waits,
which `malloc` it has. The number of threads is set in spite of theirs."""
MULTIPROCESSORS = 1
"""NVML's number of their clock."""
_SPEED_FEATURES = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `mps`, `cuda` or `cuda:N` into a device that is there; `auto` prefers CUDA, then MPS.

    Raises:
        UserError: no such device on this machine, or no such name.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UserError(f"device is auto, cpu, mps, cuda or cuda:N; got {name!r}")
    cuda_count = len(cuda_devices())
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda_count else "mps" if has_mps else "cpu"
    if name.startswith("cuda"):
        index = int(name.partition(":")[2] or 0)
        if index >= cuda_count:
            have = f"has {counted(cuda_count, 'CUDA device')}" if cuda_count else "has no CUDA device"
            raise UserError(f"device {name} was asked for, but torch {torch.__version__} {have} here: use --device cpu")
        return torch.device("cuda", index)
    if name == "mps" and not has_mps:
        raise UserError("device mps was asked for, but torch has no MPS device here: use --device cpu")
    return torch.device(name)


def cuda_devices() -> tuple[str, ...]:
    """Names of the CUDA devices that this process sees."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0))


def probe(device: torch.device) -> Device:
    """Name the hardware as a person would, and hash what makes it this very machine."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Device(
            kind="cuda",
            **machine.gpu(properties.name, properties.uuid)._asdict(),
            core_count=core_count(),
            memory_bytes=properties.total_memory,
            isa=(f"sm_{properties.major}{properties.minor}",),
        )
    features = machine.cpu_features()
    kind: Literal["cpu", "mps"] = "mps" if device.type == "mps" else "cpu"
    return Device(
        kind=kind,
        **machine.cpu(kind)._asdict(),
        core_count=core_count(),
        memory_bytes=psutil.virtual_memory().total,
        isa=tuple(name for name in _SPEED_FEATURES if name in features),
    )


def software(device: torch.device, runtime: str = "") -> Software:
    """Versions that can move a number on `device`; `runtime` is `table.version` of what runs the network."""
    on_cuda = device.type == "cuda"
    return Software(
        zoo=package_version("zoo-seg") or "0",
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=package_version("torchvision") or "0",
        segmentation_models_pytorch=package_version("segmentation-models-pytorch"),
        timm=package_version("timm"),
        numpy=package_version("numpy") or "0",
        os=f"{platform.system()} {platform.release().partition('-')[0]}",  # the rest may hold names
        cuda=torch.version.cuda if on_cuda else None,
        cudnn=str(torch.backends.cudnn.version()) if on_cuda else None,  # type: ignore[no-untyped-call]
        driver=_driver_version() if on_cuda else None,
        runtime=runtime or None,
    )


def nvml_handle(device: torch.device) -> Any | None:
    """NVML's handle of a CUDA device; `None` where the driver does not tell."""
    if pynvml is None or device.type != "cuda":
        return None
    with contextlib.suppress(pynvml.NVMLError, RuntimeError):
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    return None


@dataclass(frozen=True)
class _Look:
    """The machine at one moment. `None`: it does not tell."""

    clock_hz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttle_bits: int | None = None
    foreign_process_count: int | None = None
    load: float | None = None
    cpu_times_s: tuple[float, float, float] | None = None
    """Wall, busy on the cores of this process, used by this process."""


class Watch:
    """Watches the machine between `with` and its end; `witness()` then tells what it saw.

    The foreign load of a CPU is the busy time of the cores this process may use (time stolen by the hypervisor
    included) less this process's own, per second. It counts whatever shares those cores, the sweep's table included.
    The clock of a CPU is what the system says, and many virtual machines say the same whatever the cores do.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._handle = nvml_handle(device)
        self._witness = Witness()

    def __enter__(self) -> Self:
        self._start = self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        start, end = self._start, self._look()
        throttle_bits = _known(start.throttle_bits, end.throttle_bits)
        self._witness = Witness(
            foreign_load=_load_between(start, end),
            foreign_process_count=max(_known(start.foreign_process_count, end.foreign_process_count), default=None),
            throttle_reasons=throttle_names(functools.reduce(operator.or_, throttle_bits)) if throttle_bits else None,
            clock_start_hz=start.clock_hz,
            clock_end_hz=end.clock_hz,
            temperature_start_c=start.temperature_c,
            temperature_end_c=end.temperature_c,
            power_start_w=start.power_w,
            power_end_w=end.power_w,
            load_start=start.load,
            load_end=end.load,
            affinity=affinity() if self._device.type == "cpu" else None,
            environment=environment(),
        )

    def witness(self) -> Witness:
        """What was seen; `None` for what this machine does not tell."""
        return self._witness

    def _look(self) -> _Look:
        if self._device.type == "cpu":
            return _Look(clock_hz=_cpu_clock_hz(), load=_load(), cpu_times_s=cpu_times())
        clock_mhz = ask_nvml(self._handle, "nvmlDeviceGetClockInfo", arguments=(MULTIPROCESSORS,))
        power_mw = ask_nvml(self._handle, "nvmlDeviceGetPowerUsage")
        running = ask_nvml(self._handle, "nvmlDeviceGetComputeRunningProcesses")
        return _Look(
            clock_hz=None if clock_mhz is None else clock_mhz * 1e6,
            temperature_c=ask_nvml(self._handle, "nvmlDeviceGetTemperature", arguments=(0,)),  # 0: the GPU's own sensor
            power_w=None if power_mw is None else power_mw / 1000,
            throttle_bits=ask_nvml(
                self._handle, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
            ),
            # One of them is ours, whatever number a container gives it.
            foreign_process_count=None if running is None else max(0, len(running) - 1),
        )


def environment() -> dict[str, str]:
    """What of `THREADING` is set, files without their folders."""
    given = {name: value for name in THREADING if (value := os.environ.get(name))}
    return {
        name: " ".join(PurePath(part).name for part in value.replace(":", " ").split()) if "/" in value else value
        for name, value in given.items()
    }


def ask_nvml(handle: Any | None, *names: str, arguments: tuple[int, ...] = ()) -> Any | None:
    """First answer NVML gives of a device to one of `names`, which changed over the years; `None`: it does not tell."""
    for name in names if handle is not None else ():
        with contextlib.suppress(pynvml.NVMLError, AttributeError):
            return getattr(pynvml, name)(handle, *arguments)
    return None


def cpu_times() -> tuple[float, float, float]:
    """Seconds: wall, busy on the cores of this process, used by this process."""
    usable = usable_cores()
    cores = [times for core, times in enumerate(psutil.cpu_times(percpu=True)) if core in usable]
    busy_s = sum(
        sum(times) - times.idle - sum(getattr(times, name, 0) for name in ("iowait", "guest", "guest_nice"))
        for times in cores
    )
    return time.monotonic(), busy_s, time.process_time()


def foreign_load(wall_s: float, busy_s: float, own_s: float) -> float | None:
    """Mean number of cores busy with others' work; `None` where the system's counters do not hold our own work."""
    if wall_s <= 0 or busy_s < 0.8 * own_s - 0.1:
        return None
    return max(0.0, busy_s - own_s) / wall_s


def _load_between(start: _Look, end: _Look) -> float | None:
    if start.cpu_times_s is None or end.cpu_times_s is None:
        return None
    wall_s, busy_s, own_s = (now - then for now, then in zip(end.cpu_times_s, start.cpu_times_s, strict=True))
    return foreign_load(wall_s, busy_s, own_s)


_THROTTLES: Mapping[int, str] = {
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
    0x100: "display_clocks",
}


def throttle_names(bits: int) -> tuple[str, ...]:
    """Names of NVML's clock event reasons that slow a GPU down; idling and chosen clocks do not."""
    return tuple(name for bit, name in _THROTTLES.items() if bits & bit)


def _known(*values: int | None) -> list[int]:
    return [value for value in values if value is not None]


def _cpu_clock_hz() -> float | None:
    """Mean clock of the cores this process may use; `None` where the system does not name each core's."""
    cores_mhz: list[float] = []
    with contextlib.suppress(OSError, NotImplementedError, AttributeError, ValueError):
        cores_mhz = [core.current for core in psutil.cpu_freq(percpu=True) or ()]
    if len(cores_mhz) != os.cpu_count():  # clocks of clusters, or of the whole chip: whose is not said
        return None
    usable_mhz = [cores_mhz[core] for core in affinity() or range(len(cores_mhz)) if core < len(cores_mhz)]
    known_mhz = [mhz for mhz in usable_mhz if mhz > 0]
    return 1e6 * sum(known_mhz) / len(known_mhz) if known_mhz else None


def _load() -> float | None:
    with contextlib.suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return None


def _driver_version() -> str | None:
    if pynvml is None:
        return None
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    return None
