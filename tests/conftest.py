"""Fixtures every room may use."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import sys
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import pytest


def pytest_configure(config):
    """Tests share a cache that is not the user's; each process has one thread, and folders of its own."""
    folder = tempfile.mkdtemp(prefix="test-")
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=-200)  # after multiprocessing's own folder, -100
    os.environ.setdefault("ZOO_CACHE", str(Path(folder, "cache")))  # the first process's
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(folder, "inductor")))  # likewise: headers compile once
    os.environ["ZOO_SLOTS"] = str(Path(folder, "slots"))  # else they wait for each other, and for who measures here
    if hasattr(config, "workerinput"):
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # workers of sweeps have two: spinning, they starve others
        os.environ["TMPDIR"] = tempfile.tempdir = folder


def pytest_collection_modifyitems(items):
    """The long ones first: else one core waits while the other has the last of them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _load_factory():
    """`tests/records.py` by its path: the import mode keeps `tests` off the module path, and benchmarks share it."""
    name = "zoo_test_records"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "records.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def records():
    """The record factory: `records.make(...)`, `records.baseline(...)`, `records.failed(...)`."""
    return _load_factory()


@pytest.fixture(scope="session")
def record(records):
    """`record(model, **changes)`: one valid record."""
    return records.make


@pytest.fixture(scope="session")
def _drawn_streets(tmp_path_factory):
    """`zoo data synth S --size 64x128 --train 4 --val 2`."""
    from zoo.data.synthetic import write_dataset

    return write_dataset(tmp_path_factory.mktemp("drawn") / "S", image_size=(64, 128), train_count=4, val_count=2)


@pytest.fixture
def streets(_drawn_streets, tmp_path):
    """A small dataset folder of this test's own, as a user brings one (nothing says it was drawn); to be bent."""
    root = tmp_path / "streets"
    shutil.copytree(_drawn_streets, root, ignore=shutil.ignore_patterns("zoo-dataset.json"))
    return root


def pytest_collection_finish():
    """What was imported by now stays: a collection need not walk over it again."""
    gc.collect()
    gc.freeze()
