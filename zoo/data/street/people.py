"""People: on foot, on bicycles and on motorcycles."""

from __future__ import annotations

import numpy as np

from zoo.data.street.canvas import Color, Mask, capsule, disc, ellipse, polygon, rect, shaded, smooth
from zoo.data.street.stage import CLOTHES, PAINTS, TYRE, Stage

_SKINS: tuple[Color, ...] = ((224, 182, 154), (190, 140, 110), (130, 88, 64), (92, 62, 46))


def person(stage: Stage, x: int, z: int) -> None:
    """Someone on foot, standing or walking."""
    canvas, dice = stage.canvas, stage.dice
    label, instance = stage.new_object("person")
    tall = dice.between(150, 188) if dice.chance(85) else dice.between(95, 135)
    stage.shadow((x - 20, x + 20), (z - 10, z + 30))
    patch = canvas.facing(z, x - 55, x + 55, 0, 200)
    if patch is None:
        return
    u, v = (patch.u - 55) * 172 // tall, patch.v * 172 // tall
    coat, trousers = dice.vary(dice.pick(CLOTHES), 18), dice.vary(dice.pick(CLOTHES), 12)
    skin, hair = (
        dice.pick(_SKINS),
        dice.pick(((40, 30, 24), (90, 66, 40), (20, 18, 18), (150, 130, 90), (140, 140, 140))),
    )
    stride, lean = dice.between(3, 24), dice.between(-3, 3)

    folds = smooth(u + v * 0, v + u * 0, 3, instance) >> 3
    shade = np.clip(236 - stage.sun * u * 2 + folds, 150, 330)

    def part(mask: Mask, color: Color) -> None:
        canvas.paint(patch, shaded(color, shade), label, mask, instance)

    skirt = dice.chance(20)
    for sign in (-1, 1):
        part(capsule(u, v, (sign * 7, 84), (sign * stride, 8), 8), skin if skirt else trousers)
        part(
            capsule(u, v, (sign * stride, 5), (sign * stride + 8 * (1 if stride > 10 else sign), 4), 5),
            (28, 24, 24),
        )
    if skirt:
        part(polygon(u, v, (-20, 58), (20, 58), (12, 98), (-12, 98)), trousers)
    swing = dice.between(-14, 14)
    part(capsule(u, v, (-19, 134), (-24 - swing, 92), 6), coat)
    part(capsule(u, v, (19, 134), (24 - swing, 92), 6), coat)
    part(capsule(u, v, (0, 88), (lean, 132), 17), coat)
    part(disc(u, v, (-24 - swing, 88), 5) | disc(u, v, (24 - swing, 88), 5), skin)
    part(capsule(u, v, (lean, 140), (lean, 152), 6), skin)
    part(ellipse(u, v, (lean, 160), (10, 12)), skin)
    part(ellipse(u, v, (lean, 164), (11, 9)) & (v > 160 - 6 * skirt), hair)
    if dice.chance(35):  # a bag
        part(rect(u, v, 16, 34, 60, 90), dice.vary(dice.pick(CLOTHES), 20))


def two_wheeler(stage: Stage, name: str, x: int, z: int, *, ridden: bool, across: bool) -> None:
    """A bicycle or motorcycle with its rider, seen from the side or along the street."""
    canvas, dice = stage.canvas, stage.dice
    motor = name == "motorcycle"
    label, instance = stage.new_object(name)
    paint = dice.vary(dice.pick(PAINTS), 30)
    reach = 115 if across else 55
    stage.shadow((x - (95 if across else 25), x + (95 if across else 25)), (z - 10, z + (40 if across else 120)))
    patch = canvas.facing(z, x - reach, x + reach, 0, 215)
    if patch is None:
        return
    u, v = patch.u - reach, patch.v
    if across and dice.chance(50):
        u = -u
    thin = canvas.thin(z, 3)

    def part(mask: Mask, color: Color | None, *, new: bool = True) -> None:
        canvas.paint(patch, color, label if new else None, mask, instance)

    if across and motor:
        for center in (-68, 68):
            part(disc(u, v, (center, 32), 32), TYRE)
            part(disc(u, v, (center, 32), 18), (120, 120, 122), new=False)
        part(polygon(u, v, (-85, 84), (-20, 70), (10, 40), (-40, 34)), dice.vary((44, 44, 46), 10))
        part(ellipse(u, v, (0, 46), (38, 24)), (96, 96, 98))
        part(ellipse(u, v, (16, 80), (36, 20)), paint)
        part(capsule(u, v, (-90, 88), (0, 82), 10), (26, 26, 28))
        part(capsule(u, v, (68, 32), (44, 96), max(thin, 6)), (140, 140, 144))
        part(capsule(u, v, (44, 96), (26, 110), max(thin, 5)), (30, 30, 32))
        part(capsule(u, v, (-80, 36), (0, 28), max(thin, 6)), (160, 158, 156))
    elif across:
        for center in (-54, 54):
            ring = disc(u, v, (center, 34), 34)
            part(ring, None)
            part(ring & ~disc(u, v, (center, 34), 34 - max(5, thin)), (36, 36, 38), new=False)
            part(disc(u, v, (center, 34), 5), (130, 130, 130), new=False)
        for a, b in (
            ((-54, 34), (-4, 30)),
            ((-54, 34), (-16, 84)),
            ((-4, 30), (-18, 90)),
            ((-16, 80), (38, 84)),
            ((-4, 30), (38, 78)),
            ((54, 34), (36, 96)),
        ):
            part(capsule(u, v, a, b, max(thin, 4)), paint)
        part(capsule(u, v, (36, 98), (22, 102), max(thin, 4)), (30, 30, 32))
        part(capsule(u, v, (-28, 92), (-8, 92), max(thin, 5)), (26, 24, 24))
    else:
        wide = 13 if motor else max(thin, 6)
        part(capsule(u, v, (0, wide), (0, 70), wide), TYRE)
        part(ellipse(u, v, (0, 66), (30 if motor else 11, 34)), paint)
        part(capsule(u, v, (-36, 104), (36, 104), max(thin, 4)), (34, 34, 36))
        part(capsule(u, v, (0, 60), (0, 104), max(thin, 5)), (60, 60, 64))
        if motor:
            part(disc(u, v, (0, 88), 11), (230, 226, 200) if dice.chance(50) else (180, 24, 26))
    if not ridden:
        return
    label, instance = stage.new_object("rider")
    coat, trousers, helmet = (
        dice.vary(dice.pick(CLOTHES), 16),
        dice.vary(dice.pick(CLOTHES), 12),
        dice.vary(dice.pick(PAINTS), 20),
    )
    seat = 92
    if across:
        part(capsule(u, v, (-14, seat), (22, 70), 10), trousers)
        part(capsule(u, v, (22, 70), (2, 28), 8), trousers)
        part(capsule(u, v, (-12, seat + 4), (4, 142), 16), coat)
        part(capsule(u, v, (4, 138), (34, 104), 6), coat)
        head = (12, 170)
    else:
        for sign in (-1, 1):
            part(capsule(u, v, (sign * 10, seat), (sign * (24 if motor else 16), 40), 9), trousers)
            part(capsule(u, v, (sign * 18, 138), (sign * 33, 106), 7), coat)
        part(capsule(u, v, (0, seat + 8), (0, 138), 20), coat)
        head = (0, 170)
    part(disc(u, v, head, 14), dice.pick(_SKINS))
    part(disc(u, v, (head[0], head[1] + 5), 14) & (v > head[1] - (8 if motor else -1)), helmet)
