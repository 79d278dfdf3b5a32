"""Why a worker could not answer, in words that name no folder of this machine."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from zoo.errors import ModelError, UserError
from zoo.runtimes.base import UnsupportedError

OUT_OF_MEMORY = (
    "MemoryError", "std::bad_alloc", "annot allocate memory", "can't allocate memory", "ailed to allocate memory",
    "CUDA error: out of memory", "STATUS_ALLOC_FAILED",
)  # fmt: skip
"""What libraries say that have no memory left, each in its own way."""


@dataclass(frozen=True)
class Trouble:
    """Why a step gave no answer, as the worker saw it."""

    status: str
    reason: str
    detail: str


def trouble_of(error: BaseException) -> Trouble:
    """Name the trouble that an exception is."""
    reason = " ".join(str(error).split()) or type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    trace = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    reason = without_folders(reason)
    if isinstance(error, UnsupportedError):
        return Trouble("unsupported", reason, "")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in reason for words in OUT_OF_MEMORY):
        return Trouble("oom", f"out of memory: {reason[:200]}", trace)
    if isinstance(error, UserError) and not isinstance(error, ModelError):
        return Trouble("user", " ".join(str(error).split()), "")
    kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
    return Trouble("failed", kind + reason[:300], trace)


def without_folders(text: str) -> str:
    """Leave only the file name of each absolute path: no folder of this machine ever stands in a record."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\":,;|]+/)+", "", text)
