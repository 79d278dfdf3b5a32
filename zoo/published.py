"""Published checkpoints, one literal table: what each is, where it lies, how it is fed. Free of torch.

Facts, with their source, and no weights: a file is taken when it lies in `published_folder`.
"""

from __future__ import annotations

from pathlib import Path

from zoo.data.layout import cache_folder
from zoo.labels import CITYSCAPES
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, DatasetSpec, Facts, Feeding


class Published(Facts):
    """One published checkpoint of one row of the zoo."""

    model: str
    tag: str
    """Whose it is, such as `zh320`: one of a model's checkpoints."""
    file_name: str
    url: str
    licence: str
    """Of the weights, as their authors state it."""
    classes: DatasetSpec = CITYSCAPES
    feeding: Feeding


_FULL = Feeding(mean=IMAGENET_MEAN, std=IMAGENET_STD, input_size=(1024, 2048))


def _zh320(model: str, name: str) -> Published:
    """github.com/zh320/realtime-semantic-segmentation-pytorch, release 1.2: smp networks, Cityscapes fine train."""
    base = "https://github.com/zh320/realtime-semantic-segmentation-pytorch/releases/download/v1.2"
    return Published(
        model=f"{model}_resnet18", tag="zh320", file_name=f"zh320-{name}.pth", url=f"{base}/{name}.pth",
        licence="Apache-2.0", feeding=_FULL,
    )  # fmt: skip


PUBLISHED: tuple[Published, ...] = (
    _zh320("unet", "unet"),
    _zh320("unetplusplus", "unetpp"),
    _zh320("linknet", "linknet"),
    _zh320("fpn", "fpn"),
    _zh320("pspnet", "pspnet"),
    _zh320("pan", "pan"),
    _zh320("manet", "manet"),
    _zh320("deeplabv3plus", "deeplabv3p"),
)


def published_folder(cache: Path | None = None) -> Path:
    """Where the files of published checkpoints are kept."""
    return (cache or cache_folder()) / "weights"


def published_of(model: str, tag: str | None = None) -> list[Published]:
    """Those of a model, in the table's order; of one tag where it is given."""
    return [one for one in PUBLISHED if one.model == model and tag in (None, one.tag)]
