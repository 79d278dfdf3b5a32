"""Predictions: through the pipeline that is scored, in files every scorer takes, whole or absent."""

import io
import os
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.predict.frames import FEW, NET, SIZE, names, photo, pixels, save
from zoo.cli.main import main
from zoo.data.convert import convert_folder
from zoo.data.reading import read_image
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.label_maps import evaluate_predictions
from zoo.labels import CITYSCAPES, TRAIN_ID_TO_LABEL_ID
from zoo.predict.drawing import KINDS, color_map, label_ids, overlay
from zoo.predict.pictures import predict_images, predict_split
from zoo.predict.predictor import load_predictor


def test_written_labels_score_what_evaluation_counts(tmp_path, predictor, model, dataset):
    seen = []
    written = predict_split(predictor, dataset, "val", tmp_path, on_image=lambda *count: seen.append(count))
    assert names(tmp_path) == sorted(path.relative_to(tmp_path).as_posix() for path in written)
    assert len(written) == 3 * len(KINDS)
    assert "confidence/town1/town1_000000_000001_confidence.png" in names(tmp_path)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    counted = evaluate_model(model[0], dataset, weights=model[1], device="cpu")
    scored = evaluate_predictions(tmp_path / "labelIds", dataset, "val", "labelIds")
    np.testing.assert_array_equal(scored.confusion, counted.confusion)
    assert np.count_nonzero(counted.confusion.sum(axis=0)) > 3, "the network answers one class everywhere"


def test_the_pictures_of_a_frame(tmp_path, predictor, dataset):
    predict_split(predictor, dataset, "test", tmp_path, image_count=2)
    frames = dataset.frames("test")[0::2][:2]  # spread over the split
    assert sorted(path.name for path in (tmp_path / "color" / "town0").iterdir()) == [
        f"{frame.name}_color.png" for frame in frames
    ]
    name, image = frames[1].name, read_image(frames[1].image)
    shown = {kind: pixels(tmp_path / kind / "town0" / f"{name}_{kind}.png") for kind in KINDS}
    prediction = predictor(image)
    assert prediction.confidence is None
    np.testing.assert_array_equal(shown["color"], np.array(CITYSCAPES.class_colors)[prediction.train_ids])
    np.testing.assert_array_equal(
        shown["labelIds"], np.vectorize(TRAIN_ID_TO_LABEL_ID.get)(prediction.train_ids).astype(np.uint8)
    )
    np.testing.assert_array_equal(shown["overlay"], overlay(image, prediction.train_ids, CITYSCAPES))


@pytest.mark.parametrize("size", [SIZE, (200, 70)])
def test_confidence_is_the_highest_softmax_probability_at_full_size(predictor, size):
    image = photo(3, size)
    prediction = predictor(image, confidence=True)
    pipeline, _ = predictor.deployed(size)
    with torch.no_grad():
        logits = pipeline.network(pipeline.preprocess(torch.from_numpy(image)[None]))
        full = F.interpolate(logits, pipeline.grid_size, mode="bilinear")[0, :, : size[0], : size[1]].softmax(0)
    expected, train_ids = full.max(0)
    np.testing.assert_array_equal(prediction.train_ids, train_ids)
    assert prediction.confidence.dtype == np.uint8
    assert np.abs(prediction.confidence - 255 * expected.numpy()).max() <= 0.51  # half of 1/255 is rounding
    assert np.ptp(prediction.confidence) > 50


def test_overlay_marks_where_classes_meet():
    train_ids = np.zeros((4, 6), np.uint8)
    train_ids[:, 3:] = 10
    drawn = overlay(np.full((4, 6, 3), 100, np.uint8), train_ids, CITYSCAPES)
    assert (drawn[:, 2:4] == 255).all()
    np.testing.assert_array_equal(drawn[0, 0], 50 + np.array(CITYSCAPES.class_colors[0]) // 2)
    np.testing.assert_array_equal(drawn[0, 5], 50 + np.array(CITYSCAPES.class_colors[10]) // 2)


def test_colors_and_values_of_other_classes():
    train_ids = np.array([[0, 1, 255]], np.uint8)
    np.testing.assert_array_equal(color_map(train_ids, FEW), [[[200, 100, 0], [0, 0, 200], [0, 0, 0]]])
    np.testing.assert_array_equal(label_ids(train_ids, FEW), [[9, 0, 1]])  # 1: what no label file holds
    ignoring = FEW.model_copy(update={"label_to_train_id": {3: 255, **FEW.label_to_train_id}})
    np.testing.assert_array_equal(label_ids(train_ids, ignoring), [[9, 0, 3]])


SORTS = {
    "grey": lambda image: image.convert("L"),
    "grey with alpha": lambda image: image.convert("LA"),
    "black and white": lambda image: image.convert("1"),
    "palette": lambda image: image.quantize(40),
    "alpha": lambda image: image.convert("RGBA"),
}


@pytest.mark.parametrize("sort", SORTS)
def test_a_photograph_of_any_sort(tmp_path, predictor, sort):
    image = SORTS[sort](Image.fromarray(photo()))
    image.save(tmp_path / "a photo é.png")
    (file,) = predict_images(predictor, tmp_path / "a photo é.png", tmp_path / "out", kinds=["color"])
    assert file == tmp_path / "out" / "color" / "a photo é_color.png"
    expected = predictor(np.array(image.convert("RGB"))).train_ids
    np.testing.assert_array_equal(pixels(file), color_map(expected, CITYSCAPES))


def test_a_turned_photograph_is_predicted_upright(tmp_path, predictor):
    upright, exif = photo(), Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    save(tmp_path / "turned.png", np.rot90(upright).copy(), exif=exif)
    (file,) = predict_images(predictor, tmp_path / "turned.png", tmp_path, kinds=["labelIds"])
    np.testing.assert_array_equal(pixels(file), label_ids(predictor(upright).train_ids, CITYSCAPES))


def test_a_folder_keeps_its_structure(tmp_path, predictor):
    source = tmp_path / "photos"
    for path in ("b.jpg", "deep/er/a.PNG", "deep/b.webp", ".hidden/c.png", ".trash.png"):
        save(source / path, photo())
    (source / "notes.txt").write_text("not an image")
    (source / "deep" / "loop").symlink_to(source, target_is_directory=True)
    for _ in range(2):  # the second time, what was written must not be taken for a photograph
        predict_images(predictor, source, source / "seen", kinds=["color", "confidence"])
        assert names(source / "seen") == [
            *("color/b_color.png", "color/deep/b_color.png", "color/deep/er/a_color.png"),
            *("confidence/b_confidence.png", "confidence/deep/b_confidence.png", "confidence/deep/er/a_confidence.png"),
        ]


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def encoded(form="PNG", array=None):
    file = io.BytesIO()
    Image.fromarray(photo() if array is None else array).save(file, form)
    return file.getvalue()


MISTAKES = {
    "nothing": (lambda folder: None, ".", "no image in"),
    "absent": (lambda folder: None, "nowhere", "no image file or folder"),
    "one target": (lambda folder: (save(folder / "a.png", photo()), save(folder / "a.jpg", photo())), ".",
                   r"a\.jpg and .*a\.png would be written to the same files"),
    "empty": (put("a.png", b""), ".", r"a\.png cannot be read: it is empty"),
    "no image": (put("a.png", b"text"), "a.png", r"a\.png cannot be read: it is not an image"),
    "truncated": (put("a.jpg", encoded("JPEG")[:-100]), ".", r"a\.jpg cannot be read: .*truncated"),
    "16 bit": (put("a.png", encoded(array=np.full(SIZE, 4000, np.uint16))), ".", "16 bits a channel.*data convert"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_bad_source_is_one_line(tmp_path, predictor, case):
    prepare, source, message = MISTAKES[case]
    folder = tmp_path / "photos"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(UserError, match=message) as caught:
        predict_images(predictor, folder / source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_bad_target_or_kind_is_one_line(tmp_path, predictor, dataset):
    save(tmp_path / "photos" / "a.png", photo())
    with pytest.raises(UserError, match="folder of the images themselves"):
        predict_images(predictor, tmp_path / "photos", tmp_path / "photos" / ".")
    with pytest.raises(UserError, match=r"no kind 'colour' here\. Did you mean 'color'"):
        predict_images(predictor, tmp_path / "photos", tmp_path / "out", kinds=["colour"])
    with pytest.raises(UserError, match="no kind 'truth' here"):
        predict_split(predictor, dataset, "val", tmp_path / "out", kinds=["truth"])
    with pytest.raises(UserError, match="a number of images is 1 or more"):
        predict_split(predictor, dataset, "val", tmp_path / "out", image_count=0)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write .*file: Not a directory"):
        predict_images(predictor, tmp_path / "photos", tmp_path / "file")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labelIds").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        predict_images(predictor, tmp_path / "photos", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labelIds"], "no empty folders stay"


def test_a_network_that_fails_is_one_line(tmp_path, dataset):
    source = (
        NET
        + """

class Picky(nn.Conv2d):
    def __init__(self, num_classes):
        super().__init__(3, num_classes, 1)

    def forward(self, x):
        if x.shape[2] < 1000:
            raise RuntimeError("too\\nsmall")
        return super().forward(x)
"""
    )
    (tmp_path / "bad.py").write_text(source)
    save_file(nn.Conv2d(3, 19, 1).state_dict(), tmp_path / "w.safetensors")
    name = f"{tmp_path / 'bad.py'}:Picky"
    failing = load_predictor(name, dataset, weights=tmp_path / "w.safetensors", device="cpu")
    with pytest.raises(UserError, match=r"bad:Picky: forward fails on a \(1, 3, 36, 50\) image: RuntimeError: too"):
        predict_split(failing, dataset, "val", tmp_path / "out")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, predictor, monkeypatch):
    save(tmp_path / "photos" / "a.png", photo())

    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(top)))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(UserError, match="photos cannot be read: Permission denied"):
        predict_images(predictor, tmp_path / "photos", tmp_path / "out")


def test_damaged_photographs_are_named_and_the_rest_goes_on(tmp_path, model, dataset, capsys):
    source = tmp_path / "photos"
    for number in range(9):
        save(source / f"{number}.png", photo(number))
    put("3.png", encoded()[:-200])(source)
    put("5.png", b"")(source)
    put("7.png", encoded(array=np.full(SIZE, 4000, np.uint16)))(source)
    line = ["predict", model[0], str(source), "-o", str(tmp_path / "out"), "--checkpoint", str(model[1])]
    line += ["--data", str(dataset.root), "--device", "cpu", "--kinds", "color"]
    assert main(line) == 1
    captured = capsys.readouterr()
    assert captured.out == f"wrote 6 files to {tmp_path / 'out'}\n"
    said = [row for row in captured.err.splitlines() if row.startswith("zoo: ")]
    assert [(f"{number}.png" in row, remedy in row) for row, number, remedy in zip(
        said, (3, 5, 7), ("a part is missing", "it is empty", "16 bits"), strict=True
    )] == [(True, True)] * 3  # fmt: skip
    assert names(tmp_path / "out") == [f"color/{number}_color.png" for number in (0, 1, 2, 4, 6, 8)]


def test_a_damaged_frame_of_a_split_is_named_and_the_rest_goes_on(tmp_path, predictor, dataset):
    frames = dataset.frames("test")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    changed = replace(dataset, frames_by_split={"test": (replace(frames[0], image=broken), *frames[1:])})
    faults, told = [], []
    files = predict_split(
        predictor, changed, "test", tmp_path / "out", kinds=["color"],
        on_fault=faults.append, on_image=lambda *count: told.append(count),
    )  # fmt: skip
    assert len(files) == 4
    assert told == [(number, 5) for number in range(1, 6)]
    (fault,) = faults
    assert "broken.png cannot be read: its head is damaged; copy or download it again" in str(fault)
    with pytest.raises(UserError, match=r"broken\.png cannot be read"):
        predict_split(predictor, changed, "test", tmp_path / "other", kinds=["color"])


def test_a_network_that_fails_on_one_image_goes_on_with_the_others(tmp_path, predictor):
    def fails(size):
        if size == (20, 20):
            raise RuntimeError("out of memory")
        return predictor.deployed(size)

    for number, size in enumerate((SIZE, (20, 20), SIZE)):
        save(tmp_path / "photos" / f"{number}.png", photo(number, size))
    faults = []
    files = predict_images(
        replace(predictor, deployed=fails), tmp_path / "photos", tmp_path / "out", kinds=["color"],
        on_fault=faults.append,
    )  # fmt: skip
    assert [file.name for file in files] == ["0_color.png", "2_color.png"]
    assert [str(fault).startswith("1: ") and "out of memory" in str(fault) for fault in faults] == [True]


@pytest.mark.parametrize("factor", [1, 257])
def test_a_photograph_of_16_bits_is_never_black(tmp_path, predictor, factor):
    """Of 8-bit values it is read; of a camera's 12 bits it is refused, with the way on."""
    rgb = photo().astype(int)
    write_deep(tmp_path / "a.png", rgb * factor)
    (file,) = predict_images(predictor, tmp_path / "a.png", tmp_path / "out", kinds=["color"])
    np.testing.assert_array_equal(pixels(file), color_map(predictor(photo()).train_ids, CITYSCAPES))
    write_deep(tmp_path / "photos" / "b.png", rgb * 16)
    with pytest.raises(UserError, match=r"16 bits a channel.*zoo data convert"):
        predict_images(predictor, tmp_path / "photos" / "b.png", tmp_path / "out")
    convert_folder(tmp_path / "photos", tmp_path / "plain")
    np.testing.assert_array_equal(read_image(tmp_path / "plain" / "b.png"), np.round(rgb * 16 * 255 / 4095))


def write_deep(path, values):
    """A PNG of 16-bit RGB, by hand: Pillow writes none."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    path.parent.mkdir(exist_ok=True)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_forms_of_photographs_are_said(tmp_path, predictor, caplog):
    for number in range(3):
        image = Image.fromarray(photo(number))
        (tmp_path / "photos").mkdir(exist_ok=True)
        (image.convert("L") if number else image).save(tmp_path / "photos" / f"{number}.png")
    predict_images(predictor, tmp_path / "photos", tmp_path / "out", kinds=["color"])
    assert [record.message for record in caplog.records] == [
        "2 of 3 images are stored as grey: the one channel is read as red, green and blue"
    ]
