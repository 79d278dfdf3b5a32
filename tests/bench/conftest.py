"""Sweeps of tests: real in all but the seconds they measure for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from zoo.bench import workshop
from zoo.bench.job import Survey
from zoo.bench.plan import Setting
from zoo.config import BenchConfig


@pytest.fixture(scope="package", autouse=True)
def brief_budgets():
    """Have every fork server, also that of a process started here, import `brief_budgets.py`."""
    folder = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        patch.setattr(sys, "path", [folder, *sys.path])
        patch.setattr(workshop, "PRELOAD", [*workshop.PRELOAD, "brief_budgets"])
        yield


@pytest.fixture
def setting(records):
    """`setting(**changes of the config)`: on a CPU that runs eager and ONNX Runtime, the latter not in tf32."""
    made = records.make()
    software = dict.fromkeys(("eager", "onnxruntime"), made.software)
    unsupported = {("onnxruntime", "tf32"): "tf32 needs a CUDA device"}
    survey = Survey("cpu", made.device, software, frozenset({"onnxruntime"}), {}, unsupported)

    def make(dataset=None, **changes) -> Setting:
        config = BenchConfig(accuracy=False, image_size=(64, 128)).model_copy(update=changes)
        return Setting(config, survey, config.image_size, dataset, None, ("folder",))

    return make
