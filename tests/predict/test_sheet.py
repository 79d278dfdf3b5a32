"""A sheet of frames, what is true, and what the model says."""

import itertools

import numpy as np
import pytest
from PIL import Image

from tests.predict.frames import SIZE, names, photo, pixels, save
from zoo.data.layout import open_dataset
from zoo.data.reading import read_image
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.predict.drawing import color_map, overlay
from zoo.predict.sheet import predict_sheet


@pytest.mark.parametrize("kinds", [("image", "truth", "color"), ("color",), ("overlay", "confidence")])
def test_a_sheet_shows_frames_side_by_side(tmp_path, predictor, dataset, kinds):
    file = predict_sheet(predictor, dataset, "val", tmp_path / "sheet.png", kinds=kinds)
    sheet = pixels(file)
    assert sheet.shape[1] == 3 * SIZE[1] + 4 * 8
    frame = dataset.frames("val")[0]
    prediction = predictor(read_image(frame.image), confidence=True)
    expected = {
        "image": prediction.image,
        "truth": color_map(evaluate_truth(frame), CITYSCAPES),
        "color": color_map(prediction.train_ids, CITYSCAPES),
        "overlay": overlay(prediction.image, prediction.train_ids, CITYSCAPES),
        "confidence": np.repeat(prediction.confidence[..., None], 3, axis=2),
    }
    for row, kind in enumerate(kinds):
        top = 8 + row * (SIZE[0] + 22 + 8) + 22  # caption above, gap below
        np.testing.assert_array_equal(sheet[top : top + SIZE[0], 8 : 8 + SIZE[1]], expected[kind])
    legend = sheet[8 + len(kinds) * (SIZE[0] + 30) :].reshape(-1, 3)
    color = CITYSCAPES.class_colors[prediction.train_ids[0, 0]]
    assert (legend == color).all(axis=1).any(), "a class that occurs stands in the legend"


def evaluate_truth(frame):
    table = np.full(256, 255, np.uint8)
    for value, train_id in CITYSCAPES.label_to_train_id.items():
        table[value] = train_id
    return table[pixels(frame.label)]


def test_large_frames_are_made_smaller_on_a_sheet(tmp_path, predictor):
    root = tmp_path / "large"
    for split, end in itertools.product(("train", "val"), range(2)):
        save(root / "leftImg8bit" / split / "t" / f"t_000000_00000{end}_leftImg8bit.png", photo(end, (300, 600)))
        ids = np.full((300, 600), 7, np.uint8)
        save(root / "gtFine" / split / "t" / f"t_000000_00000{end}_gtFine_labelIds.png", ids)
    file = predict_sheet(predictor, open_dataset(root), "val", tmp_path / "sheet.jpg", image_count=1)
    with Image.open(file) as sheet:
        assert (sheet.format, sheet.width) == ("JPEG", 480 + 2 * 8)
        assert sheet.height >= 3 * 240


def test_what_a_sheet_cannot_show(tmp_path, predictor, dataset):
    with pytest.raises(UserError, match=r"a sheet is one picture, \.png"):
        predict_sheet(predictor, dataset, "val", tmp_path / "sheet.pdf")
    with pytest.raises(UserError, match="has no label file"):
        predict_sheet(predictor, dataset, "test", tmp_path / "sheet.png")
    with pytest.raises(UserError, match="no kind 'labelIds' here"):
        predict_sheet(predictor, dataset, "val", tmp_path / "sheet.png", kinds=["labelIds"])
    assert names(tmp_path) == []
    predict_sheet(predictor, dataset, "test", tmp_path / "sheet.png", kinds=["image", "color"])
    assert names(tmp_path) == ["sheet.png"]
