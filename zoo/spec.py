"""What a thing is: `ModelSpec` and `DatasetSpec`, plain data without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_PIXELS = 10**6
"""Of a side."""


def _positive(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) <= 0:
        raise ValueError(f"a size is (height, width), both above 0; got {size[0]}x{size[1]}")
    if max(size) > MAX_PIXELS:
        raise ValueError(f"a size is (height, width), both at most {MAX_PIXELS}")
    return size


Size = Annotated[tuple[int, int], AfterValidator(_positive)]
"""`(height, width)` in pixels."""

Triple = tuple[float, float, float]
RecipeFamily = Literal["sgd_poly", "adamw_poly"]
Resize = Literal["fit", "stretch", "none"]
ChannelOrder = Literal["rgb", "bgr"]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
IGNORE_INDEX = 255
"""The train id of pixels that count nowhere (Cityscapes' convention)."""


class Facts(BaseModel):
    """Base of all specs, configs and records: frozen, and an unknown field is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False, defer_build=True
    )


class Feeding(Facts):
    """How a network is fed what its weights were trained on."""

    mean: Triple | None = None
    """Of the channels in the order they are fed in, 0 to 1, as is the next; `None`: not known, then as the dataset and
    the architecture say."""
    std: Triple | None = None
    channel_order: ChannelOrder = "rgb"
    input_size: Size | None = None
    """What the network saw of a frame, `(height, width)` before padding; `None`: the frame's own size."""
    resize: Resize = "fit"


FED = ("mean", "std", "channel_order")
"""What `Feeding` and `ModelSpec` both say of how a network is fed."""


class ModelSpec(Facts):
    """What a network is, how it is built, and what it needs to be fed and read.

    `builder` is `"package.module:function"` (or `"path/to/net.py:function"` for a user's own model), called as
    `function(num_classes=…, pretrained=…, **args)`; it returns a module whose `forward` maps `(N, 3, H, W)` normalised
    images to raw `(N, K, h, w)` logits at the network's own stride.
    """

    name: str
    builder: str
    args: dict[str, Any] = Field(default_factory=dict)
    family: str
    """The architecture as its paper calls it, such as `"DeepLabV3"`."""
    encoder: str = ""
    recipe: RecipeFamily = "sgd_poly"
    tags: tuple[str, ...] = ()
    paper: str = ""
    url: str = ""
    licence: str = ""
    """Licence of the code the network is built from."""
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    channel_order: ChannelOrder = "rgb"
    divisor: int = Field(default=1, gt=0)
    """Height and width of the input must be multiples of this; the pipeline pads."""
    min_side: int = Field(default=1, gt=0)
    """Height and width of the input must be at least this, and are padded likewise."""
    align_corners: bool = False
    """How the network's own library upsamples its logits."""
    pretrained: str = ""
    """Name of the encoder's published weights, empty where none exist."""
    train_ids: tuple[int, ...] | None = None
    """Which class of the dataset each output channel is (255: none of them); `None`: channel k is class k."""
    own: bool = False
    """True for a user's own model: it is called with `num_classes` alone."""
    hub: str = ""
    """Of a hub's model, what `catalog.find` takes in any working directory: `hf:…` or `smp:…`, a folder with its whole
    path; empty for others."""

    def padded(self, size: Size, divisor: int | None = None) -> Size:
        """The least size `(height, width)` it takes that this one fits in; `divisor`: in place of its own."""
        step = divisor or self.divisor
        height, width = (-(-max(side, self.min_side) // step) * step for side in size)
        return height, width


def letters(name: str) -> str:
    """Return a class's name without case, and without what joins its words."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def _synonyms(name: str) -> tuple[str, ...]:
    """Those that a class's name lists, as `letters`."""
    parts = re.split(r"[,;]", name)
    return tuple(letters(part) for part in parts if part.strip()) if len(parts) > 1 else ()


class DatasetSpec(Facts):
    """The classes of a dataset. `(height, width)` and counts are facts of its files, not of the spec."""

    name: str
    class_names: tuple[str, ...]
    class_colors: tuple[tuple[int, int, int], ...]
    """RGB, in the order of `class_names`."""
    label_to_train_id: dict[int, int]
    """Every value a label file may hold → train id, `IGNORE_INDEX` for those that count nowhere."""
    class_categories: tuple[str, ...] = ()
    """Category of each class, in the order of `class_names`; empty where the dataset has none."""
    mean: Triple | None = None
    """RGB mean of its images, 0 to 1; `None`: each model is fed with its own."""
    std: Triple | None = None
    """Standard deviation, likewise."""

    @property
    def num_classes(self) -> int:
        """Number of classes that are trained and scored (K)."""
        return len(self.class_names)

    def train_ids_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Which of these classes each name is; `IGNORE_INDEX` for one that is none of them.

        Names are the same whatever their case and however their words are joined (`traffic light`, `Traffic_Light`,
        `trafficlight`). One that lists synonyms (`car, auto, automobile`) is any of them that is no other class's name.
        """
        index = {letters(name): train_id for train_id, name in enumerate(self.class_names)}
        for train_id, name in enumerate(self.class_names):
            for synonym in _synonyms(name):
                index.setdefault(synonym, train_id)
        wholes = {letters(name) for name in names}
        spelled = ((letters(name), *(one for one in _synonyms(name) if one not in wholes)) for name in names)
        return tuple(next((index[one] for one in ways if one in index), IGNORE_INDEX) for ways in spelled)

    def adapt(self, model: ModelSpec) -> ModelSpec:
        """How a model is fed on this dataset: the dataset's mean and std in place of the model's, where it has them."""
        given = {"mean": self.mean, "std": self.std}
        return model.model_copy(update={name: triple for name, triple in given.items() if triple is not None})
