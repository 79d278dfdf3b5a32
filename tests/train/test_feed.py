"""What a network is fed."""

import numpy as np
import pytest
import torch

from zoo.data.loading import Batch
from zoo.spec import IGNORE_INDEX
from zoo.train.feed import LUMA, Feed, recolor

CPU = torch.device("cpu")


def blended(image, brightness, contrast, saturation):
    """The three changes one after the other, each a blend, in float64."""
    luma = np.array(LUMA)
    x = image.astype(np.float64) * brightness
    gray = image[::8, ::8].reshape(-1, 3).mean(axis=0) @ luma * brightness
    x = contrast * x + (1 - contrast) * gray
    pixel_gray = (x @ luma)[..., None]
    return np.clip(saturation * x + (1 - saturation) * pixel_gray, 0, 255)


def test_recoloring_is_the_three_changes_of_each_image():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3)).astype(np.uint8)
    colors = [(1.3, 0.7, 1.2), (0.8, 1.3, 0.0), (1.0, 1.0, 1.0)]
    out = recolor(torch.from_numpy(images).float(), torch.tensor(colors))
    for image, factors, seen in zip(images, colors, out.numpy(), strict=True):
        np.testing.assert_allclose(seen, blended(image, *factors), atol=1e-3)
    np.testing.assert_allclose(out[2].numpy(), images[2], atol=1e-4)


def test_images_are_normalised_and_padded_and_labels_become_channels(tiny):
    spec = tiny("Few", train_ids=(2, 0, 255, 10), divisor=4)
    images = torch.randint(0, 256, (2, 6, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 10, 1, 255, 0], dtype=torch.uint8).view(1, 6, 1).expand(2, 6, 9)
    image, label = Feed(spec, 19, CPU)(Batch(images, labels, torch.ones(2, 3)))
    assert image.shape == (2, 3, 8, 12)
    assert image.is_contiguous(memory_format=torch.channels_last)
    mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (spec.mean, spec.std))
    assert torch.allclose(image[:, :, :6, :9], (images.permute(0, 3, 1, 2) / 255 - mean) / std, atol=1e-5)
    assert not image[:, :, 6:].any()
    assert not image[..., 9:].any()
    assert label.dtype == torch.int64
    assert label[0, :, 0].tolist() == [1, 0, 3, IGNORE_INDEX, IGNORE_INDEX, 1, IGNORE_INDEX, IGNORE_INDEX]


def test_colors_reach_the_image(tiny):
    images = torch.full((1, 8, 8, 3), 100, dtype=torch.uint8)
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    spec = tiny()
    dark, _ = Feed(spec, 19, CPU)(Batch(images, labels, torch.tensor([[0.5, 1.0, 1.0]])))
    mean, std = spec.mean[0] * 255, spec.std[0] * 255
    assert dark[0, 0].flatten().tolist() == pytest.approx([(50 - mean) / std] * 64, rel=1e-5)
