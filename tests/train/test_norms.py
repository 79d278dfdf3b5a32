"""Statistics of batch norms: estimated anew, and held against those of the batch."""

import copy

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.optim.swa_utils import update_bn

from zoo.train.norms import ModeGap, by_the_batch, estimate_statistics, mode_gap

IMAGES = [torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(index)) for index in range(5)]


def network(*, drop=0.0, momentum=0.01):
    torch.manual_seed(0)
    parts = (
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.ReLU(), nn.Dropout(drop), nn.Conv2d(4, 5, 1),
        nn.BatchNorm2d(5, momentum=momentum),
    )  # fmt: skip
    return nn.Sequential(*parts)


def buffers(module):
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def same(some, others):
    return all(torch.equal(value, others[name]) for name, value in some.items())


def test_statistics_are_the_plain_average_over_the_batches():
    module, other = network(), network()
    estimate_statistics(module, IMAGES)
    update_bn(IMAGES, other)
    assert same(buffers(module), buffers(other))
    inputs = [module[0](image) for image in IMAGES]
    mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    variance = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in inputs]).mean(0)
    assert torch.allclose(module[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(module[1].running_var, variance, atol=1e-6)
    assert module[1].momentum == 0.01
    assert module.training


@pytest.mark.parametrize("spoilt", [100.0, float("nan")])
def test_what_the_statistics_were_before_does_not_matter(spoilt):
    module, other = network(), network()
    module[1].running_mean.fill_(spoilt)
    for one in (module, other):
        estimate_statistics(one, IMAGES)
    assert same(buffers(module), buffers(other))


def test_dropout_is_off_as_it_is_when_deployed():
    plain, dropping = network(), network(drop=0.9)
    for module in (plain, dropping):
        estimate_statistics(module, IMAGES)
    assert same(buffers(plain), buffers(dropping))
    assert dropping[3].training


def test_frozen_and_unreached_norms_keep_what_they_have():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.frozen, self.unused = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def train(self, mode=True):
            super().train(mode)
            self.frozen.eval()
            return self

        def forward(self, image):
            return self.frozen(self.seen(image))

    module = Partly().train()
    for norm in (module.frozen, module.unused):
        norm.running_mean.fill_(7.0)
    before = buffers(module)
    estimate_statistics(module, IMAGES)
    changed = {name.split(".")[0] for name, value in buffers(module).items() if not torch.equal(value, before[name])}
    assert changed == {"seen"}
    assert not module.frozen.training
    assert module.unused.training


def test_norms_of_auxiliary_heads_are_reached():
    class Aux(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.aux = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, image):
            return self.main(image)

        def training_logits(self, image):
            return self.main(image), self.aux(image)

    module = Aux()
    estimate_statistics(module, IMAGES)
    assert module.aux.num_batches_tracked == len(IMAGES)


def test_a_network_without_batch_norms_costs_no_batch():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))
    estimate_statistics(module, (pytest.fail("a batch was loaded") for _ in range(1)))
    assert mode_gap(module, lambda: pytest.fail("it predicted"), 4) is None


def test_synchronised_norms_ask_no_other_process(tmp_path):
    """Which would wait for them for ever; on a CPU they even refuse to."""
    module, other = network(), network()
    whole = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="GPU"):
            whole(IMAGES[0])
        estimate_statistics(whole, IMAGES)
        found = buffers(whole)
        with pytest.raises(ValueError, match="GPU"):
            whole(IMAGES[0])
    finally:
        dist.destroy_process_group()
    estimate_statistics(other, IMAGES)
    assert same(found, buffers(other))


def answers(module, truths):
    def answer():
        with torch.no_grad():
            for image, truth in zip(IMAGES, truths, strict=True):
                yield truth, module(image).argmax(1).byte().numpy()

    return answer


def test_a_gap_between_the_modes_is_seen_and_leaves_no_trace():
    module = network()
    with torch.no_grad(), by_the_batch(copy.deepcopy(module)):
        truths = [module(image).argmax(1).byte().numpy() for image in IMAGES]
    module = network()
    module[1].running_mean.fill_(30.0)
    before = buffers(module)
    gap = mode_gap(module, answers(module, truths), 5)
    assert same(buffers(module), before)
    assert module.training
    assert gap.by_batch == 1
    assert gap.running < 0.5
    assert gap.image_count == 20
    warning = gap.warning("net", 0)
    assert warning.startswith("net: the running statistics of its batch norms do not fit its weights")
    assert f"{100 * gap.running:.1f} % with them, as deployed, and 100.0 %" in warning
    assert warning.endswith("--set batch_norm_batches=50")
    assert gap.warning("net", 100).endswith("--set batch_norm_batches=400")
    estimate_statistics(module, IMAGES)
    assert mode_gap(module, answers(module, truths), 5).warning("net", 5) is None


@pytest.mark.parametrize(("running", "by_batch", "warns"), [(0.5, 0.61, True), (0.5, 0.59, False), (0.7, 0.5, False)])
def test_more_than_ten_points_are_worth_a_warning(running, by_batch, warns):
    assert (ModeGap(running, by_batch, 8).warning("net", 0) is not None) == warns


def test_nothing_labelled_is_no_gap():
    module = network()
    nothing = [np.full((4, 22, 22), 255, np.uint8) for _ in IMAGES]
    assert mode_gap(module, answers(module, nothing), 5) is None
