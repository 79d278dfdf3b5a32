import torch

from tests.models.networks import check_cost, check_shapes
from zoo.models.fc_hardnet import _HarmonicBlock, fc_hardnet_70


def test_cost_is_the_published_one():
    check_cost("fc_hardnet_70", 4_119_257, 35.4)


def test_shapes_and_heads():
    check_shapes("fc_hardnet_70", 4, [(65, 129), (90, 139)], [7])


def test_links_go_back_by_powers_of_two_that_divide_the_layer():
    block = _HarmonicBlock(48, 10, 8)
    assert block.links == [[0], [1, 0], [2], [3, 2, 0], [4], [5, 4], [6], [7, 6, 4, 0]]
    widths = [layer[0].out_channels for layer in block.layers]
    assert widths == [10, 18, 10, 28, 10, 18, 10, 50]
    assert block.outputs == 4 * 10 + 50


def test_every_parameter_is_reached():
    model = fc_hardnet_70(3, False)
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(value.grad is not None for value in model.parameters())
