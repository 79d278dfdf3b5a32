"""Mapillary Vistas, versions 1.2 and 2.0, in Cityscapes' labels. Free of torch.

Neuhold, Ollmann, Rota Bulò, Kontschieder, "The Mapillary Vistas dataset for semantic understanding of street scenes",
2017. Its values are places in `config.json`, so classes are mapped by the names that stand there. Images are no frames
of recordings, and keep their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from zoo.data.importers.plan import (
    LABEL_IDS,
    Kind,
    Pair,
    Plan,
    images_in,
    locate,
    pair_up,
    read_numbers,
)
from zoo.data.spelling import Pixels
from zoo.errors import UserError

CLASSES: Mapping[str, str] = {
    "construction--flat--road": "road",
    "object--manhole": "road",
    "construction--flat--sidewalk": "sidewalk",
    "construction--barrier--curb": "sidewalk",
    "construction--structure--building": "building",
    "construction--barrier--wall": "wall",
    "construction--barrier--fence": "fence",
    "object--support--pole": "pole",
    "object--support--utility-pole": "pole",
    "object--traffic-light": "traffic light",
    "object--traffic-light--general-single": "traffic light",
    "object--traffic-light--general-upright": "traffic light",
    "object--traffic-light--general-horizontal": "traffic light",
    "object--traffic-light--pedestrians": "traffic light",
    "object--traffic-light--cyclists": "traffic light",
    "object--traffic-light--other": "traffic light",
    "object--traffic-sign--front": "traffic sign",
    "object--traffic-sign--direction-front": "traffic sign",
    "object--traffic-sign--temporary-front": "traffic sign",
    "nature--vegetation": "vegetation",
    "nature--terrain": "terrain",
    "nature--sky": "sky",
    "human--person": "person",
    "human--person--individual": "person",
    "human--rider--bicyclist": "rider",
    "human--rider--motorcyclist": "rider",
    "human--rider--other-rider": "rider",
    "object--vehicle--car": "car",
    "object--vehicle--truck": "truck",
    "object--vehicle--bus": "bus",
    "object--vehicle--on-rails": "train",
    "object--vehicle--motorcycle": "motorcycle",
    "object--vehicle--bicycle": "bicycle",
}
"""Vistas' class → Cityscapes' label. Markings but crosswalks and unclear ones are *road*; all else counts nowhere."""
VERSIONS = ("v1.2", "v2.0")
FORMS: Mapping[str, Sequence[str]] = {
    "v2.0": ("config_v2.0.json", "training/images", "training/v2.0/labels"),
    "v1.2": ("config_v1.2.json", "training/images", "training/v1.2/labels"),
    "alone": ("config.json", "training/images", "training/labels"),
}
LAYOUT = (
    "config.json (or config_v1.2.json, config_v2.0.json), training/images/ and training/labels/ (or "
    "training/v1.2/labels/, training/v2.0/labels/)"
)
SOURCE = (
    "https://www.mapillary.com/dataset/vistas; for v1.2 the map to Cityscapes' 19 classes of "
    "https://github.com/tue-mps/benchmark-vfm-ss (datasets/mappings.py), for v2.0 the same by names"
)
_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
_UNLABELED = "unlabeled"


def plan(source: Path, variant: str | None) -> Plan:
    """What a folder with Vistas holds; variants are its versions, of which the newest that is there is taken.

    Raises:
        UserError: another layout, a config that cannot be, or an image without annotation or the reverse.
    """
    _, top = locate("Mapillary Vistas", source, FORMS, LAYOUT)
    versions = _versions(top)
    if not versions:
        raise UserError(f"{top} has no config with labels of its version beside it; expected {LAYOUT}")
    if variant is not None and variant not in versions:
        raise UserError(f"{top} holds Vistas {' and '.join(versions)}, not {variant}; leave --variant away")
    version = variant or max(versions)
    config, labels = versions[version]
    names = _names(config)
    splits = {
        split: _pairs(top / folder / "images", top / folder / labels)
        for folder, split in _SPLITS.items()
        if (top / folder / "images").is_dir()
    }
    classes = {name: _cityscapes(name) for name in names}
    places = {place: LABEL_IDS[label] for place, label in enumerate(classes.values())}
    what = f"Vistas {version} has the {len(names)} classes of {config.name}, 0 to {len(names) - 1}"
    notes = [f"labels are those of {version}"]
    if len(versions) > 1 and variant is None:
        notes[0] += f"; --variant {min(versions)} takes the older ones"
    if any(pair.annotation is None for pair in splits.get("test", ())):
        notes.append("test has no labels")
    return Plan(splits, partial(_decode, places=places, what=what), classes, SOURCE, notes=tuple(notes))


KIND = Kind(plan, variants=VERSIONS)


def _versions(top: Path) -> dict[str, tuple[Path, str]]:
    """Version → its config and its folder of labels."""
    found: dict[str, tuple[Path, str]] = {}
    for version in VERSIONS:
        configs = [path for name in (f"config_{version}.json", "config.json") if (path := top / name).is_file()]
        folders = [name for name in (f"{version}/labels", "labels") if (top / "training" / name).is_dir()]
        if configs and folders and _is_of(configs[0], version):
            found[version] = configs[0], folders[0]
    return found


def _is_of(config: Path, version: str) -> bool:
    """Whether a config is of this version; one that tells none is of the first."""
    return config.name != "config.json" or version == f"v{_read(config).get('version', '1.2')}"


def _read(config: Path) -> dict[str, object]:
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{config} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{config} is no config of Vistas, which has a list 'labels'")
    return values


def _names(config: Path) -> list[str]:
    """Names of the classes in the order of their values."""
    labels = _read(config).get("labels")
    if not isinstance(labels, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in labels
    ):
        raise UserError(f"{config} is no config of Vistas, which has a list 'labels' with a 'name' each")
    names = [row["name"] for row in labels]
    if len(names) > 255 or not set(names) & set(CLASSES):
        raise UserError(
            f"{config} lists {len(names)} labels, such as {names[:3]}; Vistas has construction--flat--road …"
        )
    return names


def _cityscapes(name: str) -> str:
    """The label of a class, `unlabeled` where Cityscapes has none."""
    if name.startswith(("marking--", "marking-only--")) and not name.endswith(("crosswalk-zebra", "ambiguous")):
        return "road"
    return CLASSES.get(name, _UNLABELED)


def _pairs(images: Path, labels: Path) -> list[Pair]:
    found, annotations = images_in(images), images_in(labels, (".png",))
    if not annotations and images.parent.name == "testing":
        return [Pair(stem, "vistas", path, None) for stem, path in found.items()]
    if not found:
        raise UserError(f"{images} holds no image; expected {LAYOUT}")
    return [Pair(image.stem, "vistas", image, label) for image, label in pair_up(found, annotations, LAYOUT)]


def _decode(path: Path, places: Mapping[int, int], what: str) -> tuple[Pixels, int]:
    return read_numbers(path, places, what), 0
