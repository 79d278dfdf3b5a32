"""A trained model by its name."""

import numpy as np
import pytest

from zoo.checkpoint import read_facts, read_weights, weights_sha256
from zoo.errors import UserError
from zoo.modes import evaluation_mode
from zoo.record import Mode
from zoo.score.accuracy import miou
from zoo.train.loop import train_model
from zoo.train.validate import evaluate_model


def test_a_trained_model_scores_what_its_training_said(tiny, config, dataset, tmp_path):
    name = tiny().name
    with pytest.raises(UserError, match="no finished run"):
        evaluate_model(name, dataset, runs=tmp_path, device="cpu")
    trained = train_model(name, config, data=dataset.root, runs=tmp_path, device="cpu")
    assert trained.best.is_relative_to(tmp_path)
    result = evaluate_model(name, dataset, runs=tmp_path, device="cpu")
    assert miou(result.confusion) == pytest.approx(trained.miou) == pytest.approx(read_facts(trained.best).miou)
    named = evaluate_model(name, dataset, checkpoint=trained.best, device="cpu", input_size=(16, 16))
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
    train_model(name, other, data=dataset.root, runs=tmp_path, device="cpu")
    with pytest.raises(UserError, match="by 2 recipes; give --checkpoint"):
        evaluate_model(name, dataset, runs=tmp_path, device="cpu")
    with pytest.raises(UserError, match="is a checkpoint of"):
        evaluate_model(tiny("Aux").name, dataset, checkpoint=trained.best, device="cpu")
    with pytest.raises(UserError, match="choose another --precision"):
        evaluate_model(name, dataset, checkpoint=trained.best, device="cpu", precision="tf32")
