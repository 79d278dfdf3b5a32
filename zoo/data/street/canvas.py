"""An integer rasteriser for street scenes: world centimetres in, pixels out, the same on every machine.

The camera looks along z from `eye` above the ground; x grows to the right, y up. Everything is made of flat patches
that face the camera, run along the street or lie on the ground; a depth buffer decides who is in front. No floating
point, no library's anti-aliasing, no library's random numbers: a pixel depends on the files of this folder alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
Color = tuple[int, int, int]
Skin = Callable[[Ints, Ints], tuple[Ints, Mask | None]]
"""A patch's local coordinates (cm) → its colours `(h, w, 3)`, and where it is solid (`None`: everywhere)."""
T = TypeVar("T")

FAR = 1 << 28
_U, _V, _MIX = np.uint32(374761393), np.uint32(668265263), np.uint32(1274126177)
_MASK = (1 << 64) - 1


class Dice:
    """Splitmix64 (https://prng.di.unimi.it/splitmix64.c), seeded by any number of integers."""

    def __init__(self, *seeds: int) -> None:
        self._state = 0
        for seed in seeds:
            self._state = (self.bits() ^ seed) & _MASK

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.bits() % (high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 throws."""
        return self.bits() % 100 < percent

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.bits() % len(choices)]

    def vary(self, color: Color, by: int) -> Color:
        """A colour near `color`: lighter or darker as a whole, a little different per channel."""
        whole = self.between(-by, by)
        red, green, blue = (min(255, max(0, c + whole + self.between(-by // 4, by // 4))) for c in color)
        return red, green, blue


def grain(u: Ints, v: Ints, seed: int) -> Ints:
    """Hash of every cell `(u, v)` to 0…255."""
    return _mixed(u.astype(np.uint32) * _U + (v.astype(np.uint32) * _V + _seed(seed)))


def smooth(u: Ints, v: Ints, shift: int, seed: int) -> Ints:
    """Value noise 0…255 with cells of `2**shift` units, interpolated linearly."""
    one = 1 << shift
    fu, fv = u & (one - 1), v & (one - 1)
    left = (u >> shift).astype(np.uint32) * _U
    bottom = (v >> shift).astype(np.uint32) * _V + _seed(seed)
    right, top = left + _U, bottom + _V
    rest = one - fu
    near = (_mixed(left + bottom) * rest + _mixed(right + bottom) * fu) >> shift
    far = (_mixed(left + top) * rest + _mixed(right + top) * fu) >> shift
    return (near * (one - fv) + far * fv) >> shift


def _seed(seed: int) -> NDArray[np.uint32]:
    return np.array([seed & 0xFFFFFFFF], np.uint32)


def _mixed(h: NDArray[np.uint32]) -> Ints:
    """Scramble a fresh array in place and keep 8 bits."""
    h ^= h >> 13
    h *= _MIX
    h ^= h >> 16
    h &= 255
    return h.view(np.int32)


def shaded(color: Color, shade: Ints) -> Ints:
    """`color` times `shade / 256`: `(h, w)` → `(h, w, 3)`."""
    shade = shade.astype(np.int32, copy=False)
    out = np.empty((*shade.shape, 3), np.int32)
    for channel, value in enumerate(color):  # three long loops, not many of length three
        np.multiply(shade, value, out=out[..., channel])
    out >>= 8
    return out


def disc(u: Ints, v: Ints, center: tuple[int, int], radius: int) -> Mask:
    """Inside a circle."""
    du, dv = u - center[0], v - center[1]
    return du * du + dv * dv <= radius * radius


def ellipse(u: Ints, v: Ints, center: tuple[int, int], radii: tuple[int, int]) -> Mask:
    """Inside an axis-parallel ellipse."""
    du, dv = (u - center[0]) * radii[1], (v - center[1]) * radii[0]
    reach = radii[0] * radii[1]
    return du.astype(np.int64) ** 2 + dv.astype(np.int64) ** 2 <= reach * reach


def rect(u: Ints, v: Ints, u0: int, u1: int, v0: int, v1: int) -> Mask:
    """Inside `[u0, u1) x [v0, v1)`."""
    return (u >= u0) & (u < u1) & (v >= v0) & (v < v1)


def capsule(u: Ints, v: Ints, a: tuple[int, int], b: tuple[int, int], radius: int) -> Mask:
    """Within `radius` of the segment from `a` to `b`."""
    du, dv = b[0] - a[0], b[1] - a[1]
    length2 = du * du + dv * dv
    ends = disc(u, v, a, radius) | disc(u, v, b, radius)
    along = (u - a[0]) * du + (v - a[1]) * dv
    across = ((u - a[0]) * dv - (v - a[1]) * du).astype(np.int64)
    return ends | ((along >= 0) & (along <= length2) & (across * across <= radius * radius * length2))


def polygon(u: Ints, v: Ints, *corners: tuple[int, int]) -> Mask:
    """Inside a convex polygon, corners in either turning direction."""
    left = np.ones(np.broadcast_shapes(u.shape, v.shape), bool)
    right = left.copy()
    for a, b in zip(corners, (*corners[1:], corners[0]), strict=True):
        side = (b[0] - a[0]) * (v - a[1]) - (b[1] - a[1]) * (u - a[0])
        left &= side >= 0
        right &= side <= 0
    return left | right


@dataclass(frozen=True)
class Patch:
    """The pixels a flat piece may cover, with local coordinates (cm) that broadcast to the window's `(h, w)`."""

    rows: slice
    columns: slice
    u: Ints
    v: Ints
    depth: Ints


class Canvas:
    """Image, label ids, instance ids and depth of one frame while it is drawn."""

    def __init__(self, size: tuple[int, int], *, horizon_percent: int, vanish_percent: int, eye: int) -> None:
        height, width = self.size = size
        self.eye = eye
        self.focal2 = max(width, height * 3 // 2) * 9 // 4  # twice the focal length in pixels
        self.image = np.zeros((height, width, 3), np.int32)
        self.label = np.zeros(size, np.uint8)
        self.instance = np.zeros(size, np.uint16)
        self.depth = np.full(size, FAR, np.int32)
        self.horizon = height * horizon_percent // 100
        self.vanish = width * vanish_percent // 100
        self._x = (
            2 * (np.arange(width, dtype=np.int32) - self.vanish)[None, :] + 1
        )  # half pixels from the vanishing point
        self._y = 2 * (np.arange(height, dtype=np.int32) - self.horizon)[:, None] + 1

    def thin(self, z: int, radius: int) -> int:
        """`radius`, but at least what covers one pixel at depth `z`."""
        return max(radius, z // self.focal2 + 1)

    def facing(self, z: int, x0: int, x1: int, y0: int, y1: int) -> Patch | None:
        """A rectangle that faces the camera at depth `z`; local u, v start at its lower left corner."""
        if z <= 0:
            return None
        columns = self._columns(self.focal2 * x0 // z, -(-self.focal2 * x1 // z))
        rows = self._rows(self.focal2 * (self.eye - y1) // z, -(-self.focal2 * (self.eye - y0) // z))
        u = self._x[:, columns] * z // self.focal2 - x0
        v = self.eye - self._y[rows] * z // self.focal2 - y0
        return self._patch(rows, columns, u, v, np.full((1, 1), z, np.int32), x1 - x0, y1 - y0)

    def along(self, x: int, z0: int, z1: int, y0: int, y1: int) -> Patch | None:
        """A wall beside the street at `x`; local u runs from its near end, v from its foot."""
        if x == 0 or z1 <= max(z0, 1):
            return None
        z0 = max(z0, 1)
        ends = sorted((self.focal2 * x // z0, self.focal2 * x // z1))
        columns = self._columns(ends[0] - 2, ends[1] + 2)
        rows = self._rows(
            min(self.focal2 * (self.eye - y1) // z for z in (z0, z1)) - 2,
            max(self.focal2 * (self.eye - y0) // z for z in (z0, z1)) + 2,
        )
        steps = self._x[:, columns]
        steps = steps[:, (steps[0] > 0) == (x > 0)]
        if x > 0:
            columns = slice(columns.stop - steps.shape[1], columns.stop)
        else:
            columns = slice(columns.start, columns.start + steps.shape[1])
        z = self.focal2 * x // steps
        v = self.eye - self._y[rows] * z // self.focal2 - y0
        return self._patch(rows, columns, z - z0, v, z, z1 - z0, y1 - y0)

    def floor(self, y: int, x0: int, x1: int, z0: int, z1: int) -> Patch | None:
        """A level rectangle below the eye; local u runs along x, v along z."""
        drop = self.eye - y
        if drop <= 0 or z1 <= 0:
            return None
        z0 = max(z0, 1)
        rows = self._rows(self.focal2 * drop // z1, self.focal2 * drop // z0 + 2)
        rows = slice(max(rows.start, self.horizon), rows.stop)
        columns = self._columns(
            min(self.focal2 * x0 // z for z in (z0, z1)), max(self.focal2 * x1 // z for z in (z0, z1)) + 2
        )
        if rows.stop <= rows.start:
            return None
        z = self.focal2 * drop // self._y[rows]
        u = self._x[:, columns] * drop // self._y[rows] - x0
        return self._patch(rows, columns, u, z - z0, z, x1 - x0, z1 - z0)

    def paint(
        self,
        patch: Patch | None,
        color: Ints | Color | None,
        label: int | None,
        mask: Mask | None = None,
        instance: int = 0,
    ) -> None:
        """Draw where nothing nearer stands. `color=None` labels what shows through; `label=None` only colours."""
        if patch is None:
            return
        window = (patch.rows, patch.columns)
        seen = patch.depth <= self.depth[window]
        if mask is not None:
            seen &= mask
        if color is not None:
            colors = np.asarray(color, np.int32)
            for channel in range(3):
                np.copyto(self.image[window][..., channel], colors[..., channel], where=seen)
        if label is not None:
            np.copyto(self.label[window], np.uint8(label), where=seen)
            np.copyto(self.instance[window], np.uint16(instance or label), where=seen)
            np.copyto(self.depth[window], patch.depth, where=seen)

    def darken(self, patch: Patch | None, shade: int, mask: Mask | None = None) -> None:
        """Multiply the colours below a patch by `shade / 256`, as a shadow does."""
        if patch is None:
            return
        window = (patch.rows, patch.columns)
        seen = patch.depth <= self.depth[window]
        if mask is not None:
            seen &= mask
        self.image[window][seen] = (self.image[window][seen] * shade) >> 8

    def skin(self, patch: Patch | None, skin: Skin, label: int, instance: int = 0) -> None:
        """Draw a patch with a texture."""
        if patch is None:
            return
        shape = np.broadcast_shapes(patch.u.shape, patch.v.shape)
        colors, mask = skin(np.broadcast_to(patch.u, shape), np.broadcast_to(patch.v, shape))
        self.paint(patch, colors, label, mask, instance)

    def box(
        self,
        x: tuple[int, int],
        y: tuple[int, int],
        z: tuple[int, int],
        side: Skin,
        end: Skin,
        top: Color,
        label: int,
        instance: int = 0,
    ) -> None:
        """Draw the visible faces of a box: top, the side towards the middle of the street, the near end."""
        if y[1] < self.eye:
            self.skin(
                self.floor(y[1], *x, *z),
                lambda u, _: (shaded(top, np.full(u.shape, 256, np.int32)), None),
                label,
                instance,
            )
        if x[0] > 0:
            self.skin(self.along(x[0], *z, *y), side, label, instance)
        elif x[1] < 0:
            self.skin(self.along(x[1], *z, *y), side, label, instance)
        self.skin(self.facing(z[0], *x, *y), end, label, instance)

    def _columns(self, first: int, last: int) -> slice:
        """Half pixels from the vanishing point → a slice of columns."""
        width = self.size[1]
        return slice(min(width, max(0, self.vanish + first // 2)), min(width, max(0, self.vanish - (-last // 2))))

    def _rows(self, first: int, last: int) -> slice:
        height = self.size[0]
        return slice(min(height, max(0, self.horizon + first // 2)), min(height, max(0, self.horizon - (-last // 2))))

    def _patch(
        self, rows: slice, columns: slice, u: Ints, v: Ints, depth: Ints, width: int, height: int
    ) -> Patch | None:
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return None
        shape = np.broadcast_shapes(u.shape, v.shape)
        within = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        return Patch(rows, columns, u, v, np.where(np.broadcast_to(within, shape), depth, FAR + 1).astype(np.int32))
