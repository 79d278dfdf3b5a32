"""The one exception that means "the user can mend this"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.lazy import Lazy

if TYPE_CHECKING:
    import difflib
    import traceback
else:  # for those who err
    difflib, traceback = Lazy("difflib"), Lazy("traceback")


class UserError(ValueError):
    """A mistake the user can mend: what was given, what is allowed, what to do next.

    The command line prints it as one line and exits with code 2; library callers catch it as a `ValueError`.
    """


class ModelError(UserError):
    """A `UserError` that lies in one model or its recipe: a sweep records it and goes on with the others."""


@contextmanager
def blamed_on(model: str) -> Iterator[None]:
    """Turn what a model raises while it runs into one line that names the model."""
    try:
        yield
    except (UserError, BrokenPipeError):  # the latter is of a pipe that is printed to
        raise
    except Exception as error:  # a network of one's own may assert, import, read a file …
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:300]
        place = f"{Path(where.filename).name}:{where.lineno}"
        raise ModelError(f"{model} failed: {type(error).__name__}: {said} ({place})") from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest known words, or an empty string."""
    close = difflib.get_close_matches(word, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""


def counted(count: int, noun: str, nouns: str = "") -> str:
    """Return how many there are of a thing: `"1 cell"`, `"2 cells"`; `nouns`: its plural, where that is no `s` more."""
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"


def listed(words: Iterable[str], count: int = 3) -> str:
    """Return the first words and how many there are beyond: `"a, b, c and 2 more"`."""
    words = list(words)
    return ", ".join(words[:count]) + (f" and {len(words) - count} more" if len(words) > count else "")


def grouped(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each note of a model; those that differ in its name alone are one, which says MODEL for it."""
    alike = dict[str, dict[str, str]]()
    for model, note in notes:
        pattern = re.sub(rf"(?<![\w.-]){re.escape(model)}(?![\w-])", "MODEL", note)
        alike.setdefault(pattern, {})[model] = note
    return [
        f"{listed(said)}: {pattern if len(said) > 1 else next(iter(said.values()))}" for pattern, said in alike.items()
    ]
