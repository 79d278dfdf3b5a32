"""What tests of predictions share: a network, classes, photographs, and what was written."""

import numpy as np
from PIL import Image

from zoo.spec import DatasetSpec

SIZE = (36, 50)
NET = """
from torch import nn


def build(num_classes):
    net = nn.Conv2d(3, num_classes, 5, stride=4, padding=2)
    net.divisor = 8
    return net
"""
FEW = DatasetSpec(
    name="few",
    class_names=("ground", "water"),
    class_colors=((200, 100, 0), (0, 0, 200)),
    label_to_train_id={9: 0, 0: 1, 4: 0, 5: 1},
)


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def names(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def photo(seed=0, size=SIZE):
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.array(Image.fromarray(blocks).resize((size[1], size[0]), Image.Resampling.NEAREST))
