"""smp's `save_pretrained`: the same function, without fetching the encoder's weights again."""

import json

import huggingface_hub
import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F

from zoo.artifact import find_source, make_network
from zoo.catalog import find
from zoo.errors import UserError
from zoo.labels import CITYSCAPES

STEPS = [{"__class_fullname__": "Normalize", "mean": [0.5] * 3, "std": [0.25] * 3, "max_pixel_value": 255.0}]


def save(folder, kind="Unet", **options):
    torch.manual_seed(0)
    model = getattr(smp, kind)(
        **{"encoder_name": "mobilenet_v2", "encoder_weights": None, "classes": 19, **options}
    ).eval()
    model.config["encoder_weights"] = "imagenet"  # as of a network that began from them
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Unet", {"decoder_channels": (32, 16, 16, 8, 8), "activation": "softmax2d"}),
        ("FPN", {"aux_params": {"classes": 3}}),
    ],
)
def test_the_same_function(kind, options, tmp_path, monkeypatch, capsys):
    def fetched(*_, **__):
        pytest.fail("nothing is fetched")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    model = save(tmp_path / "net", kind, **options)
    (tmp_path / "net" / "albumentations_config_eval.json").write_text(json.dumps({"transform": {"transforms": STEPS}}))
    spec = find(f"smp:{tmp_path / 'net'}")
    source = find_source("auto", spec, None, None, None)
    module, fed, weights = make_network(spec, CITYSCAPES, source, ((64, 64),))
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = module.eval()(image)
        theirs = model.segmentation_head[0](model.decoder(model.encoder(image)))
    assert torch.equal(ours, theirs)
    assert (weights.label, fed.mean, fed.divisor) == ("published smp", (0.5,) * 3, 32)
    assert capsys.readouterr().out == ""
    if kind == "FPN":
        with torch.no_grad():
            whole, _ = model(image)
        torch.testing.assert_close(
            F.interpolate(ours, image.shape[2:], mode="bilinear", align_corners=fed.align_corners), whole
        )


def test_a_timm_encoder_says_how_it_is_fed(tmp_path):
    save(tmp_path / "net", encoder_name="tu-mobilenetv3_small_050")
    spec = find(f"smp:{tmp_path / 'net'}")
    _, fed, _ = make_network(spec, CITYSCAPES, find_source("own", spec, None, None, None), None)
    assert fed.mean == (0.485, 0.456, 0.406)


def test_weights_of_another_network(tmp_path):
    save(tmp_path / "net")
    spec = find(f"smp:{tmp_path / 'net'}")
    save(tmp_path / "other", "FPN")
    (tmp_path / "net" / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"smp:net: its weights in .* cannot be read") as caught:
        make_network(spec, CITYSCAPES, find_source("own", spec, None, None, None), None)
    assert "\n" not in str(caught.value)
