"""`zoo.score.reading`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import pytest

from zoo.score.accuracy import miou
from zoo.score.comparing import group_of
from zoo.score.reading import read_rows, rows_of
from zoo.store import save


def test_read_rows_passes_the_warnings_on(records, tmp_path):
    save(records.make(), {}, tmp_path)
    save(records.make("fcn"), {}, tmp_path).write_text("{")
    found = read_rows(tmp_path)
    assert [row.model for row in found.rows] == ["unet"]
    assert len(found.warnings) == 1


def test_a_dataset_is_its_images_whatever_its_folder_was_called(records):
    old, new, other = (
        {"dataset": "old", "fingerprint": "1" * 64},
        {"dataset": "new", "fingerprint": "1" * 64, "runtime": "openvino", "minutes": 5},
        {"dataset": "old", "fingerprint": "0" * 64},
    )
    rows = rows_of(records.make(**change) for change in (old, new, other))
    assert [row.dataset for row in rows] == ["new", "new", "old"], "as it was called last"
    assert group_of(rows[0]) == group_of(rows[1])
    assert rows[1].miou_lost == 0.0, "and they are held against each other"


def _lost(records, *changes):
    return [row.miou_lost for row in rows_of(records.make(**change) for change in changes)]


def test_miou_is_lost_against_fp32_of_the_same_weights_size_and_images(records):
    int8 = {"runtime": "openvino", "precision": "int8", "right": 0.58}
    best, own = (miou(records.confusion(right)) for right in (0.60, 0.58))
    assert _lost(records, {"right": 0.60}, int8) == [0.0, pytest.approx(best - own)]
    assert _lost(records, {"right": 0.60}, int8 | {"right": 0.61})[1] < 0, "a gain"
    assert _lost(records, {"right": 0.60, "device": "nvidia-h200"}, int8)[1] == pytest.approx(best - own)
    assert _lost(records, {"right": 0.60}, {"right": 0.9, "device": "nvidia-h200", "kind": "cuda"}, int8)[2] == (
        pytest.approx(best - own)
    ), "the own device's reference comes first"
    for other in (
        *({"model": "fcn"}, {"input_size": (128, 256)}, {"fingerprint": "0" * 64}, {"image_count": 8}),
        *({"recipe": "long"}, {"precision": "bf16"}, {"right": None}, {"status": "oom"}),
    ):
        assert _lost(records, {"right": 0.60} | other, int8)[1] is None, other
    assert _lost(records, {}, {"right": None, "precision": "bf16"})[1] is None


def test_what_a_few_records_lost_is_told_by_the_others_there_are(records):
    fp32, int8 = records.make("a", right=0.6), records.make("a", right=0.5, precision="int8", runtime="openvino")
    (alone,), (beside,) = rows_of([int8]), rows_of([int8], among=rows_of([fp32]))
    assert (alone.miou_lost, beside.miou_lost) == (None, pytest.approx(0.0949, abs=1e-3))


def test_without_an_eager_row_another_fp32_row_is_what_miou_is_lost_against(records):
    int8 = {"runtime": "onnxruntime", "precision": "int8", "right": 0.58}
    own, best = (miou(records.confusion(right)) for right in (0.58, 0.60))
    onnx = {"runtime": "onnxruntime", "right": 0.60}
    assert _lost(records, onnx, int8) == [0.0, pytest.approx(best - own)]
    assert _lost(records, onnx, {"right": 0.58}, int8) == [pytest.approx(own - best), 0.0, 0.0], "eager comes first"
    eager_elsewhere = {"right": 0.58, "device": "nvidia-h200", "kind": "cuda"}
    assert _lost(records, onnx, eager_elsewhere, int8)[2] == 0.0, "on any device"
    older, newer = onnx | {"right": 0.59}, onnx | {"runtime": "openvino", "minutes": 5}
    assert _lost(records, older, newer, int8)[2] == pytest.approx(best - own), "then the newest"
    (_, row) = rows_of([records.make(**onnx), records.make(**int8)])
    assert row.loses_miou
