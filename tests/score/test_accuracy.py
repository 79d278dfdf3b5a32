"""`zoo.score.accuracy`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.record import InstanceCounts
from zoo.score import accuracy
from zoo.score.accuracy import (
    BOOTSTRAP_SEED,
    RESAMPLES,
    _mean,
    category_iou,
    class_intervals,
    class_iou,
    instance_iou,
    mean_class_accuracy,
    mean_of,
    miou,
    miou_draws,
    miou_gain_interval,
    miou_interval,
    pixel_accuracy,
)

# rows: truth road, car, sky; columns: prediction road, car, sky, none of them
SMALL = np.array([[6, 2, 0, 2], [1, 3, 0, 0], [0, 0, 0, 0]], dtype=np.int64)


def test_iou_by_hand():
    iou = class_iou(SMALL)
    # road: 6 / (6 + 2 + 2 missed + 1 false); car: 3 / (3 + 1 missed + 2 false); sky: neither true nor predicted
    assert iou[:2] == pytest.approx([6 / 11, 3 / 6])
    assert iou[2] is None
    assert miou(SMALL) == pytest.approx((6 / 11 + 3 / 6) / 2)
    assert pixel_accuracy(SMALL) == pytest.approx(9 / 14)
    assert mean_class_accuracy(SMALL) == pytest.approx((6 / 10 + 3 / 4) / 2)


def test_predicted_but_never_true_counts_as_zero():
    matrix = SMALL.copy()
    matrix[0, 2] = 1
    assert class_iou(matrix)[2] == 0
    assert miou(matrix) == pytest.approx((6 / 12 + 3 / 6 + 0) / 3)
    assert mean_class_accuracy(matrix) == pytest.approx((6 / 11 + 3 / 4) / 2)


def test_a_prediction_of_no_class_costs_only_the_true_one():
    matrix = np.array([[5, 0, 5], [0, 10, 0]], dtype=np.int64)
    np.testing.assert_array_equal(class_iou(matrix), [0.5, 1.0])


def test_an_empty_matrix_has_no_score():
    empty = np.zeros((3, 4), dtype=np.int64)
    assert (miou(empty), pixel_accuracy(empty), mean_class_accuracy(empty)) == (None, None, None)


def test_iou_agrees_with_counting_pixels():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, 4000), rng.integers(0, 6, 4000)
    matrix = np.zeros((5, 6), dtype=np.int64)
    np.add.at(matrix, (truth, prediction), 1)
    for index, iou in enumerate(class_iou(matrix)):
        both = np.sum((truth == index) & (prediction == index))
        either = np.sum((truth == index) | (prediction == index))
        assert iou == pytest.approx(both / either)


def test_counts_near_the_largest_integer_stay_exact():
    matrix = np.array([[2**61, 0, 2**60], [0, 1, 0]], dtype=np.int64)
    assert class_iou(matrix)[0] == pytest.approx(2 / 3)


def test_categories_forgive_confusion_inside_them():
    categories = ("vehicle", "vehicle", "nature")
    matrix = np.array([[1, 9, 0, 0], [8, 1, 1, 0], [0, 1, 9, 2]], dtype=np.int64)
    # vehicle: 19 right, 1 missed, 1 false; nature: 9 right, 3 missed (two as nothing), 1 false
    assert category_iou(matrix, categories) == {
        "vehicle": pytest.approx(19 / 21),
        "nature": pytest.approx(9 / 13),
    }


def test_instance_iou_by_hand():
    counts = {
        "car": InstanceCounts(true_positives=3.0, false_negatives=2.0, false_positives=1),
        "bus": InstanceCounts(true_positives=0.0, false_negatives=0.0, false_positives=4),
        "train": InstanceCounts(true_positives=0.0, false_negatives=0.0, false_positives=0),
    }
    assert instance_iou(counts) == {"car": 0.5, "bus": 0.0, "train": None}
    assert mean_of(instance_iou(counts)) == 0.25
    assert mean_of({"train": None}) is None


@pytest.fixture
def counted():
    """Per-image counts `(3, 12, 4)` of images that differ in difficulty; class 3 is on the last image alone."""
    rng = np.random.default_rng(0)
    hit = rng.integers(20, 80, (12, 1)) + rng.integers(0, 20, (12, 4))
    counts = np.stack([hit, rng.integers(0, 40, (12, 4)), 100 - hit])
    counts[:, :-1, 3] = 0
    return counts


def names(count, per_sequence):
    return [f"town_{index // per_sequence:06d}_{index:06d}" for index in range(count)]


@pytest.mark.parametrize("per_sequence", [1, 3, 12])
def test_the_interval_of_miou_is_a_plain_bootstrap(counted, per_sequence, monkeypatch):
    monkeypatch.setattr("zoo.score.accuracy.MIN_SEQUENCES", 4)
    interval = miou_interval(counted, names(12, per_sequence))
    several = per_sequence == 3
    assert interval.resampled == {1: "images", 3: "sequences", 12: "frames of few sequences"}[per_sequence]
    units = np.arange(12).reshape(-1, 3 if several else 1)
    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(len(units), size=(RESAMPLES, len(units)))
    found = []
    for draw in drawn:
        tp, fp, fn = counted[:, units[draw].ravel()].sum(axis=1)
        seen = tp + fp + fn > 0
        found.append((tp[seen] / (tp + fp + fn)[seen]).mean())
    np.testing.assert_allclose(interval[:2], np.quantile(found, (0.025, 0.975)), rtol=1e-12)


def test_images_that_are_alike_leave_no_doubt_and_one_image_all(counted):
    same = np.repeat(counted[:, -1:], 5, axis=1)
    low, high, _ = miou_interval(same, names(5, 1))
    assert low == pytest.approx(high)
    assert miou_interval(same, list("abcde")).resampled == "images"
    assert miou_interval(same[:, :1], names(1, 1)) is None
    assert miou_interval(np.zeros((3, 5, 4), np.int32), names(5, 1)) is None, "no pixel counted"


def test_whole_sequences_are_drawn_since_their_frames_are_alike(counted, monkeypatch):
    assert miou_interval(counted, names(12, 3)).resampled == "frames of few sequences"
    monkeypatch.setattr("zoo.score.accuracy.MIN_SEQUENCES", 4)
    alike = np.repeat(counted[:, ::3], 3, axis=1)
    by_sequence, by_image = (miou_interval(alike, names(12, size)) for size in (3, 12))
    assert by_sequence.high - by_sequence.low > 1.3 * (by_image.high - by_image.low)


@pytest.mark.parametrize("form", ["harbour_{:04d}", "2007_{:06d}", "2007_{:06d}_000001"])
def test_names_that_tell_no_sequence_are_drawn_as_images(counted, form):
    plain = [form.format(index) for index in range(12)]
    interval = miou_interval(counted, plain)
    assert interval.resampled == "images"
    assert interval == miou_interval(counted, names(12, 1))
    draws = miou_draws(counted, plain)
    assert miou_gain_interval(draws, draws).resampled == "images"
    mixed = [*names(6, 3), *plain[6:]]
    assert miou_interval(counted, mixed).resampled == "frames of few sequences"


def test_a_paired_bootstrap_sees_what_two_intervals_do_not(counted):
    better = counted.copy()
    better[0] += 2  # two more pixels right for every class and image
    better[2] -= 2
    better[:, :-1, 3] = 0
    one, other = (miou_interval(counts, names(12, 1)) for counts in (counted, better))
    assert one.high > other.low, "the two intervals overlap"
    one, other = (miou_draws(counts, names(12, 1)) for counts in (counted, better))
    low, high, resampled = miou_gain_interval(one, other)
    assert 0 < low < high < 0.1
    assert resampled == "images"
    assert miou_gain_interval(other, one)[:2] == pytest.approx((-high, -low))
    assert miou_gain_interval(one, one)[:2] == (0, 0)


@pytest.mark.parametrize("drawn_at_once", [1, 100, 12 * 700])
def test_draws_are_the_same_in_blocks(counted, monkeypatch, drawn_at_once):
    whole = miou_interval(counted, names(12, 1))
    monkeypatch.setattr(accuracy, "DRAWN_AT_ONCE", drawn_at_once)
    accuracy._draws.cache_clear()
    assert miou_interval(counted, names(12, 1)) == whole


def test_many_images_leave_little_doubt():
    counts = np.random.default_rng(0).integers(0, 2**20, (3, 2975, 19))
    interval = miou_interval(counts, names(2975, 1))
    assert interval.high - interval.low < 0.01


def test_the_interval_of_a_class_is_that_of_the_mean_over_it_alone():
    counts = np.random.default_rng(3).integers(0, 50, (3, 30, 4)).astype(np.int32)
    counts[:, :, 2] = 0  # never there
    counts[:, 1:, 3] = 0  # in one image, which some draws lack
    found = class_intervals(counts, names(30, 1))
    assert found == tuple(miou_interval(counts[:, :, [place]], names(30, 1)) for place in range(4))
    assert found[2] is None
    assert found[3] is not None
    assert class_intervals(counts[:, :1], names(1, 1)) == ()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 19, 127, 128, 129, 150, 1000])
def test_a_mean_is_numpys_bit_for_bit(count):
    values = np.random.default_rng(count).random(count) ** 9
    assert _mean(values.tolist()) == float(np.mean(values))
