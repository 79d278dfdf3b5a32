import os
import shutil

import pytest

from zoo.data import layout
from zoo.data.layout import open_dataset, spread
from zoo.data.reading import read_label
from zoo.errors import UserError


def fails(root, *words):
    with pytest.raises(UserError) as caught:
        open_dataset(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def test_frames_are_found_in_order_with_their_files(folder):
    folder.add(city="ulm", number=2)
    folder.add(city="bonn", number=3, suffix=".jpg", kinds=("labelIds", "instanceIds"))
    folder.add(city="bonn", number=1, suffix=".webp")
    folder.add("train", city="jena", suffix=".jpeg")
    dataset = open_dataset(folder.root)
    assert dataset.splits() == ("train", "val")
    assert [frame.name for frame in dataset.frames("val")] == [
        "bonn_000000_000001",
        "bonn_000000_000003",
        "ulm_000000_000002",
    ]
    first, second, _ = dataset.frames("val")
    assert first.city == "bonn"
    assert first.instances is None
    assert second.instances.name == "bonn_000000_000003_gtFine_instanceIds.png"
    assert not dataset.synthetic


@pytest.mark.parametrize(
    ("folder_name", "name"), [("My Streets!", "my-streets"), ("cityscapes", "cityscapes-other"), ("...", "dataset")]
)
def test_name_is_the_slugged_folder(folder, tmp_path, folder_name, name):
    folder.root = tmp_path / "in" / folder_name
    folder.add()
    assert open_dataset(folder.root).name == name


def test_name_of_the_official_sizes_is_cityscapes(folder, monkeypatch):
    monkeypatch.setattr(layout, "OFFICIAL_SIZES", {"train": 2, "val": 1})
    folder.add("train", number=0)
    folder.add("train", number=1)
    folder.add("val")
    assert open_dataset(folder.root).name == "cityscapes"


def test_label_ids_come_before_train_ids(folder):
    folder.add(kinds=("labelTrainIds", "labelIds"))
    (frame,) = open_dataset(folder.root).frames("val")
    assert frame.label.name.endswith("_labelIds.png")
    assert not frame.has_train_ids


def test_a_split_is_read_from_one_kind_of_label(folder):
    folder.add(number=0, kinds=("labelTrainIds", "labelIds"))
    folder.add(number=1, kinds=("labelTrainIds",))
    assert all(frame.has_train_ids for frame in open_dataset(folder.root).frames("val"))


def test_mixed_kinds_of_label_are_refused(folder):
    folder.add(number=0, kinds=("labelIds",))
    folder.add(number=1, kinds=("labelTrainIds",))
    fails(folder.root, "1 of 2 images", "bonn_000000_000001_leftImg8bit.png", "same kind of label")


def test_a_test_split_may_lack_labels(folder):
    folder.add("val")
    folder.add("test", kinds=())
    assert open_dataset(folder.root).frames("test")[0].label is None


def test_bad_folders_are_explained(folder, tmp_path):
    fails(tmp_path / "nowhere", "no dataset folder", tmp_path / "nowhere", "leftImg8bit/<split>")
    fails(tmp_path, "is empty")
    (tmp_path / "a_file").touch()
    fails(tmp_path / "a_file", "is a file")
    fails(tmp_path, "no folder leftImg8bit")
    folder.add()
    fails(folder.root / "leftImg8bit" / "val", "give its top folder", folder.root)
    shutil.rmtree(folder.root / "leftImg8bit")
    (folder.root / "leftImg8bit").mkdir()
    fails(folder.root, "no split folder")


def test_image_without_label_is_named(folder):
    folder.add(number=0)
    folder.add(number=1, kinds=())
    fails(folder.root, "1 of 2 images", "bonn_000000_000001_gtFine_labelIds.png")
    shutil.rmtree(folder.root / "gtFine")
    fails(folder.root, "2 of 2 images")


def test_two_files_of_one_frame_are_named(folder):
    folder.add(suffix=".png")
    folder.add(suffix=".jpg")
    fails(folder.root, "two images for frame bonn_000000_000000", ".png", ".jpg")


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds", "instanceIds"])
def test_two_annotations_of_one_frame_are_named(folder, kind):
    _, paths = folder.add(kinds=("labelIds", "labelTrainIds", "instanceIds"))
    path = next(path for path in paths if path.stem.endswith(kind))
    copy = folder.root / "gtFine" / "val" / "ulm" / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    fails(folder.root, f"two {kind} files for frame bonn_000000_000000: {path} and {copy}; keep one of them")


def test_a_label_of_another_city_than_its_image_is_named(folder):
    folder.add(number=0)
    _, (path,) = folder.add(number=1)
    stray = folder.root / "gtFine" / "val" / "ulm" / path.name
    stray.parent.mkdir()
    path.rename(stray)
    fails(folder.root, f"{stray} is in another city's folder than", "bonn_000000_000001_leftImg8bit.png; move one")


def test_a_link_that_leads_in_a_circle_is_named(folder, tmp_path):
    image, (label,) = folder.add()
    for path in (image, label):
        path.rename(path.with_suffix(".aside"))
        path.symlink_to(path)
        fails(folder.root, path, "is a link that leads back to itself", "correct the link, or remove it")
        path.unlink()
        path.symlink_to("nowhere.png")
        fails(folder.root, path, "is a link that leads nowhere")
        path.unlink()
        path.with_suffix(".aside").rename(path)
    open_dataset(folder.root)
    for below in ("leftImg8bit/val/jena", "gtFine/val/jena"):
        path = folder.root / below
        path.symlink_to(path)
        fails(folder.root, path, "is a link that leads back to itself")
        path.unlink()
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    fails(circle, circle)
    shutil.rmtree(folder.root / "leftImg8bit")
    (folder.root / "leftImg8bit").symlink_to(folder.root / "leftImg8bit")
    fails(folder.root, "leftImg8bit is a link that leads back to itself")


def test_links_to_files_elsewhere_are_followed(folder, tmp_path):
    image, _ = folder.add()
    image.rename(tmp_path / "elsewhere.png")
    image.symlink_to(tmp_path / "elsewhere.png")
    assert open_dataset(folder.root).frames("val")[0].image == image


@pytest.mark.parametrize("which", ["image", "label"])
def test_an_empty_file_is_named(folder, which):
    folder.add(number=0)
    image, (label,) = folder.add(number=1)
    path = image if which == "image" else label
    path.write_bytes(b"")
    fails(folder.root, path, "is empty (0 bytes)", "copy or download it again, or remove it")
    path.unlink()
    path.mkdir()
    fails(folder.root, path, "is no file")


def test_names_may_hold_spaces_and_any_letters(folder, tmp_path):
    folder.root = tmp_path / "Straßen von 京都"
    folder.add("train", city="são paulo", number=3)
    folder.add("val", city="москва", number=4)
    dataset = open_dataset(folder.root)
    assert [frame.name for frame in dataset.frames("val")] == ["москва_000000_000004"]
    assert read_label(dataset.frames("train")[0], dataset.spec).shape == (8, 12)
    assert dataset.fingerprint() == open_dataset(folder.root).fingerprint()


def test_a_read_only_folder_is_opened_and_left_as_it_is(folder):
    folder.add("train")
    folder.add("val")
    below = sorted(folder.root.rglob("*"))
    for path in (folder.root, *below):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        dataset = open_dataset(folder.root)
        assert len(dataset.fingerprint()) == 16
        assert read_label(dataset.frames("val")[0], dataset.spec).shape == (8, 12)
        assert sorted(folder.root.rglob("*")) == below
    finally:
        for path in (folder.root, *below):
            path.chmod(0o755)


def test_misnamed_image_is_named(folder):
    image, _ = folder.add()
    image.rename(image.with_name("photo.png"))
    fails(folder.root, "photo.png", "<city>_<seq>_<frame>_leftImg8bit.png")


def test_unknown_split_is_explained(folder):
    folder.add("val")
    with pytest.raises(UserError, match=r"no split 'vall'.*'val'"):
        open_dataset(folder.root).frames("vall")


def test_sequences_shared_with_training_are_named(folder):
    folder.add("train", city="ulm", number=0)
    folder.add("train", city="old_town", number=0)
    folder.add("val", city="ulm", number=1)
    folder.add("val", city="bonn", number=0)
    folder.add("val", city="old_town", number=7)
    folder.add("test", city="jena", number=0)
    dataset = open_dataset(folder.root)
    assert dataset.shared_sequences("val") == ("old_town_000000", "ulm_000000")
    assert dataset.shared_sequences("train") == ()
    assert dataset.shared_sequences("test") == ()
    with pytest.raises(UserError, match="no split 'tset'"):
        dataset.shared_sequences("tset")


def test_names_without_three_parts_do_not_tell_what_is_shared(folder):
    for split, numbers in (("train", (0, 1)), ("val", (2, 3))):
        for number in numbers:
            folder.add(split, city="harbour", number=number)
    for path in list(folder.root.rglob("harbour_*.*")):
        path.rename(path.with_name(path.name.replace("harbour_000000_00", "harbour_")))
    dataset = open_dataset(folder.root)
    assert {frame.name for frame in dataset.frames("train")} == {"harbour_0000", "harbour_0001"}
    assert dataset.shared_sequences("val") is None
    assert dataset.shared_sequences("train") == ()
    folder.add("train", city="ulm", number=0)
    folder.add("val", city="ulm", number=1)
    assert open_dataset(folder.root).shared_sequences("val") == ("ulm_000000",), "those that tell are believed"


def test_a_set_without_training_frames_shares_nothing(folder):
    folder.add("val")
    assert open_dataset(folder.root).shared_sequences("val") == ()


def test_fingerprint_follows_the_content_not_the_place(folder, tmp_path):
    folder.add("val")
    folder.add("train")
    dataset = open_dataset(folder.root)
    shutil.copytree(folder.root, tmp_path / "elsewhere")
    copy = open_dataset(tmp_path / "elsewhere")
    assert len(dataset.fingerprint("val")) == 16
    assert copy.fingerprint() == dataset.fingerprint() == dataset.fingerprint("val", "train")
    assert copy.fingerprint("val") != copy.fingerprint("train")
    label = copy.frames("val")[0].label
    before = copy.fingerprint("val")
    content = bytearray(label.read_bytes())
    content[-20] ^= 1
    label.write_bytes(content)  # same size, one bit differs
    assert open_dataset(copy.root).fingerprint("val") != before
    with copy.frames("train")[0].image.open("ab") as image:
        image.write(b"\0")
    assert open_dataset(copy.root).fingerprint("train") != dataset.fingerprint("train")


def test_a_name_that_is_not_utf_8_is_refused_in_letters_that_can_be_printed(folder):
    try:
        folder.add(city=os.fsdecode(b"caf\xe9"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(UserError, match=r"caf\\udce9_000000_000000_leftImg8bit.png is not named in UTF-8") as caught:
        open_dataset(folder.root)
    assert str(caught.value).isprintable()


def test_the_environment_names_the_folder(folder, monkeypatch):
    folder.add()
    monkeypatch.setenv("CITYSCAPES_DATASET", str(folder.root))
    assert open_dataset(None).root == folder.root


def test_frames_are_spread(folder):
    for number in range(7):
        folder.add(number=number)
    frames = open_dataset(folder.root).frames("val")
    assert [frames.index(frame) for frame in spread(frames, 3)] == [0, 2, 4]
    assert spread(frames, 7) == spread(frames, 99) == spread(frames, None) == frames
    with pytest.raises(UserError, match="a number of images is 1 or more; got 0"):
        spread(frames, 0)


@pytest.mark.data
@pytest.mark.skipif("ZOO_CAMVID" not in os.environ, reason="ZOO_CAMVID names no folder")
def test_camvid_opens():
    dataset = open_dataset(os.environ["ZOO_CAMVID"])
    assert (len(dataset.frames("train")), len(dataset.frames("val"))) == (367, 101)
    assert dataset.name == "camvid"
    assert dataset.shared_sequences("val") == ("cam0016e5_000000",)
