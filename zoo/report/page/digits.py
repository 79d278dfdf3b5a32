"""How many digits of a number a page has."""

from __future__ import annotations

from decimal import ROUND_05UP, Context

DECIDING, SHOWN = 10, 4
"""Significant ones; a pixel of 10⁹ and a nanosecond of some seconds make a difference."""
_DECIDING, _SHOWN = Context(DECIDING, ROUND_05UP), Context(SHOWN, ROUND_05UP)
"""What is left over is cut off, but leaves no 0 or 5 behind, which would be taken as exact: what was cut rounds
further, and keeps a limit of fewer digits, as all digits would."""


def decided_by(value: float) -> float:
    """What limits, ties and orders are decided by; even the last digits of a float, which are chance, break a limit."""
    return float(_DECIDING.create_decimal(repr(float(value))))


def only_shown(value: float) -> float:
    """What is shown, and at most held to a limit of fewer digits, without the last digits of a float."""
    return float(_SHOWN.create_decimal(f"{value:.12g}"))
