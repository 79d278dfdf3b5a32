"""Networks of segmentation-models-pytorch (smp), adapted: raw logits at the network's own stride.

URL: https://github.com/qubvel-org/segmentation_models.pytorch
Licence: MIT; the MiT encoder of SegFormer stands under the NVIDIA Source Code License (non-commercial)

smp's heads upsample bilinearly with `align_corners=True`, where they upsample at all: that step is taken off. Names of
parameters are kept. smp leaves the encoder stages a decoder does not read in place (PSPNet: the last two of a
ResNet): they hold parameters and get no gradient. DeepLabV3, DeepLabV3+, PAN and UPerNet put BatchNorm behind a global
pooling: training needs at least 2 images in a batch.
"""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import Tensor, nn

from zoo.errors import UserError, did_you_mean

_DECODERS: dict[str, type[nn.Module]] = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "manet": smp.MAnet,
    "linknet": smp.Linknet,
    "fpn": smp.FPN,
    "pspnet": smp.PSPNet,
    "pan": smp.PAN,
    "deeplabv3": smp.DeepLabV3,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "upernet": smp.UPerNet,
    "segformer": smp.Segformer,
    "dpt": smp.DPT,
}


class Segmenter(nn.Module):
    """smp's encoder, decoder and head, without the head's upsampling."""

    def __init__(self, library_model: nn.Module) -> None:
        super().__init__()
        self.encoder = library_model.get_submodule("encoder")
        self.decoder = library_model.get_submodule("decoder")
        head = library_model.get_submodule("segmentation_head")
        assert isinstance(head, nn.Sequential)
        self.segmentation_head = nn.Sequential(head[0])  # of convolution, upsampling, activation

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, h, w)`; H and W are multiples of the spec's divisor."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(image)))
        return logits


class DensePredictionTransformer(nn.Module):
    """smp's DPT, whose encoder also answers with the class tokens, without the head's upsampling."""

    def __init__(self, library_model: nn.Module) -> None:
        super().__init__()
        self.encoder = library_model.get_submodule("encoder")
        self.encoder.model.reset_classifier(0)  # type: ignore[union-attr,operator]  # nothing reads ImageNet's classes
        self.decoder = library_model.get_submodule("decoder")
        self.segmentation_head = nn.ModuleDict({"head": library_model.get_submodule("segmentation_head.head")})

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/2, W/2)`; H and W are multiples of 32."""
        features, class_tokens = self.encoder(image)
        logits: Tensor = self.segmentation_head["head"](self.decoder(features, class_tokens))
        return logits


def smp_model(num_classes: int, pretrained: bool, *, decoder: str, encoder: str, **options: Any) -> nn.Module:
    """Adapt smp's `decoder` on its `encoder` (`tu-…`: timm's); `options` are smp's own keywords."""
    weights = ("imagenet" if not encoder.startswith("tu-") else True) if pretrained else None
    model = _DECODERS[decoder](encoder_name=encoder, encoder_weights=weights, classes=num_classes, **options)
    return (DensePredictionTransformer if decoder == "dpt" else Segmenter)(model)


def timm_model(num_classes: int, pretrained: bool, *, decoder: str, encoder: str) -> nn.Module:
    """Put any timm encoder under an smp decoder; the module carries the `mean` and `std` timm names for the encoder.

    Raises:
        UserError: timm has no such encoder, or the decoder does not accept it.
    """
    architecture = encoder.partition(".")[0]
    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm.list_models())
        raise UserError(f"timm has no encoder {architecture!r}.{near} zoo takes any name of timm.list_models()")
    attempts: tuple[dict[str, Any], ...] = ({},)
    if decoder == "dpt":
        attempts = ({"dynamic_img_size": True},)
    elif architecture.startswith(("swin", "vit", "maxvit", "coatnet", "hiera")):
        attempts = ({"strict_img_size": False, "always_partition": True}, {"dynamic_img_size": True}, {})
    for options in attempts:
        try:
            model = smp_model(num_classes, pretrained, decoder=decoder, encoder=f"tu-{encoder}", **options)
            break
        except OSError:
            raise  # weights that cannot be fetched
        except Exception as error:  # noqa: BLE001  whatever smp or timm raises, it means that the two do not fit
            reason = error
    else:
        said = (str(reason).splitlines() or [type(reason).__name__])[0]
        raise UserError(
            f"smp's {_DECODERS[decoder].__name__} does not accept the timm encoder {encoder!r} ({said}); "
            "convolutional encoders such as timm/convnext_tiny or timm/resnet50 fit every decoder but dpt"
        ) from reason
    config = timm.get_pretrained_cfg(encoder)
    if config is not None:
        for name in ("mean", "std"):
            setattr(model, name, tuple(getattr(config, name)))
    return model
