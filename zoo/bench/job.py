"""What a worker is asked and what it answers; these alone pass between processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.card import Built, Card
from zoo.config import BenchConfig, TrainConfig
from zoo.data.layout import Dataset
from zoo.labels import CITYSCAPES
from zoo.lived import Paced
from zoo.measure import clock
from zoo.record import (
    Build,
    Cost,
    Device,
    Precision,
    Software,
    Speed,
    State,
    Weights,
    Witness,
)
from zoo.spec import DatasetSpec, ModelSpec, Resize, Size
from zoo.weights.source import Source

RANDOM = Source(kind="random", seed=0)


@dataclass(frozen=True)
class Job:
    """All a worker needs to know of its cell."""

    config: BenchConfig
    spec: ModelSpec
    device: str
    """`cpu`, `cuda:0` …; before the machine was looked at as it was asked for."""
    runtime: str = "eager"
    precision: Precision = "fp32"
    image_size: Size = (0, 0)
    input_size: Size | None = None
    """What the network sees; `None`: the frame's own size."""
    resize: Resize = "fit"
    batch_size: int = 1
    dataset: Dataset | None = None
    source: Source = RANDOM
    """Its weights."""
    recipe: TrainConfig | None = None
    """What to train, in `run_dir`."""
    run_dir: Path | None = None
    cache: Path | None = None
    device_id: str = ""
    """Tells the device from others of this machine (`Device.machine_id`)."""
    file: tuple[Path, Card] | None = None
    """A file that somebody exported, in place of a model."""
    rival: Job | None = None
    """The other artifact of a pair."""

    @property
    def name(self) -> str:
        """As a side of a pair is named: `unet,runtime=eager,precision=fp32,input_size=512x1024`."""
        height, width = self.input_size or self.image_size
        return f"{self.spec.name},runtime={self.runtime},precision={self.precision},input_size={height}x{width}"

    @property
    def classes(self) -> DatasetSpec:
        """Those of the dataset; where there is none, what the weights were trained for, else Cityscapes'."""
        return self.dataset.spec if self.dataset else self.source.classes or CITYSCAPES


@dataclass(frozen=True)
class Survey:
    """The machine as a worker sees it."""

    device_name: str
    device: Device
    software: dict[str, Software]
    """By runtime; those that can run here."""
    file_runtimes: frozenset[str]
    """Those of them that run a file, laid out as they like."""
    missing: dict[str, str]
    """Runtime → what to install."""
    unsupported: dict[tuple[str, Precision], str]
    """Reason, for each pair of runtime and precision that this device does not run."""


@dataclass(frozen=True)
class Measured:
    """What the timed process counted; `samples` are seconds per scope, and of paced calls their frames."""

    weights: Weights
    file_sha256: str | None
    file_bytes: int | None
    build: Build
    cost: Cost | None
    speed: Speed
    paced: Paced | None
    samples: dict[str, np.ndarray]


@dataclass(frozen=True)
class Side:
    """One artifact of a pair, as it ran."""

    weights: Weights
    file: Built | None
    state: State


@dataclass(frozen=True)
class Paired:
    """What two artifacts that ran in turn gave."""

    sides: tuple[Side, Side]
    turns: clock.Turns
    witness: Witness
