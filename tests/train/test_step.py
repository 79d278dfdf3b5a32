"""One step on tiny networks: what each head adds to the loss."""

import pytest
import torch

from zoo.config import TrainConfig
from zoo.data.loading import Batch
from zoo.models.build import build_model
from zoo.train.step import TrainingStep

CPU = torch.device("cpu")


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    label = torch.zeros(2, 16, 32, dtype=torch.uint8)
    label[0, :, 12:] = 2
    label[1, 8:] = 1
    return Batch(torch.randint(0, 256, (2, 16, 32, 3), dtype=torch.uint8, generator=rng), label, torch.ones(2, 3))


def make(tiny, name, **changes):
    torch.manual_seed(0)
    module, spec = build_model(tiny(name), 19)
    return TrainingStep(module, spec, TrainConfig(precision="fp32", **changes), num_classes=19, device=CPU)


def test_a_boundary_head_learns_boundaries_and_is_no_head_of_classes(tiny, batch):
    step = make(tiny, "Edge", aux_weight=0.0)
    step.gradients(0, [batch])
    head = step.module.edge
    assert head.weight.grad.abs().sum() > 0
    assert step.module.aux.weight.grad.abs().sum() == 0
    with_it, _ = step.gradients(0, [batch])
    step.module.boundary_weights = (0.0, 0.0)
    without, _ = step.gradients(0, [batch])
    assert with_it > without + 1
    assert head.weight.grad.abs().sum() == 0


def test_a_boundary_heads_loss_does_not_depend_on_the_pieces(tiny, batch):
    step = make(tiny, "Edge")
    step.module.eval()  # no dropout, no batch statistics
    whole, length = step.gradients(0, [batch])
    pieces = [Batch(*(part[i : i + 1] for part in batch)) for i in range(2)]
    assert step.gradients(0, pieces) == pytest.approx((whole, length), rel=1e-4)
