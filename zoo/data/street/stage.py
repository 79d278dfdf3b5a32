"""What every drawn thing needs: the canvas, the dice, the light, and the palettes they share."""

from __future__ import annotations

from zoo.data.street.canvas import Canvas, Color, Dice
from zoo.labels import LABELS

ID = {label.name: label.id for label in LABELS}

PAINTS: tuple[Color, ...] = (
    (28, 30, 34), (188, 190, 194), (226, 226, 224), (92, 96, 104), (140, 20, 24), (24, 48, 110), (60, 72, 64),
    (170, 160, 140), (200, 150, 30), (52, 100, 140), (44, 44, 48), (120, 124, 130),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (30, 32, 40), (50, 60, 96), (120, 30, 34), (180, 178, 170), (70, 70, 74), (36, 80, 60), (150, 110, 70),
    (200, 120, 40), (96, 60, 110), (20, 20, 22), (60, 110, 160),
)  # fmt: skip
LEAVES: tuple[Color, ...] = ((66, 92, 38), (86, 108, 44), (50, 76, 40), (104, 110, 48), (74, 88, 56))
GLASS: Color = (58, 70, 80)
TYRE: Color = (24, 24, 26)
LIGHTS = ("sunny", "sunny", "overcast", "overcast", "low sun", "dull")


class Stage:
    """The canvas of one frame, the dice that decide, and the light it is drawn in."""

    def __init__(self, size: tuple[int, int], dice: Dice) -> None:
        self.dice = dice
        self.seed = dice.bits() & 0xFFFFFF
        self.canvas = Canvas(
            size,
            horizon_percent=dice.between(40, 48),
            vanish_percent=dice.between(40, 60),
            eye=dice.between(125, 165),
        )
        self.sun = dice.pick((-1, 1))
        """Side the sun stands on: -1 left, 1 right."""
        self.light = dice.pick(LIGHTS)
        self._counts: dict[int, int] = {}

    @property
    def casts_shadows(self) -> bool:
        """True when the sun shines."""
        return self.light in ("sunny", "low sun")

    def shadow(self, x: tuple[int, int], z: tuple[int, int], strength: int = 110) -> None:
        """Darken the ground below an object of this extent, to the side the sun does not stand on."""
        shift = -self.sun * 90 if self.casts_shadows else 0
        patch = self.canvas.floor(0, min(x[0], x[0] + shift) - 8, max(x[1], x[1] + shift) + 8, z[0] - 25, z[1] + 15)
        self.canvas.darken(patch, strength if self.casts_shadows else strength + 50)

    def new_object(self, name: str) -> tuple[int, int]:
        """Label id and instance id of a new object."""
        label = ID[name]
        count = self._counts.get(label, 0)
        self._counts[label] = count + 1
        return label, label * 1000 + count
