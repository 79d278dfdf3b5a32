"""Notes on files in other forms than the plain one: counted by their headers, said once, before the work."""

import numpy as np
import pytest
from PIL import Image

from zoo.config import TrainConfig
from zoo.data.headers import IMAGE_NOTES, LABEL_NOTES, notes, read_header, say_forms
from zoo.data.layout import open_dataset
from zoo.data.loading import evaluation_frames, train_batches
from zoo.data.prepared import prepare
from zoo.errors import UserError

GREY, VALUES = np.full((8, 12), 90, np.uint8), np.full((8, 12), 7, np.uint8)


def spell(folder):
    """Five frames: two grey images, one with alpha; three palette label maps, one of 16 bits."""
    files = [folder.add(number=number) for number in range(5)]
    for image, _ in files[:2]:
        Image.fromarray(GREY).save(image)
    Image.fromarray(np.dstack([GREY] * 3 + [GREY * 0 + 255])).save(files[2][0])
    for _, (label,) in files[1:4]:
        palette = Image.fromarray(VALUES, "P")
        palette.putpalette([9, 8, 7] * 256)
        palette.save(label)
    Image.fromarray(VALUES.astype(np.uint16)).save(files[4][1][0])
    return open_dataset(folder.root)


SAID = [
    "2 of 5 images of val are stored as grey: the one channel is read as red, green and blue",
    "1 of 5 images of val is stored with alpha: it hides nothing and is left out",
    "3 of 5 label maps of val are stored with a palette: the indices are read, not the colours",
    "1 of 5 label maps of val is stored in 16 bits: 8-bit values in them are read, others refused",
]


def walk(dataset, tmp_path):
    for _, image, label in evaluation_frames(dataset, "val"):
        assert image.shape == (8, 12, 3)
        assert (label == 0).all()


def train(dataset, tmp_path):
    config = TrainConfig(crop_size=(8, 8), batch_size=5)
    assert next(train_batches(dataset, "val", config, cache=tmp_path)).images.shape == (5, 8, 8, 3)


@pytest.mark.parametrize("use", [walk, train, lambda dataset, tmp_path: prepare(dataset, "val", cache=tmp_path)])
def test_forms_are_said_once_by_whatever_reads_a_split(folder, tmp_path, caplog, use):
    dataset = spell(folder)
    for _ in range(2):
        use(dataset, tmp_path)
    assert [record.message for record in caplog.records] == SAID


def test_plain_files_are_not_spoken_of(folder, caplog):
    folder.add()
    dataset = open_dataset(folder.root)
    say_forms(dataset, "val", dataset.frames("val"))
    assert not caplog.records


def test_what_no_reader_takes_is_named_before_the_first_frame(folder):
    for number in range(3):
        image, _ = folder.add(number=number, suffix=".jpg")
    for number in (1, 2):
        Image.new("CMYK", (12, 8)).save(str(image).replace("000002", f"00000{number}"))
    with pytest.raises(UserError, match=r"00001_leftImg8bit.jpg \(and 1 more\) has Pillow mode CMYK.*zoo data convert"):
        next(evaluation_frames(open_dataset(folder.root), "val"))


def test_a_note_names_one_or_many(folder):
    image, _ = folder.add()
    header = read_header("image", image)._replace(form="palette")
    assert notes("image", [header]) == {"palette": "1 of 1 image is stored with a palette: the colours are read"}


def test_every_form_that_is_read_has_a_note():
    assert set(IMAGE_NOTES) | {"color", "other"} == set(LABEL_NOTES) | {"grey", "other"}
