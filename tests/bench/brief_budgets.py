"""Preloaded by the fork server of these tests: everything is measured for milliseconds."""

from __future__ import annotations

from dataclasses import replace

from zoo.measure import clock, cold, pace

for name in ("FULL", "QUICK", "WATERFALL", "RATE_QUICK"):
    brief = replace(getattr(clock, name), warmup_s=0.0, warmup_cap_s=0.05, sample_s=0.0)
    setattr(clock, name, brief)
clock.FULL = replace(clock.FULL, warmup_count=2, sample_count=20)
for name in ("PACED", "PACED_QUICK"):
    brief = replace(getattr(pace, name), warmup_count=2, warmup_s=0.0, warmup_cap_s=0.05, sample_count=20, sample_s=0.0)
    setattr(pace, name, brief)
pace.UNCOUNTED_S = 0.0
cold.COUNT = 1
for name in ("BLOCK", "BLOCK_QUICK"):
    setattr(clock, name, replace(getattr(clock, name), seconds=0.0))
