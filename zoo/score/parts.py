"""Numbers read off the parts of a record, each part looked up once for all that is read off it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:  # kept rows are shown without pydantic
    from zoo.record import Record

Value = TypeVar("Value")


@dataclass(frozen=True)
class Off(Generic[Value]):
    """Reads something off a part of a record: `None` where the record has no such part."""

    part: str
    """Such as `speed.network`."""
    read: Callable[[Any], Value | None]

    def __call__(self, record: Record) -> Value | None:
        """Read it off one record."""
        part: Any = record
        for name in self.part.split("."):
            part = None if part is None else getattr(part, name)
        return None if part is None else self.read(part)


def off(part: str, field: str) -> Off[Any]:
    """Return what reads a field of a part."""
    return Off(part, attrgetter(field))


class Reader(Generic[Value]):
    """Reads many things by name: each part is looked up once, and nothing is asked of one that is not there."""

    def __init__(self, readers: Mapping[str, Callable[[Record], Value | None]]) -> None:
        self._none: dict[str, Value | None] = dict.fromkeys(readers)
        by_part: dict[str, list[tuple[str, Callable[[Any], Value | None]]]] = {"": []}
        for key, one in readers.items():
            part, read = (one.part, one.read) if isinstance(one, Off) else ("", one)
            for dot in (place for place, letter in enumerate(part) if letter == "."):
                by_part.setdefault(part[:dot], [])  # a whole stands before its parts
            by_part.setdefault(part, []).append((key, read))
        self._own = by_part.pop("")
        self._parts = [(part, *part.rpartition(".")[::2], read) for part, read in by_part.items()]

    def __call__(self, record: Record) -> dict[str, Value | None]:
        """Return all of a record, in the order in which they were named."""
        found, parts = self._none.copy(), {"": record}
        for key, read in self._own:
            found[key] = read(record)
        for path, whole, name, readers in self._parts:
            if (part := parts[whole]) is not None:
                part = getattr(part, name)
                if part is not None:
                    for key, read in readers:
                        found[key] = read(part)
            parts[path] = part
        return found
