import pytest
import torch
from torch import nn

from tests.models.networks import check_parameters, check_shapes
from zoo.catalog import MODELS
from zoo.models.build import build_empty
from zoo.models.contract import drop_aux_heads


def test_parameters_are_the_published_codes():
    check_parameters("fast_scnn", 1_138_051)
    check_parameters("fast_scnn_mmseg", 1_399_939)


def test_the_papers_count_is_of_convolution_weights():
    network = drop_aux_heads(build_empty(MODELS["fast_scnn"], 19)[0])
    weights = sum(part.weight.numel() for part in network.modules() if isinstance(part, nn.Conv2d))
    assert abs(weights / 1.11e6 - 1) < 0.01


@pytest.mark.parametrize("name", ["fast_scnn", "fast_scnn_mmseg"])
def test_shapes_and_heads(name):
    check_shapes(name, 8, [(96, 160), (32, 224)], [7, 7, 7])


def test_the_shared_layers_run_once_in_training():
    network = build_empty(MODELS["fast_scnn"], 7)[0]
    calls = []
    network.shallow.register_forward_hook(lambda *_: calls.append(1))
    network.training_logits(torch.zeros(2, 3, 64, 64))
    assert calls == [1]
