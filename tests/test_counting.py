"""Accuracy of whatever predicts, against the official evaluation and by hand."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.scored import (
    CLASS_IDS,
    IDS,
    assert_equals_official_json,
    draw_streets,
    official_json,
    random_maps,
    train_ids,
    write_set,
)
from zoo.counting import accuracy_record, by_size, evaluate
from zoo.data.reading import read_image, read_label
from zoo.errors import UserError
from zoo.label_maps import evaluate_predictions
from zoo.labels import CITYSCAPES, TRAIN_ID_TO_LABEL_ID
from zoo.record import Mode
from zoo.score.accuracy import miou


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return draw_streets(tmp_path_factory.mktemp("streets"))


@pytest.fixture
def dataset(tmp_path):
    return write_set(tmp_path / "data", random_maps(np.random.default_rng(1), IDS, count=5))


def test_a_models_scores_equal_the_official_ones(streets, tmp_path):
    dataset, folder = streets
    to_label_ids = np.zeros(256, np.uint8)
    to_label_ids[list(TRAIN_ID_TO_LABEL_ID)] = list(TRAIN_ID_TO_LABEL_ID.values())
    answered = []
    for frame in dataset.frames("val"):
        answered.append(train_ids(np.array(Image.open(folder / f"{frame.name}.png"))))
        Image.fromarray(to_label_ids[answered[-1]]).save(tmp_path / f"{frame.name}.png")
    maps = iter(answered)
    result = evaluate(lambda images: torch.from_numpy(np.stack([next(maps) for _ in images])), dataset, "val")
    assert_equals_official_json(result, dataset, official_json(dataset, tmp_path, tmp_path))


def test_without_instance_maps_or_categories_there_is_nothing_to_weigh(streets, dataset):
    assert evaluate(answers(dataset), dataset, "val").instances is None
    drawn, folder = streets
    frames = drawn.frames("val")
    partly = replace(drawn, frames_by_split={"val": (*frames[:-1], replace(frames[-1], instances=None))})
    assert evaluate_predictions(folder, partly, "val", "labelIds").instances is None
    other = replace(drawn, spec=CITYSCAPES.model_copy(update={"name": "others", "class_categories": ()}))
    accuracy = accuracy_record(evaluate_predictions(folder, other, "val", "labelIds"), other, "val")
    assert (accuracy.class_categories, accuracy.class_instances, accuracy.category_instances) == ((), None, None)


def answers(dataset, split="val"):
    """A `predict` that knows the truth of every image it is shown in order."""
    truths = iter([read_label(frame, dataset.spec) for frame in dataset.frames(split)])
    return lambda images: torch.from_numpy(np.stack([next(truths) for _ in range(len(images))]))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_perfect_prediction(dataset, batch_size):
    seen = []
    result = evaluate(answers(dataset), dataset, "val", batch_size=batch_size, on_image=lambda *a: seen.append(a))
    assert miou(result.confusion) == 1
    assert seen == [(n, 5) for n in range(1, 6)]
    assert result.image_names == tuple(frame.name for frame in dataset.frames("val"))
    assert result.true_positives.shape == (5, 19)
    assert result.true_positives.dtype == np.int32
    assert not result.false_negatives.any()


def test_a_batch_equals_its_images_and_a_limit_spreads(dataset):
    def predict(images):
        return images[..., 0] % 19

    one, two = (evaluate(predict, dataset, "val", batch_size=size) for size in (1, 2))
    np.testing.assert_array_equal(one.confusion, two.confusion)
    np.testing.assert_array_equal(one.false_positives, two.false_positives)
    few = evaluate(predict, dataset, "val", image_limit=2)
    assert few.image_names == (one.image_names[0], one.image_names[2])


def test_frames_of_different_sizes(tmp_path):
    rng = np.random.default_rng(3)
    truths = [rng.choice(CLASS_IDS, shape).astype(np.uint8) for shape in ((20, 30), (20, 30), (24, 30), (20, 30))]
    dataset = write_set(tmp_path, truths)
    made = []

    def make(size):
        made.append(size)
        return lambda images: torch.zeros(len(images), *size, dtype=torch.uint8)

    result = evaluate(by_size(make), dataset, "val", batch_size=4)
    assert made == [(20, 30), (24, 30)]
    assert result.confusion.sum() == sum(truth.size for truth in truths)


def test_one_size_is_held_at_a_time_and_images_keep_their_order(tmp_path):
    """Forty frames of twenty sizes, each predictor a network of its own."""
    rng = np.random.default_rng(3)
    shapes = [(20 + index % 20, 30) for index in range(40)]
    dataset = write_set(tmp_path, [rng.choice(CLASS_IDS, shape).astype(np.uint8) for shape in shapes])
    made, alive = [], weakref.WeakSet()

    class Network:
        def __init__(self, size):
            made.append(size)
            alive.add(self)
            assert len(alive) == 1, "the one before is gone"

        def __call__(self, images):
            return images[..., 0] % 19

    mixed = evaluate(by_size(Network), dataset, "val", batch_size=2)
    assert made == list(dict.fromkeys(shapes)), "each once"
    assert mixed.image_names == tuple(frame.name for frame in dataset.frames("val"))
    for index, frame in enumerate(dataset.frames("val")):
        assert mixed.true_positives[index].sum() + mixed.false_negatives[index].sum() == np.prod(shapes[index]), frame
    one_by_one = [
        read_label(frame, dataset.spec) == read_image(frame.image)[..., 0] % 19 for frame in dataset.frames("val")
    ]
    np.testing.assert_array_equal(mixed.true_positives.sum(axis=1), [hits.sum() for hits in one_by_one])


@pytest.mark.parametrize(
    "predict",
    [
        lambda images: images[:, ::2, ::2, 0],
        lambda images: images[..., 0].long(),
        lambda images: images.permute(0, 3, 1, 2),
    ],
)
def test_label_maps_of_another_size_or_type(dataset, predict):
    with pytest.raises(UserError, match="full size"):
        evaluate(predict, dataset, "val")


def test_accuracy_record(dataset):
    result = evaluate(answers(dataset), dataset, "val", image_limit=2)
    accuracy = accuracy_record(result, dataset, "val")
    np.testing.assert_array_equal(np.array(accuracy.confusion), result.confusion)
    assert (accuracy.image_count, accuracy.dataset.image_count) == (2, 2)
    assert accuracy.dataset.fingerprint == dataset.fingerprint("val")
    assert result.per_image.shape == (3, 2, 19)
    assert accuracy.resampled == "frames of few sequences"
    assert accuracy.mode == Mode()
    one = accuracy_record(evaluate(answers(dataset), dataset, "val", image_limit=1), dataset, "val")
    assert (one.miou_interval, one.resampled) == (None, None)


def test_shared_sequences_are_a_fact_of_the_record(tmp_path):
    maps = random_maps(np.random.default_rng(0), IDS, count=2)
    write_set(tmp_path, maps, split="train")
    dataset = write_set(tmp_path, maps)
    accuracy = accuracy_record(evaluate(answers(dataset), dataset, "val"), dataset, "val")
    assert accuracy.dataset.shared_sequences == ("town_000000",)
