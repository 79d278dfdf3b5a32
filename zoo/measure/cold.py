"""Cold starts (`zoo-cold/1`): from a file on disk to the first label map, in fresh processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ModelError
from zoo.lived import Start
from zoo.runtimes.base import Snippet

COUNT = 3
"""Processes, one after the other (zoo-cold/1, rule 4); a quick run takes one …"""
ENOUGH_S = 10.0
"""… and none is begun after so long."""

_PROGRAM = """\
import sys, time
{imports}
marks = [time.monotonic_ns()]
import numpy as np
given = sys.stdin.buffer.read()
image, given = np.frombuffer(given[:{bytes}], np.uint8).reshape({shape}).copy(), given[{bytes}:]
marks.append(time.monotonic_ns())
{load}
marks.append(time.monotonic_ns())
{call}
marks.append(time.monotonic_ns())
assert labels.shape == image.shape[1:3], labels.shape
print("", *marks, sep="\\n")
"""
"""Of a fresh process, whose clock is its parent's; what it takes to be given its image counts nowhere."""


def measure_cold(
    snippet: Snippet, image: NDArray[np.uint8], files: Iterable[Path] = (), *, given: bytes = b"", quick: bool
) -> tuple[Start, ...]:
    """Run a snippet in fresh processes, each to its first label map.

    Args:
        snippet: What they run; its picture is left out, since `image` takes its place.
        image: `(N, H, W, 3)`.
        files: What it reads from disk; their pages are given back to the system before each start, where it takes them.
        given: Bytes that the snippet finds under this name.
        quick: One process.

    Raises:
        ModelError: one did not come to a label map; the text is its last word.
    """
    program = _PROGRAM.format(
        imports=snippet.imports, load=snippet.load, call=snippet.call, bytes=image.nbytes, shape=image.shape
    )
    files, starts, begun = tuple(files), list[Start](), time.monotonic()
    while not starts or (not quick and len(starts) < COUNT and time.monotonic() - begun < ENOUGH_S):
        for file in files:
            _forget(file)
        starts.append(_start(program, image.tobytes() + given))
    return tuple(starts)


def _start(program: str, given: bytes) -> Start:
    start_ns = time.monotonic_ns()
    done = subprocess.run(  # noqa: S603  this very Python, and a program of our own
        [sys.executable, "-c", program], input=given, capture_output=True, check=False
    )
    if done.returncode:
        raise ModelError(f"a fresh process came to no label map: {_last_word(done)}")
    imported, ready, loaded, answered = map(int, done.stdout.splitlines()[-4:])
    return Start(
        import_s=(imported - start_ns) / 1e9, load_s=(loaded - ready) / 1e9, first_call_s=(answered - loaded) / 1e9
    )


def _last_word(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")[:300]


def _forget(file: Path) -> None:
    """Let a file's pages go from the system's cache, so that it is read from the disk; Linux alone does."""
    with contextlib.suppress(OSError, AttributeError):
        opened = os.open(file, os.O_RDONLY)
        try:
            os.fsync(opened)  # what is not written yet cannot go
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(opened)
