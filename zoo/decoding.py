"""A record decoded in less than half of pydantic's time: by msgspec, from what the models of records state.

What is decoded here pydantic reads as the same record. It reads more: older forms, and what it converts; and it says
what is wrong with the rest. All that is not plainly a record of today is left to it (`store.parse`).
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from zoo.record import SCHEMA, Record
from zoo.spec import MAX_PIXELS, Facts, Size

_Pixels = Annotated[int, msgspec.Meta(gt=0, le=MAX_PIXELS)]
_BOUNDS = "gt", "ge", "le", "min_length", "max_length"
"""What both libraries call by the same name."""


def decoded(content: bytes) -> Record | None:
    """Decode the JSON of one record, for those who read its fields and properties: it is no pydantic model.

    Returns:
        The record; `None` where `store.parse` has to look.
    """
    if b"\\" in content or b"\x7f" in content or not content.isascii():  # what is escaped may be a control character
        return None
    try:
        found = _decoder().decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.schema_version <= SCHEMA else None


@functools.cache
def _decoder() -> msgspec.json.Decoder[Record]:
    return msgspec.json.Decoder(cast("type[Record]", struct_of(Record)))


@functools.cache
def struct_of(model: type[Facts]) -> type[msgspec.Struct]:
    """Return a struct with the fields, properties and checks of a model.

    Raises:
        TypeError: the model states something that is not known here.
    """
    stated = model.__pydantic_decorators__
    validators: list[Any] = [*stated.model_validators.values(), *stated.field_validators.values()]
    checks = [one.func for one in stated.model_validators.values() if one.info.mode == "after"]
    others = [one for one in validators if one.info.mode != "before" and one.func not in checks]
    if others or len(checks) > 1:  # `before`: of older forms
        raise TypeError(f"{model.__name__} is checked by what msgspec cannot call")

    shared: dict[str, Any] = {name: value for name, value in vars(model).items() if isinstance(value, property)}
    shared |= {"__iter__": _pairs} | ({"__post_init__": checks[0]} if checks else {})
    fields = [_field(name, info) for name, info in model.model_fields.items()]
    return msgspec.defstruct(
        model.__name__, fields, namespace=shared, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False
    )


def _pairs(self: Any) -> Iterator[tuple[str, Any]]:
    """Names and values, as a model gives them."""
    return ((name, getattr(self, name)) for name in self.__struct_fields__)


def _field(name: str, info: FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    stated, default = _bounded(info.annotation, info.metadata), info.default
    if info.is_required():
        return name, stated
    if info.default_factory is not None:
        return name, stated, msgspec.field(default_factory=cast("type[Any]", info.default_factory))
    return name, stated, struct_of(type(default))(**dict(default)) if isinstance(default, Facts) else default


def _type(stated: Any) -> Any:
    """What a model states of a value, as msgspec has it."""
    if isinstance(stated, type) and issubclass(stated, Facts):
        return struct_of(stated)
    if stated is AwareDatetime:
        return Annotated[datetime, msgspec.Meta(tz=True)]
    kind, parts = get_origin(stated), get_args(stated)
    if kind is Annotated:
        return _bounded(parts[0], parts[1:])
    if kind in (Union, types.UnionType):
        return Union[tuple(_type(part) for part in parts)]  # noqa: UP007  types that are known when it runs
    if kind in (tuple, dict):
        return kind[tuple(_type(part) for part in parts)]
    return stated


def _bounded(stated: Any, metadata: Sequence[Any]) -> Any:
    """A type with what is to hold of it.

    Raises:
        TypeError: that is not known here.
    """
    if metadata and Annotated[stated, *metadata] == Size:
        return tuple[_Pixels, _Pixels]
    bounds: dict[str, Any] = {}
    for one in (inner for outer in metadata for inner in (outer.metadata if isinstance(outer, FieldInfo) else [outer])):
        found = {name: getattr(one, name) for name in _BOUNDS if hasattr(one, name)}
        if getattr(one, "lt", None) == 2**63:  # of counts; msgspec takes no bound that is larger than they may be
            found["le"] = 2**63 - 1
        if not found:
            raise TypeError(f"msgspec cannot hold a value to {one}")
        bounds |= found
    return Annotated[_type(stated), msgspec.Meta(**bounds)] if bounds else _type(stated)
