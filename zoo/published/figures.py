"""What is published of each row: parameters, multiply-accumulates (MACs), and mIoU where no checkpoint claims one.

The mIoU of a public checkpoint stands with it (`Published.claim`). Here stand those of other weights of the same
architecture, which cannot be loaded. A number of parameters without a unit is exact: that of the code it names, counted
module by module. A reason is given where the count here is another one, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from zoo.published.claims import OTHER_WEIGHTS, Claim, Quote
from zoo.published.table import published_of
from zoo.spec import Size

FULL = (1024, 2048)
_UNITS = {"M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Figure:
    """A number of parameters or MACs that somebody published."""

    said: str
    """As published, in the unit it was rounded in: `3.34M`, `46.3G`; exact without a unit."""
    source: str
    """URL."""
    input_size: Size = FULL
    """Of MACs."""
    outputs: int = 19
    """Output channels of the network it was counted on."""
    aux_heads: bool = False
    """Whether heads that only training runs were counted too."""
    why: str = ""
    """Why the same network has another number here; empty where it has not."""

    @property
    def value(self) -> float:
        """The number."""
        return float(self._digits * self._unit)

    @property
    def is_exact(self) -> bool:
        """Whether no digit was rounded away."""
        return self._unit == 1

    @property
    def rounding(self) -> float:
        """By how much the exact number may differ: half of the last digit that was published."""
        return (
            0.0 if self.is_exact else float(Decimal(5).scaleb(int(self._digits.as_tuple().exponent) - 1)) * self._unit
        )

    @property
    def _digits(self) -> Decimal:
        return Decimal(self.said.rstrip("MG"))

    @property
    def _unit(self) -> int:
        return _UNITS.get(self.said[-1], 1)


@dataclass(frozen=True)
class Figures:
    """What is published of one row, beside the claims of its checkpoints."""

    params: Figure | None = None
    macs: Figure | None = None
    claim: Claim | None = None
    """Of other weights of this architecture."""


@cache
def quote(model: str, tag: str = "") -> Quote | None:
    """Return the mIoU that is published of a row; of one of its checkpoints where its tag is given.

    Without a tag it is that of the first checkpoint that claims one.
    """
    for one in published_of(model, tag or None):
        if one.claim is not None:
            return Quote(one.claim, f"published {one.tag}", one.feeding.input_size)
    claim = FIGURES[model].claim if model in FIGURES else None
    return None if claim is None else Quote(claim, OTHER_WEIGHTS, None)


# --- Sources.

_TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html#semantic-segmentation"
_ZH320 = "https://github.com/zh320/realtime-semantic-segmentation-pytorch"
_RDRNET = "https://github.com/gyyang23/RDRNet"
_EDGENETS = "https://github.com/sacmehta/EdgeNets/tree/master/model/segmentation"
_SEGFORMER = "https://arxiv.org/abs/2105.15203"
_HRNET = "https://github.com/HRNet/HRNet-Semantic-Segmentation/tree/pytorch-v1.1"
_EFFICIENTVIT = "https://github.com/mit-han-lab/efficientvit/blob/master/applications/efficientvit_seg/README.md"
_SEGNEXT = "https://github.com/Visual-Attention-Network/SegNeXt/blob/main/README.md"
_HARDNET = "https://github.com/PingoLH/FCHarDNet/blob/master/README.md"
_SWIFTNET = "https://arxiv.org/abs/1903.08469"
_MMSEG = "https://github.com/open-mmlab/mmsegmentation/tree/main/configs"


def _mmseg(family: str, miou: float) -> Claim:
    """Of MMSegmentation's network of this name, whose stem and head are not those of the row."""
    return Claim(miou=miou, protocol="whole", source=f"{_MMSEG}/{family}")


def _torchvision(params: str, macs: str, claim: Claim | None = None) -> Figures:
    of: dict[str, Any] = {"source": _TORCHVISION, "outputs": 21, "aux_heads": True}
    return Figures(params=Figure(said=params, **of), macs=Figure(said=macs, input_size=(520, 520), **of), claim=claim)


def _smp(params: str) -> Figures:
    return Figures(params=Figure(said=params, source=_ZH320))


def _segformer(params: str, macs: str) -> Figures:
    """Counted on ADE20K's 150 classes, by what the numbers are."""
    of: dict[str, Any] = {"source": _SEGFORMER, "outputs": 150}
    return Figures(params=Figure(said=params, **of), macs=Figure(said=macs, **of))


def _code(params: str, code: str, macs: str = "", claim: Claim | None = None) -> Figures:
    """Parameters of a reference code's deployed network, and MACs of RDRNet's table."""
    return Figures(
        params=Figure(said=params, source=f"https://github.com/{code}"),
        macs=Figure(said=macs, source=_RDRNET) if macs else None,
        claim=claim,
    )


def _paper(params: str, why: str = "", *, source: str = _ZH320, miou: float | None = None) -> Figures:
    """Of the paper, as zh320's table quotes it."""
    claim = None if miou is None else Claim(miou=miou, protocol="whole", source=source)
    return Figures(params=Figure(said=params, source=source, why=why), claim=claim)


def _espnetv2(params: str, macs: str) -> Figures:
    of: dict[str, Any] = {"source": _EDGENETS, "outputs": 20}
    return Figures(params=Figure(said=params, **of), macs=Figure(said=macs, input_size=(512, 1024), **of))


def _both(source: str, params: str, macs: str, why: str = "", claim: Claim | None = None) -> Figures:
    return Figures(
        params=Figure(said=params, source=source), macs=Figure(said=macs, source=source, why=why), claim=claim
    )


_GIBI = "published in units of 2^30"
_ICNET = "published of the paper's encoder, a pruned PSPNet on ResNet-50; this one is a ResNet-18"
_ENET_PARAMS = "a PReLU has one slope here, as in the code compared with; with one a channel there are 0.358 M"

# fmt: off
FIGURES: dict[str, Figures] = {
    "unet": Figures(claim=_mmseg("unet", 0.6910)),
    "unet_resnet18": _smp("14.33M"),
    "fcn_resnet50": _torchvision("35322218", "152.717G", _mmseg("fcn", 0.7565)),
    "fcn_resnet101": _torchvision("54314346", "232.738G", _mmseg("fcn", 0.7737)),
    "deeplabv3_resnet18": _smp("15.90M"),
    "deeplabv3_resnet50": _torchvision("42004074", "178.722G", _mmseg("deeplabv3", 0.7963)),
    "deeplabv3_resnet101": _torchvision("60996202", "258.743G", _mmseg("deeplabv3", 0.8001)),
    "deeplabv3_mobilenet_v3_large": _torchvision("11029328", "10.452G"),
    "deeplabv3plus_resnet18": _smp("12.33M"),
    "deeplabv3plus_resnet50": Figures(claim=_mmseg("deeplabv3plus", 0.8028)),
    "deeplabv3plus_resnet101": Figures(claim=_mmseg("deeplabv3plus", 0.8016)),
    "deeplabv3plus_mobilenet_v2": Figures(claim=_mmseg("mobilenet_v2", 0.7520)),
    "lraspp_mobilenet_v3_large": _torchvision("3221538", "2.086G", _mmseg("mobilenet_v3", 0.6954)),
    "unetplusplus_resnet18": _smp("15.97M"),
    "linknet_resnet18": _smp("11.66M"),
    "fpn_resnet18": _smp("13.05M"),
    "fpn_resnet50": Figures(claim=_mmseg("sem_fpn", 0.7452)),
    "pspnet_resnet18": _smp("11.41M"),
    "pspnet_resnet50": Figures(claim=_mmseg("pspnet", 0.7822)),
    "pan_resnet18": _smp("11.37M"),
    "manet_resnet18": _smp("21.68M"),
    "segformer_b0": _segformer("3.8M", "125.5G"),
    "segformer_b1": _segformer("13.7M", "243.7G"),
    "segformer_b2": _segformer("27.5M", "717.1G"),
    "segformer_b3": _segformer("47.3M", "962.9G"),
    "segformer_b4": _segformer("64.1M", "1240.6G"),
    "segformer_b5": _segformer("84.7M", "1460.4G"),
    "ddrnet_23_slim": _code("5695987", "ydhongHIT/DDRNet", "36.3G"),
    "ddrnet_23": _code("20148947", "ydhongHIT/DDRNet", "143.0G"),
    "ddrnet_39": _code("32360275", "ydhongHIT/DDRNet"),
    "pidnet_s": _code("7625715", "XuJiacong/PIDNet", "47.3G"),
    "pidnet_m": _code("28538515", "XuJiacong/PIDNet", "177.0G"),
    "pidnet_l": _code("36939571", "XuJiacong/PIDNet", "275.0G"),
    "bisenetv1_resnet18": _both(_RDRNET, "13.3M", "118.0G"),
    "bisenetv2": _code("3358627", "CoinCheung/BiSeNet", "98.4G"),
    "stdc1": _code("8275104", "MichaelFan01/STDC-Seg"),
    "stdc2": _code("12305568", "MichaelFan01/STDC-Seg"),
    "fast_scnn": _paper(
        "1.11M", "the weights of convolutions alone; here with biases and batch norm", miou=0.686,
    ),
    "enet": Figures(
        params=Figure(said="0.37M", source=_ZH320, why=_ENET_PARAMS),
        macs=Figure(said="3.83G", source="https://arxiv.org/abs/1606.02147", input_size=(360, 640),
                    why="published are operations, two to a MAC: here 3.55 G"),
    ),
    "erfnet": _paper("2.06M"),
    "regseg": _paper("3.34M"),
    "cgnet": _paper("0.5M", source="https://github.com/wutianyiRosun/CGNet"),
    "dabnet": Figures(
        params=Figure(said="0.76M", source="https://github.com/Reagan1311/DABNet"),
        claim=Claim(miou=0.6957, protocol="val or test", source="https://github.com/Reagan1311/DABNet"),
    ),
    "edanet": _paper("0.68M"),
    "espnetv2": _espnetv2("0.79M", "2.70G"),
    "espnetv2_s15": _espnetv2("0.47M", "1.71G"),
    "espnetv2_s10": _espnetv2("0.23M", "1.09G"),
    "espnetv2_s05": _espnetv2("0.08M", "0.60G"),
    "contextnet": _paper(
        "0.85M", "the weights of convolutions alone; here with biases and batch norm", miou=0.659,
    ),
    "fddwnet": _paper("0.80M", "the public code and weights, whose network this is, have 0.774 M"),
    "hrnet_w18_small": _both(_HRNET, "3.9M", "71.6G", _GIBI),
    "hrnet_w48": _both(_HRNET, "65.8M", "696.2G", _GIBI),
    "efficientvit_seg_b0": _both(_EFFICIENTVIT, "0.7M", "4.4G"),
    "efficientvit_seg_b1": _both(_EFFICIENTVIT, "4.8M", "25G"),
    "efficientvit_seg_b2": _both(_EFFICIENTVIT, "15M", "74G"),
    "efficientvit_seg_l1": _both(_EFFICIENTVIT, "40M", "282G"),
    "segnext_t": _both(_SEGNEXT, "4M", "56G", "the reference's own code and configuration build a graph of 50.1 G"),
    "segnext_s": _both(_SEGNEXT, "14M", "125G"),
    "segnext_b": _both(_SEGNEXT, "28M", "276G"),
    "fc_hardnet_70": _both(_HARDNET, "4.1M", "35.4G"),
    "icnet_resnet18": Figures(
        params=Figure(said="26.5M", source=_ZH320, why=_ICNET), macs=Figure(said="30.7G", source=_HARDNET, why=_ICNET),
    ),
    "swiftnet_resnet18": _both(
        _SWIFTNET, "11.8M", "104.0G", claim=Claim(miou=0.754, protocol="whole", source=_SWIFTNET),
    ),
}
# fmt: on
"""By row; those of which nothing is published beside a checkpoint's claim are left out."""
