"""Label maps in the classes' colours made label values. Free of torch."""

from __future__ import annotations

import numpy as np

from zoo.data.classes import CLASSES_FILE
from zoo.data.spelling import BLACK, Color, Pixels, codes_of, known_values, value_colors
from zoo.errors import UserError, counted
from zoo.spec import IGNORE_INDEX, DatasetSpec


def ids_of_colors(colors: Pixels, what: str, spec: DatasetSpec, *, train_ids: bool, ignore_others: bool) -> Pixels:
    """`(H, W, 3)` RGB → `(H, W)` label values.

    Args:
        colors: The pixels.
        what: They are of, for messages.
        spec: The classes.
        train_ids: Whether train ids are wanted, not label ids.
        ignore_others: Pixels in a colour that no class has count nowhere.

    Raises:
        UserError: a colour that no class has, unless it counts nowhere.
    """
    table, none = _table(spec, train_ids), _no_class(spec, train_ids)
    packed = codes_of(colors)
    present, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    rgb = [(int(color) >> 16, (int(color) >> 8) & 255, int(color) & 255) for color in present]
    values = [table.get(color) for color in rgb]
    others = [color for color, value in zip(rgb, values, strict=True) if value is None]
    if others and (not ignore_others or none is None):
        pixels = sum(int(count) for value, count in zip(values, counts, strict=True) if value is None)
        how = (
            f"list a value that counts nowhere in {CLASSES_FILE}'s ignored"
            if none is None
            else f"correct the colours in {CLASSES_FILE}, or give --ignore-other-colors to have them count nowhere"
        )
        colours = counted(len(others), "colour")
        raise UserError(f"{what} has {counted(pixels, 'pixel')} in {colours} of no class, such as {others[0]}; {how}")
    return np.array([none if value is None else value for value in values], np.uint8)[places].reshape(packed.shape)


def _table(spec: DatasetSpec, train_ids: bool) -> dict[Color, int]:
    """Colour → the first label value that has it; black that is no class's counts nowhere."""
    table: dict[Color, int] = {}
    for value, color in value_colors(spec, train_ids=train_ids).items():
        table.setdefault(color, value)
    if (none := _no_class(spec, train_ids)) is not None:
        table.setdefault(BLACK, none)
    return table


def _no_class(spec: DatasetSpec, train_ids: bool) -> int | None:
    """The first label value that counts nowhere."""
    known = known_values(spec, train_ids=train_ids)
    return next((value for value, train_id in known.items() if train_id == IGNORE_INDEX), None)
