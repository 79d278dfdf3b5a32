"""What the numbers and words of a record may be: each field states which of these it is.

A number that cannot be would win a choice, and a word that cannot be would break a file name, a command or a line.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

MODEL_LETTERS = 200
"""A model's name is that of a folder, which holds 255 on every system."""
NAME_LETTERS = 64
"""Of a dataset, a recipe, a runtime: several stand in the name of one file."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[int, Field(gt=0, lt=2**63)]
"""A count of what there is at least one of."""
Change = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Amount = Annotated[float, Field(ge=0)]
"""Seconds, hertz, watts, joules."""
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=-1, le=1)]
"""Of a share; below 0 where it was a gain."""
Celsius = Annotated[float, Field(ge=-273.15)]

Name = Annotated[str, Field(min_length=1, max_length=NAME_LETTERS)]
Tag = Annotated[str, Field(max_length=255)]
"""As a file may be called."""
ModelName = Annotated[str, Field(min_length=1, max_length=MODEL_LETTERS)]

# Beyond what moves a cursor or ends a line (Cc): what ends a line elsewhere, and what turns the direction of text.
_CONTROL = r"00[01][0-9a-f]|007f|00[89][0-9a-f]|061c|200[ef]|202[89a-e]|206[6-9]"
_AS_ESCAPE = re.compile(rf"((?<!\\)(?:\\\\)*)\\(?:[bfnrt]|u(?:{_CONTROL}))", re.IGNORECASE)
_AS_LETTER = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def holds_control(text: str) -> bool:
    """Whether some word in a JSON text holds a control character, written as it is or as an escape."""
    return bool(("\\" in text and _AS_ESCAPE.search(text)) or _AS_LETTER.search(text))


def without_control(text: str) -> str:
    """Return a JSON text with a space for each control character that its words hold."""
    return _AS_LETTER.sub(" ", _AS_ESCAPE.sub(r"\1 ", text) if "\\" in text else text)
