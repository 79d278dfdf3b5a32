"""Learning rates and parameter groups."""

import pytest
import torch
from torch import nn

from zoo.config import TrainConfig
from zoo.train.schedule import learning_rate, make_optimizer, set_learning_rate

CONFIG = TrainConfig(steps=100, warmup_steps=10, sgd_learning_rate=0.1, adamw_learning_rate=1e-3)


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1, bias=False))


def test_poly():
    rates = [learning_rate(step, CONFIG, "sgd_poly") for step in range(100)]
    assert rates[0] == 0.1
    assert rates[50] == pytest.approx(0.1 * 0.5**0.9)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_warmup():
    rates = [learning_rate(step, CONFIG, "adamw_poly") for step in range(100)]
    assert 0 < rates[0] < rates[5] < rates[9]
    assert max(rates) == rates[10] == pytest.approx(1e-3 * 0.9**0.9)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(0, CONFIG.model_copy(update={"warmup_steps": 0}), "adamw_poly") == 1e-3


@pytest.mark.parametrize("family", ["sgd_poly", "adamw_poly"])
def test_complex_parameters_are_trained_too(family):
    """Which a fused optimizer refuses."""
    module = network()
    module.phase = nn.Parameter(torch.ones(4, dtype=torch.cfloat))
    optimizer = make_optimizer(module, CONFIG, family)
    module.phase.abs().sum().backward()
    optimizer.step()
    assert (module.phase != 1).all()
    assert make_optimizer(network(), CONFIG, family).defaults["fused"], "it takes a quarter of the time"


def test_adamw_decays_neither_norms_nor_biases():
    module = network()
    optimizer = make_optimizer(module, CONFIG, "adamw_poly")
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in module.named_parameters()} == {
        "0.weight": 0.01, "0.bias": 0, "1.weight": 0, "1.bias": 0, "2.weight": 0.01,
    }  # fmt: skip
    set_learning_rate(optimizer.param_groups, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


def test_sgd_decays_all():
    (group,) = make_optimizer(network(), CONFIG, "sgd_poly").param_groups
    assert (len(group["params"]), group["weight_decay"], group["momentum"]) == (5, 5e-4, 0.9)


def test_a_network_without_matrices():
    assert len(make_optimizer(nn.BatchNorm2d(3), CONFIG, "adamw_poly").param_groups) == 1
