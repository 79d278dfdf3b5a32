"""Instance-weighted counts by hand; `test_evaluate.py` holds them against the official evaluation."""

import numpy as np
import pytest

from zoo.confusion import find_runs
from zoo.instances import CATEGORY_NAMES, CLASS_NAMES, TARGETS, instance_counts, see_instances

IDENTITY = np.where(np.arange(256) < 34, np.arange(256), 0)


def see(instances, prediction):
    return see_instances(find_runs(instances, prediction), instances, prediction)


def test_eight_classes_and_two_categories_have_instances():
    assert CLASS_NAMES == ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    assert CATEGORY_NAMES == ("human", "vehicle")


def test_every_instance_weighs_as_an_average_one():
    instances = np.zeros((2, 8), np.uint16)
    instances[0, :4] = 26000  # a car of 4 pixels
    instances[1] = 26001  # another of 8
    instances[0, 4] = 26  # a crowd of cars
    instances[0, 5] = 29000  # a caravan: no class
    prediction = np.full((2, 8), 7, np.uint8)
    prediction[0, :2] = 26  # half of the first car
    prediction[1, :2] = (26, 29)  # an eighth of the second, and as much again as a vehicle
    pairs = np.zeros((19, 256), np.int64)
    pairs[0, 26], pairs[0, 29], pairs[13, 29], pairs[14, 26] = 5, 3, 7, 2  # road, road, car, truck
    counts = dict(zip(TARGETS, instance_counts(see(instances, prediction), pairs, IDENTITY), strict=True))
    average = 12794.0202738185
    np.testing.assert_allclose(counts["car"], [average * (1 / 2 + 1 / 8), average * (1 / 2 + 7 / 8), 5 + 2])
    np.testing.assert_allclose(counts["vehicle"], [average * (1 / 2 + 2 / 8), average * (1 / 2 + 6 / 8), 5 + 3])
    assert not np.any([counts[name] for name in TARGETS if name not in ("car", "vehicle")])


def test_no_instance_at_all():
    nothing = np.zeros((4, 4), np.uint16)
    seen = see(nothing, nothing.astype(np.uint8))
    assert seen.pixels.shape == (0, 256)
    assert not instance_counts(seen, np.zeros((19, 256), np.int64), IDENTITY).any()


@pytest.mark.parametrize("value", [7001, 34000, 65535])
def test_a_label_that_has_no_instances(value):
    with pytest.raises(ValueError, match=f"instances of label {value // 1000}, which has none"):
        see(np.full((2, 2), value, np.uint16), np.zeros((2, 2), np.uint8))
