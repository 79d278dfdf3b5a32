"""Which ONNX Runtime takes which ONNX file: literal, so that a card can say it without asking anybody.

Source: https://onnxruntime.ai/docs/reference/compatibility.html
"""

from __future__ import annotations

from zoo.errors import UserError

OPSET = 20
"""Operator set of a file, where none is asked for."""
RELEASES: tuple[tuple[str, int, int], ...] = (
    ("1.14", 18, 8),
    ("1.15", 19, 8),
    ("1.16", 19, 9),
    ("1.17", 20, 9),
    ("1.18", 21, 10),
)
"""Release of ONNX Runtime, highest operator set, highest IR version; a later one takes at least as much."""
OPSETS = range(18, RELEASES[-1][1] + 1)
"""Those that can be written: the exporter has none below, and the table knows none above."""


def require_opset(opset: int) -> None:
    """Refuse an operator set that cannot be written.

    Raises:
        UserError: with those that can.
    """
    if opset not in OPSETS:
        oldest = oldest_onnxruntime(OPSETS[0], 0)
        raise UserError(
            f"--opset takes {OPSETS[0]} (ONNX Runtime {oldest} and newer) to {OPSETS[-1]}; got {opset}: leave it out "
            f"for {OPSET}, or choose one of these"
        )


def oldest_onnxruntime(opset: int, ir_version: int) -> str | None:
    """Oldest release that takes such a file, such as `"1.17"`; `None`: newer than the table."""
    return next((name for name, highest, ir in RELEASES if opset <= highest and ir_version <= ir), None)
