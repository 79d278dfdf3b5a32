import pytest
import torch

from tests.models.networks import check_cost, check_shapes
from zoo.catalog import MODELS
from zoo.models.build import build_model
from zoo.models.contract import boundary_weights


@pytest.mark.parametrize(
    ("name", "parameters", "giga_macs"), [("stdc1", 8_275_104, 16.86), ("stdc2", 12_305_568, 23.46)]
)
def test_cost_is_the_published_codes(name, parameters, giga_macs):
    check_cost(name, parameters, giga_macs, (512, 1024))


def test_shapes_and_heads():
    check_shapes("stdc1", 8, [(96, 160), (224, 64)], [7, 7, 7, 1])
    assert boundary_weights(build_model(MODELS["stdc1"], 7)[0]) == (20.0, 0.0)


def test_the_logits_have_a_bias_that_only_a_file_brings():
    model = build_model(MODELS["stdc1"], 3)[0].eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)
        model.load_state_dict({**model.state_dict(), "head.1.bias": torch.tensor([1.0, 2.0, 3.0])})
        moved = (model(image) - before).mean((0, 2, 3))
    assert moved.tolist() == pytest.approx([1, 2, 3], rel=1e-4)
    assert "head.1.bias" not in dict(model.named_parameters())
