"""The accuracy of a model by its name."""

# ruff: noqa: F811  a fixture's name is that of the argument it becomes

import numpy as np
import pytest

from tests.train.conftest import config, dataset, tiny  # noqa: F401  training's own
from zoo.checkpoint import read_facts
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.modes import evaluation_mode
from zoo.record import Mode
from zoo.score.accuracy import miou
from zoo.state_dict import read_weights, weights_sha256
from zoo.train.loop import train_model


def test_a_trained_model_scores_what_its_training_said(tiny, config, dataset, tmp_path):
    name = tiny().name
    with pytest.raises(UserError, match="no finished run"):
        evaluate_model(name, dataset, runs=tmp_path, device="cpu")
    trained = train_model(name, config, data=dataset.root, runs=tmp_path, device="cpu")
    assert trained.best.is_relative_to(tmp_path)
    result = evaluate_model(name, dataset, runs=tmp_path, device="cpu")
    assert miou(result.confusion) == pytest.approx(trained.miou) == pytest.approx(read_facts(trained.best).miou)
    named = evaluate_model(name, dataset, weights=trained.best, device="cpu", input_size=(16, 16))
    assert (named.network.input_size, result.network.input_size) == ((16, 16), config.image_size)
    assert result.network.weights.sha256 == weights_sha256(read_weights(trained.best))
    assert result.network.weights.recipe_hash == config.recipe_hash
    assert result.network.model == "tiny_net:Net"
    assert named.confusion.sum() == result.confusion.sum()
    assert not np.array_equal(named.confusion, result.confusion)

    assert result.mode == Mode()
    mode = evaluation_mode(window=(16, 16), scales=(0.5, 1.0), flip=True)
    windows = evaluate_model(name, dataset, runs=tmp_path, device="cpu", mode=mode)
    assert windows.mode == mode
    assert windows.confusion.sum() == result.confusion.sum()
    assert not np.array_equal(windows.confusion, result.confusion)

    other = config.model_copy(update={"steps": 2})
    newest = train_model(name, other, data=dataset.root, runs=tmp_path, device="cpu")
    told = []
    latest = evaluate_model(name, dataset, runs=tmp_path, device="cpu", on_source=told.append)
    assert latest.network.weights.sha256 == weights_sha256(read_weights(newest.best))
    assert f"{newest.best}; the newest; there is also run:tiny@{config.recipe_hash[:6]}:0" in told[0].said
    before = evaluate_model(name, dataset, weights=f"run:{config.recipe_hash}", runs=tmp_path, device="cpu")
    assert np.array_equal(before.confusion, result.confusion)
    with pytest.raises(UserError, match="is a checkpoint of"):
        evaluate_model(tiny("Aux").name, dataset, weights=trained.best, device="cpu")
    with pytest.raises(UserError, match="choose another --precision"):
        evaluate_model(name, dataset, weights=trained.best, device="cpu", precision="tf32")


def test_stale_statistics_of_a_run_on_this_data_are_told_and_left_alone(tiny, config, dataset, tmp_path):
    whole_frames = {"steps": 20, "crop_size": (24, 32), "scale_range": (1.0, 1.0)}
    name, config = tiny("Slow").name, config.model_copy(update=whole_frames)
    trained = train_model(name, config, data=dataset.root, runs=tmp_path, device="cpu")
    first, again = (evaluate_model(name, dataset, runs=tmp_path, device="cpu") for _ in range(2))
    (warning,) = first.warnings
    assert warning == again.warnings[0]
    assert np.array_equal(first.confusion, again.confusion)
    assert "as deployed" in warning
    assert warning.endswith("--set batch_norm_batches=50")
    assert len(trained.warnings) == 1
    sound = config.model_copy(update={"batch_norm_batches": 8})
    file = train_model(name, sound, data=dataset.root, runs=tmp_path, device="cpu").best
    assert evaluate_model(name, dataset, weights=file, device="cpu").warnings == ()
