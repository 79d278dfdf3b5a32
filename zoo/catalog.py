"""The registry: `MODELS`, one literal table of `ModelSpec` rows, and the ways to name a model.

Adding a model is one file in `zoo/models/` and one row here. Nothing in this file imports torch.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.allowed import MODEL_LETTERS
from zoo.errors import UserError, did_you_mean
from zoo.hub.models import find_hub
from zoo.identity import module_file
from zoo.spec import ModelSpec, RecipeFamily

EXPORTED = (".onnx", ".pt2")
"""How files that `zoo bench --file` measures end."""
ENTRY_POINTS = "zoo.models"
"""Entry-point group under which installed packages offer models."""

_TORCHVISION = "BSD-3-Clause (torchvision)"
_SMP = "MIT (smp)"

# Architecture → the paper and where it stands.
_PAPERS: dict[str, tuple[str, str]] = {
    "Encoder-decoder": ("none: a tutorial's first network", ""),
    "U-Net": ("Ronneberger et al., MICCAI 2015", "https://arxiv.org/abs/1505.04597"),
    "FCN-8s": ("Long et al., CVPR 2015", "https://arxiv.org/abs/1411.4038"),
    "FCN": ("Long et al., CVPR 2015", "https://arxiv.org/abs/1411.4038"),
    "DeepLabV3": ("Chen et al., 2017", "https://arxiv.org/abs/1706.05587"),
    "DeepLabV3+": ("Chen et al., ECCV 2018", "https://arxiv.org/abs/1802.02611"),
    "LR-ASPP": ("Howard et al., ICCV 2019", "https://arxiv.org/abs/1905.02244"),
    "U-Net++": ("Zhou et al., DLMIA 2018", "https://arxiv.org/abs/1807.10165"),
    "LinkNet": ("Chaurasia and Culurciello, VCIP 2017", "https://arxiv.org/abs/1707.03718"),
    "FPN": ("Kirillov et al., CVPR 2019", "https://arxiv.org/abs/1901.02446"),
    "PSPNet": ("Zhao et al., CVPR 2017", "https://arxiv.org/abs/1612.01105"),
    "PAN": ("Li et al., BMVC 2018", "https://arxiv.org/abs/1805.10180"),
    "MAnet": ("Fan et al., IEEE Access 2020", "https://doi.org/10.1109/ACCESS.2020.3025372"),
    "UPerNet": ("Xiao et al., ECCV 2018", "https://arxiv.org/abs/1807.10221"),
    "SegFormer": ("Xie et al., NeurIPS 2021", "https://arxiv.org/abs/2105.15203"),
    "DPT": ("Ranftl et al., ICCV 2021", "https://arxiv.org/abs/2103.13413"),
    "DDRNet": ("Hong et al., T-ITS 2022", "https://arxiv.org/abs/2101.06085"),
    "PIDNet": ("Xu et al., CVPR 2023", "https://arxiv.org/abs/2206.02066"),
    "BiSeNet": ("Yu et al., ECCV 2018", "https://arxiv.org/abs/1808.00897"),
    "BiSeNetV2": ("Yu et al., IJCV 2021", "https://arxiv.org/abs/2004.02147"),
    "STDC-Seg": ("Fan et al., CVPR 2021", "https://arxiv.org/abs/2104.13188"),
    "PP-LiteSeg": ("Peng et al., 2022", "https://arxiv.org/abs/2204.02681"),
    "Fast-SCNN": ("Poudel et al., BMVC 2019", "https://arxiv.org/abs/1902.04502"),
    "ENet": ("Paszke et al., 2016", "https://arxiv.org/abs/1606.02147"),
    "ERFNet": ("Romera et al., IEEE T-ITS 2018", "https://doi.org/10.1109/TITS.2017.2750080"),
    "RegSeg": ("Gao, CVPR Workshops 2023", "https://arxiv.org/abs/2111.09957"),
    "CGNet": ("Wu et al., IEEE TIP 2021", "https://arxiv.org/abs/1811.08201"),
    "DABNet": ("Li et al., BMVC 2019", "https://arxiv.org/abs/1907.11357"),
    "EDANet": ("Lo et al., ACM Multimedia Asia 2019", "https://arxiv.org/abs/1809.06323"),
    "ESPNetV2": ("Mehta et al., CVPR 2019", "https://arxiv.org/abs/1811.11431"),
    "ContextNet": ("Poudel et al., BMVC 2018", "https://arxiv.org/abs/1805.04554"),
    "FDDWNet": ("Liu et al., ICASSP 2020", "https://arxiv.org/abs/1911.00632"),
    "HRNetV2": ("Wang et al., TPAMI 2020", "https://arxiv.org/abs/1908.07919"),
    "OCRNet": ("Yuan et al., ECCV 2020", "https://arxiv.org/abs/1909.11065"),
    "EfficientViT-Seg": ("Cai et al., ICCV 2023", "https://arxiv.org/abs/2205.14756"),
    "SegNeXt": ("Guo et al., NeurIPS 2022", "https://arxiv.org/abs/2209.08575"),
    "FC-HarDNet": ("Chao et al., ICCV 2019", "https://arxiv.org/abs/1909.00948"),
    "ICNet": ("Zhao et al., ECCV 2018", "https://arxiv.org/abs/1704.08545"),
    "SwiftNet": ("Oršić et al., CVPR 2019", "https://arxiv.org/abs/1903.08469"),
}


class _Decoder(NamedTuple):
    """What smp's decoders need; heads that do not upsample have nothing to align."""

    family: str
    divisor: int
    align_corners: bool
    min_side: int = 1


_DECODERS: dict[str, _Decoder] = {
    "unet": _Decoder("U-Net", 32, False),
    "unetplusplus": _Decoder("U-Net++", 32, False),
    "linknet": _Decoder("LinkNet", 32, False),
    "manet": _Decoder("MAnet", 32, False),
    "fpn": _Decoder("FPN", 32, True),
    "pspnet": _Decoder("PSPNet", 8, True),
    "pan": _Decoder("PAN", 16, True, 128),  # it pools three times behind stride 16
    "deeplabv3": _Decoder("DeepLabV3", 8, True),
    "deeplabv3plus": _Decoder("DeepLabV3+", 16, True),
    "upernet": _Decoder("UPerNet", 32, True),
    "segformer": _Decoder("SegFormer", 32, True),
    "dpt": _Decoder("DPT", 32, True),
}

_SWIN = {"strict_img_size": False, "always_partition": True}
"""Any input size; windows of 7 and their shift in every stage, as published."""
_VIT = {"dynamic_img_size": True}
"""Any input size; position embeddings are interpolated."""


def _row(name: str, family: str, encoder: str, builder: str, **facts: Any) -> ModelSpec:
    paper, url = _PAPERS[family]
    module, function = builder.split(":")
    return ModelSpec(
        name=name, family=family, encoder=encoder, builder=f"zoo.models.{module}:{function}", paper=paper, url=url,
        **facts,
    )  # fmt: skip


def _torchvision(name: str, family: str, encoder: str, tags: tuple[str, ...] = (), kind: str = "dilated") -> ModelSpec:
    weights = {
        "ResNet-50": "ResNet50_Weights.IMAGENET1K_V1",
        "ResNet-101": "ResNet101_Weights.IMAGENET1K_V1",
        "MobileNetV3-Large": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
    }[encoder]
    return _row(
        name, family, encoder, f"from_torchvision:{kind}", args={"function": name}, tags=tags, licence=_TORCHVISION,
        pretrained=f"torchvision {weights}",
    )  # fmt: skip


def _smp(
    name: str, decoder: str, encoder: str, smp_encoder: str, weights: str = "", *, tags: tuple[str, ...] = (),
    recipe: RecipeFamily = "sgd_poly", licence: str = _SMP, options: dict[str, Any] | None = None, **facts: Any,
) -> ModelSpec:  # fmt: skip
    return _row(
        name, encoder=encoder, builder="from_smp:smp_model",
        args={"decoder": decoder, "encoder": smp_encoder, **(options or {})}, tags=tags, recipe=recipe, licence=licence,
        pretrained=weights or f"smp-hub/{smp_encoder}.imagenet", **_DECODERS[decoder]._asdict(), **facts,
    )  # fmt: skip


def _segformer(size: int) -> ModelSpec:
    return _smp(
        f"segformer_b{size}", "segformer", f"MiT-B{size}", f"mit_b{size}", tags=("transformer",), recipe="adamw_poly",
        licence="NVIDIA Source Code License, non-commercial (encoder), MIT (smp)",
        options={"decoder_segmentation_channels": 256 if size < 2 else 768},
    )  # fmt: skip


_OWN = "Apache-2.0"


def _realtime(
    name: str, family: str, divisor: int, builder: str = "", encoder: str = "", licence: str = _OWN, *,
    fast: bool = False, **facts: Any,
) -> ModelSpec:  # fmt: skip
    """A network written here; its file and builder are called as its family is, where nothing else is said.

    `fast` ones span the front of published mIoU and speed: what a person in a hurry measures.
    """
    tags = ("realtime", "fast") if fast else ("realtime",)
    file = family.lower().replace("-", "_")
    builder = builder or f"{file}:{file}"
    return _row(name, family, encoder, builder, divisor=divisor, tags=tags, licence=licence, **facts)


_CONVNEXT, _SWIN_T = "convnext_tiny.in12k_ft_in1k", "swin_tiny_patch4_window7_224.ms_in1k"
_VIT_B = "vit_base_patch16_224.augreg_in21k"

# fmt: off
_ROWS: tuple[ModelSpec, ...] = (
    _row("encoder_decoder", "Encoder-decoder", "", "encoder_decoder:encoder_decoder", divisor=4, tags=("core",),
         licence=_OWN),
    _row("unet", "U-Net", "", "unet:unet", divisor=16, tags=("core",), licence=_OWN),
    _smp("unet_resnet18", "unet", "ResNet-18", "resnet18"),
    _smp("unet_resnet34", "unet", "ResNet-34", "resnet34"),
    _smp("unet_resnet50", "unet", "ResNet-50", "resnet50"),
    _smp("unet_mobilenet_v2", "unet", "MobileNetV2", "mobilenet_v2", tags=("mobile",)),
    _row("fcn8s_vgg16", "FCN-8s", "VGG16", "fcn8s:fcn8s_vgg16", divisor=32, licence=f"{_OWN}, {_TORCHVISION}",
         pretrained="torchvision VGG16_Weights.IMAGENET1K_V1"),
    _torchvision("fcn_resnet50", "FCN", "ResNet-50", tags=("core",)),
    _torchvision("fcn_resnet101", "FCN", "ResNet-101"),
    _smp("deeplabv3_resnet18", "deeplabv3", "ResNet-18", "resnet18"),
    _torchvision("deeplabv3_resnet50", "DeepLabV3", "ResNet-50", tags=("core",)),
    _torchvision("deeplabv3_resnet101", "DeepLabV3", "ResNet-101"),
    _torchvision("deeplabv3_mobilenet_v3_large", "DeepLabV3", "MobileNetV3-Large", tags=("mobile",)),
    _smp("deeplabv3plus_resnet18", "deeplabv3plus", "ResNet-18", "resnet18"),
    _smp("deeplabv3plus_resnet50", "deeplabv3plus", "ResNet-50", "resnet50"),
    _smp("deeplabv3plus_resnet101", "deeplabv3plus", "ResNet-101", "resnet101"),
    _smp("deeplabv3plus_mobilenet_v2", "deeplabv3plus", "MobileNetV2", "mobilenet_v2", tags=("mobile",)),
    _torchvision("lraspp_mobilenet_v3_large", "LR-ASPP", "MobileNetV3-Large", tags=("mobile",), kind="lraspp"),
    _smp("unetplusplus_resnet18", "unetplusplus", "ResNet-18", "resnet18"),
    _smp("unetplusplus_resnet50", "unetplusplus", "ResNet-50", "resnet50"),
    _smp("linknet_resnet18", "linknet", "ResNet-18", "resnet18"),
    _smp("linknet_resnet50", "linknet", "ResNet-50", "resnet50"),
    _smp("fpn_resnet18", "fpn", "ResNet-18", "resnet18"),
    _smp("fpn_resnet50", "fpn", "ResNet-50", "resnet50"),
    _smp("pspnet_resnet18", "pspnet", "ResNet-18", "resnet18"),
    _smp("pspnet_resnet50", "pspnet", "ResNet-50", "resnet50"),
    _smp("pan_resnet18", "pan", "ResNet-18", "resnet18"),
    _smp("pan_resnet50", "pan", "ResNet-50", "resnet50"),
    _smp("manet_resnet18", "manet", "ResNet-18", "resnet18"),
    _smp("manet_resnet50", "manet", "ResNet-50", "resnet50"),
    _smp("upernet_convnext_tiny", "upernet", "ConvNeXt-Tiny", f"tu-{_CONVNEXT}", f"timm/{_CONVNEXT}",
         recipe="adamw_poly", licence="MIT (smp), Apache-2.0 (timm)"),
    _smp("upernet_swin_tiny", "upernet", "Swin-Tiny", f"tu-{_SWIN_T}", f"timm/{_SWIN_T}", recipe="adamw_poly",
         tags=("transformer",), options=_SWIN, licence="MIT (smp), Apache-2.0 (timm)"),
    *(_segformer(size) for size in range(6)),
    _smp("dpt_vit_b", "dpt", "ViT-B/16", f"tu-{_VIT_B}", f"timm/{_VIT_B}", recipe="adamw_poly", tags=("transformer",),
         options=_VIT, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), licence="MIT (smp), Apache-2.0 (timm)"),
    _realtime("ddrnet_23_slim", "DDRNet", 8, args={"size": "23_slim"}, fast=True),
    _realtime("ddrnet_23", "DDRNet", 8, args={"size": "23"}),
    _realtime("ddrnet_39", "DDRNet", 8, args={"size": "39"}),
    _realtime("pidnet_s", "PIDNet", 8, args={"size": "s"}, align_corners=True, fast=True),
    _realtime("pidnet_m", "PIDNet", 8, args={"size": "m"}, align_corners=True),
    _realtime("pidnet_l", "PIDNet", 8, args={"size": "l"}, align_corners=True),
    _realtime("bisenetv1_resnet18", "BiSeNet", 32, "bisenetv1:bisenetv1_resnet18", encoder="ResNet-18",
              pretrained="torchvision ResNet18_Weights.IMAGENET1K_V1", licence=f"{_OWN}, {_TORCHVISION}"),
    _realtime("bisenetv2", "BiSeNetV2", 32, args={"head_width": 1024}, fast=True),
    _realtime("stdc1", "STDC-Seg", 32, "stdc:stdc", args={"size": "1"}, align_corners=True, fast=True),
    _realtime("stdc2", "STDC-Seg", 32, "stdc:stdc", args={"size": "2"}, align_corners=True),
    _realtime("pp_liteseg_t", "PP-LiteSeg", 32, args={"size": "t"}, fast=True),
    _realtime("pp_liteseg_b", "PP-LiteSeg", 32, args={"size": "b"}),
    _realtime("fast_scnn", "Fast-SCNN", 32, align_corners=True, fast=True),
    _realtime("fast_scnn_mmseg", "Fast-SCNN", 32, args={"mmseg": True}),
    _realtime("enet", "ENet", 8),
    _realtime("erfnet", "ERFNet", 8),
    _realtime("regseg", "RegSeg", 16, fast=True),
    _realtime("cgnet", "CGNet", 8),
    _realtime("dabnet", "DABNet", 8),
    _realtime("edanet", "EDANet", 8, align_corners=True),
    _realtime("espnetv2", "ESPNetV2", 16, align_corners=True, args={"size": "2.0"}),
    _realtime("espnetv2_s15", "ESPNetV2", 16, align_corners=True, args={"size": "1.5"}),
    _realtime("espnetv2_s10", "ESPNetV2", 16, align_corners=True, args={"size": "1.0"}),
    _realtime("espnetv2_s05", "ESPNetV2", 16, align_corners=True, args={"size": "0.5"}),
    _realtime("contextnet", "ContextNet", 32, align_corners=True),
    _realtime("fddwnet", "FDDWNet", 8),
    # Several resolutions side by side, and larger encoders made for speed
    _row("hrnet_w18_small", "HRNetV2", "HRNetV2-W18-small", "hrnet:hrnet", args={"size": "w18_small"},
         licence=f"{_OWN}, {_TORCHVISION}"),
    _row("hrnet_w48", "HRNetV2", "HRNetV2-W48", "hrnet:hrnet", args={"size": "w48"}, licence=f"{_OWN}, {_TORCHVISION}"),
    _row("hrnet_w48_ocr", "OCRNet", "HRNetV2-W48", "hrnet:hrnet_ocr", args={"size": "w48"},
         licence=f"{_OWN}, {_TORCHVISION}"),
    *(_row(f"efficientvit_seg_{size}", "EfficientViT-Seg", f"EfficientViT-{size.upper()}",
           "efficientvit:efficientvit_seg", args={"size": size}, divisor=32, recipe="adamw_poly", licence=_OWN,
           tags=tags)
      for size, tags in (("b0", ("realtime", "fast", "transformer")), ("b1", ("realtime", "transformer")),
                         ("b2", ("realtime", "transformer")), ("l1", ("transformer",)))),
    *(_row(f"segnext_{size}", "SegNeXt", f"MSCAN-{size.upper()}", "segnext:segnext", args={"size": size},
           recipe="adamw_poly", licence=f"{_OWN}, {_TORCHVISION}", tags=("realtime",) if size == "t" else ())
      for size in ("t", "s", "b")),
    _row("fc_hardnet_70", "FC-HarDNet", "", "fc_hardnet:fc_hardnet_70", divisor=64, align_corners=True, licence=_OWN,
         tags=("realtime",)),
    _row("icnet_resnet18", "ICNet", "ResNet-18", "icnet:icnet_resnet18", licence=_OWN, tags=("realtime",)),
    _row("swiftnet_resnet18", "SwiftNet", "ResNet-18", "swiftnet:swiftnet_resnet18", recipe="adamw_poly",
         licence=f"{_OWN}, {_TORCHVISION}", tags=("realtime",),
         pretrained="torchvision ResNet18_Weights.IMAGENET1K_V1"),
)
# fmt: on

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _ROWS}

# Encoders of these families are trained with AdamW, whatever decoder they stand under.
_ADAMW_ENCODERS = ("beit", "convnext", "deit", "eva", "hiera", "maxvit", "mvit", "nextvit", "pvt", "swin", "vit")


def find(name: str) -> ModelSpec:
    """Return the spec a name stands for; nothing is built or imported, and of a hub's repository one file is fetched.

    Args:
        name: a name of the table, `decoder:timm/encoder`, `hf:` or `smp:` and a folder or a hub's repository,
            `path/to/net.py:build`, `package.module:build`, or the name of an entry point in the group `zoo.models`.

    Raises:
        UserError: no such model, decoder, file, module or repository, or one of a longer name than records hold.
    """
    if not isinstance(name, str):
        raise UserError(f"a model is named by a word, such as 'unet': `zoo list` shows all; got {name!r}")
    if name in MODELS:
        return MODELS[name]
    spec = _find_other(name)
    if len(spec.name) > MODEL_LETTERS:
        raise UserError(
            f"a model is called {spec.name[:40]!r}…, by {len(spec.name)} letters, and records hold {MODEL_LETTERS}; "
            "rename its file or function"
        )
    return spec


def _find_other(name: str) -> ModelSpec:
    if (hub := find_hub(name)) is not None:
        return _with_paper(hub)
    head, colon, tail = name.rpartition(":")
    if not colon:
        return _find_installed(name)
    if tail.startswith("timm/"):
        return _find_timm(name, head, tail.removeprefix("timm/"))
    if not tail.isidentifier():
        raise UserError(
            f"{name!r}: {tail!r} is no name of a function; give path/to/net.py:build or package.module:build"
        )
    if head.endswith(".py"):
        path = Path(head).expanduser()
        if not path.is_file():
            raise UserError(f"no file {head!r}; a model of your own is path/to/net.py:build")
        return _own(f"{path.stem}:{tail}", f"{path.resolve()}:{tail}")
    if not all(part.isidentifier() for part in head.split(".")) or module_file(head) is None:
        near = did_you_mean(head, _DECODERS) if "/" not in head else ""
        raise UserError(
            f"no module {head!r} for {name!r}.{near} "
            "A model of your own is path/to/net.py:build or package.module:build"
        )
    return _own(name, name)


def select(patterns: Sequence[str], tag: str | None = None) -> list[ModelSpec]:
    """Return the models that patterns name, in the order of the table, other models behind, none twice.

    Args:
        patterns: `all` (the whole table), names, globs, tags, whatever `find` takes, or comma lists of these.
        tag: keep only models with this tag.

    Raises:
        UserError: a pattern that names nothing, an unknown tag, or nothing left.
    """
    tags = sorted({tag for spec in MODELS.values() for tag in spec.tags})
    if tag is not None and tag not in tags:
        raise UserError(f"no tag {tag!r}.{did_you_mean(tag, tags)} Tags: {', '.join(tags)}")
    chosen: dict[str, ModelSpec] = {}
    words = [word.strip() for pattern in patterns for word in pattern.split(",") if word.strip()]
    for word in words:
        chosen.update((spec.builder + spec.name + spec.hub, spec) for spec in _matches(word, tags))
    kept = [spec for spec in chosen.values() if tag is None or tag in spec.tags]
    if not kept:
        asked = " ".join(words) or "nothing"
        raise UserError(f"no model is left of {asked!r}{f' with the tag {tag!r}' if tag else ''}; see `zoo list`")
    twice = [name for name, times in Counter(spec.name for spec in kept).items() if times > 1]
    if twice:
        raise UserError(f"two different models are called {twice[0]!r}; rename one, since records go by that name")
    order = {name: place for place, name in enumerate(MODELS)}
    return sorted(kept, key=lambda spec: order.get(spec.name, len(order)))


def list_models(patterns: str | Sequence[str] = "all", tag: str | None = None) -> list[str]:
    """Return the names that `select` would choose, in the order of the table.

    Raises:
        UserError: a pattern or tag that nothing matches.
    """
    return [spec.name for spec in select([patterns] if isinstance(patterns, str) else patterns, tag=tag)]


def _matches(word: str, tags: Iterable[str]) -> list[ModelSpec]:
    if word == "all":
        return list(MODELS.values())
    if word in tags:
        return [spec for spec in MODELS.values() if word in spec.tags]
    if ":" not in word and any(sign in word for sign in "*?["):
        names = fnmatch.filter(MODELS, word)
        if not names:
            raise UserError(f"no model matches {word!r}; `zoo list` shows all {len(MODELS)}")
        return [MODELS[name] for name in names]
    return [find(word)]


def _find_installed(name: str) -> ModelSpec:
    points = {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name in points:
        return _own(name, points[name])
    tags = ("all", *(tag for spec in MODELS.values() for tag in spec.tags))
    if name in tags:
        raise UserError(f"{name!r} is a tag, of several models; name one of those that `zoo list {name}` shows")
    known = [*MODELS, *points, *tags]
    if name.endswith(".py"):
        raise UserError(f"{name!r} names a file; name the function in it too, such as {name}:build")
    if Path(name).is_file():
        raise UserError(f"{name!r} is a file and no model: {_how_to_take(Path(name))}")
    raise UserError(
        f"no model {name!r}.{did_you_mean(name, known)} `zoo list` shows all; "
        "decoder:timm/encoder, hf:FOLDER and path/to/net.py:build are models too"
    )


def _how_to_take(file: Path) -> str:
    """What to do with a file that stands where a model is asked for."""
    if file.suffix not in EXPORTED:
        return "weights are named beside their model, `zoo bench --models MODEL --weights MODEL=FILE`"
    card = f"; its card is {file}.json" if Path(f"{file}.json").is_file() else ""
    return f"`zoo bench --file {shlex.quote(str(file))}` measures it{card}"


def _find_timm(name: str, decoder: str, encoder: str) -> ModelSpec:
    if decoder not in _DECODERS:
        raise UserError(f"no decoder {decoder!r}.{did_you_mean(decoder, _DECODERS)} Decoders: {', '.join(_DECODERS)}")
    if not encoder:
        raise UserError(f"{name!r} names no encoder; give one of timm's, such as {decoder}:timm/convnext_tiny")
    facts = _DECODERS[decoder]
    paper, url = _PAPERS[facts.family]
    return ModelSpec(
        name=name, builder="zoo.models.from_smp:timm_model", args={"decoder": decoder, "encoder": encoder},
        encoder=f"timm/{encoder}", paper=paper, url=url, licence=f"{_SMP}, encoder: see timm",
        recipe="adamw_poly" if encoder.startswith(_ADAMW_ENCODERS) else "sgd_poly", pretrained=f"timm/{encoder}",
        **facts._asdict(),
    )  # fmt: skip


def _with_paper(hub: ModelSpec) -> ModelSpec:
    """A hub's model with the paper of its architecture, and what is known of smp's decoder."""
    known: dict[str, Any] = {}
    if (decoder := _DECODERS.get(str(hub.args.get("kind", "")).lower())) is not None:
        known = decoder._asdict()
    paper, url = _PAPERS.get(known.get("family", hub.family), ("", hub.url))
    return hub.model_copy(update={**known, "paper": paper, "url": url})


def _own(name: str, builder: str) -> ModelSpec:
    return ModelSpec(name=name, builder=builder, family="own", own=True)
