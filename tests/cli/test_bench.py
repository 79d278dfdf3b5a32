"""What `zoo bench` prints of a sweep that is over."""

from __future__ import annotations

import pytest

from zoo.bench import sweep


@pytest.mark.parametrize("has_baseline", [False, True])
def test_where_others_measure_everything_it_says_who_and_what_to_do(call, monkeypatch, tmp_path, records, has_baseline):
    """Not that nothing is measured yet, and no table of the baseline alone."""
    monkeypatch.chdir(tmp_path)
    found = sweep.Sweep(
        finished=[records.baseline()] * has_baseline,
        claimed=["unet", "unet", "enet"],
        claimed_by=["process 7 on here", "process 8 on there"],
    )
    monkeypatch.setattr(sweep, "run_bench", lambda _request, _live: found)
    code, out, error = call("bench", "--models", "unet,enet")
    assert (code, error) == (0, "")
    assert out == (
        f"cells measured: 0, finished before: {int(has_baseline)}; 0.0 min; records: results\n"
        "claimed by other sweeps: 3 cells of unet, enet, by process 7 on here, process 8 on there; their records come "
        "to results, and the same command goes on with what they leave\n"
    )
