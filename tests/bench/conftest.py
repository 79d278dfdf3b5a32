"""Sweeps of tests: real in all but the seconds they measure for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from zoo.bench import workshop


@pytest.fixture(scope="package", autouse=True)
def brief_budgets():
    """Have every fork server, also that of a process started here, import `brief_budgets.py`."""
    folder = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        patch.setattr(sys, "path", [folder, *sys.path])
        patch.setattr(workshop, "PRELOAD", [*workshop.PRELOAD, "brief_budgets"])
        yield
