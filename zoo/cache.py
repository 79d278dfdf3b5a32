"""What zoo made and can make again: what lies in the cache folder, who uses it now, and how to be rid of the rest."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.faults import reason
from zoo.files import draft_in, whole_folder
from zoo.lazy import Lazy
from zoo.locks import Release, take

if TYPE_CHECKING:
    import secrets

    import platformdirs
else:
    secrets, platformdirs = Lazy("secrets"), Lazy("platformdirs")

VARIABLE = "ZOO_CACHE"
KINDS = {
    "streets": "synthetic-v*",
    "prepared": "prepared/*",
    "built": "artifacts/*",
    "kernels": "inductor",
    "rows": "rows",
    "sent": "sent/*",
}
"""Drawn streets, decoded splits, exported files, what `torch.compile` compiled, records as rows, files that a fleet's
driver sent; and where each stands in the folder."""
_USE = ".zoo-use-"

_uses: dict[tuple[int, Path], tuple[Path, Release]] = {}
"""By process and folder of entries: the file that names those this process uses."""


@dataclass(frozen=True)
class Entry:
    """One folder of the cache that goes as a whole."""

    kind: str
    folder: Path
    bytes: int
    used_at: datetime
    in_use: bool
    """A process that lives has it open, or may open it."""


def cache_folder() -> Path:
    """Folder for what can be made again: the variable `ZOO_CACHE`, else the user's cache folder."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("zoo")


def use(folder: Path) -> None:
    """Say that this process uses an entry from now to its end: before it is looked for, and when it has been made.

    Where nothing can be written nothing is said: nobody clears such a cache from here.
    """
    with suppress(OSError):
        if not folder.parent.is_dir():
            return
        known = os.getpid(), folder.parent
        if known not in _uses:
            _names_in_use(folder.parent)  # without those of the dead
            _uses[known] = _new_file(folder.parent)
        with _uses[known][0].open("a", encoding="utf-8") as file:
            file.write(f"{folder.name}\n")
        os.utime(folder)  # last used now


def used_folder(folder: Path, fill: Callable[[Path], object]) -> Path:
    """`files.whole_folder` of an entry that this process uses from now on.

    Raises:
        OSError: as `whole_folder` does.
    """
    use(folder)
    made = whole_folder(folder, fill)
    use(made)
    return made


def entries(root: Path) -> list[Entry]:
    """Look a cache folder over, the entry first that was not used for longest.

    An entry was used when `use` named it or one of its files was written or, where the system notes that, read.

    Raises:
        UserError: it is a file.
    """
    if root.is_file():
        raise UserError(f"{root} is a file; name the folder of the cache with --cache")
    found = []
    for kind, pattern in KINDS.items():
        for folder in root.glob(pattern):
            if not folder.name.startswith(".") and folder.is_dir():
                size, used_s = _measure(folder)
                in_use = folder.name in _names_in_use(folder.parent)
                found.append(Entry(kind, folder, size, datetime.fromtimestamp(used_s, UTC), in_use))
    return sorted(found, key=lambda entry: (entry.used_at, entry.folder))


def choose(
    found: Iterable[Entry],
    *,
    kinds: Collection[str] = (),
    older_than_s: float | None = None,
    larger_than_bytes: float | None = None,
    to_bytes: float | None = None,
    now: datetime | None = None,
) -> list[Entry]:
    """Choose what may go: all that is not in use now and meets every condition that is given.

    Args:
        found: `entries`'.
        kinds: Of `KINDS`; none: all of them.
        older_than_s: Not used for this long.
        larger_than_bytes: Of at least this size.
        to_bytes: Only until the cache is no larger than this, longest unused first.
        now: `None`: now.
    """
    found, now = list(found), now or datetime.now(UTC)
    chosen = [
        entry
        for entry in found
        if not entry.in_use
        and (not kinds or entry.kind in kinds)
        and (older_than_s is None or (now - entry.used_at).total_seconds() >= older_than_s)
        and (larger_than_bytes is None or entry.bytes >= larger_than_bytes)
    ]
    if to_bytes is None:
        return chosen
    left = sum(entry.bytes for entry in found)
    enough = []
    for entry in sorted(chosen, key=lambda entry: entry.used_at):
        if left <= to_bytes:
            break
        enough.append(entry)
        left -= entry.bytes
    return enough


def clear(chosen: Iterable[Entry]) -> list[Entry]:
    """Remove entries and return those that went; one that a process has begun to use meanwhile stays.

    Raises:
        UserError: one may not be removed.
    """
    gone = []
    for entry in chosen:
        parent = entry.folder.parent
        try:
            with draft_in(parent) as draft:
                entry.folder.rename(draft / "gone")
                if entry.folder.name in _names_in_use(parent):
                    (draft / "gone").rename(entry.folder)
                    continue
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as error:
            raise UserError(f"cannot remove {entry.folder}: {reason(error)}; permit writing in {parent}") from error
        gone.append(entry)
    return gone


def _new_file(parent: Path) -> tuple[Path, Release]:
    """A locked file of this process's own."""
    while True:  # again where another process took the new file for one of the dead
        file = parent / f"{_USE}{secrets.token_hex(8)}"
        release = take(file)
        if release is not None:
            atexit.register(_end_use, os.getpid(), file, release)
            return file, release


def _end_use(process: int, file: Path, release: Release) -> None:
    if process == os.getpid():  # no fork of it
        file.unlink(missing_ok=True)
        release()


def _names_in_use(parent: Path) -> set[str]:
    """Entries that living processes use; what the dead left is removed."""
    names: set[str] = set()
    for file in parent.glob(f"{_USE}*"):
        if file.suffix == ".held":
            continue
        with suppress(OSError):  # it ended just now
            release = take(file)
            if release is None:
                names |= set(file.read_text(encoding="utf-8").splitlines())
            else:
                file.unlink()
                release()
    return names


def _measure(folder: Path) -> tuple[int, float]:
    """Bytes of all files, and when one was last used, in seconds."""
    size, used_s = 0, folder.stat().st_mtime
    for path in _files(folder):
        with suppress(OSError):  # gone since it was listed
            status = path.lstat()
            size += status.st_size
            used_s = max(used_s, status.st_mtime, status.st_atime)
    return size, used_s


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        for name in names:
            yield Path(where, name)
