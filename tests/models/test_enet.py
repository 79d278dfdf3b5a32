import torch

from tests.models.networks import check_parameters, check_shapes
from zoo.catalog import MODELS
from zoo.measure.macs import count
from zoo.models.build import build_model


def test_parameters_are_the_published_codes():
    check_parameters("enet", 351_660)  # 20 channels, as the published file has: 144 more


def test_operations_are_near_the_papers():
    macs = count(build_model(MODELS["enet"], 20)[0], (360, 640)).mac_count
    assert 0.9 < 2 * macs / 3.83e9 < 1


def test_shapes():
    check_shapes("enet", 1, [(72, 104), (40, 88)], [7])


def test_unpooling_puts_values_where_the_maxima_stood():
    network = build_model(MODELS["enet"], 7)[0].eval()
    with torch.no_grad():
        x = torch.randn(1, 16, 8, 8)
        _, places = network.down1(x)
        raised = torch.nn.functional.max_unpool2d(torch.ones(1, 16, 4, 4), places, 2)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2)
    largest = windows == windows.amax((-1, -2), keepdim=True)
    assert torch.equal(raised.unfold(2, 2, 2).unfold(3, 2, 2) == 1, largest)
