import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.catalog import MODELS
from zoo.measure.macs import Part, count, count_parts
from zoo.models.build import build_empty, build_shapes
from zoo.models.contract import training_logits

SIZE = (24, 40)


def macs(module, size=SIZE):
    cost = count(module, size)
    assert cost.uncounted_ops == ()
    return cost.mac_count


class Calls(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, image):
        return self.function(self, image)


def test_convolutions_by_hand():
    assert macs(nn.Conv2d(3, 8, 3, padding=1)) == 24 * 40 * 3 * 8 * 9
    assert macs(nn.Conv2d(3, 6, 5, stride=2, padding=2, groups=3)) == 12 * 20 * 6 * 1 * 25
    assert macs(nn.Conv2d(3, 8, 3, padding=4, dilation=4, bias=False)) == 24 * 40 * 3 * 8 * 9
    assert macs(nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1)) == 24 * 40 * 3 * 8 * 16  # input positions
    assert macs(nn.ConvTranspose2d(3, 6, 2, stride=2, groups=3)) == 24 * 40 * 6 * 1 * 4


def test_linear_and_matrix_products_by_hand():
    assert macs(nn.Sequential(nn.Flatten(2), nn.Linear(24 * 40, 7))) == 3 * 24 * 40 * 7
    assert macs(Calls(lambda _, x: x @ x.mT)) == 3 * 24 * 24 * 40
    assert macs(Calls(lambda _, x: torch.einsum("nchw,ncvw->nchv", x, x))) == 3 * 24 * 24 * 40


def test_attention_by_hand():
    tokens = 24 * 40

    def attend(self, x):
        q = x.flatten(2).mT.reshape(1, tokens, 1, 3).transpose(1, 2)  # (1, heads, tokens, 3)
        return F.scaled_dot_product_attention(q, q, q)

    assert macs(Calls(attend)) == 2 * tokens * tokens * 3
    heads = nn.MultiheadAttention(3, 3, batch_first=True)
    by_hand = 4 * tokens * 3 * 3 + 2 * tokens * tokens * 3  # four projections, q·k and weights·v
    assert (
        macs(Calls(lambda self, x: self.heads(x.flatten(2).mT, x.flatten(2).mT, x.flatten(2).mT)[0], heads=heads))
        == by_hand
    )


def test_what_is_no_mac():
    blocks = nn.Sequential(nn.BatchNorm2d(3), nn.GELU(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2), nn.Softmax(1))
    assert macs(blocks) == 0


def test_operators_the_counter_does_not_know_are_named():
    from torchvision.ops import DeformConv2d

    def deform(self, x):
        return self.conv(x, x.new_zeros(1, 18, 22, 38))

    assert count(Calls(deform, conv=DeformConv2d(3, 4, 3)), SIZE).uncounted_ops == ("torchvision::deform_conv2d",)
    assert count(Calls(lambda _, x: torch.fft.rfft2(x).abs()), SIZE).uncounted_ops == ("aten::_fft_r2c",)


def test_a_network_that_needs_values_has_no_count():
    cost = count(Calls(lambda self, x: x if x.sum() > 0 else -x, conv=nn.Conv2d(3, 2, 1)), SIZE)
    assert (cost.param_count, cost.mac_count) == (8, None)


def test_a_tensor_that_is_no_buffer_is_no_hindrance():
    weight = torch.zeros(5, 3, 1, 1)
    assert macs(Calls(lambda _, x: F.conv2d(x, weight))) == 24 * 40 * 15


def test_the_module_stays_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    macs(module)
    assert [part.training for part in module.modules()] == [True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(value.device.type == "cpu" for value in module.parameters())


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("fcn_resnet50", 152.717), ("fcn_resnet101", 232.738), ("deeplabv3_resnet50", 178.722),
        ("deeplabv3_resnet101", 258.743), ("deeplabv3_mobilenet_v3_large", 10.452),
        ("lraspp_mobilenet_v3_large", 2.086),
    ],
)  # fmt: skip
def test_torchvisions_own_figures(name, published):
    """`_ops` of its weights' meta: 520x520, 21 classes, the auxiliary head included; ours leaves that apart."""
    model, _ = build_empty(MODELS[name], 21)
    whole = Calls(
        lambda self, x: sum(F.adaptive_avg_pool2d(head, 1) for head in training_logits(self.model, x)), model=model
    )
    assert round(macs(whole, (520, 520)) / 1e9, 3) == published
    deployed = count(model, (520, 520))
    if "lraspp" not in name:
        assert deployed.mac_count < macs(whole, (520, 520))
        assert deployed.param_count < sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("name", ["segformer_b0", "upernet_swin_tiny", "dpt_vit_b", "pan_resnet18"])
def test_every_kind_of_row_is_counted_at_full_size(name):
    cost = count(build_empty(MODELS[name], 19)[0], (1024, 2048))
    assert cost.mac_count is not None
    assert cost.mac_count > 10e9
    assert cost.uncounted_ops == ()
    assert cost.mac_input_size == (1024, 2048)


def test_vit_attention_is_counted():
    """DPT's 12 blocks at 64x96: 24 patches and a class token, width 768."""
    model, _ = build_empty(MODELS["dpt_vit_b"], 19)
    blocks = model.encoder.model.blocks
    tokens, width = 4 * 6 + 1, 768
    per_block = tokens * width * width * (3 + 1 + 4 + 4) + 2 * tokens * tokens * width
    alone = Calls(lambda self, x: self.blocks(x.flatten(1)[:, : tokens * width].view(1, tokens, width)), blocks=blocks)
    assert macs(alone, (128, 96)) == 12 * per_block


def test_parts_by_hand():
    class Net(nn.Module):
        training_only = ("auxiliary",)

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 1, 1))
            self.encoder = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1))])
            self.head = nn.Conv2d(4, 2, 1)
            self.auxiliary = nn.Conv2d(4, 2, 1)
            self.mode = nn.Identity()

        def forward(self, image):
            features = self.encoder[1](self.encoder[0](image * self.scale))
            return self.head(features @ features.mT)

    parts = count_parts(Net(), (8, 8))
    assert parts == (
        Part("encoder", 16 + 20, 64 * (12 + 16)),
        Part("head", 10, 64 * 8),
        Part("mode", 0, 0),
        Part("the network itself", 3, 4 * 8**3),
    )
    cost = count(Net(), (8, 8))
    assert (sum(part.param_count for part in parts), sum(part.mac_count for part in parts)) == (
        cost.param_count,
        cost.mac_count,
    )


def test_of_a_module_that_holds_all_those_below_are_the_parts():
    net = Calls(lambda self, x: self.model(x), model=nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)))
    assert count_parts(net, (4, 4)) == (Part("model.0", 16, 16 * 12), Part("model.1", 10, 16 * 8))


def test_of_parts_that_cannot_run_without_values_nothing_is_claimed():
    net = Calls(lambda self, x: self.one(x) if x.sum().item() else x, one=nn.Conv2d(3, 4, 1), other=nn.Identity())
    assert count_parts(net, (4, 4)) == (Part("one", 16, None), Part("other", 0, None))


@pytest.mark.parametrize(
    "name", ["unet", "fcn_resnet50", "unet_resnet18", "segformer_b0", "pidnet_s", "enet", "segnext_t", "dpt_vit_b"]
)
def test_parts_sum_up_to_the_network(name):
    module = build_shapes(MODELS[name])
    parts, cost = count_parts(module, (64, 128)), count(module, (64, 128))
    assert sum(part.param_count for part in parts) == cost.param_count
    assert sum(part.mac_count for part in parts) == cost.mac_count
    assert all(part.param_count >= 0 and part.mac_count >= 0 for part in parts)
    assert len(parts) > 1
