from torch import nn

from tests.models.networks import check_parameters, check_shapes
from zoo.catalog import MODELS
from zoo.models.build import build_empty
from zoo.models.contract import drop_aux_heads


def test_parameters_are_the_published_codes():
    check_parameters("contextnet", 876_563)


def test_the_papers_count_is_of_convolution_weights():
    network = drop_aux_heads(build_empty(MODELS["contextnet"], 19)[0])
    weights = sum(part.weight.numel() for part in network.modules() if isinstance(part, nn.Conv2d))
    assert abs(weights / 0.85e6 - 1) < 0.01


def test_shapes_and_heads():
    check_shapes("contextnet", 8, [(96, 160), (32, 224)], [7, 7])
