"""Work shared out over copies of this process, for what one core takes too long for.

A copy needs no import and is sent nothing, so it is worth its while for a second of work; and it can only be made where
no other thread holds a lock that nobody would ever release in the copy.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from zoo.lazy import Lazy

if TYPE_CHECKING:
    from zoo import machine
else:
    machine = Lazy("zoo.machine")

AT_MOST = 8
"""Processes: the one that gathers what they make is not faster than these."""

Part = TypeVar("Part")
Made = TypeVar("Made")


def process_count() -> int:
    """How many copies of this process may work at once; 1 where none is to be made."""
    try:
        thread_count = len(list(Path("/proc/self/task").iterdir()))  # those of libraries too
    except OSError:  # not Linux, or no /proc: nobody knows
        return 1
    if thread_count > 1:
        return 1
    return min(machine.core_count(), AT_MOST)


@contextmanager
def made(parts: Sequence[Part], make: Callable[[Part], Made], count: int) -> Iterator[Iterator[Made]]:
    """Have `count` copies of this process make each part, from now on, and give what they made, in order.

    What is missing, since a copy died or `make` raised, is left out: the caller makes it itself, and sees why. The
    copies end with the context.
    """
    copies: list[tuple[int, IO[bytes]]] = []
    try:
        for first in range(count):
            copies.append(_copy(parts[first::count], make, [pipe for _, pipe in copies]))
        yield _answers([copies[place % count][1] for place in range(len(parts))])
    finally:
        for process, pipe in copies:
            pipe.close()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


@contextmanager
def beside(do: Callable[[], object]) -> Iterator[None]:
    """Have a copy of this process do what leaves its trace on the disk alone, while this one goes on.

    It is done at the end of the context, or before it begins where no copy can be made.
    """
    with ExitStack() as copies:
        done: Iterator[object] | None = None
        if process_count() > 1:
            with suppress(OSError):  # there are no more processes
                done = copies.enter_context(made([None], lambda _: do(), 1))
        if done is None:
            do()
        yield
        if done is not None and not [*done]:  # it died
            do()


def _answers(pipes: Iterable[IO[bytes]]) -> Iterator[Any]:
    """What comes out of each, one after the other."""
    for pipe in pipes:
        with suppress(EOFError, pickle.UnpicklingError):
            yield pickle.load(pipe)  # noqa: S301  of this very process


def _copy(parts: Sequence[Part], make: Callable[[Part], Any], others: Sequence[IO[bytes]]) -> tuple[int, IO[bytes]]:
    """Start one; return its id and what it writes."""
    reading, writing = os.pipe()
    try:
        process = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if process:
        os.close(writing)
        return process, os.fdopen(reading, "rb")
    try:  # nothing of this may return, or end as the process it is a copy of would
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(reading)
        for pipe in others:
            pipe.close()
        with os.fdopen(writing, "wb") as out:
            for part in parts:
                out.write(pickle.dumps(make(part), protocol=5))
                out.flush()
    finally:
        os._exit(0)
