"""What a sweep spends on itself: imports, process starts, bookkeeping. Target: 15 % of `zoo bench --models all`.

Exporting, compiling and calibrating stand apart: they are neither the harness's nor a measurement.
"""

from __future__ import annotations

import pytest

from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.catalog import MODELS
from zoo.config import BenchConfig, load_config


@pytest.mark.parametrize("runtimes", [["eager"], ["eager", "onnxruntime", "openvino"]], ids=["eager", "three runtimes"])
def test_the_harness_is_a_small_part_of_a_quick_sweep(benchmark, tmp_path, runtimes):
    """Four models stand for all: what is paid once, before the first cell, is shared among as many as there are."""
    config = load_config(BenchConfig, "quick", {"models": ["core"], "runtimes": runtimes})
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    sweep = benchmark.pedantic(run_bench, (Request(config, **folders),), rounds=1)
    spent = [(stage, seconds) for record in sweep.records for stage, seconds in record.seconds.items()]
    build = sum(seconds for stage, seconds in spent if stage == "build")
    work = sum(seconds for stage, seconds in spent if stage not in {"start", "build"})
    once = sweep.seconds_before_cells
    per_cell = (sweep.seconds - once - work - build) / len(sweep.records)
    cells = len(MODELS) * len(runtimes) + 1
    share = (once + cells * per_cell) / (once + cells * (per_cell + work / len(sweep.records)))
    benchmark.extra_info |= {"once_s": once, "per_cell_s": per_cell, "share": share, "target_share": 0.15}
    assert share <= 0.15
