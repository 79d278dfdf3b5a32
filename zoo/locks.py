"""One process at a time: a lock that goes with its process, however that ends.

`flock` where the system and the file system have it: the kernel itself lets go when a process dies, and on NFS for all
hosts. Lustre without that option, some FUSE and cluster file systems, and Windows have none; there filelock's lock file
names process, start of that process and host, so that a number that is given out anew is not taken for its holder.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.lazy import Lazy

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    warnings.filterwarnings("ignore", "only soft file lock")  # filelock's own: that is what it is for
if TYPE_CHECKING:
    import filelock
else:
    filelock = Lazy("filelock")

Release = Callable[[], object]

POLL_S = 0.02
"""How often one looks again at a lock that another process holds."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What `flock` answers where there is none."""


class HeldError(Exception):
    """Another process holds the lock; says what to do when that is not so, or nothing where it cannot be."""


@contextmanager
def hold(path: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold `path`, a file that is made when it is not there, until the end of this context or process.

    Args:
        path: The lock.
        patience_s: Seconds to wait for another process that holds it.

    Raises:
        HeldError: another process holds it.
        OSError: it cannot be written.
    """
    deadline = time.monotonic() + patience_s
    while (release := take(path)) is None:
        if time.monotonic() >= deadline:
            raise HeldError(_if_nobody_does(path))
        time.sleep(POLL_S)
    try:
        yield
    finally:
        release()


def take(path: Path, *, shared: bool = False, signed: bool = False, private: bool = False) -> Release | None:
    """Take the lock `path` and return what lets go of it; `None` where another process holds it, or its folder is gone.

    Args:
        path: The lock.
        shared: Beside others that share it, and none that does not; alone where the file system has no `flock`.
        signed: The file itself says for `holder` who has it.
        private: Nobody but this user may; else whoever may write a new file there, by the umask.

    Raises:
        OSError: it cannot be written.
    """
    if fcntl is None:
        return _take_by_name(path)
    try:
        # A file, opened to be written: NFS locks no folder, and nothing that was opened to be read.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600 if private else 0o666)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            if signed:
                with suppress(OSError):  # a full disk: whose it is, it does not say
                    os.pwrite(descriptor, f"{os.getpid()}\n{socket.gethostname()}\n".encode(), 0)
            return lambda: os.close(descriptor)
    except (BlockingIOError, PermissionError):  # the second one on some file systems
        pass
    except OSError as error:
        os.close(descriptor)
        if error.errno in NO_LOCKS:
            return _take_by_name(path)
        raise
    os.close(descriptor)
    return None


def _take_by_name(path: Path) -> Release | None:
    """By a file that is there as long as the lock is held; one whose process is known to be dead is taken over."""
    if not path.parent.is_dir():  # filelock would make it
        return None
    kind = filelock.FileLock if sys.platform == "win32" else filelock.SoftFileLock
    lock = kind(_held(path))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return None
    return lock.release


def _held(path: Path) -> Path:
    return path.with_name(f"{path.name}.held")


def holder(path: Path) -> str:
    """Who holds a lock, for a person: which process, and where; empty where it does not say, or is free again.

    What stands in the file may be of a process that was killed, so the lock itself is asked, and held for that moment.
    """
    for file in (_held(path), path):
        with suppress(OSError, ValueError):
            process, host, *_ = file.read_text(encoding="utf-8").split("\n")
            if (release := take(path, shared=True)) is None:
                return f"process {process} on {host}"
            release()
    return ""


def _if_nobody_does(path: Path) -> str:
    held = _held(path)
    return f" (by {held.name}: {holder(path)}; delete that file if it is gone)" if held.exists() else ""
