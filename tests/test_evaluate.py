"""Accuracy against the official evaluation, and what a person may give wrongly."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.layout import open_dataset
from zoo.data.loading import read_label
from zoo.errors import UserError
from zoo.evaluate import (
    accuracy_record,
    by_size,
    evaluate,
    evaluate_predictions,
    mean_label_map,
    predict_constant,
)
from zoo.labels import CITYSCAPES, LABELS, TRAIN_ID_TO_LABEL_ID
from zoo.score import class_iou, miou

np.in1d = getattr(np, "in1d", np.isin)  # noqa: NPY201  numpy 2.4 removed the name that cityscapesScripts uses
official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")

SIZE = (40, 64)
IDS = np.array([label.id for label in LABELS if label.id >= 0], np.uint8)
CLASS_IDS = [TRAIN_ID_TO_LABEL_ID[k] for k in range(19)]
IGNORED_IDS = np.array([label.id for label in LABELS if label.ignore_in_eval and label.id >= 0], np.uint8)


def write_set(root: Path, truths, split="val", images=None):
    """Label-id maps as a dataset; images are noise unless given."""
    rng = np.random.default_rng(0)
    for index, truth in enumerate(truths):
        name = f"town_000000_{index:06d}"
        image = rng.integers(0, 256, (*truth.shape, 3), np.uint8) if images is None else images[index]
        for kind, end, pixels in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_labelIds", truth)):
            path = root / kind / split / "town" / f"{name}_{end}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return open_dataset(root)


def write_predictions(folder: Path, predictions, end="_pred"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, prediction in enumerate(predictions):
        Image.fromarray(prediction).save(folder / f"town_000000_{index:06d}{end}.png")
    return folder


def official_result(truth_files, prediction_files):
    args = official.args
    args.evalInstLevelScore, args.evalPixelAccuracy, args.quiet, args.JSONOutput = False, False, True, False
    return official.evaluateImgLists([str(p) for p in prediction_files], [str(t) for t in truth_files], args)


def assert_equals_official(result, theirs):
    matrix = np.asarray(theirs["confMatrix"]).astype(np.int64)
    ours = result.confusion
    np.testing.assert_array_equal(ours[:, :-1], matrix[np.ix_(CLASS_IDS, CLASS_IDS)])
    np.testing.assert_array_equal(ours[:, -1], matrix[np.ix_(CLASS_IDS, IGNORED_IDS)].sum(axis=1))
    assert ours.sum() == matrix[CLASS_IDS].sum()
    expected = np.array([theirs["classScores"][name] for name in CITYSCAPES.class_names])
    np.testing.assert_allclose(class_iou(ours), expected, rtol=0, atol=1e-12)
    assert miou(ours) == pytest.approx(theirs["averageScoreClasses"], abs=1e-12)
    np.testing.assert_array_equal(result.true_positives.sum(axis=0), np.diagonal(ours))
    np.testing.assert_array_equal(result.false_negatives.sum(axis=0), ours.sum(axis=1) - np.diagonal(ours))
    np.testing.assert_array_equal(result.false_positives.sum(axis=0), ours[:, :-1].sum(axis=0) - np.diagonal(ours))


def random_maps(rng, values, count=3, shape=SIZE):
    return [rng.choice(values, shape).astype(np.uint8) for _ in range(count)]


CASES = {
    "every id in both": (IDS, IDS),
    "classes absent from both": (np.array([0, 7, 11, 23, 26]), np.array([7, 11, 23])),
    "classes predicted but never true": (np.array([7, 8]), np.array([7, 8, 33, 24])),
    "ignored ids predicted on counted pixels": (np.array(CLASS_IDS), np.r_[IGNORED_IDS, CLASS_IDS]),
    "predictions on ignored pixels": (IGNORED_IDS, np.array(CLASS_IDS)),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_official_evaluation(tmp_path, case):
    rng = np.random.default_rng(len(case))
    truth_values, prediction_values = CASES[case]
    truths, predictions = random_maps(rng, truth_values), random_maps(rng, prediction_values)
    if case == "predictions on ignored pixels":
        truths[0][:5] = 7  # one class counts, or the official mean divides by nothing
    dataset = write_set(tmp_path / "data", truths)
    folder = write_predictions(tmp_path / "out" / "deep" / "down", predictions)
    result = evaluate_predictions(folder, dataset, "val", "labelIds")
    theirs = official_result([frame.label for frame in dataset.frames("val")], sorted(folder.iterdir()))
    assert_equals_official(result, theirs)


@pytest.fixture
def camvid():
    if "ZOO_CAMVID" not in os.environ:
        pytest.skip("ZOO_CAMVID names no folder")
    return open_dataset(os.environ["ZOO_CAMVID"])


@pytest.mark.data
def test_equals_the_official_evaluation_on_camvid(camvid, tmp_path):
    rng = np.random.default_rng(0)
    frames = camvid.frames("val")
    for index, frame in enumerate(frames):
        with Image.open(frames[(index + 7) % len(frames)].label) as other:
            ids = np.array(other)
        noise = rng.random(ids.shape) < 0.05
        ids[noise] = rng.choice(IDS, noise.sum())
        Image.fromarray(ids).save(tmp_path / f"{frame.name}.png")
    result = evaluate_predictions(tmp_path, camvid, "val")
    predictions = [tmp_path / f"{frame.name}.png" for frame in frames]
    assert_equals_official(result, official_result([frame.label for frame in frames], predictions))


@pytest.mark.data
def test_mean_label_map_of_camvid(camvid):
    result = evaluate(predict_constant(mean_label_map(camvid)), camvid, "val")
    assert miou(result.confusion) == pytest.approx(0.167, abs=5e-4)


def train_ids(ids):
    table = np.full(256, 255, np.uint8)
    for label_id, train_id in CITYSCAPES.label_to_train_id.items():
        table[label_id] = train_id
    return table[ids]


@pytest.fixture
def dataset(tmp_path):
    return write_set(tmp_path / "data", random_maps(np.random.default_rng(1), IDS, count=5))


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


def test_mean_label_map(tmp_path):
    maps = [np.full((4, 6), 7, np.uint8), np.full((4, 6), 11, np.uint8), np.full((8, 12), 11, np.uint8)]
    maps[0][0, 0] = maps[1][0, 0] = 0
    maps[2][:2, :2] = 0  # never labelled there: the most frequent class of all
    dataset = write_set(tmp_path, maps, split="train")
    label_map = mean_label_map(dataset)
    assert label_map.dtype == np.uint8
    np.testing.assert_array_equal(label_map, np.full((4, 6), 2))
    larger = predict_constant(label_map)(torch.zeros(2, 8, 12, 3, dtype=torch.uint8))
    assert larger.shape == (2, 8, 12)


@pytest.mark.parametrize("encoding", ["auto", "trainIds"])
def test_train_ids(tmp_path, dataset, encoding):
    truths = [read_label(frame, dataset.spec) for frame in dataset.frames("val")]  # 255 among them
    folder = write_predictions(tmp_path / "out", truths, "_gtFine_labelTrainIds")
    assert miou(evaluate_predictions(folder, dataset, "val", encoding).confusion) == 1


def test_auto_finds_label_ids(tmp_path, dataset):
    maps = random_maps(np.random.default_rng(5), np.array([7, 8, 33]), count=5)
    folder = write_predictions(tmp_path / "out", maps)
    auto, named = (evaluate_predictions(folder, dataset, "val", encoding) for encoding in ("auto", "labelIds"))
    np.testing.assert_array_equal(auto.confusion, named.confusion)


def test_auto_refuses_what_fits_both(tmp_path, dataset):
    folder = write_predictions(tmp_path / "out", random_maps(np.random.default_rng(5), range(19), count=5))
    with pytest.raises(UserError, match="fit both labelIds and trainIds; give --encoding"):
        evaluate_predictions(folder, dataset, "val")


def test_auto_reads_all_files(tmp_path, dataset):
    maps = random_maps(np.random.default_rng(5), range(19), count=5)
    maps[4][0, 0] = 255
    as_train_ids = evaluate_predictions(write_predictions(tmp_path / "out", maps), dataset, "val")
    maps[0][0, 0] = 33
    with pytest.raises(UserError, match=r"000004_pred.png holds 255, no value of labelIds; the files before"):
        evaluate_predictions(write_predictions(tmp_path / "out", maps), dataset, "val")
    assert as_train_ids.confusion.sum() > 0


def spoil(tmp_path, change):
    folder = write_predictions(tmp_path / "out", random_maps(np.random.default_rng(5), range(19), count=5))
    change(folder)
    return folder


def overwrite(name, pixels):
    return lambda folder: Image.fromarray(pixels).save(folder / f"town_000000_{name}_pred.png")


SPOILED = {
    "missing": (lambda folder: (folder / "town_000000_000003_pred.png").unlink(), "first town_000000_000003; expected"),
    "longer number": (
        lambda folder: (folder / "town_000000_000003_pred.png").rename(folder / "town_000000_0000030_pred.png"),
        "no prediction",
    ),
    "two": (
        lambda folder: (folder / "town_000000_000003_color.png").write_bytes(b""),
        "two predictions for frame town_000000_000003",
    ),
    "size": (overwrite("000003", np.zeros((5, 6), np.uint8)), r"000003_pred.png is 5x6, its ground truth 40x64"),
    "colour": (overwrite("000003", np.zeros((*SIZE, 3), np.uint8)), r"000003_pred.png is a RGB image"),
    "16 bit": (overwrite("000003", np.zeros(SIZE, np.uint16)), r"000003_pred.png is a I;16 image"),
    "values": (overwrite("000003", np.full(SIZE, 77, np.uint8)), r"000003_pred.png holds 77, no value of"),
    "truncated": (
        lambda folder: (folder / "town_000000_000003_pred.png").write_bytes(
            (folder / "town_000000_000003_pred.png").read_bytes()[:300]
        ),
        r"000003_pred.png cannot be read",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_bad_predictions_name_the_file(tmp_path, dataset, case):
    change, message = SPOILED[case]
    with pytest.raises(UserError, match=message) as caught:
        evaluate_predictions(spoil(tmp_path, change), dataset, "val", "trainIds")
    assert "\n" not in str(caught.value)


def test_bad_folder_and_encoding(tmp_path, dataset):
    with pytest.raises(UserError, match="no folder"):
        evaluate_predictions(tmp_path / "none", dataset, "val")
    with pytest.raises(UserError, match="encoding is one of"):
        evaluate_predictions(tmp_path, dataset, "val", "colors")
