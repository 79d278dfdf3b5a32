import torch

from tests.models.networks import check_cost, check_shapes
from zoo.models.icnet import icnet_resnet18


def test_cost_is_the_published_codes():
    # Parameters are those of mmseg's network; nobody published MACs of it, so they only hold the graph still.
    check_cost("icnet_resnet18", 24_874_067, 74.2)


def test_shapes_and_heads():
    check_shapes("icnet_resnet18", 8, [(65, 129), (131, 90)], [7, 7, 7])


def test_auxiliary_heads_read_what_fusion_upsampled():
    model = icnet_resnet18(3, False)
    logits, at_16, at_8 = model.training_logits(torch.randn(2, 3, 64, 128))
    assert logits.shape == at_8.shape == (2, 3, 8, 16)
    assert at_16.shape == (2, 3, 5, 9)  # the encoder pools with sizes rounded up, and one more
    at_16.square().mean().backward()
    reached = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert {"layer4", "pyramid", "fuse_16", "aux_head_16"} <= reached
    assert not reached & {"whole", "fuse_8", "head", "aux_head_8"}
