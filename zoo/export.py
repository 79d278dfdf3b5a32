"""`zoo export`: an artifact's file, copied out with a card beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from zoo.artifact import Tell, Wanted, build, find_source, predictor_of, reference_of, untold
from zoo.card import Card, Port, card_path
from zoo.catalog import find
from zoo.data.layout import Dataset, OnFrame, open_dataset
from zoo.data.reading import frame_size, label_shares
from zoo.errors import UserError, counted
from zoo.faults import how_to_write, reason
from zoo.files import write_all
from zoo.holding import Held, expected, hold
from zoo.identity import network_sha256
from zoo.machine import core_count
from zoo.measure.device import resolve_device
from zoo.record import Precision, Record
from zoo.runtimes import base, table
from zoo.runtimes.opset import OPSET, oldest_onnxruntime, require_opset
from zoo.score.comparing import newest, say_slower, slower_int8
from zoo.score.fields import quoted
from zoo.score.int8 import int8_text
from zoo.score.limits import Limit
from zoo.score.metrics import CLASS_LOSS
from zoo.score.reading import rows_of
from zoo.spec import DatasetSpec, ModelSpec, Resize, Size
from zoo.store import scan, when
from zoo.weights.asked import knows_itself, parse_asked
from zoo.weights.source import Source, require_weights

HELD_SPLIT = "val"


class RequirementError(UserError):
    """A file that loses more against fp32 than was allowed: it is not written."""


@dataclass(frozen=True)
class Exported:
    """What `zoo export` wrote."""

    file: Path
    card: Card
    source: Source
    """The weights in it."""
    snippet: str
    """Python that loads the file without this package."""
    notes: tuple[str, ...] = ()
    """What the user should know of it, a line each."""

    @property
    def card_file(self) -> Path:
        """Where the card lies."""
        return card_path(self.file)


def export_model(
    name: str,
    target: Path | str,
    *,
    runtime: str = "onnxruntime",
    precision: Precision = "fp32",
    data: Path | str | None = None,
    weights: Path | str = "auto",
    image_size: Size | None = None,
    input_size: Size | None = None,
    resize: Resize | None = None,
    batch_size: int = 1,
    opset: int | None = None,
    any_size: bool = False,
    device: str = "cpu",
    runs: Path | str | None = None,
    cache: Path | None = None,
    results: Path | str = "results",
    require: str | None = None,
    tell: Tell = untold,
    on_image: OnFrame | None = None,
) -> Exported:
    """Write a model as the file that would ship, the one `zoo bench` measures; what `zoo export` does.

    Args:
        name: Whatever `zoo.catalog.find` takes.
        target: The file to write, with its card beside it.
        runtime: One that runs a file: `onnxruntime`, `openvino`, `tensorrt` or `aoti`.
        precision: What it computes in.
        data: Dataset in the Cityscapes layout: its classes, frame size, runs, train split for int8; `None`: none where
            weights tell their classes, else the variable `CITYSCAPES_DATASET`, else the embedded synthetic streets.
        weights: `auto`, `random`, `run[:RECIPE[:SEED]]`, `published[:TAG]`, `own` or a file (`zoo.weights.asked`).
        image_size: `(height, width)` of the frames; `None`: the dataset's; without one what the network sees.
        input_size: What the network sees; `None`: as it was trained, else the frame's own size.
        resize: How a frame is brought to it; `None`: as it was trained.
        batch_size: Frames per call, fixed in the file.
        opset: Operator set of an ONNX file; `None`: `opset.OPSET`.
        any_size: Take frames of any size, each brought to `input_size`; ONNX Runtime and OpenVINO do.
        device: What a `.pt2` is compiled for, and where calibration runs.
        runs: Folder of training runs; `None`: `ZOO_RUNS`, else `runs`.
        cache: Where built files are kept; `None`: `ZOO_CACHE`, else the user's cache folder.
        results: Where the record of this very file is looked for.
        require: What the file has to keep against fp32 eager on the val split of `data`, such as `"class-loss:2"`.
        tell: Takes a line of progress of int8.
        on_image: Told of every image that is counted.

    Raises:
        RequirementError: it does not keep that; nothing is written.
        UserError: no such model, runtime or device; no weights; a file that cannot be written.
    """
    _require_options(runtime, batch_size, resize, opset, any_size=any_size)
    spec, place = find(name), resolve_device(device)
    limits = Limit.required(require) if require is not None else ()
    opened = bool(limits) or data is not None or precision == "int8"
    dataset, source, classes = _data_and_weights(spec, data, weights, runs, cache, opened=opened)
    image_size = image_size or _frame_size(spec, dataset, source)
    wanted = Wanted(
        spec=spec,
        classes=classes,
        source=source,
        dataset=dataset,
        runtime=runtime,
        precision=precision,
        device=place,
        image_size=image_size,
        input_size=input_size or source.input_size or image_size,
        resize=resize or source.resize,
        batch_size=batch_size,
        memory_format="channels_last",
        compile_mode="default",
        cache=cache,
        opset=opset or OPSET,
        any_size=any_size,
    )
    _require_data(wanted, limits, given=data is not None)
    with _all_cores():
        try:
            return _export(wanted, Path(target), scan(Path(results)).records, limits, tell, on_image)
        except base.UnsupportedError as error:
            raise UserError(f"{error}; choose another --runtime or --precision") from error


@contextmanager
def _all_cores() -> Iterator[None]:
    """Use every core, as a sweep's workers do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(core_count())
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _data_and_weights(
    spec: ModelSpec,
    data: Path | str | None,
    weights: Path | str,
    runs: Path | str | None,
    cache: Path | None,
    *,
    opened: bool,
) -> tuple[Dataset | None, Source, DatasetSpec]:
    """Find the weights, and open the dataset: where it is wanted itself, or has to say what the classes are."""
    asked = parse_asked(str(weights))
    dataset = open_dataset(data, cache=cache) if opened or not knows_itself(asked, spec) else None
    source = find_source(weights, spec, dataset, runs, cache)
    if asked.kind != "random":
        require_weights(source, spec.name)
    classes = dataset.spec if dataset else source.classes
    assert classes is not None, "weights that know themselves"
    return dataset, source, classes


def _frame_size(spec: ModelSpec, dataset: Dataset | None, source: Source) -> Size:
    """How large frames are, where nobody said: the dataset's; without one, as the network saw them."""
    size = frame_size(dataset, dataset.splits()[-1]) if dataset else source.input_size
    if size is None:
        raise UserError(f"{spec.name} was trained at its frames' own size; say how large yours are with --image-size")
    return size


def _require_options(
    runtime: str, batch_size: int, resize: Resize | None, opset: int | None, *, any_size: bool
) -> None:
    """Refuse what no file of this runtime can be."""
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


def _require_data(wanted: Wanted, limits: Sequence[Limit], *, given: bool) -> None:
    """Refuse to require what cannot be counted; nothing asks for nothing."""
    dataset = wanted.dataset
    if not limits:
        return
    if dataset is None or (dataset.synthetic and not given):
        raise UserError("--require counts on images with labels: name them with --data DIR")
    if wanted.source.kind == "random":
        raise UserError("random weights have no accuracy to lose: leave --require away, or name others with --weights")
    frames = dataset.frames(HELD_SPLIT)
    if any(frame.label is None for frame in frames):
        raise UserError(f"--require counts on the {HELD_SPLIT} split, and that of {dataset.name} has no labels")
    names = [limit.metric.key.partition(".")[2] for limit in limits]
    if unknown := [name for name in names if name and name not in dataset.spec.class_names]:
        known = ", ".join(dataset.spec.class_names)
        raise UserError(f"--require names {', '.join(unknown)}, no class of {dataset.name}; there are: {known}")
    if not any(names):
        return
    shares = dict(zip(dataset.spec.class_names, label_shares(dataset, HELD_SPLIT), strict=True))
    if absent := [name for name in names if name and not shares[name]]:
        seen = ", ".join(name for name, share in shares.items() if share)
        raise UserError(
            f"--require names {', '.join(absent)}, which no label of {dataset.name} {HELD_SPLIT} shows: what such a "
            f"class loses cannot be known; leave it away, or name one of those that are there: {seen}"
        )


def _hold(wanted: Wanted, file: Path, on_image: OnFrame | None) -> Held:
    """Count the file that would be written, and fp32 eager, on the same images."""
    assert wanted.dataset is not None
    frames = expected(reference_of(wanted), wanted.dataset, HELD_SPLIT, on_image=on_image)
    return hold(predictor_of(file, wanted), frames, wanted.dataset.spec)


def _require_kept(held: Held, limits: Sequence[Limit], target: Path, on: str) -> None:
    """Refuse a file that loses more than it may."""
    said = []
    for limit in limits:
        if limit.holds(held):
            continue
        broken: dict[str, float | None] = {"": held.value(limit.metric.key)}
        if limit.metric.key == CLASS_LOSS:
            broken = {f"{name} ": lost for name, lost in held.common_lost.items() if lost > limit.value}
        found = [
            f"{name}{limit.metric.apart(value, limit.value)[0]}" for name, value in broken.items() if value is not None
        ]
        said.append(f"{limit.say()}: {', '.join(found) or 'not known'}")
    if said:
        raise RequirementError(
            f"{target} is not written, it does not keep {'; '.join(said)} (against fp32 eager, {on}); "
            "try another --runtime or --precision, or require less"
        )


def _export(
    wanted: Wanted,
    target: Path,
    records: Sequence[Record],
    limits: Sequence[Limit] = (),
    tell: Tell = untold,
    on_image: OnFrame | None = None,
) -> Exported:
    suffix = table.file_format(wanted.runtime)
    if not suffix:
        files = ", ".join(name for name in table.RUNTIMES if table.file_format(name))
        raise UserError(
            f"runtime {wanted.runtime} runs this package's own code: there is no file; choose one of {files}"
        )
    if target.suffix != suffix:
        raise UserError(f"runtime {wanted.runtime} writes {suffix} files; got {target}: name it {target.stem}{suffix}")
    source, built = build(wanted, tell)
    kept = ""
    if limits:
        assert wanted.dataset is not None
        held = _hold(wanted, source, on_image)
        on = f"on {counted(held.image_count, 'image')} of {wanted.dataset.name} {HELD_SPLIT}"
        _require_kept(held, limits, target, on)
        kept = _kept(held, on)
    options = table.load_file(wanted.runtime, source, device=wanted.device, precision=wanted.precision).build.options
    measured = [
        record
        for record in records
        if record.artifact.file_sha256 == built.sha256
        and (record.artifact.runtime, record.artifact.precision) == (wanted.runtime, wanted.precision)
    ]
    shape = (wanted.batch_size, *((0, 0) if wanted.any_size else wanted.image_size))
    contents = table.onnx_contents(source) if suffix == ".onnx" else None
    time_of = when()
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
        code_sha256=network_sha256(wanted.spec),
        build=built.build,
        traits=built.traits,
        record=max(measured, key=lambda record: (record.paced is None, time_of(record)), default=None),
    )
    text = card.model_dump_json(indent=1) + "\n"
    try:
        write_all({target: lambda draft: shutil.copyfile(source, draft), card_path(target): text.encode()})
    except OSError as error:
        advice = how_to_write(error, "another file with -o")
        raise UserError(f"cannot write {target}: {reason(error)}; {advice}") from error
    snippet = table.snippet(wanted.runtime, target, options, card.input.shape).text
    return Exported(target, card, wanted.source, snippet, (*([kept] if kept else []), *_notes(target, card, records)))


def _kept(held: Held, on: str) -> str:
    """What was found of a file that keeps what it has to; less than nothing lost is not written as -0.0."""
    worst = next((f", most on {name}: {100 * lost:z.1f}" for name, lost in held.common_lost.items()), "")
    return (
        f"against fp32 eager, {on}: {100 * held.miou_lost:z.1f} points of mIoU lost{worst}; "
        f"{held.equal_share:.2%} of the labels equal"
    )


def _notes(file: Path, card: Card, records: Sequence[Record]) -> tuple[str, ...]:
    """What a file's user should know before it is deployed."""
    notes = []
    if card.opset is not None:
        oldest = f"ONNX Runtime {card.oldest_onnxruntime}" if card.oldest_onnxruntime else "a new ONNX Runtime"
        notes.append(f"opset {card.opset}, IR version {card.ir_version}: for {oldest} and newer")
    if products := card.options.get("int8_products"):
        notes.append(f"int8 products: {products}")
    if card.build.quantisation is not None:
        notes.append(f"int8 by {int8_text(card.build.quantisation)}")
    if card.record is None:
        trust = " --trust" if file.suffix == ".pt2" else ""
        notes.append(f"this very file has no record yet: `zoo bench --file {quoted(str(file))}{trust}` measures it")
    else:
        slower = slower_int8(newest(rows_of(records)))
        notes += say_slower(pair for pair in slower if pair.int8.key == card.record.key)
    return tuple(notes)
