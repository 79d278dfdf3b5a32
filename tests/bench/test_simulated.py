"""A small fleet that measures nothing: every cell has one record, whatever is lost, late or comes twice."""

from __future__ import annotations

from collections import Counter

from tests.bench import simulated
from zoo import store
from zoo.data.layout import open_dataset
from zoo.score.audit import audit


def test_nothing_is_lost_or_doubled(setting, records, streets, tmp_path):
    given = setting(
        open_dataset(streets),
        runtimes=("eager", "onnxruntime"),
        precisions=("fp32", "bf16"),
        input_sizes=simulated.sizes(2),
    )
    pattern = records.make(dataset="streets", samples=100)
    tally = simulated.run(given, tmp_path / "results", pattern, seed_count=3, model_count=8, worker_count=12)
    assert tally.cell_count == 8 * 3 * 2 * 2 * 2 + 1
    assert tally.lost == 2
    assert tally.rounds == 2
    found = store.scan(tmp_path / "results", history=True)
    assert found.warnings == ()
    counts = Counter(record.cell for record in found.records)
    assert len(counts) == tally.cell_count, "nothing lost"
    assert set(counts.values()) == {1}, "nothing doubled"
    assert Counter(tally.kept) == counts
    assert tally.dropped >= 1, "what came too late is not kept"
    assert len(list((tmp_path / "results" / ".local" / "claims").iterdir())) == 0
    assert audit(tmp_path / "results").record_count == tally.cell_count


def test_the_plan_of_a_fleet_is_the_same_wherever_it_is_made(setting, streets):
    given = setting(open_dataset(streets), input_sizes=simulated.sizes(3))
    one, by_id = simulated.plan_of(given, seed_count=2, model_count=5)
    other, _ = simulated.plan_of(given, seed_count=2, model_count=5)
    assert one == other
    assert by_id.keys() == {cell.id for cell in one.cells}
