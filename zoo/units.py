"""Numbers with units as people write them, and back: sizes, times, bytes, counts, shares; and pairs.

A number may be written `1e6`, `1_000_000` or `1.5`; a space may stand before its unit, whose case does not matter where
there is no doubt. What is not understood is a `UserError` that says what was given and what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container
from typing import TYPE_CHECKING

from zoo.errors import UserError

if TYPE_CHECKING:  # `zoo --help` reads this room, and pydantic would be most of its time
    from zoo.spec import Size

_TIMES = "\N{MULTIPLICATION SIGN}"
_NUMBER = r"\d[\d_]*(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?"
_SECONDS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_BYTES = {"": 1.0, "b": 1.0} | {
    f"{prefix}{unit}": base**power
    for power, prefix in enumerate("kmgt", 1)
    for unit, base in (("", 1024.0), ("ib", 1024.0), ("b", 1000.0))
}
_CURRENCY = "[$€£¥]"
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}


def parse_size(text: str) -> Size:
    """Read `512x1024`, also with spaces or the sign of multiplication, as `(512, 1024)`.

    Raises:
        UserError: anything else; one number alone could be a height, a width or a square.
    """
    match = re.fullmatch(rf"(\d+)\s*[x{_TIMES}]\s*(\d+)", text.strip().lower(), re.ASCII)
    height, width = (int(match[1]), int(match[2])) if match else (0, 0)
    if not height or not width:
        square = f"; a square is {text}x{text}" if text.isdecimal() and text.isascii() else ""
        raise UserError(f"a size is HEIGHTxWIDTH in pixels, such as 512x1024; got {text!r}{square}")
    return height, width


def parse_pairs(flag: str, pairs: list[str], example: str) -> dict[str, str]:
    """Read the `key=value` pairs of a flag that may be repeated; an error names one as an example.

    Raises:
        UserError: a pair without `=`, or a key with two values.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            raise UserError(f"{flag} takes key=value, such as {example}; got {pair!r}")
        if found.setdefault(key, text) != text:
            raise UserError(f"{flag} {key} is given as {found[key]} and as {text}; give it once")
    return found


def show_size(size: Size) -> str:
    """Return `(512, 1024)` as `512x1024`."""
    return f"{size[0]}x{size[1]}"


def parse_seconds(text: str) -> float:
    """Read `25ms`, `0.5 s` or `800us` as seconds; a number alone is seconds too, where it is below 1.

    Raises:
        UserError: anything else.
    """
    number, unit = _split(text, ("", "s", "ms", "us", "µs", "μs"))
    if number is None or (not unit and number >= 1):
        raise UserError(f"a time is a number with its unit, such as 25ms or 0.025s; got {text!r}")
    return _above_0(number, text) * _SECONDS[unit or "s"]


def parse_duration(text: str) -> float:
    """Read `2h30m`, `1.5h`, `45 min` or `90s` as seconds.

    Raises:
        UserError: anything else.
    """
    parts = rf"(?:({_NUMBER})\s*%s)?\s*"
    order = (("d", "d(?:ays?)?"), ("h", "h(?:ours?)?"), ("m", "m(?:in)?"), ("s", "s(?:ec)?"))
    match = re.fullmatch("".join(parts % pattern for _, pattern in order), text.strip().lower(), re.ASCII)
    numbers = [_number(number) for number in match.groups()] if match else []
    seconds = sum((number or 0) * _SECONDS[unit] for number, (unit, _) in zip(numbers, order, strict=False))
    if not seconds:
        raise UserError(f"a duration is days, hours, minutes or seconds, such as 2h30m or 90s; got {text!r}")
    return seconds


def show_duration(seconds: float) -> str:
    """Return `300` as `5 min`, `90` as `90 s`, `9000` as `2.5 h`."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{round(seconds / length, 1):g} {unit}"
    return f"{seconds:.3g} s"


def parse_bytes(text: str) -> float:
    """Read `500MiB`, `2GB` (1000³), `512M` (as `512MiB`), `0.5G` or `1e9` as bytes.

    Raises:
        UserError: anything else; a number alone that is too small to be bytes.
    """
    number, unit = _split(text, _BYTES)
    if number is None or (not unit and 0 < number < 2**16):
        raise UserError(f"memory is a number with its unit, such as 500MiB, 0.5G or 2GB; got {text!r}")
    return _above_0(number, text) * _BYTES[unit]


def parse_count(text: str) -> float:
    """Read `10M`, `1.5G`, `1e6`, `1_000_000` or `300000` as a count.

    Raises:
        UserError: anything else.
    """
    number, unit = _split(text, _COUNTS)
    if number is None:
        raise UserError(f"a count is a number such as 10M, 1e6 or 300000; got {text!r}")
    return _above_0(number, text) * _COUNTS[unit]


def parse_shard(text: str) -> tuple[int, int]:
    """Read `i/n`, the i-th of n equal shares, counted from 1.

    Raises:
        UserError: anything else.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"a shard is i/n with i from 1 to n, such as 2/4 for the second of four; got {text!r}")
    return int(found[1]), int(found[2])


def parse_whole(text: str) -> int:
    """Read `300`, `1e4`, `10k` or `80_000` as a whole number, 0 or more.

    Raises:
        UserError: anything else.
    """
    number, unit = _split(text, _COUNTS)
    value = math.nan if number is None else number * _COUNTS[unit]
    if not value.is_integer():
        raise UserError(f"a count is a whole number, 0 or more; got {text!r}")
    return int(value)


def parse_share(text: str) -> float:
    """Read `0.7`, `70%`, `70` or `0` as a fraction: a number above 1 is percent.

    Raises:
        UserError: anything else, `1`, or more than all.
    """
    number, unit = _split(text, ("", "%"))
    if number == 1 and not unit:
        raise UserError(f"{text} may be one percent or all; write 1% or 100%")
    share = 2.0 if number is None else number / 100 if unit or number > 1 else number
    if share > 1:
        raise UserError(f"a share is a fraction such as 0.7, or percent: 70% or 70; got {text!r}")
    return share


def parse_points(text: str) -> float:
    """Read `2`, `0.5 points` or `2%` as percentage points of a share, 0 or more, and return the fraction: 0.02.

    Raises:
        UserError: anything else.
    """
    number = _split(text, ("", "%", "point", "points"))[0]
    if number is None or number > 100:
        raise UserError(f"a loss is in percentage points, such as 2 or 0.5; got {text!r}")
    return number / 100


def parse_percent(text: str) -> float:
    """Read `5%` or `150 %` as a fraction, 0 or more; the sign has to be there.

    Raises:
        UserError: anything else.
    """
    number = _split(text, ("%",))[0]
    if number is None:
        raise UserError(f"a relative change is percent, such as 5%; got {text!r}")
    return number / 100


def parse_joules(text: str) -> float:
    """Read `0.2J` or `150 mJ` as joules; a number alone is joules too.

    Raises:
        UserError: anything else.
    """
    number, unit = _split(text, ("", "j", "mj"))
    if number is None:
        raise UserError(f"an energy is a number with its unit, such as 0.2J or 150mJ; got {text!r}")
    return _above_0(number, text) * (1e-3 if unit == "mj" else 1.0)


def parse_per_second(text: str) -> float:
    """Read `10hz`, `30 fps`, `25/s`, `100 images/s` or `29.97` as times a second.

    Raises:
        UserError: anything else.
    """
    number = _split(re.sub(r"\s*(hz|fps|(images?)?\s*/\s*s)$", "", text.strip().lower()), ("",))[0]
    if number is None:
        raise UserError(f"a rate is times a second, such as 10hz, 30fps or 25/s; got {text!r}")
    return _above_0(number, text)


def parse_amount(text: str) -> float:
    """Read `2.49`, also with `$` or another sign of currency before it, as an amount of money.

    Raises:
        UserError: anything else.
    """
    number = _split(re.sub(rf"^{_CURRENCY}\s*", "", text.strip()), ("",))[0]
    if number is None:
        raise UserError(f"an amount of money is a number such as 2.49; got {text!r}")
    return _above_0(number, text)


def parse_price(text: str) -> float:
    """Read `2.49/h`, also with `$` or another sign of currency before it, as a price per hour.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(rf"{_CURRENCY}?\s*([^/]+?)\s*/\s*(?:h|hour)", text.strip().lower())
    number = _split(match[1], ("",))[0] if match else None
    if number is None:
        raise UserError(f"a price is what an hour of the machine costs, such as 2.49/h; got {text!r}")
    return _above_0(number, text)


def _split(text: str, units: Container[str]) -> tuple[float | None, str]:
    """Number and unit in lower case; no number where `text` is none or its unit none of `units`."""
    match = re.fullmatch(rf"({_NUMBER})\s*([^\W\d_]*|%)", text.strip().lower())
    if match is None or match[2] not in units:
        return None, ""
    return _number(match[1]), match[2]


def _number(digits: str | None) -> float | None:
    try:
        value = math.inf if digits is None else float(digits)
    except ValueError:  # a `_` at a wrong place
        return None
    return value if math.isfinite(value) else None


def _above_0(number: float, text: str) -> float:
    if number <= 0:
        raise UserError(f"{text!r} is not a number above 0")
    return number
