"""`zoo bench --pair A B` in words: faster, slower or a tie, with the interval."""

from __future__ import annotations

from typing import Literal

from zoo.errors import counted
from zoo.record import Artifact, Device, Software, Witness
from zoo.score.metrics import METRICS
from zoo.score.rows import text_of
from zoo.score.trust import witnessed
from zoo.spec import Facts

Verdict = Literal["faster", "slower", "tie"]


class Pair(Facts):
    """Two artifacts, timed in turn by one process in pipeline scope."""

    artifacts: tuple[Artifact, Artifact]
    device: Device
    software: tuple[Software, Software]
    """Of each artifact's runtime."""
    quick: bool
    thread_count: int
    turn_count: int
    p50_s: tuple[float, float]
    """Of each one's timed calls."""
    ratio: float
    """Median over turns of the second one's seconds over the first's."""
    ratio_interval: tuple[float, float]
    """95 %, distribution-free."""
    warmup_settled: tuple[bool, bool]
    witness: Witness
    missing_weights: tuple[str, ...] = ()
    """Models that ran with random weights because no others were found."""

    @property
    def verdict(self) -> Verdict:
        """Of the second against the first; a tie where the interval holds 1."""
        low, high = self.ratio_interval
        if high < 1:
            return "faster"
        return "slower" if low > 1 else "tie"

    @property
    def labels(self) -> tuple[str, str]:
        """Short names; sizes where they differ, sides where nothing does."""
        one, other = self.artifacts
        sized = one.input_size != other.input_size
        names = [
            " ".join([side.model, side.runtime, side.precision, *([text_of(side.input_size)] if sized else [])])
            for side in self.artifacts
        ]
        return (names[0], names[1]) if names[0] != names[1] else (f"{names[0]} (A)", f"{names[1]} (B)")


def show_pair(pair: Pair) -> str:
    """Return the verdict as one sentence, its circumstances, and what speaks against it."""
    one, other = pair.labels
    low, high = pair.ratio_interval
    if pair.verdict == "tie":
        said = f"tie: {other} takes {pair.ratio:.3f}x the time of {one}"
    elif pair.verdict == "faster":
        said = f"{other} is {1 / pair.ratio:.3f}x faster than {one}"
        low, high = 1 / high, 1 / low
    else:
        said = f"{other} is {pair.ratio:.3f}x slower than {one}"
    milliseconds = METRICS["pipeline_p50_s"].say
    first, second = pair.artifacts
    sizes = text_of(first.output_size)
    if first.input_size == second.input_size != first.output_size:
        sizes = f"{text_of(first.input_size)} → {sizes}"
    medians = [f"{name} {milliseconds(p50)}" for name, p50 in zip(pair.labels, pair.p50_s, strict=True)]
    threads = counted(pair.thread_count, "thread")
    lines = [
        f"{said} (95 %: {low:.3f} to {high:.3f}, {pair.turn_count} turns), same machine, same run",
        f"pipeline p50: {', '.join(medians)}",
        f"{pair.device.slug} · {sizes} · batch {first.batch_size} · {threads} · weights: {_weights(pair)}",
        *_doubts(pair),
    ]
    return "".join(f"{line}\n" for line in lines)


def _weights(pair: Pair) -> str:
    one, other = (
        f"{side.weights.label} {text_of(side.weights.sha256)}" if side.weights.sha256 else side.weights.label
        for side in pair.artifacts
    )
    return one if one == other else f"{one}, {other}"


def _doubts(pair: Pair) -> list[str]:
    """What to know before the verdict is believed."""
    doubts = ["QUICK — a smoke test: few turns"] if pair.quick else []
    if pair.missing_weights:
        doubts.append(
            f"random weights of {' and '.join(pair.missing_weights)}: none were found, and a pair trains none"
        )
    doubts += [
        f"warm-up of {name} did not settle"
        for name, settled in zip(pair.labels, pair.warmup_settled, strict=True)
        if not settled
    ]
    against = witnessed(pair.witness)
    return [*doubts, *(f"{doubt.what}, which can weigh on one side more: {doubt.remedy}" for doubt in against)]
