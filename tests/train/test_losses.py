"""The loss: means over what counts, class weights, hard pixels."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoo.config import TrainConfig
from zoo.data.reading import label_shares, read_label
from zoo.errors import UserError
from zoo.spec import IGNORE_INDEX
from zoo.train.losses import SegmentationLoss, boundaries, channel_weights, hard_pixels

CPU = torch.device("cpu")


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 6, 8, generator=rng)
    label = torch.randint(0, 5, (4, 12, 16), generator=rng)
    label[:, :3] = IGNORE_INDEX
    label[2] = IGNORE_INDEX  # an image of which nothing counts
    return logits, label


def make(weights=None, **changes):
    return SegmentationLoss(TrainConfig(**changes), align_corners=False, weights=weights, device=CPU)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0])])
def test_pieces_add_up_to_torchs_own_mean(batch, weights):
    logits, label = batch
    grid = F.interpolate(logits, (12, 16), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(grid, label, weights, ignore_index=IGNORE_INDEX)
    loss = make(weights)
    pieces = [(logits[part], label[part]) for part in (slice(0, 1), slice(1, 4))]
    total = sum(loss(*piece) for piece in pieces) / sum(loss.divisor(piece[1]) for piece in pieces)
    assert total == pytest.approx(float(expected), rel=1e-5)


def test_nothing_that_counts_costs_nothing(batch):
    logits, label = batch
    loss = make()
    assert loss(logits[2:3], label[2:3]) == loss.divisor(label[2:3]) == 0


def test_hard_pixels():
    chance = torch.tensor([[[0.9, 0.2, 0.71, 0.5, 0.95, 0.99]], [[0.99, 0.98, 0.97, 0.96, 0.95, 0.94]]])
    loss = -chance.log()
    one = hard_pixels(loss, 0.7, 1 / 6)
    assert one.tolist() == [[[False, True, False, True, False, False]], [[False] * 5 + [True]]]
    kept = hard_pixels(loss, 0.7, 1 / 2)
    assert kept.tolist() == [[[False, True, True, True, False, False]], [[False] * 3 + [True] * 3]]
    assert hard_pixels(loss, 1.0, 1 / 6).all()
    assert hard_pixels(loss, 0.1, 1.0).all()


def test_easy_pixels_add_nothing_and_stay_in_the_divisor(batch):
    logits, label = batch
    weights = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0])
    grid = F.interpolate(logits, (12, 16), mode="bilinear", align_corners=False)
    chance = grid.softmax(1).gather(1, label.clamp(max=4)[:, None])[:, 0]
    counted = label != IGNORE_INDEX
    weight = weights[label.clamp(max=4)] * counted
    expected = (-chance.log() * weight)[(chance <= 0.3) & counted].sum()
    loss = make(weights, ohem_threshold=0.3, ohem_min_share=1e-9)
    assert loss(logits, label) == pytest.approx(float(expected), rel=1e-5)
    assert loss.divisor(label) == pytest.approx(float(weight.sum()))
    parts = sum(loss(logits[i : i + 1], label[i : i + 1]) for i in range(4))
    assert parts == pytest.approx(float(expected), rel=1e-5)  # each image by itself


def test_enet_weights_are_counted_on_the_training_labels(tiny, dataset):
    labels = np.concatenate([read_label(frame, dataset.spec).ravel() for frame in dataset.frames("train")])
    counted = labels[labels != IGNORE_INDEX]
    shares = label_shares(dataset, "train")
    assert shares == pytest.approx([float((counted == train_id).mean()) for train_id in range(19)])
    weights = channel_weights(TrainConfig(class_weights="inverse_log"), tiny(), dataset)
    assert weights.tolist() == pytest.approx([1 / math.log(1.02 + share) for share in shares])
    assert channel_weights(TrainConfig(), tiny(), dataset) is None


def test_a_list_of_weights_is_one_per_class_of_the_dataset(tiny, dataset):
    config = TrainConfig(class_weights=tuple(float(i) for i in range(19)))
    few = tiny("Few", train_ids=(2, 0, 255, 10))
    assert channel_weights(config, few, dataset).tolist() == [2, 0, 0, 10]
    with pytest.raises(UserError, match="class_weights holds 2 numbers, cityscapes has 19 classes"):
        channel_weights(TrainConfig(class_weights=(1.0, 2.0)), few, dataset)


def test_a_boundary_lies_between_two_classes_that_count():
    label = torch.zeros(1, 12, 16, dtype=torch.int64)
    label[:, :, 8:] = 3
    found = boundaries(label)
    assert found[0, 0].tolist() == [6 <= x < 10 for x in range(16)]
    label[:, :, 8] = IGNORE_INDEX  # void does not count, and is no class to have a boundary with
    assert boundaries(label)[0, 5].nonzero().flatten().tolist() == [7, 9]
    assert not boundaries(torch.full((1, 5, 5), IGNORE_INDEX)).any()
    label[:, :, 8:] = IGNORE_INDEX
    assert not boundaries(label).any()


def test_boundary_loss_is_balanced_within_each_image_and_falls_where_it_is_right():
    label = torch.zeros(3, 12, 16, dtype=torch.int64)
    label[0, :, 8:] = 3
    label[1, 6:] = 1
    label[1, :, :4] = IGNORE_INDEX
    label[2] = IGNORE_INDEX
    edge = torch.zeros(3, 1, 12, 16)
    logits = torch.zeros(3, 5, 12, 16)
    loss = make()
    right = torch.where(boundaries(label), 9.0, -9.0)[:, None]
    expected = 0.0
    for one in label[:2]:
        band, counted = boundaries(one[None])[0], one != IGNORE_INDEX
        share = float(band.sum() / counted.sum())
        expected += 20 * 2 * share * (1 - share) * math.log(2) * int(counted.sum())
    assert loss.boundary(edge, logits, label, (20.0, 0.0)) == pytest.approx(expected, rel=1e-5)
    parts = sum(loss.boundary(edge[i : i + 1], logits[i : i + 1], label[i : i + 1], (20.0, 0.0)) for i in range(3))
    assert parts == pytest.approx(expected, rel=1e-5)
    assert loss.boundary(right, logits, label, (20.0, 0.0)) < 0.01 * expected
    assert loss.boundary(edge, logits, label, (0.0, 1.0)) == 0  # nobody is sure of a boundary
    number = int((label != IGNORE_INDEX).sum())
    assert loss.boundary(right, logits, label, (0.0, 1.0)) == pytest.approx(number * math.log(5), rel=1e-5)


def test_classes_are_learned_only_where_a_boundary_is_predicted_and_the_prediction_is_not_moved_by_them():
    label = torch.zeros(1, 12, 16, dtype=torch.int64)
    edge = torch.full((1, 1, 12, 16), -9.0)
    edge[..., 3] = 9.0
    edge.requires_grad_()
    logits = torch.randn(1, 5, 12, 16, requires_grad=True)
    make().boundary(edge, logits, label, (0.0, 1.0)).backward()
    assert logits.grad.abs().sum((0, 1, 2)).nonzero().flatten().tolist() == [3]
    assert not edge.grad.any()
