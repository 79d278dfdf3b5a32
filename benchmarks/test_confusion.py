"""Counting one 1024x2048 frame, beside torchmetrics and the official package on the same arrays.

The official wheel brings no compiled module; what is timed is the numpy path its users get, without reading files.
"""

from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

np.in1d = getattr(np, "in1d", np.isin)  # noqa: NPY201  numpy 2.4 removed the name that cityscapesScripts imports

from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official  # noqa: E402, N813
from torchmetrics.classification import MulticlassConfusionMatrix  # noqa: E402

from zoo.confusion import confusion_matrix  # noqa: E402

SIZE = (1024, 2048)
NUM_CLASSES = 19
ROUNDS = 7


def noise():
    """Every pixel independent: the worst case."""
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, NUM_CLASSES, (2, *SIZE)).astype(np.uint8)
    truth[rng.random(SIZE) < 0.1] = 255
    return truth, prediction


def street():
    """Nested regions with ragged borders, ignored strips and a prediction that errs along borders and in speckles."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    truth = (6 * y / SIZE[0] + np.sin(x / 90) + np.sin(y / 35 + x / 160)).astype(np.int64) % NUM_CLASSES
    for _ in range(150):  # cars, people, signs
        top, left = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
        truth[top : top + rng.integers(8, 120), left : left + rng.integers(4, 160)] = rng.integers(0, NUM_CLASSES)
    prediction = np.roll(truth, (2, 3), (0, 1))
    speckle = rng.random(SIZE) < 0.002
    prediction[speckle] = rng.integers(0, NUM_CLASSES, speckle.sum())
    truth[-60:] = 255
    return truth.astype(np.uint8), prediction.astype(np.uint8)


def torchmetrics_peer(truth, prediction):
    metric = MulticlassConfusionMatrix(NUM_CLASSES, ignore_index=255)
    truth, prediction = torch.from_numpy(truth), torch.from_numpy(prediction)

    def count():
        metric.reset()
        metric.update(prediction, truth)
        return metric.compute().numpy()

    return count


def cityscapes_peer(truth, prediction):
    """Arrays go in as label ids (train id + 1, ignored = 0): any ids will do, and the arithmetic is the same."""
    files = {"truth": truth + np.uint8(1), "prediction": prediction + np.uint8(1)}
    args = SimpleNamespace(evalInstLevelScore=False, evalPixelAccuracy=False)

    class Arrays:
        """Stands in for PIL.Image while the peer runs: "opening" a file hands over the array."""

        @staticmethod
        def open(name):
            return Picture(files[name])

    class Picture:
        size = SIZE[::-1]

        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    def count():
        matrix = official.generateMatrix(args)
        pillow, official.Image = official.Image, Arrays
        try:
            official.evaluatePair("prediction", "truth", matrix, {}, {}, args)
        finally:
            official.Image = pillow
        return matrix[1 : NUM_CLASSES + 1, 1 : NUM_CLASSES + 1].astype(np.int64)

    return count


@pytest.mark.parametrize("draw", [street, noise])
@pytest.mark.parametrize(
    ("peer_name", "make_peer", "target"),
    [("torchmetrics", torchmetrics_peer, 12.0), ("cityscapesScripts", cityscapes_peer, 1.5)],
)
def test_confusion_matrix(benchmark, draw, peer_name, make_peer, target):
    truth, prediction = draw()
    peer = make_peer(truth, prediction)

    def ours():
        return confusion_matrix(truth, prediction, NUM_CLASSES)

    np.testing.assert_array_equal(ours()[:, :-1], peer())
    ratios = [seconds(peer) / seconds(ours) for _ in range(ROUNDS)]
    benchmark.extra_info |= {"peer": peer_name, "ratio_to_peer": float(np.median(ratios)), "target": target}
    benchmark.pedantic(ours, rounds=ROUNDS, warmup_rounds=1)
    assert benchmark.extra_info["ratio_to_peer"] >= target


def seconds(call):
    start = perf_counter()
    call()
    return perf_counter() - start
