"""Worker processes: started cheaply, watched, ended when they overstay, never outliving the sweep."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zoo.bench import worker
from zoo.errors import UserError
from zoo.record import Status

PRELOAD = ["zoo.bench.worker"]
"""What the fork server imports, once: all of torch, torchvision, smp and timm."""


GRACE_S = 15.0
"""What training gets to save where it stands."""


@dataclass
class Outcome:
    """What a worker sent before it ended. `status` is `"ok"` when every stage answered."""

    answers: dict[str, Any] = field(default_factory=dict)
    status: Status = "ok"
    stage: str = ""
    """The stage that gave no answer."""
    reason: str = ""
    detail: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds a stage; `start` is that of the process."""


class Workshop:
    """Runs stages in fresh processes: a fork server on Linux (0.02 s a process), spawn elsewhere."""

    def __init__(self) -> None:
        self._context: ForkServerContext | SpawnContext
        if sys.platform == "linux":
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(PRELOAD)
            with _interrupts_ignored():  # the server and all its workers inherit that
                forkserver.ensure_running()
        else:
            self._context = multiprocessing.get_context("spawn")
        # Workers hold the reading end; when the sweep dies, however it dies, they read its end and go.
        self._lifeline, self._grip = self._context.Pipe(duplex=False)
        self._logs = tempfile.TemporaryDirectory(prefix="zoo-workers-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._grip.close()
        self._lifeline.close()
        self._logs.cleanup()

    def run(
        self, stages: list[str], job: worker.Job, *, timeout_s: float, on_note: Callable[[str, str], None] | None = None
    ) -> Outcome:
        """Run `stages` in one new process and return what it sent; it is gone when this returns, whatever happens.

        Args:
            stages: Names in `worker.STAGES`, run in order.
            job: What they work on.
            timeout_s: Seconds each stage may take.
            on_note: Called with (stage, line of progress).

        Raises:
            UserError: the worker found a mistake that is the user's to mend.
        """
        log = Path(self._logs.name) / "worker.log"
        log.unlink(missing_ok=True)
        answers, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=worker.main, args=(stages, job, sender, self._lifeline, log))
        outcome, kills_before = Outcome(stage=stages[0]), _oom_kills()
        try:
            with _interrupts_ignored() if isinstance(self._context, SpawnContext) else nullcontext():
                process.start()
            sender.close()
            self._listen(stages, answers, process.sentinel, timeout_s, outcome, on_note)
        finally:
            _end(process)
            answers.close()
        if outcome.status == "ok" and outcome.stage:
            _explain_death(process.exitcode, log, kills_before, outcome)
        return outcome

    @staticmethod
    def _listen(
        stages: list[str],
        answers: Connection,
        sentinel: int,
        timeout_s: float,
        outcome: Outcome,
        on_note: Callable[[str, str], None] | None,
    ) -> None:
        began = time.monotonic()
        while outcome.stage:
            deadline = began + timeout_s
            wait([answers, sentinel], timeout=max(0.0, deadline - time.monotonic()))
            try:
                if not answers.poll():
                    if time.monotonic() >= deadline:
                        outcome.status, outcome.reason = "timeout", f"no answer within {timeout_s:g} s"
                    return
                kind, content = answers.recv()
            except (EOFError, OSError):  # gone, perhaps in the middle of a message
                return
            if kind == "start":
                outcome.seconds["start"] = time.monotonic() - began
                began = time.monotonic()
            elif kind == "note":
                if on_note:
                    on_note(outcome.stage, content)
            elif kind == "trouble":
                if content.status == "user":
                    raise UserError(content.reason)
                outcome.status, outcome.reason, outcome.detail = content.status, content.reason, content.detail
                return
            else:
                outcome.answers[kind] = content
                outcome.seconds[kind] = time.monotonic() - began
                remaining = stages[stages.index(kind) + 1 :]
                outcome.stage = remaining[0] if remaining else ""
                began = time.monotonic()


def _explain_death(exitcode: int | None, log: Path, kills_before: int | None, outcome: Outcome) -> None:
    """A worker ended without an answer: say how."""
    outcome.status = "failed"
    if exitcode == -signal.SIGKILL and _oom_kills() != kills_before:
        outcome.status = "oom"
        outcome.reason = "killed by the system for want of memory"
    elif exitcode is not None and exitcode < 0:
        outcome.reason = f"ended by {signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else -exitcode}"
    else:
        outcome.reason = f"the worker ended with exit code {exitcode} and no answer"
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    outcome.detail = worker.without_folders(" | ".join(text.split("\n")[-4:]).strip(" |"))[:500]


def _oom_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since it started; `None` where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _end(process: BaseProcess) -> None:
    """See a worker off: asked first, so that training can save where it stands, then made to."""
    if process.pid is None:  # never started
        return
    if process.is_alive():
        process.terminate()
        process.join(GRACE_S)
    if process.is_alive():
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
