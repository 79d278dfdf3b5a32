"""`zoo.units`: what people write for sizes, times, bytes, counts and shares."""

from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.units import (
    parse_bytes,
    parse_count,
    parse_duration,
    parse_joules,
    parse_per_second,
    parse_percent,
    parse_points,
    parse_price,
    parse_seconds,
    parse_share,
    parse_size,
    parse_whole,
    show_duration,
    show_size,
)


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_size, "512x1024", (512, 1024)),
        (parse_size, " 512\N{MULTIPLICATION SIGN}1024 ", (512, 1024)),
        (parse_size, "512 X 1024", (512, 1024)),
        (parse_seconds, "25ms", 0.025),
        (parse_seconds, "25 ms", 0.025),
        (parse_seconds, "25 MS", 0.025),
        (parse_seconds, "0.5s", 0.5),
        (parse_seconds, "800us", 0.0008),
        (parse_seconds, "800 µs", 0.0008),
        (parse_seconds, "0.025", 0.025),
        (parse_seconds, ".025", 0.025),
        (parse_seconds, "2.5e1ms", 0.025),
        (parse_percent, "5%", 0.05),
        (parse_percent, "150 %", 1.5),
        (parse_percent, "0%", 0),
        (parse_duration, "2h", 7200),
        (parse_duration, "2h30m", 9000),
        (parse_duration, "2 h 30 min", 9000),
        (parse_duration, "1.5h", 5400),
        (parse_duration, "90s", 90),
        (parse_duration, "1d", 86400),
        (parse_bytes, "2GB", 2e9),
        (parse_bytes, "500 MiB", 500 * 2**20),
        (parse_bytes, "512M", 512 * 2**20),
        (parse_bytes, "0.5G", 2**29),
        (parse_bytes, "1.5gib", 1.5 * 2**30),
        (parse_bytes, "1 TiB", 2**40),
        (parse_bytes, "1e9", 1e9),
        (parse_bytes, "500_000_000", 5e8),
        (parse_bytes, "1b", 1),
        (parse_points, "2", 0.02),
        (parse_points, "0.5 points", 0.005),
        (parse_points, "0", 0),
        (parse_joules, "0.2J", 0.2),
        (parse_joules, "150 mJ", 0.15),
        (parse_per_second, "10hz", 10),
        (parse_per_second, "29.97 fps", 29.97),
        (parse_per_second, "25/s", 25),
        (parse_per_second, "100 images/s", 100),
        (parse_price, "2.49/h", 2.49),
        (parse_price, "$2.49 / hour", 2.49),
        (parse_count, "10M", 1e7),
        (parse_count, "10 m", 1e7),
        (parse_count, "300000", 3e5),
        (parse_count, "1e6", 1e6),
        (parse_count, "1_000_000", 1e6),
        (parse_count, "1.5b", 1.5e9),
        (parse_count, "42", 42),
        (parse_whole, "300", 300),
        (parse_whole, "0", 0),
        (parse_whole, "1e4", 10_000),
        (parse_whole, "80k", 80_000),
        (parse_whole, "80_000", 80_000),
        (parse_share, "0.7", 0.7),
        (parse_share, "70%", 0.7),
        (parse_share, "70 %", 0.7),
        (parse_share, "42", 0.42),
        (parse_share, "42.5", 0.425),
        (parse_share, "1%", 0.01),
        (parse_share, "100%", 1.0),
        (parse_share, "0.5%", 0.005),
        (parse_share, "0", 0.0),
    ],
)
def test_what_is_understood(parse, text, expected):
    assert parse(text) == pytest.approx(expected)


SAID = {
    parse_size: "HEIGHTxWIDTH in pixels, such as 512x1024",
    parse_seconds: "such as 25ms",
    parse_duration: "such as 2h30m",
    parse_bytes: "such as 500MiB",
    parse_count: "such as 10M",
    parse_whole: "a whole number",
    parse_share: "such as 0.7",
}


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (parse_size, ("1024", "0x4", "-1x4", "axb", "512*1024", "512x", "x512", "512x1024x3", "12.5x4")),
        (parse_seconds, ("25", "-5ms", "0ms", "1.2.3ms", "25m", "25 min", "ms", "infs")),
        (parse_duration, ("0s", "5", "30m2h", "-1h", "1e400h", "2:30")),
        (parse_bytes, ("500", "ib", "2GX", "-1G", "0.5", "1,5G", "0", "5__0G")),
        (parse_count, ("ten", "0", "nan", "inf", "1e400", "10MB", "-3")),
        (parse_whole, ("1.5", "-1", "x", "1e-3", "1e400", "1e300t")),
        (parse_share, ("101", "x", "150%", "-0.1", "nan")),
    ],
)
def test_what_is_not_is_one_line_with_what_was_given(parse, texts):
    for text in ("", " ", *texts):
        with pytest.raises(UserError) as caught:
            parse(text)
        said = str(caught.value)
        assert repr(text) in said
        assert "\n" not in said
        assert SAID[parse] in said or "is not a number above 0" in said


def test_a_size_is_written_as_it_is_read():
    assert show_size((512, 1024)) == "512x1024"
    assert parse_size(show_size((7, 9))) == (7, 9)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (4.26, "4.26 s"), (90, "90 s"), (300, "5 min"), (8100, "2.2 h"), (7200, "2 h")]
)
def test_durations_are_said_in_the_unit_people_use(seconds, said):
    assert show_duration(seconds) == said
    assert parse_duration(said if seconds else "1s") == pytest.approx(seconds or 1, rel=0.05)


@pytest.mark.parametrize("text", ["1", "1.0", " 1 "])
def test_a_bare_one_is_no_share(text):
    with pytest.raises(UserError, match="may be one percent or all; write 1% or 100%"):
        parse_share(text)
