"""Checkpoints of the small real-time networks, each from who trained it.

Left out, since they are another function than the row: zh320's Fast-SCNN, ENet, ERFNet, RegSeg, CGNet, DABNet, ESPNetV2
and ContextNet, which are networks of its own, and MMSegmentation's ERFNet, whose last layer is a head of convolutions.
Left out, since they saw what they would be scored on: RegSeg's `trainval` files. Tramac's Fast-SCNN is left out for its
54.8 %. DABNet's authors do not say on which split theirs has 69.57 %, so it has no claim.
"""

from __future__ import annotations

from zoo.published.claims import CITYSCAPES_TERMS, Claim, Stated
from zoo.published.facts import FULL, Published
from zoo.published.mmseg import mmseg
from zoo.published.zh320 import zh320
from zoo.spec import IGNORE_INDEX, Feeding

_NAMED_VOID_LAST = (*range(19), IGNORE_INDEX)
"""20 outputs: the train ids and, last, everything else."""
_VOID_FIRST = (IGNORE_INDEX, *range(19))
_HALF = FULL.model_copy(update={"input_size": (512, 1024)})

# --- MMSegmentation: keys of its ConvModule (`conv`, `bn`, `activate`) are those of our ConvNorm.

_CONV_MODULE = ((r"\.conv\.weight$", ".0.weight"), (r"\.bn\.", ".1."), (r"\.activate\.", ".2."))
_CGNET_MEAN = (72.39239876 / 255, 82.90891754 / 255, 73.15835921 / 255)
"""Of the channels blue, green, red, but taken from red, green, blue: in training and since."""


def _cgnet(size: str, digits: str, miou: float) -> Published:
    return mmseg(
        "cgnet", f"cgnet/cgnet_{size}_60k_cityscapes/cgnet_{size}_60k_cityscapes_{digits}.pth", miou,
        (
            (r"^backbone\.stem\.(\d)\.", r"stem.\1."),
            (r"^backbone\.norm_prelu_([012])\.", r"norm\1."),
            (r"^norm2\.", "norm3."), (r"^norm1\.", "norm2."), (r"^norm0\.", "norm1."),
            (r"^backbone\.level2\.", "stage3."), (r"^backbone\.level1\.", "stage2."),
            (r"\.f_loc\.", ".local."), (r"\.f_sur\.", ".around."), (r"\.f_glo\.fc\.", ".whole."),
            (r"\.bottleneck\.", ".join."),
            (r"\.conv1x1\.conv\.", ".reduce.0."), (r"\.conv1x1\.bn\.", ".reduce.1."),
            (r"\.conv1x1\.activate\.", ".reduce.2."),
            (r"^(stage\d\.\d+)\.bn\.", r"\1.norm.0."), (r"^(stage\d\.\d+)\.activate\.", r"\1.norm.1."),
            *_CONV_MODULE,
            (r"^decode_head\.conv_seg\.", "classifier."),
        ),
        tag=f"mmseg-{size}",
        feeding=Feeding(mean=_CGNET_MEAN, std=(1 / 255, 1 / 255, 1 / 255), input_size=(1024, 2048)),
    )  # fmt: skip


_FAST_SCNN = mmseg(
    "fast_scnn_mmseg",
    "fast_scnn/fast_scnn_lr0.12_8x4_160k_cityscapes/fast_scnn_lr0.12_8x4_160k_cityscapes_20210630_164853-0cec9937.pth",
    0.7096,
    (
        (r"^backbone\.learning_to_downsample\.conv\.", "shallow.0."),
        (r"^backbone\.learning_to_downsample\.dsconv(\d)\.", r"shallow.\1."),
        (r"^backbone\.global_feature_extractor\.ppm\.", "pyramid.levels."),
        (r"^backbone\.global_feature_extractor\.out\.", "pyramid.join."),
        (r"^backbone\.global_feature_extractor\.bottleneck1\.(\d)\.conv\.", r"deep.0.\1.layers."),
        (r"^backbone\.global_feature_extractor\.bottleneck2\.(\d)\.conv\.", r"deep.1.\1.layers."),
        (r"^backbone\.global_feature_extractor\.bottleneck3\.(\d)\.conv\.", r"deep.2.\1.layers."),
        (r"^backbone\.feature_fusion\.dwconv\.", "raised.0."),
        (r"^backbone\.feature_fusion\.conv_lower_res\.", "raised.1."),
        (r"^backbone\.feature_fusion\.conv_higher_res\.", "lateral."),
        (r"^decode_head\.convs\.", "head."),
        (r"^decode_head\.conv_seg\.", "head.3."),
        (r"\.depthwise_conv\.", ".0."), (r"\.pointwise_conv\.", ".1."),
        *_CONV_MODULE,
    ),
    config="fastscnn", left_out=(r"^auxiliary_head\.",),
)  # fmt: skip

# --- The authors' own.

_DAVIDTVS = "https://github.com/davidtvs/PyTorch-ENet"
_ENET = Published(
    model="enet", tag="davidtvs", file_name="davidtvs-enet_cityscapes.pth",
    url=f"{_DAVIDTVS}/raw/master/save/ENet_Cityscapes/ENet",
    key_map=(
        (r"^initial_block\.main_branch\.", "initial.conv."), (r"^initial_block\.batch_norm\.", "initial.norm.0."),
        (r"^initial_block\.out_activation\.", "initial.norm.1."),
        (r"^transposed_conv\.", "head."),
        (r"^upsample(\d)_0\.main_conv1\.", r"up\1.main."), (r"^upsample(\d)_0\.ext_conv1\.", r"up\1.reduce."),
        (r"^upsample(\d)_0\.ext_tconv1\.", r"up\1.middle.0."),
        (r"^upsample(\d)_0\.ext_tconv1_bnorm\.", r"up\1.middle.1."),
        (r"^upsample(\d)_0\.ext_conv2\.", r"up\1.expand."),
        (r"^downsample(\d)_0\.", r"down\1."),
        (r"^regular5_1\.", "stage5."),
        (r"^(?:regular|dilated|asymmetric)3_(\d)\.", r"stage3.\1."),
        *((rf"^(?:regular|dilated|asymmetric)([124])_{place}\.", rf"stage\1.{place - 1}.") for place in range(1, 9)),
        (r"\.ext_conv1\.", ".reduce."), (r"\.ext_conv3\.", ".expand."), (r"\.out_activation\.", ".activation."),
        (r"\.ext_conv2\.([012])\.", r".middle.0.\1."),
        (r"\.ext_conv2\.3\.", ".middle.1.0."), (r"\.ext_conv2\.4\.", ".middle.1.1."),
        (r"\.ext_conv2\.5\.", ".middle.1.2."),
    ),
    channels=_VOID_FIRST, feeding=Feeding(mean=(0, 0, 0), std=(1, 1, 1), input_size=(512, 1024)),
    code_licence=Stated(value="MIT", source=f"{_DAVIDTVS}/blob/master/LICENSE"),
    weights_licence=Stated(value="MIT", source=f"{_DAVIDTVS}/blob/master/LICENSE"), data_terms=CITYSCAPES_TERMS,
    claim=Claim(miou=0.595, protocol="labels too at 512x1024", source=_DAVIDTVS),
)  # fmt: skip

_EROMERA = "https://github.com/Eromera/erfnet_pytorch"
_ERFNET = Published(
    model="erfnet", tag="eromera", file_name="eromera-erfnet_pretrained.pth",
    url=f"{_EROMERA}/raw/master/trained_models/erfnet_pretrained.pth",
    key_map=(
        (r"^encoder\.initial_block\.", "initial."), (r"^encoder\.layers\.", "encoder."),
        (r"^decoder\.layers\.", "decoder."), (r"^decoder\.output_conv\.", "head."),
        (r"\.conv3x1_1\.", ".layers.0."), (r"\.conv1x3_1\.", ".layers.2."), (r"\.bn1\.", ".layers.3."),
        (r"\.conv3x1_2\.", ".layers.5."), (r"\.conv1x3_2\.", ".layers.7."), (r"\.bn2\.", ".layers.8."),
        (r"^(decoder\.[03])\.conv\.", r"\1.0."), (r"^(decoder\.[03])\.bn\.", r"\1.1."),
        (r"\.bn\.", ".norm.0."),
    ),
    left_out=(r"^encoder\.output_conv\.",),
    channels=_NAMED_VOID_LAST, feeding=Feeding(mean=(0, 0, 0), std=(1, 1, 1), input_size=(512, 1024)),
    trained_on="Cityscapes fine train, encoder before on ImageNet",
    code_licence=Stated(value="CC BY-NC 4.0", source=f"{_EROMERA}/blob/master/license.txt"),
    weights_licence=Stated(value="CC BY-NC 4.0", source=f"{_EROMERA}/blob/master/license.txt"),
    data_terms=CITYSCAPES_TERMS, claim=Claim(miou=0.721, protocol="labels too at 512x1024", source=_EROMERA),
)  # fmt: skip

_ROLAND = "https://github.com/RolandGao/RegSeg"


def _regseg(run: int, miou: float) -> Published:
    name = f"cityscapes_exp48_decoder26_train_1000_epochs_run{run}"
    return Published(
        model="regseg", tag=f"rolandgao-run{run}", file_name=f"rolandgao-{name}.pth",
        url=f"{_ROLAND}/releases/download/v1.0-alpha/{name}",
        key_map=(
            (r"^body\.", ""), (r"^decoder\.", ""),
            (r"\.conv1\.weight$", ".reduce.0.weight"), (r"^(stage.*)\.bn1\.", r"\1.reduce.1."),
            (r"\.conv2\.weight$", ".dilated.0.weight"), (r"\.conv2\.convs\.", ".dilated."), (r"\.bn2\.", ".norm."),
            (r"\.conv3\.weight$", ".expand.0.weight"), (r"\.bn3\.", ".expand.1."),
            (r"\.se\.reduce\.0\.", ".excite.layers.1."), (r"\.se\.dilated\.0\.", ".excite.layers.3."),
            (r"\.se\.conv1\.", ".excite.layers.1."), (r"\.se\.conv2\.", ".excite.layers.3."),
            (r"^(stage4|stage(?:8|16)\.0)\.shortcut\.conv\.", r"\1.shortcut.1."),
            (r"^(stage4|stage(?:8|16)\.0)\.shortcut\.bn\.", r"\1.shortcut.2."),
            (r"\.conv\.weight$", ".0.weight"), (r"\.bn\.", ".1."),
        ),
        feeding=FULL,
        code_licence=Stated(value="MIT", source=f"{_ROLAND}/blob/main/LICENSE"),
        weights_licence=Stated(value="MIT", source=f"{_ROLAND}/blob/main/LICENSE"), data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol="whole", source=_ROLAND),
    )  # fmt: skip


_DAB = "https://github.com/Reagan1311/DABNet"
_DABNET = Published(
    model="dabnet", tag="reagan1311", file_name="reagan1311-dabnet_cityscapes.pth",
    url="https://drive.google.com/uc?id=1ZKGBQogSqxyKD-QIJgzyDXw2TR0HUePA",
    key_map=(
        (r"\.bn_prelu\.bn\.", ".1."), (r"\.bn_prelu\.acti\.", ".2."),
        (r"^init_conv\.(\d)\.conv\.", r"stem.\1.0."), (r"^init_conv\.", "stem."),
        (r"^bn_prelu_(\d)\.bn\.", r"norm\1.0."), (r"^bn_prelu_(\d)\.acti\.", r"norm\1.1."),
        (r"^downsample_1\.conv3x3\.conv\.", "down1.conv."), (r"^downsample_1\.1\.", "down1.norm.0."),
        (r"^downsample_1\.2\.", "down1.norm.1."),
        (r"^downsample_2\.conv3x3\.conv\.", "down2.0."), (r"^downsample_2\.", "down2."),
        (r"^DAB_Block_(\d)\.DAB_Module_\d_(\d)\.", r"stage\1.\2."),
        (r"\.bn_relu_1\.bn\.", ".reduce.0.0."), (r"\.bn_relu_1\.acti\.", ".reduce.0.1."),
        (r"\.bn_relu_2\.bn\.", ".expand.0.0."), (r"\.bn_relu_2\.acti\.", ".expand.0.1."),
        (r"\.conv1x1\.conv\.", ".expand.1."), (r"\.conv3x3\.conv\.", ".reduce.1.0."), (r"\.conv3x3\.", ".reduce.1."),
        (r"\.ddconv3x1\.", ".far.0."), (r"\.ddconv1x3\.", ".far.1."),
        (r"\.dconv3x1\.", ".near.0."), (r"\.dconv1x3\.", ".near.1."),
        (r"^classifier\.0\.conv\.", "classifier."), (r"\.conv\.weight$", ".0.weight"),
        (r"^down1\.0\.", "down1.conv."),
    ),
    feeding=Feeding(
        mean=(73.15835921 / 255, 82.90891754 / 255, 72.39239876 / 255), std=(1 / 255, 1 / 255, 1 / 255),
        input_size=(1024, 2048),
    ),
    code_licence=Stated(value="MIT", source=f"{_DAB}/blob/master/LICENSE"), data_terms=CITYSCAPES_TERMS,
)  # fmt: skip

_EDGE = "https://github.com/sacmehta/EdgeNets"


def _espnetv2(model: str, size: str, miou: float, sha256: str, byte_count: int) -> Published:
    name = f"espnetv2_s_{size}_city_1024x512.pth"
    return Published(
        model=model, tag="edgenets", file_name=f"edgenets-{name}",
        url=f"{_EDGE}/raw/master/model/segmentation/model_zoo/espnetv2/{name}", sha256=sha256, byte_count=byte_count,
        key_map=(
            (r"^base_net\.level1\.", "stem."),
            (r"^base_net\.level2_0\.", "down4."), (r"^base_net\.level3_0\.", "down8."),
            (r"^base_net\.level4_0\.", "down16."),
            (r"^base_net\.level3\.", "stage8."), (r"^base_net\.level4\.", "stage16."),
            (r"^(stage\d+\.\d)\.module_act\.", r"\1.activation."), (r"^(stage\d+\.\d)\.(?!activation)", r"\1.unit."),
            (r"^(down\d+)\.eesp\.", r"\1.unit."), (r"^(down\d+)\.act\.", r"\1.activation."),
            (r"^(down\d+)\.inp_reinf\.", r"\1.image."),
            (r"\.proj_1x1\.", ".reduce."), (r"\.spp_dw\.(\d)\.conv\.", r".dilated.\1."),
            (r"\.br_after_cat\.bn\.", ".norm.0."), (r"\.br_after_cat\.act\.", ".norm.1."),
            (r"\.conv_1x1_exp\.", ".expand."),
            *((rf"^bu_dec_l{place}\.", f"pyramids.{place - 1}.") for place in range(1, 5)),
            *((rf"^merge_enc_dec_l{place}\.", f"laterals.{place - 2}.") for place in range(2, 5)),
            *((rf"^bu_br_l{place}\.", f"norms.{place - 2}.") for place in range(2, 5)),
            (r"\.projection_layer\.cbr\.", ".reduce."), (r"\.stages\.", ".levels."),
            (r"\.merge_layer\.0\.br\.", ".norm."), (r"\.merge_layer\.2\.cbr\.", ".mix."),
            (r"\.merge_layer\.3\.", ".expand."), (r"\.br\.br\.", ".out."),
            (r"\.wt_layer\.", ".scale."), (r"\.expansion_layer\.cbr\.", ".conv."),
            (r"\.conv\.weight$", ".0.weight"), (r"\.bn\.", ".1."), (r"\.act\.", ".2."),
        ),
        left_out=(r"^base_net\.level\d_0\.eesp\.module_act\.",), channels=_NAMED_VOID_LAST,
        feeding=_HALF,
        code_licence=Stated(value="MIT", source=f"{_EDGE}/blob/master/LICENSE"),
        weights_licence=Stated(value="MIT", source=f"{_EDGE}/blob/master/LICENSE"), data_terms=CITYSCAPES_TERMS,
        claim=Claim(miou=miou, protocol="labels too at 512x1024", source=f"{_EDGE}/tree/master/model/segmentation"),
    )  # fmt: skip


_EDANET = zh320(
    "edanet", "edanet", 0.7076,
    (
        (r"^stage1\.bn_act\.", "down1.norm."), (r"^stage1\.", "down1."),
        (r"^stage2_d\.bn_act\.", "down2.norm."), (r"^stage2_d\.", "down2."),
        (r"^stage2\.layers\.(\d)\.conv\.", r"stage1.\1.layers."), (r"^stage3_d\.", "down3."),
        (r"^stage3\.layers\.(\d)\.conv\.", r"stage2.\1.layers."), (r"^project\.", "classifier."),
    ),
)  # fmt: skip

_FDDWNET = zh320(
    "fddwnet", "fddwnet", 0.7586,
    (
        (r"^layer1\.", "down.0."), (r"^layer2\.", "down.1."), (r"^layer3_7\.", "stage4."), (r"^layer8\.", "down8."),
        (r"^layer9_16\.", "stage8."), *((rf"^layer17_24\.{place}\.", f"stage8.{place + 8}.") for place in range(8)),
        (r"^layer25\.up_conv\.", "decode4.0."), (r"^layer28\.up_conv\.", "decode2.0."),
        (r"^layer31\.up_conv\.", "head."),
        *((rf"^layer26_27\.{place}\.", f"decode4.{place + 1}.") for place in range(2)),
        *((rf"^layer29_30\.{place}\.", f"decode2.{place + 1}.") for place in range(2)),
        (r"^((?:stage|decode)\d\.\d+)\.conv\.", r"\1.layers."),
    ),
)  # fmt: skip


SMALL: tuple[Published, ...] = (
    _FAST_SCNN,
    _ENET,
    _ERFNET,
    _regseg(1, 0.7776),
    _regseg(2, 0.7885),
    _regseg(3, 0.7807),
    _cgnet("512x1024", "20201101_110254-124ea03b", 0.6827),
    _cgnet("680x680", "20201101_110253-4c0b2f2d", 0.6563),
    _DABNET,
    _EDANET,
    _espnetv2("espnetv2", "2.0", 0.664, "a72d59699801c7ce8e8b89a53af9097eaaa60dc12180ecde86fd700ba1222fe8", 3376094),
    _espnetv2(
        "espnetv2_s15", "1.5", 0.638, "0dbbda9126583d62f73dfdc28a59a30ab4564094ee6d28428b897a4e36c466b4", 2068779
    ),
    _espnetv2(
        "espnetv2_s10", "1.0", 0.601, "0918c833fed889e32901ce739b1784fdd2b79f95a9aea199a469ca3394dd7a14", 1107690
    ),
    _espnetv2("espnetv2_s05", "0.5", 0.539, "9412a86a30f137540ef945d08da3cb7191448956c56c41a64210dab443a9f65f", 469319),
    _FDDWNET,
)
