"""Resizing by convolutions is torch's own antialiased resizing."""

import pytest
import torch
import torch.nn.functional as F

from zoo.resample import resize_by_convolution


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((64, 128), (32, 64)),
        ((90, 120), (24, 32)),
        ((37, 53), (16, 31)),
        ((32, 48), (64, 72)),
        ((20, 30), (20, 7)),
        ((16, 16), (40, 5)),
        ((9, 9), (1, 1)),
        ((5, 7), (5, 7)),
    ],
)
def test_equal_to_interpolate_with_antialias(source, target):
    x = torch.randint(0, 256, (2, 3, *source), generator=torch.Generator().manual_seed(0)).float()
    expected = F.interpolate(x, target, mode="bilinear", antialias=True)
    torch.testing.assert_close(resize_by_convolution(x, target), expected, rtol=0, atol=2e-3)  # of 255


def test_filters_lie_where_the_image_does():
    x = torch.zeros(1, 3, 90, 120, device="meta")
    answer = resize_by_convolution(x, (24, 32))
    assert (answer.device, answer.shape) == (x.device, (1, 3, 24, 32))
