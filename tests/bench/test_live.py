"""A sweep as a person sees it: the few numbers of each cell under their titles."""

from __future__ import annotations

from zoo.bench.live import NAME_WIDTH, WIDTH, header, row
from zoo.score.metrics import METRICS, SHOWN


def test_the_numbers_that_are_shown_stand_under_their_titles(records):
    record = records.make("unet", right=0.6, p50_s=0.020)
    _, titles, units = header(record).plain.splitlines()
    line = row(record).plain
    for place, key in enumerate(SHOWN):
        column = slice(NAME_WIDTH + place * WIDTH, NAME_WIDTH + (place + 1) * WIDTH)
        metric = METRICS[key]
        assert titles[column].strip() == metric.title
        assert units[column].strip() == metric.unit
        assert line[column].strip() == metric.show(metric.of(record))
    assert line.startswith("unet ")
    assert row(records.failed("unet", reason="too slow")).plain.endswith(" timeout: too slow")


def test_of_paced_calls_the_tail_and_what_was_missed_are_shown(records):
    record = records.make("unet", right=0.6, rate_hz=10.0, missed=(3, 3))
    first, titles, units = header(record).plain.splitlines()
    assert first.endswith(", paced at 10 Hz")
    words = [titles[NAME_WIDTH + place * WIDTH :][:WIDTH].strip() for place in range(len(SHOWN) + 1)]
    assert words[:4] == ["mIoU", "pipeline p50", "pipeline p99", "missed"]
    line, place = row(record).plain, NAME_WIDTH + 3 * WIDTH
    assert (line[place : place + WIDTH].strip(), units[place : place + WIDTH].strip()) == ("5.0", "%")
