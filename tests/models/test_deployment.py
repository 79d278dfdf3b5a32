import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, StdConv2d
from torch import nn

from zoo.models.contract import folding_of
from zoo.models.deployment import MAX_ERROR, deployed

SIZE = (16, 24)


def trained(module: nn.Module) -> nn.Module:
    """A network whose norms do something."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            for tensor in (part.running_mean, part.running_var, part.weight, part.bias):
                with torch.no_grad():
                    tensor.uniform_(0.5, 2.0, generator=generator)
    return module.eval()


class Net(nn.Module):
    """Runs a function of its parts."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.parts, self.run = nn.ModuleDict(parts), forward

    def forward(self, x):
        return self.run(x, self.parts)


def conv(inputs=3, outputs=3, **args):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **args)


def norm(channels=3):
    return nn.BatchNorm2d(channels)


def check(module: nn.Module, folded: int, kept: int, size=SIZE) -> nn.Module:
    """It answers as before, so many norms were folded and so many kept."""
    module = trained(module)
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = copy.deepcopy(module)(image)
    done = deployed(module, [SIZE])
    assert done is not None
    assert done == folding_of(module)
    assert (done.batch_norm_count, done.kept_batch_norm_count) == (folded, kept)
    assert done.param_count == sum(value.numel() for value in module.parameters())
    with torch.no_grad():
        assert float((module(image) - before).abs().max()) <= MAX_ERROR * float(before.abs().max())
    return module


FOLDED = {
    "one after the other": nn.Sequential(conv(), norm(), nn.ReLU(inplace=True), conv(bias=False), norm()),
    "of a depthwise convolution": nn.Sequential(conv(groups=3), norm()),
    "of a transposed convolution": nn.Sequential(nn.ConvTranspose2d(3, 5, 2, 2), norm(5)),
    "with an activation inside": nn.Sequential(conv(), BatchNormAct2d(3), conv(), BatchNormAct2d(3, apply_act=False)),
    "called twice, both": Net(lambda x, p: p["n"](p["c"](p["n"](p["c"](x)))), c=conv(), n=norm()),
    "by its parent's forward": Net(lambda x, p: x + p["n"](p["c"](x)), n=norm(), c=conv()),
    "without weights": nn.Sequential(conv(), nn.BatchNorm2d(3, affine=True), conv(), norm()),
}


@pytest.mark.parametrize("name", FOLDED)
def test_a_norm_that_follows_a_convolution_goes(name):
    module = copy.deepcopy(FOLDED[name])
    count = sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
    module = check(module, count, 0)
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def standing_twice():
    shared = conv()
    return Net(lambda x, p: p["n"](p["c"](x)) + p["m"](p["c"](x)), c=shared, n=norm(), m=norm())


def tied():
    one, other = conv(), conv()
    other.weight = one.weight
    return Net(lambda x, p: p["n"](p["a"](x)) + p["b"](x), a=one, b=other, n=norm())


def residual(x, p):
    y = p["c"](x)
    return y + p["n"](y)


def in_place(x, p):
    return p["n"](p["c"](x).relu_())


def answered(x, p):
    y = p["c"](x)
    p["n"](y)
    return y


KEPT = {
    "the convolution is read twice": Net(residual, c=conv(), n=norm()),
    "the convolution stands before two norms": standing_twice(),
    "another convolution has its weights": tied(),
    "the convolution is changed in between": Net(in_place, c=conv(), n=norm()),
    "two are joined in between": Net(
        lambda x, p: p["n"](torch.cat([p["a"](x), p["b"](x)], 1)), a=conv(), b=conv(), n=norm(6)
    ),
    "the convolution is the answer": Net(answered, c=conv(), n=norm()),
    "the norm reads something else too": Net(lambda x, p: p["n"](p["c"](x)) + p["n"](x), c=conv(), n=norm()),
    "the convolution computes its weights": nn.Sequential(StdConv2d(3, 3, 3, padding=1), norm()),
    "they are computed by a parametrization": nn.Sequential(
        nn.utils.parametrizations.weight_norm(conv()), norm()
    ),
    "groups of a transposed convolution": nn.Sequential(nn.ConvTranspose2d(3, 3, 2, 2, groups=3), norm()),
    "it comes first": nn.Sequential(norm(), conv()),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_a_norm_that_no_convolution_can_take_in_stays(name):
    module = copy.deepcopy(KEPT[name])
    check(module, 0, sum(isinstance(part, nn.BatchNorm2d) for part in module.modules()))


def test_a_network_without_norms_is_not_run():
    assert deployed(nn.Sequential(conv()), []).max_relative_error is None


class Branches(nn.Module):
    """A 3x3 and a 1x1 convolution, which become one."""

    def __init__(self, name, answers=True):
        super().__init__()
        self.wide, self.narrow, self.answers = conv(), nn.Conv2d(3, 3, 1), answers
        setattr(type(self), name, type(self).merged)

    def merged(self):
        self.wide.weight.data += nn.functional.pad(self.narrow.weight.data, (1, 1, 1, 1))
        self.wide.bias.data += self.narrow.bias.data
        self.narrow = None
        return self.wide if self.answers else None

    def forward(self, x):
        return self.wide(x) + (self.narrow(x) if self.narrow is not None else 0)


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("method", ["fuse", "reparameterize", "switch_to_deploy"])
def test_branches_are_merged_by_the_fields_methods(method, answers):
    block = type("Block", (Branches,), {})(method, answers)
    module = nn.Sequential(block, norm())
    parameters = sum(value.numel() for value in module.parameters())
    module = check(module, int(answers), int(not answers))  # a block that stays adds, and reads its convolution
    done = folding_of(module)
    assert done.merged
    assert done.param_count == parameters - (9 + 3) - 6 * answers


def test_what_only_looks_like_merging_is_left_alone():
    """A submodule called `fuse`, and a method of that name that asks for something."""

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.reparameterize, self.n = conv(), norm()

        def fuse(self, one, other):
            return one + other

        def forward(self, x):
            return self.fuse(x, self.n(self.reparameterize(x)))

    assert not folding_of(check(nn.Sequential(Joined()), 1, 0)).merged


def test_a_method_of_the_whole_network_merges_no_block():
    block = type("Block", (Branches,), {})("fuse")
    assert not folding_of(check(block, 0, 0)).merged
    assert block.narrow is not None


def fails(*_):
    raise RuntimeError("no")


UNSHOWN = {
    "answers otherwise each time": Net(lambda x, p: p["n"](p["c"](x)) * torch.rand(1), c=conv(), n=norm()),
    "answers no number": Net(lambda x, p: p["n"](p["c"](x)) * float("nan"), c=conv(), n=norm()),
    "raises": Net(fails, c=conv(), n=norm()),
    "reads what goes": Net(
        lambda x, p: p["n"](p["c"](x)) * p["n"].weight.view(1, -1, 1, 1), c=conv(), n=norm()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSHOWN)
def test_what_cannot_be_shown_to_answer_the_same_is_refused(name):
    assert deployed(trained(copy.deepcopy(UNSHOWN[name])), [SIZE]) is None


def test_a_network_for_one_size_is_tried_at_that():
    def only(x, p):
        assert x.shape[2:] == (32, 32)
        return p["n"](p["c"](x))

    done = deployed(trained(Net(only, c=conv(), n=norm())), [SIZE, (32, 32)])
    assert done.batch_norm_count == 1


def test_branches_that_are_merged_wrongly_are_found():
    class Wrong(Branches):
        def merged(self):
            self.narrow = None
            return self.wide

    assert deployed(nn.Sequential(Wrong("fuse")), [SIZE]) is None
