"""Checkpoints of HRNet, EfficientViT-Seg, SegNeXt, FC-HarDNet, ICNet and SegFormer.

Left out: HRNet's own files, whose heads have biases that the row has not (MMSegmentation's are the same network without
them), its `trainval` file, which saw what it would be scored on, and all of SwiftNet's, which are of another network or
under the GPL.

Maps were read from the state dicts of the code that wrote the files, and are tested against lists of their names
(`tests/published/names`). SegFormer's are smp's own names.
"""

from __future__ import annotations

from zoo.published.claims import CITYSCAPES_TERMS, UNKNOWN, Claim, Stated
from zoo.published.facts import FULL, KeyMap, Published
from zoo.published.mmseg import mmseg
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, Feeding

_EFFICIENTVIT = "https://github.com/mit-han-lab/efficientvit"
_EFFICIENTVIT_HUB = "https://huggingface.co/han-cai/efficientvit-seg"
_SEGNEXT = "https://github.com/Visual-Attention-Network/SegNeXt"
_HARDNET = "https://github.com/PingoLH/FCHarDNet"
_SMP = "https://github.com/qubvel-org/segmentation_models.pytorch"
_SMP_HUB = "https://huggingface.co/smp-hub"
_SEGFORMER = "https://arxiv.org/abs/2105.15203"

_FULL_BGR = Feeding(
    mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1], channel_order="bgr", input_size=(1024, 2048)
)  # fmt: skip
_WINDOWS = "slide 1024x1024, stride 768"

_MMSEG_CONV: KeyMap = ((r"\.conv\.weight$", ".0.weight"), (r"\.bn\.", ".1."))

_HRNET: KeyMap = (
    (r"^backbone\.conv1\.", "stem.0.0."),
    (r"^backbone\.bn1\.", "stem.0.1."),
    (r"^backbone\.conv2\.", "stem.1.0."),
    (r"^backbone\.bn2\.", "stem.1.1."),
    (r"^backbone\.layer1\.", "stage1."),
    (r"^backbone\.transition1\.0\.", "begin.0."),
    (r"^backbone\.transition1\.1\.0\.", "begin.1."),
    (r"^backbone\.transition2\.2\.0\.", "grow.0."),
    (r"^backbone\.transition3\.3\.0\.", "grow.1."),
    (r"^backbone\.stage2\.", "stages.0."),
    (r"^backbone\.stage3\.", "stages.1."),
    (r"^backbone\.stage4\.", "stages.2."),
    (r"\.fuse_layers\.", ".fuse."),
)
_HRNET_HEAD: KeyMap = (
    *_HRNET,
    *_MMSEG_CONV,
    (r"^decode_head\.convs\.0\.", "head.0."),
    (r"^decode_head\.conv_seg\.", "head.1."),
)
_OCR: KeyMap = (
    *_HRNET,
    *_MMSEG_CONV,
    (r"^decode_head\.0\.convs\.0\.", "head.0."),
    (r"^decode_head\.0\.conv_seg\.", "head.1."),
    (r"^decode_head\.1\.object_context_block\.(query|key|value|out)_project\.", r"\1."),
    (r"^decode_head\.1\.object_context_block\.bottleneck\.", "join."),
    (r"^decode_head\.1\.bottleneck\.", "pixels."),
    (r"^decode_head\.1\.conv_seg\.", "ocr_head."),
)

_ICNET: KeyMap = (
    *_MMSEG_CONV,
    (r"^backbone\.backbone\.stem\.([01])\.", r"stem.0.\1."),
    (r"^backbone\.backbone\.stem\.3\.", "stem.1.0."),
    (r"^backbone\.backbone\.stem\.4\.", "stem.1.1."),
    (r"^backbone\.backbone\.stem\.6\.", "stem.2.0."),
    (r"^backbone\.backbone\.stem\.7\.", "stem.2.1."),
    (r"^backbone\.backbone\.", ""),
    (r"^(layer\d\.\d\.)conv([12])\.", r"\1conv\2.0."),
    (r"^(layer\d\.\d\.)bn([12])\.", r"\1conv\2.1."),
    (r"\.downsample\.", ".skip."),
    (r"^backbone\.psp_modules\.(\d)\.1\.", r"pyramid.levels.\1."),
    (r"^backbone\.psp_bottleneck\.", "pyramid.join."),
    (r"^backbone\.conv_sub1\.", "whole."),
    (r"^backbone\.conv_sub2\.", "enter_half."),
    (r"^backbone\.conv_sub4\.", "enter_quarter."),
    (r"^neck\.cff_24\.conv_", "fuse_16."),
    (r"^neck\.cff_12\.conv_", "fuse_8."),
    (r"^decode_head\.convs\.0\.", "head.0."),
    (r"^decode_head\.conv_seg\.", "head.1."),
)

_EFFICIENTVIT_PARTS: KeyMap = (
    (r"^head\.input_ops\.([01])\.op_list\.0\.", r"head.inputs.\1."),
    (r"^head\.input_ops\.2\.", "head.inputs.2."),
    (r"^head\.output_ops\.0\.", "head.out."),
    (r"^head\.middle\.op_list\.", "head.middle."),
    (r"^(stages\.[1-4]\.)op_list\.0\.main\.", r"\g<1>0."),
    (r"\.op_list\.", "."),
    (r"\.context_module\.main\.", ".0.main."),
    (r"\.local_module\.main\.", ".1.main."),
    (r"\.qkv\.conv\.", ".qkv."),
    (r"\.aggreg\.0\.", ".aggregate."),
    (r"\.proj\.", ".project."),
)
_EFFICIENTVIT_LAYERS: KeyMap = (
    (r"\.inverted_conv\.", ".0."),
    (r"\.depth_conv\.", ".1."),
    (r"\.point_conv\.", ".2."),
    (r"\.conv\.(weight|bias)$", r".0.\1"),
    (r"\.norm\.", ".1."),
)
_EFFICIENTVIT_B: KeyMap = (
    (r"^backbone\.stages\.3\.", "stages.4."),
    (r"^backbone\.stages\.2\.", "stages.3."),
    (r"^backbone\.stages\.1\.", "stages.2."),
    (r"^backbone\.stages\.0\.", "stages.1."),
    (r"^backbone\.input_stem\.", "stages.0."),
    *_EFFICIENTVIT_PARTS,
    (r"^(stages\.0\.1\.main\.)depth_conv\.", r"\g<1>0."),
    (r"^(stages\.0\.1\.main\.)point_conv\.", r"\g<1>1."),
    *_EFFICIENTVIT_LAYERS,
    (r"^head\.out\.1\.0\.", "head.out.1."),
)
_EFFICIENTVIT_L: KeyMap = (
    (r"^backbone\.", ""),
    *_EFFICIENTVIT_PARTS,
    (r"\.main\.conv1\.", ".main.0."),
    (r"\.main\.conv2\.", ".main.1."),
    (r"\.spatial_conv\.", ".0."),
    (r"^(stages\.[12]|head\.middle)\.(.*)\bpoint_conv\.", r"\1.\g<2>1."),
    *_EFFICIENTVIT_LAYERS,
    (r"^head\.out\.0\.0\.", "head.out.0."),
)

_SEGNEXT_MAP: KeyMap = (
    (r"^backbone\.patch_embed1\.proj\.([01])\.", r"stages.0.embed.0.\1."),
    (r"^backbone\.patch_embed1\.proj\.3\.", "stages.0.embed.1.0."),
    (r"^backbone\.patch_embed1\.proj\.4\.", "stages.0.embed.1.1."),
    (r"^backbone\.(patch_embed|block|norm)1\.", r"stages.0.\1."),
    (r"^backbone\.(patch_embed|block|norm)2\.", r"stages.1.\1."),
    (r"^backbone\.(patch_embed|block|norm)3\.", r"stages.2.\1."),
    (r"^backbone\.(patch_embed|block|norm)4\.", r"stages.3.\1."),
    (r"\.patch_embed\.proj\.", ".embed.0.0."),
    (r"\.patch_embed\.norm\.", ".embed.0.1."),
    (r"\.block\.", ".blocks."),
    (r"\.attn\.proj_1\.", ".attention.0."),
    (r"\.attn\.spatial_gating_unit\.", ".attention.2."),
    (r"\.attn\.proj_2\.", ".attention.3."),
    (r"\.conv0\.", ".near."),
    (r"\.conv([012])_1\.", r".strips.\1.0."),
    (r"\.conv([012])_2\.", r".strips.\1.1."),
    (r"\.conv3\.", ".mix."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.dwconv\.dwconv\.", ".mlp.1."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"\.layer_scale_([12])$", r".scale\1"),
    (r"^decode_head\.hamburger\.ham_in\.conv\.", "ham_in."),
    (r"^decode_head\.hamburger\.", ""),
    (r"^decode_head\.conv_seg\.", "head."),
    (r"^decode_head\.", ""),
    (r"\.conv\.weight$", ".0.weight"),
    (r"\.gn\.", ".1."),
)

_HARDNET_MAP: KeyMap = (
    (r"^module\.", ""),
    (r"\.conv\.", ".0."),
    (r"\.norm\.", ".1."),
    (r"^base\.([0-3])\.", r"stem.\1."),
    (r"^base\.4\.", "down.0."),
    (r"^base\.5\.", "squeeze_down.0."),
    (r"^base\.7\.", "down.1."),
    (r"^base\.8\.", "squeeze_down.1."),
    (r"^base\.10\.", "down.2."),
    (r"^base\.11\.", "squeeze_down.2."),
    (r"^base\.13\.", "down.3."),
    (r"^base\.14\.", "squeeze_down.3."),
    (r"^base\.16\.", "down.4."),
    (r"^base\.17\.", "squeeze_down.4."),
    (r"^conv1x1_up\.", "squeeze_up."),
    (r"^denseBlocksUp\.", "up."),
    (r"^finalConv\.", "head."),
)


def _efficientvit(size: str, miou: float, key_map: KeyMap) -> Published:
    file = f"efficientvit_seg_{size}_cityscapes.pt"
    return Published(
        model=f"efficientvit_seg_{size}", tag="official", file_name=file,
        url=f"{_EFFICIENTVIT_HUB}/resolve/main/{file}", key_map=key_map, feeding=FULL,
        code_licence=Stated(value="Apache-2.0", source=f"{_EFFICIENTVIT}/blob/master/LICENSE"),
        weights_licence=Stated(value="Apache-2.0", source=_EFFICIENTVIT_HUB), data_terms=CITYSCAPES_TERMS,
        claim=Claim(
            miou=miou, protocol="whole, logits upsampled bicubically",
            source=f"{_EFFICIENTVIT}/blob/master/applications/efficientvit_seg/README.md",
        ),
    )  # fmt: skip


def _segnext(size: str, name: str, share: str, miou: float) -> Published:
    return Published(
        model=f"segnext_{size}", tag="official", file_name=f"segnext_{name}_1024x1024_city_160k.pth",
        url=f"https://cloud.tsinghua.edu.cn/f/{share}/?dl=1", key_map=_SEGNEXT_MAP, feeding=FULL,
        code_licence=Stated(
            value="Apache-2.0, for commercial use contact the authors", source=f"{_SEGNEXT}/blob/main/README.md"
        ),
        data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol=_WINDOWS, source=f"{_SEGNEXT}/blob/main/README.md"),
    )  # fmt: skip


def _hardnet(tag: str, file: str, miou: float) -> Published:
    return Published(
        model="fc_hardnet_70", tag=tag, file_name=file, url=f"https://ping-chao.com/hardnet/{file}",
        key_map=_HARDNET_MAP, feeding=_FULL_BGR,
        code_licence=Stated(value="MIT", source=f"{_HARDNET}/blob/master/LICENSE"), weights_licence=UNKNOWN,
        data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol="whole", source=f"{_HARDNET}/blob/master/README.md"),
    )  # fmt: skip


def _segformer(size: int, miou: float) -> Published:
    repository = f"{_SMP_HUB}/segformer-b{size}-1024x1024-city-160k"
    return Published(
        model=f"segformer_b{size}", tag="smp-hub", file_name=f"segformer-b{size}-1024x1024-city-160k.safetensors",
        url=f"{repository}/resolve/main/model.safetensors", feeding=FULL,
        code_licence=Stated(
            value="MIT, encoder: NVIDIA Source Code License (non-commercial)", source=f"{_SMP}/blob/main/licenses"
        ),
        weights_licence=Stated(value="other: NVIDIA Source Code License (non-commercial)", source=repository),
        data_terms=CITYSCAPES_TERMS, claim=Claim(miou=miou, protocol=_WINDOWS, source=_SEGFORMER),
    )  # fmt: skip


LARGE: tuple[Published, ...] = (
    mmseg(
        "hrnet_w18_small",
        "hrnet/fcn_hr18s_512x1024_160k_cityscapes/fcn_hr18s_512x1024_160k_cityscapes_20200602_190901-4a0797ea.pth",
        0.7631, _HRNET_HEAD, licensed=False,
    ),
    mmseg(
        "hrnet_w48",
        "hrnet/fcn_hr48_512x1024_160k_cityscapes/fcn_hr48_512x1024_160k_cityscapes_20200602_190946-59b7973e.pth",
        0.8065, _HRNET_HEAD, licensed=False,
    ),
    mmseg(
        "hrnet_w48_ocr",
        "ocrnet/ocrnet_hr48_512x1024_160k_cityscapes/ocrnet_hr48_512x1024_160k_cityscapes_20200602_191037-dfbf1b0c.pth",
        0.8135, _OCR,
    ),
    _efficientvit("b0", 0.75653, _EFFICIENTVIT_B),
    _efficientvit("b1", 0.80547, _EFFICIENTVIT_B),
    _efficientvit("b2", 0.82073, _EFFICIENTVIT_B),
    _efficientvit("l1", 0.82716, _EFFICIENTVIT_L),
    _segnext("t", "tiny", "b1613af9955849bba910", 0.798),
    _segnext("s", "small", "14148cf5371a4f248db1", 0.813),
    _segnext("b", "base", "adb49029f66f426bb046", 0.826),
    _hardnet("official", "hardnet70_cityscapes_model.pkl", 0.777),
    _hardnet("official-jitter", "hardnet70_cityscapes_model_2.pkl", 0.774),
    mmseg(
        "icnet_resnet18",
        "icnet/icnet_r18-d8_in1k-pre_832x832_160k_cityscapes/"
        "icnet_r18-d8_in1k-pre_832x832_160k_cityscapes_20210926_052702-619c8ae1.pth",
        0.7443, _ICNET, left_out=(r"^auxiliary_head\.",),
    ),
    _segformer(0, 0.762),
    _segformer(1, 0.785),
    _segformer(2, 0.810),
    _segformer(3, 0.817),
    _segformer(4, 0.823),
    _segformer(5, 0.824),
)  # fmt: skip
