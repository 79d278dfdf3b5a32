"""`zoo.score.paired`: what a tie is where the rows alone do not tell."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.score.paired import QUANTILES, Pairs
from zoo.score.reading import read_rows
from zoo.score.summary import Samples, summarise
from zoo.store import save


def put(records, tmp_path, model, seconds, **samples):
    """A record whose pipeline took these seconds, sorted or not."""
    record = records.make(model, p50_s=float(np.median(seconds)) / 1.25, samples=len(seconds))
    pipeline = summarise(Samples(np.asarray(seconds), 10, 1.0, True))
    record = record.model_copy(update={"speed": record.speed.model_copy(update={"pipeline": pipeline})})
    save(record, {"pipeline_s": np.asarray(seconds), **samples}, tmp_path)


def told(tmp_path, key="pipeline_p99_s"):
    found = read_rows(tmp_path)
    one, other = sorted(found.rows, key=lambda row: row.model)
    return Pairs(found.sources).tie(one, other, key)


@pytest.mark.parametrize(("slower", "tie"), [(1.0, True), (1.03, True), (1.5, False), (0.6, False)])
def test_p99_is_told_by_the_order_of_the_samples(records, tmp_path, slower, tie):
    dice = np.random.default_rng(1)
    for model, times in (("a", 1.0), ("b", slower)):
        put(records, tmp_path, model, times * (0.02 + dice.exponential(0.004, 2000)))
    assert told(tmp_path).tie is tie


def test_too_few_samples_do_not_bound_a_tail(records, tmp_path):
    dice = np.random.default_rng(1)
    for model, times in (("a", 1.0), ("b", 5.0)):
        put(records, tmp_path, model, times * (0.02 + dice.exponential(0.004, 300)))
    assert told(tmp_path).tie is None, "of 300 the largest is below the 99th percentile in 5 %"
    assert told(tmp_path, "pipeline_p90_s").tie is False


def test_without_samples_a_tail_is_not_known(records, tmp_path):
    for model, p50_s in (("a", 0.02), ("b", 0.05)):
        save(records.make(model, p50_s=p50_s), {}, tmp_path)
    assert told(tmp_path).tie is None
    for file in tmp_path.rglob("*.json"):
        file.with_suffix(".npz").write_bytes(b"PK")
    assert told(tmp_path).tie is None, "damaged"


def test_every_quantile_is_of_a_metric():
    assert {key.rpartition("_p")[0] for key in QUANTILES} == {"pipeline", "latency"}
    assert len(QUANTILES) == 6
