import pytest
import torch

from tests.models.networks import check_cost, check_shapes
from zoo.models.efficientvit import _LinearAttention, efficientvit_seg


@pytest.mark.parametrize(
    ("size", "parameters", "giga_macs"),
    [("b0", 706_691, 4.4), ("b1", 4_803_443, 25), ("b2", 15_323_779, 74), ("l1", 40_242_227, 282)],
)
def test_cost_is_the_published_one(size, parameters, giga_macs):
    check_cost(f"efficientvit_seg_{size}", parameters, giga_macs)


@pytest.mark.parametrize("size", ["b0", "l1"])
def test_shapes_and_heads(size):
    check_shapes(f"efficientvit_seg_{size}", 8, [(96, 160), (224, 32)], [7])


@pytest.mark.parametrize(("size", "eps"), [("b1", 1e-5), ("l1", 1e-7)])
def test_batch_norm_is_as_the_weights_were_trained_with(size, eps):
    norms = [part for part in efficientvit_seg(3, False, size=size).modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.eps == eps for norm in norms)


def test_linear_attention_is_attention_with_relu():
    layer = _LinearAttention(32, 16).double().eval()
    x = torch.randn(1, 32, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        qkv = layer.qkv(x)
        heads = torch.cat((qkv, layer.aggregate(qkv)), dim=1).view(4, 48, 35)  # each of q, k and v
        answers = []
        for head in heads:
            queries, keys, values = head.relu()[:16], head.relu()[16:32], head[32:]
            weights = keys.T @ queries  # (from, to)
            answers.append(values @ (weights / weights.sum(0)))
        expected = layer.project(torch.stack(answers).view(1, 64, 5, 7))
        assert torch.allclose(layer(x), expected, rtol=1e-9)


def test_a_query_that_meets_no_key_gets_nothing():
    layer = _LinearAttention(32, 16).eval()
    with torch.no_grad():
        layer.qkv.weight.zero_()
        assert layer(torch.randn(1, 32, 5, 7)).isfinite().all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0], ids=["nothing attended to", "usual", "sums beyond 65504"])
def test_linear_attention_in_half_precision_is_that_in_full(scale):
    torch.manual_seed(0)
    layer, x = _LinearAttention(32, 16).eval(), scale * torch.randn(1, 32, 40, 40)
    with torch.inference_mode():
        full, half = layer(x), layer.half()(x.half()).float()
    assert half.isfinite().all()
    assert (half - full).norm() <= 0.01 * full.norm() + 1e-3
