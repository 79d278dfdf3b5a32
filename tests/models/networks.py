"""What every network of the zoo's own is held to."""

import torch

from zoo.catalog import MODELS
from zoo.measure.macs import count
from zoo.models.build import build_model
from zoo.models.contract import drop_aux_heads, has_aux_heads, training_logits

CITYSCAPES = (1024, 2048)


def check_cost(name, parameters, giga_macs, size=CITYSCAPES):
    """Parameters of the deployed network exactly, MACs within 3 %."""
    cost = count(build_model(MODELS[name], 19)[0], size)
    assert cost.param_count == parameters
    assert abs(cost.mac_count / 1e9 / giga_macs - 1) < 0.03
    assert not cost.uncounted_ops


def check_parameters(name, parameters):
    """Parameters of the deployed network exactly, and every operator of its arithmetic counted."""
    cost = count(build_model(MODELS[name], 19)[0], (256, 512))
    assert cost.param_count == parameters
    assert cost.mac_count
    assert not cost.uncounted_ops


def check_shapes(name, stride, sizes, channels):
    """Logits at the network's stride, twice the same; heads of `channels` in training, and none deployed."""
    model = build_model(MODELS[name], 7)[0]
    image = torch.randn(2, 3, *sizes[0], generator=torch.Generator().manual_seed(0))
    heads = training_logits(model, image)
    assert [head.shape[1] for head in heads] == channels
    assert has_aux_heads(model) == (len(channels) > 1)
    model.eval()
    with torch.inference_mode():
        before = model(image)
        drop_aux_heads(model)
        assert not has_aux_heads(model)
        for size in sizes:
            image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
            logits = model(image)
            assert logits.shape == (1, 7, *(-(-side // stride) for side in size))
            assert torch.equal(logits, model(image))
        image = torch.randn(2, 3, *sizes[0], generator=torch.Generator().manual_seed(0))
        assert torch.equal(model(image), before)
