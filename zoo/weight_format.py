"""What a file that shall hold weights is, told by its content: its first bytes and, of an archive, the names inside."""

from __future__ import annotations

import codecs
import zipfile
from pathlib import Path
from typing import Literal

from zoo.errors import UserError
from zoo.faults import how_to_read, reason

Format = Literal["safetensors", "torch", "legacy torch", "pickle", "npz"]
"""`torch`: what `torch.save` writes, a zip archive; `legacy torch`: what it wrote before 1.6, pickles in a row."""

TAKEN = "a .safetensors file, or a state dict as torch.save writes it, whatever its name"

_HEAD = 512
_TORCHS_NUMBER = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # how a legacy file begins, pickled
_LONGEST_HEADER = 100_000_000  # of safetensors, in bytes
_AGAIN = "fetch it again"
_UNPACK = "unpack it, and give the weights inside"
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file it stands for; run `git lfs pull`",
    b"\x89HDF\r\n": "an HDF5 file, as Keras writes; convert its weights to a state dict of PyTorch",
    b"\x1f\x8b": f"a gzip archive; {_UNPACK}",
    b"BZh": f"a bzip2 archive; {_UNPACK}",
    b"\xfd7zXZ": f"an xz archive; {_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive; {_UNPACK}",
    b"Rar!": f"a rar archive; {_UNPACK}",
    b"\x93NUMPY": "one array of numpy without a name; save arrays by their names with numpy.savez",
    b"GGUF": "a GGUF file, which holds language models",
}


def safetensors_header(head: bytes) -> int | None:
    """Bytes of the JSON header of a safetensors file, whose first 9 bytes tell; `None`: it is none."""
    length = int.from_bytes(head[:8], "little")
    return length if head[8:9] == b"{" and length <= _LONGEST_HEADER else None


def format_of(path: Path) -> Format:
    """Tell how a file holds weights; its name says nothing.

    Raises:
        UserError: no such file, it cannot be read, or it holds no weights: what it is, and what to do.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the file of weights in it: {TAKEN}")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint file {path}; give {TAKEN}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}; {how_to_read(error)}") from error
    if (length := safetensors_header(head)) is not None:
        if size < 8 + length:
            raise UserError(f"{path} is a safetensors file that was cut short at {size} bytes; {_AGAIN}")
        return "safetensors"
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:  # the latter begins an empty archive
        return _format_of_archive(path)
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:  # the pickle's protocol
        return "legacy torch" if _TORCHS_NUMBER in head[:32] else "pickle"
    raise UserError(f"{path} is not a checkpoint but {_other(head, path)}")


def _format_of_archive(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is a zip archive that was cut short or is damaged; {_AGAIN}") from error
    files = {name.rpartition("/")[2] for name in names}
    if {"data.pkl", "constants.pkl"} <= files:
        save = f"torch.save(torch.jit.load({str(path)!r}).state_dict(), 'weights.pth')"
        raise UserError(f"{path} is a TorchScript program, not weights alone; take them out with {save}")
    if "data.pkl" in files and "archive_format" not in files:
        return "torch"
    if "archive_format" in files or "serialized_exported_program.json" in files:
        raise UserError(
            f"{path} is an exported program, not weights alone; "
            "measure it as it is with `zoo bench --file`, or give the state dict it was made from"
        )
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    if "model.weights.h5" in files:
        raise UserError(f"{path} is a model of Keras; convert its weights to a state dict of PyTorch")
    some = ", ".join(sorted(name for name in names if not name.endswith("/"))[:3]) or "nothing"
    raise UserError(f"{path} is a zip archive that holds {some}; {_UNPACK}")


def _other(head: bytes, path: Path) -> str:
    """What a file is that holds no weights, and what to do about it."""
    if not head:
        return f"an empty file; {_AGAIN}"
    known = next((said for start, said in _OTHERS.items() if head.startswith(start)), None)
    if known:
        return known
    if head[257:262] == b"ustar":
        return f"a tar archive; {_UNPACK}, or save it anew with torch where it is its format of before 2017"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite file; convert its weights to a state dict of PyTorch"
    # ONNX: field 1 (its version, a small number), then a word on its maker, or the graph
    if head[:1] == b"\x08" and head[1] < 32 and head[2:3] in {b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"}:
        return f"an ONNX file, a network of its own; measure it with `zoo bench --file {path}`"
    text = _as_text(head)
    if text is None:
        return f"a file of an unknown kind; give {TAKEN}"
    if text.lstrip()[:1] == "<":
        return f"a page of markup, such as a website answers with when a download fails; {_AGAIN} from its direct link"
    if '"weight_map"' in text or (text.lstrip()[:1] == "{" and "index" in path.name):
        return "a list of the files that hold the weights; join those to one file"
    return f"text that begins {' '.join(text.split())[:40]!r}; give {TAKEN}"


def _as_text(head: bytes) -> str | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end within a letter
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter.isspace() for letter in text) else None
