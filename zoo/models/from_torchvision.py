"""Networks of torchvision, adapted: raw logits at the network's own stride, the auxiliary head on request.

URL: https://github.com/pytorch/vision
Licence: BSD-3-Clause

torchvision's own forward upsamples bilinearly with `align_corners=False` and answers with a dictionary. Names of
parameters are kept, so that its published `state_dict`s load. The global pooling of DeepLabV3's ASPP is followed by
BatchNorm: training needs at least 2 images in a batch.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import VGG16_Weights, segmentation, vgg16
from torchvision.models import resnet18 as library_resnet18
from torchvision.models.vgg import cfgs, make_layers


class Dilated(nn.Module):
    """torchvision's FCN and DeepLabV3: dilated encoder, head, and an auxiliary head on the third stage."""

    training_only = ("aux_classifier",)

    def __init__(self, library_model: nn.Module) -> None:
        super().__init__()
        self.backbone = library_model.get_submodule("backbone")
        self.classifier = library_model.get_submodule("classifier")
        self.aux_classifier: nn.Module | None = library_model.get_submodule("aux_classifier")

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)` (stride 16 on MobileNetV3), sizes rounded up."""
        logits: Tensor = self.classifier(self.backbone(image)["out"])
        return logits

    def training_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the head and of the auxiliary head, both `(N, K, h, w)`, each at its own stride."""
        assert self.aux_classifier is not None, "the auxiliary head was dropped for deployment"
        features = self.backbone(image)
        return self.classifier(features["out"]), self.aux_classifier(features["aux"])


class LRASPP(nn.Module):
    """torchvision's LR-ASPP; it has no auxiliary head."""

    def __init__(self, library_model: nn.Module) -> None:
        super().__init__()
        self.backbone = library_model.get_submodule("backbone")
        self.classifier = library_model.get_submodule("classifier")

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, H/8, W/8)`, sizes rounded up."""
        logits: Tensor = self.classifier(self.backbone(image))
        return logits


def dilated(num_classes: int, pretrained: bool, *, function: str) -> Dilated:
    """Adapt `torchvision.models.segmentation.<function>` with its auxiliary head."""
    return Dilated(_library_model(num_classes, pretrained, function=function, aux_loss=True))


def lraspp(num_classes: int, pretrained: bool, *, function: str) -> LRASPP:
    """Adapt `torchvision.models.segmentation.<function>`, which has no auxiliary head."""
    return LRASPP(_library_model(num_classes, pretrained, function=function, aux_loss=False))


def _library_model(num_classes: int, pretrained: bool, *, function: str, aux_loss: bool) -> nn.Module:
    weights = "IMAGENET1K_V1" if pretrained else None
    build = getattr(segmentation, function)
    model: nn.Module = build(weights=None, weights_backbone=weights, num_classes=num_classes, aux_loss=aux_loss)
    return model


class ResNetStages(nn.Module):
    """torchvision's ResNet without its classifier; names of parameters are kept."""

    def __init__(self, library_model: nn.Module) -> None:
        super().__init__()
        for name, part in library_model.named_children():
            if name not in {"avgpool", "fc"}:
                self.add_module(name, part)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map `(N, 3, H, W)` to what its four stages give, at stride 4, 8, 16 and 32."""
        stages = []
        for name, part in self.named_children():
            image = part(image)
            if name.startswith("layer"):
                stages.append(image)
        return stages


def resnet18(pretrained: bool) -> ResNetStages:
    """Stages of ResNet-18 (64, 128, 256 and 512 channels), on ImageNet's weights or initialised as torchvision does."""
    return ResNetStages(library_resnet18(weights="IMAGENET1K_V1" if pretrained else None))


def vgg16_features(pretrained: bool) -> nn.Sequential:
    """Convolutions, ReLUs and max-poolings of VGG16, on ImageNet's weights or initialised as torchvision does."""
    if pretrained:
        published: nn.Sequential = vgg16(weights=VGG16_Weights.IMAGENET1K_V1).features
        return published
    features: nn.Sequential = make_layers(cfgs["D"])
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return features


def vgg16_hidden_weights() -> list[tuple[Tensor, Tensor]]:
    """`(weight, bias)` of VGG16's two hidden fully connected layers: `(4096, 25088)` and `(4096, 4096)`."""
    state = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    return [(state[f"classifier.{index}.weight"], state[f"classifier.{index}.bias"]) for index in (0, 3)]
