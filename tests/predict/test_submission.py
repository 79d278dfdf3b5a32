"""A submission: what Cityscapes' own script takes, whole or absent."""

import io
import resource
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.predict.frames import FEW, names, photo, pixels, save
from zoo.data.layout import open_dataset
from zoo.data.reading import read_image
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.labels import TRAIN_ID_TO_LABEL_ID
from zoo.predict.submission import check_submission, predict_submission

np.in1d = getattr(np, "in1d", np.isin)  # noqa: NPY201  numpy 2.4 removed the name that cityscapesScripts uses


def encoded(form="PNG", array=None):
    file = io.BytesIO()
    Image.fromarray(photo() if array is None else array).save(file, form)
    return file.getvalue()


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
    ours = evaluate_model(model[0], dataset, weights=model[1], device="cpu").confusion
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
        with pytest.raises(UserError, match=r"cannot write .*sent\.zip: File too large; a file may not be so large"):
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
