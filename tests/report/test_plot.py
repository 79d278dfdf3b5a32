"""The plot of several runtimes: marks, legend, and which points have a name."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.catalog import MODELS
from zoo.report.board import X, make_board
from zoo.report.plot import CLAIM, MANY_POINTS, RUNTIMES, draw, svg
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


def test_names_in_a_crowd_cover_nothing_and_belong_to_one_mark(records):
    rng = np.random.default_rng(0)
    made = [
        records.make(f"model_{index}", right=right, p50_s=p50_s)
        for index, (right, p50_s) in enumerate(
            zip(rng.uniform(0.5, 0.56, 12), rng.uniform(0.02, 0.05, 12), strict=True)
        )
    ]
    made.append(records.make("far", right=0.3, p50_s=0.5))
    (axes,) = draw(make_board(rows_of(made))).axes
    marks = np.array([axes.transData.transform(mark.get_offsets()[0]) for mark in axes.collections])
    texts = [text for text in axes.texts if text.get_text()]
    assert len(texts) == len(marks) == 13
    boxes = [text.get_window_extent() for text in texts]
    leaders = {tuple(line.get_xydata()[0]) for line in axes.lines if line.get_linewidth() == 0.5}
    assert leaders, "it is a crowd"
    for box, text in zip(boxes, texts, strict=True):
        assert not any(box.contains(*mark) for mark in marks)
        others = [other.padded(-1) for other in boxes if other is not box]
        assert not any(box.overlaps(other) for other in others)
        if tuple(text.xy) not in leaders:
            away = np.linalg.norm(np.clip(marks, box.min, box.max) - marks, axis=1)
            assert axes.transData.transform(text.xy) == pytest.approx(marks[away.argmin()]), "the nearest is meant"


def test_what_is_known_of_miou_is_a_bar(records):
    def heights(**changes):
        (axes,) = draw(make_board(rows_of([records.make("a", right=0.5), records.make("b", **changes)]))).axes
        found = [line.get_ydata() for line in axes.lines if line.get_alpha() == 0.4]
        return [tuple(ends) for ends in found], axes.get_ylabel()

    assert heights() == ([], "mIoU, %")
    bars, label = heights(miou_interval=(0.3, 0.5))
    assert bars == [(30.0, 50.0)]
    assert label == "mIoU, % (bar: spread over seeds, else 95 % interval)"


def test_published_mious_are_hollow_marks_that_say_so(records):
    scored = {"output_size": (1024, 2048), "image_count": 500}
    made = [records.make(name, right=0.5, p50_s=0.1, dataset="cityscapes", **scored) for name in ("unet", "nobodys")]
    (axes,) = draw(make_board(rows_of(made))).axes
    hollow = [mark for mark in axes.collections if mark.get_label() == CLAIM]
    assert [tuple(at) for at in hollow[0].get_offsets()] == [(125.0, 69.1)]
    assert not len(hollow[0].get_facecolors())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [CLAIM]
    (axes,) = draw(make_board(rows_of(records.make(name, right=None) for name in ("unet", "stdc1")))).axes
    assert axes.get_ylabel() == "mIoU as published, %"
    assert _names(axes) == {"unet", "stdc1"}


def test_beside_mious_of_other_images_no_published_one_is_drawn(records):
    (axes,) = draw(make_board(rows_of([records.make("unet", right=0.5)]))).axes
    assert axes.get_legend() is None
    assert draw(make_board(rows_of([records.make("nobodys", right=None)]))) is None


def test_of_a_smoke_test_the_published_mious_are_drawn_and_those_of_a_few_steps_are_not(records):
    drawn = {"quick": True, "synthetic": True, "dataset": "drawn"}
    made = [records.make(name, right=None, p50_s=0.01 * place, **drawn) for place, name in enumerate(MODELS, 1)]
    made[0] = records.make("unet", right=0.5, **drawn)
    board = make_board(rows_of([*made, records.baseline(right=0.3, synthetic=True, dataset="drawn")]))
    (table,) = board.tables
    assert not table.points
    assert len(table.claims) > MANY_POINTS
    (axes,) = draw(board).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [CLAIM]
    assert axes.get_ylabel() == "mIoU as published, %"
    drawn_lines = [(line.get_drawstyle(), line.get_linestyle()) for line in axes.lines]
    assert set(drawn_lines) <= {("default", "-")}, "leaders of names; no front and no baseline of what says nothing"
    spots = {line.row.model: (line.row.value(X), line.row.published.claim.miou) for line in table.claims}
    beaten = {
        name
        for name, (x, y) in spots.items()
        if any(a < x and b > y for other, (a, b) in spots.items() if other != name)
    }
    assert 0 < len(_names(axes)) < len(spots)
    assert not _names(axes) & beaten
    (axes,) = draw(make_board(rows_of([records.make("nobodys", right=0.5, **drawn)]))).axes
    assert axes.get_ylabel() == "mIoU, %", "your own network has nothing else"
