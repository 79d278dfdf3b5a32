"""The one road from a model and its weights to what runs: network, pipeline, file, `Runnable`.

Whatever is measured, scored, shown or exported comes along here. A runtime's file is built once for each content and
kept in the cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zoo.cache import cache_folder, used_folder
from zoo.card import Built, Traits
from zoo.checkpoint import runs_folder
from zoo.counting import Predict, in_batches_of
from zoo.data.layout import Dataset, spread
from zoo.data.reading import read_image
from zoo.errors import ModelError, UserError
from zoo.faults import how_to_write, reason
from zoo.files import sha256_of, short_hash
from zoo.holding import Held, at_size, expected, hold
from zoo.identity import makers, network_sha256
from zoo.labels import CITYSCAPES
from zoo.lazy import Lazy
from zoo.machine import cpu_features
from zoo.models.build import build_empty, build_model, build_random, read_hub
from zoo.models.contract import tensors_of
from zoo.models.deployment import deployed
from zoo.models.trial import CHECK_SIZE, fit_model
from zoo.modes import seen_window
from zoo.pipeline import Pipeline
from zoo.record import Build, MemoryFormat, Network, Precision, State, Weights
from zoo.runtimes import base, eager, table
from zoo.runtimes.opset import OPSET
from zoo.spec import DatasetSpec, ModelSpec, Resize, Size
from zoo.state_dict import StateDict, load_into, read_state_dict, weights_sha256
from zoo.weights.asked import parse_asked
from zoo.weights.resolve import resolve
from zoo.weights.source import Brought, Source

if TYPE_CHECKING:
    from zoo import remedies
else:  # they bring a runtime along, which the fork server must not: its memory is counted where it is loaded
    remedies = Lazy("zoo.remedies")

CALIBRATION_IMAGES = 32
HELD_PIXELS = 1 << 26
"""Of the train split, that int8 is held against fp32 on, in so many images at least and at most:"""
HELD_IMAGES = 16, 128
RANDOM_SEED = 0


@dataclass(frozen=True)
class Wanted:
    """Everything that decides an artifact."""

    spec: ModelSpec
    classes: DatasetSpec
    """What its labels mean."""
    source: Source
    dataset: Dataset | None
    """Whose train split calibrates int8."""
    runtime: str
    precision: Precision
    device: torch.device
    image_size: Size
    input_size: Size
    resize: Resize
    batch_size: int
    memory_format: MemoryFormat
    compile_mode: str
    cache: Path | None
    opset: int = OPSET
    """Of an ONNX file."""
    any_size: bool = False
    """The sides of the frame are left open; `image_size` is then only what the graph is recorded with."""


def make_network(
    spec: ModelSpec, classes: DatasetSpec, source: Source, sizes: Sequence[Size] | None = ()
) -> tuple[nn.Module, ModelSpec, Weights]:
    """Build the network and load its weights.

    Args:
        spec: The model.
        classes: What its labels shall mean.
        source: Its weights, matched to `classes` (`weights.resolve.resolve`).
        sizes: As in `models.build.build_model`.

    Returns:
        The network, how it is fed and read with these weights, and the weights as a record keeps them.

    Raises:
        UserError: the model or its weights cannot be used.
    """
    count = source.num_classes or classes.num_classes
    if source.file is None:
        torch.manual_seed(RANDOM_SEED)
        build = build_random if source.kind == "random" else build_model
        module, spec = build(spec, count, sizes=sizes)
        sha256 = weights_sha256(tensors_of(module)) if source.kind == "own" else None
        if sha256 != source.sha256:
            raise ModelError(f"{spec.name}: the weights it brings are others than a moment ago; its files were changed")
        return module, source.fed(spec, classes), source.facts(sha256)
    module, spec = build_empty(spec, count, sizes)
    loaded = load_into(module, read_source(source, spec, tensors_of(module)), path=source.file, model=spec.name)
    return module, source.fed(spec, classes), source.facts(weights_sha256(loaded.tensors), loaded.notes)


def read_source(source: Source, spec: ModelSpec, zeros: Mapping[str, Tensor] = MappingProxyType({})) -> StateDict:
    """Read the file of weights; published ones come under the names of the model's network.

    Args:
        source: The weights, which stand in a file.
        spec: The model.
        zeros: Tensors of the network by their names; those that a published file lacks are zero.

    Raises:
        UserError: as `state_dict.read_state_dict`.
    """
    assert source.file is not None
    if source.of_hub:
        assert source.num_classes is not None
        return StateDict(read_hub(spec, source.file.parent, source.num_classes), ())
    given, one = read_state_dict(source.file), source.published
    if one is None:
        return given
    tensors = {new: given.tensors[name] for name, new in one.names_of(given.tensors).items()}
    absent = {name: torch.zeros_like(tensor) for name, tensor in zeros.items() if one.is_zero(name)}
    return StateDict({**absent, **tensors}, given.notes)


def find_source(
    weights: Path | str, spec: ModelSpec, dataset: Dataset | None, runs: Path | str | None, cache: Path | None
) -> Source:
    """Find the weights a verb was asked for, building a model of your own where that decides.

    Raises:
        UserError: as `weights.asked.parse_asked` and `weights.resolve.resolve`.
    """
    count = (dataset.spec if dataset else CITYSCAPES).num_classes
    return resolve(
        parse_asked(str(weights)),
        spec,
        dataset,
        runs=runs_folder(runs),
        cache=cache,
        brings=lambda: brought(spec, count),
    )


def brought(spec: ModelSpec, num_classes: int) -> Brought:
    """What a model of your own holds when it is built: the same tensors from call to call, or others.

    Raises:
        UserError: it cannot be built.
    """
    states = []
    for seed in (RANDOM_SEED, RANDOM_SEED + 1):
        torch.manual_seed(seed)
        states.append(tensors_of(build_model(spec, num_classes, sizes=None)[0]))
    first, second = states
    hashes = [{name: weights_sha256({name: tensor}) for name, tensor in state.items()} for state in states]
    differing = [name for name in first | second if hashes[0].get(name) != hashes[1].get(name)]
    return Brought(None, differing[0]) if differing else Brought(weights_sha256(first))


def make_deployed(
    spec: ModelSpec, classes: DatasetSpec, source: Source, input_size: Size | None
) -> tuple[nn.Module, ModelSpec, Weights]:
    """Make the network that ships (`models.deployment.deployed`): as `make_network`, merged and folded.

    Args:
        spec: The model.
        classes: What its labels shall mean.
        source: Its weights, matched to `classes`.
        input_size: What it will be fed with, before padding; `None`: not known yet.

    Raises:
        UserError: the model or its weights cannot be used.
    """
    sizes = None if input_size is None else (input_size,)
    module, fed, weights = make_network(spec, classes, source, sizes)
    # A trial is three runs of the network: the smaller size comes first.
    trials = sorted((fed.padded(size) for size in (CHECK_SIZE, *(sizes or ()))), key=math.prod)
    if deployed(module, trials) is None:
        module, fed, weights = make_network(spec, classes, source, sizes)
    return module, fed, weights


def make_pipeline(wanted: Wanted) -> tuple[Pipeline, Weights]:
    """Build the deployed network with its weights, and put the pipeline around it.

    Raises:
        UserError: the model or its weights cannot be used.
    """
    module, spec, weights = make_deployed(wanted.spec, wanted.classes, wanted.source, wanted.input_size)
    size = wanted.image_size
    pipeline = Pipeline(
        module, spec, image_size=size, input_size=wanted.input_size, output_size=size, resize=wanted.resize
    )
    return pipeline, weights


@dataclass(frozen=True)
class Deployed:
    """One network with its weights, deployed for frames of any size in eager mode; all sizes share the network."""

    module: nn.Module
    spec: ModelSpec
    classes: DatasetSpec
    """What its labels mean."""
    facts: Network
    source: Source
    device: torch.device

    def __call__(self, size: Size, scale: float = 1.0, window: Size | None = None) -> tuple[Pipeline, base.Runnable]:
        """Deploy it for frames of `size`, of which it sees `scale` times its input size, whole or by windows.

        Raises:
            ModelError: the network does not take what it would see.
            UserError: the device does not compute in the precision.
        """
        height, width = self.facts.input_size or size
        seen = max(1, round(scale * height)), max(1, round(scale * width))
        resize = self.source.resize

        def around(spec: ModelSpec) -> Pipeline:
            return Pipeline(self.module, spec, image_size=size, input_size=seen, output_size=size, resize=resize)

        pipeline = around(self.spec)
        fed = pipeline.input_size if window is None else seen_window(window, pipeline.fitted_size)
        pipeline = around(fit_model(self.module, self.spec, self.classes.num_classes, [fed]))
        try:
            return pipeline, table.load_pipeline("eager", pipeline, device=self.device, precision=self.facts.precision)
        except base.UnsupportedError as error:
            raise UserError(f"{error}; choose another --precision") from error


def deploy(
    spec: ModelSpec,
    classes: DatasetSpec,
    source: Source,
    *,
    device: torch.device,
    precision: Precision = "fp32",
    input_size: Size | None = None,
    folded: bool = True,
) -> Deployed:
    """Load a model with its weights, to be run on frames of any size.

    Args:
        spec: The model.
        classes: What its labels shall mean.
        source: Its weights, matched to `classes` (`weights.resolve.resolve`).
        device: Where it runs.
        precision: What the network computes in.
        input_size: What the network sees, `(height, width)`; `None`: as it was trained, else the frame's own size.
        folded: As it ships; `False`: with its batch norms in place, so that they can be looked at.

    Raises:
        UserError: the model or its weights cannot be used.
    """
    make = make_deployed if folded else make_network
    module, fed, weights = make(spec, classes, source, None)  # tried at each size as it comes
    network = Network(model=spec.name, weights=weights, precision=precision, input_size=input_size or source.input_size)
    return Deployed(module, fed, classes, network, source, device)


Tell = Callable[[str], None]
"""Takes a line of progress."""


def untold(_line: str) -> None:
    """Take a line that nobody asked for."""


def build(wanted: Wanted, tell: Tell = untold) -> tuple[Path, Built]:
    """The file of an artifact, from the cache where it has been built before.

    int8 that loses more of fp32's mIoU than may be is made in other ways, until one holds (`zoo.remedies`).

    Raises:
        UserError: the model, its weights, the calibration images or the cache folder cannot be used.
        UnsupportedError: the runtime does not run this precision, or nothing can calibrate it.
    """
    suffix = table.file_format(wanted.runtime)
    folder = (wanted.cache or cache_folder()) / "artifacts" / _content(wanted)
    there = folder.is_dir()
    try:
        used_folder(folder, lambda draft: _fill(draft, wanted, suffix, tell))
    except OSError as error:
        if error.errno is None:  # no word of the system's
            raise
        advice = how_to_write(error, "another cache with --cache")
        raise UserError(f"cannot write {folder}: {reason(error)}; {advice}") from error
    built = Built.model_validate_json((folder / "built.json").read_bytes())
    if there:
        built = built.model_copy(update={"build": built.build.model_copy(update={"cached": True})})
    return folder / built.file, built


def load(wanted: Wanted, tell: Tell = untold) -> tuple[base.Runnable, Weights, Built | None]:
    """Make an artifact run, building its file first where its runtime wants one.

    Raises:
        UserError: as `build` does.
        ModelError: the runtime cannot load the file.
        UnsupportedError: as `build` does.
        MemoryError: it ran out of it.
    """
    if table.file_format(wanted.runtime):
        file, built = build(wanted, tell)
        try:
            runnable = table.load_file(wanted.runtime, file, device=wanted.device, precision=wanted.precision)
        except UserError as error:
            raise ModelError(str(error)) from error
        return with_traits(runnable, built.traits), built.weights, built
    pipeline, weights = make_pipeline(wanted)
    runnable = table.load_pipeline(
        wanted.runtime,
        pipeline,
        device=wanted.device,
        precision=wanted.precision,
        memory_format=wanted.memory_format,
        compile_mode=wanted.compile_mode,
        batch_size=wanted.batch_size,
    )
    return runnable, weights, None


def with_traits(runnable: base.Runnable, traits: Traits | None) -> base.Runnable:
    """A file as it runs, with what was known before it was one; as it is where nothing was."""
    if traits is None:
        return runnable

    def state() -> State:
        found = runnable.state()
        batch_norm = (found.batch_norm or "folded") if traits.has_batch_norm else "none"
        facts = {"aux_heads": traits.aux_heads, "batch_norm": batch_norm, "folding": traits.folding}
        return found.model_copy(update=facts)

    return replace(runnable, state=state, weights_bytes=traits.weights_bytes)


def _fill(folder: Path, wanted: Wanted, suffix: str, tell: Tell) -> None:
    """Build into a folder of the cache."""
    pipeline, weights = make_pipeline(wanted)
    file = folder / f"model{suffix}"
    precision = table.graph_precision(wanted.runtime, wanted.device, wanted.precision)
    calibration = _calibration(wanted) if precision == "int8" else ()
    facts = table.build(
        wanted.runtime,
        pipeline,
        file,
        device=wanted.device,
        precision=wanted.precision,
        memory_format=wanted.memory_format,
        batch_size=wanted.batch_size,
        calibration=calibration,
        opset=wanted.opset,
        any_size=wanted.any_size,
    )
    if precision == "int8":
        facts = _held(file, wanted, facts, calibration, tell)
    built = Built(
        file=file.name,
        sha256=sha256_of(file),
        bytes=file.stat().st_size,
        weights=weights,
        build=facts,
        traits=_traits(pipeline, file, wanted.memory_format),
    )
    (folder / "built.json").write_text(built.model_dump_json(indent=1), encoding="utf-8")


def reference_of(wanted: Wanted) -> Predict:
    """fp32 eager of the same weights, for frames of any size: what an artifact is held against."""
    runnable, _, _ = load(replace(wanted, runtime="eager", precision="fp32"))
    return at_size(runnable.predict, wanted.image_size)


def predictor_of(file: Path, wanted: Wanted) -> Predict:
    """A built file, for frames of any size and number."""
    runnable = table.load_file(wanted.runtime, file, device=wanted.device, precision=wanted.precision)
    return at_size(in_batches_of(wanted.batch_size, runnable.predict), wanted.image_size)


def _held(file: Path, wanted: Wanted, facts: Build, calibration: Sequence[Tensor], tell: Tell) -> Build:
    """Hold int8 against fp32 on the train split; another file takes its place where it loses too much."""
    assert facts.quantisation is not None
    if why := _why_unmeasured(wanted):
        unmeasured = facts.quantisation.model_copy(update={"why_unmeasured": why})
        return facts.model_copy(update={"quantisation": unmeasured})
    start = time.perf_counter()
    dataset, (height, width), (least, most) = wanted.dataset, wanted.image_size, HELD_IMAGES
    assert dataset is not None
    limit = min(most, max(least, HELD_PIXELS // (height * width)))
    frames = list(expected(reference_of(wanted), dataset, "train", limit=limit))

    def measure(other: Path) -> Held:
        return hold(predictor_of(other, wanted), frames, dataset.spec)

    found = remedies.best_of(
        file,
        lambda: table.quantiser(build(replace(wanted, precision="fp32"))[0], calibration),
        measure,
        wanted.runtime,
        tell,
    )
    return facts.model_copy(
        update={
            "quantisation": found,
            "calibrate_s": (facts.calibrate_s or 0.0) + time.perf_counter() - start,
            "options": {**facts.options, **table.quantisation(found.way)},
        }
    )


def _why_unmeasured(wanted: Wanted) -> str:
    """Why nothing tells whether int8 keeps its mIoU; empty where something does."""
    assert wanted.dataset is not None
    if wanted.source.kind == "random":
        return "its weights are random"
    if wanted.classes.class_names != wanted.dataset.spec.class_names:
        return f"{wanted.dataset.name} has other classes"
    if any(frame.label is None for frame in wanted.dataset.frames("train")):
        return f"the train split of {wanted.dataset.name} has no labels"
    return ""


def _traits(pipeline: Pipeline, file: Path, memory_format: MemoryFormat) -> Traits:
    """Of the network that `file` was built of; it holds what the file does, but for what ONNX folds and quantises."""
    state = eager.state(pipeline, memory_format)
    held = table.onnx_contents(file).weights_bytes if file.suffix == ".onnx" else None
    return Traits(
        aux_heads="off" if state.aux_heads == "off" else "none",
        has_batch_norm=state.batch_norm != "none",
        weights_bytes=base.tensor_bytes(tensors_of(pipeline.model)) if held is None else held,
        folding=state.folding,
    )


def _calibration(wanted: Wanted) -> list[Tensor]:
    """Images `(N, *image_size, 3)` `uint8`, spread over the train split; other sizes are resized to the frames'."""
    if wanted.dataset is None or "train" not in wanted.dataset.splits():
        raise base.UnsupportedError(
            "int8 is calibrated on images of a train split, none is open: name a --data, in a sweep with a preset that "
            "has accuracy"
        )
    height, width = wanted.image_size
    images = []
    for frame in spread(wanted.dataset.frames("train"), CALIBRATION_IMAGES):
        pixels = read_image(frame.image)
        if pixels.shape[:2] != (height, width):
            pixels = np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
        images.append(torch.from_numpy(pixels)[None].expand(wanted.batch_size, -1, -1, -1).contiguous())
    return images


def _content(wanted: Wanted) -> str:
    """Hash of all that decides what is in the file."""
    precision = table.graph_precision(wanted.runtime, wanted.device, wanted.precision)
    return short_hash(
        {
            "builder": table.builder_of(wanted.runtime, wanted.precision),
            "precision": precision,
            "model": network_sha256(wanted.spec),
            "classes": wanted.classes.num_classes,
            "fed": wanted.source.how_fed(wanted.spec, wanted.classes),
            "weights": [wanted.source.kind, wanted.source.sha256, wanted.source.num_classes],
            "calibration": wanted.dataset.fingerprint("train") if precision == "int8" and wanted.dataset else None,
            "sizes": [wanted.image_size, wanted.input_size, wanted.resize, wanted.batch_size],
            "graph": [wanted.opset, wanted.any_size],
            "runtime": wanted.runtime if precision == "int8" else None,  # what holds in one need not in another
            "memory_format": wanted.memory_format,
            "device": [wanted.device.type, sorted(cpu_features()), base.capability(wanted.device)],
            "threads": torch.get_num_threads(),  # Inductor writes it into its code
            "makers": makers(),
        },
        32,
    )
