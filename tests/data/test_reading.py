import os
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from zoo.data.convert import convert_folder
from zoo.data.layout import open_dataset
from zoo.data.reading import frame_size, label_histogram, read_frame, read_image, read_label, read_photo
from zoo.errors import UserError
from zoo.labels import CITYSCAPES, LABELS
from zoo.spec import DatasetSpec


def only_frame(folder):
    (frame,) = open_dataset(folder.root).frames("val")
    return frame


def write_png(path, values, bits=16):
    """A PNG `(H, W)` or `(H, W, C)` of a depth that Pillow reads but does not write: its chunks by hand."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    values = np.asarray(values)
    height, width, channels = (*values.shape, 1)[:3]
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    samples = values.reshape(height, -1)
    if bits == 16:
        packed = samples.astype(">u2").view(np.uint8)
    else:
        ones = (samples[..., None].astype(np.uint8) >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(ones.reshape(height, -1), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_images_are_read_as_rgb(folder, suffix):
    image, _ = folder.add(suffix=suffix, size=(9, 11))
    pixels = read_image(image)
    assert pixels.shape == (9, 11, 3)
    assert pixels.dtype == np.uint8
    if suffix != ".jpg":
        assert np.array_equal(pixels, np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_truncated_image_is_named(folder, suffix):
    image, _ = folder.add(suffix=suffix, size=(64, 64))
    image.write_bytes(image.read_bytes()[:-300])
    with pytest.raises(UserError, match=image.name):
        read_image(image)


def make_loop(path):
    path.unlink()
    path.symlink_to(path)


def make_folder(path):
    path.unlink()
    path.mkdir()


BROKEN = {
    "is not an image Pillow knows": lambda path: path.write_text("no image"),
    "it is empty": lambda path: path.write_bytes(b""),
    "Too many levels of symbolic links": make_loop,
    "Is a directory": make_folder,
    "it does not exist": lambda path: path.unlink(),
    "Permission denied": lambda path: path.chmod(0),
}


@pytest.mark.parametrize("what", ["image", "label"])
@pytest.mark.parametrize("why", BROKEN)
def test_files_that_cannot_be_read_are_named(folder, what, why):
    image, (label,) = folder.add()
    frame, path = only_frame(folder), image if what == "image" else label
    BROKEN[why](path)
    if why == "Permission denied" and os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(UserError) as caught:
        read_frame(frame, CITYSCAPES)
    assert str(caught.value).startswith(f"{what} {path} cannot be read: ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


GREY = np.random.default_rng(1).integers(0, 256, (8, 12), np.uint8)
COLORS = np.random.default_rng(2).integers(0, 256, (8, 12, 3), np.uint8)
OPAQUE = np.full((8, 12, 1), 255, np.uint8)


def as_image(array):
    return Image.fromarray(array).save


def as_png(values, bits=16):
    return lambda path: write_png(path, values, bits)


def as_tiff(values):
    """A TIFF of three channels of 16 bits, which Pillow reads but does not write."""

    def write(path):
        samples = np.asarray(values, "<u2")
        height, width, _ = samples.shape
        entries = [(256, 4, width), (257, 4, height), (258, 3, (16, 16, 16)), (259, 3, 1), (262, 3, 2), (273, 4, None)]
        entries += [(277, 3, 3), (278, 4, height), (279, 4, samples.nbytes)]
        end = 8 + 2 + 12 * len(entries) + 4
        body = b""
        for tag, kind, value in entries:
            if tag == 258:
                body += struct.pack("<HHII", tag, kind, 3, end)
            else:
                body += struct.pack("<HHII", tag, kind, 1, end + 6 if value is None else value)
        head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I3H", 0, 16, 16, 16)
        path.write_bytes(head + samples.tobytes())

    return write


THREE = np.repeat(GREY[..., None], 3, axis=2)
SPELLINGS = {
    "grey": (as_image(GREY), THREE),
    "grey of 1 bit": (as_image(GREY > 99), np.where(THREE > 99, 255, 0)),
    "grey of 2 bits": (as_png(GREY >> 6, 2), (THREE >> 6) * 85),
    "grey with alpha": (as_image(np.dstack([GREY, OPAQUE])), THREE),
    "alpha": (as_image(np.dstack([COLORS, OPAQUE])), COLORS),
    "16 bits, small": (as_image(GREY.astype(np.uint16)), THREE),
    "16 bits, widened": (as_image(GREY.astype(np.uint16) * 257), THREE),
    "16 bits, RGB, small": (as_png(COLORS), COLORS),
    "16 bits, RGB, widened": (as_png(COLORS.astype(int) * 257), COLORS),
    "16 bits, RGBA": (as_png(np.dstack([COLORS, OPAQUE]).astype(int) * 257), COLORS),
    "16 bits, grey with alpha": (as_png(np.dstack([GREY, OPAQUE]).astype(int) * 257), THREE),
    "16 bits, TIFF": (as_tiff(COLORS.astype(int) * 257), COLORS),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_lossless_spelling_of_an_image_is_read(folder, name):
    path, _ = folder.add()
    write, expected = SPELLINGS[name]
    write(path)
    np.testing.assert_array_equal(read_image(path), expected)
    assert (read_image(path).dtype, read_image(path).flags.c_contiguous) == (np.uint8, True)


def test_a_palette_is_read_by_its_colours(folder):
    path, _ = folder.add()
    image = Image.fromarray(COLORS).quantize(40)
    image.save(path)
    np.testing.assert_array_equal(read_image(path), np.array(image.convert("RGB")))
    image.save(path, transparency=250)  # an entry that no pixel has
    np.testing.assert_array_equal(read_image(path), np.array(image.convert("RGB")))


HIDDEN = np.dstack([COLORS, np.where(np.arange(12) < 3, 254, 255)[None].repeat(8, 0)]).astype(np.uint8)
REFUSED = {
    "24 transparent pixels": as_image(HIDDEN),
    "96 transparent pixels": lambda path: (
        Image.fromarray(COLORS).convert("P").point([3] * 256).save(path, transparency=3)
    ),
    "16 bits a channel and values up to 4001": as_image(np.linspace(0, 4001, 96).astype(np.uint16).reshape(8, 12)),
    "16 bits a channel and values up to 4002": as_png(np.full((8, 12, 3), 4002)),
    "16 bits a channel and values up to 4003": as_tiff(np.full((8, 12, 3), 4003)),
    "Pillow mode F": lambda path: Image.new("F", (12, 8)).save(path, format="TIFF"),
    "holds 2 pictures": lambda path: Image.new("RGB", (12, 8)).save(
        path, save_all=True, append_images=[Image.new("RGB", (12, 8), "red")]
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_form_that_could_mean_two_things_is_refused_with_a_way_on(folder, why):
    path, _ = folder.add()
    REFUSED[why](path)
    for read in (read_image, read_photo):
        with pytest.raises(UserError, match=f"{path.name} .*{why}.*(zoo data convert|split it|save it as)") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_photograph_of_a_phone_with_extras_is_one_picture(folder):
    path, _ = folder.add(suffix=".jpg")
    Image.fromarray(COLORS).save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert read_image(path).shape == (8, 12, 3)


def test_cmyk_jpeg_is_refused(folder):
    path, _ = folder.add(suffix=".jpg")
    Image.new("CMYK", (12, 8)).save(path)
    with pytest.raises(UserError, match=f"{path.name} has Pillow mode CMYK.* `zoo data convert DIR NEW`"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8])
def test_image_to_be_shown_turned_is_refused(folder, suffix, orientation):
    path, _ = folder.add(suffix=suffix)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (12, 8)).save(path, exif=exif)
    assert read_photo(path).shape == ((8, 12, 3) if orientation < 5 else (12, 8, 3))
    if orientation < 2:
        assert read_image(path).shape == (8, 12, 3)
    else:
        with pytest.raises(UserError, match=f"{path.name} has EXIF orientation {orientation}"):
            read_image(path)


@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8])
def test_label_to_be_shown_turned_is_refused(folder, orientation):
    _, (path,) = folder.add()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("L", (12, 8), 7).save(path, exif=exif)
    if orientation < 2:
        assert (read_label(only_frame(folder), CITYSCAPES) == 0).all()
    else:
        with pytest.raises(
            UserError, match=f"label .*{path.name} has EXIF orientation {orientation}.* its image is not"
        ):
            read_label(only_frame(folder), CITYSCAPES)


def test_values_are_counted_however_a_label_map_is_to_be_shown(folder):
    _, (label,) = folder.add(value=7)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(label).save(label, exif=exif)
    frame = only_frame(folder)
    assert label_histogram(frame, CITYSCAPES)[7] == 8 * 12
    with pytest.raises(UserError, match="EXIF orientation 6"):
        read_label(frame, CITYSCAPES)


def test_names_with_spaces_and_beyond_ascii_are_read(folder):
    for number, city in enumerate(("zürich west", "京都")):
        folder.add(city=city, number=number, size=(8, 12))
    opened = open_dataset(folder.root)
    for frame in opened.frames("val"):
        image, label = read_frame(frame, CITYSCAPES)
        assert image.shape == (8, 12, 3)
        assert (label == 0).all()
    assert frame_size(opened, "val") == (8, 12)


def test_a_splits_frame_size_is_that_of_most_frames(folder):
    for number, size in enumerate([(12, 8), (8, 12), (9, 9), (8, 12)]):
        folder.add(number=number, size=size)
    assert frame_size(open_dataset(folder.root), "val") == (8, 12), "not the portrait's that comes first"
    folder.add(number=4, size=(12, 8))
    assert frame_size(open_dataset(folder.root), "val") == (12, 8), "of two, the one that comes first"


def test_two_files_for_one_frame_are_named(folder):
    first, _ = folder.add()
    second, _ = folder.add(suffix=".jpg")
    with pytest.raises(UserError) as caught:
        open_dataset(folder.root)
    assert first.name in str(caught.value)
    assert second.name in str(caught.value)


def test_label_ids_become_train_ids(folder):
    _, (path,) = folder.add(size=(5, 34))
    Image.fromarray(np.tile(np.arange(34, dtype=np.uint8), (5, 1))).save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    expected = [CITYSCAPES.label_to_train_id[value] for value in range(34)]
    assert (read_label(frame, CITYSCAPES) == np.array(expected)).all()


def test_train_ids_are_taken_as_they_are(folder):
    _, (path,) = folder.add(kinds=("labelTrainIds",), size=(2, 20))
    values = np.tile(np.array([*range(19), 255], np.uint8), (2, 1))
    Image.fromarray(values).save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    assert (read_label(frame, CITYSCAPES) == values).all()


@pytest.mark.parametrize(
    ("kind", "value", "known"), [("labelIds", 200, "label ids"), ("labelTrainIds", 19, "0 to 18, 255")]
)
def test_unknown_label_values_are_named(folder, kind, value, known):
    _, (path,) = folder.add(kinds=(kind,), value=value)
    (frame,) = open_dataset(folder.root).frames("val")
    with pytest.raises(UserError, match=f"{path.name} holds {value}: .*{known}"):
        read_label(frame, CITYSCAPES)


def test_label_of_another_size_is_named(folder):
    image, (path,) = folder.add(size=(8, 12))
    Image.fromarray(np.zeros((8, 13), np.uint8)).save(path)
    (frame,) = open_dataset(folder.root).frames("val")
    with pytest.raises(UserError, match=f"{path.name} is 8x13 but image .*{image.name} is 8x12"):
        read_label(frame, CITYSCAPES)


IDS = np.random.default_rng(3).choice([0, 7, 8, 11, 26, 33], (8, 12)).astype(np.uint8)


def as_palette(values, colors):
    image = Image.fromarray(values, "P")
    image.putpalette([channel for color in colors for channel in color])
    return image.save


VOC = [tuple(np.random.default_rng(index).integers(0, 256, 3).tolist()) for index in range(256)]
OFFICIAL = [label.color for label in LABELS if label.id >= 0]
RAMP = [(value, value, value) for value in range(256)]
MAPS = {
    "palette": (as_palette(IDS, VOC), IDS),
    "palette of the classes' colours": (as_palette(IDS, OFFICIAL), IDS),
    "palette of greys": (as_palette(IDS, RAMP), IDS),
    "palette that is black": (as_palette(IDS, [(0, 0, 0)] * 256), IDS),
    "palette of 4 bits": (as_palette(IDS % 9, VOC[:9]), IDS % 9),
    "1 bit": (as_image(IDS > 9), IDS > 9),
    "2 bits": (as_png(IDS % 4, 2), IDS % 4),
    "4 bits": (as_png(IDS % 16, 4), IDS % 16),
    "grey with alpha": (as_image(np.dstack([IDS, OPAQUE])), IDS),
    "three equal channels": (as_image(np.dstack([IDS] * 3)), IDS),
    "three equal channels and alpha": (as_image(np.dstack([IDS] * 3 + [OPAQUE])), IDS),
    "16 bits": (as_image(IDS.astype(np.uint16)), IDS),
    "16 bits, three equal channels": (as_png(np.dstack([IDS] * 3)), IDS),
    "16 bits with alpha": (as_png(np.dstack([IDS.astype(int), OPAQUE.astype(int) * 257])), IDS),
    "TIFF": (lambda path: Image.fromarray(IDS).save(path, "TIFF"), IDS),
}


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
@pytest.mark.parametrize("name", MAPS)
def test_a_lossless_spelling_of_a_label_map_is_read(folder, name, kind):
    _, (path,) = folder.add(kinds=(kind,))
    write, values = MAPS[name]
    write(path)
    expected = np.vectorize(CITYSCAPES.label_to_train_id.get)(values.astype(int))
    if kind == "labelTrainIds":
        if values.max() > 18:
            with pytest.raises(UserError, match=f"{path.name} (holds 26, 33: not among|has the classes' colours, not)"):
                read_label(only_frame(folder), CITYSCAPES)
            return
        expected = values
    np.testing.assert_array_equal(read_label(only_frame(folder), CITYSCAPES), expected)


def test_a_mask_of_one_bit_is_0_and_255_where_1_means_nothing(folder):
    _, (path,) = folder.add()
    Image.fromarray(IDS > 9).save(path)
    mask = DatasetSpec(
        name="mask",
        class_names=("ground", "thing"),
        class_colors=((0, 0, 0), (255, 0, 0)),
        label_to_train_id={0: 0, 255: 1},
    )
    np.testing.assert_array_equal(read_label(only_frame(folder), mask), IDS > 9)
    np.testing.assert_array_equal(
        read_label(only_frame(folder), mask.model_copy(update={"label_to_train_id": {0: 1, 1: 0}})), IDS <= 9
    )


ROAD, CAR = (128, 64, 128), (0, 0, 142)
NOT_MAPS = {
    "is a picture in colours": as_image(COLORS),
    "has the classes' colours, not their values": as_image(np.full((8, 12, 3), 70, np.uint8)),
    "contradicts itself: its value 7 has the colour": as_palette(IDS % 8, [(0, 0, 0)] * 7 + [CAR]),
    "the classes' colours, not their values .*holds 40": as_palette(np.full((8, 12), 40, np.uint8), [ROAD] * 41),
    "16 bits and holds 26003.*_instanceIds.png": as_image(np.full((8, 12), 26003, np.uint16)),
    "96 transparent pixels": as_image(np.zeros((8, 12, 4), np.uint8)),
    "is a JPEG file of Pillow mode L; a label map is a PNG": lambda path: Image.fromarray(IDS).save(path, "JPEG"),
    "Pillow mode F, which holds no ids; save it as a single-channel 8-bit PNG": lambda path: Image.new(
        "F", (12, 8)
    ).save(path, "TIFF"),
    "is a WEBP file": lambda path: Image.fromarray(np.dstack([IDS] * 3)).save(path, "WEBP"),
    "holds 2 pictures": lambda path: Image.new("L", (12, 8)).save(
        path, save_all=True, append_images=[Image.new("L", (12, 8), 7)]
    ),
}


@pytest.mark.parametrize("why", NOT_MAPS)
def test_what_is_no_label_map_is_refused(folder, why):
    _, (path,) = folder.add()
    NOT_MAPS[why](path)
    with pytest.raises(UserError, match=f"{path.name} .*{why}") as caught:
        read_label(only_frame(folder), CITYSCAPES)
    assert "\n" not in str(caught.value)


def test_truncated_label_and_missing_label_are_named(folder):
    _, (path,) = folder.add(size=(64, 64))
    folder.add("test", kinds=())
    path.write_bytes(path.read_bytes()[:-30])
    opened = open_dataset(folder.root)
    with pytest.raises(UserError, match=f"{path.name} cannot be read"):
        read_label(opened.frames("val")[0], CITYSCAPES)
    with pytest.raises(UserError, match="has no label file"):
        read_label(opened.frames("test")[0], CITYSCAPES)


def test_a_form_that_holds_no_ids_is_sent_to_no_command_that_refuses_it_too(folder, tmp_path):
    image, (label,) = folder.add()
    Image.new("F", (12, 8)).save(label, format="TIFF")
    for read in (
        lambda: read_label(only_frame(folder), CITYSCAPES),
        lambda: convert_folder(folder.root, tmp_path / "plain"),
    ):
        with pytest.raises(UserError, match=r"Pillow mode F.* save it as a single-channel 8-bit PNG$"):
            read()
    Image.new("F", (12, 8)).save(image, format="TIFF")
    with pytest.raises(UserError, match=r"Pillow mode F.* save it as 8-bit RGB$"):
        read_image(image)
