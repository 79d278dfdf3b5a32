"""What a sweep says before it runs: what it would do, and about how long that takes."""

from __future__ import annotations

from tests.bench.cells import RECIPE, RUN
from zoo.bench.forecast import forecast, show_forecast
from zoo.bench.job import RANDOM
from zoo.bench.plan import Chosen, cell_key, cells
from zoo.catalog import find
from zoo.data.layout import open_dataset


def test_what_a_sweep_would_do_and_how_long_it_takes(setting, records, streets, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    given = setting(open_dataset(streets), runtimes=("eager", "onnxruntime"), precisions=("fp32", "tf32"))
    chosen = [(find("unet"), [Chosen(RUN)]), (find("encoder_decoder"), [Chosen(RANDOM, RECIPE)])]
    listed = cells(given, chosen)
    (unet,) = (one for one in listed if (one.spec.name, one.runtime, one.precision) == ("unet", "eager", "fp32"))

    def spent(model, runtime, minutes=0, steps=5, **seconds):
        made = records.make(model, runtime=runtime, minutes=minutes, step_count=steps)
        return made.model_copy(update={"seconds": seconds, "quick": False})

    kept = [
        spent("unet", "eager", measure=900.0),
        spent("unet", "eager", minutes=1, start=1.0, measure=4.0, throughput=500.0),
        spent("encoder_decoder", "eager", train=50.0, start=1.0, measure=2.0, memory=1.0),
        spent("fpn", "onnxruntime", measure=30.0).model_copy(
            update={"device": given.survey.device.model_copy(update={"slug": "nvidia-h200"})}
        ),
    ]
    found = forecast(given, listed, set(), kept)
    lines = {(line.cell.spec.name, line.cell.runtime, line.cell.precision): line for line in found.lines}
    assert lines["unet", "eager", "fp32"].seconds == 5.0, "the newest of the very same, of the steps that are wanted"
    assert lines["unet", "eager", "tf32"].seconds == 5.0, "the middle of what ran in eager mode"
    assert lines["unet", "onnxruntime", "fp32"].seconds is None, "another machine says nothing of this one"
    assert lines["unet", "onnxruntime", "tf32"].state == "refused: tf32 needs a CUDA device"
    first = lines["encoder_decoder", "eager", "fp32"]
    assert (first.state, first.seconds) == ("to train first", 4.0 + 100.0), "twice the steps of the training before"
    assert lines["encoder_decoder", "eager", "tf32"].state == "to measure", "trained by then"
    assert found.unknown_count == 3, "the baseline and what runs in ONNX Runtime"
    assert found.seconds == sum(line.seconds or 0 for line in found.lines)
    again = forecast(given, listed, {cell_key(unet, given)}, kept)
    assert next(line for line in again.lines if line.cell is unet).state == "finished"
    table, total, unknown = show_forecast(again).rsplit("\n", 3)[:-1]
    assert len(table.splitlines()) == 2 + len(listed)
    assert "run tiny" in table
    assert total.startswith("cells to measure: 6, finished before: 1, refused: 2; about ")
    assert unknown == "not counted: 3 cells, of whose like this machine has no record"
