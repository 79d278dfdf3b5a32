"""Evaluation modes against plain compositions of torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.errors import UserError
from zoo.modes import evaluation_mode, predictor
from zoo.pipeline import Pipeline
from zoo.record import Mode
from zoo.runtimes.table import load_pipeline
from zoo.spec import ModelSpec

SIZE = (50, 70)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 19, 3, padding=1)).eval()


def frames(count=2):
    torch.manual_seed(1)
    coarse = F.interpolate(torch.rand(count, 3, 5, 7), SIZE, mode="bicubic").clamp(0, 1)
    return (coarse * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def deploy(model, *, scale=1.0, input_size=SIZE, **facts):
    spec = ModelSpec(name="tiny", builder="tests:none", family="Tiny", **facts)
    seen = round(scale * input_size[0]), round(scale * input_size[1])
    pipeline = Pipeline(model, spec, image_size=SIZE, input_size=seen, output_size=SIZE, resize="fit")
    return pipeline, load_pipeline("eager", pipeline, device=torch.device("cpu"), precision="fp32")


def read(model, mode, images, **facts):
    return predictor(mode, [deploy(model, scale=scale, **facts) for scale in mode.scales])(images)


FACTS = [{}, {"divisor": 32}, {"align_corners": True}, {"divisor": 32, "align_corners": True}]


@pytest.mark.parametrize("facts", FACTS)
def test_a_window_as_large_as_the_frame_is_the_whole_frame(facts):
    whole = read(network(), Mode(), frames(), **facts)
    window = read(network(), evaluation_mode(window=(64, 96)), frames(), **facts)
    assert torch.equal(whole, deploy(network(), **facts)[0](frames()))
    assert torch.equal(window, whole)
    assert len(whole.unique()) > 3


@pytest.mark.parametrize("facts", FACTS)
def test_logits_are_averaged_where_windows_overlap(facts):
    model, images, (height, width) = network(), frames(), (32, 40)
    pipeline, _ = deploy(model, **facts)
    x = pipeline.preprocess(images)[..., :50, :70]
    total, times = torch.zeros(2, 19, 50, 70), torch.zeros(50, 70)
    for top in (0, 16, 18):
        for left in (0, 25, 30):
            part = x[..., top : top + height, left : left + width]
            padded = F.pad(part, (0, 64 - width, 0, 0)) if "divisor" in facts else part  # 40 → 64; 32 fits
            corners = facts.get("align_corners", False)
            logits = F.interpolate(model(padded), padded.shape[2:], mode="bilinear", align_corners=corners)
            total[..., top : top + height, left : left + width] += logits[..., :width]
            times[top : top + height, left : left + width] += 1
    labels = read(model, evaluation_mode(window=(height, width), stride=(16, 25)), images, **facts)
    assert torch.equal(labels, (total / times).argmax(1).to(torch.uint8))
    assert not torch.equal(labels, read(model, Mode(), images, **facts))


@pytest.mark.parametrize("facts", FACTS)
def test_probabilities_are_averaged_over_scales_and_mirror_images(facts):
    model, images, total = network(), frames(), 0
    for scale in (0.5, 1.0, 1.5):
        pipeline, _ = deploy(model, scale=scale, **facts)
        for turn in (lambda x: x, lambda x: x.flip(-1)):
            seen = pipeline.preprocess(turn(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
            corners = facts.get("align_corners", False)
            grid = F.interpolate(model(seen), pipeline.grid_size, mode="bilinear", align_corners=corners)
            total = total + turn(grid[..., :50, :70]).softmax(1)
    labels = read(model, evaluation_mode(scales=(0.5, 1.0, 1.5), flip=True), images, **facts)
    assert torch.equal(labels, total.argmax(1).to(torch.uint8))


def test_a_window_over_a_resized_frame_answers_at_the_frames_size():
    mode = evaluation_mode(window=(16, 16), scales=(0.5, 1.25), flip=True)
    labels = read(network(), mode, frames(), input_size=(30, 42), divisor=8)
    assert labels.shape == (2, *SIZE)
    assert labels.dtype == torch.uint8
    assert labels.max() < 19


def test_channels_that_are_other_classes():
    classes = tuple(255 if index % 5 == 4 else 18 - index for index in range(19))
    mode = evaluation_mode(flip=True)
    plain, mapped = read(network(), mode, frames()), read(network(), mode, frames(), train_ids=classes)
    assert torch.equal(mapped, torch.tensor(classes, dtype=torch.uint8)[plain.int()])


def test_the_usual_stride_is_two_thirds_of_the_window():
    assert evaluation_mode(window=(769, 769)).stride == (513, 513)
    assert evaluation_mode(window=(512, 1024), stride=(512, 1024)).stride == (512, 1024)
    assert evaluation_mode() == Mode()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"stride": (8, 8)}, "a stride is the step of a window; give --window too"),
        ({"window": (8, 8), "stride": (8, 9)}, "a stride of 8x9 leaves gaps between windows of 8x8"),
        ({"scales": ()}, "scales are above 0 and at most 4, such as 0.75,1,1.25; got none"),
        ({"scales": (1.0, 0.0)}, "got 1, 0"),
        ({"scales": (float("nan"),)}, "got nan"),
        ({"scales": (40.0,)}, "got 40"),
    ],
)
def test_what_cannot_be_is_one_line(asked, words):
    with pytest.raises(UserError, match=words):
        evaluation_mode(**asked)
