"""Resizing by matrix products is torch's own antialiased resizing."""

import pytest
import torch
import torch.nn.functional as F

from zoo.resample import BLOCK, filters, resize_by_products


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
        ((1, 1), (7, 9)),
        ((3, 3), (101, 64)),
    ],
)
def test_equal_to_interpolate_with_antialias(source, target):
    x = torch.randint(0, 256, (2, 3, *source), generator=torch.Generator().manual_seed(0)).float()
    expected = F.interpolate(x, target, mode="bilinear", antialias=True)
    torch.testing.assert_close(resize_by_products(x, target), expected, rtol=0, atol=2e-3)  # of 255


def test_filters_lie_where_the_image_does():
    x = torch.zeros(1, 3, 90, 120, device="meta")
    answer = resize_by_products(x, (24, 32))
    assert (answer.device, answer.shape) == (x.device, (1, 3, 24, 32))


# height, width of frames as cameras and datasets have them
CAMERAS = (
    *((375, 500), (376, 1241), (480, 640), (321, 481), (600, 960), (720, 960), (720, 1280), (1080, 1920)),
    *((1024, 2048), (1086, 2046), (1200, 1920), (1208, 1920), (2160, 3840), (3024, 4032), (4032, 3024)),
)
INPUTS = ((96, 128), (256, 512), (352, 480), (512, 512), (512, 1024), (768, 768), (1024, 2048))


def fitted(source, target):
    scale = min(target[0] / source[0], target[1] / source[1])
    return tuple(round(side * scale) for side in source)


@pytest.mark.parametrize("source", CAMERAS)
def test_any_camera_to_any_input(source):
    for target in INPUTS:
        for side, wanted in {*zip(source, target, strict=True), *zip(source, fitted(source, target), strict=True)}:
            x = torch.randint(0, 256, (1, 1, side, 3), generator=torch.Generator().manual_seed(side)).float()
            answer = resize_by_products(x, (wanted, 3))
            exact, rounded = (
                F.interpolate(given, (wanted, 3), mode="bilinear", antialias=True) for given in (x.double(), x)
            )
            torch.testing.assert_close(answer.double(), exact, rtol=0, atol=1e-3)  # of 255
            torch.testing.assert_close(answer, rounded, rtol=0, atol=1e-1)  # torch rounds where its filter lies


@pytest.mark.parametrize(("source", "target"), [(2046, 965), (1241, 512), (1920, 814), (481, 511)])
def test_sizes_without_a_common_divisor_cost_no_more_than_others(source, target):
    _, weights = filters(source, target)
    scale = max(1, source / target)
    assert weights.shape[-1] <= (BLOCK + 1) * scale + 3
