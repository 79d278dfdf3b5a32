"""A small dataset, and a network of random weights that predicts on it."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.predict.frames import NET, SIZE
from zoo.data.layout import open_dataset
from zoo.labels import CITYSCAPES
from zoo.predict.predictor import load_predictor


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small gain nothing from a second thread, and wait for it where cores are shared."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Frames of random blocks: three with labels (val), five without (test), one of those of another size."""
    root = tmp_path_factory.mktemp("streets")
    rng = np.random.default_rng(0)
    for split, count in (("train", 1), ("val", 3), ("test", 5)):
        for index in range(count):
            size = (20, 34) if (split, index) == ("test", 4) else SIZE
            name = f"town{index % 2}_000000_{index:06d}"
            blocks = rng.integers(0, 256, (9, 10, 3), np.uint8)
            image = Image.fromarray(blocks).resize((size[1], size[0]), Image.Resampling.NEAREST)
            path = root / "leftImg8bit" / split / f"town{index % 2}" / f"{name}_leftImg8bit.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
            if split != "test":
                ids = rng.choice(list(CITYSCAPES.label_to_train_id), (9, 10)).astype(np.uint8)
                path = root / "gtFine" / split / f"town{index % 2}" / f"{name}_gtFine_labelIds.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(ids).resize((size[1], size[0]), Image.Resampling.NEAREST).save(path)
    return open_dataset(root)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Name and checkpoint of a network with random weights, large enough for sure answers."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.py").write_text(NET)
    torch.manual_seed(0)
    net = nn.Conv2d(3, 19, 5, stride=4, padding=2)
    save_file({name: 3 * value for name, value in net.state_dict().items()}, folder / "net.safetensors")
    return f"{folder / 'net.py'}:build", folder / "net.safetensors"


@pytest.fixture(scope="module")
def predictor(model, dataset):
    name, checkpoint = model
    return load_predictor(name, dataset, weights=checkpoint, device="cpu")
