"""What an operating system refuses, and what mends it: each class of error has a remedy of its own."""

from __future__ import annotations

import errno

_MEMORY = "end other programs, or use a machine with more memory"
_SHARE = "the network share went away: mount it again, then repeat the command"
_EITHER = {
    errno.ELOOP: "correct the link, which leads back to itself",
    errno.ENAMETOOLONG: "shorten its path",
    errno.EMFILE: "raise the number of files a process may open (`ulimit -n 4096`)",
    errno.ENFILE: "end programs that hold many files open",
    errno.EIO: "the disk itself fails: look at the system's log (`dmesg`) before anything else",
    errno.ENOMEM: _MEMORY,
    **dict.fromkeys(
        (errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET), _SHARE
    ),
}
_READING = {
    errno.ENOENT: "put it there, or correct its name",
    errno.ENOTDIR: "correct the path: a file stands where it names a folder",
    errno.EISDIR: "name a file, or move the folder of that name away",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "permit reading it (`chmod u+r`, and `chmod u+x` for its folders)"),
}
_WRITING = {
    errno.ENOENT: "make the folder it belongs in, or name {place}",
    errno.EISDIR: "a folder has this name: remove it, or name {place}",
    errno.EROFS: "it is mounted to be read only: name {place}",
    errno.EFBIG: "a file may not be so large there (`ulimit -f`, or the file system): name {place}",
    errno.EBUSY: "another program uses it: end that one, or name {place}",
    errno.EXDEV: "a link leads to another disk: name {place}",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or name {place}"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "permit writing there, or name {place}"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file stands where a folder belongs: move it, or name {place}"),
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP),
        "its file system lacks what is asked of it, such as locks: name {place}, on a local disk",
    ),
}


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())


def how_to_read(error: OSError) -> str:
    """What to do about a file or folder that the system does not let be read."""
    return (_EITHER | _READING).get(error.errno or 0, "see whether another program can read it")


def how_to_write(error: OSError, place: str) -> str:
    """What to do about a file or folder that the system does not let be written.

    Args:
        error: What it said.
        place: What may be named instead, such as `"another folder with --results"`.
    """
    return (_EITHER | _WRITING).get(error.errno or 0, "name {place}").format(place=place)
