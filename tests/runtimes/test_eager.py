"""Eager mode deploys what it says, and refuses what makes no sense."""

import pytest
import torch
from torch import nn

from zoo.errors import UserError
from zoo.pipeline import Pipeline
from zoo.runtimes import base, eager
from zoo.spec import ModelSpec

CPU = torch.device("cpu")


class Net(nn.Module):
    """Has an auxiliary head, which answers only in training."""

    training_only = ("aux",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Conv2d(8, 19, 1)
        self.aux = nn.Conv2d(8, 19, 1)

    def forward(self, x):
        assert not torch.is_grad_enabled()
        return self.head(self.stem(x))

    def training_logits(self, x):
        return self(x), self.aux(self.stem(x))


def pipeline(model=None) -> Pipeline:
    torch.manual_seed(0)
    spec = ModelSpec(name="net", builder="tests:none", family="Net", divisor=16)
    sizes = {"image_size": (40, 56), "input_size": (40, 56), "output_size": (40, 56)}
    return Pipeline(model or Net(), spec, **sizes, resize="none")


def load(precision="fp32", memory_format="channels_last", model=None) -> base.Runnable:
    return base.load("eager", pipeline(model), device=CPU, precision=precision, memory_format=memory_format)


def test_predict_is_the_pipeline_and_repeats_itself():
    images = torch.randint(0, 256, (2, 40, 56, 3), dtype=torch.uint8)
    labels = load().predict(images)
    assert labels.dtype == torch.uint8
    assert labels.shape == (2, 40, 56)
    assert labels.device.type == "cpu"
    with torch.inference_mode():
        assert torch.equal(labels, pipeline().eval()(images))
    assert torch.equal(labels, load(memory_format="contiguous").predict(images))


def test_scopes_fit_together():
    runnable = load()
    x = runnable.preprocess(torch.zeros(1, 40, 56, 3, dtype=torch.uint8))
    assert x.shape == (1, 3, 48, 64)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert runnable.network(x).shape == (1, 19, 24, 32)


def test_state_is_asserted_and_told():
    runnable = load()
    state = runnable.state()
    assert (state.training, state.grad_enabled, state.aux_heads, state.batch_norm) == (False, False, "off", "kept")
    assert state.thread_count == torch.get_num_threads()
    assert state.cudnn_benchmark is None
    assert state.tf32 is None
    assert runnable._pipeline.model.aux is None, "auxiliary heads are off"
    runnable._pipeline.model.aux = nn.Conv2d(8, 19, 1).eval().requires_grad_(False)
    with pytest.raises(AssertionError, match="auxiliary"):
        runnable.state()
    runnable._pipeline.model.aux = None
    runnable._pipeline.model.stem[1].train()
    with pytest.raises(AssertionError, match="training mode"):
        runnable.state()


def test_state_of_a_net_without_batch_norm_or_aux_heads():
    state = load(model=nn.Conv2d(3, 19, 1), memory_format="contiguous").state()
    assert (state.aux_heads, state.batch_norm, state.memory_format) == ("none", "none", "contiguous")


def test_weights_bytes_follow_the_precision(monkeypatch):
    monkeypatch.setattr(eager, "gains_from_bf16", lambda _: True)
    full, half = load(), load("bf16")
    deployed = [tensor for name, tensor in Net().state_dict().items() if not name.startswith("aux.")]
    assert full.weights_bytes == sum(tensor.nbytes for tensor in deployed)
    assert half.weights_bytes < 0.6 * full.weights_bytes
    logits = half.network(half.preprocess(torch.zeros(1, 40, 56, 3, dtype=torch.uint8)))
    assert logits.dtype == torch.bfloat16
    assert half.predict(torch.zeros(1, 40, 56, 3, dtype=torch.uint8)).dtype == torch.uint8


@pytest.mark.parametrize(("precision", "reason"), [("fp16", "100 times slower"), ("tf32", "CUDA"), ("int8", "no int8")])
def test_senseless_pairs_are_unsupported(precision, reason):
    with pytest.raises(base.UnsupportedError, match=reason):
        load(precision)


def test_bf16_needs_a_cpu_that_has_it(monkeypatch):
    monkeypatch.setattr(base, "cpu_features", lambda: frozenset({"avx2"}))
    with pytest.raises(base.UnsupportedError, match="no bf16"):
        load("bf16")
    monkeypatch.setattr(base, "cpu_features", lambda: frozenset({"avx512_bf16"}))
    assert load("bf16").precision == "bf16"


def test_fp32_means_fp32():
    torch.set_float32_matmul_precision("high")
    load()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_unknown_runtime_gets_one_line():
    with pytest.raises(UserError, match="Did you mean 'eager'") as caught:
        base.load("eagre", pipeline(), device=CPU, precision="fp32", memory_format="contiguous")
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu():
    images = torch.randint(0, 256, (2, 40, 56, 3), dtype=torch.uint8)
    there = base.load(
        "eager", pipeline(), device=torch.device("cuda:0"), precision="fp32", memory_format="channels_last"
    )
    assert (there.predict(images) == load().predict(images)).float().mean() > 0.999
    assert there.state().tf32 is False
    assert there.state().cudnn_benchmark is True
