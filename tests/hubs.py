"""Small models of the hubs' libraries as `save_pretrained` leaves them, with random weights."""

import functools
import json

from zoo.labels import CITYSCAPES

WORDS = tuple(name.title().replace(" ", "_") for name in CITYSCAPES.class_names)
"""Cityscapes' classes in another spelling."""


@functools.cache
def _labels(names=CITYSCAPES.class_names):
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def _swin(transformers):
    stages = ["stage1", "stage2", "stage3", "stage4"]
    return transformers.SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1] * 4, num_heads=[1, 2, 2, 4], window_size=4,
        out_features=stages,
    )  # fmt: skip


def _segformer(transformers, **labels):
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=32, **labels
    )
    return transformers.SegformerForSemanticSegmentation(config)


def _upernet(transformers, **labels):
    config = transformers.UperNetConfig(
        backbone_config=_swin(transformers), hidden_size=16, auxiliary_channels=8, auxiliary_in_channels=64, **labels
    )
    return transformers.UperNetForSemanticSegmentation(config)


def _mask2former(transformers, **labels):
    config = transformers.Mask2FormerConfig(
        backbone_config=_swin(transformers), feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=32, encoder_layers=1, decoder_layers=3, num_attention_heads=2, dim_feedforward=32,
        num_queries=10, **labels,
    )  # fmt: skip
    return transformers.Mask2FormerForUniversalSegmentation(config)


def _maskformer(transformers, **labels):
    decoder = transformers.DetrConfig(
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=10,
    )  # fmt: skip
    config = transformers.MaskFormerConfig(
        backbone_config=_swin(transformers), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, **labels
    )
    return transformers.MaskFormerForInstanceSegmentation(config)


def _oneformer(transformers, **labels):
    config = transformers.OneFormerConfig(
        backbone_config=_swin(transformers), hidden_dim=32, conv_dim=32, mask_dim=32, encoder_feedforward_dim=32,
        dim_feedforward=32, encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=10,
        query_dec_layers=1, **labels,
    )  # fmt: skip
    return transformers.OneFormerForUniversalSegmentation(config)


def _eomt(transformers, **labels):
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=16, num_blocks=1,
        num_queries=10, num_upscale_blocks=1, intermediate_size=64, **labels,
    )  # fmt: skip
    return transformers.EomtForUniversalSegmentation(config)


def _mobilenet(transformers, **labels):
    config = transformers.MobileNetV2Config(depth_multiplier=0.25, output_stride=16, **labels)
    return transformers.MobileNetV2ForSemanticSegmentation(config)


def _mobilevit(transformers, **labels):
    config = transformers.MobileViTConfig(
        hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 24, 24, 32, 64], aspp_out_channels=16,
        num_attention_heads=2, atrous_rates=[2, 3, 4], **labels,
    )  # fmt: skip
    return transformers.MobileViTForSemanticSegmentation(config)


def _beit(transformers, **labels):
    config = transformers.BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        out_indices=[1, 2, 3, 4], use_relative_position_bias=True, pool_scales=[1, 2], auxiliary_channels=16, **labels,
    )  # fmt: skip
    return transformers.BeitForSemanticSegmentation(config)


def _dpt(transformers, **labels):
    config = transformers.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16, **labels,
    )  # fmt: skip
    return transformers.DPTForSemanticSegmentation(config)


MADE = {
    "segformer": _segformer, "upernet": _upernet, "mask2former": _mask2former, "maskformer": _maskformer,
    "oneformer": _oneformer, "eomt": _eomt, "mobilenet": _mobilenet, "mobilevit": _mobilevit, "beit": _beit,
    "dpt": _dpt,
}  # fmt: skip


def save(transformers, kind, folder, *, names=CITYSCAPES.class_names, processor=None):
    """Save a network with drawn statistics of batch norm and its processor's facts; returns it in evaluation mode."""
    import torch

    torch.manual_seed(0)
    model = MADE[kind](transformers, **_labels(tuple(names))).eval()
    for name, tensor in model.named_buffers():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    for name, tensor in model.named_parameters():
        if name.endswith("class_predictor.weight"):
            tensor.data.mul_(30)  # so that classes differ
    model.save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


def edit(folder, **changes):
    """Change keys of a folder's `config.json`."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
