"""Checkpoints of github.com/zh320/realtime-semantic-segmentation-pytorch: one recipe, 800 epochs, 1024x1024 crops.

The smp networks are smp's own classes (its `models/smp_wrapper.py`), saved by smp 0.3.2: their names are our rows', but
for DeepLabV3's, the parts of whose decoder newer versions of smp named.
"""

from __future__ import annotations

from zoo.published.claims import CITYSCAPES_TERMS, Claim, Stated
from zoo.published.facts import FULL, KeyMap, Published

_REPOSITORY = "https://github.com/zh320/realtime-semantic-segmentation-pytorch"
_LICENCE = Stated(value="Apache-2.0", source=f"{_REPOSITORY}/blob/main/LICENSE")


def zh320(model: str, name: str, miou: float, key_map: KeyMap = (), release: str = "v1.0") -> Published:
    """A row of one of its checkpoints."""
    return Published(
        model=model, tag="zh320", file_name=f"zh320-{name}.pth",
        url=f"{_REPOSITORY}/releases/download/{release}/{name}.pth", key_map=key_map, feeding=FULL,
        code_licence=_LICENCE, weights_licence=_LICENCE, data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol="whole", source=_REPOSITORY),
    )  # fmt: skip


def _smp(model: str, name: str, miou: float, *key_map: tuple[str, str]) -> Published:
    return zh320(f"{model}_resnet18", name, miou, key_map, "v1.2")


SMP: tuple[Published, ...] = (
    _smp("unet", "unet", 0.7445),
    _smp("unetplusplus", "unetpp", 0.7557),
    _smp("linknet", "linknet", 0.7319),
    _smp("fpn", "fpn", 0.7494),
    _smp("pspnet", "pspnet", 0.6726),
    _smp("pan", "pan", 0.7246),
    _smp("manet", "manet", 0.7614),
    _smp(
        "deeplabv3", "deeplabv3", 0.7716,
        (r"^decoder\.0\.", "decoder.aspp."), (r"^decoder\.1\.", "decoder.conv."), (r"^decoder\.2\.", "decoder.bn."),
    ),
    _smp("deeplabv3plus", "deeplabv3p", 0.7590),
)  # fmt: skip
