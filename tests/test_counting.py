"""Accuracy against the official evaluation, and what a person may give wrongly."""

import json
import os
import tracemalloc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.baseline import mean_label_map, predict_constant
from zoo.counting import accuracy_record, by_size, evaluate
from zoo.data.layout import open_dataset
from zoo.data.reading import read_image, read_label
from zoo.data.synthetic import write_dataset
from zoo.errors import UserError
from zoo.label_maps import evaluate_predictions
from zoo.labels import CITYSCAPES, LABELS, TRAIN_ID_TO_LABEL_ID
from zoo.record import Mode
from zoo.report.accuracy import show_accuracy
from zoo.score.accuracy import class_iou, miou, miou_interval

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


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Synthetic frames with instance maps, and label maps that err by a shift, by noise and by ids of no class."""
    root = tmp_path_factory.mktemp("streets")
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


def test_every_score_equals_the_official_one(streets, tmp_path):
    dataset, folder = streets
    theirs = official_json(dataset, folder, tmp_path)
    assert np.sum(np.isfinite(list(theirs["classInstScores"].values()))) >= 4, "the set has objects of several classes"
    assert_equals_official_json(evaluate_predictions(folder, dataset, "val", "labelIds"), dataset, theirs)


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


def test_any_number_of_workers_gives_the_same_result(streets):
    dataset, folder = streets
    one, *others = (evaluate_predictions(folder, dataset, "val", "labelIds", workers=count) for count in (1, 2, 5))
    for other in others:
        assert other.image_names == one.image_names
        for field in ("confusion", "true_positives", "false_positives", "false_negatives", "instances"):
            np.testing.assert_array_equal(getattr(other, field), getattr(one, field), strict=True)
    with pytest.raises(UserError, match="workers are threads, 1 or more; got 0"):
        evaluate_predictions(folder, dataset, "val", workers=0)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    rng = np.random.default_rng(0)
    peaks = []
    for count in (4, 16):
        maps = random_maps(rng, np.array([7, 8, 33]), count, (256, 512))
        dataset = write_set(tmp_path / f"data{count}", maps)
        folder = write_predictions(tmp_path / f"out{count}", maps)
        tracemalloc.start()
        evaluate_predictions(folder, dataset, "val", workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 256 * 512, "twelve more images take less than one label map more"


def test_without_instance_maps_or_categories_there_is_nothing_to_weigh(streets, dataset):
    assert evaluate(answers(dataset), dataset, "val").instances is None
    drawn, folder = streets
    frames = drawn.frames("val")
    partly = replace(drawn, frames_by_split={"val": (*frames[:-1], replace(frames[-1], instances=None))})
    assert evaluate_predictions(folder, partly, "val", "labelIds").instances is None
    other = replace(drawn, spec=CITYSCAPES.model_copy(update={"name": "others", "class_categories": ()}))
    accuracy = accuracy_record(evaluate_predictions(folder, other, "val", "labelIds"), other, "val")
    assert (accuracy.class_categories, accuracy.class_instances, accuracy.category_instances) == ((), None, None)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((96, 192), 7001, np.uint16), "holds instances of label 7, which has none; correct or remove"),
        (np.full((96, 192), 26001, np.uint16)[:5], "is 5x192, its ground truth 96x192"),
        (np.zeros((96, 192, 3), np.uint8), "is a RGB image; an instance map is single-channel 16-bit"),
    ],
)
def test_bad_instance_maps_name_the_file(streets, tmp_path, pixels, message):
    drawn, folder = streets
    first, *others = drawn.frames("val")
    bad = tmp_path / "bad_instanceIds.png"
    Image.fromarray(pixels).save(bad)
    spoiled = replace(drawn, frames_by_split={"val": (replace(first, instances=bad), *others)})
    with pytest.raises(UserError, match=f"bad_instanceIds.png {message}"):
        evaluate_predictions(folder, spoiled, "val", "labelIds")


def test_four_definitions_of_void_give_four_numbers(tmp_path):
    """Ours is Cityscapes' own; 18 pixels of road, sidewalk and void, the four means worked out by hand."""
    road, walk, void = 7, 8, 0
    truth = np.repeat([road, walk, void], (8, 6, 4)).astype(np.uint8).reshape(3, 6)
    answer = np.repeat(
        [road, walk, void, road, walk, road, walk, void],
        [6, 1, 1, 2, 4, 1, 2, 1],  # on road; on sidewalk; on void
    ).astype(np.uint8).reshape(3, 6)  # fmt: skip
    matrix = np.zeros((3, 3), np.int64)  # row = truth, column = prediction: road, sidewalk, void
    np.add.at(matrix, tuple(np.searchsorted([road, walk, 99], np.where(a == void, 99, a)) for a in (truth, answer)), 1)
    hit, true = np.diagonal(matrix), matrix.sum(axis=1)

    def mean_iou(classes, counted):
        return np.mean([hit[k] / (true[k] + matrix[counted, k].sum() - hit[k]) for k in classes])

    void_ignored = mean_iou([0, 1], [0, 1])
    void_is_false_positive = mean_iou([0, 1], [0, 1, 2])
    void_is_a_class = mean_iou([0, 1, 2], [0, 1, 2])
    true = true - matrix[:, 2]
    void_predictions_dropped = mean_iou([0, 1], [0, 1])
    assert [void_ignored, void_is_false_positive, void_predictions_dropped, void_is_a_class] == pytest.approx(
        [41 / 70, 49 / 99, 13 / 21, 589 / 1485]
    )  # 0.586, 0.495, 0.619, 0.397

    dataset = write_set(tmp_path / "data", [truth])
    folder = write_predictions(tmp_path / "out", [answer])
    ours = miou(evaluate_predictions(folder, dataset, "val", "labelIds").confusion)
    assert ours == pytest.approx(void_ignored, abs=1e-12)
    theirs = official_result([dataset.frames("val")[0].label], sorted(folder.iterdir()))
    assert ours == pytest.approx(theirs["averageScoreClasses"], abs=1e-12)


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


def test_the_interval_is_recomputed_from_the_per_image_counts(streets):
    dataset, folder = streets
    result = evaluate_predictions(folder, dataset, "val", "labelIds")
    accuracy = accuracy_record(result, dataset, "val")
    low, high = accuracy.miou_interval
    assert 0 < low < miou(result.confusion) < high < 1
    assert miou_interval(result.per_image, result.image_names) == (low, high, accuracy.resampled)
    assert accuracy.class_categories == CITYSCAPES.class_categories
    assert accuracy.mode is None, "nobody told how another program read the frames"


def test_shared_sequences_are_a_fact_of_the_record(tmp_path):
    maps = random_maps(np.random.default_rng(0), IDS, count=2)
    write_set(tmp_path, maps, split="train")
    dataset = write_set(tmp_path, maps)
    accuracy = accuracy_record(evaluate(answers(dataset), dataset, "val"), dataset, "val")
    assert accuracy.dataset.shared_sequences == ("town_000000",)


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


def test_the_mean_label_map_is_as_large_as_most_frames(tmp_path):
    shapes = [(12, 8), (8, 12), (8, 12), (12, 8), (8, 12)]  # a portrait first
    dataset = write_set(tmp_path, [np.full(shape, 7, np.uint8) for shape in shapes], split="train")
    assert mean_label_map(dataset).shape == (8, 12)


@pytest.mark.parametrize("block_bytes", [1, 50_000, 2**28])
def test_the_mean_label_map_is_counted_in_blocks(tmp_path, monkeypatch, block_bytes):
    truths = random_maps(np.random.default_rng(2), [*CLASS_IDS, 0, 0], count=7, shape=(60, 90))
    for truth in truths:
        truth[13:15, 20:70] = 0  # never labelled
    dataset = write_set(tmp_path, truths, split="train")
    read = np.stack([read_label(frame, dataset.spec) for frame in dataset.frames("train")])
    counts = np.stack([(read == train_id).sum(axis=0) for train_id in range(19)])  # K, H, W
    expected = np.where(counts.any(axis=0), counts.argmax(axis=0), counts.sum(axis=(1, 2)).argmax())
    monkeypatch.setattr("zoo.baseline.BLOCK_BYTES", block_bytes)
    tracemalloc.start()
    np.testing.assert_array_equal(mean_label_map(dataset), expected)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if block_bytes < 2**28:
        assert peak < block_bytes + 60 * read[0].nbytes, (
            "whole it would be 20 counts a pixel and as many for each index"
        )


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
    maps[0][0, 0], maps[4][0, 0] = 33, 200
    with pytest.raises(UserError, match=r"000004_pred.png holds 200, no value of labelIds.*; the files before"):
        evaluate_predictions(write_predictions(tmp_path / "out", maps), dataset, "val")
    assert as_train_ids.confusion.sum() > 0


def spoil(tmp_path, change):
    folder = write_predictions(tmp_path / "out", random_maps(np.random.default_rng(5), range(19), count=5))
    change(folder)
    return folder


def overwrite(name, pixels):
    return lambda folder: Image.fromarray(pixels).save(folder / f"town_000000_{name}_pred.png")


SPOILED = {
    "16 bit": (overwrite("000003", np.full(SIZE, 7001, np.uint16)), "has 16 bits and holds 7001; a label map holds 0"),
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
    "colour": (
        overwrite("000003", np.full((*SIZE, 3), (128, 64, 128), np.uint8)),
        r"000003_pred.png is an image in colours, and trainIds are numbers; see --encoding colors",
    ),
    "see-through": (overwrite("000003", np.zeros((*SIZE, 4), np.uint8)), r"000003_pred.png is a RGBA image"),
    "values": (
        overwrite("000003", np.full(SIZE, 77, np.uint8)),
        r"000003_pred.png holds 77, no value of trainIds; if it means .* give --void 77",
    ),
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


def test_palette_entries_of_4_bits_are_class_ids(tmp_path, dataset):
    maps = random_maps(np.random.default_rng(5), range(8), count=5)
    folder = write_predictions(tmp_path / "out", maps)
    eight = evaluate_predictions(folder, dataset, "val", "trainIds")
    for path in folder.iterdir():
        with Image.open(path) as image:
            indices = image.copy()
        indices.putpalette([value for _ in range(16) for value in (9, 8, 7)])
        indices.save(path, bits=4)
    four = evaluate_predictions(folder, dataset, "val", "trainIds")
    np.testing.assert_array_equal(four.confusion, eight.confusion)


def test_bad_folder_and_encoding(tmp_path, dataset):
    with pytest.raises(UserError, match="no folder"):
        evaluate_predictions(tmp_path / "none", dataset, "val")
    with pytest.raises(UserError, match="encoding is one of"):
        evaluate_predictions(tmp_path, dataset, "val", "rgb")
