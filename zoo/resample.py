"""Antialiased bilinear resizing out of convolutions alone: what an exported graph holds.

`F.interpolate(…, antialias=True)` becomes ONNX's `Resize` with an attribute that not every runtime honours: OpenVINO
2026.4 drops it without a word (seen: 1.7 % of CamVid's labels change).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.spec import Size


def resize_by_convolution(x: Tensor, size: Size) -> Tensor:
    """`F.interpolate(x, size, mode="bilinear", antialias=True)`, up to rounding.

    The filter is the triangle that Pillow and torch use, as wide as the scale where the image shrinks; at the border
    its weights are cut and add up to one again. Where `target / source = p / q` in lowest terms, output `p * i + r`
    sees the input from `q * i` on through weights that depend on `r` alone: a strided convolution of `p` channels.

    Args:
        x: `(N, C, H, W)`.
        size: `(height, width)` of the answer.

    Returns:
        `(N, C, *size)`.
    """
    n, c, height, width = x.shape
    x = x.reshape(n * c, 1, height, width)
    if size[0] != height:
        kernel, norm, pad, stride = _filters(height, size[0], x.device)  # (p, T), (p, g)
        x = F.conv2d(F.pad(x, (0, 0, *pad)), kernel[:, None, :, None], stride=(stride, 1)) * norm[None, :, :, None]
        x = x.transpose(1, 2).reshape(n * c, 1, size[0], width)  # (NC, p, g, W) → (NC, 1, g * p, W)
    if size[1] != width:
        kernel, norm, pad, stride = _filters(width, size[1], x.device)
        x = F.conv2d(F.pad(x, pad), kernel[:, None, None, :], stride=(1, stride)) * norm[None, :, None, :]
        x = x.permute(0, 2, 3, 1).reshape(n * c, 1, size[0], size[1])  # (NC, p, H, g) → (NC, 1, H, g * p)
    return x.reshape(n, c, *size)


def _filters(source: int, target: int, device: torch.device) -> tuple[Tensor, Tensor, tuple[int, int], int]:
    """Weights `(p, T)`, what makes each output's weights add up to one `(p, g)`, padding and stride of one axis."""
    groups = math.gcd(source, target)
    phases, stride = target // groups, source // groups
    scale = source / target
    support = max(1.0, scale)
    centers = [(phase + 0.5) * scale for phase in range(phases)]
    first = min(math.floor(center - support + 0.5) for center in centers)  # relative to stride * i
    taps = max(math.floor(center + support + 0.5) for center in centers) - first
    pad = -first, stride * (groups - 1) + taps - source + first
    at = torch.arange(first, first + taps, dtype=torch.float64) + 0.5
    kernel = (1 - (at - torch.tensor(centers, dtype=torch.float64)[:, None]).abs() / support).clamp(min=0)
    inside = F.pad(torch.ones(1, 1, source, dtype=torch.float64), pad)
    norm = 1 / F.conv1d(inside, kernel[:, None], stride=stride)[0]
    return kernel.float().to(device), norm.float().to(device), pad, stride
