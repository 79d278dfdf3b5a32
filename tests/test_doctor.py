"""The doctor: what it finds in folders bent out of shape, and that it changes nothing."""

import errno
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo import doctor
from zoo.data.layout import open_dataset
from zoo.data.synthetic import write_dataset
from zoo.doctor import examine
from zoo.errors import UserError
from zoo.frames import OFFICIAL_CITIES, OFFICIAL_SIZES
from zoo.labels import CITYSCAPES
from zoo.report.doctor import show_report

SIZE = (64, 128)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "streets", image_size=SIZE, train_count=6, val_count=3)


@pytest.fixture
def streets(whole, tmp_path):
    """A copy to be bent: six train frames and three of val, without the marker of a synthetic set."""
    root = tmp_path / "my streets"
    shutil.copytree(whole, root)
    (root / "zoo-dataset.json").unlink()
    return root


def image(root, split="val", number=0):
    return sorted((root / "leftImg8bit" / split).glob("*/*.png"))[number]


def label(root, split="val", number=0):
    return sorted((root / "gtFine" / split).glob("*/*_labelIds.png"))[number]


def labels(root, split):
    return sorted((root / "gtFine" / split).glob("*/*_labelIds.png"))


def rewrite(path, change):
    with Image.open(path) as opened:
        pixels = np.array(opened)
    Image.fromarray(change(pixels)).save(path)


def found(report, *words, severity="error"):
    """The one finding of this gravity that says these words."""
    matching = [
        finding
        for finding in report.findings
        if finding.severity == severity and all(word in f"{finding.what} → {finding.advice}" for word in words)
    ]
    assert len(matching) == 1, report.findings
    return matching[0]


def snapshot(root):
    return {path: path.lstat().st_mtime_ns for path in sorted(root.rglob("*"))}


@pytest.mark.parametrize("full", [False, True])
def test_a_whole_set_is_healthy_and_left_as_it_is(whole, full):
    before = snapshot(whole)
    told = []
    report = examine(whole, full=full, on_image=lambda *seen: told.append(seen))
    assert report.healthy
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    assert told[-1] == (9, 9)
    assert snapshot(whole) == before
    train, val = report.splits
    assert (train.image_count, train.label_count, val.image_count) == (6, 6, 3)
    assert train.sizes == {SIZE: 6}
    assert train.pixel_count == 6 * SIZE[0] * SIZE[1]


def test_class_shares_are_those_of_the_pixels(streets):
    for path in labels(streets, "train"):
        rewrite(path, lambda ids: np.where(np.arange(ids.shape[1]) < 32, 7, 0).astype(np.uint8) + 0 * ids)
    train = examine(streets).splits[0]
    assert train.class_pixels == (train.pixel_count // 4, *[0] * 18)
    assert train.ignored_pixels == 3 * train.pixel_count // 4


def test_missing_and_orphaned_files_are_named(streets):
    label(streets, "val", 1).unlink()
    gone = image(streets, "train", 2)
    gone.unlink()
    report = examine(streets)
    assert not report.healthy
    missing = found(report, "images of val without a labelIds label: 1 of 3", "gtFine/val/<city>")
    assert missing.files == (str(image(streets, "val", 1).relative_to(streets)),)
    orphan = found(report, "1 file of labelIds in train without an image", severity="warning")
    assert orphan.files[0].startswith("gtFine/train/synth01/synth01_000002")


def test_frames_with_the_other_kind_of_label_are_told_apart(streets):
    path = label(streets, "val", 1)
    path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    found(examine(streets), "images of val without a labelIds label: 1 of 3", "some have labelTrainIds")


def train_ids(ids):
    table = np.full(256, 255, np.uint8)
    table[list(CITYSCAPES.label_to_train_id)] = list(CITYSCAPES.label_to_train_id.values())
    return table[ids]


def test_train_ids_in_files_named_label_ids(streets):
    for path in labels(streets, "val"):
        rewrite(path, train_ids)
    report = examine(streets)
    assert found(report, "labelIds files of val hold train ids", "rename them to _labelTrainIds.png").files
    assert not any("mean nothing" in finding.what for finding in report.findings)
    for path in labels(streets, "val"):
        rewrite(path, lambda ids: np.where(ids == 255, 0, ids).astype(np.uint8))  # nothing the loader would refuse
    open_dataset(streets)
    found(examine(streets), "labelIds files of val hold train ids")


def test_label_ids_in_files_named_train_ids(streets):
    for path in labels(streets, "val"):
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    found(examine(streets), "labelTrainIds files of val hold label ids", "rename them to _labelIds.png")


@pytest.mark.parametrize("void", [255, 0])
def test_train_ids_in_some_files_named_label_ids(streets, void):
    changed = [label(streets, "train", number) for number in (1, 4)]
    for path in changed:
        rewrite(path, lambda ids: np.where((new := train_ids(ids)) == 255, void, new).astype(np.uint8))
    report = examine(streets)
    finding = found(report, "labelIds files of train hold train ids: 2 of 6 read", "write label ids into them")
    assert finding.files == tuple(str(path.relative_to(streets)) for path in changed)
    assert not any("mean nothing" in finding.what for finding in report.findings)


def test_label_ids_in_one_file_named_train_ids(streets):
    for number, path in enumerate(labels(streets, "val")):
        if number != 1:
            rewrite(path, train_ids)
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    finding = found(examine(streets), "labelTrainIds files of val hold label ids: 1 of 3", "write train ids into them")
    (right,) = (streets / "gtFine" / "val").glob("*/*_000001_*_labelTrainIds.png")
    assert finding.files == (str(right.relative_to(streets)),)


def test_values_out_of_range_are_named(streets):
    rewrite(label(streets, "val", 2), lambda ids: np.where(ids == 7, 77, ids).astype(np.uint8))
    strange = found(examine(streets), "1 label map of val with values that mean nothing: 77")
    assert strange.files == (str(label(streets, "val", 2).relative_to(streets)),)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    """Damage the pixels and nothing around them: header, end and length stay."""
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big")
    content[start : start + length] = bytes(length)
    content[start + length : start + length + 4] = zlib.crc32(content[start - 4 : start + length]).to_bytes(4, "big")
    path.write_bytes(content)


def claim_to_be_huge(path):
    content = bytearray(path.read_bytes())
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


def save_as_jpeg(path):
    with Image.open(path) as opened:
        pixels = np.array(opened)
    Image.fromarray(pixels).save(path, format="JPEG")


@pytest.mark.parametrize(
    ("which", "spoil", "words"),
    [
        (image, cut, ["1 image of val cannot be used", "FILE cannot be read"]),
        (label, cut, ["1 label map of val cannot be used", "FILE cannot be read"]),
        (label, claim_to_be_huge, ["1 label map of val cannot be used", "decompression bomb"]),
        (label, save_as_jpeg, ["1 label map of val cannot be used", "is a JPEG file of"]),
        (image, lambda path: path.write_bytes(b""), ["1 path unusable: empty (0 bytes)"]),
        (image, lambda path: path.write_bytes(b"no image at all"), ["FILE cannot be read: it is not an image"]),
        (image, lambda path: rewrite(path, lambda rgb: rgb[..., 0].astype(np.uint16) * 16), ["image FILE has 16 bits"]),
        (label, lambda path: rewrite(path, lambda ids: np.stack([ids, ids, 0 * ids], -1)), ["label FILE", "colours"]),
        (label, lambda path: rewrite(path, lambda ids: ids[:32]), ["FILE is 32x128 but its image is 64x128"]),
        (
            image,
            lambda path: (path.unlink(), path.symlink_to(path)),
            ["1 path unusable: a link that leads back to itself"],
        ),
        (image, lambda path: path.rename(path.with_name("photo.png")), ["1 image of val not named as the layout"]),
        (image, lambda path: shutil.copy(path, path.with_suffix(".jpg")), ["several images for one frame in val"]),
    ],
)
def test_what_the_loader_refuses_is_found_by_name(streets, which, spoil, words):
    path = which(streets, "val", 1)
    before = examine(streets)
    assert before.healthy
    spoil(path)
    report = examine(streets)
    finding = found(report, *words)
    assert any(name.startswith(f"{path.relative_to(streets).parent}") for name in finding.files)
    assert not report.healthy


@pytest.mark.parametrize(("which", "noun"), [(image, "image"), (label, "label map")])
def test_a_file_that_cannot_be_opened_is_a_finding(streets, monkeypatch, which, noun):
    monkeypatch.setattr(doctor, "SAMPLED_IMAGES", 1)
    monkeypatch.setattr(doctor, "SAMPLED_LABELS", 1)
    shutil.copy(image(streets, "val", 2), image(streets, "train", 3))  # copies are compared, where they can be read
    path, opened = which(streets, "train", 3), Path.open

    def deny(self, *arguments, **options):
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", deny)
    finding = found(examine(streets), f"1 {noun} of train cannot be used", "FILE cannot be read: Permission denied")
    assert finding.files == (str(path.relative_to(streets)),)


def test_one_file_in_a_form_of_its_own_is_found_among_many(streets, monkeypatch):
    monkeypatch.setattr(doctor, "SAMPLED_IMAGES", 1)
    monkeypatch.setattr(doctor, "SAMPLED_LABELS", 1)
    files = [which(streets, "train", 4) for which in (image, label)]
    rewrite(files[0], lambda pixels: np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]))
    rewrite(files[1], lambda values: values.astype(np.uint16))
    report = examine(streets)
    assert report.healthy
    finding = found(report, "1 of 6 images of train is stored with alpha", severity="note")
    assert finding.files == (str(files[0].relative_to(streets)),)
    finding = found(report, "1 of 6 label maps of train is stored in 16 bits", severity="note")
    assert finding.files == (str(files[1].relative_to(streets)),)
    rewrite(files[0], lambda pixels: np.dstack([pixels[..., :3], 0 * pixels[..., 0]]))
    rewrite(files[1], lambda values: values + np.uint16(26000))
    report = examine(streets)
    found(report, "1 image of train cannot be used", "transparent pixels")
    found(report, "1 label map of train cannot be used", "instances")


@pytest.mark.parametrize("kind", ["labelIds", "instanceIds"])
def test_two_annotations_of_one_frame_are_named(streets, kind):
    path = next((streets / "gtFine" / "val").glob(f"*/*_{kind}.png"))
    copy = streets / "gtFine" / "val" / "ulm" / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    finding = found(examine(streets), f"several {kind} for one frame in val", "keep one of them")
    assert set(finding.files) == {str(file.relative_to(streets)) for file in (path, copy)}


def test_damage_inside_is_found_in_full(streets, monkeypatch):
    monkeypatch.setattr(doctor, "SAMPLED_IMAGES", 1)
    garble(image(streets, "train", 4))
    assert examine(streets).healthy, "header and end are fine"
    finding = found(examine(streets, full=True), "1 image of train cannot be used")
    assert finding.files == (str(image(streets, "train", 4).relative_to(streets)),)


def test_headers_of_all_are_read_though_pixels_of_few(streets, monkeypatch):
    monkeypatch.setattr(doctor, "SAMPLED_IMAGES", 1)
    monkeypatch.setattr(doctor, "SAMPLED_LABELS", 1)
    rewrite(label(streets, "train", 3), lambda ids: ids[:32])
    cut(label(streets, "train", 4))
    cut(image(streets, "train", 5))
    report = examine(streets)
    assert report.splits[0].labels_read == 1
    found(report, "1 label map of train cannot be used", "FILE is 32x128 but its image is 64x128")
    found(report, "1 label map of train cannot be used", "FILE cannot be read: its end is missing")
    found(report, "1 image of train cannot be used", "FILE cannot be read: its end is missing")


def test_faults_of_one_kind_are_one_finding(streets):
    for number in range(3):
        cut(image(streets, "train", number))
    cut(label(streets, "train", 4))
    report = examine(streets)
    assert len(found(report, "3 images of train cannot be used").files) == 3
    found(report, "1 label map of train cannot be used")


def test_copies_between_splits_are_errors_and_lookalikes_warnings(streets, monkeypatch):
    source, target = image(streets, "train", 3), image(streets, "val", 1)
    shutil.copy(source, target)
    finding = found(examine(streets), "1 image in more than one split, byte for byte")
    assert set(finding.files) == {str(path.relative_to(streets)) for path in (source, target)}
    rewrite(target, lambda rgb: np.clip(rgb.astype(int) + 9, 0, 255).astype(np.uint8))
    assert examine(streets).healthy, "a lookalike is searched in full alone"
    monkeypatch.setattr("zoo.doctor.HASHES_AT_ONCE", 2)  # in blocks, the last one smaller
    report = examine(streets, full=True)
    assert report.healthy
    alike = found(report, "1 of 3 images of val look like one of train", severity="warning")
    assert alike.files == (f"{target.relative_to(streets)} ~ {source.relative_to(streets)}",)


def test_sequences_in_two_splits_are_named(streets):
    for top, path in (("leftImg8bit", image(streets)), ("gtFine", label(streets))):
        name = path.name.replace("synth02_000000", "synth01_000003")
        path.rename(streets / top / "val" / "synth02" / name)
    finding = found(examine(streets), "1 of 3 frames of val are of sequences that train has", severity="warning")
    assert "synth01_000003" in finding.what
    assert examine(streets).healthy


def test_names_that_tell_no_sequence_claim_none(streets):
    for split in ("train", "val"):
        for path in (*(streets / "leftImg8bit" / split).rglob("*.png"), *(streets / "gtFine" / split).rglob("*.png")):
            place, sequence, frame, rest = path.name.split("_", 3)
            number = f"{'9' if split == 'val' else '0'}{place[-1]}{sequence[-1]}{frame[-2:]}"
            path.rename(path.with_name(f"harbour_{number}_{rest}"))
    report = examine(streets)
    assert not any("are of sequences" in finding.what for finding in report.findings)
    note = found(report, "whose name tells no recording: what splits share is not known", severity="note")
    assert len(note.files) > 3


def test_classes_that_never_occur_are_named(streets):
    for split in ("train", "val"):
        for path in labels(streets, split):
            rewrite(path, lambda ids: np.where(ids == 23, 0, ids).astype(np.uint8))
    for path in labels(streets, "train"):
        rewrite(path, lambda ids: np.where(ids == 7, 0, ids).astype(np.uint8))
    sampled = examine(streets)
    assert "sky" in found(sampled, "classes never occur in the label maps that were read", severity="note").what
    report = examine(streets, full=True)
    assert "sky" in found(report, "19 classes never occur:", severity="warning").what
    assert found(report, "val has classes that train never shows: road", severity="warning")


def test_label_maps_without_a_counted_pixel(streets):
    rewrite(label(streets, "train", 5), np.zeros_like)
    found(examine(streets), "1 label map of train in which no pixel counts", severity="warning")


def test_cityscapes_is_counted_city_by_city(streets):
    for top in ("leftImg8bit", "gtFine"):
        (streets / top / "val" / "synth02").rename(streets / top / "val" / "lindau")
    report = examine(streets)
    found(report, "val has 3 of Cityscapes' 500 images: lindau 3 of 59, 2 cities not there", severity="note")
    found(report, "3 images of val not of Cityscapes' size, 1024x2048", severity="note")
    assert report.healthy, "a part is as good as any data"
    assert OFFICIAL_SIZES == {"train": 2975, "val": 500, "test": 1525}


def test_what_is_lost_of_cityscapes_is_a_warning(streets, monkeypatch):
    monkeypatch.setitem(OFFICIAL_CITIES, "val", {"lindau": 3, "munster": 1})
    monkeypatch.setitem(OFFICIAL_SIZES, "val", 4)
    for top in ("leftImg8bit", "gtFine"):
        (streets / top / "val" / "synth02").rename(streets / top / "val" / "lindau")
    found(examine(streets), "val has 3 of Cityscapes' 4 images", "fetch the rest", severity="warning")
    assert examine(streets).healthy


def test_a_stray_city_does_not_hide_the_count(streets):
    for top in ("leftImg8bit", "gtFine"):
        (streets / top / "val" / "synth02").rename(streets / top / "val" / "lindau")
        (streets / top / "val" / "backup").mkdir()
        for path in (streets / top / "val" / "lindau").glob("*_000002_*"):
            path.rename(streets / top / "val" / "backup" / path.name)
    report = examine(streets)
    found(report, "val has 2 of Cityscapes' 500 images: lindau 2 of 59", severity="note")
    stray = found(report, "images of val of no city of Cityscapes: backup", severity="note")
    assert stray.files == ("leftImg8bit/val/backup",)


def test_folders_out_of_shape(streets, tmp_path):
    (streets / "leftImg8bit" / "val").rename(streets / "leftImg8bit" / "vall")
    (streets / "leftImg8bit" / "empty").mkdir()
    report = examine(streets)
    found(report, "split empty holds no image", severity="warning")
    assert "'vall'" in found(report, "no split val", severity="warning").advice
    with pytest.raises(UserError, match="no dataset folder"):
        examine(tmp_path / "nowhere")
    with pytest.raises(UserError, match="give its top folder"):
        examine(streets / "leftImg8bit" / "train")
    found(examine(streets / "leftImg8bit"), "is a part of the dataset", severity="note")


def test_a_broken_classes_file_is_a_finding(streets):
    (streets / "classes.toml").write_text('name = "x"\ncolour = 3')
    report = examine(streets)
    found(report, "classes.toml", "unknown key 'colour'", "correct classes.toml")
    assert report.spec == CITYSCAPES


def test_own_classes_are_what_labels_are_judged_by(streets):
    values = [value for value, train_id in CITYSCAPES.label_to_train_id.items() if train_id != 255]
    void = [value for value, train_id in CITYSCAPES.label_to_train_id.items() if train_id == 255]
    (streets / "classes.toml").write_text(
        f'name = "one"\nignored = {void}\n[[classes]]\nname = "all"\ncolor = [1, 2, 3]\nvalues = {values}'
    )
    report = examine(streets)
    assert report.healthy
    assert report.spec.class_names == ("all",)
    assert len(report.splits[0].class_pixels) == 1


def test_whatever_else_opening_refuses_is_found(whole, tmp_path):
    root = tmp_path / "half"
    shutil.copytree(whole, root)
    marker = root / "zoo-dataset.json"
    marker.write_text(marker.read_text().replace('"complete": true', '"complete": false'))
    found(examine(root), "zoo cannot open it", "is not whole")


def test_a_name_that_is_not_utf_8_is_found(streets):
    for top, path in (("leftImg8bit", image(streets)), ("gtFine", label(streets))):
        try:
            path.rename(streets / top / "val" / "synth02" / path.name.replace("synth02", os.fsdecode(b"caf\xe9")))
        except OSError:
            pytest.skip("this file system takes UTF-8 names alone")
    finding = found(examine(streets), "zoo cannot open it", "is not named in UTF-8")
    assert finding.advice.isprintable()


def test_the_report_is_text_and_json(streets):
    cut(image(streets, "val", 1))
    report = examine(streets)
    text = show_report(report)
    assert "✗ error: 1 image of val cannot be used" in text
    assert "leftImg8bit/val/synth02/synth02_000001" in text
    assert "not fit to train and score on as it is: 1 error" in text
    line = next(line for line in text.splitlines() if line.startswith("road"))
    assert set(line.split()[3]) <= set("█▏▎▍▌▋▊▉")
    values = json.loads(show_report(report, "json"))
    assert values["healthy"] is False
    assert values["splits"]["train"]["images"] == 6
    assert sum(values["splits"]["train"]["pixels"].values()) == sum(report.splits[0].class_pixels)
    assert values["findings"][0]["files"] == list(report.findings[0].files)


@pytest.mark.data
@pytest.mark.skipif("ZOO_CAMVID" not in os.environ, reason="ZOO_CAMVID names no folder")
def test_camvid_is_fit_and_its_weaknesses_are_said():
    report = examine(os.environ["ZOO_CAMVID"], full=True)
    assert report.healthy
    found(report, "101 of 101 frames of val are of sequences that train has: cam0016e5_000000", severity="warning")
    found(report, "8 of 19 classes never occur", "wall, traffic light", severity="warning")
    train = report.splits[0]
    share = dict(zip(report.spec.class_names, np.array(train.class_pixels) / train.pixel_count, strict=True))
    assert share["road"] == pytest.approx(0.317, abs=0.001)
    assert share["rider"] == pytest.approx(0.0029, abs=0.0001)
