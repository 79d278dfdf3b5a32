"""`zoo.score.reading`: the claims, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.record import MEAN_LABEL_MAP
from zoo.score.accuracy import miou
from zoo.score.reading import read_rows, rows_of, select
from zoo.score.rows import row
from zoo.store import save


def test_select(records):
    rows = [
        row(record)
        for record in (
            records.make("a"),
            records.make("b", dataset="camvid", fingerprint="abcdef0123"),
            records.make("c", device="nvidia-h200", input_size=(512, 1024)),
            records.baseline(),
        )
    ]

    def names(**filters):
        return [row.model for row in select(rows, **filters)]

    assert names() == ["a", "b", "c", MEAN_LABEL_MAP]
    assert names(dataset="camvid") == ["b"]
    assert names(dataset="abcdef01") == ["b"]
    assert names(device="nvidia-h200") == ["c", MEAN_LABEL_MAP]
    assert names(input_size=(256, 512), dataset="streets") == ["a", MEAN_LABEL_MAP]
    with pytest.raises(
        UserError, match=r"no record with dataset 'camvit'. Did you mean 'camvid'\? There is: camvid, s"
    ):
        names(dataset="camvit")
    with pytest.raises(UserError, match=r"no record with input size '9x9'\. There is: 256x512, 512x1024"):
        names(input_size=(9, 9))
    rows.append(row(records.make("a", runtime="openvino", precision="int8")))
    assert names(runtime="openvino") == [MEAN_LABEL_MAP, "a"]
    assert names(precision="fp32", models=["a", "b"]) == ["a", "b", MEAN_LABEL_MAP]
    with pytest.raises(
        UserError, match=r"no record with runtime 'openvin'. Did you mean 'openvino'\? There is: eager, o"
    ):
        names(runtime="openvin")
    with pytest.raises(UserError, match=r"no record with model 'd'. .*There is: a, b, c"):
        names(models=["a", "d"])


def test_read_rows_passes_the_warnings_on(records, tmp_path):
    save(records.make(), {}, tmp_path)
    save(records.make("fcn"), {}, tmp_path).write_text("{")
    found = read_rows(tmp_path)
    assert [row.model for row in found.rows] == ["unet"]
    assert len(found.warnings) == 1


def _lost(records, *changes):
    return [row.miou_lost for row in rows_of(records.make(**change) for change in changes)]


def test_miou_is_lost_against_eager_fp32_of_the_same_weights_size_and_images(records):
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
        *({"recipe": "long"}, {"precision": "bf16"}, {"runtime": "compile"}, {"right": None}, {"status": "oom"}),
    ):
        assert _lost(records, {"right": 0.60} | other, int8)[1] is None, other
    assert _lost(records, {}, {"right": None, "precision": "bf16"})[1] is None
