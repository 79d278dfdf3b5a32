"""What a sweep spends on itself: imports, process starts, bookkeeping. Target: 15 % of `zoo bench --models all`."""

from __future__ import annotations

from zoo.bench.sweep import run_bench
from zoo.catalog import MODELS
from zoo.config import BenchConfig, load_config


def test_the_harness_is_a_small_part_of_a_quick_sweep(benchmark, tmp_path):
    """Four models stand for all: what is paid once, before the first cell, is shared among as many as there are."""
    config = load_config(BenchConfig, "quick", {"models": ["core"]})
    sweep = benchmark.pedantic(
        run_bench, (config,), {"results": tmp_path / "results", "runs": tmp_path / "runs"}, rounds=1
    )
    work = sum(spent for record in sweep.records for stage, spent in record.seconds.items() if stage != "start")
    once = sweep.seconds_before_cells
    per_cell = (sweep.seconds - once - work) / len(sweep.records)
    cells = len(MODELS) + 1
    share = (once + cells * per_cell) / (once + cells * (per_cell + work / len(sweep.records)))
    benchmark.extra_info |= {"once_s": once, "per_cell_s": per_cell, "share": share, "target_share": 0.15}
