import pytest

from tests.models.networks import check_shapes
from zoo.catalog import MODELS
from zoo.measure.macs import count
from zoo.models.build import build_model


@pytest.mark.parametrize(
    ("name", "parameters", "unused", "giga_macs"),
    [
        ("espnetv2", 789_242, 480, 2.70), ("espnetv2_s15", 468_362, 352, 1.71), ("espnetv2_s10", 234_010, 224, 1.09),
        ("espnetv2_s05", 80_342, 112, 0.60),
    ],
)  # fmt: skip
def test_cost_is_the_published_one(name, parameters, unused, giga_macs):
    cost = count(build_model(MODELS[name], 20)[0], (512, 1024))  # 20 channels, as in the published files
    assert cost.param_count == parameters - unused  # slopes of the downsampling units, which nothing reads
    assert abs(cost.mac_count / 1e9 / giga_macs - 1) < 0.01
    assert not cost.uncounted_ops


@pytest.mark.parametrize("name", ["espnetv2", "espnetv2_s05"])
def test_shapes(name):
    check_shapes(name, 2, [(80, 112), (48, 176)], [7])
