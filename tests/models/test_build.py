import urllib.error

import huggingface_hub.constants
import pytest
import torch

from zoo.catalog import MODELS
from zoo.errors import UserError
from zoo.models.build import DRAW_COUNT, build_model, build_random, create_model
from zoo.models.contract import drop_aux_heads, has_aux_heads


def test_auxiliary_heads_come_off():
    model = create_model("fcn_resnet50", 3).eval()
    image = torch.zeros(1, 3, 16, 16)
    with torch.no_grad():
        before = model(image)
        assert has_aux_heads(model)
        assert not has_aux_heads(drop_aux_heads(model))
        assert torch.equal(model(image), before)
    assert not has_aux_heads(create_model("encoder_decoder", 3))


@pytest.mark.parametrize("name", ["fcn8s_vgg16", "lraspp_mobilenet_v3_large", "unet_resnet18", "upernet_convnext_tiny"])
def test_weights_that_cannot_be_fetched(name, monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("[Errno -2] Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # at once, where a lookup retries for long
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(UserError, match="could not be fetched") as caught:
        create_model(name, 3, pretrained=True)
    said = str(caught.value)
    assert MODELS[name].pretrained in said
    assert "pretrained = false" in said
    assert "\n" not in said


def test_pretrained_is_never_ignored(tmp_path):
    with pytest.raises(UserError, match="no published weights"):
        create_model("encoder_decoder", 3, pretrained=True)
    (tmp_path / "net.py").touch()
    with pytest.raises(UserError, match="loads its weights itself"):
        create_model(f"{tmp_path}/net.py:build", 3, pretrained=True)


def test_a_fault_of_ours_is_not_called_a_download(monkeypatch):
    spec = MODELS["fcn_resnet50"].model_copy(update={"args": {"function": "no_such"}})
    with pytest.raises(AttributeError):
        build_model(spec, 3, pretrained=True)


@pytest.mark.parametrize("name", ["segformer_b0", "fcn_resnet50", "fc_hardnet_70"])
def test_weights_to_be_timed_are_as_others_but_drawn_fast(name):
    def built(build):
        torch.manual_seed(0)
        return build(MODELS[name], 19)[0].state_dict()

    plain, fast, again = built(build_model), built(build_random), built(build_random)
    assert plain.keys() == fast.keys()
    assert all(torch.equal(fast[key], again[key]) for key in fast)
    large = [key for key, value in fast.items() if value.numel() > DRAW_COUNT]
    assert large
    for key, value in fast.items():
        assert (value.shape, value.dtype, value.stride()) == (plain[key].shape, plain[key].dtype, plain[key].stride())
        if value.numel() > 1000 and value.is_floating_point():
            torch.testing.assert_close(value.std(), plain[key].std(), rtol=0.2, atol=1e-6)
    for key in large:
        values = fast[key].flatten()
        assert torch.equal(values[: len(values) - DRAW_COUNT], values[DRAW_COUNT:])
        assert len(fast[key].flatten(1).unique(dim=0)) == len(fast[key]), "rows are each other's"
