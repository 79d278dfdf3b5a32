"""Worker processes: started cheaply, watched, ended when they overstay, never outliving the sweep."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import psutil

try:
    import fcntl
    import resource
except ImportError:  # Windows, which `Workshop` refuses
    fcntl = resource = None  # type: ignore[assignment]

from zoo.bench import slots, worker
from zoo.bench.job import Job
from zoo.bench.trouble import OUT_OF_MEMORY, without_folders
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.machine import spare_bytes
from zoo.record import Status

T = TypeVar("T")

PRELOAD = ["zoo.bench.workshop"]
"""What the fork server imports, once: all of torch, torchvision, smp and timm."""

GRACE_S = 15.0
"""What training gets to save where it stands."""

SERVER_DEATH_S = 15.0
"""How long a fork server that was killed may take to give back its memory."""


@dataclass
class Outcome:
    """What a worker sent before it ended. `status` is `"ok"` when every step answered."""

    answers: dict[str, Any] = field(default_factory=dict)
    status: Status = "ok"
    step: str = ""
    """The step that gave no answer."""
    reason: str = ""
    detail: str = ""
    crashed: bool = False
    """The process ended or hung without a word; another try may do better."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds a step; `start` is that of the process."""
    warnings: list[str] = field(default_factory=list)
    """What the person at the terminal should read; no other worker of this workshop said it before."""


class Workshop:
    """Runs steps in fresh processes: a fork server on Linux (0.02 s a process), spawn elsewhere.

    Raises:
        UserError: this system lacks what ends a worker whatever it does.
    """

    def __init__(self) -> None:
        if fcntl is None:
            raise UserError(
                "measuring needs Linux or macOS, whose services start, limit and end its worker processes; records are "
                "read here as well (zoo leaderboard, pick, compare): measure on such a machine, or under WSL"
            )
        self._context: ForkServerContext | SpawnContext
        self._warned: set[str] = set()
        if sys.platform == "linux":
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(PRELOAD)
            with _interrupts_ignored():  # the server and all its workers inherit that
                forkserver.ensure_running()
        else:
            self._context = multiprocessing.get_context("spawn")
        # Workers hold the reading end; when the sweep dies, however it dies, they read its end and go.
        self._lifeline, self._grip = self._context.Pipe(duplex=False)
        # Every thread that waits for a worker waits for this too; its end is the end of all.
        self._halted, self._halt = self._context.Pipe(duplex=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in (self._grip, self._lifeline, self._halt, self._halted):
            connection.close()

    def halt(self) -> None:
        """End what other threads have running: their `run` raises `KeyboardInterrupt`."""
        self._halt.close()

    def together(self, calls: Sequence[Callable[[], T]], at_once: int | None = None) -> list[T]:
        """Make calls beside each other, of one alone in this thread, and return their answers; what ends one ends all.

        Args:
            calls: Begun in their order.
            at_once: How many are under way at a time; `None`: all.

        Raises:
            BaseException: what a call raised, before the `KeyboardInterrupt` of those that ended for it.
        """
        if len(calls) < 2:
            return [call() for call in calls]
        with futures.ThreadPoolExecutor(at_once or len(calls)) as pool:
            running, are_done = [pool.submit(call) for call in calls], False
            try:
                are_done = not futures.wait(running, return_when=futures.FIRST_EXCEPTION).not_done
            finally:
                if not are_done:
                    self.halt()
                    pool.shutdown(wait=False, cancel_futures=True)
        errors = [error for one in running if not one.cancelled() and (error := one.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, KeyboardInterrupt)):
            raise error
        return [one.result() for one in running]

    def run(
        self, steps: list[str], job: Job, *, timeout_s: float, on_note: Callable[[str, str], None] | None = None
    ) -> Outcome:
        """Run `steps` in one new process and return what it sent; it is gone when this returns, whatever happens.

        Steps that are timed run alone on their device, after whatever else runs there (`slots`).

        Args:
            steps: Names in `worker.STEPS`, run in order.
            job: What they work on.
            timeout_s: Seconds each step may take.
            on_note: Called with (step, line of progress).

        Raises:
            UserError: the worker found a mistake that is the user's to mend.
        """
        self._go_on()
        told = False

        def wait_on() -> None:
            nonlocal told
            self._go_on()
            if not told and on_note:
                on_note(steps[0], "waits for another step on this machine")
            told = True

        with slots.held(steps, job.device, job.device_id, wait_on):
            return self._run(steps, job, timeout_s, on_note)

    def _go_on(self) -> None:
        """End this thread's work where `halt` was called."""
        if self._halted.poll():
            raise KeyboardInterrupt

    def _run(self, steps: list[str], job: Job, timeout_s: float, on_note: Callable[[str, str], None] | None) -> Outcome:
        with _nameless_file() as log:
            answers, sender = self._context.Pipe(duplex=False)
            # A connection, because that is what multiprocessing hands a descriptor over in.
            chatter = Connection(os.dup(log.fileno()), readable=False)
            process = self._context.Process(target=_work, args=(steps, job, sender, self._lifeline, chatter))
            outcome, kills_before = Outcome(step=steps[0]), _oom_kills()
            try:
                self._start(process)
                sender.close()
                self._listen(steps, answers, process.sentinel, timeout_s, outcome, on_note)
            finally:
                _end(process)
                for connection in (sender, answers, chatter):
                    connection.close()
            if outcome.status == "ok" and outcome.step:
                _explain_death(process.exitcode, log, kills_before, outcome)
        outcome.warnings = [text for text in dict.fromkeys(outcome.warnings) if text not in self._warned]
        self._warned.update(outcome.warnings)
        return outcome

    def _start(self, process: BaseProcess) -> None:
        imports, deadline = isinstance(self._context, SpawnContext), time.monotonic() + SERVER_DEATH_S
        while True:
            try:
                with _interrupts_ignored() if imports else nullcontext():
                    return process.start()
            except (EOFError, ConnectionError):  # the fork server was killed; once it is quite dead, another starts
                if time.monotonic() > deadline:
                    raise
                imports = True
                time.sleep(0.1)

    def _listen(
        self,
        steps: list[str],
        answers: Connection,
        sentinel: int,
        timeout_s: float,
        outcome: Outcome,
        on_note: Callable[[str, str], None] | None,
    ) -> None:
        began = time.monotonic()
        while outcome.step:
            deadline = began + timeout_s
            wait([answers, sentinel, self._halted], timeout=max(0.0, deadline - time.monotonic()))
            self._go_on()
            try:
                if not answers.poll():
                    if time.monotonic() >= deadline:
                        outcome.status, outcome.crashed = "timeout", True
                        outcome.reason = f"no answer within {timeout_s:g} s"
                    return
                kind, content = answers.recv()
            except (EOFError, OSError):  # gone, perhaps in the middle of a message
                return
            if kind == "start":
                outcome.seconds["start"] = time.monotonic() - began
                began = time.monotonic()
            elif kind == "note":
                if on_note:
                    on_note(outcome.step, content)
            elif kind == "warning":
                outcome.warnings.append(content)
            elif kind == "trouble":
                if content.status == "user":
                    raise UserError(content.reason)
                outcome.status, outcome.reason, outcome.detail = content.status, content.reason, content.detail
                return
            else:
                outcome.answers[kind] = content
                outcome.seconds[kind] = time.monotonic() - began
                remaining = steps[steps.index(kind) + 1 :]
                outcome.step = remaining[0] if remaining else ""
                began = time.monotonic()


def _work(steps: list[str], job: Job, answers: Connection, lifeline: Connection, chatter: Connection) -> None:
    """What a new process does: see to its end and its limits, then to its steps."""
    gc.freeze()  # of what the libraries made, which never goes; else each collection walks over it for 0.2 s
    os.setsid()  # a process group: whatever it starts ends with it
    if sys.platform == "linux":  # the kernel ends the group with the sweep, even where Python hangs in native code
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETFL, fcntl.fcntl(lifeline.fileno(), fcntl.F_GETFL) | os.O_ASYNC)
        if job.device.startswith("cpu"):  # CUDA maps far more than it uses
            _limit_memory()
    for stream in (1, 2):  # a library's chatter must not tear the table
        os.dup2(chatter.fileno(), stream)
    worker.main(steps, job, answers, lifeline)


def _limit_memory() -> None:
    """Refuse this process what the machine has not left, so that it fails alone and the machine never swaps for it."""
    most = psutil.Process().memory_info().data + spare_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    given = [value for value in (soft, hard) if value != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([most, *given]), hard))


def _nameless_file() -> IO[bytes]:
    """A file in the temporary folder that is gone with the last process that has it open."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        advice = how_to_write(error, "another folder in the variable TMPDIR")
        raise UserError(f"cannot write to the temporary folder: {reason(error)}; {advice}") from error


def _explain_death(exitcode: int | None, log: IO[bytes], kills_before: int | None, outcome: Outcome) -> None:
    """A worker ended without an answer: say how."""
    log.seek(0)
    text = log.read().decode(errors="replace")
    last = " | ".join(text.split("\n")[-4:]).strip(" |")
    outcome.status, outcome.crashed = "failed", True
    if exitcode == -signal.SIGKILL and _oom_kills() != kills_before:
        outcome.status = "oom"
        outcome.reason = "killed by the system for want of memory"
    elif any(words in last for words in OUT_OF_MEMORY):
        outcome.status = "oom"
        outcome.reason = "out of memory, and not enough left to say where"
    elif exitcode is not None and exitcode < 0:
        outcome.reason = f"ended by {signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else -exitcode}"
    else:
        outcome.reason = f"the worker ended with exit code {exitcode} and no answer"
    outcome.detail = without_folders(last)[:500]


def _oom_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since it started; `None` where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _end(process: BaseProcess) -> None:
    """See a worker off: asked first, so that training can save where it stands, then made to, with all it started."""
    if process.pid is None:  # never started
        return
    if process.is_alive():
        process.terminate()
        process.join(GRACE_S)
    with suppress(ProcessLookupError, PermissionError):  # none left, or only the dead
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():  # it had no group yet
        process.kill()
    process.join()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Keep Ctrl-C from what is started in here: it is the sweep's to answer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
