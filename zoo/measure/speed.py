"""How fast a machine multiplies and adds, in a second: a measure to estimate by, not a result."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

from zoo.measure.clock import clock_of

SECONDS = 0.7
WIDTH, SIZE = 128, (64, 128)
"""Channels and pixels of the convolution: as the middle of a network has them."""


def macs_per_s(device: torch.device) -> float:
    """Multiply-accumulates a second of one 3x3 convolution in fp32, with this process's threads."""
    image = torch.rand(1, WIDTH, *SIZE, device=device).to(memory_format=torch.channels_last)
    weights = torch.rand(WIDTH, WIDTH, 3, 3, device=device).to(memory_format=torch.channels_last)
    clock, laps = clock_of(device), list[float]()
    ends = time.monotonic() + SECONDS
    with torch.inference_mode():
        while len(laps) < 4 or time.monotonic() < ends:
            laps += clock.laps(lambda _: F.conv2d(image, weights, padding=1), 0, 1)
    return WIDTH * WIDTH * 9 * SIZE[0] * SIZE[1] / sorted(laps[1:])[len(laps) // 2]
