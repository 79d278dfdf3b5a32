"""Eager mode deploys what it says, and refuses what makes no sense."""

import pytest
import torch
from torch import nn

from zoo.runtimes import base, table

CPU = torch.device("cpu")


@pytest.fixture
def load(pipeline):
    def load(precision="fp32", memory_format="channels_last", model=None) -> base.Runnable:
        pipe = model or pipeline()
        return table.load_pipeline("eager", pipe, device=CPU, precision=precision, memory_format=memory_format)

    return load


def test_predict_is_the_pipeline_and_repeats_itself(load, pipeline, images):
    labels = load().predict(images(2))
    with torch.inference_mode():
        assert torch.equal(labels, pipeline()(images(2)))
    assert torch.equal(labels, load(memory_format="contiguous").predict(images(2)))


def test_the_network_is_given_what_it_was_deployed_for(load, images):
    runnable = load()
    x = runnable.preprocess(images(1))
    assert x.shape == (1, 3, 48, 64)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert runnable.network(x).shape == (1, 19, 12, 16)
    assert not runnable.network(x).requires_grad


def test_state_is_asserted_and_told(load, pipeline):
    pipe = pipeline()
    runnable = load(model=pipe)
    state = runnable.state()
    assert (state.training, state.grad_enabled, state.aux_heads, state.batch_norm) == (False, False, "off", "kept")
    assert state.thread_count == torch.get_num_threads()
    assert state.cudnn_benchmark is None
    assert state.tf32 is None
    assert pipe.model.aux is None, "auxiliary heads are off"
    pipe.model.aux = nn.Conv2d(16, 19, 1).eval().requires_grad_(False)
    with pytest.raises(AssertionError, match="auxiliary"):
        runnable.state()
    pipe.model.aux = None
    pipe.model.stem[1].train()
    with pytest.raises(AssertionError, match="training mode"):
        runnable.state()


def test_state_of_a_net_without_batch_norm_or_aux_heads(load, pipeline):
    state = load(model=pipeline(nn.Conv2d(3, 19, 1)), memory_format="contiguous").state()
    assert (state.aux_heads, state.batch_norm, state.memory_format) == ("none", "none", "contiguous")


def test_weights_bytes_follow_the_precision(load, pipeline, images, monkeypatch):
    monkeypatch.setattr(base, "gains_from_bf16", lambda _: True)
    full, half = load(), load("bf16")
    deployed = [tensor for name, tensor in pipeline().model.state_dict().items() if not name.startswith("aux.")]
    assert full.weights_bytes == sum(tensor.nbytes for tensor in deployed)
    assert half.weights_bytes < 0.6 * full.weights_bytes
    assert half.network(half.preprocess(images(1))).dtype == torch.bfloat16
    assert half.predict(images(1)).dtype == torch.uint8


def test_bf16_needs_a_cpu_that_has_it(load, monkeypatch):
    monkeypatch.setattr(base, "cpu_features", lambda: frozenset({"avx2"}))
    with pytest.raises(base.UnsupportedError, match="no bf16"):
        load("bf16")
    monkeypatch.setattr(base, "cpu_features", lambda: frozenset({"avx512_bf16"}))
    assert load("bf16").precision == "bf16"


def test_fp32_means_fp32(load):
    torch.set_float32_matmul_precision("high")
    load()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_tells_its_flags(pipeline):
    state = table.load_pipeline("eager", pipeline(), device=torch.device("cuda:0"), precision="fp32").state()
    assert state.tf32 is False
    assert state.cudnn_benchmark is True
