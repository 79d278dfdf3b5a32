"""The committed records still say what they said: every number of a kept leaderboard, row by row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from zoo.report.leaderboard import rows_json
from zoo.score.reading import rows_of
from zoo.store import scan

RESULTS = Path(__file__).parents[2] / "results"
WRITTEN = Path(__file__).parent / "written" / "leaderboard-before-weights.json.gz"
RENAMED = {("weights_source", "checkpoint"): "run"}
"""What may read differently: schema 5 tells trained weights from files."""


@pytest.fixture(scope="module")
def written():
    """`zoo leaderboard --format json` as of schema 4: its columns, and a row by key and time."""
    table = json.loads(gzip.decompress(WRITTEN.read_bytes()))
    rows = [dict(zip(table["columns"], values, strict=True)) for values in table["rows"]]
    return table["columns"], {(row["key"], row["started_at"]): row for row in rows}


@pytest.fixture(scope="module")
def today(written):
    """The same records read today; those that came later are left out."""
    records = [
        record
        for record in scan(RESULTS, history=True, required=True).records
        if (record.key, record.started_at.isoformat()) in written[1]
    ]
    return {(row["key"], row["started_at"]): row for row in json.loads(rows_json(rows_of(records)))}


def test_no_number_of_a_committed_record_changed(written, today):
    columns, rows = written
    assert len(rows) == 138
    assert today.keys() == rows.keys(), "a record was deleted, or reads no more"
    for name, before in rows.items():
        for column in columns:
            said = RENAMED.get((column, str(before[column])), before[column])
            assert today[name][column] == said, (column, name)


def test_columns_keep_their_place_and_new_ones_come_last(written, today):
    for row in today.values():
        assert list(row)[: len(written[0])] == written[0]
