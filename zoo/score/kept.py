"""Rows kept in the cache folder, so that a record's JSON is decoded once.

A row is known by the hash of the record's bytes, which no name, size or clock can fool: every file is read each time.
What is kept of a results folder is one file that holds its own hash and that of the code which made it; one that is
damaged, or of another zoo or Python, is as good as none, and one that cannot be written is done without.
"""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from zoo import store
from zoo.cache import cache_folder
from zoo.files import short_hash, write_all
from zoo.score.rows import Row, row

LEAST = 50
"""New records that are worth being kept, and"""
LEAST_SHARE = 0.05
"""the least share of all that they are: a file is not written anew for every record that is measured."""
_PACKAGE = Path(__file__).parent.parent
_HASH_BYTES = 32


class Kept:
    """The rows of one results folder: those of before, and those that are read now."""

    def __init__(self, results: Path) -> None:
        self._file = cache_folder() / "rows" / short_hash(str(results.resolve()), 16)
        self._code = _code()
        self._before = self._load()
        self._now: dict[bytes, Row] = {}
        self._new = 0

    def read(self, path: Path) -> Row:
        """Read a record as a row.

        Raises:
            UserError: as `store.load`.
        """
        content = store.content(path)
        known_by = sha256(content).digest()
        one = self._before.get(known_by)
        if one is None:
            one = row(store.parse(content, path))
            self._new += 1
        self._now[known_by] = one
        return one

    def keep(self) -> None:
        """Keep what was read for the next process, where that is worth it."""
        if self._new < max(LEAST, LEAST_SHARE * len(self._now)):
            return
        body = pickle.dumps(self._now, protocol=5)
        with suppress(OSError):
            write_all({self._file: self._code + sha256(body).digest() + body})

    def _load(self) -> dict[bytes, Row]:
        try:
            kept = self._file.read_bytes()
        except OSError:
            return {}
        code, hashed, body = kept[:_HASH_BYTES], kept[_HASH_BYTES : 2 * _HASH_BYTES], kept[2 * _HASH_BYTES :]
        if code != self._code or hashed != sha256(body).digest():
            return {}
        try:
            found: dict[bytes, Row] = _Plain(io.BytesIO(body)).load()
        except Exception:  # noqa: BLE001  whoever wrote this, it was not zoo
            return {}
        return found


class _Plain(pickle.Unpickler):
    """Makes objects of zoo's own classes and dates; runs nothing else, whoever wrote the file."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith(("zoo.", "datetime", "pydantic_core")) else None
        if not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module}.{name} is no fact of a row")
        return found


def _code() -> bytes:
    """Hash of all that may decide a row: zoo's own sources outside the rooms that measure, and this Python."""
    code = sha256(sys.version.encode())
    for folder in (_PACKAGE, _PACKAGE / "score", _PACKAGE / "published"):
        for path in sorted(folder.glob("*.py")):
            code.update(path.read_bytes())
    return code.digest()
