"""Layouts one step away from Cityscapes': opened with a note where they can be meant in one way, else named."""

import errno
import logging
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.convert import convert_folder
from zoo.data.layout import open_dataset
from zoo.data.prepared import prepare
from zoo.data.reading import read_frame
from zoo.doctor import examine
from zoo.errors import UserError
from zoo.labels import CITYSCAPES, TRAIN_ID_TO_LABEL_ID


def refused(root, *words):
    with pytest.raises(UserError) as caught:
        open_dataset(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message
    return message


def command_in(message):
    """The command between backquotes, run as a person would."""
    command = message.split("`")[1]
    subprocess.run(command, shell=True, check=True, executable="/bin/sh")
    return command


def files(root, pattern):
    return sorted(path for path in root.rglob(pattern) if path.is_file())


def rename_all(root, old, new, *, top="*"):
    """Change a part of the names of files below the folders that `top` matches."""
    for folder in sorted(root.glob(top)):
        for path in files(folder, f"*{old}*"):
            path.rename(path.with_name(path.name.replace(old, new)))


def same_frames(root, whole, split="val"):
    """What a dataset shows of a split is what the whole one, in Cityscapes' own layout, shows."""
    found, expected = open_dataset(root), open_dataset(whole)
    for ours, theirs in zip(found.frames(split), expected.frames(split), strict=True):
        for one, other in zip(read_frame(ours, found.spec), read_frame(theirs, expected.spec), strict=True):
            np.testing.assert_array_equal(one, other)
    return found


@pytest.fixture
def whole(streets, tmp_path):
    """The same streets in Cityscapes' own layout; `streets` itself is to be bent."""
    shutil.copytree(streets, tmp_path / "kept" / "streets")
    return tmp_path / "kept" / "streets"


def archives(root):
    """Each of Cityscapes' archives, unpacked into a folder of its own."""
    for top, archive in (("leftImg8bit", "leftImg8bit_trainvaltest"), ("gtFine", "gtFine_trainvaltest")):
        (root / archive).mkdir()
        (root / top).rename(root / archive / top)
        (root / archive / "license.txt").write_text("…")


def test_archives_unpacked_each_into_a_folder_of_its_own(streets, whole, caplog):
    archives(streets)
    dataset = same_frames(streets, whole, "train")
    assert (dataset.root, dataset.name, dataset.splits()) == (streets, "streets", ("train", "val"))
    (note,) = dataset.notes
    assert "leftImg8bit_trainvaltest/leftImg8bit" in note
    assert "gtFine_trainvaltest/gtFine" in note
    assert [record.message for record in caplog.records] == [note], "said, and once"
    assert dataset.fingerprint() == open_dataset(whole).fingerprint(), "it is the same dataset"
    prepared = prepare(dataset, "val", cache=streets / "cache")
    np.testing.assert_array_equal(prepared.frame(0)[1], read_frame(dataset.frames("val")[0], dataset.spec)[1])
    report = examine(streets)
    assert report.healthy
    assert note in [finding.what for finding in report.findings]


def test_one_archive_in_a_folder_of_its_own_and_the_other_not(streets, whole):
    archives(streets)
    (streets / "leftImg8bit_trainvaltest" / "leftImg8bit").rename(streets / "leftImg8bit")
    assert same_frames(streets, whole).fingerprint() == open_dataset(whole).fingerprint()
    (streets / "leftImg8bit").rename(streets / "leftImg8bit_trainvaltest" / "leftImg8bit")
    (streets / "gtFine_trainvaltest" / "gtFine").rename(streets / "gtFine")
    assert same_frames(streets, whole).fingerprint() == open_dataset(whole).fingerprint()


def test_an_archive_alone_names_the_folder_that_has_both(streets, whole):
    archives(streets)
    for given in ("leftImg8bit_trainvaltest", "gtFine_trainvaltest"):
        message = refused(streets / given, f"--data {streets}")
        assert len(open_dataset(shlex.split(message.split("--data ")[1])[0]).frames("val")) == 2
    refused(streets / "leftImg8bit_trainvaltest" / "leftImg8bit", f"--data {streets}")


def test_one_level_too_high(streets, whole):
    dataset = same_frames(streets.parent / "kept", whole)
    assert (dataset.root, dataset.name) == (whole, "streets")
    assert "holds one dataset" in dataset.notes[0]
    assert dataset.fingerprint() == open_dataset(whole).fingerprint()
    (streets.parent / "with space").mkdir()
    streets.rename(streets.parent / "with space" / "a")
    shutil.copytree(whole, streets.parent / "with space" / "b")
    message = refused(streets.parent / "with space", "holds 2 datasets", "--data '")
    assert len(open_dataset(shlex.split(message.split("--data ")[1])[0]).frames("val")) == 2


def test_one_level_too_low(streets, whole):
    for top in ("leftImg8bit", "gtFine"):
        dataset = same_frames(streets / top, whole)
        assert dataset.root == streets
        assert "is a part of the dataset" in dataset.notes[0]
    message = refused(streets / "leftImg8bit" / "val", "lies inside a dataset")
    assert len(open_dataset(shlex.split(message.split("--data ")[1])[0]).frames("val")) == 2


def test_labels_alone(streets):
    shutil.rmtree(streets / "leftImg8bit")
    message = refused(streets, "holds labels alone", streets / "gtFine", "ln -s FOLDER/leftImg8bit")
    assert "unpack the archive" in message
    with pytest.raises(UserError, match="holds labels alone"):
        examine(streets)


def test_images_alone_name_the_link_that_brings_their_labels(streets, whole):
    """Foggy Cityscapes comes without labels: those of Cityscapes are linked."""
    shutil.rmtree(streets / "gtFine")
    rename_all(streets, "_leftImg8bit", "_leftImg8bit_foggy_beta_0.02")
    (streets / "leftImg8bit").rename(streets / "leftImg8bit_foggy")
    (whole.parent / "foggy set").mkdir()
    (streets / "leftImg8bit_foggy").rename(whole.parent / "foggy set" / "leftImg8bit_foggy")
    root = whole.parent / "foggy set"
    assert command_in(refused(root, "holds images alone", "no labels named *_gtFine*")).startswith("ln -s ")
    assert same_frames(root, whole).name == "foggy-set"


def test_images_right_below_their_split(streets, whole):
    for path in files(streets, "*.png"):
        path.rename(path.parent.parent / path.name)
    dataset = same_frames(streets, whole)
    assert {frame.city for frame in dataset.frames("val")} == {""}
    assert [frame.name for frame in dataset.frames("val")] == [
        frame.name for frame in open_dataset(whole).frames("val")
    ]
    assert examine(streets).healthy
    assert examine(streets).splits[0].city_count == 0


def test_images_right_below_their_split_and_labels_by_city(streets, whole):
    for path in files(streets / "leftImg8bit", "*.png"):
        path.rename(path.parent.parent / path.name)
    same_frames(streets, whole)
    assert examine(streets).healthy


def test_a_stray_image_beside_the_cities_changes_nothing(streets, whole):
    image = files(streets / "leftImg8bit" / "val", "*.png")[0]
    shutil.copy(image, streets / "leftImg8bit" / "val" / image.name)
    assert open_dataset(streets).fingerprint() == open_dataset(whole).fingerprint()


def test_folders_of_other_names(streets, whole):
    (streets / "leftImg8bit").rename(streets / "images")
    (streets / "gtFine").rename(streets / "annotations")
    dataset = same_frames(streets, whole)
    assert "images" in dataset.notes[0]
    assert examine(streets).healthy


def foggy(root, betas=("0.005", "0.01", "0.02")):
    """As Foggy Cityscapes comes: several densities of fog for each frame, the labels of Cityscapes."""
    (root / "leftImg8bit").rename(root / "leftImg8bit_foggy")
    for path in files(root / "leftImg8bit_foggy", "*.png"):
        for number, beta in enumerate(betas, 1):
            pixels = np.asarray(Image.open(path)) // number
            Image.fromarray(pixels).save(path.with_name(f"{path.stem}_foggy_beta_{beta}.png"))
        path.unlink()


def test_foggy_cityscapes_of_one_density(streets):
    foggy(streets, ["0.02"])
    dataset = open_dataset(streets)
    assert dataset.frames("val")[0].image.name.endswith("_leftImg8bit_foggy_beta_0.02.png")
    assert dataset.frames("val")[0].instances is not None, "iIoU is counted as on Cityscapes"
    assert "leftImg8bit_foggy_beta_0.02" in dataset.notes[0]


@pytest.mark.parametrize("beta", ["0.005", "0.01", "0.02"])
def test_foggy_cityscapes_of_several_densities(streets, beta):
    foggy(streets)
    command = command_in(refused(streets, "holds 3 images of each frame", "beta_0.005", "beta_0.02"))
    file = streets / "classes.toml"
    assert str(file) in command
    assert len(open_dataset(streets).frames("train")) == 4, "as the message says"
    file.write_text(f'image = "*_leftImg8bit_foggy_beta_{beta}.png"\n')
    dataset = open_dataset(streets)
    assert dataset.spec == CITYSCAPES
    assert {frame.image.name.partition("_foggy_beta_")[2] for frame in dataset.frames("train")} == {f"{beta}.png"}
    assert examine(streets).healthy


def test_fog_beside_clear_weather(streets, whole):
    shutil.copytree(streets / "leftImg8bit", streets / "clear")
    foggy(streets)
    (streets / "clear").rename(streets / "leftImg8bit")
    dataset = same_frames(streets, whole)
    assert dataset.fingerprint() == open_dataset(whole).fingerprint()
    assert "leftImg8bit_foggy beside it is not" in dataset.notes[0]


def test_rainy_cityscapes(streets):
    (streets / "leftImg8bit").rename(streets / "leftImg8bit_rain")
    for path in files(streets / "leftImg8bit_rain", "*.png"):
        for number in (1, 2):
            name = f"{path.stem}_rain_alpha_0.01_beta_0.005_dropsize_0.01_pattern_{number}.png"
            shutil.copy(path, path.with_name(name))
        path.unlink()
    command_in(refused(streets, "holds 2 images of each frame", "pattern_2"))
    assert len(open_dataset(streets).frames("val")) == 2


def acdc(root, conditions=("fog", "rain"), kinds=("labelIds", "labelTrainIds")):
    """As ACDC comes: below `rgb_anon` and `gt` weather, split and recording; here each recording in one weather."""
    for image in files(root / "leftImg8bit", "*.png"):
        split, number = image.parent.parent.name, int(image.stem.split("_")[2])
        weather = conditions[number % len(conditions)]
        name = f"GOPR{number:04d}_frame_{number:06d}"
        target = root / "rgb_anon" / weather / split / f"GOPR{number:04d}" / f"{name}_rgb_anon.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        image.rename(target)
        ids = image.name.replace("_leftImg8bit.png", "_gtFine_labelIds.png")
        label_ids = np.asarray(Image.open(root / "gtFine" / split / image.parent.name / ids))
        folder = root / "gt" / weather / split / f"GOPR{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        train_ids = np.full(256, 255, np.uint8)
        for train_id, label_id in TRAIN_ID_TO_LABEL_ID.items():
            train_ids[label_id] = train_id
        for kind, values in (("labelIds", label_ids), ("labelTrainIds", train_ids[label_ids])):
            if kind in kinds:
                Image.fromarray(values).save(folder / f"{name}_gt_{kind}.png")
        Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(folder / f"{name}_gt_labelColor.png")
    for top in ("leftImg8bit", "gtFine"):
        shutil.rmtree(root / top)


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelTrainIds",), ("labelIds", "labelTrainIds")])
@pytest.mark.parametrize("pair", ["", 'image = "*_rgb_anon.png"\nlabel = "*_gt_labelTrainIds.png"\n'])
def test_acdc(streets, whole, kinds, pair):
    acdc(streets, kinds=kinds)
    if pair:
        (streets / "classes.toml").write_text(pair)
    if pair and "labelTrainIds" not in kinds:
        refused(streets, "images in", "have no label", "_gt_labelTrainIds.png")
        return
    dataset, expected = open_dataset(streets), open_dataset(whole)
    assert dataset.spec == CITYSCAPES
    assert [len(dataset.frames(split)) for split in ("train", "val")] == [4, 2]
    assert dataset.frames("val")[0].city.startswith("GOPR")
    by_number = {int(frame.name[-6:]): frame for frame in dataset.frames("train")}
    for frame in expected.frames("train"):
        (image, label), other = read_frame(by_number[int(frame.name[-6:])], dataset.spec), read_frame(frame, CITYSCAPES)
        np.testing.assert_array_equal(image, other[0])
        np.testing.assert_array_equal(label, other[1])
    assert examine(streets).healthy


def test_one_weather_of_acdc_by_its_folder(streets):
    acdc(streets)
    pair = 'image = "*_rgb_anon.png"\nlabel = "*_gt_labelTrainIds.png"\n'
    (streets / "classes.toml").write_text(f'{pair}image_folder = "fog"\n')
    assert {frame.image.parents[2].name for frame in open_dataset(streets).frames("train")} == {"fog"}
    refused(streets / "rgb_anon" / "fog", "lies inside a dataset", f"--data {streets}")


def test_coarse_labels(streets, whole):
    rename_all(streets, "_gtFine_", "_gtCoarse_", top="gtFine")
    (streets / "gtFine").rename(streets / "gtCoarse")
    dataset = same_frames(streets, whole)
    assert "gtCoarse" in dataset.notes[0]
    shutil.copytree(whole / "gtFine", streets / "gtFine")
    assert open_dataset(streets).frames("val")[0].label.name.endswith("_gtFine_labelIds.png"), "fine ones come first"
    (streets / "classes.toml").write_text('label = "*_gtCoarse_labelIds.png"')
    assert open_dataset(streets).frames("val")[0].label.name.endswith("_gtCoarse_labelIds.png")


def test_coarse_labels_where_there_are_no_fine_ones_of_train(streets, whole):
    shutil.copytree(streets / "gtFine", streets / "gtCoarse")
    rename_all(streets, "_gtFine_", "_gtCoarse_", top="gtCoarse")
    shutil.rmtree(streets / "gtFine" / "train")
    with pytest.raises(UserError, match="4 of 4 images") as caught:
        open_dataset(streets).frames("train")
    command_in(str(caught.value))
    same_frames(streets, whole, "train")


def test_archives_of_several_splits(streets, whole):
    """`leftImg8bit_trainextra.zip` beside `leftImg8bit_trainvaltest.zip`, fine and coarse labels."""
    archives(streets)
    for top, archive in (("leftImg8bit", "leftImg8bit_trainextra"), ("gtFine", "gtCoarse")):
        target = streets / archive / archive.partition("_")[0]
        target.mkdir(parents=True)
        shutil.copytree(whole / top / "train", target / "train_extra")
    rename_all(streets, "_gtFine_", "_gtCoarse_", top="gtCoarse")
    dataset = same_frames(streets, whole, "train")
    assert dataset.splits() == ("train", "train_extra", "val")
    assert "and not gtCoarse" in dataset.notes[0]
    assert dataset.fingerprint("train", "val") == open_dataset(whole).fingerprint()


def test_acdc_as_its_archives_unpack_and_one_level_too_high(streets):
    acdc(streets)
    expected = [frame.name for frame in open_dataset(streets).frames("val")]
    before = open_dataset(streets).fingerprint()
    dataset = open_dataset(streets / "gt")
    assert ([frame.name for frame in dataset.frames("val")], dataset.root) == (expected, streets)
    for top, archive in (("rgb_anon", "rgb_anon_trainvaltest"), ("gt", "gt_trainval")):
        (streets / archive).mkdir()
        (streets / top).rename(streets / archive / top)
    (streets.parent / "above").mkdir()
    streets.rename(streets.parent / "above" / "acdc")
    dataset = open_dataset(streets.parent / "above")
    assert dataset.root == streets.parent / "above" / "acdc"
    assert [frame.name for frame in dataset.frames("val")] == expected
    assert dataset.fingerprint() == before


def test_train_extra_is_a_split_of_its_own(streets):
    for top, end in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtCoarse_labelIds")):
        target = streets / ("leftImg8bit" if top == "leftImg8bit" else "gtCoarse") / "train_extra" / "ulm"
        target.mkdir(parents=True)
        source = files(streets / top / "train", "*leftImg8bit.png" if top == "leftImg8bit" else "*labelIds.png")[0]
        shutil.copy(source, target / f"ulm_000000_000000_{end}.png")
    dataset = open_dataset(streets)
    assert dataset.splits() == ("train", "train_extra", "val")
    assert len(dataset.frames("train")) == 4
    assert dataset.frames("train_extra")[0].label is None
    shutil.rmtree(streets / "gtFine")
    assert open_dataset(streets).frames("train_extra")[0].label.name == "ulm_000000_000000_gtCoarse_labelIds.png"


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIF"])
def test_tif_images(streets, whole, suffix):
    for path in files(streets / "leftImg8bit", "*.png"):
        Image.open(path).save(path.with_suffix(suffix), format="TIFF")
        path.unlink()
    same_frames(streets, whole)
    assert examine(streets, full=True).healthy


def test_images_named_without_an_end(streets, whole):
    rename_all(streets, "_leftImg8bit", "", top="leftImg8bit")
    command_in(refused(streets, "is not named <city>_<seq>_<frame>_leftImg8bit.png", "or name all images so"))
    same_frames(streets, whole)


@pytest.mark.parametrize(
    ("images", "labels"), [("{split}/images", "{split}/masks"), ("images/{split}", "masks/{split}")]
)
def test_a_pair_for_files_of_any_name(streets, whole, images, labels):
    for split in ("train", "val"):
        for top, folder, end in (("leftImg8bit", images, "_leftImg8bit"), ("gtFine", labels, "_gtFine_labelIds")):
            target = streets / folder.format(split=split)
            target.mkdir(parents=True)
            for path in files(streets / top / split, f"*{end}.png"):
                path.rename(target / path.name.replace(end, ""))
    for top in ("leftImg8bit", "gtFine"):
        shutil.rmtree(streets / top)
    message = refused(streets, "has no folder leftImg8bit", ".png files such as", "image = '*.jpg'")
    assert "classes.toml" in message
    pair = 'image = "*.png"\nlabel = "*.png"\nimage_folder = "images"\nlabel_folder = "masks"\n'
    (streets / "classes.toml").write_text(f'name = "Mine"\n{pair}')
    dataset = same_frames(streets, whole)
    assert (dataset.name, dataset.spec) == ("mine", CITYSCAPES)
    assert examine(streets).healthy


def test_the_same_file_names_in_the_folder_of_each_video(streets, whole):
    for split in ("train", "val"):
        for top, end in (("leftImg8bit", "_leftImg8bit"), ("gtFine", "_gtFine_labelIds")):
            for number, path in enumerate(files(streets / top / split, f"*{end}.png")):
                target = streets / top / split / f"video{number}" / f"0001{end}.png"
                target.parent.mkdir()
                path.rename(target)
    (streets / "classes.toml").write_text('image = "*_leftImg8bit.png"\nlabel = "*_gtFine_labelIds.png"\n'
                                          'image_folder = "leftImg8bit"\nlabel_folder = "gtFine"')  # fmt: skip
    dataset = same_frames(streets, whole)
    assert [frame.name for frame in dataset.frames("val")] == ["video0_0001", "video1_0001"]


def test_train_ids_in_files_whose_names_do_not_say_so(streets, whole):
    table = np.full(256, 255, np.uint8)
    for train_id, label_id in TRAIN_ID_TO_LABEL_ID.items():
        table[label_id] = train_id
    for path in files(streets / "gtFine", "*_labelIds.png"):
        Image.fromarray(table[np.asarray(Image.open(path))]).save(path.with_name(f"{path.name[:-20]}_seg.png"))
    file = streets / "classes.toml"
    file.write_text('label = "*_seg.png"\nencoding = "labelIds"')
    before = open_dataset(streets).fingerprint()
    file.write_text('label = "*_seg.png"\nencoding = "trainIds"')
    dataset = same_frames(streets, whole)
    assert dataset.fingerprint() != before, "the same files mean something else"
    prepared = prepare(dataset, "val", cache=streets / "cache")
    np.testing.assert_array_equal(prepared.frame(0)[1], read_frame(dataset.frames("val")[0], dataset.spec)[1])


def test_a_pair_that_names_nothing(streets):
    (streets / "classes.toml").write_text('image = "*_rgb_anon.png"\nlabel = "*_gt_labelIds.png"')
    refused(streets, "no file in", "image = '*_rgb_anon.png'", "6 .png files such as leftImg8bit/train")


def test_images_of_no_split(streets):
    for path in files(streets / "leftImg8bit", "*.png"):
        (streets / "photos").mkdir(exist_ok=True)
        path.rename(streets / "photos" / path.name)
    (streets / "classes.toml").write_text('image = "*_leftImg8bit.png"')
    refused(streets, "6 images", "in no folder train, val or test")


def test_two_datasets_in_one_folder_are_not_mixed(streets, whole):
    archives(streets)
    shutil.copytree(streets / "leftImg8bit_trainvaltest", streets / "copy")
    refused(streets, "holds images of train twice", streets / "copy" / "leftImg8bit")
    shutil.rmtree(streets / "copy")
    shutil.copytree(whole, streets / "acdc")
    acdc(streets / "acdc")
    refused(streets, "more than one dataset")


def test_a_folder_with_nothing_that_is_known(tmp_path):
    (tmp_path / "notes.txt").write_text("…")
    refused(tmp_path, "has no folder leftImg8bit", "It holds no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.JPG")
    refused(tmp_path, "It holds 1 .JPG files such as a.JPG")


# Splits


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("training", "validation", "testing"),
        ("train", "valid", "test"),
        ("Train", "Val", "Test"),
        ("train2017", "val2017", "test2017"),
        ("trn", "dev", "tst"),
    ],
)
def test_names_of_splits_that_other_tools_use(streets, whole, caplog, train, val, test):
    for root in (streets, whole):
        shutil.copytree(root / "leftImg8bit" / "val", root / "leftImg8bit" / "test")
    for top in ("leftImg8bit", "gtFine"):
        for ours, theirs in (("train", train), ("val", val), ("test", test)):
            if (streets / top / ours).is_dir():
                (streets / top / ours).rename(streets / top / f"{ours}-aside")
                (streets / top / f"{ours}-aside").rename(streets / top / theirs)
    dataset = same_frames(streets, whole)
    assert dataset.splits() == ("test", "train", "val")
    assert dataset.frames(val) == dataset.frames("val"), "asked for by the folder's name"
    notes = [record.message for record in caplog.records]
    assert (f"{streets / 'leftImg8bit' / val} is read as the split val" in notes) == (val != "val")
    report = examine(streets)
    assert [split.name for split in report.splits] == ["train", "val", "test"]
    (error,) = [finding.what for finding in report.findings if finding.severity == "error"]
    assert "byte for byte" in error, "test is a copy of val here"


def test_labels_may_be_named_by_the_usual_name(streets, whole):
    (streets / "leftImg8bit" / "val").rename(streets / "leftImg8bit" / "validation")
    same_frames(streets, whole)
    (streets / "leftImg8bit" / "validation").rename(streets / "leftImg8bit" / "val")
    (streets / "gtFine" / "val").rename(streets / "gtFine" / "valid")
    same_frames(streets, whole)


def test_two_folders_that_may_be_val(streets):
    for top in ("leftImg8bit", "gtFine"):
        shutil.copytree(streets / top / "val", streets / top / "validation")
    dataset = open_dataset(streets)
    assert len(dataset.frames("train")) == 4, "nobody asked for val"
    with pytest.raises(UserError, match="are both the split val by name; rename the one that is not") as caught:
        dataset.frames("val")
    assert "\n" not in str(caught.value)
    report = examine(streets)
    assert any("two folders are the split val by name" in finding.what for finding in report.findings)
    assert not report.healthy
    command_in(str(caught.value))
    assert len(open_dataset(streets).frames("val")) == 2


def test_an_empty_folder_is_no_rival(streets):
    (streets / "leftImg8bit" / "validation").mkdir()
    assert len(open_dataset(streets).frames("val")) == 2
    assert examine(streets).healthy


def test_a_split_of_nearly_the_right_name(streets):
    for top in ("leftImg8bit", "gtFine"):
        (streets / top / "val").rename(streets / top / "vall")
    with pytest.raises(UserError, match="has no split 'val'") as caught:
        open_dataset(streets).frames("val")
    command_in(str(caught.value))
    assert len(open_dataset(streets).frames("val")) == 2


# Parts that nobody asked for


def spoil_with_junk(streets):
    for top in ("leftImg8bit", "gtFine"):
        for inner in ("", "val", "train/synth01"):
            for junk in ("@eaDir", "lost+found", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".DS_Store"):
                folder = streets / top / inner / junk
                folder.mkdir()
                (folder / "SYNOPHOTO_THUMB_M.png").write_bytes(b"thumbnail")
        (streets / top / "val" / "@eaDir" / "a_000000_000000_leftImg8bit.png").mkdir()


def spoil_with_empty(streets):
    (streets / "leftImg8bit" / "test").mkdir()
    (streets / "leftImg8bit" / "docs").mkdir()


def spoil_with_empty_city(streets):
    (streets / "leftImg8bit" / "test" / "berlin").mkdir(parents=True)


def spoil_with_misnamed(streets):
    (streets / "leftImg8bit" / "test" / "berlin").mkdir(parents=True)
    shutil.copy(files(streets, "*_leftImg8bit.png")[0], streets / "leftImg8bit" / "test" / "berlin" / "1.png")


def spoil_with_broken_link(streets):
    (streets / "leftImg8bit" / "test").symlink_to(streets / "nowhere")


def spoil_with_half_the_labels(streets):
    for top in ("leftImg8bit", "gtFine"):
        shutil.copytree(streets / top / "train", streets / top / "test")
    files(streets / "gtFine" / "test", "*_labelIds.png")[0].unlink()


@pytest.mark.parametrize(
    ("spoil", "note"),
    [
        (spoil_with_junk, ""),
        (spoil_with_empty, "holds no image and is left out"),
        (spoil_with_empty_city, "holds no image and is left out"),
        (spoil_with_misnamed, "split test cannot be used"),
        (spoil_with_broken_link, "split test cannot be used"),
        (spoil_with_half_the_labels, "split test cannot be used"),
    ],
)
def test_what_nobody_asked_for_stops_nothing(streets, whole, spoil, note):
    spoil(streets)
    dataset = same_frames(streets, whole)
    assert bool(dataset.notes) == bool(note)
    assert all(note in said for said in dataset.notes)
    assert dataset.fingerprint() == open_dataset(whole).fingerprint()
    if note:
        with pytest.raises(UserError, match=r"test"):
            dataset.frames("test")
    errors = [finding for finding in examine(streets).findings if finding.severity == "error"]
    assert not [finding for finding in errors if "byte for byte" not in finding.what]


def test_a_damaged_train_does_not_stop_who_asks_for_val(streets):
    files(streets / "gtFine" / "train", "*_labelIds.png")[0].unlink()
    dataset = open_dataset(streets)
    assert len(dataset.frames("val")) == 2
    assert "train" in dataset.splits(), "it is there, and must not be taken for missing"
    with pytest.raises(UserError, match="1 of 4 images"):
        dataset.frames("train")
    assert not examine(streets).healthy


def test_a_split_that_may_not_be_read_stops_nobody_else(streets, monkeypatch):
    denied, iterdir = streets / "leftImg8bit" / "train", Path.iterdir

    def deny(self):
        if self == denied:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", deny)
    dataset = open_dataset(streets)
    assert len(dataset.frames("val")) == 2
    with pytest.raises(UserError, match="train cannot be read: Permission denied"):
        dataset.frames("train")


def test_an_empty_train_is_no_split(streets):
    shutil.rmtree(streets / "leftImg8bit" / "train")
    (streets / "leftImg8bit" / "train").mkdir()
    dataset = open_dataset(streets)
    assert dataset.splits() == ("val",)
    with pytest.raises(UserError, match="train holds no image"):
        dataset.frames("train")


def test_of_torchruns_processes_the_first_one_speaks(streets, caplog, monkeypatch):
    (streets / "leftImg8bit" / "test").mkdir()
    monkeypatch.setenv("RANK", "1")
    assert open_dataset(streets).notes
    assert not caplog.records
    monkeypatch.setenv("RANK", "0")
    open_dataset(streets)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_links_in_a_circle_end(streets, whole):
    archives(streets)
    (streets / "leftImg8bit_trainvaltest" / "again").symlink_to(streets)
    same_frames(streets, whole)


def test_paths_below_home(streets, monkeypatch):
    monkeypatch.setenv("HOME", str(streets.parent))
    assert open_dataset(Path("~/streets")).root == streets


@pytest.mark.parametrize("part", ["leftImg8bit_foggy", "gtCoarse"])
def test_a_folder_beside_those_that_are_read_is_not_taken_for_a_part_of_them(streets, whole, part):
    """Else clear weather would be scored for who asked for fog, and fine labels for who asked for coarse ones."""
    old, new = ("leftImg8bit", "leftImg8bit_foggy_beta_0.02") if part == "leftImg8bit_foggy" else ("gtFine", "gtCoarse")
    shutil.copytree(streets / old, streets / part)
    rename_all(streets, f"_{old}", f"_{new}", top=part)
    command_in(refused(streets / part, part, "is not what"))
    for given in (streets / part, streets):
        dataset = same_frames(given, whole)
        frame = dataset.frames("val")[0]
        assert part in (frame.image if old == "leftImg8bit" else frame.label).relative_to(streets).parts


def test_datasets_beside_a_dataset_have_no_part_in_it(streets, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "other")
    (streets / "gtFine").rename(streets / "gtCoarse")
    rename_all(streets, "_gtFine", "_gtCoarse", top="gtCoarse")
    assert same_frames(streets / "gtCoarse", whole).root == streets


@pytest.mark.parametrize(("top", "name"), [("leftImg8bit", "leftImg8bit_foggy"), ("gtFine", "gtfine")])
def test_a_part_whose_other_half_lies_beside_it_names_the_folder_of_both(streets, whole, top, name):
    if name != "gtfine":
        rename_all(streets, "_leftImg8bit", "_leftImg8bit_foggy_beta_0.02", top=top)
    (streets / top).rename(streets / name)
    if name == "gtfine":
        (streets / "leftImg8bit").rename(streets / "leftimg8bit")
    message = refused(streets / name, "beside it")
    same_frames(Path(message.rpartition("--data ")[2]), whole)


def test_a_printed_command_keeps_what_classes_toml_says(streets, whole):
    (streets / "classes.toml").write_text('classes = "cityscapes"\nignored = [200]\n')
    rename_all(streets, "_gtFine", "_gtCoarse", top="gtFine")
    (streets / "gtFine").rename(streets / "gtCoarse")
    for beta in ("0.01", "0.02"):
        shutil.copytree(streets / "leftImg8bit", streets / beta)
        rename_all(streets, "_leftImg8bit", f"_leftImg8bit_foggy_beta_{beta}", top=beta)
    shutil.rmtree(streets / "leftImg8bit")
    rename_all(streets, "_gtCoarse", "_gtFine", top="gtCoarse")
    command_in(refused(streets, "2 images of each frame"))
    assert same_frames(streets, whole).spec.label_to_train_id[200] == 255


@pytest.mark.parametrize("suffix", [".tif", ".bmp"])
def test_labels_in_other_files_than_png_are_a_command_away(streets, whole, suffix):
    for path in files(streets, "*_gtFine_labelIds.png"):
        with Image.open(path) as label:
            label.save(path.with_suffix(suffix))
        path.unlink()
    message = refused(streets, "have no label")
    if suffix == ".tif":
        command_in(message[message.index(f"those in {suffix} files") :])
    else:
        (streets / "classes.toml").write_text(f'label = "*_gtFine_labelIds{suffix}"')
    same_frames(streets, whole)


def test_images_of_kinds_that_are_not_read_are_named_with_what_makes_them_png(streets, whole):
    for path in files(streets, "*_leftImg8bit.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".bmp"))
        path.unlink()
    message = refused(streets, "holds no image", ".bmp")
    *_, source, target = shlex.split(message.split("`")[1])
    convert_folder(source, target)
    shutil.rmtree(source)
    Path(target).rename(source)
    same_frames(streets, whole)
