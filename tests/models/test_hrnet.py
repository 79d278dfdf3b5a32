import pytest
import torch

from tests.models.networks import check_cost, check_shapes
from zoo.catalog import MODELS
from zoo.models.build import build_model
from zoo.models.contract import has_aux_heads, training_logits


@pytest.mark.parametrize(
    ("name", "parameters", "gibi_macs"), [("hrnet_w18_small", 3_939_309, 71.6), ("hrnet_w48", 65_858_659, 696.2)]
)
def test_cost_is_the_published_one(name, parameters, gibi_macs):
    check_cost(name, parameters, gibi_macs * 2**30 / 1e9)


def test_cost_of_ocr():
    # Parameters are those of mmseg's network; nobody published MACs of it, so they only hold the graph still.
    check_cost("hrnet_w48_ocr", 70_371_446, 1297.9)


@pytest.mark.parametrize("name", ["hrnet_w18_small", "hrnet_w48"])
def test_shapes_and_heads(name):
    check_shapes(name, 4, [(65, 129), (75, 131)], [7])


def test_the_first_guess_of_ocr_trains_with_a_loss_of_its_own_and_runs_deployed():
    model = build_model(MODELS["hrnet_w48_ocr"], 7)[0].eval()
    assert not has_aux_heads(model)
    image = torch.randn(1, 3, 65, 75)
    with torch.no_grad():
        logits, guess = training_logits(model, image)
        assert logits.shape == guess.shape == (1, 7, 17, 19)
        assert torch.equal(logits, model(image))
        model.head[1].weight.zero_()  # a guess without an opinion: each region is the mean of all pixels
        assert not torch.allclose(model(image), logits)


def test_every_branch_reaches_the_logits_and_the_logits_every_parameter():
    model = build_model(MODELS["hrnet_w18_small"], 3)[0]
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(value.grad is not None for value in model.parameters())
