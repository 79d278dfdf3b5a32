from __future__ import annotations

import json

import numpy as np
import pytest

from zoo.record import Accuracy, Dataset
from zoo.report.accuracy import show_accuracy

CONFUSION = np.array([[6, 2, 0, 0], [0, 3, 0, 1], [0, 0, 0, 0]])
ACCURACY = Accuracy(
    dataset=Dataset(name="streets", fingerprint="0" * 16, split="val", image_count=2, synthetic=True),
    class_names=("road", "car", "sky"),
    confusion=tuple(tuple(row) for row in CONFUSION.tolist()),
    image_count=2,
)


def test_json_is_what_was_counted():
    values = json.loads(show_accuracy(ACCURACY, "json"))
    assert values["class_iou"] == {"road": 6 / 8, "car": 3 / 6, "sky": None}
    assert values["miou"] == pytest.approx((0.75 + 0.5) / 2)
    assert values["pixel_accuracy"] == pytest.approx(9 / 12)
    assert values["confusion"] == CONFUSION.tolist()
    assert values["num_images"] == 2
    assert (values["dataset"], values["split"], values["synthetic"]) == ("streets", "val", True)


def test_the_table_names_each_class_and_says_full_size():
    text = show_accuracy(ACCURACY)
    assert "road" in text
    assert "75.0" in text
    assert " n/a" in text
    assert "2 images of streets val, full size (synthetic" in text
