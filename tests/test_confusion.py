"""The confusion matrix against a plain loop; `test_evaluate.py` holds it against the official evaluation."""

import numpy as np
import pytest

from zoo import confusion
from zoo.confusion import confusion_matrix, counts


def by_hand(truth, prediction, num_classes, ignore_index=255):
    matrix = np.zeros((num_classes, num_classes + 1), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t != ignore_index:
            matrix[t, min(p, num_classes)] += 1
    return matrix


def noise(rng, shape, num_classes, ignored=0.1):
    """Independent labels per pixel, with ignored truth and predictions of no class."""
    truth = rng.integers(0, num_classes, shape).astype(np.uint8)
    prediction = rng.integers(0, num_classes, shape).astype(np.uint8)
    truth[rng.random(shape) < ignored] = 255
    prediction[rng.random(shape) < ignored] = 255
    prediction[rng.random(shape) < ignored] = num_classes
    return truth, prediction


def blocks(rng, shape, num_classes):
    """Piecewise constant maps, as label maps are."""
    return [
        np.kron(coarse, np.ones((1, 16, 16), np.uint8))[:, : shape[1], : shape[2]]
        for coarse in noise(rng, (shape[0], -(-shape[1] // 16), -(-shape[2] // 16)), num_classes)
    ]


@pytest.mark.parametrize("num_classes", [1, 2, 19, 254])
@pytest.mark.parametrize("draw", [noise, blocks])
def test_equals_a_plain_loop(draw, num_classes):
    truth, prediction = draw(np.random.default_rng(num_classes), (2, 70, 131), num_classes)
    matrix = confusion_matrix(truth, prediction, num_classes)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, by_hand(truth, prediction, num_classes))


def test_maps_larger_than_a_chunk():
    truth, prediction = noise(np.random.default_rng(0), (300, 500), 19)
    assert truth.size > 2 * confusion._CHUNK
    assert confusion._is_noise(truth.ravel(), prediction.ravel())
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, 19), by_hand(truth, prediction, 19))


def test_views_that_are_not_contiguous():
    truth, prediction = noise(np.random.default_rng(1), (64, 64), 5)
    np.testing.assert_array_equal(
        confusion_matrix(truth[::2, ::-1], prediction[::2, ::-1], 5), by_hand(truth[::2], prediction[::2], 5)
    )


def test_an_ignored_class():
    truth, prediction = noise(np.random.default_rng(2), (40, 40), 5, ignored=0)
    matrix = confusion_matrix(truth, prediction, 5, ignore_index=0)
    np.testing.assert_array_equal(matrix, by_hand(truth, prediction, 5, ignore_index=0))
    assert not matrix[0].any()


def test_nothing_counted():
    truth = np.full((4, 4), 255, np.uint8)
    assert confusion_matrix(truth, truth, 19).sum() == 0
    assert confusion_matrix(truth[:0], truth[:0], 19).shape == (19, 20)


def test_counts():
    matrix = np.array([[5, 1, 2], [3, 7, 0]])  # two classes; the last column is a miss
    tp, fp, fn = counts(matrix)
    assert tp.tolist() == [5, 7]
    assert fp.tolist() == [3, 1]
    assert fn.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        (np.full((2, 2), 19, np.uint8), np.zeros((2, 2), np.uint8)),  # truth that is no class
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8)),
    ],
)
def test_programmer_errors(truth, prediction):
    with pytest.raises(AssertionError):
        confusion_matrix(truth, prediction, 19)
