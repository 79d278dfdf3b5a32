"""The presets that come with zoo, by name. Light: advice names them without reading what they hold."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.lazy import Lazy

if TYPE_CHECKING:
    import tomllib
else:
    tomllib = Lazy("tomllib")

RECIPE_HASHES = {
    "camvid": "cd8e4515f595",
    "camvid_cpu": "11872d3374cf",
    "camvid_fast": "faeefb829381",
    "cityscapes_80k": "ad4f8f3ef1a5",
    "cityscapes_fast": "522ed336e5ef",
    "quick": "5af1891b4950",
}
"""`TrainConfig.recipe_hash` of each of `recipes()`: advice tells by it whether a run is of the recipe of today."""


def preset_folder(kind: str) -> Path:
    """Folder of the shipped presets: inside an installed wheel, else `configs/` of the checkout."""
    package = Path(__file__).parent
    installed = package / "configs" / kind
    return installed if installed.is_dir() else package.parent / "configs" / kind


def presets(kind: str) -> dict[str, Path]:
    """Return the shipped presets of a kind (`"train"` or `"bench"`): name → its file."""
    return {path.stem: path for path in sorted(preset_folder(kind).glob("*.toml"))}


def preset_names(kind: str) -> list[str]:
    """Names of the shipped presets of a kind."""
    return list(presets(kind))


@functools.cache  # advice asks for every model that has no weights
def recipes() -> Mapping[str, Path]:
    """Return what `zoo train` takes by name → its file: its own presets, and the recipes that those of a sweep hold."""
    found = presets("train")
    for path in presets("bench").values():
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("train", {})
        if "name" in table:
            found.setdefault(table["name"], path)
    return found


@functools.cache  # advice asks for every row
def sweep(name: str) -> Mapping[str, object]:
    """Return what the file of a sweep's preset states, by key; nothing of one that does not come with zoo."""
    path = presets("bench").get(name)
    return tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
