"""int8 that loses too much: the remedies one after the other, until one holds against fp32 (protocol, rule 14)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from zoo.errors import UserError, counted
from zoo.holding import Held
from zoo.quantisation import Attempt, Quantisation
from zoo.runtimes import onnx_file
from zoo.runtimes.base import UnsupportedError
from zoo.runtimes.quantising import DEFAULT, Quantiser, Way, remedies

MOST_S = 600.0
"""No further remedy is begun after so long."""


def best_of(
    file: Path,
    quantiser: Callable[[], Quantiser],
    measure: Callable[[Path], Held],
    runtime: str,
    tell: Callable[[str], None],
) -> Quantisation:
    """Try what may help until the file keeps its mIoU; the file is then that one, else the best of them.

    Args:
        file: int8 by the default; it is replaced.
        quantiser: Makes other int8 of the same network.
        measure: Holds a file against fp32.
        runtime: It is for.
        tell: Takes a line of progress.

    Returns:
        How the file was made, and what was tried.
    """
    start, best, held = time.monotonic(), DEFAULT, measure(file)
    attempts = [Attempt(way=DEFAULT.name, miou_lost=held.miou_lost)]
    if not held.loses_miou:
        return _summary(best, held, attempts)
    tell(f"int8: {_said(DEFAULT, held)}, more than 1 % of it: looking for a remedy")
    made, draft = quantiser(), file.with_name(f"other{file.suffix}")
    for way in remedies(runtime):
        if time.monotonic() - start > MOST_S:
            attempts.append(Attempt(way=way.name, why_not=f"not tried: {MOST_S / 60:.0f} minutes had gone"))
            continue
        if reason := made.why_not(way):
            attempts.append(Attempt(way=way.name, why_not=reason))
            tell(f"int8: no {way.name}: {reason}")
            continue
        tell(f"int8: trying {way.name}")
        try:
            onnx_file.quantise(made, way, draft)
            found = measure(draft)
        except (UserError, UnsupportedError) as error:
            attempts.append(Attempt(way=way.name, why_not=str(error)))
            tell(f"int8: no {way.name}: {error}")
            continue
        attempts.append(Attempt(way=way.name, miou_lost=found.miou_lost))
        tell(f"int8: {_said(way, found)}")
        if found.miou_lost < held.miou_lost:
            best, held = way, found
            draft.replace(file)
        if not held.loses_miou:
            break
    draft.unlink(missing_ok=True)
    return _summary(best, held, attempts)


def _said(way: Way, held: Held) -> str:
    return f"{way.name} loses {100 * held.miou_lost:.2f} points of mIoU on {counted(held.image_count, 'image')}"


def _summary(way: Way, held: Held, attempts: list[Attempt]) -> Quantisation:
    return Quantisation(way=way.name, holds=not held.loses_miou, attempts=tuple(attempts), image_count=held.image_count)
