"""`zoo data convert`: any folder in plain form, whole or not at all, and nothing ambiguous decided without a word."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from zoo.cli.main import main
from zoo.data.classes import CLASSES_FILE
from zoo.data.convert import convert_folder
from zoo.data.layout import open_dataset
from zoo.data.reading import read_frame, read_image
from zoo.errors import UserError
from zoo.labels import CITYSCAPES, LABELS

SIZE = (8, 12)
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, SIZE, np.uint8)
COLORS = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
IDS = RNG.choice([0, 7, 11, 26, 33], SIZE).astype(np.uint8)
OFFICIAL = np.array([label.color for label in LABELS if label.id >= 0], np.uint8)
CLASSES = """
name = "harbour"
ignored = [9]
[[classes]]
name = "water"
color = [0, 90, 180]
values = [1, 7]
[[classes]]
name = "quay"
color = [70, 70, 70]
values = [2]
"""


def values(path):
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.array(image)


def as_palette(array, colors):
    image = Image.fromarray(array, "P")
    image.putpalette(np.asarray(colors, np.uint8).ravel().tolist())
    return image


def turned(pixels, orientation, path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "plain"


def test_a_dataset_in_many_forms_becomes_plain(folder, target):
    files = [folder.add(number=number) for number in range(6)]
    plain = files[0][0].read_bytes()
    Image.fromarray(GREY).save(files[1][0])
    Image.fromarray(np.dstack([COLORS, GREY])).save(files[2][0])
    Image.fromarray(COLORS).quantize(30).save(files[3][0])
    Image.fromarray((COLORS[..., 0].astype(np.uint16) << 4) + 15).save(files[4][0])  # 12 bits of 16
    as_palette(IDS, RNG.integers(0, 256, (256, 3))).save(files[1][1][0])
    Image.fromarray(np.dstack([IDS] * 3)).save(files[2][1][0])
    Image.fromarray(IDS.astype(np.uint16)).save(files[3][1][0])
    Image.fromarray(np.dstack([IDS, GREY])).save(files[4][1][0])
    (folder.root / "notes.txt").write_text("kept")
    (folder.root / ".trash").write_text("left")
    converted = convert_folder(folder.root, target)
    dataset = open_dataset(target)
    images, labels = zip(*(read_frame(frame, CITYSCAPES) for frame in dataset.frames("val")), strict=True)
    np.testing.assert_array_equal(images[1], np.dstack([GREY] * 3))
    np.testing.assert_array_equal(images[2], COLORS)
    np.testing.assert_array_equal(images[3], read_image(files[3][0]))
    widest = np.round(((COLORS[..., 0].astype(int) << 4) + 15) * 255 / 4095)
    np.testing.assert_array_equal(images[4], np.dstack([widest] * 3))
    for label in labels[1:5]:
        np.testing.assert_array_equal(label, np.vectorize(CITYSCAPES.label_to_train_id.get)(IDS))
    for frame in dataset.frames("val"):
        values(frame.label)
        with Image.open(frame.image) as image:
            assert image.mode == "RGB"
    assert dataset.frames("val")[0].image.read_bytes() == plain
    assert sorted(path.name for path in target.iterdir()) == ["gtFine", "leftImg8bit", "notes.txt"]
    assert converted.lines() == [
        (
            "6 images: 2 copied as they are, 1 grey made RGB, 1 alpha left out, 1 alpha that hid something left out, "
            "1 palette made RGB, 1 16 bits scaled to 8, as 12 bits are filled"
        ),
        (
            "6 label maps: 2 copied as they are, 2 other depths or formats made ids, 1 indices of a palette made ids, "
            "1 equal channels made ids"
        ),
    ]


@pytest.mark.parametrize(
    "spell",
    [
        lambda ids: Image.fromarray(OFFICIAL[ids]),
        lambda ids: Image.fromarray(np.dstack([OFFICIAL[ids], np.where(ids, 255, 0).astype(np.uint8)])),
        lambda ids: as_palette(np.searchsorted([0, 7, 11, 26, 33], ids).astype(np.uint8), OFFICIAL[[0, 7, 11, 26, 33]]),
    ],
    ids=["RGB", "RGBA", "palette with other numbers"],
)
def test_colours_become_ids(folder, target, spell):
    for number, ids in enumerate((IDS, IDS * 0, IDS * 0 + 11)):  # void alone, and buildings alone: (70, 70, 70)
        _, (path,) = folder.add(number=number)
        spell(ids).save(path)
    converted = convert_folder(folder.root, target)
    found = [values(frame.label) for frame in open_dataset(target).frames("val")]
    for map_, expected in zip(found, (IDS, IDS * 0, IDS * 0 + 11), strict=True):
        np.testing.assert_array_equal(map_, expected)
    assert converted.labels == {"colours made ids": 3}


def test_own_classes_have_their_own_colours_and_values(folder, target):
    _, (path,) = folder.add()
    (folder.root / CLASSES_FILE).write_text(CLASSES)
    colors = np.array([(0, 90, 180), (70, 70, 70), (0, 0, 0)], np.uint8)
    Image.fromarray(colors[np.arange(96).reshape(SIZE) % 3]).save(path)
    convert_folder(folder.root, target)
    np.testing.assert_array_equal(
        values(open_dataset(target).frames("val")[0].label), np.array([1, 2, 9])[np.arange(96).reshape(SIZE) % 3]
    )


def test_train_ids_are_written_where_the_name_says_so(folder, target):
    _, (path,) = folder.add(kinds=("labelTrainIds",))
    Image.fromarray(OFFICIAL[IDS]).save(path)
    convert_folder(folder.root, target)
    expected = np.vectorize(CITYSCAPES.label_to_train_id.get)(IDS)
    np.testing.assert_array_equal(values(open_dataset(target).frames("val")[0].label), expected)


@pytest.mark.parametrize("label_by", ["values", "colors"])
def test_what_contradicts_itself_is_asked_for(folder, target, label_by):
    colors = OFFICIAL.copy()
    colors[[7, 26]] = OFFICIAL[[26, 7]]
    two = np.where(IDS > 7, 26, 7).astype(np.uint8)
    _, (path,) = folder.add()
    as_palette(two, colors).save(path)
    _, (other,) = folder.add(number=1)
    as_palette(IDS, RNG.integers(0, 256, (256, 3))).save(other)  # which its colours cannot mean
    with pytest.raises(UserError, match=r"contradicts itself: its value 7 has the colour .*--label-by values or"):
        convert_folder(folder.root, target)
    assert not target.exists()
    options = {"label_by": label_by, "ignore_other_colors": True}
    convert_folder(folder.root, target, **options)
    expected = two if label_by == "values" else 33 - two
    np.testing.assert_array_equal(values(open_dataset(target).frames("val")[0].label), expected)


def test_unknown_colours_are_counted_and_may_count_nowhere(folder, target):
    _, (path,) = folder.add()
    colors = OFFICIAL[np.full(SIZE, 7)]
    colors[0, :3] = 1, 2, 3
    Image.fromarray(colors).save(path)
    with pytest.raises(UserError, match=r"has 3 pixels in 1 colour of no class, such as \(1, 2, 3\).*--ignore-other"):
        convert_folder(folder.root, target)
    convert_folder(folder.root, target, ignore_other_colors=True)
    expected = np.full(SIZE, 7)
    expected[0, :3] = 0
    np.testing.assert_array_equal(values(open_dataset(target).frames("val")[0].label), expected)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("drawn", ["stored", "turned"])
def test_an_image_to_be_turned_follows_its_label_map(folder, target, orientation, drawn):
    image, (label,) = folder.add()
    upright = np.rot90(COLORS, {3: 2, 6: -1}[orientation])
    turned(COLORS, orientation, image)
    shape = upright.shape[:2] if drawn == "turned" else SIZE
    Image.fromarray(np.full(shape, 7, np.uint8)).save(label)
    if orientation == 3:
        with pytest.raises(UserError, match="give --exif turn or --exif ignore"):
            convert_folder(folder.root, target)
    exif = "auto" if orientation == 6 else "turn" if drawn == "turned" else "ignore"
    convert_folder(folder.root, target, exif=exif)
    pixels, _ = read_frame(open_dataset(target).frames("val")[0], CITYSCAPES)
    np.testing.assert_array_equal(pixels, upright if drawn == "turned" else COLORS)


def test_a_folder_of_photographs(tmp_path, target):
    source = tmp_path / "photos"
    (source / "more").mkdir(parents=True)
    Image.fromarray(COLORS).save(source / "plain.jpg")
    turned(COLORS, 6, source / "turned.png")
    Image.fromarray(COLORS).save(source / "more" / "scan.TIF", "TIFF")
    Image.fromarray(COLORS).convert("CMYK").save(source / "print.jpg")
    Image.fromarray(np.full(SIZE, 1023, np.uint16)).save(source / "raw.png")
    (source / "readme.md").write_text("kept")
    converted = convert_folder(source, target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.*")) == [
        "more/scan.png", "plain.jpg", "print.png", "raw.png", "readme.md", "turned.png",
    ]  # fmt: skip
    np.testing.assert_array_equal(read_image(target / "more" / "scan.png"), COLORS)
    np.testing.assert_array_equal(read_image(target / "turned.png"), np.rot90(COLORS, -1))
    assert (read_image(target / "raw.png") == 255).all()
    assert converted.images["16 bits scaled to 8, as 10 bits are filled"] == 1
    assert converted.images["CMYK made RGB"] == 1


@pytest.mark.parametrize(("asked", "expected"), [(None, 250), (14, 62), (16, 16)])
def test_bits_are_taken_from_all_images_or_given(tmp_path, target, asked, expected):
    source = tmp_path / "raw"
    source.mkdir()
    for number, value in enumerate((100, 4010)):
        Image.fromarray(np.full(SIZE, value, np.uint16)).save(source / f"{number}.png")
    convert_folder(source, target, bits=asked)
    assert [int(read_image(target / f"{number}.png")[0, 0, 0]) for number in range(2)] == [
        round(100 * expected / 4010), expected,
    ]  # fmt: skip


def test_a_folder_of_label_maps_in_colours(tmp_path, target):
    source = tmp_path / "maps"
    source.mkdir()
    Image.fromarray(OFFICIAL[IDS]).save(source / "a.png")
    (tmp_path / "own.toml").write_text(CLASSES)
    convert_folder(source, target, labels=True)
    np.testing.assert_array_equal(values(target / "a.png"), IDS)
    with pytest.raises(UserError, match="colours of no class"):
        convert_folder(source, tmp_path / "other", labels=True, classes=tmp_path / "own.toml")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


MISTAKES = {
    "cannot be read: .*copy or download it again": cut,
    "holds 2 pictures": lambda path: Image.new("RGB", SIZE).save(
        path, save_all=True, append_images=[Image.new("RGB", SIZE, "red")]
    ),
    "Pillow mode F, whose range nobody knows; save it": lambda path: Image.new("F", SIZE).save(path, "TIFF"),
    "would be written to the same file": lambda path: Image.new("RGB", SIZE).save(path.with_suffix(".jpg")),
}


@pytest.mark.parametrize("why", MISTAKES)
def test_one_file_that_cannot_be_converted_leaves_nothing(tmp_path, target, why):
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(3):
        Image.fromarray(COLORS).save(source / f"{number}.png")
    MISTAKES[why](source / "1.png")
    with pytest.raises(UserError, match=f"1.(png|jpg).*{why}") as caught:
        convert_folder(source, target)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_sources_and_targets_that_cannot_be(tmp_path, folder):
    folder.add()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for source, target, why in (
        (tmp_path / "nowhere", tmp_path / "new", "no folder"),
        (tmp_path / "empty", tmp_path / "new", "no image in"),
        (folder.root, tmp_path / "empty", "is there already"),
        (folder.root, folder.root / "new", "lies inside"),
        (folder.root, tmp_path / "file" / "new", "cannot convert to .*name another folder"),
    ):
        with pytest.raises(UserError, match=why):
            convert_folder(source, target)
    with pytest.raises(UserError, match="leave --labels and --classes away"):
        convert_folder(folder.root, tmp_path / "new", labels=True)
    with pytest.raises(UserError, match="--bits 4"):
        convert_folder(folder.root, tmp_path / "new", bits=4)


def test_the_command_prints_what_it_did(folder, target, capsys):
    image, _ = folder.add()
    Image.fromarray(GREY).save(image)
    assert main(["data", "convert", str(folder.root), str(target)]) == 0
    assert capsys.readouterr().out == f"1 image: 1 grey made RGB\n1 label map: 1 copied as they are\nwrote {target}\n"


def test_an_interrupted_conversion_leaves_nothing(tmp_path, target):
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(20):
        Image.fromarray(GREY).save(source / f"{number}.png")

    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_folder(source, target, on_file=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("quote", ['"', "'"])
def test_files_that_classes_toml_names_by_their_ending_keep_one(streets, target, quote):
    for path in streets.rglob("*_leftImg8bit.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"))
        path.unlink()
    grey = min(streets.rglob("*_leftImg8bit.jpg"))
    with Image.open(grey) as image:
        image.convert("L").save(grey)
    (streets / CLASSES_FILE).write_text(f"image = {quote}*_leftImg8bit.jpg{quote}  # of *.jpg\n")
    before = open_dataset(streets)
    assert convert_folder(streets, target).images == {"saved as PNG": 5, "grey made RGB": 1}
    after = open_dataset(target)
    for split in ("train", "val"):
        for ours, theirs in zip(after.frames(split), before.frames(split), strict=True):
            assert ours.image.suffix == ".png"
            for one, other in zip(read_frame(ours, after.spec), read_frame(theirs, before.spec), strict=True):
                np.testing.assert_array_equal(one, other)


def test_images_whose_ending_nobody_names_stay_what_they_are(streets, target):
    first, second, *_ = sorted(streets.rglob("*_leftImg8bit.png"))
    with Image.open(first) as image:
        image.save(first.with_suffix(".jpg"))
    first.unlink()
    with Image.open(second) as image:
        image.convert("L").save(second)
    (streets / CLASSES_FILE).write_text('label = "*_gtFine_labelIds.png"\n')
    convert_folder(streets, target)
    assert [path.name for path in target.rglob("*.jpg")] == [first.with_suffix(".jpg").name]
    assert open_dataset(target).splits() == open_dataset(streets).splits()


def test_train_ids_that_classes_toml_tells_of_are_converted_as_such(streets, target):
    train_ids = np.array([CITYSCAPES.label_to_train_id.get(value, 255) for value in range(256)], np.uint8)
    for path in streets.rglob("*_gtFine_labelIds.png"):
        with Image.open(path) as image:
            ids = train_ids[np.array(image)]
        as_palette(ids, RNG.integers(1, 64, (256, 3))).save(path.with_name(path.name.replace("labelIds", "annotation")))
        path.unlink()
    (streets / CLASSES_FILE).write_text('label = "*_gtFine_annotation.png"\nencoding = "trainIds"\n')
    before = open_dataset(streets)
    convert_folder(streets, target)
    after = open_dataset(target)
    for ours, theirs in zip(after.frames("val"), before.frames("val"), strict=True):
        np.testing.assert_array_equal(read_frame(ours, after.spec)[1], read_frame(theirs, before.spec)[1])
