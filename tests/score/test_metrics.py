"""`zoo.score.metrics`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import product

import pytest

from zoo.score.metrics import METRICS, SHOWN, metric_of
from zoo.store import save


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


ONE_ENTRY = """
from pathlib import Path
from zoo.score import metrics
metrics.METRICS["warmth"] = metrics.Metric(
    "warmth", "warmth", "K", "lower", lambda record: 300.5, interval=lambda record: (299.0, 302.0), column="warmth K",
    keep=20, marked=True,
)
from zoo.report.board import make_board
from zoo.report.leaderboard import render
from zoo.score.reading import read_rows
from zoo.score.rows import COLUMNS
rows = read_rows(Path({results!r})).rows
assert COLUMNS[-3:] == ("warmth", "warmth_low", "warmth_high"), COLUMNS[-3:]
assert list(rows[0].as_dict().values())[-3:] == [300.5, 299.0, 302.0]
assert rows[0].interval("warmth") == (299.0, 302.0)
for form in ("table", "md"):
    text = render(make_board(rows, sort="warmth"), form, plain=True)
    assert "warmth" in text and "300" in text, text
"""


def test_one_new_number_is_one_entry(records, tmp_path):
    """Column, interval, table and order follow by themselves."""
    save(records.make(), {}, tmp_path)
    code = ONE_ENTRY.format(results=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_choice_and_a_sweep_show_is_in_the_table():
    assert tuple(key for key, metric in METRICS.items() if metric.shown) == SHOWN
    assert {"miou", "pipeline_p50_s", "peak_memory_bytes"} < set(SHOWN)
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.column or not metric.marked, "only a column has a best"


@pytest.mark.parametrize(
    ("key", "value", "other", "said"),
    [
        ("miou", 0.0056, 0.006, ("0.56 %", "0.60 %")),
        ("miou", 0.40, 0.41, ("40.0 %", "41.0 %")),
        ("pipeline_p99_s", 0.033334, 0.033333, ("33.334 ms", "33.333 ms")),
        ("pipeline_p99_s", 0.136, 0.1, ("136 ms", "100 ms")),
        ("cold_start_s", 0.1502, 0.15, ("0.1502 s", "0.1500 s")),
        ("cold_start_s", 1.234, 0.15, ("1.23 s", "0.150 s")),
        ("pipeline_p50_s", 0.0081262, 0.008125, ("8.126 ms", "8.125 ms")),
        ("pipeline_p50_s", 0.0127, 0.008125, ("12.7 ms", "8.125 ms")),
        ("pipeline_p99_s", 0.033434, 1 / 30, ("33.4 ms", "33.3333 ms")),
        ("peak_memory_bytes", 150e6 + 1, 150e6, ("143.0511484 MiB", "143.0511475 MiB")),
        ("param_count", 687_124, 687_123, ("0.687124 M", "0.687123 M")),
        ("pipeline_p99_s", 0.05, 0.05, ("50.0 ms", "50.0 ms")),
        ("grade", 0, 2, ("C", "A")),
    ],
)
def test_a_number_is_told_from_a_bound_and_the_bound_has_what_was_asked(key, value, other, said):
    assert metric_of(key).apart(value, other) == said


@pytest.mark.parametrize(
    ("key", "value", "bound", "said"),
    [
        ("pipeline_p50_s", 0.0081256, 0.008128, "8.126 ms"),
        ("pipeline_p50_s", 0.0081256, 0.00813, "8.13 ms"),
        ("pipeline_p50_s", 0.0081256, 0.02, "8.13 ms"),
        ("miou", 0.47951, 0.4795, "48.0 %"),
        ("miou", 0.47949, 0.47945, "47.949 %"),
        ("miou", 0.5, 0.5, "50.0 %"),
        ("param_count", 686679, 686679, "0.686679 M"),
        ("miou", 0.0333, 0.0333, "3.33 %"),
        ("grade", 2, 1, "A"),
    ],
)
def test_a_number_that_keeps_a_bound_never_reads_as_if_it_broke_it(key, value, bound, said):
    assert metric_of(key).within(value, bound) == said


@pytest.mark.parametrize("metric", [one for one in METRICS.values() if one.better], ids=lambda one: one.key)
def test_no_number_reads_as_if_it_kept_a_bound_that_it_breaks(metric):
    """Of whatever metric and however near: the texts are in the order of the numbers."""
    for scaled, off in product((0.125, 0.15, 1 / 30, 6.0, 123.456789), (1e-7, 1e-5, 0.00133, 0.02, 3.0)):
        bound = scaled / metric.scale
        value = bound * (1 + off if metric.better == "lower" else 1 / (1 + off))
        said, of = (float(text.split()[0]) for text in metric.apart(value, bound))
        assert metric.beats(of, said), (said, of)
        assert of == pytest.approx(scaled, rel=2e-5)
