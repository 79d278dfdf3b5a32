"""When a training ends before its last step: between two steps, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType


class Stop(IntEnum):
    """Why to stop; the larger reason wins where several processes differ."""

    NO = 0
    TIME = 1
    INTERRUPT = 2


@contextmanager
def asked_to_stop(deadline: float | None) -> Iterator[Callable[[], Stop]]:
    """Let Ctrl-C or a plain kill end the step that is under way first; a second one acts at once.

    Where someone else answers such a signal already, it stays theirs.

    Args:
        deadline: On the clock of `time.perf_counter`; `None`: no limit.

    Yields:
        A function that tells whether to stop now.
    """
    pressed = threading.Event()
    defaults: dict[signal.Signals, Callable[[int, FrameType | None], object] | signal.Handlers] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }

    def note(number: int, _frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(number, defaults[signal.Signals(number)])

    def now() -> Stop:
        if pressed.is_set():
            return Stop.INTERRUPT
        return Stop.TIME if deadline is not None and time.perf_counter() >= deadline else Stop.NO

    in_main = threading.current_thread() is threading.main_thread()
    ours = [number for number, default in defaults.items() if in_main and signal.getsignal(number) == default]
    for number in ours:
        signal.signal(number, note)
    try:
        yield now
    finally:
        for number in ours:
            signal.signal(number, defaults[number])
