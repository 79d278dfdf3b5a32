import pytest

from tests.models.networks import check_cost, check_shapes


@pytest.mark.parametrize(
    ("name", "parameters", "giga_macs"), [("pp_liteseg_t", 8_027_808, 45.68), ("pp_liteseg_b", 12_234_240, 76.90)]
)
def test_cost_is_the_published_codes(name, parameters, giga_macs):
    # Parameters are those of super-gradients' network; nobody published MACs of it, so they only hold the graph still.
    check_cost(name, parameters, giga_macs)


@pytest.mark.parametrize("name", ["pp_liteseg_t", "pp_liteseg_b"])
def test_shapes_and_heads(name):
    check_shapes(name, 8, [(96, 160), (224, 64)], [7] * 4)
