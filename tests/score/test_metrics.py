"""`zoo.score.metrics`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import math

import pytest

from zoo.score.metrics import METRICS


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("miou", 0.45678, "45.7 %"),
        ("latency_p50_s", 0.0123456, "12.3 ms"),
        ("latency_p50_s", 0.000456, "0.456 ms"),
        ("latency_p50_s", 1.23456, "1235 ms"),
        ("latency_p50_s", 0.0009996, "1.000 ms"),
        ("peak_memory_bytes", 300 * 2**20, "300 MiB"),
        ("param_count", 39_638_869, "39.6 M"),
        ("mac_count", 0, "0.00 G"),
        ("mac_count", None, "n/a"),
    ],
)
def test_numbers_for_people(key, value, text):
    assert METRICS[key].say(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_available(value):
    for metric in METRICS.values():
        assert metric.say(value) == "n/a"


def test_a_loss_of_nothing_has_no_sign(records):
    assert METRICS["miou_lost"].say(-0.0001) == "0.0 points"
    assert METRICS["miou_lost"].say(-0.0012) == "-0.1 points"
