"""What the protocols are called, and the words they fix; their rules stand in `measure/PROTOCOL.md`.

Plain, as is all that a table of kept rows needs: records with their validation are imported by those who read them.
"""

from __future__ import annotations

from typing import Literal

SPEED_PROTOCOL = "zoo-lat/3"
"""`zoo-lat/1` timed one scope after the other; `/2` times both in turn; `/3` times networks folded and merged."""
SPEED_PROTOCOLS = "zoo-lat/1", "zoo-lat/2", SPEED_PROTOCOL
"""All that records were timed by, one call after the other."""
ACCURACY_PROTOCOL = "zoo-miou/1"
PACED_PROTOCOL = "zoo-paced/1"
COLD_PROTOCOL = "zoo-cold/1"

RUNTIMES = "eager", "compile", "aoti", "onnxruntime", "openvino", "tensorrt"
"""Names of those there are, in the order of tables; what each is stands in `runtimes/table.py`."""

DEFAULT_WAY = "min-max calibration"
"""Of int8: what is tried first."""

StageName = Literal["copy_in", "preprocess", "network", "upsample_argmax", "copy_out"]
"""Stages of the pipeline scope, in order."""
