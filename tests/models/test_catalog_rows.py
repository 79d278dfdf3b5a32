"""One contract for every row of the catalog: a new model brings no test file."""

import os
from itertools import pairwise

import pytest
import torch

from zoo.catalog import MODELS
from zoo.models.build import build_empty, build_model
from zoo.models.contract import deployed_parameters, drop_aux_heads, has_aux_heads, training_logits
from zoo.models.deployment import MAX_ERROR, deployed

NUM_CLASSES = 5
ONE_OF_EACH = {(spec.builder, spec.family): spec.name for spec in reversed(MODELS.values())}
"""Rows that differ in width, depth or encoder alone are one network to the contract and to an exporter: the first
stands for all. `zoo verify` counts each of them."""
ROWS = sorted(MODELS if os.environ.get("ZOO_EVERY_ROW") else ONE_OF_EACH.values())


def image_for(spec, batch_size=2):
    """A random image of an odd and small size, padded right and bottom as the pipeline does."""
    return torch.randn(batch_size, 3, *spec.padded((33, 65)), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ROWS)
def test_row_keeps_the_contract(name):
    spec = MODELS[name]
    model, built = build_model(spec, NUM_CLASSES)
    assert built == spec
    assert model.training
    image = image_for(spec)

    heads = training_logits(model, image)
    sum(head.square().mean() for head in heads).backward()
    reached = [value.grad for _, value in model.named_parameters() if value.grad is not None]
    assert reached
    assert all(bool(grad.isfinite().all()) for grad in reached)
    assert len(heads) > 1 or not has_aux_heads(model)

    model.eval()
    assert not any(part.training for part in model.modules())
    with torch.no_grad():
        logits = model(image)
        assert torch.equal(logits, model(image))
    assert isinstance(logits, torch.Tensor)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert logits.shape[:2] == heads[0].shape[:2] == (2, NUM_CLASSES)
    assert all(side <= whole for side, whole in zip(logits.shape[2:], image.shape[2:], strict=True))
    assert sum(value.numel() for _, value in deployed_parameters(model)) > 0

    # Loaded into a network whose parameters were never set, the weights answer the same, hidden buffers included.
    empty, _ = build_empty(spec, NUM_CLASSES)
    empty.load_state_dict(model.state_dict())
    empty.eval()
    buffers = dict(empty.named_buffers())
    assert all(torch.equal(value, buffers[key]) for key, value in model.named_buffers())
    with torch.no_grad():
        assert torch.equal(drop_aux_heads(empty)(image), logits)

    done = deployed(empty, [image.shape[2:]])
    assert done is not None
    ran = set()
    hooks = [part.register_forward_hook(lambda part, *_: ran.add(part)) for part in empty.modules()]
    with torch.no_grad():
        shipped = empty(image)
        assert (shipped - logits).abs().max() <= MAX_ERROR * logits.abs().max()
    assert not has_norm_behind_convolution(part for part in ran if isinstance(part, torch.nn.Sequential))

    # What ships is exported whole, and answers the same.
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        program = torch.export.export(empty, (image,))
        assert torch.allclose(program.module()(image), shipped, atol=1e-4, rtol=1e-4)


def has_norm_behind_convolution(chains):
    """Whether a batch norm still stands right behind a convolution in some chain, where it could be folded."""
    return any(
        type(one) is torch.nn.Conv2d and type(other) is torch.nn.BatchNorm2d
        for chain in chains
        for one, other in pairwise(chain)
    )
