"""`zoo cache` as a table: sizes and ages as people read them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from zoo.cache import Entry
from zoo.report.cache import say_size, show_entries

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def entry(size, *, in_use=False, **ago):
    return Entry("built", Path("/cache/artifacts/abc"), size, NOW - timedelta(**ago), in_use)


def test_ages_sizes_and_use():
    text = show_entries(
        [
            entry(3 * 2**30, days=31, hours=5),
            entry(5 << 19, hours=1),
            entry(0, minutes=59, in_use=True),
            entry(1, seconds=-3),
        ],
        now=NOW,
    )
    rows = [" ".join(line.split()) for line in text.splitlines()[2:]]
    assert rows == [
        "built abc 31 days ago 3072",
        "built abc 1 hour ago 2.5",
        "built abc 59 minutes ago in use 0.0",
        "built abc now 0.0",
    ]


def test_a_sum_has_its_unit():
    assert say_size([]) == "0 entries, 0.0 MiB"
    assert say_size([entry(2**30), entry(2**29)]) == "2 entries, 1.5 GiB"
    assert say_size([entry(20 << 20)]) == "1 entry, 20 MiB"
