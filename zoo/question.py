"""What is asked of a machine, as plain facts: what a cell's hashes are made of, in a plan and again of a record.

Of a record that names no dataset they are all there, so that a model's name, a size or a key that was edited shows. One
that does says only the hash of its split, and the question holds that of all splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.files import short_hash
from zoo.record import Record, Software
from zoo.spec import Size

IMMATERIAL = {
    "name": "what a preset is called",
    "models": "each cell says its own, as it does of the next four",
    "runtimes": "likewise",
    "precisions": "likewise",
    "input_sizes": "likewise",
    "resize": "likewise",
    "image_size": "the frames' size stands beside it, which a dataset may decide",
    "device": "the machine stands beside it",
    "threads": "their number stands beside it, which the machine may decide",
    "train": "each cell says its own weights, whatever they came from",
    "seeds": "likewise",
    "train_missing": "likewise",
    "train_models": "likewise",
    "trainings_at_once": "likewise",
    "keep_checkpoints": "likewise",
    "disk_bytes": "looked at before the start",
    "timeout_s": "a cell that was cut off is never finished",
}
"""Keys of `BenchConfig` that do not change what one cell measures, each with its reason; any other key does."""
_LATER = {"rate_hz": None}
"""Keys that presets did not always have, each with its default, at which it does not count: older keys still hold."""
_SOFTWARE_ASIDE = {"zoo", "python", "os", "numpy", "torchvision", "segmentation_models_pytorch", "timm"}
"""What moves no number of a network that is the same; the last three are part of the network's own hash."""
CELL_DIGITS = 16
KEY_DIGITS = 32


def question(
    *,
    protocol: str,
    config: Mapping[str, Any],
    model: str,
    code: str | None,
    runtime: str,
    precision: str,
    image_size: Size,
    input_size: Size,
    resize: str,
    dataset: str | None = None,
    network: object = None,
) -> dict[str, object]:
    """What is asked of any machine, weights apart.

    Args:
        protocol: By whose rules it is measured.
        config: A whole `BenchConfig`, as JSON has it.
        model: Its name.
        code: Hash of what builds it; none for a file.
        runtime: That runs it.
        precision: That it runs in.
        image_size: Of the frames.
        input_size: What the network sees of them.
        resize: How they are brought to it.
        dataset: Fingerprint of all its splits.
        network: Facts of the network in a file.
    """
    return {
        "protocol": protocol,
        "config": material(config),
        "model": model,
        "code": code,
        "runtime": runtime,
        "precision": precision,
        "image_size": image_size,
        "input_size": input_size,
        "resize": resize,
        "dataset": dataset,
        "network": network,
    }


def material(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a preset asks for, of what changes a measurement."""
    return {
        key: value
        for key, value in config.items()
        if key not in IMMATERIAL and not (key in _LATER and value == _LATER[key])
    }


def moving(software: Software) -> dict[str, Any]:
    """Versions that may move a number of a network that is the same."""
    return software.model_dump(mode="json", exclude=_SOFTWARE_ASIDE)


def hashes_of(record: Record) -> dict[str, str]:
    """Make those of a record's own hashes again that what it says decides, by the name of the field.

    The key of another runtime than eager holds a hash of code that no record has; older records have no `cell`. What is
    asked of a file, which no code builds, holds facts of its network that no record has.
    """
    artifact, threads = record.artifact, record.config.get("threads")
    is_built = artifact.code_sha256 and artifact.weights.source == "random"
    if not record.cell or record.dataset is not None or not is_built:
        return {}
    asked = question(
        protocol=record.protocol,
        config=record.config,
        model=artifact.model,
        code=artifact.code_sha256,
        runtime=artifact.runtime,
        precision=artifact.precision,
        image_size=artifact.output_size,
        input_size=artifact.input_size,
        resize=artifact.resize,
    )
    made = {"cell": short_hash(asked | {"weights": "random", "threads": threads}, CELL_DIGITS)}
    if artifact.runtime == "eager" and record.status == "ok":
        machine = {
            "makers": None,
            "threads": threads or record.device.core_count,
            "machine": record.device.machine_id,
            "software": moving(record.software),
        }
        made["key"] = short_hash(asked | {"weights": "random"} | machine, KEY_DIGITS)
    return made
