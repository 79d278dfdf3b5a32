"""The list of cells and the key of each; no process is started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.cells import OWN, RECIPE, RUN, cell
from zoo import question
from zoo.bench.job import RANDOM
from zoo.bench.plan import Chosen, cell_key, cells, rounds
from zoo.catalog import find
from zoo.config import BenchConfig
from zoo.data.layout import open_dataset
from zoo.question import IMMATERIAL
from zoo.spec import Feeding

OTHER = {
    "split": "test",
    "batch_size": 2,
    "compile_mode": "max-autotune-no-cudagraphs",
    "memory_format": "contiguous",
    "accuracy": True,
    "accuracy_images": 5,
    "throughput": True,
    "quick": True,
    "rate_hz": 10.0,
}


@pytest.mark.parametrize("name", BenchConfig.model_fields)
def test_every_key_of_a_config_is_known_to_be_immaterial_or_makes_another_cell(setting, name):
    assert (name in IMMATERIAL) != (name in OTHER), "a new key measures anew until somebody says why it need not"
    if name in OTHER:
        assert getattr(setting().config, name) != OTHER[name]
        assert cell_key(cell(), setting(**{name: OTHER[name]})) != cell_key(cell(), setting())


def test_a_key_that_presets_did_not_always_have_leaves_older_keys_alone(setting, monkeypatch):
    """Without a rate a cell has the key that it had before there were any."""
    keys = {rate: cell_key(cell(), setting(rate_hz=rate)) for rate in (None, 10.0, 30.0)}
    assert len(set(keys.values())) == 3
    before = setting().config.model_dump(mode="json", exclude={*IMMATERIAL, "rate_hz"})
    monkeypatch.setattr(question, "material", lambda _config: before)
    assert cell_key(cell(), setting()) == keys[None]


def test_what_is_immaterial_leaves_the_key_alone(setting):
    changes = {
        "name": "mine",
        "models": ("fpn_resnet18",),
        "runtimes": ("onnxruntime",),
        "precisions": ("bf16",),
        "input_sizes": ((1, 1),),
        "timeout_s": 5.0,
        "train_missing": True,
        "train_models": ("unet",),
        "train": RECIPE,
        "trainings_at_once": 2,
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


def test_a_dataset_of_another_name_leaves_every_key_alone(setting, streets):
    names, keys = [], []
    for folder in (streets, streets.with_name("elsewhere")):
        given = setting(open_dataset(streets.rename(folder)))
        names.append(given.dataset.name)
        keys.append([cell_key(one, given) for one in (cells(given, [])[0], cell(source=RUN))])
        streets = folder
    assert names[0] != names[1]
    assert keys[0] == keys[1]


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


def test_a_cell_without_numbers_stands_with_the_weights_it_would_have_had(setting):
    planned = cell(recipe=RECIPE).weights
    assert (planned.label, planned.sha256, planned.seed) == ("run tiny", None, 0)
    assert cell(source=RUN).weights.label == "run tiny"
    assert cell(source=OWN).weights.label == "own"
    assert cell().weights.label == "random"


@pytest.mark.parametrize(
    ("at_once", "expected"),
    [
        (1, ["enet", "unet unet", "erfnet", "cgnet", "dabnet", "edanet"]),
        (2, ["enet", "erfnet", "dabnet", "unet unet cgnet edanet"]),
    ],
)
def test_cells_of_trainings_that_run_beside_each_other_stand_where_the_last_did(at_once, expected):
    trained = {"unet", "cgnet", "edanet"}
    names = ("enet", "unet", "unet", "erfnet", "cgnet", "dabnet", "edanet")
    listed = [cell(name, recipe=RECIPE if name in trained else None) for name in names]
    assert [" ".join(one.spec.name for one in together) for together in rounds(listed, at_once)] == expected


def test_what_is_trained_together_is_not_everything():
    """Else a budget that ends, Ctrl-C or a full disk in the last training costs all of them."""
    listed = [cell("enet", recipe=RECIPE.model_copy(update={"seed": seed})) for seed in range(9)]
    assert [len(together) for together in rounds(listed, 2)] == [8, 1]
    assert [len(together) for together in rounds(listed, 1)] == [1] * 9


def test_an_accelerator_has_one_training_at_a_time(setting):
    given = setting(trainings_at_once=2, threads=8)
    assert given.trainings_at_once == 2
    assert setting(trainings_at_once=2, threads=1).trainings_at_once == 1
    gpu = replace(given.survey, device=given.survey.device.model_copy(update={"kind": "cuda"}))
    assert replace(given, survey=gpu).trainings_at_once == 1
