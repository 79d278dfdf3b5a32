"""Data whose scores are known: by the official evaluation, or because they were drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.counting import accuracy_record
from zoo.data.layout import open_dataset
from zoo.data.synthetic import write_dataset
from zoo.labels import CITYSCAPES, LABELS, TRAIN_ID_TO_LABEL_ID
from zoo.report.accuracy import show_accuracy
from zoo.score.accuracy import class_iou, miou

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
    np.testing.assert_allclose(np.array(class_iou(ours), float), expected, rtol=0, atol=1e-12)
    assert miou(ours) == pytest.approx(theirs["averageScoreClasses"], abs=1e-12)
    np.testing.assert_array_equal(result.true_positives.sum(axis=0), np.diagonal(ours))
    np.testing.assert_array_equal(result.false_negatives.sum(axis=0), ours.sum(axis=1) - np.diagonal(ours))
    np.testing.assert_array_equal(result.false_positives.sum(axis=0), ours[:, :-1].sum(axis=0) - np.diagonal(ours))


def random_maps(rng, values, count=3, shape=SIZE):
    return [rng.choice(values, shape).astype(np.uint8) for _ in range(count)]


def draw_streets(root):
    """Synthetic frames with instance maps, and label maps that err by a shift, by noise and by ids of no class."""
    dataset = open_dataset(write_dataset(root / "data", image_size=(96, 192), train_count=0, val_count=6, seed=3))
    rng = np.random.default_rng(0)
    for frame in dataset.frames("val"):
        ids = np.roll(np.array(Image.open(frame.label)), (1, 2), (0, 1))
        noise = rng.random(ids.shape) < 0.05
        ids[noise] = rng.choice(IDS, noise.sum())
        vehicles = (ids == 26) & (rng.random(ids.shape) < 0.3)
        ids[vehicles] = rng.choice([29, 30], vehicles.sum())  # caravan, trailer: no class, and yet vehicles
        (root / "out").mkdir(exist_ok=True)
        Image.fromarray(ids).save(root / "out" / f"{frame.name}.png")
    return dataset, root / "out"


def official_json(dataset, folder, tmp_path):
    """What the official script writes for all of its scores."""
    args = official.args
    args.evalInstLevelScore, args.evalPixelAccuracy, args.quiet, args.JSONOutput = True, False, True, True
    args.exportFile = str(tmp_path / "official.json")
    frames = dataset.frames("val")
    predictions = [str(folder / f"{frame.name}.png") for frame in frames]
    official.evaluateImgLists(predictions, [str(frame.label) for frame in frames], args)
    return json.loads(Path(args.exportFile).read_text())


def assert_equals_official_json(result, dataset, theirs):
    ours = json.loads(show_accuracy(accuracy_record(result, dataset, "val"), "json"))
    for key, their_key in {
        "class_iou": "classScores",
        "class_iiou": "classInstScores",
        "category_iou": "categoryScores",
        "category_iiou": "categoryInstScores",
    }.items():
        assert len(ours[key]) == {"class_iiou": 8, "category_iou": 7, "category_iiou": 2}.get(key, 19)
        for name, value in theirs[their_key].items():
            if np.isnan(value):
                assert ours[key].get(name) is None, f"{key} of {name}"
            else:
                assert ours[key][name] == pytest.approx(value, abs=1e-9), f"{key} of {name}"
    for key, their_key in {
        "miou": "averageScoreClasses",
        "mean_class_iiou": "averageScoreInstClasses",
        "mean_category_iou": "averageScoreCategories",
        "mean_category_iiou": "averageScoreInstCategories",
    }.items():
        assert ours[key] == pytest.approx(theirs[their_key], abs=1e-9), key
    matrix = np.array(theirs["confMatrix"], np.int64)[CLASS_IDS]
    right = matrix[np.arange(19), CLASS_IDS]
    assert ours["pixel_accuracy"] == pytest.approx(right.sum() / matrix.sum(), abs=1e-12)
    true = matrix.sum(axis=1) > 0
    assert ours["mean_class_accuracy"] == pytest.approx((right[true] / matrix[true].sum(axis=1)).mean(), abs=1e-12)


def train_ids(ids):
    table = np.full(256, 255, np.uint8)
    for label_id, train_id in CITYSCAPES.label_to_train_id.items():
        table[label_id] = train_id
    return table[ids]
