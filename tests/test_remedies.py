"""int8 that loses too much: what is tried, in which order, and which is kept."""

from __future__ import annotations

import pytest

from zoo import remedies
from zoo.errors import ModelError
from zoo.holding import Held
from zoo.protocol import DEFAULT_WAY
from zoo.runtimes import onnx_file
from zoo.runtimes.quantising import Way
from zoo.score.int8 import int8_text, needs_saying


def held(lost: float) -> Held:
    """Of fp32 that has 60 %."""
    return Held(
        miou=0.6 - lost, miou_lost=lost, class_lost={}, common=frozenset(), equal_share=1 - lost, image_count=64
    )


class Bench:
    """A quantiser whose files hold the name of their way, and what each of them loses."""

    def __init__(self, folder, monkeypatch, **lost: float | str | Exception) -> None:
        self.file, self.lost, self.said, self.tried = folder / "model.onnx", lost, [], []
        self.file.write_text("default")
        ways = tuple(Way(name) for name in lost if name != "default")
        monkeypatch.setattr(remedies, "remedies", lambda _runtime: ways)
        monkeypatch.setattr(onnx_file, "quantise", lambda _made, way, file: self.write(way, file))

    def why_not(self, way: Way) -> str:
        found = self.lost[way.name]
        return found if isinstance(found, str) else ""

    def write(self, way: Way, file) -> None:
        self.tried.append(way.name)
        found = self.lost[way.name]
        if isinstance(found, Exception):
            raise found
        file.write_text(way.name)

    def run(self):
        return remedies.best_of(
            self.file, lambda: self, lambda file: held(self.lost[file.read_text()]), "onnxruntime", self.said.append
        )


def test_what_holds_is_left_as_it_is(tmp_path, monkeypatch):
    bench = Bench(tmp_path, monkeypatch, default=0.0059, percentile=0.0)
    found = bench.run()
    assert (found.way, found.holds, found.image_count) == (DEFAULT_WAY, True, 64)
    assert (bench.tried, bench.said, bench.file.read_text()) == ([], [], "default")
    assert int8_text(found) == "min-max calibration: loses 0.6 points of mIoU on 64 train images"
    assert not needs_saying(found)


def test_the_first_that_holds_is_kept(tmp_path, monkeypatch):
    bench = Bench(tmp_path, monkeypatch, default=0.03, worse=0.05, better=0.02, good=0.003, best=0.0)
    found = bench.run()
    assert (found.way, found.holds) == ("good", True)
    assert bench.tried == ["worse", "better", "good"]
    assert bench.file.read_text() == "good"
    assert [(one.way, one.miou_lost) for one in found.attempts] == [
        (DEFAULT_WAY, 0.03), ("worse", 0.05), ("better", 0.02), ("good", 0.003),
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert int8_text(found) == "good: loses 0.3 points of mIoU on 64 train images; min-max calibration loses 3.0"
    assert needs_saying(found)
    assert "int8: min-max calibration loses 3.00 points of mIoU on 64 images" in bench.said[0]
    assert bench.said[1:3] == ["int8: trying worse", "int8: worse loses 5.00 points of mIoU on 64 images"]


def test_where_none_holds_the_best_is_kept_and_that_is_said(tmp_path, monkeypatch):
    lost = {"default": 0.05, "absent": "not installed", "broken": ModelError("no"), "a": 0.02, "b": 0.03}
    bench = Bench(tmp_path, monkeypatch, **lost)
    found = bench.run()
    assert (found.way, found.holds, bench.file.read_text()) == ("a", False, "a")
    assert [(one.way, one.miou_lost, one.why_not) for one in found.attempts[1:3]] == [
        ("absent", None, "not installed"), ("broken", None, "no"),
    ]  # fmt: skip
    said = "a, the best of 3 that were tried, none of which holds: loses 2.0 points of mIoU on 64 train images"
    assert int8_text(found) == said
    assert "int8: no absent: not installed" in bench.said


def test_time_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(remedies, "MOST_S", -1.0)
    bench = Bench(tmp_path, monkeypatch, default=0.05, good=0.0)
    found = bench.run()
    assert (found.way, found.holds, bench.tried) == (DEFAULT_WAY, False, [])
    assert found.attempts[1].why_not.startswith("not tried: ")


@pytest.mark.parametrize(("runtime", "saturates", "first"), [
    ("onnxruntime", True, "percentile calibration"), ("openvino", True, "7-bit weights"), ("openvino", False, "NNCF"),
])  # fmt: skip
def test_what_is_tried_first(runtime, saturates, first, monkeypatch):
    monkeypatch.setattr("zoo.runtimes.quantising.saturates_int8", lambda: saturates)
    assert remedies.remedies(runtime)[0].name == first
