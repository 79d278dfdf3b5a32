"""The pipeline against plain compositions of torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import v2

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec


def spec(**changes) -> ModelSpec:
    return ModelSpec(name="tiny", builder="tests:none", family="Tiny", **changes)


def network(num_classes: int = 19, stride: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 5, stride, 2), nn.ReLU(), nn.Conv2d(16, num_classes, 3, padding=1)).eval()


def images(height: int, width: int, count: int = 1) -> torch.Tensor:
    """Smooth pictures with noise, so that label maps have regions."""
    torch.manual_seed(1)
    coarse = F.interpolate(torch.rand(count, 3, 5, 7), (height, width), mode="bicubic")
    noisy = (coarse + 0.1 * torch.randn(count, 3, height, width)).clamp(0, 1)
    return (noisy * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def pipeline(model=None, *, image=(48, 80), input_size=None, output=None, resize="none", **facts) -> Pipeline:
    sizes = {"image_size": image, "input_size": input_size or image, "output_size": output or image}
    return Pipeline(model or network(), spec(**facts), **sizes, resize=resize)


def test_export_records_the_reference():
    pipe = pipeline(divisor=32)
    program = torch.export.export(pipe, (images(48, 80),))
    operators = {str(node.target) for node in program.graph.nodes}
    assert not any("max_pool" in name for name in operators)
    assert torch.equal(program.module()(images(48, 80)), pipe(images(48, 80)))


def test_preprocess_is_torchvisions():
    frames = images(90, 160, count=2)
    ours = pipeline(image=(90, 160), input_size=(45, 80), resize="stretch").preprocess(frames)
    chain = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize((45, 80), antialias=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    torch.testing.assert_close(ours, chain(frames.permute(0, 3, 1, 2)), rtol=0, atol=2e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_padding_is_the_mean_right_and_below():
    pipe = pipeline(image=(50, 70), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), divisor=32)
    x = pipe.preprocess(images(50, 70))
    assert x.shape == (1, 3, 64, 96)
    assert not x[:, :, 50:].any()
    assert not x[:, :, :, 70:].any()
    expected = (images(50, 70)[0, 3, 4] / 255 - torch.tensor([0.5, 0.4, 0.3])) / 0.2
    torch.testing.assert_close(x[0, :, 3, 4], expected)


@pytest.mark.parametrize(
    ("image", "asked", "fitted", "padded"),
    [
        ((1024, 2048), (512, 1024), (512, 1024), (512, 1024)),
        ((720, 960), (512, 1024), (512, 683), (512, 1024)),
        ((100, 400), (64, 64), (16, 64), (64, 64)),
        ((30, 40), (60, 100), (60, 80), (64, 128)),
        ((1, 4000), (64, 64), (1, 64), (64, 64)),
    ],
)
def test_fit_keeps_the_aspect(image, asked, fitted, padded):
    pipe = pipeline(image=image, input_size=asked, output=image, resize="fit", divisor=32)
    assert pipe.fitted_size == fitted
    assert pipe.padded_size == padded
    assert pipe.grid_size[0] >= image[0]
    assert pipe.grid_size[1] >= image[1]


def test_no_resize_needs_equal_sizes():
    with pytest.raises(UserError, match=r"48x80.*24x40"):
        pipeline(image=(48, 80), input_size=(24, 40), resize="none")


@pytest.mark.parametrize("align_corners", [False, True])
def test_labels_are_the_librarys_own(align_corners):
    """Pad → forward → upsample → crop → argmax, as the library's user writes it, with the same preprocessing."""
    model, frames = network(), images(50, 70, count=2)
    pipe = pipeline(model, image=(50, 70), divisor=32, align_corners=align_corners)
    with torch.inference_mode():
        mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (IMAGENET_MEAN, IMAGENET_STD))
        normalised = (frames.permute(0, 3, 1, 2) / 255 - mean) / std
        logits = model(F.pad(normalised, (0, 96 - 70, 0, 64 - 50)))
        full = F.interpolate(logits, (64, 96), mode="bilinear", align_corners=align_corners)
        expected = full[:, :, :50, :70].argmax(1)
        labels = pipe(frames)
    assert len(expected.unique()) >= 4, "the labels must vary for the test to mean something"
    assert torch.equal(labels.long(), expected)


def test_resized_labels_come_straight_from_the_logits():
    model, frames = network(), images(64, 96)
    pipe = pipeline(model, image=(64, 96), input_size=(32, 48), output=(64, 96), resize="fit")
    with torch.inference_mode():
        logits = model(pipe.preprocess(frames))
        expected = F.interpolate(logits, (64, 96), mode="bilinear").argmax(1)
        assert torch.equal(pipe(frames).long(), expected)


def test_channels_become_classes_of_the_dataset():
    frames = images(48, 80)
    plain = pipeline(network(num_classes=4))(frames)
    mapped = pipeline(network(num_classes=4), train_ids=(13, 255, 0, 2))(frames)
    assert torch.equal(mapped, torch.tensor([13, 255, 0, 2], dtype=torch.uint8)[plain.long()])
    assert mapped.dtype == torch.uint8


def test_state_dict_holds_the_model_alone():
    assert all(name.startswith("model.") for name in pipeline(train_ids=tuple(range(19))).state_dict())
