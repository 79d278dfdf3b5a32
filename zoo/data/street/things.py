"""What stands beside the street: trees, bushes, poles, lamps, lights, signs and bins."""

from __future__ import annotations

import numpy as np

from zoo.data.street.canvas import Color, capsule, disc, ellipse, grain, polygon, rect, shaded, smooth
from zoo.data.street.skins import flat, leafy
from zoo.data.street.stage import ID, LEAVES, Stage


def tree(stage: Stage, x: int, z: int, height: int) -> None:
    """A trunk and a crown of ragged puffs."""
    canvas, dice = stage.canvas, stage.dice
    if z < 350:
        return
    seed = dice.bits() & 0xFFFFFF
    radius = height * dice.between(26, 38) // 100
    thick = canvas.thin(z, dice.between(10, 20))
    base = dice.vary(dice.pick(LEAVES), 16)
    stage.shadow((x - radius // 2, x + radius // 2), (z - radius // 3, z + radius // 3), 150)
    trunk = canvas.facing(z, x - 60, x + 60, 0, height * 6 // 10)
    if trunk is not None:
        mask = capsule(trunk.u, trunk.v, (60, 0), (60 + dice.between(-20, 20), height * 6 // 10), thick)
        bark = 150 + (grain(trunk.u // 5 + trunk.v * 0, trunk.v // 25 + trunk.u * 0, seed) >> 1)
        canvas.paint(trunk, shaded((86, 70, 56), bark), ID["vegetation"], mask)
    reach = radius * 2
    crown = canvas.facing(z, x - reach, x + reach, height - 3 * radius, height + radius)
    if crown is None:
        return
    shape = np.broadcast_shapes(crown.u.shape, crown.v.shape)
    u, v = np.broadcast_to(crown.u, shape), np.broadcast_to(crown.v, shape)
    puffs = [(reach, 2 * radius, radius)] + [
        (
            reach + dice.between(-radius, radius),
            2 * radius + dice.between(-radius, radius * 8 // 10),
            radius * dice.between(45, 75) // 100,
        )
        for _ in range(7)
    ]
    leaf = max(6, canvas.thin(z, 5))
    ragged = grain(u // leaf, v // leaf, seed)
    wobble = smooth(u, v, 5, seed + 3) - 128
    mask = np.zeros(shape, bool)
    light = np.zeros(shape, np.int32)
    for pu, pv, r in puffs:
        near2 = (u - pu) ** 2 + (v - pv) ** 2
        inside = near2 < (r + wobble * r // 300) ** 2
        mask |= inside & ((ragged > 90) | (near2 < (r * 8 // 10) ** 2))
        light[inside] = (90 + (v - pv + r) * 90 // (2 * r) - stage.sun * (pu - u) * 40 // r)[inside]
    shade = light + (ragged >> 2) + (smooth(u, v, 5, seed + 1) >> 2)
    canvas.paint(crown, shaded(base, np.clip(shade, 40, 330)), ID["vegetation"], mask)


def bush(stage: Stage, x: int, z: int) -> None:
    """Leaves down to the ground."""
    canvas, dice = stage.canvas, stage.dice
    wide, high = dice.between(50, 130), dice.between(60, 150)
    patch = canvas.facing(z, x - wide, x + wide, 0, high)
    if patch is not None:
        shape = np.broadcast_shapes(patch.u.shape, patch.v.shape)
        u, v = np.broadcast_to(patch.u, shape), np.broadcast_to(patch.v, shape)
        color, _ = leafy(dice, dice.pick(LEAVES))(u, v)
        mask = ellipse(u, v, (wide, high // 3), (wide, high * 2 // 3)) & (grain(u // 9, v // 9, stage.seed) > 40)
        canvas.paint(patch, color, ID["vegetation"], mask)


def post(stage: Stage, x: int, z: int, height: int, radius: int = 6, color: Color = (104, 106, 108)) -> None:
    """A pole; with height 95, a bollard."""
    canvas = stage.canvas
    radius = canvas.thin(z, radius)
    stage.shadow((x - radius, x + radius), (z - 5, z + 60), 150)
    patch = canvas.facing(z, x - radius, x + radius, 0, height)
    if patch is not None:
        shade = 200 + (patch.u * -stage.sun * 60 // radius) + patch.v * 0
        canvas.paint(patch, shaded(color, np.clip(shade, 130, 300)), ID["pole"])


def lamp(stage: Stage, x: int, z: int, side: int) -> None:
    """A street lamp that reaches over the road."""
    height = stage.dice.between(600, 850)
    post(stage, x, z, height, 8, (96, 100, 100))
    reach = stage.dice.between(120, 220)
    canvas = stage.canvas
    x0, x1 = sorted((x, x - side * reach))
    thick = canvas.thin(z, 5)
    canvas.paint(canvas.facing(z, x0, x1, height - 2 * thick, height), (92, 96, 98), ID["pole"])
    x0, x1 = sorted((x - side * reach, x - side * (reach - 70)))
    canvas.paint(canvas.facing(z, x0, x1, height - 25, height + 4), (168, 166, 150), ID["pole"])


def traffic_light(stage: Stage, x: int, z: int, side: int) -> None:
    """A traffic light on its pole; sometimes a second head hangs over the lane."""
    canvas, dice = stage.canvas, stage.dice
    height = dice.between(320, 360)
    post(stage, x, z, height, 8, (110, 112, 108))
    heads = [(x, height - 115)]
    if dice.chance(45):  # a second head over the lane
        reach = dice.between(200, 330)
        post(stage, x, z, 560, 8, (110, 112, 108))
        x0, x1 = sorted((x, x - side * reach))
        canvas.paint(canvas.facing(z, x0, x1, 545, 560), (104, 106, 104), ID["pole"])
        heads.append((x - side * reach, 450))
    lit = dice.between(0, 2)
    for center, low in heads:
        patch = canvas.facing(z - 12, center - 24, center + 24, low, low + 118)
        if patch is None:
            continue
        canvas.paint(patch, (26, 28, 28), ID["traffic light"])
        rim = rect(patch.u, patch.v, 4, 44, 4, 114)
        canvas.paint(patch, (40, 42, 42), None, rim)
        for lamp, color in enumerate(((60, 230, 130), (250, 190, 50), (250, 50, 40))):
            glow = color if lamp == lit else (color[0] // 5 + 14, color[1] // 5 + 14, color[2] // 5 + 14)
            canvas.paint(patch, glow, None, disc(patch.u, patch.v, (24, 24 + lamp * 35), 14))


def sign(stage: Stage, x: int, z: int) -> None:
    """One of six kinds of traffic sign on a pole."""
    canvas, dice = stage.canvas, stage.dice
    height = dice.between(230, 290)
    post(stage, x, z, height, 5, (130, 132, 134))
    kind = dice.pick(("ban", "warn", "info", "priority", "board", "stop"))
    half = {"board": dice.between(80, 120), "info": 42}.get(kind, 46)
    patch = canvas.facing(z - 8, x - half, x + half, height - 2 * min(half, 46), height + 4)
    if patch is None:
        return
    u, v = patch.u - half, patch.v - min(half, 46)
    label = ID["traffic sign"]
    if kind == "ban":
        canvas.paint(patch, (196, 30, 36), label, disc(u, v, (0, 0), 44))
        canvas.paint(patch, (228, 228, 224), None, disc(u, v, (0, 0), 33))
        canvas.paint(patch, (30, 30, 32), None, rect(u, v, -16, -3, -14, 15) | rect(u, v, 3, 16, -14, 15))
    elif kind == "warn":
        canvas.paint(patch, (200, 36, 40), label, polygon(u, v, (-46, -38), (46, -38), (0, 44)))
        canvas.paint(patch, (230, 228, 220), None, polygon(u, v, (-28, -27), (28, -27), (0, 24)))
    elif kind == "priority":
        canvas.paint(patch, (232, 232, 226), label, np.abs(u) + np.abs(v) < 45)
        canvas.paint(patch, (240, 190, 30), None, np.abs(u) + np.abs(v) < 33)
    elif kind == "stop":
        octagon = (np.abs(u) < 42) & (np.abs(v) < 42) & (np.abs(u) + np.abs(v) < 60)
        canvas.paint(patch, (190, 26, 34), label, octagon)
        canvas.paint(patch, (230, 230, 228), None, rect(u, v, -30, 30, -8, 9))
    else:
        canvas.paint(patch, dice.pick(((30, 80, 170), (230, 190, 40), (40, 110, 70), (226, 226, 222))), label)
        canvas.paint(
            patch,
            (236, 236, 232),
            None,
            rect(u, v, -half + 16, half - 20, 6, 16) | rect(u, v, -half + 16, 0, -22, -12),
        )


def litter_bin(stage: Stage, x: int, z: int) -> None:
    """A bin: void to Cityscapes, as all street furniture is."""
    stage.shadow((x - 25, x + 25), (z, z + 50))
    face = flat(stage.dice, stage.dice.pick(((50, 58, 54), (90, 92, 90), (140, 70, 30))))
    stage.canvas.box((x - 25, x + 25), (0, 95), (z, z + 50), face, face, (40, 42, 42), ID["static"])
