import os
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from zoo.config import TrainConfig
from zoo.data.layout import open_dataset
from zoo.data.loading import _order, evaluation_frames, read_image, read_label, train_batches
from zoo.errors import UserError
from zoo.labels import CITYSCAPES

CONFIG = TrainConfig(batch_size=3, crop_size=(16, 24))


def take(stream, batch_count):
    return list(islice(stream, batch_count))


def same(one, other):
    return all((a == b).all() for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.fixture
def dataset(folder):
    for number in range(7):
        folder.add("train", number=number, size=(20, 30), value=7 + number)
    return open_dataset(folder.root)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_images_are_read_as_rgb(folder, suffix):
    image, _ = folder.add(suffix=suffix, size=(9, 11))
    pixels = read_image(image)
    assert pixels.shape == (9, 11, 3)
    assert pixels.dtype == np.uint8
    if suffix != ".jpg":
        assert np.array_equal(pixels, np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_truncated_image_is_named(folder, suffix):
    image, _ = folder.add(suffix=suffix, size=(64, 64))
    image.write_bytes(image.read_bytes()[:-300])
    with pytest.raises(UserError, match=image.name):
        read_image(image)


def test_unreadable_images_are_named(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"text\.png.*not an image"):
        read_image(tmp_path / "text.png")
    with pytest.raises(UserError, match=r"gone\.png.*does not exist"):
        read_image(tmp_path / "gone.png")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png.*8 bits"):
        read_image(tmp_path / "deep.png")


def test_label_ids_become_train_ids(folder):
    _, (path,) = folder.add(size=(5, 34))
    Image.fromarray(np.tile(np.arange(34, dtype=np.uint8), (5, 1))).save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    expected = [CITYSCAPES.label_to_train_id[value] for value in range(34)]
    assert (read_label(frame, CITYSCAPES) == np.array(expected)).all()


def test_train_ids_are_taken_as_they_are(folder):
    _, (path,) = folder.add(kinds=("labelTrainIds",), size=(2, 20))
    values = np.tile(np.array([*range(19), 255], np.uint8), (2, 1))
    Image.fromarray(values).save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    assert (read_label(frame, CITYSCAPES) == values).all()


@pytest.mark.parametrize(
    ("kind", "value", "known"), [("labelIds", 200, "label ids"), ("labelTrainIds", 19, "0 to 18, 255")]
)
def test_unknown_label_values_are_named(folder, kind, value, known):
    _, (path,) = folder.add(kinds=(kind,), value=value)
    (frame,) = open_dataset(folder.root).frames("val")
    with pytest.raises(UserError, match=f"{path.name} holds {value}: .*{known}"):
        read_label(frame, CITYSCAPES)


def test_label_of_another_size_is_named(folder):
    image, (path,) = folder.add(size=(8, 12))
    Image.fromarray(np.zeros((8, 13), np.uint8)).save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    with pytest.raises(UserError, match=f"{path.name} is 8x13 but image .*{image.name} is 8x12"):
        read_label(frame, CITYSCAPES)


@pytest.mark.parametrize("mode", ["RGB", "P", "I;16", "1"])
def test_label_that_is_no_8_bit_map_is_refused(folder, mode):
    _, (path,) = folder.add()
    image = Image.fromarray(np.zeros((8, 12), np.uint16)) if mode == "I;16" else Image.new(mode, (12, 8))
    image.save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    with pytest.raises(UserError, match=f"{path.name} has Pillow mode {mode}"):
        read_label(frame, CITYSCAPES)


def test_truncated_label_and_missing_label_are_named(folder):
    _, (path,) = folder.add(size=(64, 64))
    folder.add("test", kinds=())
    path.write_bytes(path.read_bytes()[:-30])
    opened = open_dataset(folder.root)
    with pytest.raises(UserError, match=f"{path.name} cannot be read"):
        read_label(opened.frames("val")[0], CITYSCAPES)
    with pytest.raises(UserError, match="has no label file"):
        read_label(opened.frames("test")[0], CITYSCAPES)


def test_batches_are_uint8_and_channels_last(dataset):
    images, labels = next(train_batches(dataset, "train", CONFIG))
    assert (images.dtype, labels.dtype) == (labels.dtype, images.dtype)
    assert str(images.dtype) == "torch.uint8"
    assert tuple(images.shape) == (3, 16, 24, 3)
    assert tuple(labels.shape) == (3, 16, 24)


def test_stream_repeats_and_resumes_at_any_step(dataset):
    whole = take(train_batches(dataset, "train", CONFIG), 9)
    assert same(whole, take(train_batches(dataset, "train", CONFIG), 9))
    assert same(whole[4:], take(train_batches(dataset, "train", CONFIG, start_step=4), 5))
    other = take(train_batches(dataset, "train", CONFIG.model_copy(update={"seed": 1})), 9)
    assert not same(whole, other)


def test_workers_give_the_same_batches(dataset):
    stream = train_batches(dataset, "train", CONFIG, workers=1)
    assert same(take(train_batches(dataset, "train", CONFIG), 6), take(stream, 6))
    stream.close()


def test_every_epoch_shows_every_frame_in_a_new_order():
    first, second = _order(0, 0, 50), _order(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_met_while_training_is_one_line(dataset, workers):
    for frame in dataset.frames("train")[1:]:
        frame.label.write_bytes(frame.label.read_bytes()[:-30])
    with pytest.raises(UserError) as caught:
        take(train_batches(dataset, "train", CONFIG, workers=workers), 4)
    assert "\n" not in str(caught.value)
    assert "gtFine_labelIds.png cannot be read" in str(caught.value)


def test_evaluation_walks_over_the_split(dataset):
    walked = list(evaluation_frames(dataset, "train"))
    assert [frame for frame, _, _ in walked] == list(dataset.frames("train"))
    for frame, image, label in walked:
        assert np.array_equal(image, read_image(frame.image))
        assert np.array_equal(label, read_label(frame, dataset.spec))


@pytest.mark.parametrize(("limit", "numbers"), [(1, [0]), (3, [0, 2, 4]), (7, list(range(7))), (99, list(range(7)))])
def test_limited_evaluation_spreads_over_the_split(dataset, limit, numbers):
    walked = [int(frame.name[-6:]) for frame, _, _ in evaluation_frames(dataset, "train", limit=limit)]
    assert walked == numbers


@pytest.mark.data
@pytest.mark.skipif("ZOO_CAMVID" not in os.environ, reason="ZOO_CAMVID names no folder")
def test_camvid_class_shares():
    """The pixel shares its README states, in percent."""
    opened = open_dataset(os.environ["ZOO_CAMVID"])
    counts = np.zeros(256, np.int64)
    for _, image, label in evaluation_frames(opened, "train"):
        assert image.shape == (360, 480, 3)
        counts += np.bincount(label.ravel(), minlength=256)
    shares = {name: 100 * counts[k] / counts.sum() for k, name in enumerate(CITYSCAPES.class_names)}
    stated = {
        "road": 31.7,
        "building": 23.3,
        "sky": 16.8,
        "vegetation": 9.7,
        "car": 5.9,
        "sidewalk": 4.5,
        "person": 0.64,
    }
    for name, share in stated.items():
        assert shares[name] == pytest.approx(share, abs=0.06)
    assert 100 * counts[255] / counts.sum() == pytest.approx(3.9, abs=0.06)
