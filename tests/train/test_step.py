"""One step on tiny networks: what each head adds to the loss."""

import pytest
import torch
from torch import nn

from zoo.config import TrainConfig
from zoo.data.loading import Batch
from zoo.errors import ModelError
from zoo.models.build import build_model
from zoo.train import step as step_module
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
    config = TrainConfig(**{"precision": "fp32"} | changes)
    return TrainingStep(module, spec, config, num_classes=19, device=CPU)


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


def test_a_processor_trains_in_bf16_what_it_gets_right(tiny, monkeypatch):
    monkeypatch.setattr(step_module, "gains_from_bf16", lambda _device: True)
    assert make(tiny, "Net", precision="auto").bf16
    assert make(tiny, "Net", precision="bf16").bf16
    assert not make(tiny, "Dilated", precision="auto").bf16
    with pytest.raises(ModelError, match=r"Dilated cannot be trained in bf16 on a processor: .* auto or fp32$"):
        make(tiny, "Dilated", precision="bf16")


@pytest.mark.parametrize(
    "part",
    [
        nn.Conv2d(32, 32, 3, dilation=2, groups=32),
        nn.Conv2d(32, 32, 3, dilation=2, groups=4),
        nn.Conv2d(40, 40, (3, 1), dilation=(2, 1)),
        nn.ConvTranspose2d(16, 16, 3, dilation=2),
    ],
    ids=["depthwise", "grouped", "dense", "transposed"],
)
def test_what_a_processor_gets_wrong_in_bf16(part):
    assert step_module._is_wrong_in_bf16(part)


def fill_what_is_freed():
    """Leave infinities in the memory that the next tensors get."""
    for size in (2**power for power in range(6, 20)):
        torch.full((size,), float("inf"))


KINDS = [  # channels, groups, dilation
    *((32, 32, 1), (32, 16, 1), (40, 1, 1)),
    *((32, 2, 2), (64, 2, 2), (16, 1, 2), (32, 1, 4), (48, 1, 2)),
]


@pytest.mark.parametrize(("channel_count", "group_count", "dilation"), KINDS)
def test_what_a_processor_trains_in_bf16_has_the_gradients_of_fp32(channel_count, group_count, dilation):
    torch.manual_seed(0)
    part = nn.Conv2d(channel_count, channel_count, 3, padding=dilation, dilation=dilation, groups=group_count)
    assert not step_module._is_wrong_in_bf16(part)
    part.to(memory_format=torch.channels_last)
    shape = (2, channel_count, 16, 32)
    image, back = (torch.randn(shape).to(memory_format=torch.channels_last) for _ in range(2))
    weights = []
    for bf16 in (False, True):
        fill_what_is_freed()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            (part(image).float() * back).sum().backward()
        weights.append(part.weight.grad.clone())
        part.zero_grad()
    assert (weights[1] - weights[0]).norm() < 0.02 * weights[0].norm()
