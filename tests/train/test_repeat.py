"""A run's folder holds what repeats it."""

import json
import shutil

import pytest
import torch

from zoo.data.layout import open_dataset
from zoo.errors import UserError
from zoo.train.loop import train_model
from zoo.train.repeat import repeat_run
from zoo.train.run import describe_run, read_run


@pytest.fixture
def trained(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"seed": 3, "color_jitter": 0.3})
    return train_model(tiny().name, config, data=dataset.root, runs=tmp_path / "runs", device="cpu")


def test_run_facts(trained, tiny, config, dataset):
    run = read_run(trained.last.parent)
    assert (run.source, run.dataset, run.fingerprint) == (tiny().builder, dataset.name, dataset.fingerprint())
    assert (run.config.seed, run.recipe_hash, run.process_count) == (3, config.recipe_hash, 1)
    assert run.software.torch == torch.__version__
    assert run.thread_count == torch.get_num_threads()
    assert trained.last.parent.name.endswith(f"{config.recipe_hash}-seed3")
    other = run.model_copy(update={"device": "other", "software": run.software.model_copy(update={"torch": "0"})})
    assert run.differences(other) == (f"torch {torch.__version__} -> 0", f"device {run.device} -> other")


def test_the_same_run_again_gives_the_same(trained, tmp_path):
    again = repeat_run(trained.last.parent, device="cpu")
    assert again.same_weights
    assert again.trained.miou == pytest.approx(again.miou_before, abs=1e-6)
    assert again.miou_before == trained.miou
    assert again.trained.losses == trained.losses
    assert again.differences == ()
    assert again.trained.last.is_relative_to(trained.last.parent / "repeat")
    elsewhere = repeat_run(trained.last.parent, device="cpu", runs=tmp_path / "elsewhere")
    assert elsewhere.trained.last.is_relative_to(tmp_path / "elsewhere")


def test_other_data_is_refused(trained, dataset, tmp_path):
    copy = tmp_path / "streets"
    shutil.copytree(dataset.root, copy)
    labels = {path.read_bytes(): path for path in sorted((copy / "gtFine").rglob("*_labelIds.png"))}
    first, second, *_ = labels.values()
    shutil.copy(first, second)
    assert open_dataset(copy).fingerprint() != dataset.fingerprint()
    with pytest.raises(UserError, match=r"is not what .* was trained on: its fingerprint is") as caught:
        repeat_run(trained.last.parent, data=copy)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_repeated(trained, tmp_path):
    with pytest.raises(UserError, match=r"run\.json cannot be read: .*give the folder of a run"):
        repeat_run(tmp_path)
    folder = trained.last.parent
    path = folder / "run.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"schema_version": 99}))
    with pytest.raises(UserError, match=r"run\.json is damaged or of another zoo") as caught:
        repeat_run(folder)
    assert "\n" not in str(caught.value)
    path.write_text(text)
    shutil.copy(trained.best, folder / "last.safetensors")
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(path, half)
    with pytest.raises(UserError, match=r"no weights can be read from .*half.last\.safetensors"):
        repeat_run(half)


def test_a_checkout_is_named_by_its_commit(tiny, config, dataset, monkeypatch, tmp_path):
    run = describe_run(tiny(), config, dataset, torch.device("cpu"), 1)
    assert run.git_commit is None or len(run.git_commit) == 40
    monkeypatch.setattr("zoo.train.run.shutil.which", lambda _: None)
    run = describe_run(tiny(), config, dataset, torch.device("cpu"), 1)
    assert (run.git_commit, run.git_changed) == (None, None)
