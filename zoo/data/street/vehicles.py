"""Cars, trucks, buses and trams: boxes with textured faces, seen along the street or across it."""

from __future__ import annotations

import numpy as np

from zoo.data.street.canvas import Color, Ints, Mask, Skin, disc, ellipse, rect, shaded, smooth
from zoo.data.street.skins import flat
from zoo.data.street.stage import GLASS, PAINTS, TYRE, Stage

_BUS_PAINTS: tuple[Color, ...] = ((190, 160, 40), (170, 40, 36), (60, 90, 140), (200, 200, 196), (70, 130, 84))
_TRAM_PAINTS: tuple[Color, ...] = ((196, 184, 140), (160, 30, 40), (210, 210, 206), (60, 110, 90))

Part = tuple[tuple[int, int], int, tuple[int, int], Skin, Skin, Color]
"""Extent along the vehicle, inset from its flanks, heights, side, end and top."""
Vehicle = tuple[int, int, list[Part]]
"""Length, width and boxes; the near end is at 0."""


def vehicle(stage: Stage, name: str, x: int, z: int, *, facing_us: bool, across: bool = False) -> None:
    """Place a vehicle: its middle at `x`, its near end at `z`, along the street or across it."""
    dice = stage.dice
    length, width, parts = _PARTS[name](stage, facing_us)
    label, instance = stage.new_object(name)
    half = (length if across else width) // 2
    deep = width if across else length
    stage.shadow((x - half, x + half), (z, z + deep), 84)
    mirror = across and dice.chance(50)
    for (a0, a1), inset, heights, side, end, top in parts:
        if across:
            lo, hi = (length - a1, length - a0) if mirror else (a0, a1)
            flipped = _mirrored(side, a1 - a0) if mirror else side
            box_x, box_z = (x - half + lo, x - half + hi), (z + inset, z + width - inset)
            stage.canvas.box(box_x, heights, box_z, end, flipped, top, label, instance)
        else:
            box_x, box_z = (x - half + inset, x + half - inset), (z + a0, z + a1)
            stage.canvas.box(box_x, heights, box_z, side, end, top, label, instance)


def _car(stage: Stage, facing_us: bool) -> Vehicle:
    dice = stage.dice
    paint = dice.vary(dice.pick(PAINTS), 14)
    length, width = dice.between(390, 470), dice.between(172, 186)
    waist, roof = dice.between(84, 96), dice.between(142, 168)
    hatch = dice.chance(50)
    tail = dice.between(10, 40) if hatch else dice.between(60, 90)
    hood = dice.between(95, 125)
    near, far = (hood, tail) if facing_us else (tail, hood)
    lights: Color = (236, 236, 220) if facing_us else (190, 24, 28)
    wheels = (82, length - 82)

    def side(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        color = shaded(paint, 176 + v - 40 * (v < 44) + 24 * (v > waist - 10))
        color[np.abs(u - length // 2) < 2] = (20, 20, 22)
        color[rect(u, v, length // 2 + 16, length // 2 + 38, waist - 24, waist - 18)] = (150, 150, 150)
        solid = v > 24
        for center in wheels:
            color[disc(u, v, (center, 32), 38)] = (16, 16, 18)
            wheel = disc(u, v, (center, 31), 31)
            color[wheel] = TYRE
            color[disc(u, v, (center, 31), 19)] = (138, 140, 144)
            color[disc(u, v, (center, 31), 6)] = (60, 60, 62)
            solid = solid | wheel
        color[rect(u, v, 0, 20, waist - 30, waist - 12)] = lights
        return color, solid

    def end(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        color = shaded(paint, 170 + v - 70 * (v < 46))
        lamp = rect(np.minimum(u, width - u), v, 6, 40, waist - 32, waist - 12)
        color[lamp] = lights
        if facing_us:
            color[rect(u, v, 48, width - 48, 42, waist - 14)] = (34, 36, 38)
        plate = rect(np.abs(u - width // 2), v, 0, 27, 40, 52)
        color[plate] = (226, 224, 214)
        tyres = np.minimum(u, width - u) < 24
        color[tyres & (v < 24)] = TYRE
        color[(v < 30) & (v >= 24)] = (30, 30, 32)
        return color, (v > 22) | tyres

    high = roof - waist + 12  # its foot is sunk into the body, so that no gap shows
    cabin_length = length - near - far

    def glasshouse(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        color = shaded(paint, 200 + v)
        slope = np.minimum(u - v * 30 // high, cabin_length - u - v * 45 // high)
        pane = (slope > 10) & (v < high - 9) & (np.abs(u - cabin_length // 2) > 5)
        color[pane] = shaded(GLASS, 170 + v + ((u + v) % 120 >> 1))[pane]
        return color, slope > 0

    def screen(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        wide = width - 24
        color = shaded(paint, 200 + v)
        slope = np.minimum(u, wide - u) - v * 16 // high
        pane = (slope > 9) & (v < high - 8) & (v > 3)
        color[pane] = shaded(GLASS, 180 + v + ((u - v) % 90 >> 1))[pane]
        return color, slope > 0

    bonnet = shaded(paint, np.full(1, 270, np.int32))[0]
    top: Color = (int(bonnet[0]), int(bonnet[1]), int(bonnet[2]))
    return (
        length,
        width,
        [
            ((0, length), 0, (0, waist), side, end, top),
            ((near, length - far), 12, (waist - 12, roof), glasshouse, screen, top),
        ],
    )


def _coach(
    stage: Stage, paint: Color, length: int, width: int, height: int, facing_us: bool, *, tram: bool
) -> tuple[Skin, Skin]:
    """Side and end of a bus or a tram."""
    dice = stage.dice
    band = dice.vary(dice.pick(PAINTS), 20)
    pillar = dice.between(120, 190)
    low = 125 if tram else 110
    lamps: Color = (244, 240, 220) if facing_us else (200, 26, 28)
    wheels = (260, length - 290) if length > 700 else (150, length - 150)

    def side(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        color = shaded(paint, 190 + (v >> 2) + (smooth(u, v, 6, stage.seed) >> 4))
        color[rect(u, v, 0, length, 60, low - 18)] = shaded(band, 200 + (v >> 2))[rect(u, v, 0, length, 60, low - 18)]
        pane = rect(u % pillar, v, 9, pillar - 9, low, height - 75)
        color[pane] = shaded(GLASS, 150 + ((u + v) % 140 >> 1) + (v >> 2))[pane]
        door = rect((u + 40) % 520, v, 0, 110, 35, height - 65)
        color[door] = shaded((46, 52, 58), 200 + ((u * 2) % 60))[door]
        if tram:
            color[v > height - 40] = (120, 122, 120)
            color[v < 42] = (48, 48, 50)
            color[u % 900 < 26] = (36, 36, 38)  # the bellows
            return color, v > 14
        solid = v > 32
        for center in wheels:
            wheel = disc(u, v, (center, 46), 46)
            color[wheel] = TYRE
            color[disc(u, v, (center, 46), 22)] = (120, 120, 118)
            solid = solid | wheel
        return color, solid

    def end(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        color = shaded(paint, 200 + (v >> 2))
        edge = np.minimum(u, width - u)
        color[(v > 55) & (v < low - 20)] = band
        pane = (edge > (22 if tram else 12)) & (v > low - (10 if facing_us else -40)) & (v < height - 62)
        color[pane] = shaded(GLASS, 150 + (v >> 1) + ((u + v) % 110 >> 1))[pane]
        color[rect(edge, v, 40, width, height - 52, height - 24)] = (236, 170, 50) if facing_us else (40, 42, 44)
        color[rect(edge, v, 12, 42, 58, 84)] = lamps
        color[v < 42] = (44, 44, 46)
        corner = (edge + (height - v) > 30) if tram else (edge + (height - v) > 10)
        return color, corner & ((v > 26) | (edge < 32))

    return side, end


def _bus(stage: Stage, facing_us: bool) -> Vehicle:
    paint = stage.dice.vary(stage.dice.pick(_BUS_PAINTS), 14)
    length, height = stage.dice.between(950, 1250), stage.dice.between(295, 330)
    side, end = _coach(stage, paint, length, 250, height, facing_us, tram=False)
    return length, 250, [((0, length), 0, (0, height), side, end, paint)]


def _train(stage: Stage, facing_us: bool) -> Vehicle:
    paint = stage.dice.vary(stage.dice.pick(_TRAM_PAINTS), 10)
    length = stage.dice.between(2400, 3400)
    side, end = _coach(stage, paint, length, 240, 350, facing_us, tram=True)
    gear = flat(stage.dice, (96, 98, 98))
    return (
        length,
        240,
        [
            ((0, length), 0, (0, 350), side, end, paint),
            ((200, 800), 60, (350, 385), gear, gear, (90, 90, 90)),
        ],
    )


def _truck(stage: Stage, facing_us: bool) -> Vehicle:
    dice = stage.dice
    paint, cargo = (
        dice.vary(dice.pick(PAINTS), 14),
        dice.vary(dice.pick(((214, 212, 206), (190, 190, 188), (70, 90, 130), (168, 130, 60), (96, 110, 90))), 16),
    )
    body, cab, width, height = dice.between(420, 720), 190, 244, dice.between(310, 380)
    length = body + cab
    seed = dice.bits() & 0xFFFFFF

    def box_side(u: Ints, v: Ints) -> tuple[Ints, None]:
        color = shaded(cargo, 196 + (v >> 3) + (smooth(u, v, 6, seed) >> 3) - 22 * (u % 60 < 3))
        logo = ellipse(u, v, (body // 2, 160), (body // 4, 46))
        color[logo] = shaded(paint, np.full(u.shape, 256, np.int32))[logo]
        return color, None

    def box_end(u: Ints, v: Ints) -> tuple[Ints, None]:
        color = shaded(cargo, 200 + (v >> 3) + (smooth(u, v, 6, seed) >> 3))
        color[(np.abs(u - width // 2) < 3) | (v < 8) | (u < 7) | (u > width - 8)] = (80, 80, 82)
        color[(np.abs(np.abs(u - width // 2) - 28) < 3) & (v > 20)] = (150, 150, 150)
        return color, None

    def chassis(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        color = np.zeros((*u.shape, 3), np.int32) + np.array((40, 40, 42))
        solid = v > 60
        for center in (70, 180, length - 110):
            wheel = disc(u, v, (center, 48), 48)
            color[wheel] = TYRE
            color[disc(u, v, (center, 48), 22)] = (110, 108, 104)
            solid = solid | wheel
        return color, solid

    def rear(u: Ints, v: Ints) -> tuple[Ints, Mask]:
        edge = np.minimum(u, width - u)
        color = np.zeros((*u.shape, 3), np.int32) + np.array((44, 44, 46))
        color[rect(edge, v, 8, 46, 64, 84)] = (244, 240, 220) if facing_us else (196, 26, 28)
        color[rect(edge, v, 90, 200, 66, 82)] = (220, 218, 204)
        return color, (v > 58) | (edge < 44)

    def cab_side(u: Ints, v: Ints) -> tuple[Ints, None]:
        color = shaded(paint, 200 + (v >> 2))
        pane = rect(u, v, 30, cab - 40, 75, 160)
        color[pane] = GLASS
        return color, None

    def cab_end(u: Ints, v: Ints) -> tuple[Ints, None]:
        color = shaded(paint, 200 + (v >> 2))
        edge = np.minimum(u, width - u)
        pane = rect(edge, v, 14, width, 85, 165)
        color[pane] = shaded(GLASS, 170 + ((u + v) % 110 >> 1))[pane]
        color[rect(edge, v, 44, width, 8, 52)] = (36, 38, 40)
        color[rect(edge, v, 8, 40, 10, 34)] = (240, 238, 220)
        return color, None

    cab_a, body_a = ((0, cab), (cab + 20, length)) if facing_us else ((body, length), (0, body - 20))
    return (
        length,
        width,
        [
            ((0, length), 0, (0, 92), chassis, rear, (50, 50, 52)),
            (body_a, 0, (92, height), box_side, box_end, cargo),
            (cab_a, 4, (85, 275), cab_side, cab_end, paint),
        ],
    )


def _mirrored(skin: Skin, length: int) -> Skin:
    return lambda u, v: skin(length - 1 - u, v)


_PARTS = {"car": _car, "truck": _truck, "bus": _bus, "train": _train}
