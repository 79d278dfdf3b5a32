"""An artifact as a file: built once for each content, kept in the cache, copied out with a card beside it."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.cache import used_folder
from zoo.card import Built, Card, Port, Traits, card_path
from zoo.catalog import code_sha256, find
from zoo.checkpoint import find_any_checkpoint, load_weights, read_facts, runs_folder
from zoo.data.layout import Dataset, cache_folder, open_dataset, spread
from zoo.data.reading import frame_size, read_image
from zoo.errors import ModelError, UserError
from zoo.faults import how_to_write, reason
from zoo.files import sha256_of, write_all
from zoo.measure.device import core_count, package_version, resolve_device
from zoo.models.build import build_empty, build_model
from zoo.pipeline import Pipeline
from zoo.record import MemoryFormat, Precision, Record, State, Weights, short_hash
from zoo.runtimes import base, eager, table
from zoo.runtimes.opset import OPSET, oldest_onnxruntime, require_opset
from zoo.score.comparing import newest, slower_int8
from zoo.score.reading import rows_of
from zoo.spec import DatasetSpec, ModelSpec, Resize, Size
from zoo.store import scan

CALIBRATION_IMAGES = 32
RANDOM_SEED = 0
_PACKAGES = (
    *("torch", "triton", "torchvision", "segmentation-models-pytorch", "timm"),
    *("onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxruntime-gpu"),
)
_PACKAGE = Path(__file__).parent
_CODE = (
    *("export.py", "checkpoint.py", "models/build.py", "models/trial.py"),
    *("pipeline.py", "any_size.py", "resample.py", "upsample.py", "runtimes/*.py"),
)
"""What decides, beside the model's own code, what is in a file."""


@dataclass(frozen=True)
class Wanted:
    """Everything that decides an artifact."""

    spec: ModelSpec
    classes: DatasetSpec
    weights: Path | None
    """A checkpoint; `None`: random ones, seeded."""
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


@dataclass(frozen=True)
class Exported:
    """What `zoo export` wrote."""

    file: Path
    card: Card
    snippet: str
    """Python that loads the file without this package."""
    notes: tuple[str, ...] = ()
    """What the user should know of it, a line each."""

    @property
    def card_file(self) -> Path:
        """Where the card lies."""
        return card_path(self.file)


def make_pipeline(wanted: Wanted) -> tuple[Pipeline, Weights]:
    """Build the network, load its weights and put the pipeline around it.

    Raises:
        UserError: the model or its weights cannot be used.
    """
    if wanted.weights is None:
        torch.manual_seed(RANDOM_SEED)
        module, spec = build_model(wanted.spec, wanted.classes.num_classes, sizes=(wanted.input_size,))
        weights = Weights(source="random", sha256=None, recipe="none", seed=RANDOM_SEED)
    else:
        module, spec = build_empty(wanted.spec, wanted.classes.num_classes, (wanted.input_size,))
        weights = load_weights(module, wanted.weights, spec.name, wanted.classes.num_classes)
    spec = wanted.classes.adapt(spec)
    size = wanted.image_size
    pipeline = Pipeline(
        module, spec, image_size=size, input_size=wanted.input_size, output_size=size, resize=wanted.resize
    )
    return pipeline, weights


def build(wanted: Wanted) -> tuple[Path, Built]:
    """The file of an artifact, from the cache where it has been built before.

    Raises:
        UserError: the model, its weights, the calibration images or the cache folder cannot be used.
        UnsupportedError: the runtime does not run this precision, or nothing can calibrate it.
    """
    suffix = table.file_format(wanted.runtime)
    folder = (wanted.cache or cache_folder()) / "artifacts" / _content(wanted)
    there = folder.is_dir()
    try:
        used_folder(folder, lambda draft: _fill(draft, wanted, suffix))
    except OSError as error:
        if error.errno is None:  # no word of the system's
            raise
        advice = how_to_write(error, "another cache with --cache")
        raise UserError(f"cannot write {folder}: {reason(error)}; {advice}") from error
    built = Built.model_validate_json((folder / "built.json").read_bytes())
    if there:
        built = built.model_copy(update={"build": built.build.model_copy(update={"cached": True})})
    return folder / built.file, built


def load(wanted: Wanted) -> tuple[base.Runnable, Weights, Built | None]:
    """Make an artifact run, building its file first where its runtime wants one.

    Raises:
        UserError: as `build` does.
        ModelError: the runtime cannot load the file.
        UnsupportedError: as `build` does.
        MemoryError: it ran out of it.
    """
    if table.file_format(wanted.runtime):
        file, built = build(wanted)
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
        return found.model_copy(update={"aux_heads": traits.aux_heads, "batch_norm": batch_norm})

    return replace(runnable, state=state, weights_bytes=traits.weights_bytes)


def export_model(
    name: str,
    target: Path | str,
    *,
    runtime: str = "onnxruntime",
    precision: Precision = "fp32",
    data: Path | str | None = None,
    checkpoint: Path | str | None = None,
    random_weights: bool = False,
    image_size: Size | None = None,
    input_size: Size | None = None,
    resize: Resize = "fit",
    batch_size: int = 1,
    opset: int | None = None,
    any_size: bool = False,
    device: str = "cpu",
    runs: Path | str | None = None,
    cache: Path | None = None,
    results: Path | str = "results",
) -> Exported:
    """Write a model as the file that would ship, the one `zoo bench` measures; what `zoo export` does.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        target: The file to write, with its card beside it.
        runtime: One that runs a file: `onnxruntime`, `openvino`, `tensorrt` or `aoti`.
        precision: What it computes in.
        data: Dataset in the Cityscapes layout: its classes, frame size, runs, and train split for int8; `None`: the
            variable `CITYSCAPES_DATASET`, else the embedded synthetic streets.
        checkpoint: Weights; `None`: those of the model's finished run on this dataset, where there is one recipe alone.
        random_weights: Seeded random weights instead.
        image_size: `(height, width)` of the frames; `None`: the dataset's.
        input_size: What the network sees; `None`: as it was trained, else the frame's own size.
        resize: How a frame is brought to it.
        batch_size: Frames per call, fixed in the file.
        opset: Operator set of an ONNX file; `None`: `opset.OPSET`.
        any_size: Take frames of any size, each brought to `input_size`; ONNX Runtime and OpenVINO do.
        device: What a `.pt2` is compiled for, and where calibration runs.
        runs: Folder of training runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where built files are kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        results: Where the record of this very file is looked for.

    Raises:
        UserError: no such model, runtime or device; no weights; a file that cannot be written.
    """
    if random_weights and checkpoint:
        raise UserError(f"--random and --checkpoint {checkpoint} name two sorts of weights; give one of the two")
    if batch_size < 1:
        raise UserError(f"a file takes 1 image per call or more; got --batch {batch_size}")
    if any_size and resize == "none":
        raise UserError(
            "--dynamic brings frames of any size to the input's, and --resize none leaves them as they are; "
            "choose --resize fit or stretch"
        )
    if opset is not None:
        if (suffix := table.file_format(runtime)) != ".onnx":
            raise UserError(
                f"--opset is for ONNX files and runtime {runtime} writes {suffix or 'none'}; leave it out, or choose "
                "onnxruntime, openvino or tensorrt"
            )
        require_opset(opset)
    spec, place = find(name), resolve_device(device)
    dataset = open_dataset(data, cache=cache)
    file = None
    if not random_weights:
        file = Path(checkpoint) if checkpoint else find_any_checkpoint(runs_folder(runs), spec, dataset)
    facts = read_facts(file) if file else None
    image_size = image_size or frame_size(dataset, dataset.splits()[-1])
    wanted = Wanted(
        spec=spec,
        classes=dataset.spec,
        weights=file,
        dataset=dataset,
        runtime=runtime,
        precision=precision,
        device=place,
        image_size=image_size,
        input_size=input_size or (facts.config.image_size if facts else None) or image_size,
        resize=resize,
        batch_size=batch_size,
        memory_format="channels_last",
        compile_mode="default",
        cache=cache,
        opset=opset or OPSET,
        any_size=any_size,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(core_count())  # as a sweep's workers do
    try:
        return _export(wanted, Path(target), scan(Path(results)).records)
    except base.UnsupportedError as error:
        raise UserError(f"{error}; choose another --runtime or --precision") from error
    finally:
        torch.set_num_threads(threads)


def _export(wanted: Wanted, target: Path, records: Sequence[Record]) -> Exported:
    suffix = table.file_format(wanted.runtime)
    if not suffix:
        files = ", ".join(name for name in table.RUNTIMES if table.file_format(name))
        raise UserError(
            f"runtime {wanted.runtime} runs this package's own code: there is no file; choose one of {files}"
        )
    if target.suffix != suffix:
        raise UserError(f"runtime {wanted.runtime} writes {suffix} files; got {target}: name it {target.stem}{suffix}")
    source, built = build(wanted)
    options = table.load_file(wanted.runtime, source, device=wanted.device, precision=wanted.precision).build.options
    measured = [
        record
        for record in records
        if record.artifact.file_sha256 == built.sha256
        and (record.artifact.runtime, record.artifact.precision) == (wanted.runtime, wanted.precision)
    ]
    shape = (wanted.batch_size, *((0, 0) if wanted.any_size else wanted.image_size))
    contents = table.onnx_contents(source) if suffix == ".onnx" else None
    card = Card(
        file=target.name,
        sha256=built.sha256,
        bytes=built.bytes,
        model=wanted.spec.name,
        family=wanted.spec.family,
        paper=wanted.spec.url or wanted.spec.paper,
        licence=wanted.spec.licence,
        runtime=wanted.runtime,
        precision=wanted.precision,
        options=options,
        opset=contents and contents.opset,
        ir_version=contents and contents.ir_version,
        oldest_onnxruntime=contents and oldest_onnxruntime(contents.opset, contents.ir_version),
        input=Port(name="images", dtype="uint8", shape=(*shape, 3), meaning="N, H, W, RGB; 0 to 255, not normalised"),
        output=Port(
            name="labels", dtype="uint8", shape=shape, meaning="N, H, W; index of class_names, 255: none of them"
        ),
        input_size=wanted.input_size,
        resize=wanted.resize,
        class_names=wanted.classes.class_names,
        class_colors=wanted.classes.class_colors,
        weights=built.weights,
        code_sha256=code_sha256(wanted.spec),
        build=built.build,
        traits=built.traits,
        record=max(measured, key=lambda record: record.started_at, default=None),
    )
    text = card.model_dump_json(indent=1) + "\n"
    try:
        write_all({target: lambda draft: shutil.copyfile(source, draft), card_path(target): text.encode()})
    except OSError as error:
        advice = how_to_write(error, "another file with -o")
        raise UserError(f"cannot write {target}: {reason(error)}; {advice}") from error
    snippet = table.snippet(wanted.runtime, target, options, card.input.shape)
    return Exported(target, card, snippet, _notes(card, records))


def _notes(card: Card, records: Sequence[Record]) -> tuple[str, ...]:
    """What a file's user should know before it is deployed."""
    notes = []
    if card.opset is not None:
        oldest = f"ONNX Runtime {card.oldest_onnxruntime}" if card.oldest_onnxruntime else "a new ONNX Runtime"
        notes.append(f"opset {card.opset}, IR version {card.ir_version}: for {oldest} and newer")
    if products := card.options.get("int8_products"):
        notes.append(f"int8 products: {products}")
    if card.record is None:
        notes.append("this very file has no record yet: `zoo bench --artifact FILE` measures it")
    else:
        slower = slower_int8(newest(rows_of(records)))
        notes += [pair.text for pair in slower if pair.int8.key == card.record.key]
    return tuple(notes)


def _fill(folder: Path, wanted: Wanted, suffix: str) -> None:
    """Build into a folder of the cache."""
    pipeline, weights = make_pipeline(wanted)
    file = folder / f"model{suffix}"
    precision = table.graph_precision(wanted.runtime, wanted.device, wanted.precision)
    facts = table.build(
        wanted.runtime,
        pipeline,
        file,
        device=wanted.device,
        precision=wanted.precision,
        memory_format=wanted.memory_format,
        batch_size=wanted.batch_size,
        calibration=_calibration(wanted) if precision == "int8" else (),
        opset=wanted.opset,
        any_size=wanted.any_size,
    )
    built = Built(
        file=file.name,
        sha256=sha256_of(file),
        bytes=file.stat().st_size,
        weights=weights,
        build=facts,
        traits=_traits(pipeline, file, wanted.memory_format),
    )
    (folder / "built.json").write_text(built.model_dump_json(indent=1), encoding="utf-8")


def _traits(pipeline: Pipeline, file: Path, memory_format: MemoryFormat) -> Traits:
    """Of the network that `file` was built of; it holds what the file does, but for what ONNX folds and quantises."""
    state = eager.state(pipeline, memory_format)
    held = table.onnx_contents(file).weights_bytes if file.suffix == ".onnx" else None
    return Traits(
        aux_heads="off" if state.aux_heads == "off" else "none",
        has_batch_norm=state.batch_norm == "kept",
        weights_bytes=base.tensor_bytes(pipeline.model.state_dict()) if held is None else held,
    )


def _calibration(wanted: Wanted) -> list[Tensor]:
    """Images `(N, *image_size, 3)` `uint8`, spread over the train split; other sizes are resized to the frames'."""
    if wanted.dataset is None or "train" not in wanted.dataset.splits():
        raise base.UnsupportedError(
            "int8 is calibrated on images of a train split, none is open: name a --data (and measure accuracy)"
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
            "format": table.file_format(wanted.runtime),
            "precision": precision,
            "model": code_sha256(wanted.spec),
            "classes": wanted.classes.num_classes,
            "fed": [wanted.classes.mean, wanted.classes.std],
            "weights": _digest(wanted.weights, wanted.weights.stat().st_mtime_ns) if wanted.weights else "random",
            "calibration": wanted.dataset.fingerprint("train") if precision == "int8" and wanted.dataset else None,
            "sizes": [wanted.image_size, wanted.input_size, wanted.resize, wanted.batch_size],
            "graph": [wanted.opset, wanted.any_size],
            "memory_format": wanted.memory_format,
            "device": [wanted.device.type, sorted(base.cpu_features()), base.capability(wanted.device)],
            "threads": torch.get_num_threads(),  # Inductor writes it into its code
            "makers": makers(),
        },
        32,
    )


@functools.cache
def makers() -> str:
    """Hash of what turns a model into an artifact: the packages' versions and this package's own code."""
    files = sorted(path for pattern in _CODE for path in _PACKAGE.glob(pattern))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return short_hash([digest, *(package_version(package) for package in _PACKAGES)], 32)


@functools.cache
def _digest(file: Path, _modified_ns: int) -> str:
    return sha256_of(file)
