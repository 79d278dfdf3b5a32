"""What is asked before the first step, and what a failure after the last one costs."""

import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.catalog import find
from zoo.checkpoint import finished_runs, read_facts
from zoo.data.layout import open_dataset
from zoo.data.loading import TrainStream, train_batches
from zoo.errors import ModelError, UserError
from zoo.state_dict import read_weights, weights_sha256
from zoo.train import loop, preflight
from zoo.train.loop import train, train_model

CPU = torch.device("cpu")


@pytest.fixture
def folder(dataset, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(dataset.root, tmp_path / "data")


def labels(folder, split):
    return sorted((folder / "gtFine" / split).rglob("*_labelIds.png"))


def relabel(folder, split, change):
    for path in labels(folder, split):
        Image.fromarray(change(np.array(Image.open(path)))).save(path)


def refused(spec, config, dataset, run_dir, match, **changes):
    """Training is refused in one line before its first step; what stands in the folder stays."""
    run_dir.mkdir(exist_ok=True)
    (run_dir / "best.safetensors").write_bytes(b"of an earlier run")
    steps, config = [], config.model_copy(update=changes)
    with pytest.raises(UserError, match=match) as caught:
        train(spec, config, dataset, run_dir=run_dir, device=CPU, on_step=lambda *row: steps.append(row))
    assert "\n" not in str(caught.value)
    assert not steps
    assert (run_dir / "best.safetensors").read_bytes() == b"of an earlier run"
    return caught.value


def test_without_a_split_val_training_works_and_says_so(tiny, config, folder, tmp_path, caplog):
    for kind in ("leftImg8bit", "gtFine"):
        shutil.rmtree(folder / kind / "val")
    data, config, name = open_dataset(folder), config.model_copy(update={"val_every": 2}), tiny().name
    trained = train_model(name, config, data=folder, runs=tmp_path / "runs", device="cpu")
    assert trained.complete
    assert trained.miou is None
    assert trained.best == trained.last
    assert read_facts(trained.last).complete
    assert "has no split val (it has train)" in trained.warnings[0]
    assert trained.warnings[0] in caplog.text
    assert [run.file for run in finished_runs(tmp_path / "runs", find(name), data.fingerprint())] == [trained.last]
    assert not list((tmp_path / "runs").rglob("state.pt"))


def test_a_validation_that_fails_costs_no_step(tiny, config, dataset, tmp_path, monkeypatch):
    config = config.model_copy(update={"val_every": 4})
    whole = train(tiny(), config, dataset, run_dir=tmp_path / "whole", device=CPU)

    real, fails = loop._validate, [True, False, True]  # at step 4, there once more, at step 6

    def validate(*arguments):
        if fails.pop(0):
            raise UserError("label x.png cannot be read")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", validate)
        for step in (4, 6):
            with pytest.raises(UserError, match=r"x\.png cannot be read; the weights are kept in .*last\.safetensors"):
                train(tiny(), config, dataset, run_dir=tmp_path / "run", device=CPU)
            facts = read_facts(tmp_path / "run" / "last.safetensors")
            assert (facts.step, facts.complete) == (step, False)
    steps = []
    again = train(tiny(), config, dataset, run_dir=tmp_path / "run", device=CPU, on_step=lambda *row: steps.append(row))
    assert not steps  # the validation alone was owed
    assert (again.losses, again.miou, again.complete) == (whole.losses, whole.miou, True)
    assert hashes(again) == hashes(whole)
    assert len({(tmp_path / run / "validation.csv").read_text() for run in ("run", "whole")}) == 1
    assert read_facts(again.last).complete
    assert not (tmp_path / "run" / "state.pt").exists()


def hashes(trained):
    return [weights_sha256(read_weights(path)) for path in (trained.last, trained.best)]


def test_a_network_that_does_not_take_the_frames_is_refused(tiny, config, dataset, tmp_path):
    """It takes crops of 16x16 and what it is tried on, and no frame of 24x32."""
    error = refused(tiny("Sized"), config, dataset, tmp_path, r"fails on a \(1, 3, 24, 32\)", crop_size=(16, 16))
    assert isinstance(error, ModelError)
    assert "RuntimeError: only squares" in str(error)
    config = config.model_copy(update={"crop_size": (16, 16), "image_size": (16, 16), "steps": 1})
    assert train(tiny("Sized"), config, dataset, run_dir=tmp_path / "run", device=CPU).complete


def test_one_odd_frame_is_tried_too(tiny, config, folder, tmp_path):
    path = labels(folder, "val")[1]
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(path)
    image = folder / "leftImg8bit" / "val" / "town" / path.name.replace("gtFine_labelIds", "leftImg8bit")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(image)
    seen = []

    def make(size):
        seen.append(size)
        return lambda images: images[..., 0]

    preflight.try_network(tiny(), open_dataset(folder), "val", make)
    assert sorted(seen) == [(20, 20), (24, 32)]


def test_a_damaged_file_of_val_is_found_before_the_work(tiny, config, folder, tmp_path):
    path = labels(folder, "val")[-1]
    path.write_bytes(path.read_bytes()[:60])
    refused(tiny(), config, open_dataset(folder), tmp_path / "run", f"{path.name} cannot be read")


def test_a_split_val_without_labels_that_count(tiny, config, folder, tmp_path):
    relabel(folder, "val", np.zeros_like)
    refused(tiny(), config, open_dataset(folder), tmp_path / "run", "split val is labelled.*nothing to measure")


@pytest.mark.parametrize(("value", "match"), [(0, "no label of .* counts"), (7, "'road' is the only class")])
def test_labels_with_nothing_to_tell_apart(tiny, config, folder, tmp_path, value, match):
    relabel(folder, "train", lambda ids: np.full_like(ids, value))
    refused(tiny(), config, open_dataset(folder), tmp_path / "run", match)


def test_a_dataset_of_one_class(tiny, config, folder, tmp_path):
    (folder / "classes.toml").write_text('name = "one"\n[[classes]]\nname = "road"\nvalues = [7]\ncolor = [1, 2, 3]\n')
    relabel(folder, "train", lambda ids: np.where(ids == 7, 7, 0).astype(np.uint8))
    refused(tiny(), config, open_dataset(folder), tmp_path / "run", "has one class, 'road'")


def test_class_weights_that_leave_nothing_to_tell_apart(tiny, config, dataset, tmp_path):
    nothing, one = (0.0,) * 19, (1.0, *[0.0] * 18)
    for weights in (nothing, one):
        refused(tiny(), config, dataset, tmp_path, "nothing to tell apart", class_weights=weights)
    unseen = (1.0, *[0.0] * 16, 1.0, 0.0)  # no motorcycle is labelled
    refused(tiny(), config, dataset, tmp_path, "'road' is the only class", class_weights=unseen)


def test_a_network_that_answers_with_one_class(tiny, config, dataset, tmp_path):
    spec = tiny().model_copy(update={"train_ids": (0, 255, 255)})
    with pytest.raises(ModelError, match="train_ids name 1 of the classes"):
        preflight.require_something_to_learn(spec, config, dataset)


@pytest.mark.parametrize("warmup", [5, 6, 1500])
def test_a_warm_up_that_keeps_the_rate_low(tiny, config, dataset, tmp_path, warmup):
    recipe = {"optimizer": "adamw_poly", "warmup_steps": warmup}
    refused(tiny(), config, dataset, tmp_path, f"warm-up of {warmup} steps in a run of 6", **recipe)
    fine = config.model_copy(update={"warmup_steps": warmup, "optimizer": "sgd_poly"})  # which has none
    assert train(tiny(), fine, dataset, run_dir=tmp_path / "run", device=CPU, validate=False).complete


@pytest.mark.parametrize(
    ("steps", "warmup", "peak"), [(1600, 1500, "29"), (2000, 1500, "36"), (2000, 500, None), (3000, 1500, None)]
)
def test_a_warm_up_that_takes_most_of_a_run(tiny, config, steps, warmup, peak):
    config = config.model_copy(update={"steps": steps, "warmup_steps": warmup, "adamw_learning_rate": 1e-3})
    if peak is None:
        preflight.require_a_recipe_that_learns(tiny(), config, "adamw_poly")
    else:
        with pytest.raises(ModelError, match=f"would reach {peak} % of what was asked"):
            preflight.require_a_recipe_that_learns(tiny(), config, "adamw_poly")


def test_the_rate_that_a_warm_up_reaches_is_told(tiny, config):
    config = config.model_copy(update={"steps": 20, "warmup_steps": 1500})
    with pytest.raises(ModelError, match=r"would reach 0\.\d+ % of what was asked; set warmup_steps=2,"):
        preflight.require_a_recipe_that_learns(tiny(), config, "adamw_poly")


def test_an_average_that_never_leaves_the_first_step(tiny, config, dataset, tmp_path):
    refused(tiny(), config, dataset, tmp_path, "still be 100 % the weights of the first one; set", ema_decay=0.9999)
    preflight.require_a_recipe_that_learns(tiny(), config.model_copy(update={"ema_decay": 0.6}), "sgd_poly")


@pytest.mark.parametrize(
    ("changes", "useful"),
    [
        ({"crop_size": (512, 1024)}, (64, 64)),  # frames of 24x32 at twice their size
        ({"crop_size": (18, 1024)}, (18, 64)),
        ({"crop_size": (512, 1024), "scale_range": (0.5, 1.0)}, (32, 32)),
        ({"crop_size": (512, 1024), "image_size": (256, 512)}, (512, 704)),  # fitted to 256x341
        ({"crop_size": (18, 30)}, (18, 30)),
    ],
)
def test_crops_end_where_all_is_padding(config, dataset, changes, useful):
    config = config.model_copy(update=changes)
    assert preflight.useful_crop_size(config, dataset) == useful
    whole, cut = (
        next(train_batches(dataset, "train", config.model_copy(update={"crop_size": size})))
        for size in (config.crop_size, useful)
    )
    height, width = useful
    assert torch.equal(cut.images, whole.images[:, :height, :width])
    assert torch.equal(cut.labels, whole.labels[:, :height, :width])
    assert (whole.labels[:, height:] == 255).all()
    assert (whole.labels[:, :, width:] == 255).all()


def test_a_cut_crop_is_told_and_is_no_other_recipe(tiny, config, dataset, tmp_path, caplog):
    recipe = config.model_copy(update={"crop_size": (512, 1024)})
    trained = train(tiny(), recipe, dataset, run_dir=tmp_path, device=CPU)
    assert "crops of 512x1024 are cut to 64x64" in caplog.text
    assert read_facts(trained.last).config == recipe
    caplog.clear()
    train(tiny(), config, dataset, run_dir=tmp_path / "other", device=CPU)
    assert "crops" not in caplog.text


def test_a_disk_that_cannot_hold_the_checkpoints(tiny, config, dataset, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    refused(tiny(), config, dataset, tmp_path, "the checkpoints of this run need .* GiB free; free some room")


def test_batches_that_end_cost_no_step(tiny, config, dataset, tmp_path, monkeypatch):
    """A loader process that is killed, say."""
    whole = train(tiny(), config, dataset, run_dir=tmp_path / "whole", device=CPU)

    class Failing(TrainStream):
        def __next__(self):
            if len(told) == 3:
                raise ModelError("a process that loads batches failed")
            told.append(super().__next__())
            return told[-1]

    told = []

    def failing(*arguments, **options):
        stream = train_batches(*arguments, **options)
        stream.__class__ = Failing
        return stream

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_batches", failing)
        with pytest.raises(ModelError, match="loads batches failed"):
            train(tiny(), config, dataset, run_dir=tmp_path / "parts", device=CPU)
    assert read_facts(tmp_path / "parts" / "last.safetensors").step == 3
    assert hashes(train(tiny(), config, dataset, run_dir=tmp_path / "parts", device=CPU)) == hashes(whole)
