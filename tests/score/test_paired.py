"""`zoo.score.paired`: what a tie is where the rows alone do not tell."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.picker.pick import pick
from zoo.report.compare import compare
from zoo.score.comparing import latest
from zoo.score.limits import LossLimit
from zoo.score.paired import PAIRED, QUANTILES, Pairs
from zoo.score.reading import read_rows
from zoo.score.summary import Samples, summarise
from zoo.store import save


def put(records, tmp_path, model, seconds, **samples):
    """A record whose pipeline took these seconds, sorted or not."""
    record = records.make(model, p50_s=float(np.median(seconds)) / 1.25, samples=len(seconds))
    pipeline = summarise(Samples(np.asarray(seconds), 10, 1.0, True))
    record = record.model_copy(update={"speed": record.speed.model_copy(update={"pipeline": pipeline})})
    save(record, {"pipeline_s": np.asarray(seconds), **samples}, tmp_path)


def told(tmp_path, key="pipeline_p99_s"):
    found = read_rows(tmp_path)
    one, other = sorted(found.rows, key=lambda row: row.model)
    return Pairs(found.sources).tie(one, other, key)


@pytest.mark.parametrize(("slower", "tie"), [(1.0, True), (1.03, True), (1.5, False), (0.6, False)])
def test_p99_is_told_by_the_order_of_the_samples(records, tmp_path, slower, tie):
    dice = np.random.default_rng(1)
    for model, times in (("a", 1.0), ("b", slower)):
        put(records, tmp_path, model, times * (0.02 + dice.exponential(0.004, 2000)))
    assert told(tmp_path).tie is tie


def test_too_few_samples_do_not_bound_a_tail(records, tmp_path):
    dice = np.random.default_rng(1)
    for model, times in (("a", 1.0), ("b", 5.0)):
        put(records, tmp_path, model, times * (0.02 + dice.exponential(0.004, 300)))
    assert told(tmp_path).tie is None, "of 300 the largest is below the 99th percentile in 5 %"
    assert told(tmp_path, "pipeline_p90_s").tie is False


def test_without_samples_a_tail_is_not_known(records, tmp_path):
    for model, p50_s in (("a", 0.02), ("b", 0.05)):
        save(records.make(model, p50_s=p50_s), {}, tmp_path)
    assert told(tmp_path).tie is None
    for file in tmp_path.rglob("*.json"):
        file.with_suffix(".npz").write_bytes(b"PK")
    assert told(tmp_path).tie is None, "damaged"


def test_every_quantile_is_of_a_metric():
    assert {key.rpartition("_p")[0] for key in QUANTILES} == {"pipeline", "latency"}
    assert len(QUANTILES) == 6


PERSON = 11


@pytest.fixture
def scored(records, tmp_path):
    """`scored(model, gain)`: a record with per-image counts, in which a few more pixels of one class are right."""

    def scored(model, gain, *, others=0, images=40, draws=0, right=0.6, **changes):
        draw, record = np.random.default_rng(draws), records.make(model, right=right, image_count=images, **changes)
        names = list(record.accuracy.class_names)
        hit = draw.integers(20, 80, (images, len(names))).astype(np.int32)
        hit += others
        hit[:, PERSON] += gain - others
        counts = {"true_positives": hit, "false_positives": np.zeros_like(hit), "false_negatives": 100 - hit}
        matrix = np.zeros((len(names), len(names) + 1), int)
        np.fill_diagonal(matrix, hit.sum(axis=0))
        matrix[:, -1] = (100 - hit).sum(axis=0)
        accuracy = record.accuracy.model_copy(update={"confusion": tuple(map(tuple, matrix.tolist()))})
        record = record.model_copy(update={"accuracy": accuracy})
        save(record, {"image_names": np.array([f"city{at}_0_0" for at in range(images)]), **counts}, tmp_path)
        return f"iou.{names[PERSON]}", counts

    return scored


def both(tmp_path):
    found = read_rows(tmp_path)
    return Pairs(found.sources), sorted(found.rows, key=lambda row: row.model)


def drawn(counts, picks):
    """IoU of the class in each draw, straight from its definition."""
    hit, missed = (counts[name][:, PERSON][picks].sum(axis=1) for name in ("true_positives", "false_negatives"))
    return hit / (hit + missed)


@pytest.mark.parametrize(("gain", "verdict"), [(0, "tie"), (4, "better"), (-4, "worse")])
def test_a_class_is_told_by_the_same_images(scored, tmp_path, gain, verdict):
    """Images that differ far more from each other than both sets of weights do on each."""
    key, first = scored("a", 0)
    _, second = scored("b", gain)
    pairs, (one, other) = both(tmp_path)
    test = pairs.test(one, other, key)
    assert (test.verdict, test.image_count) == (verdict, 40)
    assert pairs.tie(one, other, key).tie == (verdict == "tie")
    picks = np.random.default_rng(7).integers(40, size=(4000, 40))
    expected = np.quantile(drawn(second, picks) - drawn(first, picks), (0.025, 0.975))
    assert test.interval == pytest.approx(tuple(expected), abs=0.002)
    assert test.gain == pytest.approx(gain / 100)
    if gain:
        assert pairs.tie(one, other, key).by == PAIRED
        span, others = (pairs.span(row, key) for row in (one, other))
        assert span == pytest.approx(tuple(np.quantile(drawn(first, picks), (0.025, 0.975))), abs=0.005)
        assert span[0] < others[1], "their own intervals do not tell them apart"
        assert others[0] < span[1]


def test_other_images_alike_by_chance_are_a_tie(scored, tmp_path):
    key, _ = scored("a", 0)
    scored("b", 2, draws=5)
    pairs, (one, other) = both(tmp_path)
    assert abs(one.value(key) - other.value(key)) > 0.001
    assert pairs.tie(one, other, key) == (True, PAIRED)
    assert pairs.test(one, other, key) is pairs.test(one, other, key)
    assert pairs.test(one, other).gain != pairs.test(one, other, key).gain


def test_without_counts_a_class_is_not_told(scored, records, tmp_path):
    key, _ = scored("a", 0)
    save(records.make("b", right=0.3, image_count=40), {}, tmp_path)
    pairs, (one, other) = both(tmp_path)
    assert pairs.tie(one, other, key).tie is None
    assert (pairs.span(other, key), Pairs().span(one, key)) == (None, None)
    assert pairs.span(one, key) is not None


def test_a_mean_over_seeds_has_no_interval_of_a_class(scored, tmp_path):
    for seed in range(3):
        key, _ = scored("a", seed, seed=seed)
    scored("b", 9)
    found = read_rows(tmp_path)
    pairs, (one, other) = Pairs(found.sources), sorted(latest(found.rows), key=lambda row: row.model)
    assert one.seed_count == 3
    assert (pairs.span(one, key), pairs.tie(one, other, key).tie) == (None, None)


def test_the_best_of_a_class_is_what_nothing_beats_by_more_than_chance(scored, tmp_path):
    """Among those that tie in it mIoU decides, and a floor that chance may break is said."""
    key, _ = scored("a", 0, others=9)
    scored("b", 4, draws=5)
    scored("c", -20, others=9, draws=5)
    pairs, (one, other, _) = both(tmp_path)
    assert one.value(key) < other.value(key)
    choice = pick(tmp_path, objective=key)
    assert choice.winner.model == "a"
    assert any("cannot be told from the highest IoU of class 11" in note and PAIRED in note for note in choice.notes)
    assert {loser.label: loser.kind for loser in choice.losers}["c"] == "behind"
    least = f"{key}>={100 * one.value(key) - 0.1:.2f}%"
    (note,) = [note for note in pick(tmp_path, limits=[least], models=["a"]).notes if "interval of IoU" in note]
    low, _ = pairs.span(one, key)
    assert note == f"the 95 % interval of IoU of class 11 reaches down to {100 * low:.1f} %, under the limit"


def test_a_class_that_is_lost_by_more_than_chance_fails_a_check(scored, tmp_path):
    key, _ = scored("a", 0)
    scored("b", -4)
    limits = [LossLimit.parse(word) for word in (f"{key}:2", "iou.class 0:2")]
    (loss,) = compare("a", "b", results=tmp_path).losses(limits)
    assert (loss.kind, loss.limit) == ("lost", limits[0])
