import pytest
import torch

from tests.models.networks import check_cost, check_shapes
from zoo.catalog import MODELS
from zoo.models.build import build_model
from zoo.models.contract import boundary_weights, training_logits


@pytest.mark.parametrize(
    ("name", "parameters", "giga_macs"),
    [("pidnet_s", 7_625_715, 47.19), ("pidnet_m", 28_538_515, 177.3), ("pidnet_l", 36_939_571, 274.9)],
)
def test_cost_is_the_published_codes(name, parameters, giga_macs):
    check_cost(name, parameters, giga_macs)


@pytest.mark.parametrize("name", ["pidnet_s", "pidnet_l"])
def test_shapes_and_heads(name):
    check_shapes(name, 8, [(72, 104), (67, 101)], [7, 7, 1])


def test_the_last_head_is_of_boundaries_and_reaches_only_their_branch():
    model = build_model(MODELS["pidnet_s"], 3)[0]
    assert boundary_weights(model) == (20.0, 1.0)
    training_logits(model, torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    reached = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert {"boundary_head", "boundary3", "boundary4", "differ3", "differ4", "context4"} <= reached
    assert not reached & {"head", "auxiliary_head", "detail3", "detail4", "boundary5", "context5", "pyramid", "fuse"}
