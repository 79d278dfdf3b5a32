"""What a file is, by its content."""

import os
import subprocess
import sys
import zipfile

import pytest

from zoo.errors import UserError
from zoo.weight_format import format_of


def test_formats_are_told_without_torch(tmp_path):
    code = "import sys, zoo.weight_format, zoo.checkpoint; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ((2).to_bytes(8, "little") + b"{}", "safetensors"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "legacy torch"),
        (b"\x80\x04N.", "pickle"),
    ],
)
def test_the_first_bytes_tell(tmp_path, content, form):
    for name in ("w", "w.pth", "w.safetensors", "w.html"):
        (tmp_path / name).write_bytes(content)
        assert format_of(tmp_path / name) == form


ARCHIVES = {
    "torch": (("archive/data.pkl", "archive/version"), None),
    "npz": (("a.weight.npy", "b.npy"), None),
    "TorchScript": (("net/data.pkl", "net/constants.pkl", "net/code/x.py"), "TorchScript program"),
    "an exported program": (("net/archive_format", "net/data/weights/data.pkl"), "an exported program"),
    "Keras": (("config.json", "model.weights.h5"), "model of Keras"),
    "anything": (("readme.txt", "sub/", "sub/w.pth"), "holds readme.txt, sub/w.pth; unpack it"),
    "nothing": ((), "a zip archive that holds nothing"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_the_names_in_an_archive_tell(tmp_path, case):
    names, refusal = ARCHIVES[case]
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    if refusal is None:
        assert format_of(tmp_path / "w.pth") == case
        return
    with pytest.raises(UserError, match=refusal):
        format_of(tmp_path / "w.pth")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"x")
    (tmp_path / "w.pth").chmod(0)
    with pytest.raises(UserError, match=r"cannot be read: .*chmod"):
        format_of(tmp_path / "w.pth")
