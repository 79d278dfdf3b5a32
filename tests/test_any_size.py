"""A frame of any size goes the way that a pipeline made for its size would send it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.any_size import AnySizePostprocess, AnySizePreprocess
from zoo.pipeline import Pipeline
from zoo.spec import ModelSpec

FRAMES = ((720, 1280), (375, 500), (376, 1241), (64, 96), (1208, 1920), (1, 1), (1, 400), (500, 375))


def make_pipeline(frame, resize, **facts) -> Pipeline:
    spec = ModelSpec(name="net", builder="tests:none", family="Net", divisor=32, **facts)
    model = nn.Conv2d(3, 5, 8, 8)
    return Pipeline(model, spec, image_size=frame, input_size=(250, 500), output_size=frame, resize=resize).eval()


@pytest.mark.parametrize("resize", ["fit", "stretch"])
@pytest.mark.parametrize(
    "facts", [{}, {"align_corners": True, "train_ids": (7, 8, 255, 0, 1)}, {"mean": (0.1, 0.2, 0.3)}]
)
@torch.no_grad()
def test_both_ends_are_those_of_the_size(resize, facts):
    torch.manual_seed(0)
    recorded = make_pipeline((64, 96), resize, **facts)
    preprocess, postprocess = AnySizePreprocess(recorded), AnySizePostprocess(recorded)
    for frame in FRAMES:
        pipeline = make_pipeline(frame, resize, **facts)
        coarse = torch.rand(2, 3, 5, 7)
        pictures = nn.functional.interpolate(coarse, frame, mode="bicubic").clamp(0, 1)
        images = (pictures * 255).to(torch.uint8).permute(0, 2, 3, 1)
        x = pipeline.preprocess(images)
        torch.testing.assert_close(preprocess(images), x, rtol=0, atol=1e-5)
        logits = recorded.network(x)
        labels = pipeline.postprocess(logits)
        answer = postprocess(logits, images)
        assert (answer.dtype, answer.shape) == (torch.uint8, labels.shape)
        assert (answer == labels).float().mean() > 0.9999


def test_the_network_is_no_part_of_the_ends():
    pipeline = make_pipeline((64, 96), "fit")
    assert not AnySizePreprocess(pipeline).state_dict()
    assert not AnySizePostprocess(pipeline).state_dict()
