"""Classes of your own: the file `classes.toml` in a dataset's top folder. Free of torch.

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
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from zoo.errors import UserError, did_you_mean
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

    name: _Name
    ignored: tuple[_Byte, ...] = ()
    mean: tuple[_Share, _Share, _Share] | None = None
    std: tuple[_Spread, _Spread, _Spread] | None = None
    classes: tuple[_Class, ...] = Field(min_length=1, max_length=MAX_CLASSES)


def read_classes(path: Path) -> DatasetSpec:
    """Read a `classes.toml`.

    Raises:
        UserError: it cannot be read, is not TOML, or says something that cannot be; one line that names file and key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} cannot be read as TOML: {error}") from error
    try:
        file = _File.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error
    if mistake := _contradiction(file):
        raise UserError(f"{path}: {mistake}")
    return DatasetSpec(
        name=file.name,
        class_names=tuple(row.name for row in file.classes),
        class_colors=tuple(row.color for row in file.classes),
        label_to_train_id=dict.fromkeys(file.ignored, IGNORE_INDEX)
        | {value: train_id for train_id, row in enumerate(file.classes) for value in row.values},
        class_categories=tuple(row.category for row in file.classes if row.category),
        mean=file.mean,
        std=file.std,
    )


def _contradiction(file: _File) -> str:
    """What two places of the file say against each other, empty where they agree."""
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
    if (file.mean is None) != (file.std is None):
        return "mean and std belong together, and one of them is missing; give both, or none"
    if len(owners) == 256 and not file.ignored:
        return "the classes take all 256 values, and none is left for pixels of no class; list one in ignored"
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
