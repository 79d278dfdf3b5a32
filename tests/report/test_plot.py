"""The plot of several runtimes: marks, legend, and which points have a name."""

from __future__ import annotations

from zoo.report.board import make_board
from zoo.report.plot import MANY_POINTS, RUNTIMES, draw, svg
from zoo.score.reading import rows_of


def _board(records, model_count, runtimes):
    return make_board(
        rows_of(
            records.make(
                f"m{model}",
                right=0.6 + 0.02 * model,
                p50_s=0.02 * (model + 1) / (place + 1) + 0.001 * place,
                runtime=runtime,
            )
            for model in range(model_count)
            for place, runtime in enumerate(runtimes)
        )
    )


def _names(axes):
    return {text.get_text() for text in axes.texts if text.get_text()}


def test_runtimes_have_marks_and_a_legend(records):
    board = _board(records, 2, list(RUNTIMES))
    (axes,) = draw(board).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == sorted(RUNTIMES)
    assert _names(axes) == {"m0", "m1"}, "the marker says the runtime"
    assert svg(board) == svg(board)
    (axes,) = draw(_board(records, 2, ["eager"])).axes
    assert axes.get_legend() is None


def test_among_many_points_the_front_and_the_fastest_have_names(records):
    board = _board(records, 5, list(RUNTIMES)[:4])
    (table,) = board.tables
    assert len(table.points) > MANY_POINTS
    (axes,) = draw(board).axes
    assert _names(axes) == {f"m{index}" for index in range(5)}
    assert len([text for text in axes.texts if text.get_text()]) < 12


def test_what_is_known_of_miou_is_a_bar(records):
    def heights(**changes):
        (axes,) = draw(make_board(rows_of([records.make("a", right=0.5), records.make("b", **changes)]))).axes
        found = [line.get_ydata() for line in axes.lines if line.get_alpha() == 0.4]
        return [tuple(ends) for ends in found], axes.get_ylabel()

    assert heights() == ([], "mIoU, %")
    bars, label = heights(miou_interval=(0.3, 0.5))
    assert bars == [(30.0, 50.0)]
    assert label == "mIoU, % (bar: spread over seeds, else 95 % interval)"
