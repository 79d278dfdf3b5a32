"""The list of cells, the key of each, and what is said of a sweep before it runs; no process is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zoo import store
from zoo.bench.cell import steps_of
from zoo.bench.forecast import forecast, show_forecast
from zoo.bench.job import RANDOM, Survey
from zoo.bench.plan import IMMATERIAL, Cell, Chosen, Setting, cell_key, cells
from zoo.bench.sweep import _finished
from zoo.catalog import find
from zoo.config import BenchConfig, TrainConfig
from zoo.data.layout import open_dataset
from zoo.spec import Feeding
from zoo.weights.source import Source

RECIPE = TrainConfig(name="tiny", steps=10, image_size=(48, 96))
OWN = Source(kind="own", sha256="a" * 64, recipe="external")
RUN = Source(kind="run", file=Path("a"), sha256="b" * 64, recipe="tiny", recipe_hash="c", step_count=10, seed=0)


@pytest.fixture
def setting(records):
    """`setting(**changes of the config)`: on a CPU that runs eager and ONNX Runtime, the latter not in tf32."""
    made = records.make()
    software = dict.fromkeys(("eager", "onnxruntime"), made.software)
    unsupported = {("onnxruntime", "tf32"): "tf32 needs a CUDA device"}
    survey = Survey("cpu", made.device, software, frozenset({"onnxruntime"}), {}, unsupported)

    def make(dataset=None, **changes) -> Setting:
        config = BenchConfig(accuracy=False, image_size=(64, 128)).model_copy(update=changes)
        return Setting(config, survey, config.image_size, dataset, None, ("folder",))

    return make


def cell(model="unet", **changes) -> Cell:
    return replace(Cell(find(model), "eager", "fp32", (64, 128)), **changes)


OTHER = {
    "split": "test",
    "batch_size": 2,
    "compile_mode": "max-autotune-no-cudagraphs",
    "memory_format": "contiguous",
    "accuracy": True,
    "accuracy_images": 5,
    "throughput": True,
    "quick": True,
}


@pytest.mark.parametrize("name", BenchConfig.model_fields)
def test_every_key_of_a_config_is_known_to_be_immaterial_or_makes_another_cell(setting, name):
    assert (name in IMMATERIAL) != (name in OTHER), "a new key measures anew until somebody says why it need not"
    if name in OTHER:
        assert getattr(setting().config, name) != OTHER[name]
        assert cell_key(cell(), setting(**{name: OTHER[name]})) != cell_key(cell(), setting())


def test_what_is_immaterial_leaves_the_key_alone(setting):
    changes = {
        "name": "mine",
        "models": ("fpn_resnet18",),
        "runtimes": ("onnxruntime",),
        "precisions": ("bf16",),
        "input_sizes": ((1, 1),),
        "timeout_s": 5.0,
        "train_missing": True,
        "train": RECIPE,
        "keep_checkpoints": False,
        "disk_bytes": 5,
        "seeds": 2,
        "device": "cpu",
        "resize": "stretch",
    }
    assert changes.keys() | {"image_size", "threads"} == IMMATERIAL.keys()
    assert cell_key(cell(), setting(**changes)) == cell_key(cell(), setting())
    cores = setting().survey.device.core_count
    assert cell_key(cell(), setting(threads=cores)) == cell_key(cell(), setting()), "as many as it would have been"
    assert cell_key(cell(), setting(threads=cores + 1)) != cell_key(cell(), setting())


def test_all_that_a_cell_is_stands_in_its_key(setting):
    given = setting()
    changed = [
        cell("encoder_decoder"),
        cell(precision="bf16"),
        cell(runtime="onnxruntime"),
        cell(input_size=(32, 64)),
        cell(resize="stretch"),
        cell(source=OWN),
        cell(source=OWN.model_copy(update={"sha256": "d" * 64})),
        cell(source=RUN),
        cell(recipe=RECIPE),
        cell(refused="no"),
    ]
    keys = [cell_key(one, given) for one in (cell(), *changed)]
    assert len(set(keys)) == len(keys)
    assert cell_key(cell(), replace(given, image_size=(32, 64))) != keys[0]
    newer = given.survey.software["eager"].model_copy(update={"torch": "9.9"})
    survey = replace(given.survey, software={**given.survey.software, "eager": newer})
    assert cell_key(cell(), replace(given, survey=survey)) != keys[0]
    machine = replace(given.survey, device=given.survey.device.model_copy(update={"machine_id": "n" * 64}))
    assert cell_key(cell(), replace(given, survey=machine)) != keys[0]
    assert cell_key(cell(), replace(given, folders=("another",))) == keys[0], "the folder stands beside the key"


def test_weights_that_are_fed_in_another_way_are_another_cell(setting, streets):
    given = setting(open_dataset(streets))
    turned = RUN.model_copy(update={"feeding": Feeding(channel_order="bgr")})
    fewer = RUN.model_copy(update={"train_ids": (*range(18), 255)})
    assert len({cell_key(cell(source=source), given) for source in (RUN, turned, fewer)}) == 3


def test_weights_that_are_not_kept_are_known_by_what_makes_them(setting):
    scratch, kept = setting(keep_checkpoints=False), setting()
    trained = cell(recipe=RECIPE, source=RUN)
    assert cell_key(cell(recipe=RECIPE), scratch) == cell_key(trained, scratch)
    assert cell_key(cell(recipe=RECIPE), kept) != cell_key(trained, kept) == cell_key(cell(source=RUN), kept)
    seeds = {cell_key(cell(recipe=RECIPE.model_copy(update={"seed": seed})), scratch) for seed in range(3)}
    assert len(seeds) == 3


def test_only_records_of_this_very_folder_count_as_finished(records, tmp_path):
    record = records.make().model_copy(update={"folder": "own"})
    later = record.model_copy(update={"folder": "clone", "started_at": record.started_at.replace(hour=23)})
    older = records.make("fcn_resnet50")
    failed = records.make("fpn").model_copy(update={"folder": "own", "status": "failed"})
    for one in (record, later, older, failed):
        store.save(one, {}, tmp_path)
    assert older.folder == "", "as a record of an older zoo reads"
    assert _finished(tmp_path, ()) == {}
    assert _finished(tmp_path, ("own",)) == {record.key: record}, "whatever a checkout brought for the same key"
    assert _finished(tmp_path, ("own", "clone")) == {record.key: later}, "what was merged into it counts as well"


def test_cells_stand_in_the_order_of_the_sweep(setting, streets):
    given = setting(open_dataset(streets), runtimes=("eager", "onnxruntime"), precisions=("fp32", "tf32"))
    seeds = [Chosen(RANDOM, RECIPE.model_copy(update={"seed": seed}), RECIPE.image_size) for seed in (0, 1)]
    listed = cells(given, [(find("unet"), seeds), (find("encoder_decoder"), [Chosen(RUN, None, (32, 64))])])
    assert listed[0].is_baseline
    found = [(one.spec.name, one.runtime, one.precision, bool(one.refused)) for one in listed[1:]]
    assert found == [
        ("unet", "onnxruntime", "tf32", True),  # once, whatever the number of seeds
        *[("unet", "eager", "fp32", False), ("unet", "eager", "tf32", False), ("unet", "onnxruntime", "fp32", False)]
        * 2,
        ("encoder_decoder", "onnxruntime", "tf32", True),
        ("encoder_decoder", "eager", "fp32", False),
        ("encoder_decoder", "eager", "tf32", False),
        ("encoder_decoder", "onnxruntime", "fp32", False),
    ]
    assert [one.recipe.seed for one in listed if one.recipe and not one.refused] == [0, 0, 0, 1, 1, 1]
    assert {one.spec.name: one.input_size for one in listed[1:]} == {"unet": (48, 96), "encoder_decoder": (32, 64)}
    asked = replace(given, config=given.config.model_copy(update={"input_sizes": ((8, 8), (16, 16))}))
    assert {one.input_size for one in cells(asked, [(find("unet"), seeds)])[1:]} == {(8, 8), (16, 16)}


def test_each_cell_has_its_steps(setting, streets):
    given = setting(open_dataset(streets), throughput=True)
    assert steps_of(cell(), given) == ["measure", "memory", "throughput"], "random weights are not scored"
    assert steps_of(cell(source=OWN), given) == ["measure", "evaluate", "memory", "throughput"]
    exported = cell(source=RUN, runtime="onnxruntime")
    assert steps_of(exported, given) == ["build", "measure", "evaluate", "memory", "agreement", "throughput"]
    assert steps_of(cells(given, [])[0], given) == ["baseline"]


def test_a_cell_without_numbers_stands_with_the_weights_it_would_have_had(setting):
    planned = cell(recipe=RECIPE).weights
    assert (planned.label, planned.sha256, planned.seed) == ("run tiny", None, 0)
    assert cell(source=RUN).weights.label == "run tiny"
    assert cell(source=OWN).weights.label == "own"
    assert cell().weights.label == "random"


def test_what_a_sweep_would_do_and_how_long_it_takes(setting, records, streets):
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
