"""How far a timing can be trusted: its grade, and what is wrong."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # kept rows are shown without pydantic
    from zoo.record import Latency, Record

Grade = Literal["A", "B", "C"]

MAX_VARIATION_ACCELERATOR = 0.025
"""Grade A: largest coefficient of variation on an accelerator (zoo-lat/3, rule 10)."""
MAX_SPREAD_CPU = 0.05
"""Grade A: largest interquartile range over median on a CPU (zoo-lat/3, rule 10)."""
MAX_FOREIGN_CORES = 0.1
"""Grade A: cores that may be busy with other work on a CPU; what an idle desktop does by itself."""
MAX_GROWTH_BYTES = 4 * 2**20
"""Memory that may be held more after the last inference than after the second before it is called a leak."""


def grade(record: Record) -> tuple[Grade | None, tuple[str, ...]]:
    """Grade a timed record by zoo-lat/3, rule 10, from its less steady scope: A all well, B one thing wrong, C more.

    What a machine does not tell is not held against it.

    Returns:
        The grade (`None` for a record without latency) and what is wrong, in short words.
    """
    if record.speed is None:
        return None, ()
    speed, witness, reasons = record.speed, record.speed.witness, []
    limit = MAX_SPREAD_CPU if record.device.kind == "cpu" else MAX_VARIATION_ACCELERATOR
    timed = {"network": speed.network, "pipeline": speed.pipeline}
    scopes = {name: latency for name, latency in timed.items() if latency is not None}
    scope, spread = max(((name, _spread(latency, record)) for name, latency in scopes.items()), key=itemgetter(1))
    if spread > limit:
        reasons.append(f"{scope} spread {spread:.1%}")
    if witness.throttle_reasons:
        reasons.append(f"throttled ({', '.join(witness.throttle_reasons)})")
    foreign = []
    if witness.foreign_load is not None and witness.foreign_load > MAX_FOREIGN_CORES:
        foreign.append(f"other load {witness.foreign_load:.1f} cores")
    if witness.foreign_process_count:
        foreign.append(f"{witness.foreign_process_count} other processes")
    if foreign:
        reasons.append(" and ".join(foreign))
    if not all(latency.warmup_settled for latency in scopes.values()):
        reasons.append("warm-up unsettled")
    if speed.network and speed.pipeline and speed.network.p50_interval_s[0] > speed.pipeline.p50_interval_s[1]:
        reasons.append("network above pipeline")  # which contains it; medians whose intervals overlap may be equal
    letters: tuple[Grade, ...] = ("A", "B", "C")
    return letters[min(len(reasons), 2)], tuple(reasons)


def _spread(latency: Latency, record: Record) -> float:
    """Interquartile range over median on a CPU, else standard deviation over mean; infinite over nothing."""
    on_cpu = record.device.kind == "cpu"
    part, whole = (latency.p75_s - latency.p25_s, latency.p50_s) if on_cpu else (latency.std_s, latency.mean_s)
    return part / whole if whole else math.inf
