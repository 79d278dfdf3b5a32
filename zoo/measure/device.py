"""The machine: which device is meant, what it is called, what runs on it, and what it did while the clock ran."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import operator
import os
import platform
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import torch

from zoo.errors import UserError
from zoo.files import short_hash
from zoo.identity import package_version
from zoo.record import Device, Software, Witness
from zoo.runtimes.base import cpu_features

try:
    import pynvml
except ImportError:  # Linux only
    pynvml = None

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
    cuda_count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda_count else "mps" if has_mps else "cpu"
    if name.startswith("cuda"):
        index = int(name.partition(":")[2] or 0)
        if index >= cuda_count:
            have = f"has {cuda_count} CUDA device(s)" if cuda_count else "has no CUDA device"
            raise UserError(f"device {name} was asked for, but torch {torch.__version__} {have} here: use --device cpu")
        return torch.device("cuda", index)
    if name == "mps" and not has_mps:
        raise UserError("device mps was asked for, but torch has no MPS device here: use --device cpu")
    return torch.device(name)


def probe(device: torch.device) -> Device:
    """Name the hardware as a person would, and hash what makes it this very machine."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Device(
            kind="cuda",
            name=properties.name,
            slug=_slug(properties.name if "nvidia" in properties.name.lower() else f"nvidia {properties.name}"),
            machine_id=_hidden("cuda", properties.uuid),
            core_count=core_count(),
            memory_bytes=properties.total_memory,
            isa=(f"sm_{properties.major}{properties.minor}",),
        )
    cpu = _cpu()
    features = cpu_features()
    return Device(
        kind="mps" if device.type == "mps" else "cpu",
        name=cpu["name"],
        slug=f"{_slug(_family(cpu))}-{'gpu' if device.type == 'mps' else f'{core_count()}c'}",
        machine_id=_hidden(device.type, cpu, sorted(features), _host_id()),
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


def core_count() -> int:
    """CPU cores this process may use: its affinity, cut by the cgroup's quota."""
    cores = len(_affinity() or range(os.cpu_count() or 1))
    return max(1, min(cores, _quota(Path("/sys/fs/cgroup")) or cores))


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
            affinity=_affinity() if self._device.type == "cpu" else None,
        )

    def witness(self) -> Witness:
        """What was seen; `None` for what this machine does not tell."""
        return self._witness

    def _look(self) -> _Look:
        if self._device.type == "cpu":
            return _Look(clock_hz=_cpu_clock_hz(), load=_load(), cpu_times_s=_cpu_times())
        clock_mhz = self._ask("nvmlDeviceGetClockInfo", arguments=(1,))  # 1: the multiprocessors' clock
        power_mw = self._ask("nvmlDeviceGetPowerUsage")
        running = self._ask("nvmlDeviceGetComputeRunningProcesses")
        return _Look(
            clock_hz=None if clock_mhz is None else clock_mhz * 1e6,
            temperature_c=self._ask("nvmlDeviceGetTemperature", arguments=(0,)),  # 0: the GPU's own sensor
            power_w=None if power_mw is None else power_mw / 1000,
            throttle_bits=self._ask(
                "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
            ),
            # One of them is ours, whatever number a container gives it.
            foreign_process_count=None if running is None else max(0, len(running) - 1),
        )

    def _ask(self, *names: str, arguments: tuple[int, ...] = ()) -> Any | None:
        """First answer NVML gives to one of `names`, which changed over the years."""
        for name in names if self._handle is not None else ():
            with contextlib.suppress(pynvml.NVMLError, AttributeError):
                return getattr(pynvml, name)(self._handle, *arguments)
        return None


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


def _affinity() -> tuple[int, ...] | None:
    """Cores this process may use; `None` where the system binds none (macOS)."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None


def _cpu_times() -> tuple[float, float, float]:
    """Seconds: wall, busy on the cores of this process, used by this process."""
    usable = _affinity() or range(os.cpu_count() or 1)
    cores = [times for core, times in enumerate(psutil.cpu_times(percpu=True)) if core in usable]
    busy_s = sum(
        sum(times) - times.idle - sum(getattr(times, name, 0) for name in ("iowait", "guest", "guest_nice"))
        for times in cores
    )
    return time.monotonic(), busy_s, time.process_time()


def _cpu_clock_hz() -> float | None:
    """Mean clock of the cores this process may use; `None` where the system does not name each core's."""
    cores_mhz: list[float] = []
    with contextlib.suppress(OSError, NotImplementedError, AttributeError, ValueError):
        cores_mhz = [core.current for core in psutil.cpu_freq(percpu=True) or ()]
    if len(cores_mhz) != os.cpu_count():  # clocks of clusters, or of the whole chip: whose is not said
        return None
    usable_mhz = [cores_mhz[core] for core in _affinity() or range(len(cores_mhz)) if core < len(cores_mhz)]
    known_mhz = [mhz for mhz in usable_mhz if mhz > 0]
    return 1e6 * sum(known_mhz) / len(known_mhz) if known_mhz else None


def _load() -> float | None:
    with contextlib.suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return None


def _hidden(*facts: object) -> str:
    return short_hash([str(fact) for fact in facts], 16)


def _host_id() -> str:
    """Something that stays with this host and with no other; only its hash is kept."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            if text := Path(path).read_text(encoding="ascii").strip():
                return hashlib.sha256(text.encode()).hexdigest()
    return socket.gethostname()


def _cpu() -> dict[str, str]:
    """Name, vendor, family and model of the CPU."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        facts = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", text.split("\n\n")[0], re.MULTILINE))
        vendor = facts.get("vendor_id") or {"0x41": "Arm", "0xc0": "Ampere"}.get(facts.get("CPU implementer", ""), "")
        return {
            "name": facts.get("model name") or f"{vendor} {platform.machine()}".strip(),
            "vendor": vendor,
            "family": facts.get("cpu family") or facts.get("CPU architecture", ""),
            "model": facts.get("model") or facts.get("CPU part", ""),
        }
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()  # noqa: S603
    return {"name": name, "vendor": name.partition(" ")[0], "family": "", "model": ""}


def _family(cpu: Mapping[str, str]) -> str:
    """`Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz` → `Intel Xeon`; AMD's with the core's generation."""
    name = re.sub(r"\((R|TM|C)\)", " ", cpu["name"], flags=re.IGNORECASE)
    if cpu["vendor"] == "AuthenticAMD":
        line = next((word for word in ("EPYC", "Ryzen", "Threadripper") if word.lower() in name.lower()), "")
        return f"AMD {line} {_zen(int(cpu['family'] or 0), int(cpu['model'] or 0))}"
    if cpu["vendor"] == "GenuineIntel":
        line = next(
            (word for word in ("Xeon", "Core", "Atom", "Celeron", "Pentium") if word.lower() in name.lower()), ""
        )
        return f"Intel {line}"
    return name


def _zen(family: int, model: int) -> str:
    """AMD's core generation, as Linux tells them apart (arch/x86/kernel/cpu/amd.c)."""
    if family == 0x17:
        return "zen2" if model >= 0x30 else "zen1"
    if family == 0x19:
        return "zen4" if 0x10 <= model <= 0x1F or 0x60 <= model <= 0x7F or 0xA0 <= model <= 0xAF else "zen3"
    return "zen5" if family == 0x1A else ""


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _quota(cgroup: Path) -> int | None:
    """Cores the cgroup's quota allows, rounded up; `None` where there is none (v2 first, then v1)."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else -(-int(quota) // int(period))
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return -(-quota_us // period_us) if quota_us > 0 else None
    return None


def _driver_version() -> str | None:
    if pynvml is None:
        return None
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    return None
