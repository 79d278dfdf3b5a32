"""A plain PNG gives the pixels that Pillow gives; whatever is not plain is left to Pillow, damage in silence."""

import io
import os
import struct
import sys
import threading
import zlib
from itertools import pairwise

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from zoo.data import png
from zoo.data.png import DEEP_GREY, GREY, RGB, plain_png
from zoo.data.reading import read_image
from zoo.errors import UserError

FORMS = {GREY: np.uint8, DEEP_GREY: np.uint16, RGB: np.uint8}
HEAD = 33  # bytes before the first chunk that may be another one


@pytest.fixture(autouse=True)
def _nothing_failed_yet(monkeypatch):
    monkeypatch.setattr(png, "_FAILED", threading.Event())


def picture(form, height=37, width=53, seed=0):
    """Blocks, flat and noisy ones, so that all of a writer's filters come up."""
    rng = np.random.default_rng(seed)
    most = np.iinfo(FORMS[form]).max
    channels = (3,) if form is RGB else ()
    blocks = rng.integers(0, most, (height // 8 + 1, width // 8 + 1, *channels))
    values = blocks.repeat(8, 0).repeat(8, 1)[:height, :width] + np.arange(width).reshape(-1, *(1 for _ in channels))
    values[: height // 3] = rng.integers(0, most, values[: height // 3].shape)
    return (values % (most + 1)).astype(FORMS[form])


def encoded(pixels, **options):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_header(content, place, value):
    """The same file with another byte in its header, and the sum that is right for it."""
    header = bytearray(content[16:29])
    header[place] = value
    return content[:8] + chunk(b"IHDR", bytes(header)) + content[HEAD:]


def notes():
    info = PngImagePlugin.PngInfo()
    info.add_text("where", "bonn")
    return info


def turned():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif.tobytes()


@pytest.mark.parametrize("form", FORMS, ids=["grey", "16 bits", "rgb"])
@pytest.mark.parametrize("size", [(1, 1), (3, 700), (37, 53), (256, 512)], ids=str)
def test_pixels_are_pillows(tmp_path, form, size):
    path, pixels = tmp_path / "a.png", picture(form, *size)
    for level in (0, 1, 9):
        path.write_bytes(encoded(pixels, compress_level=level))
        found = plain_png(path, form)
        assert found.dtype == FORMS[form]
        assert np.array_equal(found, pixels)
        assert np.array_equal(found, np.array(Image.open(path)))
    assert all(plain_png(path, other) is None for other in FORMS if other is not form)


OTHERS = {
    "a palette": lambda: encoded(Image.fromarray(picture(GREY)).convert("P")),
    "one bit": lambda: encoded(Image.fromarray(picture(GREY)).convert("1")),
    "alpha": lambda: encoded(Image.fromarray(picture(RGB)).convert("RGBA")),
    "grey with alpha": lambda: encoded(Image.fromarray(picture(GREY)).convert("LA")),
    "a colour that is transparent": lambda: encoded(picture(GREY), transparency=3),
    "notes": lambda: encoded(picture(GREY), pnginfo=notes()),
    "an orientation": lambda: encoded(picture(GREY), exif=turned()),
    "an orientation behind the pixels": lambda: encoded(picture(GREY))[:-12] + chunk(b"eXIf", turned()[6:]) + END,
    "two pictures": lambda: encoded(
        picture(GREY), save_all=True, append_images=[Image.fromarray(picture(GREY, seed=1))]
    ),
    "interlaced": lambda: with_header(encoded(picture(GREY)), 12, 1),
    "a method nobody knows": lambda: with_header(encoded(picture(GREY)), 11, 1),
    "no pixels": lambda: encoded(picture(GREY))[:HEAD] + END,
    "no width": lambda: with_header(encoded(picture(GREY)), 3, 0),
    "JPEG": lambda: b"\xff\xd8\xff\xe0" + bytes(60),
    "nothing": lambda: b"",
}
END = chunk(b"IEND", b"")


@pytest.mark.parametrize("what", OTHERS)
def test_what_could_mean_something_else_is_left_to_pillow(tmp_path, what):
    path = tmp_path / "a.png"
    path.write_bytes(OTHERS[what]())
    assert plain_png(path, *FORMS) is None


def test_what_pillow_warns_of_or_refuses_for_its_size_is_left_to_it(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(GREY, 20, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    assert plain_png(path, GREY) is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    assert plain_png(path, GREY) is None


def test_what_is_no_file_is_left_to_pillow(tmp_path):
    assert plain_png(tmp_path, GREY) is None
    assert plain_png(tmp_path / "missing.png", GREY) is None


@pytest.mark.parametrize("form", FORMS, ids=["grey", "16 bits", "rgb"])
def test_damage_never_gives_other_pixels_nor_a_word(tmp_path, capfd, form):
    """Each byte changed, each length cut off, and a stretch left out: mostly `None`; never what Pillow would refuse."""
    path, pixels = tmp_path / "a.png", picture(form, 9, 14)
    content = encoded(pixels)
    changed = [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in range(len(content))]
    cut = [content[:at] for at in range(len(content))]
    gaps = [content[:at] + content[later:] for at, later in pairwise(range(0, len(content), 7))]
    for damaged in changed + cut + gaps:
        path.write_bytes(damaged)
        assert plain_png(path, *FORMS) is None, damaged
    assert capfd.readouterr() == ("", "")


WITHOUT_ITS_SUM = {
    "no pixels": b"",
    "no stream": b"no deflated bytes",
    "too short": zlib.compress(bytes(20)),
    "no such filter": zlib.compress(b"\7" * 5000),
    "without its end": zlib.compress(b"".join(b"\0" + line.tobytes() for line in picture(GREY)))[:-4],
}


@pytest.mark.parametrize("what", WITHOUT_ITS_SUM)
def test_a_stream_that_the_decoder_refuses_is_the_last_it_is_shown(tmp_path, what):
    """Though the sums of its chunks are right. Of the last Pillow knows the pixels."""
    path, content = tmp_path / "a.png", encoded(picture(GREY))
    path.write_bytes(content[:HEAD] + chunk(b"IDAT", WITHOUT_ITS_SUM[what]) + END)
    before = sys.getrefcount(None)
    assert [plain_png(path, GREY) for _ in range(200)] == [None] * 200
    assert sys.getrefcount(None) > before - 100
    if what == "without its end":
        assert np.array_equal(read_image(path)[..., 0], picture(GREY))
    path.write_bytes(content)
    assert plain_png(path, GREY) is None
    assert np.array_equal(read_image(path)[..., 0], picture(GREY))


def test_what_is_far_larger_than_its_pixels_is_left_to_pillow(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(GREY)) + bytes(1 << 17))
    assert plain_png(path, GREY) is None
    assert read_image(path).shape == (37, 53, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes of this kind")
def test_of_a_pipe_nothing_is_taken(tmp_path):
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    assert plain_png(pipe, RGB) is None, "and nobody is waited for"


def test_memory_that_runs_out_is_one_line(tmp_path, monkeypatch):
    def none(*_):
        raise MemoryError

    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(GREY)))
    with monkeypatch.context() as patched:
        patched.setattr(png.imagecodecs, "png_decode", none)
        assert read_image(path).shape == (37, 53, 3), "Pillow may have enough"
    monkeypatch.setattr("zoo.data.reading.in_three", none)
    with pytest.raises(UserError, match="memory ran out"):
        read_image(path)
