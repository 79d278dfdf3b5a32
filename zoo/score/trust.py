"""How far a timing can be trusted: its grade, what is wrong, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from zoo.errors import counted

if TYPE_CHECKING:  # kept rows are shown without pydantic
    from zoo.record import Record, Speed, Witness
    from zoo.timed import Latency

Grade = Literal["A", "B", "C"]

MAX_VARIATION_ACCELERATOR = 0.025
"""Grade A: largest coefficient of variation on an accelerator (zoo-lat/3, rule 10)."""
MAX_SPREAD_CPU = 0.05
"""Grade A: largest interquartile range over median on a CPU (zoo-lat/3, rule 10)."""
MAX_CLOCK_DRIFT = 0.01
"""Between the start and the end of timing, of an accelerator's clock that is taken to have held."""
MAX_FOREIGN_CORES = 0.1
"""Grade A: cores that may be busy with other work on a CPU; what an idle desktop does by itself."""
SPINNING = frozenset({"eager", "compile", "aoti"})
"""Runtimes whose threads wait for each other by spinning: each that is kept from its core keeps all others waiting."""
MAX_GROWTH_BYTES = 4 * 2**20
"""Memory that may be held more after the last inference than after the second before it is called a leak."""


_WHO = "`zoo doctor --machine` says what keeps it from that"
GOVERNOR = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
"""What keeps Linux from slowing an idle core down."""
APART = "to zoo another device, whose rows stand apart"
"""What fewer cores are: a device is called by its number of them."""
_QUIET_HOST = (
    "its clock was the same before and after, so it may be the host, which launches its kernels: close what else runs "
    "there (`zoo doctor --machine`)"
)
REMEDIES: Mapping[str, str] = {
    "few samples": "quick takes few: take a full preset, `--preset camvid` or `--preset cityscapes` with your "
    "`--data`; without, for speed alone, `--preset latency`",
    "spread": f"close what else runs, and keep the clock up: `{GOVERNOR}`",
    "spread of an accelerator": "hold a clock of `nvidia-smi -q -d SUPPORTED_CLOCKS`: `sudo nvidia-smi -lgc MHZ`",
    "spread at a steady clock": _QUIET_HOST,
    "spread of launches": f"{_QUIET_HOST}, or take compile, aoti or tensorrt, which need fewer",
    "heat": "let it cool down, and see to its air",
    "power": "raise its limit, `sudo nvidia-smi -pl WATTS`, or hold a clock that it keeps, `sudo nvidia-smi -lgc MHZ`",
    "other load": "close it (`zoo doctor --machine` names it), or, where cores are free, keep to those: "
    f"`taskset -c CORES zoo bench …`, {APART}",
    "other load beside spinning threads": "torch's threads spin while they wait, and collapse beside other "
    "work: close it (`zoo doctor --machine` names it), or leave it a core with `--threads`, whose rows stand apart",
    "other processes": "end what else is on the GPU (`nvidia-smi` names it), or choose another with `--device cuda:N`",
    "unsettled warm-up": f"wait until the machine is at rest; {_WHO}",
    "drift": f"the machine changed while both took turns: wait until it is at rest; {_WHO}",
}
"""What to do about each kind of doubt before measuring anew: with another preset, else the same with `--rerun`."""
_HOT = frozenset({"hardware_slowdown", "thermal_software", "thermal_hardware"})
"""Throttle reasons that heat is behind; what else slows a GPU down is the power it may take."""


class Doubt(NamedTuple):
    """One thing that speaks against a timing."""

    what: str
    """In short words, with its number: `network spread 7.1%`."""
    remedy: str
    """One of `REMEDIES`."""


def grade(record: Record) -> tuple[Grade | None, tuple[Doubt, ...]]:
    """Grade a timed record by zoo-lat/3, rule 10, from its less steady scope: A all well, B one thing wrong, C more.

    Threads that spin beside other work are C whatever else is said: all their calls may be far off alike.
    What a machine does not tell is not held against it.

    Returns:
        The grade (`None` for a record without latency) and what is wrong.
    """
    if record.speed is None:
        return None, ()
    speed, doubts = record.speed, list[Doubt]()
    on_cpu = record.device.kind == "cpu"
    timed = {"network": speed.network, "pipeline": speed.pipeline}
    scopes = {name: latency for name, latency in timed.items() if latency is not None}
    scope, spread = max(((name, _spread(latency, record)) for name, latency in scopes.items()), key=itemgetter(1))
    if spread > (MAX_SPREAD_CPU if on_cpu else MAX_VARIATION_ACCELERATOR):
        kind = "spread" if on_cpu else _spread_of_accelerator(record, speed.witness)
        doubts.append(Doubt(f"{scope} spread {spread:.1%}", REMEDIES["few samples" if record.quick else kind]))
    crowded = _is_crowded(record, speed)
    doubts += witnessed(speed.witness, spinning=crowded)
    if not all(latency.warmup_settled for latency in scopes.values()):
        doubts.append(Doubt("warm-up unsettled", REMEDIES["few samples" if record.quick else "unsettled warm-up"]))
    if speed.network and speed.pipeline and speed.network.p50_interval_s[0] > speed.pipeline.p50_interval_s[1]:
        # It is part of the pipeline; medians whose intervals overlap may be equal.
        doubts.append(Doubt("network above pipeline", REMEDIES["few samples" if record.quick else "drift"]))
    letters: tuple[Grade, ...] = ("A", "B", "C")
    return "C" if crowded else letters[min(len(doubts), 2)], tuple(doubts)


def _spread_of_accelerator(record: Record, witness: Witness) -> str:
    """Which remedy: of a clock that moved or is not known, or of the host beside one that held."""
    start_hz, end_hz = witness.clock_start_hz, witness.clock_end_hz
    held = start_hz and end_hz and math.isclose(start_hz, end_hz, rel_tol=MAX_CLOCK_DRIFT)
    if not held or witness.throttle_reasons or witness.foreign_process_count:
        return "spread of an accelerator"
    return "spread of launches" if record.artifact.runtime == "eager" else "spread at a steady clock"


def _is_crowded(record: Record, speed: Speed) -> bool:
    """Whether spinning threads and other work had fewer cores than they wanted."""
    load, threads = speed.witness.foreign_load or 0.0, speed.state.thread_count
    core_count = len(speed.witness.affinity or ()) or record.device.core_count
    spins = record.artifact.runtime in SPINNING and record.device.kind == "cpu" and threads > 1
    return spins and load > MAX_FOREIGN_CORES and threads + load > core_count


def witnessed(witness: Witness, *, spinning: bool = False) -> Iterator[Doubt]:
    """What the machine itself says against a timing: that it was slowed down, or did something else meanwhile.

    Args:
        witness: What was seen of it.
        spinning: Threads that wait by spinning had to share their cores with that.
    """
    if witness.throttle_reasons:
        kind = "heat" if _HOT.intersection(witness.throttle_reasons) else "power"
        yield Doubt(f"throttled ({', '.join(witness.throttle_reasons)})", REMEDIES[kind])
    others = []
    if witness.foreign_load is not None and witness.foreign_load > MAX_FOREIGN_CORES:
        beside = " beside spinning threads" if spinning else ""
        others.append((f"other load {witness.foreign_load:.1f} cores{beside}", REMEDIES[f"other load{beside}"]))
    if witness.foreign_process_count:
        others.append(
            (counted(witness.foreign_process_count, "other process", "other processes"), REMEDIES["other processes"])
        )
    if others:
        yield Doubt(*map(" and ".join, zip(*others, strict=True)))


def _spread(latency: Latency, record: Record) -> float:
    """Interquartile range over median on a CPU, else standard deviation over mean; infinite over nothing."""
    on_cpu = record.device.kind == "cpu"
    part, whole = (latency.p75_s - latency.p25_s, latency.p50_s) if on_cpu else (latency.std_s, latency.mean_s)
    return part / whole if whole else math.inf
