"""What is done to a cell, step by step; no process is started."""

from __future__ import annotations

from tests.bench.cells import OWN, RUN, cell
from zoo.bench.cell import steps_of
from zoo.bench.plan import cells
from zoo.data.layout import open_dataset


def test_each_cell_has_its_steps(setting, streets):
    given = setting(open_dataset(streets), throughput=True)
    assert steps_of(cell(), given) == ["measure", "memory", "cold", "throughput"], "random weights are not scored"
    assert steps_of(cell(source=OWN), given) == ["measure", "evaluate", "memory", "cold", "throughput"]
    exported = cell(source=RUN, runtime="onnxruntime")
    steps = ["build", "measure", "evaluate", "memory", "cold", "agreement", "throughput"]
    assert steps_of(exported, given) == steps
    assert steps_of(cells(given, [])[0], given) == ["baseline"]


def test_a_quick_run_starts_no_process_that_has_to_import_torch(setting):
    quick = setting(quick=True)
    assert "cold" not in steps_of(cell(), quick)
    assert "cold" in steps_of(cell(runtime="onnxruntime"), quick)
