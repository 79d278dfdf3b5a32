"""Commands that zoo advises: they go on with the folders that it was given.

Advice is worded deep inside, where no flag is known: in errors, notes, remedies. So the command line says once what it
was given (`giving`), and whoever prints a sentence for a person passes it through `carried`. A command behind the word
"there" is for another machine, where those folders need not be: it stays.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Flags = Mapping[str, str]
"""Such as `--results` → the folder."""

Given = Callable[[], Mapping[str, Flags]]
"""Finds by verb (`bench`, `weights list`) the flags that it takes, which needs the parsers of all."""

_GIVEN: ContextVar[Given | None] = ContextVar("given", default=None)
_HERE = re.compile(r"(?<!there )`(zoo [^`]+)`")
_STANDS_FOR_ONE = "DIR"
_LOOKS_ELSEWHERE = {"--machine", "--predictions"}
"""With these a verb refuses folders that it takes else."""


@contextmanager
def giving(find: Given | None) -> Iterator[None]:
    """Have advice carry flags, which are found when the first advice is given; `None`: nothing was."""
    token = _GIVEN.set(find and functools.cache(find))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def carried(text: str) -> str:
    """Return a sentence with each of its commands, which stand in backticks, as `carried_command` has it."""
    return _HERE.sub(lambda found: f"`{carried_command(found[1])}`", text) if _GIVEN.get() else text


def carried_command(command: str) -> str:
    """Return a command, or several joined by `&&`, with what was given; one that is the reader's own stays."""
    return " && ".join(map(_carried, command.split(" && ")))


def _carried(command: str) -> str:
    words, find = command.split(), _GIVEN.get()
    verbs = find() if find else {}
    verb = next((name for name in (" ".join(words[1:3]), *words[1:2]) if name in verbs), None)
    if verb is None or "…" in words or _LOOKS_ELSEWHERE & {*words}:
        return command
    for flag, value in verbs[verb].items():
        if flag not in words:
            command += f" {flag} {shlex.quote(value)}"
        else:
            command = command.replace(f"{flag} {_STANDS_FOR_ONE}", f"{flag} {shlex.quote(value)}")
    return command
