"""This machine: what a person would call it, what tells it from its like, its cores and memory. Free of torch."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import math
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.files import short_hash
from zoo.lazy import Lazy

if TYPE_CHECKING:
    import psutil
else:
    psutil = Lazy("psutil")

CGROUP = Path("/sys/fs/cgroup")
"""The limits of this process's container, as it sees its own."""
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.stat", "anon "),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.stat", "total_rss "),
)
"""Limit, statistics, and what of them no cache can give back: of cgroups 2 and 1, as a container sees its own."""
_DRIVERS = ("/proc/driver/nvidia", "/dev/dxg")
"""One of them is there where NVML may be (the second under WSL): importing it for nothing costs a tenth of a second."""


class Named(NamedTuple):
    """A device as a record names it."""

    name: str
    slug: str
    machine_id: str


@functools.cache
def here() -> tuple[Named, ...]:
    """This machine's devices: its CPU, and the GPUs that NVML tells of; the same names as `measure.device.probe`'s."""
    return (cpu(), *_gpus())


def cpu(kind: str = "cpu") -> Named:
    """Name the CPU, or as `mps` the GPU beside it."""
    facts = _cpu()
    what = "gpu" if kind == "mps" else f"{core_count()}c"
    return Named(
        facts["name"], f"{_slug(_family(facts))}-{what}", _hidden(kind, facts, sorted(cpu_features()), _host_id())
    )


def gpu(name: str, uuid: object) -> Named:
    """Name a CUDA device by its name and its UUID, without the `GPU-` that NVML puts before it."""
    return Named(name, _gpu_slug(name), _hidden("cuda", uuid))


def may_be_called(slug: str, kind: str, name: str, cores: int) -> bool:
    """Whether a record's device may have this slug; what a CPU's vendor and generation are its name need not tell."""
    if kind == "cuda":
        return slug == _gpu_slug(name)
    *words, what = slug.split("-")
    told = {*_slug(name).split("-"), "amd", "intel"}
    return what == ("gpu" if kind == "mps" else f"{cores}c") and all(
        word in told or re.fullmatch(r"zen\d", word) for word in words
    )


def _gpu_slug(name: str) -> str:
    return _slug(name if "nvidia" in name.lower() else f"nvidia {name}")


def nvml() -> Any | None:
    """NVML, ready to be asked; `None` where there is no driver that it could ask."""
    if not any(map(os.path.exists, _DRIVERS)):
        return None
    try:
        found = importlib.import_module("pynvml")
    except ImportError:  # Linux only
        return None
    with contextlib.suppress(found.NVMLError):
        found.nvmlInit()
        return found
    return None


def _gpus() -> tuple[Named, ...]:
    if (known := nvml()) is None:
        return ()
    with contextlib.suppress(known.NVMLError):
        handles = [known.nvmlDeviceGetHandleByIndex(index) for index in range(known.nvmlDeviceGetCount())]
        said = [(known.nvmlDeviceGetName(handle), known.nvmlDeviceGetUUID(handle)) for handle in handles]
        return tuple(gpu(name, str(uuid).removeprefix("GPU-")) for name, uuid in said)
    return ()


@functools.cache
def cpu_features() -> frozenset[str]:
    """Features of this CPU as Linux names them, in lower case; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    words = [line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features"))]
    return frozenset(words[0].lower().split()) if words else frozenset()


def core_count() -> int:
    """CPU cores this process may use: its affinity, cut by the cgroup's quota."""
    cores = len(usable_cores())
    return max(1, min(cores, math.ceil(quota(CGROUP) or cores)))


def spare_bytes() -> int:
    """Bytes that this machine, or this container, can still give."""
    spare: int = psutil.virtual_memory().available
    for limit, statistics, held in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # no such cgroup, or no limit ("max")
            lines = Path(statistics).read_text(encoding="ascii").splitlines()
            used = sum(int(line.removeprefix(held)) for line in lines if line.startswith(held))
            spare = min(spare, int(Path(limit).read_text(encoding="ascii")) - used)
    return max(spare, 0)


def usable_cores() -> tuple[int, ...]:
    """The numbers of the cores this process may use; all of them where the system binds none."""
    return affinity() or tuple(range(os.cpu_count() or 1))


def affinity() -> tuple[int, ...] | None:
    """Cores this process may use; `None` where the system binds none (macOS)."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None


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


def quota(cgroup: Path) -> float | None:
    """Cores the cgroup's quota allows, parts of one included; `None` where there is none (v2 first, then v1)."""
    with contextlib.suppress(OSError, ValueError):
        allowed, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return None if allowed == "max" else int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota_us / period_us if quota_us > 0 else None
    return None
