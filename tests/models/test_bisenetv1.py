from tests.models.networks import check_cost, check_shapes
from zoo.catalog import MODELS
from zoo.models.build import build_model


def test_cost_is_the_published_codes():
    check_cost("bisenetv1_resnet18", 13_275_539, 118.3)


def test_shapes_and_heads():
    check_shapes("bisenetv1_resnet18", 8, [(96, 160), (224, 64)], [7, 7, 7])


def test_the_encoder_is_torchvisions_without_its_classifier():
    names = dict(build_model(MODELS["bisenetv1_resnet18"], 3)[0].encoder.named_parameters())
    assert {"conv1.weight", "bn1.weight", "layer4.1.conv2.weight"} <= names.keys()
    assert sum(value.numel() for value in names.values()) == 11_689_512 - 512 * 1000 - 1000
