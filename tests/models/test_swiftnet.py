import torch

from tests.models.networks import check_cost, check_shapes
from zoo.models.swiftnet import swiftnet_resnet18


def test_cost_is_the_published_one():
    # 11.8 M is what was published.
    check_cost("swiftnet_resnet18", 11_808_163, 104.0)


def test_shapes_and_heads():
    check_shapes("swiftnet_resnet18", 4, [(65, 129), (75, 131)], [7])


def test_skips_are_taken_in_front_of_the_last_relu():
    model = swiftnet_resnet18(3, False).eval()
    seen = []
    model.skips[2].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        model(image)
        after = model.stages[0](model.stem(image))
    assert (seen[0] < 0).any()
    assert torch.allclose(seen[0].relu(), after, atol=1e-6)
