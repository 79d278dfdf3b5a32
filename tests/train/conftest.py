"""A tiny network and a tiny dataset in the Cityscapes layout, both made on the fly."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.config import TrainConfig
from zoo.data.layout import open_dataset
from zoo.spec import ModelSpec

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    divisor = 4

    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, image):
        return self.head(self.stem(image))

class Pooled(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))

    def forward(self, image):
        x = self.stem(image)
        return self.head(x + self.pool(x))

class Aux(Net):
    training_only = ("aux",)

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.aux = nn.Conv2d(8, num_classes, 1)

    def training_logits(self, image):
        x = self.stem(image)
        return self.head(x), self.aux(x)

class Dilated(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.stem.append(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8))

class Edge(Aux):
    training_only = ("aux", "edge")
    boundary_weights = (20.0, 1.0)

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.edge = nn.Conv2d(8, 1, 1)

    def training_logits(self, image):
        x = self.stem(image)
        return self.head(x), self.aux(x), self.edge(x)

class Slow(Net):
    # its running statistics hardly move, and begin far off

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.stem[1].momentum = 1e-4
        self.stem[1].running_mean.fill_(50.0)

class Frozen(Net):
    # its batch norm is used as it is, in training too

    def train(self, mode=True):
        super().train(mode)
        self.stem[1].eval()
        return self

class Sized(Net):
    # for squares alone, once it was built
    def forward(self, image):
        if image.shape[2] != image.shape[3] and image.shape[2] < 100:
            raise RuntimeError("only squares")
        return super().forward(image)

class Few(Net):
    train_ids = (2, 0, 255, 10)

    def __init__(self, num_classes):
        super().__init__(4)

class Twice(Net):
    train_ids = (0, 0, 2)

    def __init__(self, num_classes):
        super().__init__(3)

class Plain(nn.Module):
    divisor = 4

    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Conv2d(8, num_classes, 1)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, image):
        return self.head(self.stem(image))

class Infinite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")

class Steep(Plain):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.calls = 0

    def forward(self, image):
        self.calls += self.training
        logits = super().forward(image)
        return Infinite.apply(logits) if self.calls > 3 else logits

class Exploding(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.calls = 0

    def forward(self, image):
        self.calls += self.training
        return super().forward(image) * (float("nan") if self.calls > 3 else 1)
"""


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small gain nothing from a second thread, and wait for it where cores are shared."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Prepared data of these tests goes with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Six training and two validation frames of 24x32: road below, sky above, a building somewhere."""
    root = tmp_path_factory.mktemp("streets")
    rng = np.random.default_rng(0)
    colors = {7: (90, 60, 90), 11: (150, 70, 50), 23: (90, 140, 220), 0: (0, 0, 0)}
    for split, count in (("train", 6), ("val", 2)):
        for index in range(count):
            ids = np.full((24, 32), 7, np.uint8)
            ids[:12] = 23
            left = rng.integers(0, 20)
            ids[4:14, left : left + 10] = 11
            ids[-2:] = 0
            image = np.stack([np.array(colors[i], np.uint8)[None] for i in ids.ravel()]).reshape(24, 32, 3)
            image = np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
            for kind, end, pixels in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_labelIds", ids)):
                path = root / kind / split / "town" / f"town_000000_{index:06d}_{end}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return open_dataset(root)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Specs of the tiny networks, by class name."""
    path = tmp_path_factory.mktemp("nets") / "tiny_net.py"
    path.write_text(SOURCE)

    def spec(name="Net", **changes):
        return ModelSpec(name=f"{path}:{name}", builder=f"{path}:{name}", family="own", own=True, **changes)

    return spec


@pytest.fixture
def config():
    return TrainConfig(
        name="tiny", steps=6, batch_size=2, crop_size=(18, 30), precision="fp32", sgd_learning_rate=0.05, workers=0
    )
