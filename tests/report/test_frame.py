"""`zoo.load_results`: records as a DataFrame."""

from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.report.frame import load_results
from zoo.score.rows import COLUMNS
from zoo.store import save


def test_a_row_per_record(records, tmp_path):
    save(records.make("a", right=0.5, p50_s=0.02), {}, tmp_path)
    save(records.make("a", right=0.5, p50_s=0.03, minutes=3), {}, tmp_path)
    save(records.failed("b"), {}, tmp_path)
    frame = load_results(tmp_path)
    assert list(frame.columns) == list(COLUMNS)
    assert dict(zip(frame.model, frame.status, strict=True)) == {"a": "ok", "b": "timeout"}
    assert frame.set_index("model").latency_p50_s["a"] == 0.03
    assert frame.set_index("model").miou.isna()["b"]
    assert len(load_results(str(tmp_path), history=True)) == 3


def test_what_is_no_record_is_warned_of(records, tmp_path):
    save(records.make("a"), {}, tmp_path)
    save(records.make("b"), {}, tmp_path).write_text("{")
    with pytest.warns(UserWarning, match="damaged JSON"):
        assert list(load_results(tmp_path).model) == ["a"]
    with pytest.raises(UserError, match="does not exist"):
        load_results(tmp_path / "none")
