"""The presets that come with zoo, by name. Light: advice names them without reading what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.lazy import Lazy

if TYPE_CHECKING:
    import tomllib
else:
    tomllib = Lazy("tomllib")


def preset_folder(kind: str) -> Path:
    """Folder of the shipped presets: inside an installed wheel, else `configs/` of the checkout."""
    package = Path(__file__).parent
    installed = package / "configs" / kind
    return installed if installed.is_dir() else package.parent / "configs" / kind


def preset_names(kind: str) -> list[str]:
    """Names of the shipped presets of a kind (`"train"` or `"bench"`)."""
    return sorted(path.stem for path in preset_folder(kind).glob("*.toml"))


def recipes() -> dict[str, Path]:
    """Return what `zoo train` takes by name → its file: its own presets, and the recipes that those of a sweep hold."""
    found = {name: preset_folder("train") / f"{name}.toml" for name in preset_names("train")}
    for path in sorted(preset_folder("bench").glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("train", {})
        if "name" in table:
            found.setdefault(table["name"], path)
    return found
