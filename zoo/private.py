"""What should not go public of a record that is shared: the texts of it that tell of a person or a machine."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from zoo import catalog, presets
from zoo.published import table
from zoo.record import Record
from zoo.score.audit import Arrays

_NETWORK = "an address of a private network"
_PRIVATE = {
    "the user of an address": re.compile(r"\w://[^\s/?#]*@"),
    "an e-mail address": re.compile(
        r"[\w.+-]+@(?:[\w-]+\.)+(?!(?:pt|pth|pt2|ckpt|bin|onnx|engine|safetensors|h5)\b)[A-Za-z]{2,}"
    ),
    _NETWORK: re.compile(
        r"(?<![\w.])(?<!TensorRT )(?<!version )(?<!==)"
        r"(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254)\.\d{1,3}\.\d{1,3}(?![^\W_]|\.\d)"
        r"|(?<![\w:])(?:f[cd][0-9a-f]{2}|fe80):(?:[0-9a-f]{0,4}:)+[0-9a-f]{0,4}",
        re.IGNORECASE,
    ),
}
"""What should not go public wherever it stands; a version of four numbers may look like a network's address."""
_WORD = re.compile(r"[^\s'\"`=(),;|<>\[\]{}]+")
_PUBLIC = re.compile(r"https?://|^(?:(?:\w+:)?(?:timm|smp-hub)|(?:hf|smp):\w[\w.-]*)/[\w.-]+$")
"""Addresses, and what libraries and hubs call their weights."""
_ROOTED = re.compile(r"(?:.*:)?(?:[\\/]|~[\w.-]*[\\/]|\.\.?[\\/])[\w.~\\/-]|\w+://|[A-Za-z]:[\\/]")
"""From a root, a home or the working folder, or of a scheme such as `file:`."""
_FILE = re.compile(r"[\\/][^\\/]*\.(?:[A-Za-z][A-Za-z0-9]{0,4}|safetensors|engine)(?!\w)")
_DEEP = re.compile(r"[\\/].*[\\/].*[A-Za-z][^\\/]*$")
"""At least two folders; `releases/2026/4`, a version, ends without a letter."""
_EVERYBODYS = {"root", "user", "admin", "ubuntu", "debian", "runner", "docker", "localhost"}
"""Names of users and hosts that tell nothing."""
_PROBED = re.compile(r"(software|device)\b")
"""What zoo itself says of a machine: a user called `linux` is not in it."""
_PROSE = re.compile(r"failure\.(reason|detail)|artifact\.weights\.(tag|url|notes|licence)")
"""Where a name of two letters is no other word."""
_GIVEN = re.compile(r"artifact\.(model|weights)|(accuracy\.)?dataset|config\.(train\.)?name|failure")
"""Where people put names of their own, joined by whatever they like: `jo_finetuned`."""


def private_texts(record: Record, arrays: Arrays) -> Iterator[str]:
    """Name the texts of a record that hold a path, an address that is a person's, or this machine's user or host."""
    names = {name for name in (_user(), platform.node().partition(".")[0]) if len(name) > 1} - _EVERYBODYS
    long = {name for name in names if len(name) > 2}
    alone, joined, prose = _apart(long, r"[\w-]"), _apart(long, r"[^\W_]"), _apart(names, r"[\w-]")
    for where, text in _texts("", record.model_dump(mode="json")):
        words, is_probed = joined if _GIVEN.match(where) and text not in _ours() else alone, _PROBED.match(where)
        if any(_is_path(word) for word in _WORD.findall(text)):
            yield f"{where} names a path ({_short(text)})"
        elif what := _private(text, aside=_NETWORK if is_probed else ""):
            yield f"{where} names {what} ({_short(text)})"
        elif not is_probed and (words.search(text) or (_PROSE.match(where) and prose.search(text))):
            yield f"{where} names this machine's user or host ({_short(text)})"
    for name, array in arrays.items():
        for text in map(str, array.ravel() if array.dtype.kind in "US" else ()):
            if any(map(_ROOTED.match, _WORD.findall(text))):  # of an image folders of its own may be said
                yield f"{name} of its samples names a path ({_short(text)})"
                break
            if what := _private(text):
                yield f"{name} of its samples names {what} ({_short(text)})"
                break
            if joined.search(text):
                yield f"{name} of its samples names this machine's user or host ({_short(text)})"
                break


def _private(text: str, *, aside: str = "") -> str:
    """What a text holds of what should not go public, one kind aside; empty for nothing."""
    return next((what for what, found in _PRIVATE.items() if what != aside and found.search(text)), "")


@cache  # a share looks at each of its records
def _ours() -> frozenset[str]:
    """Names that zoo itself gives: of models, recipes, presets, published weights."""
    tags = (one.tag for one in table.PUBLISHED)
    return frozenset((*catalog.MODELS, *presets.RECIPE_HASHES, *presets.preset_names("bench"), *tags))


def _apart(names: set[str], among: str) -> re.Pattern[str]:
    """Finds names with none of some letters beside them; without names nothing."""
    return re.compile(rf"(?<!{among})(?:{'|'.join(map(re.escape, names)) or '(?!)'})(?!{among})", re.IGNORECASE)


def _is_path(word: str) -> bool:
    if _PUBLIC.search(word):
        return False
    return any((_ROOTED.match(word), _FILE.search(word), _DEEP.search(word)))


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, keys of objects included, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"{where}.{key}".lstrip("."), key
            yield from _texts(f"{where}.{key}".lstrip("."), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(where, inner)


def _short(text: str) -> str:
    return repr(" ".join(text.split())[:80])


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""
