"""What a plan is made by says of each record what the whole record says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo import store
from zoo.bench.past import read_spent, spent_of
from zoo.record import SCHEMA

RESULTS = Path(__file__).parents[2] / "results"


def test_of_every_committed_record_it_says_what_the_record_says():
    """Of all forms that records had."""
    whole = store.scan(RESULTS, history=True, required=True).records
    assert len({one.schema_version for one in whole}) > 1
    assert read_spent(RESULTS) == [spent_of(one) for one in whole]
    assert [one.is_baseline for one in read_spent(RESULTS)] == [one.is_baseline for one in whole]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"\\udcff"', json.dumps({"schema_version": SCHEMA, "key": "k"})])
def test_what_is_no_record_is_passed_over(tmp_path, record, text):
    store.save(record("unet"), {}, tmp_path)
    (tmp_path / "other.json").write_text(text)
    assert [one.artifact.model for one in read_spent(tmp_path)] == ["unet"]


def test_a_record_of_a_newer_zoo_is_passed_over(tmp_path, record):
    path = store.save(record("unet"), {}, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": SCHEMA + 1}))
    assert read_spent(tmp_path) == read_spent(tmp_path / "none") == []


@pytest.mark.parametrize("rate", ["10", [1], None, 10.0])
def test_a_configuration_may_hold_anything(tmp_path, record, rate):
    """As `Record.config` may."""
    store.save(record("unet").model_copy(update={"config": {"rate_hz": rate, "other": {}}}), {}, tmp_path)
    assert [one.config.rate_hz for one in read_spent(tmp_path)] == [rate]
