"""Whether two devices rank artifacts alike: Kendall's tau-b of their latency, with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from zoo.errors import UserError
from zoo.lazy import Lazy
from zoo.score.accuracy import BOOTSTRAP_SEED, RESAMPLES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Lazy("numpy")

LEAST_MODELS = 5
"""Fewer may be ranked alike by chance: 4 models are in 1 of 24 cases, 5 in 1 of 120."""
_AT_ONCE = 1 << 22


class Timed(NamedTuple):
    """An artifact that both devices measured."""

    model: str
    first: float
    """A number of it, such as its latency."""
    second: float
    """The same on the other device."""


class RankCorrelation(NamedTuple):
    """How far two rankings agree: 1 the same, 0 unrelated, -1 reversed."""

    tau_b: float
    interval: tuple[float, float]
    """95 %, by percentile bootstrap over models: artifacts of one model resemble each other."""
    artifact_count: int
    """Those that share a table with another one."""
    model_count: int
    table_count: int
    pair_count: int
    """Each two artifacts of one table."""


def rank_correlation(tables: Iterable[Sequence[Timed]]) -> RankCorrelation:
    """Return Kendall's tau-b (Kendall, Biometrika 1945), where ties count for neither order.

    Args:
        tables: Artifacts that may be ranked together, a table each: pairs of two tables do not count.

    Raises:
        UserError: too few models in every table, or no order at all on a side.
    """
    shared = [table for table in tables if len(table) > 1]
    most = max((len({one.model for one in table}) for table in shared), default=0)
    if most < LEAST_MODELS:
        there = f"there are {most}" if len(shared) < 2 else f"of those that may be ranked together there are {most}"
        raise UserError(f"a rank correlation wants {LEAST_MODELS} models that both measured; {there}")
    names = sorted({one.model for table in shared for one in table})
    sums = np.zeros((3, len(names), len(names)))
    for table in shared:
        _add_pairs(table, [names.index(one.model) for one in table], sums)
    whole = float(_tau(sums.sum(axis=(1, 2))))
    if np.isnan(whole):
        raise UserError("all artifacts take the same time on one of the devices: there is no order")
    dice = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = dice.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(np.float64)
    within = sums.diagonal(axis1=1, axis2=2)
    between = sums * (1 - np.eye(len(names)))
    # A model drawn twice is two models that make no pair. So a draw has a pair of two models 1 - 1 / n times on
    # average, one within a model once: weighed like this they count alike, as in the whole.
    taus = _tau(((drawn @ between) * drawn).sum(axis=2) + (1 - 1 / len(names)) * (within @ drawn.T))
    low, high = np.quantile(taus[~np.isnan(taus)], (0.025, 0.975))
    counts = [len(table) for table in shared]
    pair_count = sum(count * (count - 1) // 2 for count in counts)
    return RankCorrelation(whole, (float(low), float(high)), sum(counts), len(names), len(counts), pair_count)


def _add_pairs(table: Sequence[Timed], units: Sequence[int], sums: npt.NDArray[np.float64]) -> None:
    """Add to `(3, units, units)` the pairs of two units: concordant less discordant, ordered in each of the two."""
    first, second = (np.array([one[side] for one in table], np.float64) for side in (1, 2))
    member = np.zeros((len(table), sums.shape[1]))
    member[np.arange(len(table)), units] = 1
    block = max(1, _AT_ONCE // len(table))
    for start in range(0, len(table), block):
        part = slice(start, start + block)
        one, two = (np.sign(values[part, None] - values) for values in (first, second))
        for place, signs in enumerate((one * two, np.abs(one), np.abs(two))):
            sums[place] += member[part].T @ signs @ member


def _tau(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Tau-b of sums over pairs `(3, …)`; NaN where there is no order."""
    agree, one, two = sums
    ordered = np.sqrt(one * two)
    taus: npt.NDArray[np.float64] = np.full_like(ordered, np.nan)
    np.divide(agree, ordered, out=taus, where=ordered > 0)
    return taus
