"""A dataset described in its own words: the file `classes.toml` in its top folder. Free of torch.

Classes of its own:

```toml
name = "harbour"
ignored = [0, 255]            # label values that count nowhere
mean = [0.41, 0.43, 0.43]     # optional, RGB, 0 to 1: what every network is fed with, in place of its own
std = [0.31, 0.31, 0.31]

[[classes]]
name = "water"
color = [0, 90, 180]          # RGB
values = [1, 7]               # values of the label files that mean this class
category = "nature"           # optional, for all classes or for none
```

The order of the classes is that of the train ids: the first is 0.

Files that are named in another way than Cityscapes', with classes of its own or with Cityscapes':

```toml
image = "*_rgb_anon.png"              # * is the frame's name, the same in both
label = "*_gt_labelTrainIds.png"      # either one may be left away where it is Cityscapes'
# each of these may be left away:
name = "acdc"                         # else the folder's name
classes = "cityscapes"                # its 19; what is taken where the file lists no classes
image_folder = "rgb_anon"             # a folder above every image, where the file names alone do not tell
label_folder = "gt"
encoding = "trainIds"                 # or "labelIds"; else what `label` ends in, label ids where it does not tell
```

Files are then searched in all folders below. The split is the folder `train`, `val` or `test` (or what other tools call
these) above a file, else the one right below `image_folder`.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from zoo.data.naming import (
    CITYSCAPES_NAMES,
    IMAGE_SUFFIXES,
    INSTANCES,
    LABEL_KINDS,
    LABEL_SUFFIXES,
    Naming,
    Pattern,
)
from zoo.errors import UserError, did_you_mean
from zoo.labels import CITYSCAPES
from zoo.spec import IGNORE_INDEX, DatasetSpec, Facts

CLASSES_FILE = "classes.toml"
MAX_CLASSES = 254

_Byte = Annotated[int, Field(ge=0, le=255)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Spread = Annotated[float, Field(gt=0, le=1)]
_Name = Annotated[str, Field(min_length=1)]


class _Class(Facts):
    """One table `[[classes]]`."""

    name: _Name
    color: tuple[_Byte, _Byte, _Byte]
    values: tuple[_Byte, ...] = Field(min_length=1)
    category: str = ""


class _File(Facts):
    """The whole file."""

    name: str = ""
    ignored: tuple[_Byte, ...] = ()
    mean: tuple[_Share, _Share, _Share] | None = None
    std: tuple[_Spread, _Spread, _Spread] | None = None
    image: _Name | None = None
    label: _Name | None = None
    image_folder: str = ""
    label_folder: str = ""
    encoding: Literal["labelIds", "trainIds"] | None = None
    classes: Annotated[tuple[_Class, ...], Field(min_length=1, max_length=MAX_CLASSES)] | None = None

    @property
    def names_files(self) -> bool:
        """Whether it says how files are named."""
        return bool(self.image or self.label)


@dataclass(frozen=True)
class ClassesFile:
    """What a `classes.toml` says."""

    name: str
    """Empty where the file leaves it to the folder's name."""
    spec: DatasetSpec
    naming: Naming | None
    """`None` where files are named as Cityscapes' are."""


def read_classes(path: Path) -> ClassesFile:
    """Read a `classes.toml`.

    Raises:
        UserError: it cannot be read, is not TOML, or says something that cannot be; one line that names file and key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} cannot be read as TOML: {error}") from error
    asked = values.get("classes")
    if isinstance(asked, str):
        if asked != CITYSCAPES.name:
            raise UserError(
                f"{path}: classes is {asked!r}; it is {CITYSCAPES.name!r}, or one table [[classes]] for each class"
            )
        del values["classes"]
    try:
        file = _File.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error
    if file.classes is None and asked is None and not file.names_files:
        raise UserError(f"{path}: key 'classes' is missing, one table [[classes]] for each class")
    if file.classes is not None and not file.name:
        raise UserError(f"{path}: key 'name' is missing")
    if mistake := _contradiction(file) or _misnaming(file):
        raise UserError(f"{path}: {mistake}")
    return ClassesFile(file.name, _spec(file), _naming(file) if file.names_files else None)


def _spec(file: _File) -> DatasetSpec:
    ignored = dict.fromkeys(file.ignored, IGNORE_INDEX)
    if file.classes is None:
        added = {"label_to_train_id": CITYSCAPES.label_to_train_id | ignored, "mean": file.mean, "std": file.std}
        return CITYSCAPES.model_copy(update=added)
    return DatasetSpec(
        name=file.name,
        class_names=tuple(row.name for row in file.classes),
        class_colors=tuple(row.color for row in file.classes),
        label_to_train_id=ignored
        | {value: train_id for train_id, row in enumerate(file.classes) for value in row.values},
        class_categories=tuple(row.category for row in file.classes if row.category),
        mean=file.mean,
        std=file.std,
    )


def _naming(file: _File) -> Naming:
    images, labels, instances = CITYSCAPES_NAMES.images, CITYSCAPES_NAMES.labels, CITYSCAPES_NAMES.instances
    if file.image is not None:
        images = (Pattern(*file.image.split("*")),)
    if file.label is not None:
        pattern = Pattern(*file.label.split("*"))
        end, dot, extension = pattern.after.rpartition(".")
        has_train_ids = file.encoding == "trainIds" if file.encoding else end.lower().endswith("trainids")
        labels = {LABEL_KINDS[has_train_ids]: pattern}
        kind = next((kind for kind in LABEL_KINDS if end.endswith(f"_{kind}")), None)
        instances = pattern._replace(after=f"{end.removesuffix(kind)}{INSTANCES}{dot}{extension}") if kind else None
    return Naming(images, labels, instances, file.image_folder, file.label_folder)


def _misnaming(file: _File) -> str:
    """What cannot be in the keys that name files, empty where all can."""
    for key, pattern, suffixes in (("image", file.image, IMAGE_SUFFIXES), ("label", file.label, LABEL_SUFFIXES)):
        if pattern is None:
            continue
        if pattern.count("*") != 1:
            return f"{key}: a name has one *, which stands for the frame's name, such as '*_{key}.png'; got {pattern!r}"
        if "/" in pattern:
            return f"{key}: a file's name without its folder, which is {key}_folder; got {pattern!r}"
        if not pattern.lower().endswith(suffixes):
            return f"{key}: a name ends in {' or '.join(suffixes)}; got {pattern!r}"
    for key, folder in (("image_folder", file.image_folder), ("label_folder", file.label_folder)):
        if "/" in folder:
            return f"{key}: the name of one folder; got {folder!r}"
        if folder and not file.names_files:
            return f"{key} belongs to a file name with a *; give image = '*_leftImg8bit.png' or whatever it is"
    if file.encoding and file.label is None:
        return "encoding says what the values of the label files are; give label, such as '*_labels.png', too"
    if file.image == file.label and file.image is not None and not (file.image_folder and file.label_folder):
        return f"image and label are both {file.image!r}; tell them apart by image_folder and label_folder"
    return ""


def _contradiction(file: _File) -> str:
    """What two places of the file say against each other, empty where they agree."""
    if file.classes is None:
        meant = {value: train_id for value, train_id in CITYSCAPES.label_to_train_id.items() if train_id < IGNORE_INDEX}
        for value in set(file.ignored) & meant.keys():
            return f"ignored: {value} is one of Cityscapes' class {CITYSCAPES.class_names[meant[value]]!r}"
        return _unpaired(file)
    owners = dict.fromkeys(file.ignored, "listed in ignored")
    names: dict[str, int] = {}
    colors: dict[tuple[int, int, int], int] = {}
    for number, row in enumerate(file.classes, 1):
        if names.setdefault(row.name, number) != number:
            return f"classes {number}.name: class {names[row.name]} is {row.name!r} too; give each its own name"
        if colors.setdefault(row.color, number) != number:
            return (
                f"classes {number}.color: class {colors[row.color]} is {list(row.color)} too; give each its own color"
            )
        for value in row.values:
            mine = f"one of class {row.name!r}"
            if owners.setdefault(value, mine) != mine:
                return f"classes {number}.values: {value} is {owners[value]} too; a label value means one thing"
        if bool(row.category) != bool(file.classes[0].category):
            return f"classes {number}.category: classes 1 and {number} differ in having one; all have it, or none"
    if mistake := _unpaired(file):
        return mistake
    if len(owners) == 256 and not file.ignored:
        return "the classes take all 256 values, and none is left for pixels of no class; list one in ignored"
    return ""


def _unpaired(file: _File) -> str:
    if (file.mean is None) != (file.std is None):
        return "mean and std belong together, and one of them is missing; give both, or none"
    return ""


def _explain(error: ValidationError) -> str:
    """First problem of a failed validation: where, what, and what was given."""
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")  # a misspelt key is missing too
    *tables, key = first["loc"]
    where = ""
    for part in first["loc"]:
        where += f" {part + 1}" if isinstance(part, int) else f".{part}" if where else str(part)
    if first["type"] == "extra_forbidden":
        fields = (_Class if tables else _File).model_fields
        return f"unknown key {where!r}.{did_you_mean(str(key), fields)} Allowed: {', '.join(fields)}"
    if first["type"] == "missing":
        hint = ", one table [[classes]] for each class" if where == "classes" else ""
        return f"key {where!r} is missing{hint}"
    return f"{where}: {first['msg']}; got {first['input']!r}"
