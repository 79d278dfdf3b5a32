"""A model of one's own is tried at the sizes it will be used at, and its divisor found."""

import logging

import pytest
import torch
from torch import nn

from zoo.catalog import MODELS, find
from zoo.errors import ModelError, UserError
from zoo.models import trial
from zoo.models.build import build_model, create_model
from zoo.models.trial import DIVISORS, SMALL_PIXELS, fit_model
from zoo.spec import ModelSpec

LARGE = (512, 1024)


class UNet(nn.Module):
    """Halves as often as asked and joins what it kept: sides that are no multiples do not fit together."""

    def __init__(self, depth=4, width=4):
        super().__init__()
        self.begin = nn.Conv2d(3, width, 1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, 2) for _ in range(depth))
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, x):
        kept = [self.begin(x)]
        for down in self.down:
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up in self.up:
            x = up(x) + kept.pop()
        return self.head(x)


class Positions(nn.Module):
    """Patches with an embedding of where each is, learned for one size."""

    def __init__(self, size, patch=16):
        super().__init__()
        self.embed = nn.Conv2d(3, 3, patch, patch)
        self.where = nn.Parameter(torch.zeros(1, 3, size[0] // patch, size[1] // patch))

    def forward(self, x):
        return self.embed(x) + self.where


class Patches(nn.Module):
    """Checks by itself that its patches fit, and says so."""

    def __init__(self, patch):
        super().__init__()
        self.patch, self.embed = patch, nn.Conv2d(3, 3, patch, patch)

    def forward(self, x):
        if x.shape[2] % self.patch or x.shape[3] % self.patch:
            raise AssertionError(f"sides must be divisible by {self.patch}\nbut are not")
        return self.embed(x)


class Watched(nn.Module):
    """Notes what it is run on in earnest."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, x):
        if type(x) is torch.Tensor:
            self.seen.append(tuple(x.shape[2:]))
        return self.inner(x)


class NoFakes(UNet):
    """Takes its values out of torch, so that fake tensors will not do."""

    def forward(self, x):
        return super().forward(torch.from_numpy(x.numpy() * 1.0))


class Cached(nn.Module):
    """Keeps what it computed for the last size."""

    def __init__(self):
        super().__init__()
        self.head, self.grid = nn.Conv2d(3, 3, 1), None

    def forward(self, x):
        if self.grid is None or self.grid.shape[2:] != x.shape[2:]:
            self.grid = torch.ones(1, 3, *x.shape[2:])
        return self.head(x) * self.grid


@pytest.fixture(autouse=True)
def _forget():
    trial._told.clear()


def spec(**facts):
    return ModelSpec(name="net:build", builder="net:build", family="own", own=True, **facts)


@pytest.mark.parametrize(
    ("depth", "sizes", "divisor"),
    [
        (1, [(45, 63)], 2),
        (3, [(50, 70)], 8),
        (4, [(360, 480)], 16),
        (5, [(1080, 1920)], 32),  # multiples of 16 would do for this size alone
        (5, [(96, 96), (120, 160)], 32),
        (6, [(375, 1242)], 64),
        (5, [(512, 1024)], 1),
        (5, [], 1),
    ],
)
def test_the_divisor_is_found_by_trying(depth, sizes, divisor, caplog):
    found = fit_model(UNet(depth), spec(), 3, sizes)
    assert found.divisor == divisor
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * (divisor > 1)
    if divisor > 1:
        (said,) = caplog.messages
        assert f"multiples of {divisor}, found by trying" in said
        assert f"`divisor = {divisor}`" in said
        assert "\n" not in said


@pytest.mark.parametrize(("patch", "size", "divisor"), [(14, (512, 1024), 14), (12, (50, 50), 12), (7, (512, 512), 14)])
def test_patches_that_are_no_power_of_two(patch, size, divisor):
    assert fit_model(Patches(patch), spec(), 3, [size]).divisor == divisor


def test_what_is_found_is_said_once_for_a_model(caplog):
    for size in [(360, 480), (375, 500), (360, 480)]:
        fit_model(UNet(), spec(), 3, [size])
    assert len(caplog.messages) == 1
    assert "it does not take 360x480 as it is, but 368x480" in caplog.text


@pytest.mark.parametrize("size", [(224, 224), (368, 480), (1024, 2048)])
def test_a_network_for_one_size_is_tried_at_that_size(size):
    assert fit_model(Positions(size), spec(), 3, [size]).divisor == 1
    with pytest.raises(ModelError, match="forward fails on a") as caught:
        fit_model(Positions((320, 640)), spec(), 3)
    said = str(caught.value)
    assert "(1, 3, 128, 160)" in said
    assert "RuntimeError: The size of tensor a" in said
    assert "\n" not in said


def test_a_size_it_does_not_take_is_one_line():
    with pytest.raises(ModelError) as caught:
        fit_model(Positions((224, 224)), spec(), 3, [(224, 224), LARGE])
    said = str(caught.value)
    assert said.startswith("net:build: forward fails on a (1, 3, 512, 1024) image: RuntimeError: The size of tensor a")
    assert f"multiples of 2, 4, 8, 12, … {DIVISORS[-1]} were tried too" in said
    assert "--input-size" in said
    assert "\n" not in said
    assert fit_model(Positions((224, 224)), spec(), 3, [(200, 220)]).divisor == 28, "padded to the one size it takes"


def test_a_divisor_that_is_given_wins(caplog):
    assert fit_model(UNet(3), spec(divisor=16), 3, [(50, 70)]).divisor == 16
    assert not caplog.messages
    for divisor in (1, 4):
        with pytest.raises(ModelError, match=rf"its divisor is {divisor}: name a size") as caught:
            fit_model(UNet(3), spec(divisor=divisor), 3, [(50, 70)])
        assert "were tried" not in str(caught.value)


def test_what_a_builder_or_its_module_says_is_given(tmp_path):
    text = "import torch\ndef build(num_classes):\n    return torch.nn.Conv2d(3, num_classes, 1)\n"
    (tmp_path / "net.py").write_text(f"{text}build.divisor = 1\n")
    built = build_model(find(f"{tmp_path}/net.py:build"), 3)[1]
    assert "divisor" in built.model_fields_set
    (tmp_path / "net.py").write_text(text)
    assert "divisor" not in build_model(find(f"{tmp_path}/net.py:build"), 3)[1].model_fields_set


def test_a_large_size_costs_no_forward_pass():
    network = Watched(UNet(5))
    assert fit_model(network, spec(), 3, [(1080, 1920), LARGE]).divisor == 32
    assert network.seen == [(128, 160)], "values are looked at on a small image"
    network = Watched(Positions(LARGE))
    fit_model(network, spec(), 3, [LARGE])
    assert network.seen == [(128, 160), LARGE], "the only size that shows them"


def test_what_does_not_run_on_fake_tensors_is_run_in_earnest():
    assert SMALL_PIXELS < 375 * 500
    assert fit_model(NoFakes(4), spec(), 3, [(375, 500)]).divisor == 16
    uncopied = UNet(4)
    uncopied.lock = (one for one in ())  # a generator cannot be copied
    assert fit_model(uncopied, spec(), 3, [(375, 500)]).divisor == 16


def test_nothing_of_a_trial_stays_in_the_network():
    network = Cached()
    fit_model(network, spec(), 3, [LARGE])
    with torch.no_grad():
        assert type(network(torch.zeros(1, 3, *LARGE))) is torch.Tensor
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network[1].eval()
    before = network[1].running_mean.clone()
    fit_model(network, spec(), 3, [LARGE])
    assert [part.training for part in network.modules()] == [True, True, False]
    assert torch.equal(network[1].running_mean, before)
    assert all(type(value) is nn.Parameter for value in network.parameters())


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda x: (x,), "answers with a tuple"),
        (lambda x: x[:, :2], r"becomes float32 \(1, 2, "),
        (lambda x: x.transpose(2, 3), r"\(1, 3, 128, 160\) becomes float32 \(1, 3, 160, 128\)"),
        (lambda x: x * float("nan"), "NaN or infinity"),
        (lambda x: x.long(), "becomes int64"),
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (1024, 1024)])
def test_the_contract_is_looked_at_whatever_the_size(forward, said, size):
    network = nn.Module()
    network.forward = forward
    with pytest.raises(UserError, match=said):
        fit_model(network, spec(), 3, [size])


def test_a_network_that_pads_by_itself_is_given_what_it_pads_to():
    class Pads(nn.Module):
        def forward(self, x):
            return nn.functional.pad(x, (0, -x.shape[3] % 8, 0, -x.shape[2] % 8))

    assert fit_model(Pads(), spec(), 3, [(50, 70)]).divisor == 8


def test_a_network_in_half_precision_is_tried_in_it():
    assert fit_model(UNet(2).bfloat16(), spec(), 3, [(50, 70)]).divisor == 4


def test_memory_that_ends_is_no_size_it_does_not_take():
    network = nn.Module()

    def forward(_):
        raise MemoryError

    network.forward = forward
    with pytest.raises(MemoryError):
        fit_model(network, spec(), 3, [(64, 64)])


def test_models_of_the_table_are_what_the_table_says():
    row = MODELS["unet_resnet18"]
    assert fit_model(nn.Identity(), row, 3, [(50, 70)]) is row


def test_a_timm_encoder_keeps_its_decoders_divisor_where_that_does():
    row = find("unet:timm/resnet18")
    assert fit_model(UNet(4), row, 3, [(360, 480)]).divisor == 32
    assert fit_model(UNet(6), row, 3, [(360, 480)]).divisor == 64


def test_sizes_reach_it_from_the_door(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Conv2d):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) + torch.zeros(1, 1, 30, 40)\n"
        "def build(num_classes):\n"
        "    return Net(3, num_classes, 1)\n"
    )
    name = f"{tmp_path}/net.py:build"
    assert create_model(name, 3, sizes=[(30, 40)])
    assert create_model(name, 3, sizes=None), "not tried"
    with pytest.raises(ModelError, match="sizes of create_model"):
        create_model(name, 3)
