"""Checkpoints of networks of two branches: DDRNet, PIDNet, BiSeNet V1 and V2, STDC-Seg and PP-LiteSeg.

Left out, since they are another function than the row: MMSegmentation's BiSeNetV1 (a ReLU inside the fusion's
attention) and BiSeNetV2 (bilinear where the row takes the nearest), and all of zh320's, which are networks of its own.
Left out, since they saw what they would be scored on: PIDNet's `test` files. STDC-Seg's own files are left out since
their batch norms use |weight| and have no address of their own.

super-gradients' loader matches tensors by their order; names here are those of its code at the commit `_SG_COMMIT`, by
which PP-LiteSeg's files are known to load. A file with older names is refused.
"""

from __future__ import annotations

from zoo.published import two_branch_names as names
from zoo.published.claims import CITYSCAPES_TERMS, UNKNOWN, Claim, Stated
from zoo.published.facts import FULL, KeyMap, Published
from zoo.published.mmseg import mmseg
from zoo.spec import Feeding, Size

_FULL = (1024, 2048)
_COIN = "https://github.com/CoinCheung/BiSeNet"
_SG = "https://github.com/Deci-AI/super-gradients"
_SG_COMMIT = "e0ccacf8868ffa1296fa4f8407c03d2bc227312c"
_DDRNET = "https://github.com/ydhongHIT/DDRNet"
_PIDNET = "https://github.com/XuJiacong/PIDNet"
_PIDNET_FOLDER = (
    "https://drive.google.com/drive/folders/0BySIOtxxULinfjlGdGFiT3NQVUdLVDBxWnhhTjB4VXNBRkFOa281WHlkektYY2VBcWVZb1k"
    "?resourcekey=0-w0JIXUekD-FCW-Rm1Z-HfQ"
)
_STEM_BIAS = (r"^stem\.[01]\.0\.bias$",)
_HEAD_BIAS = (r"^head\.1\.bias$",)


def _super_gradients(
    model: str, tag: str, name: str, size: Size, miou: float, key_map: KeyMap, left_out: str, *zeroed: str,
    sha256: str | None = None,
) -> Published:  # fmt: skip
    protocol = "whole" if size == _FULL else f"image at {size[0]}x{size[1]}, labels whole"
    return Published(
        model=model, tag=tag, file_name=f"{name}_cityscapes.pth", sha256=sha256,
        url=f"https://d2gjn4b69gu75n.cloudfront.net/models/{name}_cityscapes.pth", key_map=key_map,
        left_out=(left_out,), zeroed=zeroed, feeding=FULL.model_copy(update={"input_size": size}),
        code_licence=Stated(value="Apache-2.0", source=f"{_SG}/blob/{_SG_COMMIT}/LICENSE.md"), weights_licence=UNKNOWN,
        data_terms=CITYSCAPES_TERMS,
        claim=Claim(
            miou=miou, protocol=protocol, source=f"{_SG}/blob/{_SG_COMMIT}/documentation/source/model_zoo.md"
        ),
    )  # fmt: skip


def _official(
    model: str, repository: str, file: str, url: str, miou: float, key_map: KeyMap, left_out: str
) -> Published:
    licence = Stated(value="MIT", source=f"{repository}/blob/main/LICENSE")
    return Published(
        model=model, tag="official", file_name=file, url=url, in_folder=url == _PIDNET_FOLDER, key_map=key_map,
        left_out=(left_out,),
        feeding=FULL, code_licence=licence, weights_licence=UNKNOWN, data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol="whole", source=repository),
    )  # fmt: skip


def _coin(model: str, name: str, miou: float, key_map: KeyMap, left_out: str) -> Published:
    licence = Stated(value="MIT", source=f"{_COIN}/blob/master/LICENSE")
    return Published(
        model=model, tag="coincheung", file_name=f"{name}.pth", url=f"{_COIN}/releases/download/0.0.0/{name}.pth",
        key_map=key_map, left_out=(left_out,),
        feeding=Feeding(mean=(0.3257, 0.3690, 0.3223), std=(0.2112, 0.2148, 0.2115), input_size=_FULL),
        code_licence=licence, weights_licence=licence, data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol="whole", source=_COIN),
    )  # fmt: skip


def _pidnet(size: str, file: str, at_mmseg: float, official: float) -> tuple[Published, Published]:
    run, upper = f"pidnet-{size}_2xb6-120k_1024x1024-cityscapes", size.upper()
    return (
        mmseg(
            f"pidnet_{size}", f"pidnet/{run}/{run}_{file}.pth", at_mmseg, names.PIDNET_MMSEG,
            left_out=(r"^decode_head\.[pd]_",), zeroed=_STEM_BIAS,
        ),
        _official(
            f"pidnet_{size}", _PIDNET, f"PIDNet_{upper}_Cityscapes_val.pt", _PIDNET_FOLDER, official, names.PIDNET,
            r"^(model\.seghead_[pd]|sem_loss)\.",
        ),
    )  # fmt: skip


def _ddrnet(
    size: str, run: str, file: str, at_mmseg: float, drive: str, official: float, sg: float
) -> tuple[Published, ...]:
    model = f"ddrnet_{size}"
    return (
        mmseg(
            model, f"ddrnet/{run}/{run}_{file}.pth", at_mmseg, names.DDRNET_MMSEG, left_out=(r"^decode_head\.aux_",),
            zeroed=_STEM_BIAS,
        ),
        _official(
            model, _DDRNET, f"ddrnet_{size}-cityscapes-val.pth", f"https://drive.google.com/uc?id={drive}", official,
            names.DDRNET, r"^(model\.seghead_extra|loss)\.",
        ),
        _super_gradients(model, "super-gradients", model, _FULL, sg, names.DDRNET_SG, r"^seghead_extra\."),
    )  # fmt: skip


def _stdc(size: str, file: str, at_mmseg: float, at_half: float, at_three_quarters: float) -> tuple[Published, ...]:
    model, run = f"stdc{size}", f"stdc{size}_in1k-pre_512x1024_80k_cityscapes"
    aside = r"^(aux|detail)_head"
    return (
        mmseg(model, f"stdc/{run}/{run}_{file}.pth", at_mmseg, names.STDC_MMSEG, left_out=(r"^auxiliary_head\.",)),
        _super_gradients(
            model, "super-gradients-50", f"{model}_seg50", (512, 1024), at_half, names.STDC_SG, aside, *_HEAD_BIAS
        ),
        _super_gradients(
            model, "super-gradients-75", f"{model}_seg75", (768, 1536), at_three_quarters, names.STDC_SG, aside,
            *_HEAD_BIAS,
        ),
    )  # fmt: skip


def _pp_liteseg(size: str, tag: str, input_size: Size, miou: float, sha256: str) -> Published:
    return _super_gradients(
        f"pp_liteseg_{size}", f"super-gradients-{tag}", f"pp_lite_{size}_seg{tag}", input_size, miou,
        names.PP_LITESEG_SG, r"^aux_heads\.", sha256=sha256,
    )  # fmt: skip


# fmt: off
TWO_BRANCH: tuple[Published, ...] = (
    *_pidnet("s", "20230302_191700-bb8e3bcc", 0.7874, 0.788),
    *_pidnet("m", "20230301_143452-f9bcdbf3", 0.8022, 0.799),
    *_pidnet("l", "20230303_114514-0783ca6b", 0.8089, 0.809),
    *_ddrnet("23_slim", "ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024", "20230426_145312-6a5e5174", 0.7784,
             "1d_K3Af5fKHYwxSo8HkxpnhiekhwovmiP", 0.778, 0.7941),
    *_ddrnet("23", "ddrnet_23_in1k-pre_2xb6-120k_cityscapes-1024x1024", "20230425_162633-81601db0", 0.7953,
             "16viDZhbmuc3y7OSsUo2vhA7V6kYO0KX6", 0.795, 0.8148),
    _super_gradients("ddrnet_39", "super-gradients", "ddrnet_39", _FULL, 0.8132, names.DDRNET_SG, r"^seghead_extra\."),
    _coin("bisenetv1_resnet18", "model_final_v1_city_new", 0.7544, names.BISENETV1, r"^conv_out(16|32)\."),
    _coin("bisenetv2", "model_final_v2_city", 0.7495, names.BISENETV2, r"^aux"),
    *_stdc("1", "20220224_141648-3d4c2981", 0.7494, 0.7511, 0.778),
    *_stdc("2", "20220224_073048-1f8f0f6c", 0.7667, 0.7644, 0.7893),
    _pp_liteseg("t", "50", (512, 1024), 0.7492, "ae9ad0cae645ebdfb8de661e8dbf1c33e08c0d90997954429b467e70e9ca4194"),
    _pp_liteseg("t", "75", (768, 1536), 0.7756, "1fdd809572a1b3168727ed0dea32da287c9917ed0ebbfdf8ecab87a3116733f6"),
    _pp_liteseg("b", "50", (512, 1024), 0.7648, "f7a6769dd37290ee1145c5f1aa2a669b5421591d3afaf8629910614405fe7122"),
    _pp_liteseg("b", "75", (768, 1536), 0.7852, "383bfb69b3ffb643224dbf76047acacd9b48a1564958a20f1aca69c5453dca3e"),
)
# fmt: on
