"""How a hub's model is fed, read from the JSON its image processor left: transformers' or albumentations'.

Pixels are resampled here by one antialiased bilinear filter; another one that a processor asks for is said, as are
crops, which are not taken: every pixel of a frame is to be labelled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.spec import ChannelOrder, Facts, Resize, Size, Triple
from zoo.units import show_size

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
ALBUMENTATIONS = "albumentations_config_eval.json"

_FILTERS = {0: "nearest", 1: "Lanczos", 3: "bicubic", 4: "box", 5: "Hamming"}  # Pillow's numbers; 2 is bilinear
_BY_SHORT_SIDE = ("Mask2Former", "MaskFormer", "OneFormer", "Eomt", "MobileNetV2", "MobileViT")
"""Processors that mean the short side by one number."""


class Processor(Facts):
    """What is done to a frame before the network sees it."""

    mean: Triple | None = None
    """0 to 1, as in `spec.Feeding`; `None`: it does not say, as for `std`."""
    std: Triple | None = None
    channel_order: ChannelOrder = "rgb"
    input_size: Size | None = None
    """`None`: the frame's own, or as `short_side` says."""
    resize: Resize = "fit"
    short_side: int | None = None
    """The frame's short side becomes this, …"""
    long_side: int | None = None
    """… unless the long one becomes more than this."""
    divisor: int = 1
    """Both are then rounded up to multiples of this."""
    window: int | None = None
    """It cuts the frame into squares of this side."""
    told: tuple[str, ...] = ()
    """What it says beside, in a few words each."""

    def size_of(self, frame: Size | None) -> Size | None:
        """What the network sees of frames of a size; `None`: their own size, or it is not known."""
        if self.short_side is None or frame is None:
            return self.input_size
        short, long = sorted(frame)
        side: float = self.short_side
        if self.long_side is not None and side * long > self.long_side * short:
            side = self.long_side * short / long
        height, width = (
            math.ceil(max(1, int(side * length / short + 1e-6)) / self.divisor) * self.divisor for length in frame
        )
        return height, width

    def said(self, frame: Size | None) -> str:
        """In a few words, with what becomes of frames of a size."""
        words = [f"mean {_show(self.mean)}, std {_show(self.std)}"] if self.mean and self.std else []
        words += [self.channel_order.upper()] if self.channel_order == "bgr" else []
        size = self.size_of(frame)
        if size is not None:
            words.append(
                f"{'fitted into' if self.resize == 'fit' and not self.short_side else 'brought to'} {show_size(size)}"
            )
        elif self.short_side is not None:
            limit = f", the long one to {self.long_side} at most" if self.long_side else ""
            words.append(f"its short side brought to {self.short_side}{limit} (here at its own size: --input-size)")
        else:
            words.append("at its own size")
        return ", ".join([*words, *self.told])


def of_transformers(values: Mapping[str, Any] | None) -> Processor:
    """Read `preprocessor_config.json`; `None`: there is none."""
    if values is None:
        return Processor(told=("it has no image processor: mean and std are the architecture's",))
    values = values.get("image_processor", values)  # of processor_config.json
    kind = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
    scale = 255 * float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 255.0
    scale = 1.0 if math.isclose(scale, 1, rel_tol=1e-6) else scale
    mean, std = _triple(values.get("image_mean")), _triple(values.get("image_std"))
    if not values.get("do_normalize", not kind.startswith("MobileViT")):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    told = [f"as {kind} says"] if kind else []
    resample = values.get("resample", 2)
    if values.get("do_resize", True):
        theirs = f" (its own: {_FILTERS[resample]})" if resample in _FILTERS else ""
        told.append(f"bilinear with antialiasing{theirs}")
    if values.get("do_center_crop"):
        told.append("not cropped to its middle as there")
    processor = Processor(
        mean=_scaled(mean, 1 / scale),
        std=_scaled(std, 1 / scale),
        channel_order="bgr" if values.get("do_flip_channel_order") else "rgb",
        told=tuple(told),
    )
    return processor.model_copy(update=_size(values, kind)) if values.get("do_resize", True) else processor


def _size(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What becomes of a frame's size."""
    size, by_short = values.get("size"), kind.startswith(_BY_SHORT_SIDE)
    if isinstance(size, int):  # as it was written once
        long = values.get("max_size")
        size = {"shortest_edge": size, "longest_edge": long} if by_short else {"height": size, "width": size}
    if isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if not isinstance(size, Mapping):
        return {}
    if size.get("height") and size.get("width"):
        fit: Resize = "fit" if values.get("keep_aspect_ratio") else "stretch"
        return {"input_size": (size["height"], size["width"]), "resize": fit}
    short, long = size.get("shortest_edge"), size.get("longest_edge")
    if not short:
        return {"input_size": (long, long)} if long else {}
    if values.get("do_split_image"):
        return {"short_side": short, "resize": "stretch", "window": short}
    if values.get("do_pad") and kind.startswith("Eomt"):
        return {"input_size": (short, long or short)}
    divisor = values.get("size_divisor") or values.get("size_divisibility") or 1
    return {"short_side": short, "long_side": long, "divisor": divisor, "resize": "stretch"}


def of_albumentations(values: Mapping[str, Any] | None) -> Processor:
    """Read `albumentations_config_eval.json`; `None`: there is none."""
    if values is None:
        return Processor(told=("no preprocessing was saved with it: mean and std are the encoder's",))
    found: dict[str, Any] = {}
    for step in _steps(values.get("transform")):
        name = str(step.get("__class_fullname__", "")).rpartition(".")[2]
        if name == "Normalize":
            scale = float(step.get("max_pixel_value") or 1) / 255
            found |= {key: _scaled(_triple(step.get(key)), scale) for key in ("mean", "std")}
        elif name == "Resize":
            found |= {"input_size": (step["height"], step["width"]), "resize": "stretch"}
        elif name == "SmallestMaxSize":
            found |= {"short_side": step["max_size"], "resize": "stretch"}
        elif name == "LongestMaxSize":
            found |= {"input_size": (step["max_size"], step["max_size"])}
    return Processor(**found, told=("as its albumentations say",))


def _steps(value: object) -> list[Mapping[str, Any]]:
    """Transforms in their order, those of nested compositions among them."""
    if not isinstance(value, Mapping):
        return []
    inside = value.get("transforms")
    return [step for one in inside for step in _steps(one)] if isinstance(inside, list) else [value]


def _triple(value: object) -> Triple | None:
    if isinstance(value, int | float):
        return float(value), float(value), float(value)
    if isinstance(value, Sequence) and len(value) == 3:
        return float(value[0]), float(value[1]), float(value[2])
    return None


def _scaled(triple: Triple | None, factor: float) -> Triple | None:
    if triple is None or factor == 1:
        return triple
    return triple[0] * factor, triple[1] * factor, triple[2] * factor


def _show(triple: Triple) -> str:
    return "/".join(f"{value:.4g}" for value in triple)
