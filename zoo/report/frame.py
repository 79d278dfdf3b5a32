"""Records as a pandas DataFrame."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from zoo.score.reading import read_rows
from zoo.score.rows import COLUMNS


def load_results(results: Path | str | None = None, *, history: bool = False) -> pd.DataFrame:
    """Read a results folder as a DataFrame, a row per record.

    Columns are those of `zoo leaderboard --format json`: seconds, bytes, fractions, `(height, width)`.

    Args:
        results: The folder of records; `None`: `results`, else those that come with zoo.
        history: All runs of a cell; otherwise the newest of each.

    Raises:
        UserError: there is no readable record. A file that is no record is skipped with a `UserWarning`.
    """
    found = read_rows(results, history=history)
    for warning in found.warnings:
        warnings.warn(warning, stacklevel=2)
    return pd.DataFrame([row.as_dict() for row in found.rows], columns=list(COLUMNS))
