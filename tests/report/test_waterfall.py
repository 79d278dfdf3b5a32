"""The waterfall picture: which bars stand in it, and that it is the same for the same records."""

from __future__ import annotations

from zoo.report.board import make_board
from zoo.report.waterfall import can_be_drawn, draw, fingerprint, svg
from zoo.score.reading import rows_of


def _board(records, *changes):
    return make_board(rows_of(records.make(**change) for change in changes))


def test_eager_stands_over_the_fastest_artifact(records):
    board = _board(
        records,
        {"model": "a", "p50_s": 0.04, "staged": True},
        {"model": "a", "p50_s": 0.03, "staged": True, "runtime": "compile"},
        {"model": "a", "p50_s": 0.01, "one_graph": True, "runtime": "openvino"},
        {"model": "b", "p50_s": 0.05},
    )
    (axes,) = draw(board).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a eager", "a openvino"]
    widths = [round(bar.get_width(), 3) for bar in axes.patches]
    assert widths == [2.5, 7.5, 30.0, 7.5, 2.5, 12.5], "five stages, then one graph; ms"
    assert [text.get_text() for text in axes.texts] == ["50.0", "12.5"]


def test_the_same_records_give_the_same_picture(records):
    board = _board(records, {"staged": True})
    assert svg(board) == svg(board)
    assert f"points {fingerprint(board)}" in svg(board)
    assert fingerprint(board) != fingerprint(_board(records, {"staged": True, "p50_s": 0.021}))


def test_without_stages_there_is_nothing_to_draw(records):
    board = _board(records, {}, {"staged": True, "right": 0.1, "precision": "int8"})
    assert not can_be_drawn(board)
    assert svg(board) is None
