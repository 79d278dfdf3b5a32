from pathlib import Path

import numpy as np
import pytest
from PIL import Image


class Folder:
    """A small dataset folder made on the fly, to be bent out of shape by a test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, split="val", city="bonn", number=0, *, size=(8, 12), suffix=".png", kinds=("labelIds",), value=7):
        """Write one frame; returns its image path and its label paths."""
        name = f"{city}_{0:06d}_{number:06d}"
        image = self.root / "leftImg8bit" / split / city / f"{name}_leftImg8bit{suffix}"
        image.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(image, **({"lossless": True} if suffix == ".webp" else {}))
        labels = []
        for kind in kinds:
            path = self.root / "gtFine" / split / city / f"{name}_gtFine_{kind}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(size, value, np.uint8)).save(path)
            labels.append(path)
        return image, labels


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "My Streets")
