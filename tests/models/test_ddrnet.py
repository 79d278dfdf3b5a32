import pytest

from tests.models.networks import check_cost, check_shapes


@pytest.mark.parametrize(
    ("name", "parameters", "giga_macs"),
    [("ddrnet_23_slim", 5_695_987, 36.28), ("ddrnet_23", 20_148_947, 143.06), ("ddrnet_39", 32_360_275, 281.1)],
)
def test_cost_is_the_published_codes(name, parameters, giga_macs):
    check_cost(name, parameters, giga_macs)


@pytest.mark.parametrize("name", ["ddrnet_23_slim", "ddrnet_39"])
def test_shapes_and_heads(name):
    check_shapes(name, 8, [(72, 104), (67, 101)], [7, 7])
