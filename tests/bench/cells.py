"""Weights and a cell, as tests of the sweep's plan name them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo.bench.plan import Cell
from zoo.catalog import find
from zoo.config import TrainConfig
from zoo.weights.source import Source

RECIPE = TrainConfig(name="tiny", steps=10, image_size=(48, 96))
OWN = Source(kind="own", sha256="a" * 64, recipe="external")
RUN = Source(kind="run", file=Path("a"), sha256="b" * 64, recipe="tiny", recipe_hash="c", step_count=10, seed=0)


def cell(model="unet", **changes) -> Cell:
    return replace(Cell(find(model), "eager", "fp32", (64, 128)), **changes)
