from __future__ import annotations

from pathlib import Path

import pytest

from zoo.config import BenchConfig, TrainConfig, load_config, parse_set
from zoo.errors import UserError
from zoo.presets import RECIPE_HASHES, preset_folder, preset_names, recipes


def test_every_shipped_preset_is_whole_and_valid():
    assert {"quick", "camvid", "cityscapes", "latency"} <= set(preset_names("bench"))
    assert {"camvid", "camvid_fast", "cityscapes_80k", "cityscapes_fast"} == set(preset_names("train"))
    for name in preset_names("bench"):
        assert load_config(BenchConfig, name).name == name
    for name in preset_names("train"):
        assert load_config(TrainConfig, name).name == name


def test_the_bench_presets_do_what_their_names_say():
    quick = load_config(BenchConfig, "quick")
    assert quick.quick
    assert quick.train_missing
    assert not quick.keep_checkpoints
    assert quick.disk_bytes <= 3 * 10**9
    assert load_config(BenchConfig, "cityscapes").train == load_config(TrainConfig, "cityscapes_80k")
    assert {load_config(BenchConfig, name).input_sizes for name in preset_names("bench")} == {()}, "as trained"
    assert not load_config(BenchConfig, "latency").accuracy
    assert load_config(BenchConfig, "camvid").train.steps >= 300


def test_every_shipped_recipe_estimates_the_statistics_of_batch_norms_anew():
    recipes = [load_config(TrainConfig, name) for name in preset_names("train")]
    recipes += [recipe for name in preset_names("bench") if (recipe := load_config(BenchConfig, name).train)]
    assert len(recipes) >= 6
    assert all(recipe.batch_norm_batches > 0 for recipe in recipes)


def test_every_recipe_that_a_sweep_trains_by_is_one_for_a_training():
    of_sweeps = [recipe for name in preset_names("bench") if (recipe := load_config(BenchConfig, name).train)]
    assert {"camvid_cpu", "quick"} <= {recipe.name for recipe in of_sweeps}
    assert set(recipes()) == {*preset_names("train"), *(recipe.name for recipe in of_sweeps)}
    assert {name: load_config(TrainConfig, name).recipe_hash for name in recipes()} == RECIPE_HASHES
    for recipe in of_sweeps:
        assert load_config(TrainConfig, recipe.name) == recipe, "one run, whoever trains it"
    assert load_config(TrainConfig, "camvid_cpu", {"steps": 7}).steps == 7
    with pytest.raises(UserError, match=r"no train preset 'camvid_gpu'. Did you mean 'camvid_cpu'.* Shipped: camvid, "):
        load_config(TrainConfig, "camvid_gpu")


def test_the_file_of_a_sweep_is_its_recipe_however_its_path_is_written(tmp_path, monkeypatch):
    """Relative, absolute, through a link, and a sweep of one's own: what it trains by is what the sweep trains."""
    shipped = preset_folder("bench")
    (tmp_path / "linked").symlink_to(shipped)
    mine = tmp_path / "mine.toml"
    mine.write_text('models = ["unet"]\n[train]\nsteps = 3\n')
    assert load_config(TrainConfig, str(mine)) == load_config(BenchConfig, str(mine)).train
    monkeypatch.chdir(shipped.parent)
    for folder in (shipped, Path("bench"), tmp_path / "linked"):
        camvid = load_config(TrainConfig, str(folder / "camvid.toml"))
        assert camvid == load_config(BenchConfig, "camvid").train
        with pytest.raises(UserError, match=r"latency\.toml .*no \[train\] table.* recipe: .*camvid_cpu") as none:
            load_config(TrainConfig, str(folder / "latency.toml"))
        assert "\n" not in str(none.value)
    mine.write_text("train = 3")
    with pytest.raises(UserError, match=r"mine\.toml .*no \[train\] table"):
        load_config(TrainConfig, str(mine))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, "unknown key 'stepz'. Did you mean 'steps'"),
        ({"steps": "many"}, "steps: .*valid integer.*got 'many'"),
        ({"crop_size": [-1, 64]}, "crop_size: .*above 0; got -1x64"),
        ({"scale_range": [2.0, 0.5]}, "0 < low <= high"),
        ({"optimizer": "adam"}, "optimizer: .*auto"),
        ({"batch_size": 6, "accumulate": 4}, "multiple of accumulate; got 6 images in 4 pieces"),
        ({"ema_decay": 1.0}, "ema_decay: .*less than 1; got 1.0"),
        ({"class_weights": [1.0, -2.0]}, "class_weights.*"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config(TrainConfig, None, changes)
    assert "\n" not in str(caught.value)


def test_a_wrong_preset_names_the_file_or_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"no bench preset 'quik'. Did you mean 'quick'"):
        load_config(BenchConfig, "quik")
    broken = tmp_path / "mine.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(UserError, match=r"mine\.toml cannot be read as TOML"):
        load_config(TrainConfig, str(broken))
    broken.write_text("[train]\nsteps = 3\nlr = 1")
    with pytest.raises(UserError, match=r"mine\.toml: unknown key 'train\.lr'"):
        load_config(BenchConfig, str(broken))
    with pytest.raises(UserError, match=r"no preset file .*none\.toml"):
        load_config(BenchConfig, str(tmp_path / "none.toml"))


def test_a_wrong_flag_is_not_blamed_on_the_preset():
    with pytest.raises(UserError, match=r"^the flags: batch_size: .*greater than 0; got 0"):
        load_config(BenchConfig, "quick", {"batch_size": 0})
    with pytest.raises(UserError, match=r"^the flags: precisions"):
        load_config(BenchConfig, "quick", {"precisions": ["fp8"]})
    for whole in ({"rate_hz": 10, "batch_size": 2}, {"rate_hz": 10, "throughput": True}):
        with pytest.raises(UserError, match=r"^the flags: rate_hz = 10 makes a call for each frame and"):
            load_config(BenchConfig, "latency", whole)
    with pytest.raises(UserError, match=r"^the flags: train: batch_size is a multiple of accumulate; got 2 images"):
        load_config(BenchConfig, "quick", {"train.accumulate": 4})


def test_a_wrong_preset_is_not_blamed_on_the_flags(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("rate_hz = 10\nbatch_size = 2\n")
    for changes in ({}, {"device": "cpu"}):
        with pytest.raises(UserError, match=r"mine\.toml: rate_hz = 10 makes a call for each frame and"):
            load_config(BenchConfig, str(file), changes)
    with pytest.raises(UserError, match=r"^the flags: device: "):
        load_config(BenchConfig, str(file), {"device": "tpu"})


def test_a_recipe_that_is_named_by_its_hash_is_that_one():
    digest = load_config(TrainConfig, "quick").recipe_hash
    for digits in (digest, digest[:6]):
        assert load_config(TrainConfig, f"quick@{digits}", {"steps": 3}).steps == 3, "changes come after"
    with pytest.raises(UserError, match=f"quick that comes with zoo is {digest[:6]}, not 8875bc; give the file"):
        load_config(TrainConfig, "quick@8875bc")
    with pytest.raises(UserError, match=r"no train preset 'quikc'\. Did you mean 'quick'"):
        load_config(TrainConfig, "quikc@8875bc")


def test_training_needs_its_recipe():
    with pytest.raises(UserError, match=r"needs a \[train\] table"):
        load_config(BenchConfig, None, {"train_missing": True})


def test_seeds_count_up_from_the_recipes_own():
    config = load_config(BenchConfig, "quick", {"seeds": 3, "train.seed": 5})
    assert [recipe.seed for recipe in config.recipes] == [5, 6, 7]
    assert {recipe.model_copy(update={"seed": 5}) for recipe in config.recipes} == {config.train}
    assert load_config(BenchConfig, "quick").recipes == (load_config(BenchConfig, "quick").train,)
    assert BenchConfig().recipes == ()


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("latency", {"seeds": 3}, r"seeds = 3 needs a \[train\] table: the recipe to train with"),
        ("quick", {"seeds": 2, "accuracy": False}, "seeds = 2 needs accuracy = true"),
        ("quick", {"seeds": 0}, "the flags: seeds: .*greater than 0; got 0"),
    ],
)
def test_seeds_need_a_recipe_and_images(preset, changes, message):
    with pytest.raises(UserError, match=message):
        load_config(BenchConfig, preset, changes)


def test_the_recipe_hash_is_of_the_recipe_and_neither_of_its_seed_nor_of_how_fast_it_runs():
    recipe = TrainConfig()
    assert recipe.recipe_hash == TrainConfig(workers=3, compile=True).recipe_hash
    assert recipe.recipe_hash == TrainConfig(seed=1).recipe_hash
    changes = (
        {"steps": 5}, {"accumulate": 2}, {"ema_decay": 0.9}, {"ohem_threshold": 0.7}, {"ohem_min_share": 0.5},
        {"class_weights": "inverse_log"}, {"class_weights": (1.0, 2.0)}, {"batch_norm_batches": 4},
    )  # fmt: skip
    hashes = {TrainConfig(**change).recipe_hash for change in changes}
    assert len(hashes) == len(changes)
    assert recipe.recipe_hash not in hashes


def test_recipes_that_records_name_keep_their_hashes():
    """Those of the first records, when a recipe had fewer keys."""
    older = {"train.batch_norm_batches": 0}
    first = {
        "steps": 6, "batch_size": 2, "image_size": [128, 256], "crop_size": [128, 256], "scale_range": [0.75, 1.5],
        "optimizer": "auto",
        "sgd_learning_rate": 0.02, "adamw_learning_rate": 6e-4, "warmup_steps": 0, "color_jitter": 0.3,
        "grad_clip": 1.0, "poly_power": 0.9, "precision": "auto",
    }  # fmt: skip
    assert load_config(BenchConfig, "camvid", older).train.recipe_hash == "cd5955001c24"
    assert (
        load_config(
            BenchConfig, "quick", older | {f"train.{key}": value for key, value in first.items()}
        ).train.recipe_hash
        == "8875bcb3d8a4"
    )


def test_sizes_are_written_as_everywhere():
    changes = parse_set(["train.crop_size=64x128", "train.image_size=[32, 64]", "image_size=96X160"])
    config = load_config(BenchConfig, "quick", changes)
    assert (config.train.crop_size, config.train.image_size, config.image_size) == ((64, 128), (32, 64), (96, 160))
    with pytest.raises(UserError, match=r"^the flags: crop_size: a size is HEIGHTxWIDTH in pixels, such as 512x1024"):
        load_config(TrainConfig, None, parse_set(["crop_size=64"]) | {"crop_size": "64"})


def test_set_pairs_are_toml_or_plain_text():
    assert parse_set(["steps=300", "crop_size=[64, 128]", "flip=false", "optimizer=adamw_poly", "train.steps=2"]) == {
        "steps": 300,
        "crop_size": [64, 128],
        "flip": False,
        "optimizer": "adamw_poly",
        "train.steps": 2,
    }
    assert load_config(BenchConfig, "quick", {"train.steps": 2}).train.steps == 2
    with pytest.raises(UserError, match="takes key=value"):
        parse_set(["steps"])
