import torch

from tests.models.networks import check_cost, check_shapes
from zoo.models.bisenetv2 import bisenetv2


def test_cost_is_the_published_codes():
    check_cost("bisenetv2", 3_358_627, 98.4)


def test_a_narrow_head_is_the_papers_table():
    model = bisenetv2(19, pretrained=False, head_width=128)
    aside = sum(value.numel() for value in model.auxiliary_heads.parameters())
    assert sum(value.numel() for value in model.parameters()) - aside == 2_307_619


def test_shapes_and_heads():
    check_shapes("bisenetv2", 8, [(96, 160), (224, 64)], [7] * 5)


def test_each_branch_decides_the_logits():
    model = bisenetv2(3, pretrained=False, head_width=32)
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    reached = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert reached == {name.split(".")[0] for name, _ in model.named_parameters()} - {"auxiliary_heads"}
