"""The JSON card beside an exported file: what it takes, answers and was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from zoo.catalog import EXPORTED
from zoo.errors import UserError
from zoo.faults import how_to_read, reason
from zoo.files import sha256_of
from zoo.foreign import NOTHING, Feed, Network, read_feed, read_network
from zoo.record import Build, Folding, Precision, Record, Weights
from zoo.runtimes import table
from zoo.spec import Facts, Resize, Size


class Traits(Facts):
    """What a graph no longer tells of the network it was made of."""

    aux_heads: Literal["off", "none"]
    has_batch_norm: bool
    weights_bytes: int
    """Of parameters and buffers as the file holds them."""
    folding: Folding | None = None
    """Null in cards of before."""


class Built(Facts):
    """What the cache knows of a file."""

    file: str
    sha256: str
    bytes: int
    weights: Weights
    build: Build
    traits: Traits | None = None
    """`None`: a file of another maker."""


class Port(Facts):
    """An input or output of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """A side of 0 is open: frames of any size."""
    meaning: str


class Card(Built):
    """The JSON beside an exported file: all that is needed to use it, and how well it did."""

    schema_version: Literal[1] = 1
    model: str
    family: str
    paper: str = ""
    licence: str = ""
    """Of the network's code; the weights may have terms of their own."""
    runtime: str
    precision: Precision
    options: dict[str, str]
    """What the runtime is told on loading, and for which kind of CPU."""
    opset: int | None = None
    """Operator set of an ONNX file, as are the next two; null for others."""
    ir_version: int | None = None
    oldest_onnxruntime: str | None = None
    """Oldest release of ONNX Runtime that takes the file, such as `"1.17"`."""
    input: Port
    output: Port
    input_size: Size | None
    """What the network sees, before padding; null: open, in a network of another maker."""
    resize: Resize
    network: Network | None = None
    """Of another maker, which takes more than the file to be fed and read."""
    class_names: tuple[str, ...]
    """Empty: unknown, of a file of another maker."""
    class_colors: tuple[tuple[int, int, int], ...]
    code_sha256: str
    record: Record | None
    """The newest record of this very file; null where it has not been measured."""


def card_path(file: Path) -> Path:
    """Where the card of an exported file lies."""
    return file.with_name(f"{file.name}.json")


def read_exported(file: Path, *, trust: bool, feed: Feed = NOTHING) -> Card:
    """What a file somebody exported is: by its card, else, for ONNX, by its inputs and outputs, a sidecar and `feed`.

    Raises:
        UserError: no such file; neither `.onnx` nor `.pt2`; a `.pt2` without `trust` or without a card; a card of
            another file; or an ONNX file that is no pipeline or network that zoo can feed and read.
    """
    if not file.is_file():
        raise UserError(f"no file {file}; --file is what `zoo export` wrote, or another .onnx or .pt2 file")
    if file.suffix not in EXPORTED:
        raise UserError(f"{file} is neither .onnx nor .pt2; `zoo export MODEL --runtime R -o FILE` writes both")
    if file.suffix == ".pt2" and not trust:
        raise UserError(f"{file} is native code that runs with your rights; add --trust if you trust who made it")
    try:
        sha256 = sha256_of(file)
    except OSError as error:
        raise UserError(f"cannot read {file}: {reason(error)}; {how_to_read(error)}") from error
    path = card_path(file)
    if path.is_file():
        card = _read_card(path)
        if isinstance(card, Card):
            if card.sha256 != sha256:
                raise UserError(f"{path} is the card of another file than {file}; export it again, or remove the card")
            if feed.model_fields_set:
                raise UserError(f"{path} says how {file} is fed; leave --mean, --std, --classes and --output away")
            return card
        feed = card.model_copy(update=feed.model_dump(exclude_unset=True))
    if file.suffix == ".pt2":
        raise UserError(f"{file} has no card {path.name}, and a .pt2 does not say what it takes: export it with zoo")
    contents = table.onnx_contents(file)
    beside = [file.parent / name for name in contents.data_files]
    network, names = None, list[str]()
    if feed.model_fields_set or not _is_pipeline(contents.inputs, contents.outputs):
        network, names = read_network(file, contents.inputs, contents.outputs, feed)
        network = network.model_copy(update={"data_sha256": tuple(sha256_of(data) for data in beside)})
    given = next(port for port in contents.inputs if network is None or port.name == network.given)
    made = next(port for port in contents.outputs if network is None or port.name == network.made)
    sides = given.shape[1:3] if network is None else network.sides
    return Card(
        file=file.name,
        sha256=sha256,
        bytes=sum(part.stat().st_size for part in (file, *beside)),
        model=file.stem,
        family="file",
        runtime="onnxruntime",
        # On a CPU both runtimes compute in fp32 what stands there in fp16.
        precision="fp32" if network is not None and contents.precision == "fp16" else contents.precision,
        options={},
        input=Port(name=given.name, dtype=given.dtype, shape=given.shape, meaning="images"),
        output=Port(name=made.name, dtype=made.dtype, shape=made.shape, meaning="label maps, or logits"),
        input_size=None if 0 in sides else sides,
        resize="none" if network is None else network.resize or "fit",
        network=network,
        class_names=tuple(names),
        class_colors=(),
        weights=Weights(source="file", sha256=sha256, recipe="external"),
        code_sha256="",
        build=Build(),
        record=None,
    )


def _read_card(path: Path) -> Card | Feed:
    """What lies beside a file: a card, or a sidecar that somebody wrote for a file of another maker."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}; {how_to_read(error)}") from error
    if b'"sha256"' not in text:
        return read_feed(path, text)
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path} is not a card of zoo; remove it or export the file again") from error


def _is_pipeline(inputs: Sequence[Any], outputs: Sequence[Any]) -> bool:
    """Whether a file keeps the contract of an artifact: `uint8` `(N, H, W, 3)` → `uint8` `(N, H, W)`, sizes fixed."""
    if len(inputs) != 1 or len(outputs) != 1:
        return False
    (given,), (made,) = inputs, outputs
    fits = given.dtype == made.dtype == "uint8" and len(given.shape) == 4 and given.shape[3:] == (3,)
    return bool(fits and made.shape == given.shape[:3] and min(given.shape) >= 1)
