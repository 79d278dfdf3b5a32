"""A tiny network whose label maps vary, in a pipeline of odd sizes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.pipeline import Pipeline
from zoo.spec import ModelSpec

FRAME = (41, 57)


class Net(nn.Module):
    """Convolution, batch norm, ReLU; an auxiliary head, which answers only in training."""

    training_only = ("aux",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Conv2d(16, 19, 1)
        self.aux = nn.Conv2d(16, 19, 1)

    def forward(self, x):
        return self.head(self.stem(x))

    def training_logits(self, x):
        return self(x), self.aux(self.stem(x))


def make_images(count: int, seed: int = 1) -> torch.Tensor:
    """Smooth pictures, so that label maps have regions: `(N, *FRAME, 3)` `uint8`."""
    generator = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(count, 3, 4, 5, generator=generator), FRAME, mode="bicubic").clamp(0, 1)
    return (coarse * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def make_pipeline(model: nn.Module | None = None, *, resize: str = "none") -> Pipeline:
    """Seeded weights; batch norm has seen pictures, and the head's bias makes every class as likely as the others."""
    torch.manual_seed(0)
    spec = ModelSpec(name="net", builder="tests:none", family="Net", divisor=16)
    sizes = {"image_size": FRAME, "input_size": FRAME if resize == "none" else (33, 45), "output_size": FRAME}
    pipeline = Pipeline(model or Net(), spec, **sizes, resize=resize)
    with torch.no_grad():
        if model is None:
            x = pipeline.preprocess(make_images(8, seed=2))
            for _ in range(50):
                pipeline.train().network(x)
            pipeline.model.head.bias -= pipeline.eval().network(x).mean((0, 2, 3))
    return pipeline.eval()


@pytest.fixture(scope="session")
def images():
    return make_images


@pytest.fixture(scope="session")
def pipeline():
    return make_pipeline
