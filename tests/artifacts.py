"""A small model of one's own with streets to run on, and the artifact it becomes."""

import textwrap

import torch
from PIL import Image

from zoo.artifact import Wanted
from zoo.catalog import find
from zoo.data.layout import open_dataset
from zoo.data.synthetic import write_dataset
from zoo.labels import CITYSCAPES
from zoo.weights.source import Source

FRAME = (64, 96)
CPU = torch.device("cpu")
NET = """
    import torch

    def build(num_classes):
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 5, 4, 2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, num_classes, 1)
        )
"""


def make_place(folder):
    """Fill a folder with a model, streets and a frame."""
    (folder / "net.py").write_text(textwrap.dedent(NET))
    write_dataset(folder / "streets", image_size=FRAME, train_count=3, val_count=2)
    frame = open_dataset(folder / "streets").frames("val")[0].image
    Image.open(frame).save(folder / "frame.png")
    return folder


def make_wanted(place):
    """The model there with random weights, for ONNX Runtime."""
    return Wanted(
        spec=find(f"{place / 'net.py'}:build"),
        classes=CITYSCAPES,
        source=Source(kind="random", seed=0),
        dataset=open_dataset(place / "streets"),
        runtime="onnxruntime",
        precision="fp32",
        device=CPU,
        image_size=FRAME,
        input_size=FRAME,
        resize="fit",
        batch_size=1,
        memory_format="channels_last",
        compile_mode="default",
        cache=place / "cache",
    )
