"""`zoo.score.parts`: many numbers at once are those that each reader finds alone."""

from __future__ import annotations

from zoo.score.metrics import METRICS
from zoo.score.parts import Off, Reader, off


def test_all_at_once_are_what_each_is_alone(records):
    read = Reader({key: metric.of for key, metric in METRICS.items()})
    made = (records.make(), records.make(right=None, dataset=None), records.make(status="oom"), records.baseline())
    for record in made:
        assert read(record) == {key: metric.of(record) for key, metric in METRICS.items()}
        assert list(read(record)) == list(METRICS)


def test_nothing_is_asked_of_a_part_that_is_not_there(records):
    failed = records.make(status="oom")
    assert failed.speed is None
    readers = {"deep": off("speed.network", "p50_s"), "whole": lambda record: record.key, "part": Off("speed", len)}
    assert Reader(readers)(failed) == {"deep": None, "whole": failed.key, "part": None}
