"""Textures: functions from a surface's own coordinates (cm) to colours."""

from __future__ import annotations

import numpy as np

from zoo.data.street.canvas import Color, Dice, Ints, Mask, Skin, grain, rect, shaded, smooth
from zoo.data.street.stage import CLOTHES

_WALLS: tuple[Color, ...] = (
    (176, 160, 138), (150, 92, 74), (196, 186, 168), (128, 124, 120), (188, 148, 96), (110, 96, 90), (160, 168, 172),
    (204, 176, 136), (140, 112, 92), (96, 104, 112),
)  # fmt: skip


def facade(dice: Dice) -> Skin:
    """Floors of windows, often above shops."""
    seed = dice.bits() & 0xFFFFFF
    base = dice.vary(dice.pick(_WALLS), 22)
    trim = dice.vary((206, 202, 194), 20)
    floor, pitch = dice.between(280, 360), dice.between(170, 320)
    margin = dice.between(pitch // 5, pitch // 3)
    sill, lintel = dice.between(70, 110), dice.between(30, 60)
    shop = dice.between(300, 400) if dice.chance(60) else 0
    brick = dice.chance(45)
    awning = dice.vary(dice.pick(CLOTHES), 30)
    shutters = dice.chance(25)

    def skin(u: Ints, v: Ints) -> tuple[Ints, None]:
        shade = 216 + (smooth(u, v, 8, seed) >> 3) + (smooth(u >> 1, v >> 4, 5, seed + 1) >> 4)
        if brick:
            row = v // 16
            shade = shade + (grain((u + (row & 1) * 15) // 30, row, seed + 2) >> 3) - 26 * ((v % 16) < 3)
        else:
            shade = shade + (grain(u >> 2, v >> 2, seed + 2) >> 4)
        color = shaded(base, shade)
        fu, fv = u % pitch, (v - shop) % floor
        upper = v >= shop
        color[upper & (fv < 14)] = shaded(trim, shade)[upper & (fv < 14)]
        frame = upper & rect(fu, fv, margin - 12, pitch - margin + 12, sill - 14, floor - lintel + 10)
        color[frame] = trim
        if shutters:
            side = upper & (np.abs(fu - pitch // 2) > pitch // 2 - margin) & frame
            color[side] = (86, 96, 84)
        pane = upper & rect(fu, fv, margin, pitch - margin, sill, floor - lintel) & (np.abs(fu - pitch // 2) > 4)
        kind = grain(u // pitch, (v - shop) // floor, seed + 3)
        glass = shaded((72, 84, 96), 130 + (kind >> 1) + ((v - u) % 97 >> 1))
        curtain = (kind > 200) & (fv > floor // 2)
        glass[curtain] = (168, 162, 150)
        color[pane] = glass[pane]
        if shop:
            window = rect(u % (pitch * 2), v, 24, pitch * 2 - 24, 45, shop - 95)
            color[window] = shaded((66, 74, 82), 150 + (grain(u // 35, v // 60, seed + 4) >> 1))[window]
            color[rect(u, v, 0, 1 << 20, shop - 90, shop - 22)] = awning
            door = rect(u % (pitch * 4), v, pitch, pitch + 100, 0, 215)
            color[door] = (70, 52, 40)
        color[v < 30] = shaded((110, 106, 102), shade)[v < 30]
        return color, None

    return skin


def masonry(dice: Dice) -> Skin:
    """Rows of rough stones."""
    seed = dice.bits() & 0xFFFFFF
    base = dice.vary(dice.pick(((150, 142, 130), (132, 124, 118), (160, 122, 100), (170, 166, 160))), 14)

    def skin(u: Ints, v: Ints) -> tuple[Ints, None]:
        row = v // 28
        offset = (u + grain(row, row * 0, seed)) // 56
        shade = 176 + (grain(offset, row, seed) >> 2) + (smooth(u, v, 6, seed) >> 3) - 60 * ((v % 28) < 4)
        shade = shade - 40 * (((u + grain(row, row * 0, seed)) % 56) < 4)
        return shaded(base, shade), None

    return skin


def fence(dice: Dice, height: int) -> Skin:
    """Planks, bars or wire mesh; what shows through the gaps is dim greenery."""
    seed = dice.bits() & 0xFFFFFF
    style = dice.pick(("planks", "bars", "mesh"))
    base = dice.vary({"planks": (124, 92, 62), "bars": (60, 66, 62), "mesh": (128, 132, 130)}[style], 14)

    def skin(u: Ints, v: Ints) -> tuple[Ints, Mask | None]:
        shade = 196 + (grain(u // 14, u * 0, seed) >> 2) + (smooth(u, v, 4, seed) >> 3)
        color = shaded(base, shade)
        rails = (np.abs(v - 25) < 7) | (np.abs(v - height + 14) < 7)
        posts = u % 220 < 12
        if style == "planks":
            color[u % 14 < 2] = (52, 40, 30)
            return color, v < height - 8 * ((u // 14) % 2)
        gaps = (u % 15 > 5) if style == "bars" else ((u + v) % 16 > 3) & ((u - v) % 16 > 3)
        through = gaps & ~rails & ~posts  # annotated as fence, like the real set does
        color[through] = shaded((112, 116, 92), 150 + (smooth(u, v, 6, seed + 1) >> 1))[through]
        return color, None

    return skin


def leafy(dice: Dice, base: Color) -> Skin:
    """Foliage, lighter towards the top."""
    seed = dice.bits() & 0xFFFFFF

    def skin(u: Ints, v: Ints) -> tuple[Ints, None]:
        shade = (
            70 + (smooth(u, v, 4, seed) >> 2) + (smooth(u, v, 6, seed + 1) >> 2) + (grain(u // 6, v // 6, seed) >> 1)
        )
        return shaded(base, shade + np.minimum(v >> 2, 60)), None

    return skin


def flat(dice: Dice, color: Color) -> Skin:
    """One colour with stains, lighter towards the top."""
    seed = dice.bits() & 0xFFFFFF
    return lambda u, v: (shaded(color, 206 + (v >> 2) + (smooth(u, v, 5, seed) >> 3)), None)
