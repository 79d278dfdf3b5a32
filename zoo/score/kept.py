"""Rows kept in the cache folder, so that a record's JSON is decoded once.

A row is known by the hash of the record's bytes, which no name, size or clock can fool. A file is read anew unless the
system says that nothing was written to it since: by its size and the times of its last write and last change, of which
the latter cannot be set. As in git's index, times of the last moments before a look do not count: a second write in the
same tick would not show. What is kept of a results folder is one file that holds its own hash and that of the code
which made it; one that is damaged, or of another zoo or Python, is as good as none, and one that cannot be written is
done without.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from zoo import forked, store
from zoo.cache import cache_folder
from zoo.errors import UserError
from zoo.files import short_hash, write_all
from zoo.lazy import Lazy
from zoo.published.claims import Quote
from zoo.score.licences import Licences
from zoo.score.rows import Row, row

if TYPE_CHECKING:
    from zoo import decoding
else:  # kept rows are read without it
    decoding = Lazy("zoo.decoding")

LEAST = 50
"""Files of which there is news that are worth being kept, and"""
LEAST_SHARE = 0.05
"""the least share of all that they are: what is kept is not written anew for every record that is measured."""
SETTLED_S = 3.0
"""Seconds after which no second write can carry the times of the first, on any file system."""
MANY = 2000
"""Files of which there is news that several processes share: one alone decodes and keeps them in half a second."""
PART = 200
"""Of them that are handed over at once; what their rows share is made, and kept, once."""
_PACKAGE = Path(__file__).parent.parent
_BODY = 2 * 32
"""Where what is kept begins, after the hash of the code and its own."""
_SHARE = Row._fields.index("class_share")
_SHARED = {str, tuple, Licences, Quote, type(None)}
"""Of what is not told from its like by its type: 1 would be as good as true."""

Look: TypeAlias = "tuple[int, int, int] | None"
"""A file's size, and the times of its last write and change in ns; `None` where they do not tell."""


class Kept:
    """The rows of one results folder: those of before, and those that are read now."""

    def __init__(self, results: Path) -> None:
        self._file = cache_folder() / "rows" / short_hash(str(results.resolve()), 16)
        self._results = len(os.fspath(results))
        self._code = _code()
        self._seen, self._before = self._load()
        self._now: dict[str, tuple[Look, bytes]] = {}
        self._rows: dict[bytes, tuple[Any, ...]] = {}
        self._new = 0
        self._pool: dict[Any, Any] = {}
        self._looks: dict[str, Look] = {}
        self._ahead: dict[str, bytes] = {}
        self._made = set[bytes]()

    def look_ahead(self, names: Sequence[str]) -> None:
        """Look at all files, and where many are to be decoded have several processes do it.

        What these make is as good as what was kept of before; what they do not make `read` finds missing, and reads.
        """
        self._looks = {name: _look(name) for name in names}
        news = [name for name, look in self._looks.items() if look is None or look != self._seen_of(name)[0]]
        count = forked.process_count() if len(news) > MANY else 1
        if count < 2:
            return
        decoding.decoded(b"")  # what is imported now no process imports for itself
        parts = [news[first : first + PART] for first in range(0, len(news), PART)]
        with suppress(OSError), forked.made(parts, self._make, count) as found:  # else there are no more processes
            for known, rows in found:
                self._ahead |= known
                self._before |= rows
                self._made |= rows.keys()

    def _make(self, names: Sequence[str]) -> tuple[dict[str, bytes], dict[bytes, tuple[Any, ...]]]:
        """Of the files that can be read the hash, and of those that are not known by it the row."""
        known, rows = dict[str, bytes](), dict[bytes, tuple[Any, ...]]()
        for name in names:
            with suppress(UserError):  # `read` says it
                known_by, content = _hashed(name)
                if known_by not in self._before:
                    rows[known_by] = _values(content, name, known_by)
                known[name] = known_by
        return known, dict(zip(rows, self._pooled(rows.values()), strict=True))

    def read(self, name: str) -> Row:
        """Read a record as a row.

        Raises:
            UserError: as `store.load`.
        """
        look = self._looks[name]
        seen, known_by = self._seen_of(name)
        if name in self._ahead:
            known_by = self._ahead[name]
        elif look is None or look != seen:
            known_by, content = _hashed(name)
        values = self._before.get(known_by) or self._pooled([_values(content, name, known_by)])[0]
        is_new = known_by in self._made or known_by not in self._before
        self._new += is_new or look not in (None, seen)
        self._now[name[self._results :]] = look, known_by
        self._rows[known_by] = values
        return Row._make(values)

    def keeping(self) -> AbstractContextManager[None]:
        """Keep what was read for the next process, where that is worth it; much of it while this one goes on."""
        if self._new > MANY:
            return forked.beside(self._keep)
        if self._new >= max(LEAST, LEAST_SHARE * len(self._now)):
            self._keep()
        return nullcontext()

    def _keep(self) -> None:
        kept = io.BytesIO()
        kept.seek(_BODY)
        pickle.dump((self._now, self._rows), kept, protocol=5)
        with kept.getbuffer() as content:
            content[:_BODY] = self._code + sha256(content[_BODY:]).digest()
        with suppress(OSError):
            write_all({self._file: kept.getvalue()})

    def _load(self) -> tuple[dict[str, tuple[Look, bytes]], dict[bytes, tuple[Any, ...]]]:
        """Of before: each file's look with its hash, and the values of a row by that hash."""
        try:
            kept = self._file.read_bytes()
        except OSError:
            return {}, {}
        if kept[:_BODY] != self._code + sha256(memoryview(kept)[_BODY:]).digest():
            return {}, {}
        body = io.BytesIO(kept)
        body.seek(_BODY)
        try:
            seen, rows = _Plain(body).load()
        except Exception:  # noqa: BLE001  whoever wrote this, it was not zoo
            return {}, {}
        return seen, rows

    def _seen_of(self, name: str) -> tuple[Look, bytes]:
        return self._seen.get(name[self._results :], (None, b""))

    def _pooled(self, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The same rows; what many have stands in memory, and in what is kept, once."""
        once = self._pool.setdefault
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        if not columns:
            return []
        for place, column in enumerate(columns):
            if _SHARED.issuperset(map(type, column)):
                columns[place] = map(once, column, column)
        columns[_SHARE] = [once(("share", *share.items()), share) for share in columns[_SHARE]]
        return list(zip(*columns, strict=True))


class _Plain(pickle.Unpickler):
    """Makes objects of zoo's own classes and dates; runs nothing else, whoever wrote the file."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith(("zoo.", "datetime")) else None
        if not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module}.{name} is no fact of a row")
        return found


def _hashed(name: str) -> tuple[bytes, bytes]:
    """What a record is known by, and its bytes."""
    content = store.content(name)
    return sha256(content).digest(), content


def _values(content: bytes, name: str, known_by: bytes) -> tuple[Any, ...]:
    """A row, as it is handed over and kept: no object of a class."""
    return tuple(row(decoding.decoded(content) or store.parse(content, Path(name)), known_by))


def _look(name: str) -> Look:
    if os.name == "nt":  # there is no time of the last change
        return None
    try:
        facts = os.stat(name)  # noqa: PTH116  one of very many
    except OSError:
        return None
    if time.time() - max(facts.st_mtime, facts.st_ctime) < SETTLED_S:
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _code() -> bytes:
    """Hash of all that may decide a row: zoo's own sources outside the rooms that measure, and this Python."""
    code = sha256(sys.version.encode())
    for folder in (_PACKAGE, _PACKAGE / "score", _PACKAGE / "published"):
        for path in sorted(folder.glob("*.py")):
            code.update(path.read_bytes())
    return code.digest()
