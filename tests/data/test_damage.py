"""Every way an image file can fail, and the one remedy that helps with it."""

import errno
import gzip
import io
import os
import zipfile

import av
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from zoo.data.damage import explain
from zoo.data.reading import read_image, unreadable
from zoo.errors import UserError

COLORS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def encoded(form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(COLORS).save(file, form, **options)
    return file.getvalue()


def garbled():
    data = bytearray(encoded())
    data[len(data) // 2] ^= 255
    return bytes(data)


def too_many_notes():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    return encoded(pnginfo=notes)


def array():
    file = io.BytesIO()
    np.save(file, COLORS)
    return file.getvalue()


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("a.png", encoded())
    return file.getvalue()


def video(form):
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 40, 60, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(COLORS, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


CONTENTS = {
    "empty": (b"", "it is empty; copy or download it again"),
    "zeros": (bytes(500), "it holds zeros, as an interrupted copy does; copy or download it again"),
    "cut PNG": (encoded()[:-900], "truncated"),
    "cut JPEG": (encoded("JPEG")[:-100], "a part is missing: copy or download it again"),
    "cut WebP": (encoded("WEBP")[:-100], "copy or download it again"),
    "cut head": (encoded()[:12], "its head is damaged; copy or download it again"),
    "garbled": (garbled(), "it is damaged: copy or download it again"),
    "text": (b"no image", "it is not an image Pillow knows; save it as PNG"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a pointer of Git LFS.*git lfs pull"),
    "web page": (b"\n<!DOCTYPE html><html>Not found</html>", "it is a web page.*download it again"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is a drawing .SVG.; save it as PNG"),
    "XML": (b'<?xml version="1.0"?><svg/>', "it is XML; save it as PNG"),
    "NumPy": (array(), "an array of NumPy; save it as PNG: .*np.load"),
    "zip": (archive(), "it is a zip archive; unpack it"),
    "gzip": (gzip.compress(encoded()), "packed by gzip; unpack it: `gunzip`"),
    "PDF": (b"%PDF-1.7\n", "it is a PDF; .*pdftoppm"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC.*heif-convert"),
    "HEIF": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF.*heif-convert"),
    "raw": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file; develop it"),
    "MP4": (video("mp4"), r"it is a video; give it to `zoo predict`.*\.mp4"),
    "AVI": (video("avi"), r"it is a video; give it to `zoo predict`.*\.avi"),
    "Matroska": (video("matroska"), r"it is a video; give it to `zoo predict`.*\.mkv"),
    "notes": (too_many_notes(), "its notes are too large: save it again without them"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_each_sort_of_damage_has_its_own_remedy(tmp_path, name):
    content, words = CONTENTS[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^image .*a\.png cannot be read: .*{words}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert ("download" in str(caught.value)) == (
        name in ("empty", "zeros", "cut PNG", "cut JPEG", "cut WebP", "cut head", "garbled", "web page")
    ), "a sound file of another sort is not downloaded again, a damaged one is"


def test_a_file_too_large_is_not_damaged(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encoded())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(UserError, match=r"exceeds limit of 80 pixels.*cut it into tiles or make it smaller"):
        read_image(path)


ERRORS = {
    FileNotFoundError(errno.ENOENT, "No such file"): "it does not exist; put it there, or correct its name",
    PermissionError(errno.EACCES, "Permission denied"): "permit reading it",
    IsADirectoryError(errno.EISDIR, "Is a directory"): "move the folder of that name away",
    NotADirectoryError(errno.ENOTDIR, "Not a directory"): "correct the path",
    OSError(errno.ELOOP, "Too many levels of symbolic links"): "correct the link",
    OSError(errno.ENAMETOOLONG, "File name too long"): "shorten its path",
    OSError(errno.EMFILE, "Too many open files"): "ulimit -n",
    OSError(errno.EIO, "Input/output error"): "the disk itself fails",
    OSError(errno.ESTALE, "Stale file handle"): "mount it again",
    TimeoutError(errno.ETIMEDOUT, "Connection timed out"): "mount it again",
    OSError(errno.ENOMEM, "Cannot allocate memory"): "more memory",
    OSError(errno.EOVERFLOW, "Value too large"): "see whether another program can read it",
    MemoryError(): "memory ran out; make the image smaller",
    OSError("decoder libtiff not available"): "not available; save it as PNG",
    OSError("unrecognized data stream contents when reading image file"): "it is damaged: copy or download it again",
    OSError("broken data stream when reading image file"): "it is damaged: copy or download it again",
    SyntaxError("broken PNG file (bad header checksum in b'IDAT')"): "it is damaged: copy or download it again",
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}")
def test_each_class_of_error_has_its_own_remedy(tmp_path, error):
    said = str(unreadable("label", tmp_path / "a.png", error))
    assert said.startswith(f"label {tmp_path / 'a.png'} cannot be read: ")
    assert ERRORS[error] in said
    assert ("download" in said) == ("copy or download" in ERRORS[error]), "only damaged files are fetched again"


def test_a_file_that_vanishes_while_it_is_looked_at(tmp_path):
    why, remedy = explain(tmp_path / "gone.png", Image.UnidentifiedImageError("?"))
    assert (why, remedy) == (os.strerror(errno.ENOENT), "put it there, or correct its name")
