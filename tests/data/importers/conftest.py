from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.importers.writing import import_dataset
from zoo.errors import UserError

SIZE = (12, 16)


class Source:
    """A small copy of a dataset, made on the fly."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, path):
        """A JPEG of noise."""
        return self._save(path, Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)))

    def label(self, path, values, palette=None):
        """One value after the other, over and over; as entries of a palette where one is given."""
        pixels = np.resize(np.array(values, np.uint8), SIZE)
        image = Image.fromarray(pixels)
        if palette is not None:
            image = image.convert("P")
            image.putdata(pixels.ravel())
            image.putpalette(np.array(palette, np.uint8).ravel().tolist())
        return self._save(path, image)

    def text(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        return self.root / path

    def _save(self, path, image):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        image.save(self.root / path)
        return self.root / path


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


@pytest.fixture
def refused(tmp_path):
    """`refused(kind, source, *words)`: one line with these words, and nothing stays."""

    def refused(kind, source, *words, **options):
        with pytest.raises(UserError) as caught:
            import_dataset(kind, source, tmp_path / "refused", **options)
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert str(word) in message
        assert not (tmp_path / "refused").exists()
        assert not list(tmp_path.glob(".zoo-draft*"))

    return refused
