"""`zoo.score.limits`: what a person asks of one number."""

from __future__ import annotations

import re

import pytest

from zoo.errors import UserError
from zoo.score.limits import PARSERS, Limit, LossLimit
from zoo.score.metrics import GRADE, METRICS, metric_named, metric_of
from zoo.score.reading import rows_of
from zoo.score.rows import row


def test_every_metric_has_one_name_and_its_values_are_read():
    names = [metric.name for metric in (*METRICS.values(), GRADE)]
    assert len(set(names)) == len(names)
    for metric in METRICS.values():
        assert metric.unit in PARSERS, f"no one reads a value in {metric.unit}"
        assert metric_named(metric.name) is metric_named(metric.title) is metric_named(metric.key) is metric


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("latency<=50ms", "pipeline_p50_s", 0.05),
        ("p99 <= 50 ms", "pipeline_p99_s", 0.05),
        ("P99.9≤50ms", "pipeline_p999_s", 0.05),
        ("network-p90<20ms", "latency_p90_s", 0.02),
        ("memory<=1GiB", "peak_memory_bytes", 2**30),
        ("file<=5MiB", "file_bytes", 5 * 2**20),
        ("energy<=150mJ", "energy_per_image_j", 0.15),
        ("params<=10M", "param_count", 1e7),
        ("macs<=1.5G", "mac_count", 1.5e9),
        ("throughput>=30fps", "throughput_per_s", 30),
        ("miou>=60%", "miou", 0.6),
        ("miou_lost<=0.5", "miou_lost", 0.005),
        ("iou.person>=0.5", "iou.person", 0.5),
        ("iou.traffic light>=50", "iou.traffic light", 0.5),
        ("class-loss.person<=2", "class-loss.person", 0.02),
        ("class-loss<=2 points", "class-loss", 0.02),
        ("grade>=b", "grade", 1),
        ("graph breaks<=0", "graph_break_count", 0),
    ],
)
def test_limits_as_people_write_them(text, key, value):
    limit = Limit.parse(text)
    assert (limit.metric.key, limit.value) == (key, pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latancy<=5ms", "no metric 'latancy'. Did you mean 'latency'? Allowed: miou, "),
        ("latency=5ms", "a limit is METRIC<=VALUE or METRIC>=VALUE, such as 'latency<=50ms'; got 'latency=5ms'"),
        ("latency<=5", "a time is a number with its unit"),
        ("latency>=5ms", "pipeline p50 is better lower: at least 5ms would leave the best out; ask for latency<=5ms"),
        (
            "miou<=60%",
            "mIoU is better higher: at most 60% would leave the best out; ask for miou>=60%, as a flag --min miou=60%",
        ),
        ("grade>=F", "a grade is A, B, C; got 'F'"),
        ("iou.<=5", "no metric 'iou.'"),
    ],
)
def test_a_mistake_is_one_line(text, words):
    with pytest.raises(UserError) as caught:
        Limit.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_is_held_against_a_limit(records):
    one = row(records.make(right=0.5, p50_s=0.02))
    assert Limit.parse("latency<=25ms").holds(one)
    assert Limit.parse("latency<=20ms").miss(one) == pytest.approx(0.25)
    assert not Limit.parse("energy<=1J").holds(one), "what is not known keeps no limit"
    assert Limit.parse("grade>=A").holds(one)
    assert Limit.parse("grade>=B").say() == "grade ≥ B"
    assert Limit.parse("iou.class 3>=30%").holds(one)
    assert not Limit.parse("iou.unicorn>=30%").holds(one)


def test_no_loss_allows_a_handful_of_pixels(records):
    one = row(records.make())
    for lost, holds in ((0.0, True), (2e-6, True), (-0.01, True), (2e-5, False)):
        assert Limit.parse("miou-lost<=0").holds(one.having(miou_lost=lost)) is holds
    assert not Limit.parse("latency<=20ms").holds(row(records.make(p50_s=0.0200001))), "a deadline is a deadline"


def test_what_a_file_has_to_keep():
    found = Limit.required("equal:99.9%, class-loss:2,class-loss.traffic light:1 points,miou-lost:0.5,miou:60")
    assert [(one.metric.key, pytest.approx(one.value)) for one in found] == [
        ("equal_label_share", 0.999), ("class-loss", 0.02), ("class-loss.traffic light", 0.01), ("miou_lost", 0.005),
        ("miou", 0.6),
    ]  # fmt: skip


def test_what_a_class_loses_is_held_against_fp32_of_the_same_weights(records):
    whole, cut = records.confusion(0.6), records.confusion(0.6)
    cut[2] = 0
    cut[2, 2], cut[2, 3] = 3000, 7000
    fp32, int8 = rows_of(
        [
            records.make("a", matrix=whole),
            records.make("a", matrix=cut, runtime="openvino", precision="int8", one_graph=True),
        ]
    )
    assert fp32.value("class-loss") == 0
    assert int8.value("class-loss") == int8.value("class-loss.class 2") > 0.1
    assert int8.value("class-loss.class 5") < 0.01
    assert metric_of("class-loss").say(0.1234) == "12.3 points"
    assert int8.worst_class == ("class 2", int8.value("class-loss.class 2"))
    assert list(int8.hurt_classes) == ["class 2", "class 3"], "what takes the pixels of another loses too"
    assert int8.hurt_text.startswith("loses points of IoU against fp32 on class 2 (")
    assert (fp32.hurt_classes, fp32.hurt_text) == ({}, "")
    assert int8.as_dict()["class_lost"] == int8.class_lost
    assert int8.as_dict()["class_share"]["class 2"] == pytest.approx(1 / 19, abs=1e-3)
    rare = records.confusion(0.6)
    rare[2], cut[2] = 0, 0
    rare[2, 2], cut[2, 3] = 900, 900
    _, int8 = rows_of(
        [
            records.make("a", matrix=rare),
            records.make("a", matrix=cut, runtime="openvino", precision="int8", one_graph=True),
        ]
    )
    assert int8.value("class-loss.class 2") > 0.15
    assert int8.value("class-loss") < 0.05, "a class of under half a percent of the pixels does not speak for all"


@pytest.mark.parametrize(
    ("text", "key", "amount", "relative", "said"),
    [
        ("slower:5%", "pipeline_p50_s", 0.05, True, "5 %"),
        ("latency: 2 ms", "pipeline_p50_s", 0.002, False, "2.00 ms"),
        ("p99:0%", "pipeline_p99_s", 0, True, "0 %"),
        ("memory:10MiB", "peak_memory_bytes", 10 * 2**20, False, "10.0 MiB"),
        ("miou:0.5", "miou", 0.005, False, "0.5 points"),
        ("miou:0.5%", "miou", 0.005, False, "0.5 points"),
        ("iou.person:2 points", "iou.person", 0.02, False, "2 points"),
        ("throughput:150%", "throughput_per_s", 1.5, True, "150 %"),
        ("params:10k", "param_count", 1e4, False, "0.0100 M"),
        ("p99:2.125ms", "pipeline_p99_s", 0.002125, False, "2.125 ms"),
        ("slower:5.1234%", "pipeline_p50_s", 0.051234, True, "5.1234 %"),
        ("miou:0.12345", "miou", 0.0012345, False, "0.12345 points"),
    ],
)
def test_losses_as_people_write_them(text, key, amount, relative, said):
    limit = LossLimit.parse(text)
    assert (limit.metric.key, limit.is_relative, limit.say()) == (key, relative, said)
    assert limit.amount == pytest.approx(amount)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slower", "a loss is METRIC:AMOUNT, such as slower:5% or miou:0.5; got 'slower'"),
        ("slower:", "a loss is METRIC:AMOUNT"),
        (":5%", "a loss is METRIC:AMOUNT"),
        ("slow:5%", "no metric 'slow'"),
        ("slower:5", "slower loses percent or a time with its unit: slower:5% or slower:5ms"),
        ("slower:0.05", "slower loses percent or a time with its unit"),
        ("slower:-5%", "a relative change is percent, such as 5%; got '-5%'"),
        ("memory:10", "memory is a number with its unit"),
        ("miou:much", "a loss is in percentage points"),
        ("grade:1", "a grade loses no amount"),
    ],
)
def test_a_loss_that_is_none_is_one_line(text, words):
    with pytest.raises(UserError, match=re.escape(words)):
        LossLimit.parse(text)


@pytest.mark.parametrize(
    ("text", "was", "now", "loss"),
    [
        ("slower:5%", 0.010, 0.011, 0.1),
        ("slower:5%", 0.010, 0.009, -0.1),
        ("slower:1ms", 0.010, 0.012, 0.002),
        ("miou:0.5", 0.60, 0.58, 0.02),
        ("throughput:5%", 100, 90, 0.1),
        ("graph-breaks:5%", 0, 2, float("inf")),
        ("graph-breaks:5%", 0, 0, 0),
    ],
)
def test_a_loss_counts_what_became_worse(text, was, now, loss):
    assert LossLimit.parse(text).loss(was, now) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("text", "loss", "said"),
    [
        ("slower:5%", 0.06, "6 %"),
        ("slower:5%", 0.050001, "5.0001 %"),
        ("miou:0.5", 0.0050004, "0.50004 points"),
        ("latency:2ms", 0.0020004, "2.0004 ms"),
        ("graph-breaks:5%", float("inf"), "inf %"),
    ],
)
def test_a_loss_never_reads_as_what_is_allowed(text, loss, said):
    assert LossLimit.parse(text).say(loss) == said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("latency<=16.67ms", "pipeline p50 ≤ 16.67 ms"),
        ("latency<=25ms", "pipeline p50 ≤ 25.0 ms"),
        ("latency<=8.125ms", "pipeline p50 ≤ 8.125 ms"),
        ("cold-start<=0.1502s", "cold start ≤ 0.1502 s"),
        ("params<=687123", "parameters ≤ 0.687123 M"),
        ("latency<=16.6667891ms", "pipeline p50 ≤ 16.6667891 ms"),
        ("memory<=150MB", "peak memory ≤ 143.051 MiB"),
        ("memory<=301.5MiB", "peak memory ≤ 301.5 MiB"),
        ("miou>=60.25%", "mIoU ≥ 60.25 %"),
        ("grade>=B", "grade ≥ B"),
    ],
)
def test_a_limit_is_repeated_with_the_digits_it_was_given(asked, said):
    assert Limit.parse(asked).say() == said
