"""Which record answers which cell, a line for each: so that who asks for one cell does not read those of all others.

The line is written just before its record. It says where to look and no more: what is finished, the records say. One
that is torn, or whose record never came, is passed over. Records without one (of an older zoo, merged in, or where it
could not be written) are found by their names, if they were there when the ledger was opened; one that came since is
not, so that its cell may be measured once more beside an older zoo.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from zoo import locks

PATIENCE_S = 5.0
"""How long a writer waits for another; then it goes on."""


class Line(NamedTuple):
    """What stands of one record."""

    key: str
    twin: str
    name: str
    """Of its file."""


class Journal:
    """The lines of a results folder: a file for each of its folders of records."""

    def __init__(self, results: Path) -> None:
        self._root = results / ".local" / "kept"
        self._before = dict[Path, int]()
        """How long each file was when this was opened."""
        for folder, _, names in os.walk(self._root):
            for file in (Path(folder, name) for name in names):
                with suppress(OSError):
                    self._before[file] = file.stat().st_size
        self._read_to = dict(self._before)

    def before(self, folder: PurePosixPath) -> list[Line]:
        """The lines that were there when this was opened; once, then none."""
        file = self._root / folder
        end = self._before.pop(file, 0)
        return _lines(_content(file, 0)[:end]) if end else []

    def since(self, folder: PurePosixPath) -> list[Line]:
        """The lines that came since, and were not read yet."""
        file = self._root / folder
        start = self._read_to.get(file, 0)
        content = _content(file, start)
        whole = content[: content.rfind(b"\n") + 1]
        self._read_to[file] = start + len(whole)
        return _lines(whole)

    def add(self, folder: PurePosixPath, line: Line) -> None:
        """Write a line, if that can be done: a record is worth more."""
        file = self._root / folder
        with suppress(OSError), ExitStack() as stack:
            file.parent.mkdir(parents=True, exist_ok=True)
            with suppress(locks.HeldError):
                stack.enter_context(locks.hold(file, patience_s=PATIENCE_S))
            with file.open("ab") as stream:
                stream.write(f"\n{' '.join(line)}\n".encode())  # whole even behind a torn one


def _content(file: Path, start: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.read()
    except OSError:  # nothing was kept there yet
        return b""


def _lines(content: bytes) -> list[Line]:
    found = (text.split(" ") for text in content.decode(errors="replace").splitlines())
    return [Line(*parts) for parts in found if len(parts) == len(Line._fields)]
