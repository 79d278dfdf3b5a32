"""Label maps that another program wrote: against the official evaluation, and what a person may give wrongly."""

import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.scored import (
    CLASS_IDS,
    IDS,
    IGNORED_IDS,
    SIZE,
    assert_equals_official,
    assert_equals_official_json,
    draw_streets,
    official_json,
    official_result,
    random_maps,
    write_predictions,
    write_set,
)
from zoo.counting import accuracy_record
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label
from zoo.errors import UserError
from zoo.label_maps import evaluate_predictions
from zoo.labels import CITYSCAPES
from zoo.score.accuracy import miou, miou_interval


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return draw_streets(tmp_path_factory.mktemp("streets"))


@pytest.fixture
def dataset(tmp_path):
    return write_set(tmp_path / "data", random_maps(np.random.default_rng(1), IDS, count=5))


@pytest.fixture
def camvid():
    if "ZOO_CAMVID" not in os.environ:
        pytest.skip("ZOO_CAMVID names no folder")
    return open_dataset(os.environ["ZOO_CAMVID"])


def test_every_score_equals_the_official_one(streets, tmp_path):
    dataset, folder = streets
    theirs = official_json(dataset, folder, tmp_path)
    assert np.sum(np.isfinite(list(theirs["classInstScores"].values()))) >= 4, "the set has objects of several classes"
    assert_equals_official_json(evaluate_predictions(folder, dataset, "val", "labelIds"), dataset, theirs)


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


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((96, 192), 7001, np.uint16), "holds instances of label 7, which has none; correct or remove"),
        (np.full((96, 192), 26001, np.uint16)[:5], "is 5x192, its ground truth 96x192"),
        (np.zeros((96, 192, 3), np.uint8), "is an image of mode RGB; an instance map is single-channel 16-bit"),
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


def test_the_interval_is_recomputed_from_the_per_image_counts(streets):
    dataset, folder = streets
    result = evaluate_predictions(folder, dataset, "val", "labelIds")
    accuracy = accuracy_record(result, dataset, "val")
    low, high = accuracy.miou_interval
    assert 0 < low < miou(result.confusion) < high < 1
    assert miou_interval(result.per_image, result.image_names) == (low, high, accuracy.resampled)
    assert accuracy.class_categories == CITYSCAPES.class_categories
    assert accuracy.mode is None, "nobody told how another program read the frames"


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
    "see-through": (overwrite("000003", np.zeros((*SIZE, 4), np.uint8)), r"000003_pred.png is an image of mode RGBA"),
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
