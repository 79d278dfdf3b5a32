"""Draws one synthetic street frame: image, label ids and instance ids. Integers only; lengths in centimetres.

A frame is planned from its number alone (so it is the same scene at any size): a street with lanes, pavements and two
rows of façades, then what stands and drives on it. `number` also deals out the rare classes in turn, so that each
appears in every few frames of any stretch of the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.data.street.canvas import FAR, Color, Dice, Ints, Mask, Skin, ellipse, grain, rect, shaded, smooth
from zoo.data.street.people import person, two_wheeler
from zoo.data.street.skins import facade, fence, leafy, masonry
from zoo.data.street.stage import ID, LEAVES, Stage
from zoo.data.street.things import bush, lamp, litter_bin, post, sign, traffic_light, tree
from zoo.data.street.vehicles import vehicle


class _Weather(NamedTuple):
    zenith: Color
    horizon: Color
    tint: Color
    """Colour of the light; 256 is white."""
    sight: int
    """Distance at which half of a colour is lost to haze."""


_WEATHERS = {
    "sunny": _Weather((84, 132, 200), (196, 214, 232), (266, 258, 244), 90000),
    "low sun": _Weather((120, 150, 196), (248, 220, 176), (280, 254, 220), 50000),
    "overcast": _Weather((196, 200, 206), (224, 226, 228), (238, 242, 248), 40000),
    "dull": _Weather((146, 152, 162), (186, 190, 194), (196, 202, 212), 26000),
}


@dataclass(frozen=True)
class Scene:
    """One drawn frame."""

    image: NDArray[np.uint8]
    """`(H, W, 3)`, RGB."""
    label_ids: NDArray[np.uint8]
    """`(H, W)`, Cityscapes label ids."""
    instance_ids: NDArray[np.uint16]
    """`(H, W)`: `id * 1000 + n` for classes with instances, else the label id."""


def draw(size: tuple[int, int], *, seed: int, number: int) -> Scene:
    """Draw frame `number` of the set `seed` at `size` (height, width)."""
    return _Street(size, seed, number).scene()


class _Street(Stage):
    """The plan of one frame, and its drawing."""

    def __init__(self, size: tuple[int, int], seed: int, number: int) -> None:
        dice = Dice(seed, number)
        super().__init__(size, dice)
        self.number = number
        self.has_train = number % 4 == 1
        self.left = -(dice.between(760, 900) if self.has_train else dice.pick((340, 520, 640, 720)))
        self.right = dice.pick((400, 420, 440, 560, 700))
        self.left_walk = self.left - dice.between(240, 480)
        self.right_walk = self.right + dice.between(240, 480)
        self.left_front = self.left_walk - dice.pick((0, 120, 240, 360))
        self.right_front = self.right_walk + dice.pick((0, 120, 240, 360))
        self.end = dice.between(7000, 16000)

    def scene(self) -> Scene:
        self._sky()
        self._skyline()
        self._ground()
        self._rows_of_houses()
        self._traffic()
        self._pavements()
        self._ego()
        image = self._develop()
        return Scene(image, self.canvas.label, self.canvas.instance)

    def _sky(self) -> None:
        canvas, dice = self.canvas, self.dice
        height, width = canvas.size
        y = (np.arange(height, dtype=np.int32) * 1024 // height)[:, None]
        x = (np.arange(width, dtype=np.int32) * 1024 // height)[None, :]
        weather = _WEATHERS[self.light]
        fall = np.minimum(y * 2, 1023)
        color = (_rgb(weather.zenith) * (1024 - fall)[..., None] + _rgb(weather.horizon) * fall[..., None]) >> 10
        cloud = (smooth(x, y * 3, 7, self.seed) * 2 + smooth(x, y * 3, 5, self.seed + 1)) // 3
        cover = np.clip((cloud - dice.between(110, 190)) * 4, 0, 200)[..., None]
        color = (color * (256 - cover) + _rgb((236, 236, 238)) * cover) >> 8
        canvas.image[:] = color
        canvas.label[:] = canvas.instance[:] = ID["sky"]

    def _skyline(self) -> None:
        """Distant houses and trees along the horizon."""
        canvas, dice = self.canvas, self.dice
        tall = dice.between(900, 2600)
        for z, kind in ((30000, "building"), (26000, "vegetation"), (22000, dice.pick(("building", "vegetation")))):
            patch = canvas.facing(z, -40000, 40000, 0, 6000)
            if patch is None:
                continue
            shape = np.broadcast_shapes(patch.u.shape, patch.v.shape)
            u, v = np.broadcast_to(patch.u, shape), np.broadcast_to(patch.v, shape)
            if kind == "building":
                block = u // dice.between(900, 1800)
                top = tall // 2 + grain(block, block * 0, self.seed + z) * tall // 256
                shade = (
                    150 + (grain(block, block * 0 + 1, self.seed) >> 2) - 50 * rect(u % 300, v % 350, 90, 210, 90, 250)
                )
                canvas.paint(patch, shaded((150, 146, 146), shade), ID[kind], v < top)
            else:
                top = 200 + smooth(u, u * 0, 10, self.seed + z) * tall // 300 + smooth(u, v, 7, self.seed) * 2
                shade = 150 + (smooth(u, v, 7, self.seed + 5) >> 1)
                canvas.paint(patch, shaded(dice.pick(LEAVES), shade), ID[kind], v < top)

    def _ground(self) -> None:
        canvas, dice, seed = self.canvas, self.dice, self.seed
        patch = canvas.floor(0, -40000, 40000, 1, 60000)
        if patch is None:
            return
        shape = np.broadcast_shapes(patch.u.shape, patch.v.shape)
        x, z = np.broadcast_to(patch.u, shape) - 40000, np.broadcast_to(patch.v, shape) + 1
        left, right = self.left, self.right
        fine = grain(np.arange(shape[1], dtype=np.int32)[None, :], np.arange(shape[0], dtype=np.int32)[:, None], seed)
        stain = (smooth(x, z, 7, seed + 11) + smooth(x, z >> 2, 5, seed + 12)) >> 1

        grass = shaded(
            dice.pick(((104, 116, 58), (128, 116, 82), (92, 110, 52), (140, 126, 92))), 190 + (stain >> 1) + (fine >> 3)
        )
        canvas.paint(patch, grass, ID["terrain"])

        paving = 206 + (stain >> 3) + (fine >> 4) + (grain(x // 50, z // 50, seed + 2) >> 4)
        joints = ((x % 50 < 4) | (z % 50 < 4)) & (z < 2500)
        stone = shaded(
            dice.pick(((158, 152, 146), (140, 140, 142), (168, 154, 136), (150, 130, 122))), paving - 34 * joints
        )
        walk = ((x >= self.left_walk) & (x < left)) | ((x > right) & (x <= self.right_walk))
        canvas.paint(patch, stone, ID["sidewalk"], walk)
        kerb = ((x >= left - 16) & (x < left)) | ((x > right) & (x <= right + 16))
        canvas.paint(patch, shaded((178, 176, 172), 200 + (fine >> 3)), ID["sidewalk"], kerb)

        base = dice.pick(((92, 92, 96), (78, 80, 84), (108, 106, 104), (96, 90, 88)))
        shade = 200 + (stain >> 2) + (fine >> 3)
        asphalt = shaded(base, shade - 40 * ((np.abs(x - 90 - (smooth(z, x * 0, 9, seed + 3) >> 3)) < 5) & (z < 3000)))
        road = (x >= left) & (x <= right)
        canvas.paint(patch, asphalt, ID["road"], road)
        white = shaded((214, 214, 206), 180 + (fine >> 2))
        dashes = (z + dice.between(0, 900)) % dice.pick((900, 1200)) < 420
        lanes = [line for line in (-165, 165) if left + 150 < line < right - 150]
        for line in lanes:
            solid = dice.chance(25)
            canvas.paint(patch, white, None, (np.abs(x - line) < 8) & (dashes | solid))
        if dice.chance(30):
            at = dice.between(900, 2200)
            canvas.paint(patch, white, None, road & (z > at) & (z < at + 320) & (x % 100 < 52))
        if self.has_train:
            for rail in (-700, -550):
                canvas.paint(patch, shaded((132, 124, 118), shade), None, np.abs(x - rail) < 6)
        for _ in range(dice.between(0, 3)):  # manholes and patches of newer tar
            at_x, at_z = dice.between(left + 60, right - 60), dice.between(700, 2500)
            mask = (
                ellipse(x, z, (at_x, at_z), (32, 32)) if dice.chance(50) else rect(x - at_x, z - at_z, 0, 120, 0, 400)
            )
            canvas.paint(patch, shaded(base, shade - 45), None, mask & road)
        if self.casts_shadows:  # the houses' shadow
            reach = dice.between(100, 500)
            edge = (self.left_front + reach) if self.sun < 0 else (self.right_front - reach)
            edges = edge + (grain(z // 1300, z * 0, seed) - 128) * 2
            canvas.darken(patch, 150, x < edges if self.sun < 0 else x > edges)

    def _rows_of_houses(self) -> None:
        dice = self.dice
        for side, front in ((-1, self.left_front), (1, self.right_front)):
            z = dice.between(-200, 300)
            turn = 0
            while z < self.end:
                turn += 1
                length = dice.between(900, 2400 if turn > 1 else 1300)
                kind = dice.pick(("building",) * 8 + ("hedge", "gap", "wall", "fence"))
                if turn == 2:  # each side shows one of the rarer borders close by
                    kind = ("wall", "fence")[(self.number + (side > 0)) % 2]
                    length = dice.between(1100, 1900)
                self._border(kind, side, front, z, z + length)
                z += length + (dice.between(300, 900) if dice.chance(18) else 0)
        self._street_end()

    def _street_end(self) -> None:
        dice, canvas = self.dice, self.canvas
        if dice.chance(60):
            width = dice.between(1500, 4000)
            patch_x = dice.between(-width, -width // 2)
            canvas.skin(
                canvas.facing(self.end, patch_x, patch_x + 2 * width, 0, dice.between(900, 2200)),
                facade(dice),
                ID["building"],
            )
        else:
            for _ in range(6):
                tree(self, dice.between(-1500, 1500), self.end + dice.between(-500, 500), dice.between(700, 1300))

    def _border(self, kind: str, side: int, front: int, z0: int, z1: int) -> None:
        canvas, dice = self.canvas, self.dice
        depth = dice.between(800, 1400)

        def place(deep: int, height: int, skin: Skin, label: int, top: Color = (120, 118, 114)) -> None:
            x = (front, front + deep) if side > 0 else (front - deep, front)
            canvas.box(x, (0, height), (max(z0, 1), z1), self._sunlit(skin, side), self._sunlit(skin, 0), top, label)

        if kind == "building":
            place(depth, dice.between(650, 1900), facade(dice), ID["building"])
        elif kind == "hedge":
            place(150, dice.between(110, 260), leafy(dice, dice.pick(LEAVES)), ID["vegetation"], (84, 100, 50))
        elif kind == "wall":
            place(40, dice.between(170, 300), masonry(dice), ID["wall"])
        elif kind == "fence":
            height = dice.between(150, 260)
            place(6, height, fence(dice, height), ID["fence"])
        if kind != "building":
            for _ in range(dice.between(1, 4)):
                tree(self, front + side * dice.between(300, 1500), dice.between(z0, z1), dice.between(450, 1000))
            if dice.chance(60):
                x = front + side * dice.between(1600, 2600)
                x_range = (x, x + 1500) if side > 0 else (x - 1500, x)
                skin = facade(dice)
                z_near = max(z0 + 200, 1)
                canvas.box(
                    x_range,
                    (0, dice.between(500, 1300)),
                    (z_near, z_near + 1500),
                    skin,
                    skin,
                    (110, 60, 50),
                    ID["building"],
                )

    def _sunlit(self, skin: Skin, side: int) -> Skin:
        """Façades on the sun's own side are in shade; ends get a middle light."""
        gains = {self.sun: 156, 0: 214, -self.sun: 284} if self.casts_shadows else {0: 256}
        gain = gains.get(side, 236)

        def lit(u: Ints, v: Ints) -> tuple[Ints, Mask | None]:
            color, mask = skin(u, v)
            return (color * gain) >> 8, mask

        return lit

    def _traffic(self) -> None:
        dice, number = self.dice, self.number
        left, right = self.left, self.right
        if self.has_train:
            vehicle(self, "train", -625, dice.between(900, 1900), facing_us=dice.chance(70))
        big = ("truck", "bus", "bus", "truck", "motorcycle", "bicycle")[number % 6]
        ego_z = dice.between(1100, 2200)
        if big in ("truck", "bus"):
            own_lane = dice.chance(50)
            if own_lane:
                vehicle(self, big, dice.between(-15, 25), dice.between(1300, 2400), facing_us=False)
            else:
                vehicle(self, big, -325 if left < -480 else -220, dice.between(1200, 2100), facing_us=True)
            ego_z = dice.between(4200, 6000) if own_lane else ego_z
        else:
            two_wheeler(self, big, dice.between(40, 110), dice.between(650, 900), ridden=True, across=dice.chance(35))
            ego_z = dice.between(1500, 2600)
            if not self.has_train and dice.chance(50):  # crossing traffic
                vehicle(
                    self,
                    dice.pick(("car", "car", "truck", "bus")),
                    dice.between(-500, 500),
                    dice.between(2600, 3600),
                    facing_us=True,
                    across=True,
                )
        z = ego_z
        while z < self.end:
            vehicle(self, "car", dice.between(-25, 25), z, facing_us=False)
            z += dice.between(900, 3500)
        if left < -480:
            z = dice.between(2700, 3300) if big in ("truck", "bus") else dice.between(800, 2200)
            while z < self.end:
                vehicle(
                    self, dice.pick(("car", "car", "car", "truck")), -325 + dice.between(-20, 20), z, facing_us=True
                )
                z += dice.between(1000, 4000)
        for edge, side in ((right, 1), (left, -1)):
            room = edge * side > (390 if side > 0 else 600)
            if not room or (side < 0 and self.has_train) or dice.chance(40):
                continue
            z = dice.between(450, 900)
            while z < self.end * 2 // 3:
                if dice.chance(78):
                    kind = "truck" if z > 1600 and dice.chance(8) else "car"
                    vehicle(self, kind, edge - side * (108 if kind == "car" else 135), z, facing_us=side < 0)
                z += dice.between(540, 640) + (450 if dice.chance(10) else 0)

    def _pavements(self) -> None:
        dice, number = self.dice, self.number
        for side, kerb, walk in ((-1, self.left, self.left_walk), (1, self.right, self.right_walk)):
            edge = kerb + side * 35
            inner, outer = sorted((kerb + side * 70, walk - side * 30))
            near = abs(kerb) * 21 // 10  # where the kerb enters the picture
            first = dice.between(700, 1500)
            for z in range(first, self.end, dice.between(2200, 3200)):
                lamp(self, edge, z, side)
            green = dice.chance(35)
            for z in range(dice.between(1000, 1800), self.end, dice.between(1100, 2200)):
                if green:
                    tree(self, edge + side * 30, z, dice.between(420, 760))
            for _ in range(dice.between(1, 3)):
                sign(self, edge, dice.between(800, 2600))
            if number % 2 == (side > 0) or dice.chance(25):
                traffic_light(self, edge, dice.between(850, 1700), side)
            for _ in range(dice.between(0, 4)):
                post(self, edge - side * 5, dice.between(600, 1800), 95, 6, dice.pick(((60, 60, 62), (170, 168, 160))))
            for _ in range(dice.between(2, 7)):
                z = dice.between(near, near + 2200)
                person(self, dice.between(inner, outer), z)
                if dice.chance(35):
                    person(self, dice.between(inner, outer), z + dice.between(-30, 60))
            if dice.chance(30):
                litter_bin(self, walk - side * 40, dice.between(800, 2000))
            for _ in range(dice.between(0, 4)):
                bush(self, walk + side * dice.between(40, 160), dice.between(700, 3000))
            parked = ("bicycle", "motorcycle", "bicycle", "bicycle")[(number + 2 * (side > 0)) % 4]
            for _ in range(dice.between(1, 3)):
                two_wheeler(
                    self,
                    parked,
                    kerb + side * dice.between(40, 130),
                    dice.between(near, near + 500),
                    ridden=False,
                    across=dice.chance(75),
                )
            if dice.chance(45):
                two_wheeler(
                    self,
                    dice.pick(("bicycle", "motorcycle")),
                    kerb - side * 60,
                    near + dice.between(-100, 800),
                    ridden=True,
                    across=False,
                )
        for _ in range(dice.between(0, 3)):
            person(self, dice.between(self.left, self.right), dice.between(2400, 4500))

    def _ego(self) -> None:
        """The own car's bonnet and the border that rectification leaves black."""
        canvas, dice = self.canvas, self.dice
        height, width = canvas.size
        y = np.arange(height, dtype=np.int32)[:, None] * 1024 // height
        x = np.arange(width, dtype=np.int32)[None, :] * 1024 // width
        if dice.chance(70):
            arch = (x - 512) * (x - 512) // dice.between(3600, 5200)
            bonnet = y > dice.between(930, 975) + arch
            shade = 180 + (1024 - y) + (smooth(x, y, 6, self.seed) >> 3)
            canvas.image[bonnet] = shaded(dice.pick(((40, 42, 46), (90, 94, 100), (30, 34, 44))), shade)[bonnet]
            canvas.label[bonnet] = canvas.instance[bonnet] = ID["ego vehicle"]
            canvas.depth[bonnet] = 0
        if dice.chance(40):
            border = (x < 5) | (x > 1018) | (y > 1017)
            canvas.image[border] = 0
            canvas.label[border] = canvas.instance[border] = ID["out of roi"]

    def _develop(self) -> NDArray[np.uint8]:
        """Haze, colour of the light, lens and sensor: drawn colours → the camera's."""
        canvas, dice = self.canvas, self.dice
        height, width = canvas.size
        weather = _WEATHERS[self.light]
        depth = np.minimum(canvas.depth, 60000)
        haze = (depth * 256 // (depth + weather.sight))[..., None]
        haze[canvas.depth == FAR] = 0
        image = (canvas.image * (256 - haze) + _rgb(weather.horizon) * haze) >> 8

        gain = dice.between(220, 290)
        y = (np.arange(height, dtype=np.int32) - height // 2)[:, None] * 64 // height
        x = (np.arange(width, dtype=np.int32) - width // 2)[None, :] * 64 // width
        vignette = 256 - (x * x + y * y) * dice.between(0, 50) // 2048
        image *= _rgb(weather.tint) * gain >> 8
        image >>= 8
        image *= vignette[..., None]
        image >>= 8

        for sharp in (image, image.swapaxes(0, 1)):  # the lens: [1 6 1] / 8 both ways, in place
            blurred = sharp * 6
            blurred[1:] += sharp[:-1]
            blurred[:1] += sharp[:1]
            blurred[:-1] += sharp[1:]
            blurred[-1:] += sharp[-1:]
            np.right_shift(blurred, 3, out=sharp)

        noise = dice.between(3, 9)
        rows = np.arange(height, dtype=np.int32)[:, None]
        columns = np.arange(width, dtype=np.int32)[None, :]
        for channel in range(3):
            bits = grain(columns, rows, self.seed + channel)
            image[..., channel] += ((bits & 15) + (bits >> 4) - 15) * noise >> 3
        np.clip(image, 0, 255, out=image)
        developed: NDArray[np.uint8] = image.astype(np.uint8)
        return developed


def _rgb(color: Color) -> Ints:
    return np.array(color, np.int32)
