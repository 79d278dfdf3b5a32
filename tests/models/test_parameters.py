"""Parameter counts against published ones."""

import pytest
import torch
from torchvision.models import get_model_weights

from zoo.catalog import MODELS
from zoo.models.build import build_empty
from zoo.models.contract import deployed_parameters, drop_aux_heads


def count(name, num_classes):
    model, _ = build_empty(MODELS[name], num_classes)
    return sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize(
    ("decoder", "millions"),
    [
        ("unet", 14.33), ("unetplusplus", 15.97), ("deeplabv3", 15.90), ("deeplabv3plus", 12.33), ("fpn", 13.05),
        ("linknet", 11.66), ("manet", 21.68), ("pan", 11.37), ("pspnet", 11.41),
    ],
)  # fmt: skip
def test_smp_decoders_on_resnet18(decoder, millions):
    assert round(count(f"{decoder}_resnet18", 19) / 1e6, 2) == millions


@pytest.mark.parametrize(("size", "millions"), enumerate([3.72, 13.68, 27.36, 47.24, 64.01, 84.61]))
def test_segformer(size, millions):
    assert round(count(f"segformer_b{size}", 19) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fcn_resnet50", 35_322_218), ("fcn_resnet101", 54_314_346), ("deeplabv3_resnet50", 42_004_074),
        ("deeplabv3_resnet101", 60_996_202), ("deeplabv3_mobilenet_v3_large", 11_029_328),
        ("lraspp_mobilenet_v3_large", 3_221_538),
    ],
)  # fmt: skip
def test_torchvision_with_21_classes_and_auxiliary_head(name, parameters):
    assert count(name, 21) == parameters == get_model_weights(name)["DEFAULT"].meta["num_params"]


def test_own_networks():
    assert count("encoder_decoder", 19) == 3 * 64 * 9 + 64 + 64 * 128 * 9 + 128 + 128 * 64 * 9 + 64 + 64 * 19 * 9 + 19
    # The figure every padded re-implementation with BatchNorm and 2 classes has.
    assert count("unet", 2) == 31_037_698
    # VGG16's features, fc6 and fc7, and 19-class scores at three strides with two learned upsamplings.
    vgg = 14_714_688 + 512 * 4096 * 49 + 4096 + 4096 * 4096 + 4096
    assert count("fcn8s_vgg16", 19) == vgg + (4096 + 512 + 256) * 19 + 3 * 19 + 2 * 19 * 19 * 16


def test_the_deployed_network_has_no_auxiliary_head():
    model, _ = build_empty(MODELS["fcn_resnet50"], 21)
    deployed = dict(deployed_parameters(model))
    assert 35_322_218 - sum(value.numel() for value in deployed.values()) == 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
    assert dict(drop_aux_heads(model).named_parameters()).keys() == deployed.keys()
    assert isinstance(next(iter(deployed.values())), torch.nn.Parameter)
