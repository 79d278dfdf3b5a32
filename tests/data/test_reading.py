import os
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from zoo.data.layout import open_dataset
from zoo.data.reading import frame_size, read_frame, read_image, read_label
from zoo.errors import UserError
from zoo.labels import CITYSCAPES


def only_frame(folder):
    (frame,) = open_dataset(folder.root).frames("val")
    return frame


def write_png(path, bits, channels):
    """An 8x12 PNG of a depth that Pillow reads but does not write: its chunks by hand."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 12, 8, bits, {1: 0, 3: 2}[channels], 0, 0, 0)
    rows = (b"\0" + b"\x11" * (12 * bits * channels // 8)) * 8
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


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "1", "I;16"])
def test_image_that_is_not_8_bit_rgb_is_refused(folder, mode):
    path, _ = folder.add()
    image = Image.fromarray(np.zeros((8, 12), np.uint16)) if mode == "I;16" else Image.new(mode, (12, 8))
    image.save(path)
    with pytest.raises(UserError, match=rf"{path.name} has Pillow mode {mode}.*8-bit RGB: convert it"):
        read_image(path)


def test_16_bit_rgb_is_not_rounded_silently(folder):
    image, (label,) = folder.add()
    frame = only_frame(folder)
    write_png(image, 16, 3)
    with Image.open(image) as opened:
        assert opened.mode == "RGB"  # what Pillow makes of it
    with pytest.raises(UserError, match=rf"{image.name} has Pillow mode RGB;16B; a frame is 8-bit RGB"):
        read_image(image)
    write_png(label, 16, 3)
    with pytest.raises(UserError, match=rf"{label.name} is a PNG file of Pillow mode RGB;16B"):
        read_label(frame, CITYSCAPES)


def test_cmyk_jpeg_is_refused(folder):
    path, _ = folder.add(suffix=".jpg")
    Image.new("CMYK", (12, 8)).save(path)
    with pytest.raises(UserError, match=f"{path.name} has Pillow mode CMYK"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8])
def test_image_to_be_shown_turned_is_refused(folder, suffix, orientation):
    path, _ = folder.add(suffix=suffix)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (12, 8)).save(path, exif=exif)
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


@pytest.mark.parametrize("mode", ["RGB", "P", "I;16", "1", "LA"])
def test_label_that_is_no_8_bit_map_is_refused(folder, mode):
    _, (path,) = folder.add()
    image = Image.fromarray(np.zeros((8, 12), np.uint16)) if mode == "I;16" else Image.new(mode, (12, 8))
    image.save(path)
    with pytest.raises(UserError, match=f"{path.name} is a PNG file of Pillow mode {mode}.*8-bit PNG"):
        read_label(only_frame(folder), CITYSCAPES)


@pytest.mark.parametrize("bits", [2, 4])
def test_label_of_few_bits_is_not_scaled_silently(folder, bits):
    _, (path,) = folder.add()
    write_png(path, bits, 1)
    with Image.open(path) as opened:
        assert np.asarray(opened).max() > 2**bits  # Pillow spreads them: of 4 bits, 1 becomes 17, a pole
    with pytest.raises(UserError, match=f"{path.name} is a PNG file of Pillow mode L;{bits}; a label map is"):
        read_label(only_frame(folder), CITYSCAPES)


def test_label_of_a_lossy_format_is_refused(folder):
    _, (path,) = folder.add()
    Image.fromarray(np.full((8, 12), 7, np.uint8)).save(path, format="JPEG")
    with pytest.raises(UserError, match=f"{path.name} is a JPEG file of Pillow mode L; a label map is"):
        read_label(only_frame(folder), CITYSCAPES)


def test_truncated_label_and_missing_label_are_named(folder):
    _, (path,) = folder.add(size=(64, 64))
    folder.add("test", kinds=())
    path.write_bytes(path.read_bytes()[:-30])
    opened = open_dataset(folder.root)
    with pytest.raises(UserError, match=f"{path.name} cannot be read"):
        read_label(opened.frames("val")[0], CITYSCAPES)
    with pytest.raises(UserError, match="has no label file"):
        read_label(opened.frames("test")[0], CITYSCAPES)
