"""Modules that are imported when something of them is first used: what reads kept rows needs no numpy."""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Stands for a module by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = self.__dict__[attribute] = getattr(importlib.import_module(self._name), attribute)
        return found
