"""An artifact held against fp32, by numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.data.layout import open_dataset
from zoo.data.loading import evaluation_frames
from zoo.data.synthetic import write_dataset
from zoo.holding import at_size, expected, hold
from zoo.score.metrics import CLASS_LOSS


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_dataset(folder, image_size=(64, 96), train_count=2, val_count=3)
    return open_dataset(folder)


def truths(dataset):
    return [truth for _, _, truth in evaluation_frames(dataset, "val")]


class Answers:
    """Answers the truth, frame after frame, but for classes it takes for others."""

    def __init__(self, dataset, **taken: str) -> None:
        self.left, names = truths(dataset), dataset.spec.class_names
        self.table = np.arange(256, dtype=np.uint8)
        for name, other in taken.items():
            self.table[names.index(name)] = names.index(other)

    def __call__(self, images):
        assert images.shape == (1, 64, 96, 3)
        return torch.from_numpy(self.table[self.left.pop(0)])[None]


def test_what_each_class_loses(streets):
    told = []
    frames = expected(Answers(streets), streets, "val", on_image=lambda done, count: told.append((done, count)))
    found = hold(Answers(streets, road="sidewalk"), frames, streets.spec)
    pixels = np.concatenate([truth.ravel() for truth in truths(streets)])
    counted = pixels[pixels != 255]
    names, road, walk = streets.spec.class_names, *(int((counted == one).sum()) for one in (0, 1))
    assert names[:2] == ("road", "sidewalk")
    assert found.class_lost["road"] == 1
    assert found.class_lost["sidewalk"] == pytest.approx(road / (road + walk))
    assert all(lost == 0 for name, lost in found.class_lost.items() if name not in ("road", "sidewalk"))
    present = len(np.unique(counted))
    assert found.miou_lost == pytest.approx((1 + road / (road + walk)) / present)
    assert found.miou == pytest.approx(1 - found.miou_lost)
    assert found.equal_share == pytest.approx(1 - (pixels == 0).mean())
    assert (found.image_count, told) == (3, [(1, 3), (2, 3), (3, 3)])
    assert found.loses_miou
    assert found.value(CLASS_LOSS) == found.value(f"{CLASS_LOSS}.road") == 1
    assert next(iter(found.common_lost)) == "road"
    assert found.value("miou_lost") == found.miou_lost
    assert found.value("pipeline_p50_s") is None
    assert found.common == {names[one] for one in np.unique(counted) if (counted == one).mean() >= 0.005}


def test_the_same_answers_lose_nothing(streets):
    found = hold(Answers(streets), expected(Answers(streets), streets, "val"), streets.spec)
    assert (found.miou, found.miou_lost, found.equal_share, found.image_count) == (1, 0, 1, 3)
    assert not found.loses_miou


def test_frames_of_another_size_are_brought_to_the_files():
    seen = []

    def predict(images):
        seen.append(images)
        return images[..., 0]

    images = torch.arange(4, dtype=torch.uint8).repeat_interleave(16)[None, None, :, None].expand(1, 32, 64, 3)
    labels = at_size(predict, (16, 16))(images.contiguous())
    assert [tuple(one.shape) for one in seen] == [(1, 16, 16, 3)]
    assert (labels.shape, labels.dtype) == ((1, 32, 64), torch.uint8)
    assert (labels == images[..., 0]).float().mean() > 0.9
    same = images[:, :16, :16].contiguous()
    at_size(predict, (16, 16))(same)
    assert seen[-1] is same
