"""How many digits of a number a page has."""

from __future__ import annotations

from decimal import ROUND_05UP, Context

DECIDING = 10
"""Of what limits, ties and orders are decided by: a pixel of 10⁹ and a nanosecond of some seconds make a difference."""
SHOWN = 4
"""Of what is shown, and at most held to a limit of fewer digits."""
_CUT = {digits: Context(digits, ROUND_05UP) for digits in (DECIDING, SHOWN)}


def cut(value: float, digits: int = DECIDING) -> float:
    """Of fewer digits, from which the page rounds as from all of them, and so as every table does.

    What is left over is cut off, but leaves no 0 or 5 behind, which would be taken as exact, and kept to a limit.
    """
    return float(_CUT[digits].create_decimal(f"{value:.12g}"))  # the last digits of a float are chance
