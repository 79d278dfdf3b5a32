"""Adapted networks answer bit for bit as their own library, once their logits are upsampled as it does."""

import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from torch.nn import functional as F

from zoo.catalog import MODELS, find
from zoo.errors import UserError
from zoo.models import from_smp
from zoo.models.build import build_model, create_model
from zoo.models.contract import training_logits
from zoo.models.from_smp import DensePredictionTransformer, Segmenter
from zoo.models.from_torchvision import LRASPP, Dilated

SMP = {spec.args["decoder"]: spec for spec in MODELS.values() if spec.builder.endswith("smp_model")}  # last of each
SMP |= {MODELS[f"{name}_resnet18"].args["decoder"]: MODELS[f"{name}_resnet18"] for name in ("deeplabv3plus", "manet")}
SMP["segformer"] = MODELS["segformer_b0"]


def upsampled(logits, image, spec):
    if logits.shape[2:] == image.shape[2:]:
        return logits
    return F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=spec.align_corners)


@pytest.fixture
def image():
    return torch.randn(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("decoder", SMP)
def test_smp(decoder, image):
    spec = SMP[decoder]
    options = {key: value for key, value in spec.args.items() if key not in {"decoder", "encoder"}}
    library = from_smp._DECODERS[decoder](
        encoder_name=spec.args["encoder"], encoder_weights=None, classes=5, **options
    ).eval()
    with torch.no_grad():
        expected = library(image)
        ours = (DensePredictionTransformer if decoder == "dpt" else Segmenter)(library).eval()(image)
    assert torch.equal(upsampled(ours, image, spec), expected)


@pytest.mark.parametrize(
    ("name", "adapter"),
    [
        ("fcn_resnet50", Dilated),
        ("deeplabv3_resnet50", Dilated),
        ("deeplabv3_mobilenet_v3_large", Dilated),
        ("lraspp_mobilenet_v3_large", LRASPP),
    ],
)
@pytest.mark.parametrize("size", [(65, 97), (64, 128)])
def test_torchvision(name, adapter, size):
    spec, image = MODELS[name], torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    build = getattr(torchvision.models.segmentation, name)
    library = build(weights=None, weights_backbone=None, num_classes=5, aux_loss=adapter is Dilated).eval()
    ours = adapter(library).eval()
    assert ours.state_dict().keys() == library.state_dict().keys()  # published weights load
    with torch.no_grad():
        expected = library(image)
        assert torch.equal(upsampled(ours(image), image, spec), expected["out"])
        if adapter is Dilated:
            assert torch.equal(upsampled(training_logits(ours, image)[1], image, spec), expected["aux"])


def test_smp_heads_align_corners_and_torchvision_does_not():
    for spec in MODELS.values():
        if spec.builder.endswith("smp_model"):
            assert spec.align_corners == (spec.args["decoder"] not in {"unet", "unetplusplus", "linknet", "manet"})
        elif spec.builder.startswith("zoo.models.from_torchvision"):
            assert not spec.align_corners


@pytest.mark.parametrize("name", ["upernet_swin_tiny", "dpt_vit_b"])
def test_transformers_take_any_size_and_keep_its_axes(name):
    """Logits of a transposed image differ in shape as the image does; sides need not be multiples of the window."""
    model, spec = build_model(MODELS[name], 3)
    model.eval()
    stride = 4 if "swin" in name else 2
    with torch.no_grad():
        for height, width in ((64, 160), (160, 64), (96, 224)):
            logits = model(torch.randn(1, 3, height, width))
            assert logits.shape == (1, 3, height // stride, width // stride)
    assert spec.divisor == 32


@pytest.mark.parametrize("size", [(4, 4), (36, 52), (64, 96)])
def test_the_encoder_decoder_loses_no_pixel(size):
    assert create_model("encoder_decoder", 7)(torch.randn(1, 3, *size)).shape == (1, 7, *size)


def test_fcn8s_begins_as_bilinear_upsampling():
    model = create_model("fcn8s_vgg16", 3)
    score = torch.arange(12.0).view(1, 1, 3, 4).repeat(1, 3, 1, 1)
    with torch.no_grad():
        up = model.up_to_16(score)
    expected = F.interpolate(score, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(up[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize(
    "name", ["unet:timm/convnext_tiny", "fpn:timm/resnet18", "unet:timm/swin_tiny_patch4_window7_224"]
)
def test_timm_encoders(name):
    model, spec = build_model(find(name), 5)
    assert spec.mean == (0.485, 0.456, 0.406)
    assert model.eval()(torch.zeros(1, 3, 64, 96)).shape[:2] == (1, 5)


def test_a_timm_encoder_brings_its_own_mean_and_std():
    spec = build_model(find("dpt:timm/vit_tiny_patch16_224"), 3)[1]
    assert spec.mean == spec.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unet:timm/convnext_tinny", "Did you mean 'convnext_tiny'"),
        ("deeplabv3:timm/swin_tiny_patch4_window7_224", "DeepLabV3 does not accept the timm encoder"),
        ("dpt:timm/resnet18", "DPT does not accept the timm encoder"),
        ("unet:timm/vit_tiny_patch16_224", "Unet does not accept the timm encoder"),
    ],
)
def test_a_decoder_that_does_not_accept_an_encoder(name, says):
    with pytest.raises(UserError, match=says) as caught:
        create_model(name, 3)
    assert "\n" not in str(caught.value)


def test_every_smp_architecture_is_a_decoder():
    assert set(from_smp._DECODERS) == set(smp.MODEL_ARCHITECTURES_MAPPING)
