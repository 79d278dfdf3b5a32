"""A thousand workers, ten thousand cells or more: what planning, claiming and keeping cost, and reading it all again.

The workers of `tests/bench/simulated.py` measure nothing; all files are real. `ZOO_FLEET_SEEDS=80` makes it the hundred
thousand that the targets are for.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from zoo.bench.job import Survey
from zoo.bench.plan import Setting
from zoo.config import BenchConfig
from zoo.data.layout import open_dataset
from zoo.data.synthetic import write_dataset

pytestmark = pytest.mark.timeout(0)

SEEDS = int(os.environ.get("ZOO_FLEET_SEEDS", "8"))
"""Trainings of each of 78 models, each at 16 conditions."""
CELL_S = 0.020
SCAN_S = 15.0
SCAN_BYTES = 2**30

LOOK = """
import json, re, sys, time
from pathlib import Path
results, what = sys.argv[1:]
if what == "scan":
    from zoo.bench.past import read_spent
    began = time.monotonic()
    count = len(read_spent(Path(results)))
else:
    from zoo import store
    from zoo.bench.ledger import Ledger
    began = time.monotonic()
    Ledger(results, store.folder_ids(Path(results)))
    count = 0
seconds = time.monotonic() - began
status = Path("/proc/self/status").read_text()  # of this program alone; `ru_maxrss` is inherited from who started it
print(json.dumps([count, seconds, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status)[1])]))
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """The folder of a fleet, and what became of it."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    simulated, records = (importlib.import_module(f"tests.{name}") for name in ("bench.simulated", "records"))
    folder = tmp_path_factory.mktemp("fleet")
    write_dataset(folder / "streets", image_size=(64, 128), train_count=4, val_count=2)
    pattern = records.make(dataset="streets", samples=100)
    config = BenchConfig(runtimes=("eager", "onnxruntime"), precisions=("fp32", "bf16"), input_sizes=simulated.sizes(4))
    software = dict.fromkeys(config.runtimes, pattern.software)
    survey = Survey("cpu", pattern.device, software, frozenset({"onnxruntime"}), {}, {})
    setting = Setting(config, survey, (64, 128), open_dataset(folder / "streets"), None)
    counts = {"seed_count": SEEDS, "model_count": 78, "worker_count": 1000}
    return folder / "results", simulated.run(setting, folder / "results", pattern, **counts)


def look(results, what):
    answer = subprocess.run(
        [sys.executable, "-c", LOOK, str(results), what], capture_output=True, text=True, check=True
    ).stdout
    return json.loads(answer)


def test_a_cell_costs_a_fleet_little(benchmark, fleet):
    results, tally = fleet
    benchmark.pedantic(lambda: None, rounds=1)
    names = [path.name for path in results.rglob("*.json")]
    assert len(names) == tally.cell_count == 78 * SEEDS * 16 + 1
    assert set(Counter(tally.kept).values()) == {1}
    assert 0 < tally.lost <= 10, "of the nodes that are lost those that had something"
    benchmark.extra_info |= {"seconds": tally.overhead_s, "target_s": CELL_S, "plan_s": tally.plan_s}
    assert tally.overhead_s <= CELL_S


def test_its_records_are_read(benchmark, fleet):
    """As by a plan, which asks all of them how long their like took."""
    results, tally = fleet
    count, seconds, peak_bytes = benchmark.pedantic(look, (results, "scan"), rounds=1)
    benchmark.extra_info |= {"seconds": seconds, "target_s": SCAN_S, "peak_bytes": peak_bytes}
    assert count == tally.cell_count
    assert peak_bytes <= SCAN_BYTES
    assert seconds <= SCAN_S


def test_a_sweep_joins_it_at_once(benchmark, fleet):
    """It lists them, and reads those of its own cells alone."""
    results, _ = fleet
    _, seconds, peak_bytes = benchmark.pedantic(look, (results, "ledger"), rounds=1)
    benchmark.extra_info |= {"seconds": seconds, "target_s": 2.0, "peak_bytes": peak_bytes}
    assert seconds <= 2.0
