"""A record held against its own samples: every summary that the sidecar can give is made again, as are its hashes.

What it says twice it has to say alike, and in words that some zoo knows. What has no samples is out of reach: energy,
throughput, cold starts, agreement, file sizes, instance-weighted counts, and how errors spread inside a row or a column
of the confusion matrix, of which the sidecar has the sums.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from zoo.catalog import MODELS
from zoo.config import INSTALLED, TrainConfig
from zoo.errors import UserError, listed
from zoo.identity import network_sha256
from zoo.lived import Paced
from zoo.machine import may_be_called
from zoo.presets import RECIPE_HASHES
from zoo.protocol import ACCURACY_PROTOCOL, COLD_PROTOCOL, PACED_PROTOCOL, RUNTIMES, SPEED_PROTOCOLS
from zoo.question import hashes_of
from zoo.record import Accuracy, Record, Speed
from zoo.score.accuracy import COUNTS, miou_interval
from zoo.score.summary import MEDIAN_COUNT, Samples, summarise, summarise_paced, summarise_stages
from zoo.spec import Facts, Feeding
from zoo.store import load, refuse_file, result_path, samples, visible_files
from zoo.timed import Latency

CONFIG_SCHEMA = 7
"""The first one of which no record is without all that was asked for."""
INTERVAL_SCHEMA = 3
"""The first one whose records hold the interval of mIoU."""
CLOSE = 1e-9
"""Relative difference that another machine's arithmetic may make."""
SPLITS = "train", "val", "test"
"""What every dataset calls so; other names that are asked for may be those of other tools."""
ANSWER_OF = {
    "baseline": "accuracy",
    "evaluate": "accuracy",
    "build": "throughput",
    "memory": "memory",
    "cold": "cold_start",
    "agreement": "agreement",
    "throughput": "throughput",
}
"""What a record lacks where a step failed; of all others it is the speed. A build may be that of a larger batch."""

Arrays = Mapping[str, npt.NDArray[Any]]
"""A sidecar's arrays by name."""
OnAudited = Callable[[int, int], None]
"""Called with the number of records audited and of all."""


@dataclass(frozen=True)
class Audit:
    """How the records of a folder stood up to it."""

    record_count: int
    faults: tuple[str, ...]
    """One line each, which begins with the file."""


def audit(results: Path, on_audited: OnAudited | None = None) -> Audit:
    """Make every summary of every record below a folder again, those of older runs included.

    Raises:
        UserError: there is no record.
    """
    faults: list[str] = []

    def unlisted(error: OSError) -> None:
        faults.append(f"{error.filename}: {error.strerror}")

    refuse_file(results)
    paths = visible_files(results, ".json", unlisted)
    if not paths:
        raise UserError(f"{results} holds no records to verify; name their folder with --results")
    for done, path in enumerate(paths, 1):
        try:
            record = load(path)
            place = result_path(record)
            if path.parts[-len(place.parts) :] != place.parts:
                faults.append(f"{path}: its name is not what it holds, which belongs at {place}")
            faults += [f"{path}: {fault}" for fault in faults_of(record, samples(path))]
        except UserError as error:
            faults.append(str(error))
        if on_audited is not None:
            on_audited(done, len(paths))
    sidecars = visible_files(results, ".npz", lambda _error: None)
    faults += [f"{path}: samples of no record" for path in sidecars if not path.with_suffix(".json").is_file()]
    return Audit(len(paths), tuple(faults))


def faults_of(record: Record, arrays: Arrays) -> tuple[str, ...]:
    """Return what a record says that its samples do not, one line each; none: every summary is theirs.

    Args:
        record: Of any schema and protocol.
        arrays: Its sidecar's, as `store.samples` reads them.
    """
    needed: dict[str, str] = {}
    if record.speed is not None:
        needed |= {f"{scope}_s": f"speed.{scope}" for scope in _latencies(record.speed)}
        needed |= {f"stage_{stage.name}_s": f"speed.waterfall.{stage.name}" for stage in record.speed.waterfall}
    if record.paced is not None:
        needed["paced_frames"] = "paced"
    if record.accuracy is not None:
        needed |= dict.fromkeys(("image_names", *COUNTS), "accuracy")
    missing = [name for name in needed if name not in arrays]
    if missing:
        return (f"{needed[missing[0]]} has no samples beside it ({listed(missing)})",)
    faults = [f"the samples hold {name}, of which it says nothing" for name in sorted(arrays.keys() - needed)]
    try:
        if record.speed is not None:
            faults += _speed_faults(record.speed, arrays)
        if record.paced is not None:
            faults += _paced_faults(record, record.paced, arrays)
        if record.accuracy is not None:
            faults += _accuracy_faults(record, record.accuracy, arrays)
    except ValueError as error:  # a summary of them would be out of range
        faults.append(f"its samples make no summary: {' '.join(str(error).split())[:200]}")
    rest = _naming_faults(record), _kind_faults(record), _status_faults(record), _twofold_faults(record)
    return (*faults, *itertools.chain(*rest))


def _twofold_faults(record: Record) -> Iterator[str]:
    """What a record says in two places, and not alike."""
    for name, said, other, value in _said_twice(record):
        if said != value:
            yield f"{name}: {said} said, {value} by {other}"
    for name, said, other, values in _asked_for(record):
        if said not in values:
            yield f"{name}: {said} said, {listed(map(str, values)) or 'none'} by {other}"
    if (dataset := record.dataset) is None:
        return
    most_by = {
        "dataset.split_count": dataset.split_count,
        "config.accuracy_images": record.config.get("accuracy_images"),
    }
    for name, most in most_by.items():
        if most is not None and dataset.image_count > most:
            yield f"dataset.image_count: {dataset.image_count} said, at most {most} by {name}"


def _said_twice(record: Record) -> Iterator[tuple[str, object, str, object]]:
    """Where something is said, what, where else, and what there."""
    artifact, dataset, accuracy, memory = record.artifact, record.dataset, record.accuracy, record.memory
    asked: dict[str, tuple[str, object]] = {"name": ("preset", record.preset)}
    if dataset is not None and record.config.get("split") in SPLITS:
        asked["split"] = "dataset.split", dataset.split
    if not record.is_baseline:
        asked |= {"quick": ("quick", record.quick), "batch_size": ("artifact.batch_size", artifact.batch_size)}
        if dataset is None:
            asked["image_size"] = "artifact.output_size", list(artifact.output_size)
        if record.speed and record.device.kind == "cpu" and record.config.get("threads") is not None:
            asked["threads"] = "speed.state.thread_count", record.speed.state.thread_count
    for key, (name, said) in asked.items():
        if key in record.config:  # older ones may not know it
            value = record.config[key]
            yield name, said, f"config.{key}", list(value) if isinstance(value, tuple) else value
    if accuracy and dataset:
        yield "dataset.image_count", dataset.image_count, "accuracy.image_count", accuracy.image_count
        for (name, said), (_, value) in zip(accuracy.dataset, dataset, strict=True):
            yield f"accuracy.dataset.{name}", said, f"dataset.{name}", value
    if memory and memory.peak_bytes is not None:
        if memory.allocated_peak_bytes is not None:
            yield "memory.peak_bytes", memory.peak_bytes, "memory.allocated_peak_bytes", memory.allocated_peak_bytes
        elif memory.process_bytes is not None and memory.resident_before_bytes is not None:
            grown = max(0, memory.process_bytes - memory.resident_before_bytes)
            yield "memory.peak_bytes", memory.peak_bytes, "the process's memory before and after", grown
    if record.cost is not None:
        counted = record.cost.mac_input_size
        if artifact.model in _models_of_code().get(artifact.code_sha256, ()):
            padded = MODELS[artifact.model].padded(artifact.input_size)
        else:  # by other code to other sizes
            padded = max(counted[0], artifact.input_size[0]), max(counted[1], artifact.input_size[1])
        yield "cost.mac_input_size", counted, "artifact.input_size", padded
    if (recipe := _recipe_names(record).get(artifact.weights.recipe_hash or "")) is not None:
        yield "artifact.weights.recipe", artifact.weights.recipe, "the recipe's hash", recipe


def _recipe_names(record: Record) -> dict[str, str]:
    """Recipes that zoo and the record itself know, by their hash, of which the name is part."""
    names = {digits: name for name, digits in RECIPE_HASHES.items()}
    with suppress(ValidationError):  # no recipe, or an older one
        asked = TrainConfig.model_validate(record.config.get("train"))
        names[asked.recipe_hash] = asked.name
    return names


def _asked_for(record: Record) -> Iterator[tuple[str, object, str, Sequence[object]]]:
    """Where something is said, what, where it was asked for, and all that was; older ones may not know that."""
    artifact, config, fed = record.artifact, record.config, record.artifact.weights.feeding
    if record.is_baseline:
        return
    asked = {key: value if isinstance(value, list) else [] for key, value in config.items()}
    for name, said in {"precision": artifact.precision, "runtime": artifact.runtime}.items():
        if f"{name}s" in config and INSTALLED not in asked[f"{name}s"]:
            yield f"artifact.{name}", said, f"config.{name}s", asked[f"{name}s"]
    if "resize" in config:  # else as the weights were trained
        ways = [config["resize"], (fed or Feeding()).resize]
        yield "artifact.resize", artifact.resize, "config.resize and artifact.weights.feeding", ways
    if config.get("input_sizes"):
        yield "artifact.input_size", list(artifact.input_size), "config.input_sizes", asked["input_sizes"]
    elif "input_sizes" in config and fed is not None and record.dataset is not None:
        size = list(fed.input_size or artifact.output_size)
        yield "artifact.input_size", list(artifact.input_size), "artifact.weights.feeding", [size]


def _status_faults(record: Record) -> Iterator[str]:
    """Whether it is ok by its word, and by what it holds."""
    failure = record.failure
    if failure is not None:
        if record.status == "ok":
            yield f"status: ok said, and its step {failure.step} failed"
        if getattr(record, answer := ANSWER_OF.get(failure.step, "speed")) is not None:
            yield f"failure.step: {failure.step} said, and {answer} is there"
    elif record.status != "ok":
        yield f"status: {record.status} said, and no step failed"


def _kind_faults(record: Record) -> Iterator[str]:
    """What no zoo writes, or not of such a record."""
    artifact, accuracy, rate_hz = record.artifact, record.accuracy, record.config.get("rate_hz")
    known: dict[str, tuple[str, Sequence[str]]] = {
        "protocol": (record.protocol, (*SPEED_PROTOCOLS, PACED_PROTOCOL)),
        "artifact.runtime": (artifact.runtime, RUNTIMES + ("none",) * record.is_baseline),
    }
    if accuracy is not None:
        known["accuracy.protocol"] = accuracy.protocol, (ACCURACY_PROTOCOL,)
        if accuracy.mode is not None and not accuracy.mode.scales:
            yield "accuracy.mode.scales: none said, and a frame is read at one at least"
    if record.cold_start is not None:
        known["cold_start.protocol"] = record.cold_start.protocol, (COLD_PROTOCOL,)
    for name, (said, names) in known.items():
        if said not in names:
            yield f"{name}: {said or 'nothing'} said, known: {listed(names, len(names))}"
    if record.is_baseline:
        return
    if accuracy is not None and artifact.code_sha256 and artifact.weights.source in {"random", "none"}:
        yield f"artifact.weights.source: {artifact.weights.source} said, and accuracy is that of weights"
    is_paced = record.protocol == PACED_PROTOCOL
    if (rate_hz is not None) != is_paced:
        yield f"protocol: {record.protocol} said, {rate_hz} by config.rate_hz"
    if is_paced and record.speed is not None and record.paced is None:
        yield f"paced: nothing said, and its calls were timed by the rules of {PACED_PROTOCOL}"
    if record.status == "ok" and artifact.weights.sha256 is None and artifact.weights.source not in {"random", "none"}:
        yield f"artifact.weights.sha256: none said, and they are of {artifact.weights.source}"
    if not record.config and record.schema_version >= CONFIG_SCHEMA:
        yield "config: nothing said, and something was asked for"
    is_file = record.cost is None and (artifact.file_sha256 or record.status != "ok")
    if not artifact.code_sha256 and not is_file:  # what somebody exported is known by its bytes, and not counted
        yield "artifact.code_sha256: none said, and no file was measured"


def _naming_faults(record: Record) -> Iterator[str]:
    """What a record is called that it cannot be by what else it says."""
    device, model, code = record.device, record.artifact.model, record.artifact.code_sha256
    if not may_be_called(device.slug, device.kind, device.name, device.core_count):
        yield f"device.slug: {device.slug} said, and it is a {device.name} with cores: {device.core_count}"
    whose = _models_of_code().get(code, ()) if model in MODELS else ()
    if whose and model not in whose:
        yield f"artifact.model: {model} said, and its code is that of {listed(whose)}"
    for name, made in hashes_of(record).items():
        if (claimed := getattr(record, name)) != made:
            yield f"{name}: {claimed} said, {made} by its model, code, sizes, config and machine"


@functools.cache
def _models_of_code() -> dict[str, list[str]]:
    """Names of the catalogue's rows by what builds them; the code of older records, or other libraries', is none's."""
    found: dict[str, list[str]] = {}
    for name, spec in MODELS.items():
        found.setdefault(network_sha256(spec), []).append(name)
    return found


def _latencies(speed: Speed) -> dict[str, Latency]:
    """Each scope that was timed; its samples are the array `<scope>_s`."""
    return {scope: value for scope, value in speed if isinstance(value, Latency)}


def _speed_faults(speed: Speed, arrays: Arrays) -> Iterator[str]:
    for scope, said in _latencies(speed).items():
        seconds, where = arrays[f"{scope}_s"], f"speed.{scope}"
        if not _are_seconds(seconds):
            yield f"{where}: its samples are no seconds"
            continue
        warmup = said.warmup_count, said.warmup_s, said.warmup_settled  # whose calls are no samples
        yield from _differences(where, said, summarise(Samples(seconds, *warmup)))
    for stage in speed.waterfall:
        seconds, where = arrays[f"stage_{stage.name}_s"], f"speed.waterfall.{stage.name}"
        if not _are_seconds(seconds):
            yield f"{where}: its samples are no seconds"
            continue
        yield from _differences(where, stage, *summarise_stages({stage.name: seconds}))


def _paced_faults(record: Record, said: Paced, arrays: Arrays) -> Iterator[str]:
    if record.speed is None or record.speed.pipeline is None or record.protocol != PACED_PROTOCOL:
        yield f"paced: its calls were timed by the rules of {record.protocol}, or not at all"
        return
    if (asked := record.config.get("rate_hz")) != said.rate_hz:
        yield f"paced.rate_hz: {said.rate_hz} said, {asked} asked for"
    frames, seconds = arrays["paced_frames"], arrays["pipeline_s"]
    if not (frames.dtype == np.int64 and frames.shape == seconds.shape and _are_seconds(seconds)):
        yield "paced: its samples are no frame of each call"
        return
    if frames[0] != 0 or (np.diff(frames) < 1).any():
        yield "paced: its frames do not ascend from 0"
        return
    yield from _differences("paced", said, summarise_paced(said.rate_hz, seconds, frames))


def _accuracy_faults(record: Record, said: Accuracy, arrays: Arrays) -> Iterator[str]:
    names, counts = arrays["image_names"], [arrays[name] for name in COUNTS]
    shape = said.image_count, len(said.class_names)
    if names.shape != shape[:1] or any(one.shape != shape or one.dtype.kind not in "iu" for one in counts):
        yield f"accuracy: its samples are no counts of {shape[0]} images and {shape[1]} classes"
        return
    if any((one < 0).any() for one in counts) or len(set(names.tolist())) < len(names):
        yield "accuracy: its samples hold counts below 0, or an image twice"
        return
    confusion = np.array(said.confusion, dtype=np.int64)
    hit = np.diagonal(confusion)
    sums = hit, confusion[:, :-1].sum(axis=0) - hit, confusion.sum(axis=1) - hit
    for name, claimed, counted in zip(COUNTS, sums, counts, strict=True):
        total = counted.sum(axis=0, dtype=np.int64)
        for index in np.flatnonzero(claimed != total):
            title = f"accuracy.confusion: {name.replace('_', ' ')} of {said.class_names[index]}"
            yield f"{title}: {claimed[index]} said, {total[index]} by its samples"
    if record.schema_version >= INTERVAL_SCHEMA:
        interval = miou_interval(np.stack(counts), names.tolist())
        again = {
            "miou_interval": interval and (interval.low, interval.high),
            "resampled": interval and interval.resampled,
        }
        yield from _differences("accuracy", said, said.model_copy(update=again))


def _are_seconds(array: npt.NDArray[Any]) -> bool:
    is_list = array.ndim == 1 and array.dtype == np.float64 and len(array) >= MEDIAN_COUNT
    return is_list and bool(np.isfinite(array).all() and (array >= 0).all())


def _differences(where: str, said: Facts, counted: Facts) -> Iterator[str]:
    """The fields that are not what was counted again."""
    for (name, claimed), (_, value) in zip(said, counted, strict=True):
        if not _alike(claimed, value):
            yield f"{where}.{name}: {claimed} said, {value} by its samples"


def _alike(claimed: Any, value: Any) -> bool:
    if isinstance(claimed, tuple) and isinstance(value, tuple):
        return len(claimed) == len(value) and all(map(_alike, claimed, value))
    if isinstance(claimed, float) and isinstance(value, float):
        return math.isclose(claimed, value, rel_tol=CLOSE)
    return bool(claimed == value)
