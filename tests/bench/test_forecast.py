"""What a sweep says before it runs: what it would do, and about how long that takes."""

from __future__ import annotations

import pytest

from tests.bench.cells import RECIPE, RUN, cell
from zoo.bench.forecast import Forecast, Line, fit, forecast, show_forecast
from zoo.bench.gauge import Gauge
from zoo.bench.job import RANDOM
from zoo.bench.past import Spent, spent_of
from zoo.bench.plan import Cell, Chosen, cell_key, cells
from zoo.catalog import find
from zoo.data.layout import open_dataset
from zoo.errors import UserError
from zoo.record import MEAN_LABEL_MAP, Cost
from zoo.spec import ModelSpec


def test_what_a_sweep_would_do_and_how_long_it_takes(setting, records, streets, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    given = setting(open_dataset(streets), runtimes=("eager", "onnxruntime"), precisions=("fp32", "tf32"))
    chosen = [(find("unet"), [Chosen(RUN)]), (find("encoder_decoder"), [Chosen(RANDOM, RECIPE)])]
    listed = cells(given, chosen)
    (unet,) = (one for one in listed if (one.spec.name, one.runtime, one.precision) == ("unet", "eager", "fp32"))

    def spent(model, runtime, minutes=0, steps=5, **seconds):
        made = records.make(model, runtime=runtime, minutes=minutes, step_count=steps)
        if model == "fpn":
            made = made.model_copy(update={"device": given.survey.device.model_copy(update={"slug": "nvidia-h200"})})
        return spent_of(made.model_copy(update={"seconds": seconds, "quick": False}))

    kept = [
        spent("unet", "eager", measure=900.0),
        spent("unet", "eager", minutes=1, start=1.0, measure=4.0, throughput=500.0),
        spent("encoder_decoder", "eager", train=50.0, start=1.0, measure=2.0, memory=1.0),
        spent("fpn", "onnxruntime", measure=30.0),
    ]
    found = forecast(given, listed, set(), kept)
    lines = {(line.cell.spec.name, line.cell.runtime, line.cell.precision): line for line in found.lines}
    assert lines["unet", "eager", "fp32"].seconds == 5.0, "the newest of the very same, of the steps that are wanted"
    assert lines["unet", "eager", "tf32"].seconds == 5.0, "the middle of what ran in eager mode"
    assert lines["unet", "onnxruntime", "fp32"].seconds is None, "another machine says nothing of this one"
    assert lines["unet", "onnxruntime", "tf32"].state == "refused"
    first = lines["encoder_decoder", "eager", "fp32"]
    assert (first.state, first.seconds) == ("to train first", 4.0 + 100.0), "twice the steps of the training before"
    assert lines["encoder_decoder", "eager", "tf32"].state == "to measure", "trained by then"
    assert found.unknown_count == 3, "the baseline and what runs in ONNX Runtime"
    assert found.seconds == sum(line.seconds or 0 for line in found.lines)
    again = forecast(given, listed, {cell_key(unet, given)}, kept)
    assert next(line for line in again.lines if line.cell is unet).state == "finished"
    table, total, refused, unknown = show_forecast(again).rsplit("\n", 4)[:-1]
    assert len(table.splitlines()) == 2 + len(listed)
    assert "run tiny" in table
    assert total.startswith("cells to measure: 6, finished before: 1, refused: 2; about ")
    assert refused == "refused: 2 cells of onnxruntime tf32: tf32 needs a CUDA device"
    assert unknown == "not counted: 3 cells, of whose like this machine has no record"


def test_trainings_that_run_beside_each_other_share_the_time(setting, records, streets):
    given = setting(open_dataset(streets), trainings_at_once=2, threads=2)
    names = ("unet", "cgnet", "edanet")
    kept = [
        spent_of(
            records.make(name, step_count=10).model_copy(
                update={"seconds": {"train": 40.0, "measure": 2.0}, "quick": False}
            )
        )
        for name in names
    ]

    def seconds_of(finished=frozenset()):
        listed = cells(given, [(find(name), [Chosen(RANDOM, RECIPE)]) for name in names])
        done = {cell_key(one, given) for one in listed if one.spec.name in finished}
        return {line.cell.spec.name: line.seconds for line in forecast(given, listed, done, kept).lines}

    assert [seconds_of()[name] for name in names] == [22.0, 22.0, 22.0], "two at a time, of three"
    assert [seconds_of({"unet"})[name] for name in names] == [0.0, 22.0, 22.0]
    assert seconds_of({"unet", "cgnet"})["edanet"] == 42.0


@pytest.mark.parametrize("kept_model", ["unet", "fpn_resnet18"])
def test_records_are_gone_through_once_for_all_cells_that_ask_the_same(setting, records, monkeypatch, kept_model):
    """Cells times records is what a large plan over a large folder has not the time for."""
    given, looks = setting(), []
    kept = [spent_of(records.make(kept_model, minutes=minutes)) for minutes in range(5)]
    monkeypatch.setattr(Spent, "is_baseline", property(lambda _record: bool(looks.append(None))))

    def looked(count):
        looks.clear()
        assert forecast(given, [cell(input_size=(32, 64 + index)) for index in range(count)], set(), kept).lines
        return len(looks)

    assert 0 < looked(1) == looked(20)


BASELINE = Cell(ModelSpec(name=MEAN_LABEL_MAP, builder="none:none", family="baseline"), "none", "fp32", (64, 128))


def planned(**models):
    """The baseline, and models that take so many seconds each; `None` is not known."""
    lines = [Line(BASELINE, finished=False, trains=False, seconds=None)]
    lines += [Line(cell(name), finished=False, trains=False, seconds=one) for name, one in models.items()]
    return Forecast(tuple(lines))


def test_a_budget_takes_the_slowest_last_and_leaves_out_by_name_what_does_not_fit():
    found = fit(planned(unet=100.0, encoder_decoder=2.0, fcn_resnet50=None, fast_scnn=3.0, enet=40.0), 50.0)
    assert [line.cell.spec.name for line in found.kept] == [MEAN_LABEL_MAP, "encoder_decoder", "fast_scnn", "enet"]
    assert [line.cell.spec.name for line in found.left_out] == ["unet", "fcn_resnet50"], "what is not known is the last"
    assert found.seconds == 45.0
    said = show_forecast(found)
    assert "left out, since the budget leaves 50 s for cells, slowest last: unet, fcn_resnet50\n" in said
    assert sum(line.endswith("left out") for line in said.splitlines()) == 2
    whole = fit(planned(unet=100.0, fcn_resnet50=None), 3600.0)
    assert not whole.left_out
    assert whole.kept[-1].cell.spec.name == "fcn_resnet50", "begun if there is time left"


def test_a_budget_keeps_the_cells_of_one_training_together():
    pair = [cell("unet", recipe=RECIPE, precision=precision) for precision in ("fp32", "bf16")]
    lines = [Line(pair[0], finished=False, trains=True, seconds=30.0)]
    lines += [Line(pair[1], finished=False, trains=False, seconds=1.0)]
    lines += [Line(cell("enet"), finished=False, trains=False, seconds=5.0)]
    found = fit(Forecast(tuple(lines)), 33.0)
    assert [line.cell for line in found.kept] == [lines[2].cell]
    assert [line.cell for line in found.left_out] == pair
    assert [line.cell for line in fit(Forecast(tuple(lines)), 36.0).kept] == [lines[2].cell, *pair]


def test_a_budget_that_fits_nothing_is_refused_and_what_is_finished_costs_nothing():
    with pytest.raises(UserError, match=r"nothing fits the 3 s left of the budget: enet, which takes least, .* 5 s"):
        fit(planned(unet=90.0, enet=5.0), 3.0)
    done = Line(cell("unet"), finished=True, trains=False, seconds=0.0)
    assert fit(Forecast((done,)), 0.0).kept == (done,)


def test_what_has_no_like_is_estimated_by_what_it_computes(setting, records, streets):
    given = setting(open_dataset(streets), quick=True)
    small, large, own = (cell(name, input_size=(64, 128)) for name in ("enet", "unet", "fast_scnn"))
    asked = list[tuple[str, str]]()

    def look(step, job):
        asked.append((step, job.spec.name))
        return {"probe": 50e9, "cost": Cost(param_count=10**6, mac_count=10**9, mac_input_size=(64, 128))}[step]

    elsewhere = records.make("unet").model_copy(
        update={
            "cost": Cost(param_count=10**6, mac_count=10**11, mac_input_size=(64, 128)),
            "device": given.survey.device.model_copy(update={"slug": "nvidia-h200"}),
        }
    )
    here = records.make("fast_scnn").model_copy(update={"seconds": {"measure": 7.0}, "quick": True})
    known = [spent_of(elsewhere), spent_of(here)]
    found = forecast(given, [small, large, own], set(), known, Gauge(given, known, look))
    assert asked == [("cost", "enet"), ("probe", "enet")], "what a network computes is the same on every machine"
    seconds = [line.seconds for line in found.lines]
    assert seconds[2] == 7.0, "its own record counts more"
    assert 10 * seconds[0] < seconds[1]
    assert [line.is_rough for line in found.lines] == [True, True, False]
    assert "rough: 2 cells, of whose like this machine has no record" in show_forecast(found)
    trained = cell("enet", recipe=RECIPE, input_size=(64, 128))
    (line,) = forecast(given, [trained], set(), known, Gauge(given, known, look)).lines
    assert line.seconds > seconds[0], "it is trained and scored too"
    nothing = Gauge(given, [], lambda _step, _job: None)
    assert forecast(given, [small], set(), [], nothing).lines[0].seconds is None
