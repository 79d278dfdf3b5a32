"""Networks for semantic segmentation of transformers, adapted: raw logits at the network's own stride.

URL: https://github.com/huggingface/transformers
Licence: Apache-2.0; the weights of each repository are under its own

Networks with a head of one channel a class (SegFormer, UPerNet, BEiT, data2vec, DPT, MobileViT, MobileNetV2) are what
they are, without auxiliary heads and without UPerNet's last upsampling. Mask classifiers (MaskFormer, Mask2Former,
OneFormer, EoMT) answer with class x mask scores: the sum over queries of class probability, *no object* apart, times
mask probability, at the masks' stride. transformers' own post-processing takes the argmax of the same scores, of
masks it brings to 384x384 (EoMT's: to the window's size) before. They learn by matching
masks, which the zoo does not do.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from zoo.errors import ModelError, UserError
from zoo.models.contract import tensors_of

# "the task is semantic" in the tokens of CLIP's vocabulary, between its marks of begin and end
_SEMANTIC_TASK = (49406, 518, 10549, 533, 29119, 1550, 49407)
_OFF = ("use_auxiliary_head", "use_auxiliary_loss", "is_training", "use_pretrained_backbone")


class PixelClassifier(nn.Module):
    """A network with one output channel a class."""

    model: Any

    def __init__(self, library_model: Any) -> None:
        super().__init__()
        self.model = library_model
        side = getattr(library_model.config, "image_size", None)
        self._sides = [side, side] if isinstance(side, int) else side
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(library_model.forward).parameters

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, h, w)`."""
        other = {"interpolate_pos_encoding": True} if self._interpolates and self._sides != [*image.shape[2:]] else {}
        logits: Tensor = self.model(pixel_values=image, return_dict=True, **other).logits
        return logits


class PyramidClassifier(nn.Module):
    """UPerNet, whose logits transformers brings to the size of the image."""

    model: Any

    def __init__(self, library_model: Any) -> None:
        super().__init__()
        self.model = library_model

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to logits `(N, K, h, w)`."""
        features = self.model.backbone.forward_with_filtered_kwargs(image).feature_maps
        logits: Tensor = self.model.decode_head(features)
        return logits


class MaskClassifier(nn.Module):
    """A network with a class and a mask for each of its queries."""

    model: Any
    task: Tensor | None

    def __init__(self, library_model: Any) -> None:
        super().__init__()
        self.model = library_model
        length = getattr(library_model.config, "task_seq_len", 0)  # OneFormer's
        task = torch.zeros(1, length, dtype=torch.long)
        task[0, : len(_SEMANTIC_TASK)] = torch.tensor(_SEMANTIC_TASK)[:length]
        self.register_buffer("task", task if length else None, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to scores `(N, K, h, w)` of 0 and more."""
        task = {} if self.task is None else {"task_inputs": self.task.expand(len(image), -1)}
        answer = self.model(pixel_values=image, **task)
        classes = answer.class_queries_logits.softmax(-1)[..., :-1]  # N, Q, K
        return torch.einsum("nqk,nqhw->nkhw", classes, answer.masks_queries_logits.sigmoid())

    def training_logits(self, _image: Tensor) -> tuple[Tensor, ...]:
        """Refuse.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{type(self.model).__name__} is a mask classifier, which learns by matching masks; zoo trains networks "
            "with one channel a class: measure it with the weights it has"
        )


def hf_model(num_classes: int, pretrained: bool, *, config: dict[str, Any]) -> nn.Module:
    """Build the network of a configuration, as `config.json` has it, with random weights.

    Raises:
        UserError: this version of transformers does not know it.
    """
    assert not pretrained
    with _quiet():
        return _adapted(_library_class(config)(_configuration(config, num_classes)))


def read_tensors(folder: Path, num_classes: int, config: dict[str, Any]) -> dict[str, Tensor]:
    """Read a folder's weights as transformers does, in fp32, under the names of `hf_model`'s network.

    Raises:
        UserError: tensors of the network are not in it.
    """
    with _quiet():
        model, found = _library_class(config).from_pretrained(
            folder,
            config=_configuration(config, num_classes),
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"{len(missing)} tensors of the network are not among the weights in {folder} ({', '.join(missing[:3])}): "
            "they are another network's, or lack its head"
        )
    return tensors_of(_adapted(model))


def _library_class(config: dict[str, Any]) -> Any:
    name = config["architectures"][0]
    found = getattr(transformers, name, None)
    if found is None:
        raise ModelError(f"transformers {transformers.__version__} has no {name}; a newer one may")
    return found


def _configuration(config: dict[str, Any], num_classes: int) -> Any:
    """As transformers takes it: for so many classes, without what only training or a download wants."""
    rest = {key: value for key, value in config.items() if key != "model_type"}
    made = transformers.AutoConfig.for_model(config["model_type"], **rest)
    made.num_labels = num_classes
    for name in _OFF:
        if hasattr(made, name):
            setattr(made, name, name == "use_auxiliary_loss" and made.model_type == "mask2former")  # reads its states
    return made


def _adapted(model: nn.Module) -> nn.Module:
    if isinstance(model, transformers.UperNetForSemanticSegmentation):
        return PyramidClassifier(model)
    is_masked = not type(model).__name__.endswith("ForSemanticSegmentation")
    return (MaskClassifier if is_masked else PixelClassifier)(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from telling what it loads."""
    log = transformers.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
