"""Whether two devices rank artifacts alike: Kendall's tau-b of their latency, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
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


class RankCorrelation(NamedTuple):
    """How far two rankings agree: 1 the same, 0 unrelated, -1 reversed."""

    tau_b: float
    interval: tuple[float, float]
    """95 %, by percentile bootstrap over models: artifacts of one model resemble each other."""
    artifact_count: int
    model_count: int


def rank_correlation(first: Sequence[float], second: Sequence[float], models: Sequence[str]) -> RankCorrelation:
    """Return Kendall's tau-b (Kendall, Biometrika 1945), where ties count for neither order.

    Args:
        first: A number of each artifact, such as its latency.
        second: The same of the other device, in the same order.
        models: Of each artifact.

    Raises:
        UserError: too few models, or no order at all on a side.
    """
    names, units = np.unique(np.asarray(models, dtype=str), return_inverse=True)
    if len(names) < LEAST_MODELS:
        raise UserError(f"a rank correlation wants {LEAST_MODELS} models that both measured; there are {len(names)}")
    sums = _sums_by_unit(np.asarray(first, np.float64), np.asarray(second, np.float64), units, len(names))
    whole = float(_tau(np.ones((1, len(names))), sums)[0])
    if np.isnan(whole):
        raise UserError("all artifacts take the same time on one of the devices: there is no order")
    dice = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = dice.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(np.float64)
    taus = _tau(drawn, sums)
    low, high = np.quantile(taus[~np.isnan(taus)], (0.025, 0.975))
    return RankCorrelation(whole, (float(low), float(high)), len(first), len(names))


def _sums_by_unit(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], units: npt.NDArray[np.intp], unit_count: int
) -> npt.NDArray[np.float64]:
    """Of all pairs between two units, `(3, units, units)`: concordant less discordant, ordered in each of the two."""
    sums = np.zeros((3, unit_count, unit_count))
    member = np.zeros((len(units), unit_count))
    member[np.arange(len(units)), units] = 1
    block = max(1, _AT_ONCE // len(units))
    for start in range(0, len(units), block):
        part = slice(start, start + block)
        one, two = (np.sign(values[part, None] - values) for values in (first, second))
        for place, signs in enumerate((one * two, np.abs(one), np.abs(two))):
            sums[place] += member[part].T @ signs @ member
    return sums


def _tau(times: npt.NDArray[np.float64], sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Tau-b of each draw `(draws, units)`, which has a unit so many times; NaN for one without an order."""
    agree, one, two = ((times @ part * times).sum(axis=1) for part in sums)
    ordered = np.sqrt(one * two)
    taus = np.full(len(times), np.nan)
    np.divide(agree, ordered, out=taus, where=ordered > 0)
    return taus
