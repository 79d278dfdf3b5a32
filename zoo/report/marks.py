"""What stands before a row of a table, and what it says."""

from __future__ import annotations

from zoo.score.rows import LEAST_CLASS_SHARE, MAX_CLASS_LOSS, MAX_MIOU_LOSS

BEST, FRONT, FASTEST, LOST, HURT, UNDER = "★", "◆", "●", "▽", "†", "▼"
MARKS = {
    FRONT: "on the Pareto front of mIoU and pipeline latency",
    FASTEST: "fastest artifact of its model",
    LOST: f"loses more than {100 * MAX_MIOU_LOSS:g} % of its fp32 mIoU",
    HURT: f"a class of ≥ {LEAST_CLASS_SHARE:.1%} of the pixels loses over {100 * MAX_CLASS_LOSS:g} points of IoU",
    UNDER: "under baseline",
}
"""In this order."""
