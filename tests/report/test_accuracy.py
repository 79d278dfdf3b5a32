from __future__ import annotations

import json

import numpy as np
import pytest

from zoo.record import Accuracy, Dataset, InstanceCounts, Mode, Network, Weights
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

    assert (values["category_iou"], values["class_iiou"], values["miou_interval"]) == (None, None, None)
    assert values["mode"] == {"window": None, "stride": None, "scales": [1.0], "flip": False}


FULL = ACCURACY.model_copy(
    update={
        "class_categories": ("flat", "vehicle", "sky"),
        "class_instances": {"car": InstanceCounts(true_positives=2.0, false_negatives=1.0, false_positives=1)},
        "category_instances": {"vehicle": InstanceCounts(true_positives=3.0, false_negatives=1.0, false_positives=1)},
        "miou_interval": (0.5, 0.7),
        "resampled": "sequences",
        "dataset": ACCURACY.dataset.model_copy(update={"shared_sequences": ("town_000000",)}),
        "mode": Mode(window=(8, 9), stride=(4, 5), scales=(0.5, 1.0), flip=True),
    }
)


def test_json_of_everything_that_can_be_known():
    values = json.loads(show_accuracy(FULL, "json"))
    assert values["category_iou"] == {"flat": 6 / 8, "vehicle": 3 / 6, "sky": None}
    assert values["mean_category_iou"] == pytest.approx(0.625)
    assert (values["class_iiou"], values["mean_class_iiou"]) == ({"car": 0.5}, 0.5)
    assert (values["category_iiou"], values["mean_category_iiou"]) == ({"vehicle": 0.6}, 0.6)
    assert (values["miou_interval"], values["resampled"]) == ([0.5, 0.7], "sequences")
    assert values["shared_sequences"] == ["town_000000"]
    assert values["mode"] == {"window": [8, 9], "stride": [4, 5], "scales": [0.5, 1.0], "flip": True}


def test_label_maps_of_another_program_say_so():
    foreign = ACCURACY.model_copy(update={"mode": None})
    assert json.loads(show_accuracy(foreign, "json"))["mode"] is None
    assert "full size, label maps of another program (synthetic" in show_accuracy(foreign)


NETWORK = Network(
    model="unet",
    weights=Weights(source="run", sha256="abcdef012345", recipe="camvid", recipe_hash="0123abcd"),
    precision="bf16",
    input_size=(8, 9),
)


def test_what_was_scored_is_named():
    text = show_accuracy(ACCURACY, network=NETWORK)
    assert "unet in bf16 at 8x9, weights run camvid (abcdef01), recipe hash 0123abcd" in text
    assert f"dataset fingerprint {'0' * 16}" in text
    values = json.loads(show_accuracy(ACCURACY, "json", network=NETWORK))
    assert Network.model_validate(values["network"]) == NETWORK
    assert values["fingerprint"] == "0" * 16
    assert json.loads(show_accuracy(ACCURACY, "json"))["network"] is None
    assert json.loads(show_accuracy(ACCURACY, "json"))["reading"] is None
    foreign = NETWORK.model_copy(
        update={
            "input_size": None,
            "weights": NETWORK.weights.model_copy(update={"source": "file", "tag": "net.pth", "recipe_hash": None}),
        }
    )
    assert "at each frame's own size, weights file net.pth (abcdef01)\n" in show_accuracy(ACCURACY, network=foreign)


def test_the_table_of_everything_that_can_be_known():
    text = show_accuracy(FULL)
    assert "mIoU 62.5 % (95 % interval 50.0 to 70.0, by bootstrap over sequences), pixel accuracy 75.0 %" in text
    assert "read by a 8x9 window in steps of 4x5 at scales 0.5, 1 and mirrored" in text
    assert "val shares the sequence town_000000 with training" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert lines["vehicle"] == ["vehicle", "50.0", "60.0"]
    assert lines["car"][:4] == ["car", "50.0", "75.0", "50.0"]


def test_the_table_names_each_class_and_says_full_size():
    text = show_accuracy(ACCURACY)
    assert "road" in text
    assert "75.0" in text
    assert " n/a" in text
    assert "2 images of streets val, full size, read whole (synthetic" in text
    assert "category" not in text
