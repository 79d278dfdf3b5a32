"""Networks of other makers: what an ONNX file takes and answers, how it is fed, and the pipeline around it.

The file runs as it is. Around it stands this package's own pipeline (resize and normalise, upsample and argmax). Mean,
standard deviation and classes, which the file cannot say, are told by flags or by a sidecar.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from zoo.config import BenchConfig
from zoo.data.classes import read_classes
from zoo.errors import ModelError, UserError, did_you_mean
from zoo.labels import CITYSCAPES
from zoo.pipeline import Pipeline
from zoo.record import Precision
from zoo.runtimes import base, table
from zoo.spec import IGNORE_INDEX, DatasetSpec, Facts, ModelSpec, Resize, Size, Triple
from zoo.units import show_size

DTYPES = {"float": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
"""What an input may be, as ONNX names it."""
LABEL_TYPES = ("uint8", "int32", "int64")
MAX_CHANNELS = 255
TAKES = "one RGB image input, float, float16 or uint8, (N, 3, H, W) or (N, H, W, 3)"
ANSWERS = "float logits (N, K, h, w) or (N, h, w, K), or labels uint8, int32 or int64 (N, H, W), (N, 1, H, W)"

_ANY = (1, 256, 256, 256)
"""Sides to compare outputs at where the input's are open."""

Answer = Literal["NKHW", "NHWK", "NHW", "N1HW", "NHW1"]
"""Logits of K channels, or labels."""


class Feed(Facts):
    """What a file cannot say: the content of the sidecar `FILE.json`."""

    mean: Triple | None = None
    """RGB, of pixels from 0 to 1, or of those from 0 to 255 where any number is above 1."""
    std: Triple | None = None
    classes: tuple[str, ...] | str | None = None
    """Names in the order of the channels, `cityscapes`, or a file: a name a line, a JSON list or a `classes.toml`."""
    output: str | None = None
    """The one of several outputs that is read."""
    resize: Resize | None = None
    align_corners: bool | None = None
    """How the logits are to be upsampled."""


NOTHING = Feed()


class Network(Facts):
    """How the network of a file is fed and read."""

    given: str
    """The input's name."""
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["float", "float16", "uint8"]
    batch_size: int
    """0 is open, here and in the next."""
    sides: tuple[int, int]
    """`(height, width)`."""
    made: str
    """The output's name."""
    answer: Answer
    channel_count: int
    """K of logits; 0 where the file does not tell."""
    unread: tuple[str, ...] = ()
    """Other outputs."""
    mean: Triple | None = None
    """RGB, 0 to 1; `None`: not told, and not needed for `uint8`."""
    std: Triple | None = None
    resize: Resize | None = None
    align_corners: bool = False
    train_ids: tuple[int, ...] | None = None
    """Which class of the dataset each channel is (255: none of them)."""
    data_sha256: tuple[str, ...] = ()
    """Of the files beside it that hold its weights."""

    @property
    def is_fed(self) -> bool:
        """Whether it is known how frames become its input: there is a pipeline then."""
        return self.dtype == "uint8" or self.mean is not None

    @property
    def has_open_sides(self) -> bool:
        """Whether the input's size is to be chosen."""
        return 0 in self.sides

    def __str__(self) -> str:
        """Such as `float NCHW of 512x1024 → logits 'out' of 19 channels`; open sides are H and W."""
        size = f"{self.sides[0] or 'H'}x{self.sides[1] or 'W'}"
        logits = self.answer in {"NKHW", "NHWK"}
        count = f" of {self.channel_count} channels" if self.channel_count else ""
        return f"{self.dtype} {self.layout} of {size} → {'logits' if logits else 'labels'} {self.made!r}{count}"


def read_feed(path: Path, text: bytes) -> Feed:
    """Read the content of a sidecar.

    Raises:
        UserError: it is neither that nor a card of zoo.
    """
    keys = ", ".join(Feed.model_fields)
    try:
        feed = Feed.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        raise UserError(
            f"{path} is not a card of zoo, nor a sidecar with some of {keys} ({why}); mend or remove it"
        ) from error
    if not feed.model_fields_set:
        raise UserError(f"{path} is not a card of zoo, and as a sidecar it says nothing: give it some of {keys}")
    if isinstance(feed.classes, str) and (path.parent / feed.classes).is_file():
        feed = feed.model_copy(update={"classes": str(path.parent / feed.classes)})
    return feed


def read_network(file: Path, inputs: Sequence[Any], outputs: Sequence[Any], feed: Feed) -> tuple[Network, list[str]]:
    """How a file is fed and read, and the names of its classes, where they are told.

    Args:
        file: for messages.
        inputs: `onnx_file.Port`s.
        outputs: likewise.
        feed: what the file cannot say.

    Raises:
        UserError: it is no network that maps images to logits or labels, or `feed` does not fit it.
    """
    if len(inputs) != 1:
        found = ", ".join(port.name for port in inputs) or "none"
        raise UserError(f"{file} has {len(inputs)} inputs ({found}); zoo measures networks with {TAKES}")
    (given,) = inputs
    layout = _layout(given)
    if layout is None:
        raise UserError(f"{file} takes {_told(given)}; zoo measures networks with {TAKES}")
    names = class_names(feed.classes)
    made, answer, channels = _output(file, given, outputs, layout, feed.output, len(names))
    if names and channels and len(names) != channels:
        raise UserError(
            f"{file} answers with {channels} channels ({made.name}) and {len(names)} classes are named; name each one, "
            "in the order of the channels"
        )
    mean, std = _scaled(file, feed, given.dtype)
    sides = given.shape[2:] if layout == "NCHW" else given.shape[1:3]
    network = Network(
        given=given.name,
        layout=layout,
        dtype=given.dtype,
        batch_size=given.shape[0],
        sides=sides,
        made=made.name,
        answer=answer,
        channel_count=channels,
        unread=tuple(port.name for port in outputs if port.name != made.name),
        mean=mean,
        std=std,
        resize=feed.resize,
        align_corners=bool(feed.align_corners),
    )
    return network, names


def class_names(given: Sequence[str] | str | None) -> list[str]:
    """Names in the order of the channels: a list, a comma list, `cityscapes`, or those of a file.

    Raises:
        UserError: a file that cannot be read, an empty or a repeated name.
    """
    if given is None:
        return []
    if isinstance(given, str):
        given = _named(given)
    names = [name.strip() for name in given]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None or "" in names or len(names) < 2:
        what = f"{twice!r} twice" if twice else "an empty name" if "" in names else f"{len(names)} of them"
        raise UserError(f"classes are two names or more, each its own, such as road,car, or cityscapes; got {what}")
    return names


def plan_network(
    network: Network, file: str, names: Sequence[str], config: BenchConfig
) -> tuple[dict[str, Any], list[str]]:
    """What a file changes in what is measured, as changes to the config, and what is to be said of it."""
    asked = config.input_sizes or (config.image_size,)
    height, width = network.sides
    sizes = tuple(dict.fromkeys((height or size[0], width or size[1]) for size in asked))
    notes = [f"{file}: {network}"]
    if network.unread:
        notes[0] += f"; not read: {', '.join(network.unread)} (--output NAME reads another)"
    if config.input_sizes and sizes != config.input_sizes:
        notes.append(f"{file}: its input is {show_size(sizes[0])}, whatever input size was asked for")
    if not network.is_fed:
        notes.append(f"{file}: the network alone; --mean, --std and --classes give the pipeline and mIoU as well")
    elif not names:
        notes.append(f"{file}: no mIoU, since its classes are not named; name them with --classes")
    changes = {
        "batch_size": network.batch_size or config.batch_size,
        "input_sizes": () if network.has_open_sides and not config.input_sizes else sizes,
        "resize": network.resize or config.resize,
        "accuracy": config.accuracy and network.is_fed and bool(names),
        "image_size": config.image_size if network.is_fed else sizes[0],
    }
    return changes, notes


def match(network: Network, names: Sequence[str], file: str, dataset: DatasetSpec) -> tuple[Network, list[str]]:
    """Bring a file's classes to those of a dataset by their names; also what is to be said about that.

    Raises:
        UserError: they have none in common.
    """
    train_ids = dataset.train_ids_of(names)
    if set(train_ids) == {IGNORE_INDEX}:
        raise UserError(
            f"{file}: none of its classes ({', '.join(names[:3])}, …) is one of {dataset.name}'s "
            f"({', '.join(dataset.class_names[:3])}, …); name the dataset it was trained for with --data, or leave "
            "--classes away and measure speed alone"
        )
    extra = [name for name, train_id in zip(names, train_ids, strict=True) if train_id == IGNORE_INDEX]
    lacking = [name for train_id, name in enumerate(dataset.class_names) if train_id not in train_ids]
    notes = []
    if extra:
        notes.append(f"{file}: {', '.join(extra)}: no class of {dataset.name}, so a pixel it calls that is a miss")
    if lacking:
        notes.append(f"{file}: it has no channel for {', '.join(lacking)}, whose pixels it misses")
    return network.model_copy(update={"train_ids": train_ids}), notes


def deploy(
    runtime: str,
    file: Path,
    network: Network,
    *,
    device: torch.device,
    precision: Precision,
    image_size: Size,
    input_size: Size,
    resize: Resize,
    batch_size: int,
) -> base.Runnable:
    """Make the network of a file run, and the pipeline around it where it is known how it is fed.

    Raises:
        ModelError: it does not run at this size, or answers with something else than its file says.
        UnsupportedError: the runtime does not run it.
        MemoryError: it ran out of it.
    """
    height, width = input_size
    shape = (batch_size, 3, height, width) if network.layout == "NCHW" else (batch_size, height, width, 3)
    ends = base.Ends(network.given, shape, network.made)
    try:
        runnable = table.load_network(runtime, file, ends, device=device, precision=precision)
        call = runnable.network
        assert call is not None
        answer = call(torch.zeros(shape, dtype=DTYPES[network.dtype], device=device))
    except UserError as error:
        raise ModelError(str(error)) from error
    _require_answer(file, network, answer, batch_size)
    is_raw = network.dtype == "uint8"
    feeding = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3} if is_raw else {"mean": network.mean, "std": network.std}
    spec = ModelSpec(
        name=file.stem,
        builder="none:none",
        family="file",
        align_corners=network.align_corners,
        train_ids=network.train_ids,
        **{name: triple for name, triple in feeding.items() if triple is not None},  # only labels depend on them
    )
    around = _Around(network, spec, image_size, input_size, resize).to(device)
    cuts = {"preprocess": around.preprocess, "network": call}
    if network.is_fed:
        cuts["upsample_argmax"] = around.postprocess
    facts = {"network": str(network), "mean": str(network.mean), "std": str(network.std)}
    build = runnable.build.model_copy(update={"options": {**runnable.build.options, **facts}})
    return replace(runnable, build=build, cut=lambda: cuts)


class _Around(nn.Module):
    """The stages before and after a network."""

    labels: Tensor

    def __init__(self, network: Network, spec: ModelSpec, image_size: Size, input_size: Size, resize: Resize) -> None:
        super().__init__()
        self.network = network
        self.pipeline = Pipeline(
            nn.Identity(), spec, image_size=image_size, input_size=input_size, output_size=image_size, resize=resize
        )
        table = torch.full((256,), IGNORE_INDEX, dtype=torch.uint8)
        known = range(IGNORE_INDEX) if spec.train_ids is None else spec.train_ids
        table[: len(known)] = torch.tensor(known, dtype=torch.uint8)
        self.register_buffer("labels", table, persistent=False)

    @torch.no_grad()
    def preprocess(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` → the input."""
        x = self.pipeline.preprocess(images)  # N3HW
        x = x.round() if self.network.dtype == "uint8" else x
        x = x if self.network.layout == "NCHW" else x.permute(0, 2, 3, 1)
        return x.to(DTYPES[self.network.dtype]).contiguous()

    @torch.no_grad()
    def postprocess(self, answer: Tensor) -> Tensor:
        """The output → `(N, *image_size)` `uint8` classes."""
        if self.network.answer in {"NKHW", "NHWK"}:
            logits = answer if self.network.answer == "NKHW" else answer.permute(0, 3, 1, 2)
            return self.pipeline.postprocess(logits.float())
        axis = {"NHW": None, "N1HW": 1, "NHW1": 3}[self.network.answer]
        labels = answer if axis is None else answer.squeeze(axis)
        labels = self.labels[labels.long().clamp(-1, 255) % 256]  # -1 is 255, no class
        (height, width), grid = self.pipeline.output_size, self.pipeline.grid_size
        if tuple(labels.shape[1:]) != grid:
            labels = F.interpolate(labels[:, None], grid, mode="nearest-exact")[:, 0]
        return labels[:, :height, :width].contiguous()


def _require_answer(file: Path, network: Network, answer: Tensor, batch_size: int) -> None:
    """See that what came out is what the file says, where it left that open."""
    shape = tuple(answer.shape)
    channels = {"NKHW": 1, "NHWK": 3}.get(network.answer)
    fits = len(shape) == len(network.answer) and shape[0] == batch_size
    if channels is not None and fits:
        wanted = len(network.train_ids) if network.train_ids else shape[channels]
        fits = shape[channels] == wanted and 1 < wanted <= MAX_CHANNELS
    if not fits:
        named = f", and {len(network.train_ids)} classes are named" if network.train_ids else ""
        raise ModelError(f"{file} answers with {network.made} {shape}{named}; zoo reads {ANSWERS}: name an --output")


def _layout(port: Any) -> Literal["NCHW", "NHWC"] | None:
    if port.dtype not in DTYPES or len(port.shape) != 4:
        return None
    if port.shape[1] == 3:
        return "NCHW"
    if port.shape[3] == 3:
        return "NHWC"
    return "NCHW" if port.shape[1] == 0 else None


def _output(
    file: Path, given: Any, outputs: Sequence[Any], layout: str, asked: str | None, class_count: int
) -> tuple[Any, Answer, int]:
    """The output that is read, as what, and K: the one asked for, else that of these classes, else of most pixels."""
    names = [port.name for port in outputs]
    if asked is not None and asked not in names:
        raise UserError(f"{file} has no output {asked!r}.{did_you_mean(asked, names)} It has {', '.join(names)}")
    read = [
        (port, *found)
        for port in outputs
        if asked in (None, port.name) and (found := _answer(port, layout, class_count)) is not None
    ]
    if not read:
        told = ", ".join(f"{port.name} {_told(port)}" for port in outputs if asked in (None, port.name))
        raise UserError(f"{file} answers with {told}: no label map; zoo reads {ANSWERS}")
    if len(read) == 1:
        return read[0]
    shapes = table.onnx_shapes(file, given.name, [side or size for side, size in zip(given.shape, _ANY, strict=True)])

    def rank(one: tuple[Any, Answer, int]) -> tuple[bool, int]:
        port, answer, channels = one
        shape = shapes.get(port.name) or port.shape
        height, width = shape[1:3] if answer in {"NHW", "NHWK", "NHW1"} else shape[2:]
        return bool(class_count) and channels == class_count, height * width

    return max(read, key=rank)  # the first of equals


def _answer(port: Any, layout: str, class_count: int) -> tuple[Answer, int] | None:
    """What an output is, and K; `None`: nothing that has pixels of classes."""
    shape = port.shape
    if port.dtype in LABEL_TYPES:
        if len(shape) == 3:
            return "NHW", 0
        if len(shape) == 4 and 1 in (shape[1], shape[3]):
            return ("N1HW", 0) if shape[1] == 1 else ("NHW1", 0)
        return None
    if port.dtype not in ("float", "float16") or len(shape) != 4:
        return None
    first, last = (1, 3) if layout == "NCHW" else (3, 1)
    axis = last if class_count and shape[first] != class_count == shape[last] else first
    sides = shape[2:] if axis == 1 else shape[1:3]
    if shape[axis] == 1 or shape[axis] > MAX_CHANNELS or sides == (1, 1):  # a mask; scores of an image
        return None
    return ("NKHW" if axis == 1 else "NHWK"), shape[axis]


def _scaled(file: Path, feed: Feed, dtype: str) -> tuple[Triple | None, Triple | None]:
    """Mean and standard deviation of pixels from 0 to 1."""
    if feed.mean is None and feed.std is None:
        return None, None
    if dtype == "uint8":
        raise UserError(f"{file} takes uint8 and normalises by itself; leave --mean and --std away")
    if feed.mean is None or feed.std is None:
        lacking = "--mean" if feed.mean is None else "--std"
        raise UserError(f"{file}: mean and std belong together and {lacking} is missing; give both, as R,G,B")
    if min(feed.std) <= 0 or min(feed.mean) < -255 or max(*feed.mean, *feed.std) > 255:
        raise UserError(f"{file}: mean is from 0 to 1 or to 255 and std above 0; got {feed.mean} and {feed.std}")
    unit = 255 if max(*feed.mean, *feed.std) > 1 else 1
    (r, g, b), (sr, sg, sb) = feed.mean, feed.std
    return (r / unit, g / unit, b / unit), (sr / unit, sg / unit, sb / unit)


def _named(text: str) -> list[str]:
    """Names that a text stands for."""
    if text.casefold() == "cityscapes":
        return list(CITYSCAPES.class_names)
    path = Path(text).expanduser()
    if "," in text and not path.is_file():
        return text.split(",")
    if not path.is_file():
        raise UserError(
            f"--classes takes names with commas between, cityscapes, or a file that names them; got {text!r}"
        )
    if path.suffix == ".toml":
        return list(read_classes(path).spec.class_names)
    try:
        content = path.read_text(encoding="utf-8")
        names = json.loads(content) if path.suffix == ".json" else content.split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as names of classes: {base.first_line(error)}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} is no JSON list of names")
    return names if path.suffix == ".json" else [name for name in names if name.strip()]


def _told(port: Any) -> str:
    sides = ", ".join(str(side or "any") for side in port.shape)
    return f"{port.dtype} ({sides})"
