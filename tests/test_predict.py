"""Predictions: through the pipeline that is scored, in files every scorer takes, whole or absent."""

import io
import itertools
import os
import resource
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from zoo.data.layout import open_dataset
from zoo.data.reading import read_image
from zoo.errors import UserError
from zoo.evaluate import evaluate_predictions
from zoo.labels import CITYSCAPES, TRAIN_ID_TO_LABEL_ID
from zoo.predict import (
    KINDS,
    check_submission,
    color_map,
    label_ids,
    load_predictor,
    overlay,
    predict_images,
    predict_sheet,
    predict_split,
    predict_submission,
)
from zoo.spec import DatasetSpec
from zoo.train.validate import evaluate_model

np.in1d = getattr(np, "in1d", np.isin)  # noqa: NPY201  numpy 2.4 removed the name that cityscapesScripts uses

SIZE = (36, 50)
NET = """
from torch import nn


def build(num_classes):
    net = nn.Conv2d(3, num_classes, 5, stride=4, padding=2)
    net.divisor = 8
    return net
"""
FEW = DatasetSpec(
    name="few",
    class_names=("ground", "water"),
    class_colors=((200, 100, 0), (0, 0, 200)),
    label_to_train_id={9: 0, 0: 1, 4: 0, 5: 1},
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small gain nothing from a second thread, and wait for it where cores are shared."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Frames of random blocks: three with labels (val), five without (test), one of those of another size."""
    root = tmp_path_factory.mktemp("streets")
    rng = np.random.default_rng(0)
    for split, count in (("train", 1), ("val", 3), ("test", 5)):
        for index in range(count):
            size = (20, 34) if (split, index) == ("test", 4) else SIZE
            name = f"town{index % 2}_000000_{index:06d}"
            blocks = rng.integers(0, 256, (9, 10, 3), np.uint8)
            image = Image.fromarray(blocks).resize((size[1], size[0]), Image.Resampling.NEAREST)
            path = root / "leftImg8bit" / split / f"town{index % 2}" / f"{name}_leftImg8bit.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
            if split != "test":
                ids = rng.choice(list(CITYSCAPES.label_to_train_id), (9, 10)).astype(np.uint8)
                path = root / "gtFine" / split / f"town{index % 2}" / f"{name}_gtFine_labelIds.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(ids).resize((size[1], size[0]), Image.Resampling.NEAREST).save(path)
    return open_dataset(root)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Name and checkpoint of a network with random weights, large enough for sure answers."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.py").write_text(NET)
    torch.manual_seed(0)
    net = nn.Conv2d(3, 19, 5, stride=4, padding=2)
    save_file({name: 3 * value for name, value in net.state_dict().items()}, folder / "net.safetensors")
    return f"{folder / 'net.py'}:build", folder / "net.safetensors"


@pytest.fixture(scope="module")
def predictor(model, dataset):
    name, checkpoint = model
    return load_predictor(name, dataset, checkpoint=checkpoint, device="cpu")


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def names(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def photo(seed=0, size=SIZE):
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.array(Image.fromarray(blocks).resize((size[1], size[0]), Image.Resampling.NEAREST))


def test_written_labels_score_what_evaluation_counts(tmp_path, predictor, model, dataset):
    seen = []
    written = predict_split(predictor, dataset, "val", tmp_path, on_image=lambda *count: seen.append(count))
    assert names(tmp_path) == sorted(path.relative_to(tmp_path).as_posix() for path in written)
    assert len(written) == 3 * len(KINDS)
    assert "confidence/town1/town1_000000_000001_confidence.png" in names(tmp_path)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    counted = evaluate_model(model[0], dataset, checkpoint=model[1], device="cpu")
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
    "16 bit": (put("a.png", encoded(array=np.zeros(SIZE, np.uint16))), ".", "mode I;16, more than 8 bits"),
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
    failing = load_predictor(name, dataset, checkpoint=tmp_path / "w.safetensors", device="cpu")
    with pytest.raises(UserError, match=r"bad:Picky: forward fails on a \(1, 3, 36, 50\) image: RuntimeError: too"):
        predict_split(failing, dataset, "val", tmp_path / "out")


@pytest.fixture
def official():
    module = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    before = dict(vars(module.args))
    module.args.evalInstLevelScore, module.args.quiet, module.args.JSONOutput = False, True, False
    yield module
    vars(module.args).clear()
    vars(module.args).update(before)


def test_the_official_evaluation_takes_a_submission(tmp_path, predictor, model, dataset, official):
    file = predict_submission(predictor, dataset, "val", tmp_path / "sent" / "val.zip")
    assert names(tmp_path) == ["sent/val.zip"]
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "results")
    official.args.predictionPath, official.args.predictionWalk = str(tmp_path / "results"), None
    truths = [str(frame.label) for frame in dataset.frames("val")]
    found = [official.getPrediction(official.args, truth) for truth in truths]  # exits where it is not exactly one
    theirs = official.evaluateImgLists(found, truths, official.args)
    matrix = np.asarray(theirs["confMatrix"]).astype(np.int64)
    ids = [TRAIN_ID_TO_LABEL_ID[k] for k in range(19)]
    ours = evaluate_model(model[0], dataset, checkpoint=model[1], device="cpu").confusion
    np.testing.assert_array_equal(matrix[np.ix_(ids, ids)], ours[:, :-1])


def test_a_split_without_labels_and_of_several_sizes(tmp_path, predictor, dataset):
    file = predict_submission(predictor, dataset, "test", tmp_path / "test.ZIP")
    again = predict_submission(predictor, dataset, "test", tmp_path / "again.zip")
    assert file.read_bytes() == again.read_bytes(), "equal predictions, equal bytes"
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 5
        for frame in dataset.frames("test"):
            with archive.open(f"{frame.name}_labelIds.png") as png:
                assert pixels(png).shape == read_image(frame.image).shape[:2]


def members(**changes):
    """An archive that is right but for `changes`: content by member's name, `None` leaves one out."""
    good = {f"town_000000_00000{index}_labelIds.png": encoded(array=np.full((4, 6), 7, np.uint8)) for index in (1, 2)}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (good | changes).items():
            if content is not None:
                archive.writestr(name, content)
    return file.getvalue()


FIRST = "town_000000_000001_labelIds.png"
REFUSED = {
    "missing": (members(**{FIRST: None}), "frame town_000000_000001 has 0 predictions"),
    "two": (members(**{"below/town_000000_000001.png": b""}), "frame town_000000_000001 has 2 predictions"),
    "jpeg": (members(**{FIRST: encoded("JPEG", np.full((4, 6), 7, np.uint8))}), "is JPEG of mode L"),
    "colors": (members(**{FIRST: encoded(array=np.zeros((4, 6, 3), np.uint8))}), "is PNG of mode RGB"),
    "16 bit": (members(**{FIRST: encoded(array=np.zeros((4, 6), np.uint16))}), "is PNG of mode I;16"),
    "size": (members(**{FIRST: encoded(array=np.zeros((6, 4), np.uint8))}), "is 6x4; its frame is 4x6"),
    "values": (members(**{FIRST: encoded(array=np.full((4, 6), 255, np.uint8))}), "holds 255, no official label id"),
    "damaged": (members()[:-30], "is damaged"),
    "damaged picture": (members(**{FIRST: encoded(array=np.full((4, 6), 7, np.uint8))[:40]}), "is damaged"),
}


def test_what_the_official_rules_refuse(tmp_path):
    sizes = {"town_000000_000001": (4, 6), "town_000000_000002": (4, 6)}
    file = tmp_path / "sent.zip"
    file.write_bytes(members())
    check_submission(file, sizes)
    for content, message in REFUSED.values():
        file.write_bytes(content)
        with pytest.raises(UserError, match=message) as caught:
            check_submission(file, sizes)
        assert "\n" not in str(caught.value)
    file.write_bytes(members(**{"town_000000.png": encoded(array=np.zeros((4, 6), np.uint8))}))
    with pytest.raises(UserError, match="is not named <city>_<seq>_<frame>"):
        check_submission(file, {**sizes, "town_000000": (4, 6)})


def test_an_answer_too_large_to_decode_is_one_line(tmp_path, monkeypatch):
    file = tmp_path / "sent.zip"
    file.write_bytes(members(**{"town_000000_000000.png": encoded(array=np.zeros((4, 6), np.uint8))}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(UserError, match=r"sent.zip is damaged: .*decompression bomb"):
        check_submission(file, {"town_000000_000000": (4, 6)})


def test_a_submission_is_whole_or_absent(tmp_path, predictor, dataset):
    file = tmp_path / "sent.zip"
    file.write_bytes(b"the one of yesterday")

    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_submission(predictor, dataset, "test", file, on_image=stop)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))  # what a full disk is like
    try:
        with pytest.raises(UserError, match=r"cannot write .*sent\.zip: File too large; free some space"):
            predict_submission(predictor, dataset, "test", file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["sent.zip"]
    assert file.read_bytes() == b"the one of yesterday"
    predict_submission(predictor, dataset, "test", file)
    assert zipfile.is_zipfile(file)


def test_what_cannot_be_a_submission(tmp_path, predictor, dataset):
    (tmp_path / "folder.zip").mkdir()
    for file in (tmp_path / "sent.png", tmp_path / "folder.zip"):
        with pytest.raises(UserError, match=r"a submission is one \.zip file"):
            predict_submission(predictor, dataset, "test", file)
    own = replace(dataset, spec=FEW)
    with pytest.raises(UserError, match="has classes of its own"):
        predict_submission(predictor, own, "test", tmp_path / "sent.zip")
    with pytest.raises(UserError, match=r"has no split 'tset'\. Did you mean 'test'"):
        predict_submission(predictor, dataset, "tset", tmp_path / "sent.zip")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["town_000000", "town_000000_000001"], "is not named <city>_<seq>_<frame>"),
        (["town_0_10", "town_0_2", "town_0_1"], "town_0_10 begins with the name of frame town_0_1: .* as many digits"),
    ],
)
def test_names_the_official_script_mistakes_are_refused_before_the_work(tmp_path, predictor, named, message):
    for name in named:
        save(tmp_path / "data" / "leftImg8bit" / "test" / "town" / f"{name}_leftImg8bit.png", photo())
    idle = replace(predictor, deployed=lambda size: pytest.fail("it predicts"))
    with pytest.raises(UserError, match=message):
        predict_submission(idle, open_dataset(tmp_path / "data"), "test", tmp_path / "sent.zip")


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


def test_a_folder_that_cannot_be_read_is_named(tmp_path, predictor, monkeypatch):
    save(tmp_path / "photos" / "a.png", photo())

    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(top)))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(UserError, match="photos cannot be read: Permission denied"):
        predict_images(predictor, tmp_path / "photos", tmp_path / "out")
