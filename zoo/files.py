"""Files and folders that appear whole or not at all, whatever ends the process that writes them; hashes.

Everything is made in a hidden draft folder beside its target, brought to the disk, then renamed into place. A draft is
locked as long as its process lives: the next writer beside it can tell what the dead left there, and removes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.lazy import Lazy
from zoo.locks import take

if TYPE_CHECKING:
    import shutil
    import tempfile
    from concurrent import futures
else:  # for those who write
    shutil, tempfile, futures = Lazy("shutil"), Lazy("tempfile"), Lazy("concurrent.futures")

Content = bytes | Callable[[Path], object]
"""What a file shall hold, or what writes it to the path it is given."""

_DRAFT = ".zoo-draft-"
_LOCK = "lock"
_NO_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


LEAST_DIGITS = 6
"""Of a hash that a person types: fewer may be a word, or fit another as well."""


def short_hash(value: object, length: int = 64) -> str:
    """Return the first `length` hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def write_all(contents: Mapping[Path, Content]) -> None:
    """Put files in place, each one whole, in the order given; the last says that the set is complete.

    Missing folders are made. Nothing is put in place before all of it is on the disk.

    Raises:
        OSError: a folder cannot be written to, or the disk is full. Drafts are gone; whatever a function in `contents`
            raises comes through as it is.
    """
    with ExitStack() as stack:
        drafts: dict[Path, Path] = {}
        ready: dict[Path, Path] = {}
        for target, content in contents.items():
            if target.parent not in drafts:
                drafts[target.parent] = stack.enter_context(draft_in(target.parent))
            ready[target] = drafts[target.parent] / f"{len(ready)}.tmp"
            if isinstance(content, bytes):
                ready[target].write_bytes(content)
            else:
                content(ready[target])
            _to_disk(ready[target])
        for target, draft in ready.items():
            draft.replace(target)
        for folder in drafts:
            _to_disk(folder)


def write_new(target: Path, content: bytes) -> bool:
    """Put a file in place, whole, unless there is one of that name; say whether it was.

    Safe for several processes at once: one of them is told that it was the first.

    Raises:
        OSError: its folder cannot be written to, or the disk is full. Nothing half-written stays behind.
    """
    if target.exists():
        return False
    with draft_in(target.parent) as draft:
        made = draft / "made"
        made.write_bytes(content)
        _to_disk(made)
        try:
            _publish(made, target)
        except FileExistsError:  # another process was faster
            return False
        _to_disk(target.parent)
    return True


def whole_folder(target: Path, fill: Callable[[Path], object]) -> Path:
    """Return the folder `target`, made by `fill` when it is not there yet; nobody ever sees it half-filled.

    Safe for several processes at once: each fills a draft of its own, the first one done wins and the others take what
    it made. A folder that is there is never looked into, so `target` should name its content (by a hash, say).

    Args:
        target: The folder. Missing parents are made.
        fill: Given a new, empty folder, beside `target`, to write into. Whatever it raises comes through.

    Raises:
        OSError: the folder cannot be written, or the disk is full. Nothing half-written stays behind.
    """
    if target.is_dir():
        return target
    with draft_in(target.parent) as draft:
        made = draft / "made"
        made.mkdir()
        fill(made)
        for folder, _, names in os.walk(made):
            for name in names:
                _to_disk(Path(folder, name))
            _to_disk(Path(folder))
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
        _to_disk(target.parent)
    return target


def remove_folder(target: Path) -> None:
    """Remove a folder that `whole_folder` made; nobody ever sees half of it, as it leaves its name first.

    Raises:
        OSError: it is gone already, or may not be removed.
    """
    with draft_in(target.parent) as draft:
        target.rename(draft / "gone")


def remove_leftovers(root: Path) -> None:
    """Remove what processes that were killed in the middle of a write left anywhere below `root`."""
    for folder, names, _ in os.walk(root):
        for name in [name for name in names if name.startswith(_DRAFT)]:
            _remove_if_dead(Path(folder, name))
            names.remove(name)


@contextmanager
def threads() -> Iterator[futures.ThreadPoolExecutor]:
    """None of them is at work any more at the end, whatever brought it: a draft that is removed stays removed."""
    pool = futures.ThreadPoolExecutor()
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """A new folder in `folder`, hidden and locked, gone at the end; those of dead processes are removed first.

    Raises:
        OSError: `folder` cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{_DRAFT}*"):
        _remove_if_dead(leftover)
    draft, let_go = None, None
    while draft is None or let_go is None:  # again where another process took the new folder for a leftover
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
        try:
            let_go = take(draft / _LOCK)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    try:
        yield draft
    finally:
        let_go()  # first: a network file system keeps the name of an open file
        shutil.rmtree(draft, ignore_errors=True)


def _publish(made: Path, target: Path) -> None:
    """Give a file its name; fails where another has it."""
    try:
        os.link(made, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the name is taken first, empty until the whole file has it
        target.touch(exist_ok=False)
        made.replace(target)


def _remove_if_dead(draft: Path) -> None:
    with suppress(OSError):  # it vanished, or is another user's
        let_go = take(draft / _LOCK)
        if let_go is not None:
            shutil.rmtree(draft, ignore_errors=True)
            let_go()


def _to_disk(path: Path) -> None:
    """Flush a file or a folder; links and what a file system has no flush for are left as they are."""
    if path.is_symlink() or (os.name == "nt" and path.is_dir()):
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:  # folders on some file systems
            raise
    finally:
        os.close(descriptor)
