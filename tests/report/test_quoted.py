"""The column of published mIoUs: shown, never ranked, and explained where it differs."""

import json

import pytest

from zoo.report.board import make_board
from zoo.report.leaderboard import render
from zoo.score.reading import rows_of

REAL = {"dataset": "cityscapes", "output_size": (1024, 2048), "input_size": (1024, 2048), "image_count": 500}


def cells(board, key="published"):
    (table,) = board.tables
    keys = [column.key for column in table.columns]
    return {line.row.model: cells[keys.index(key)] for line, cells in table.printed} if key in keys else {}


@pytest.fixture
def board(records):
    make = records.make
    return make_board(
        rows_of(
            [
                make("stdc1", right=0.857, source="published", tag="mmseg", **REAL),
                make("segformer_b0", right=0.85, source="published", tag="smp-hub", **REAL),
                make("pidnet_s", right=0.6, step_count=200, **REAL),
                make("unet", right=0.5, step_count=200, **REAL),
                make("encoder_decoder", right=0.4, **REAL),
                records.baseline(right=0.3, **REAL),
            ]
        )
    )


def test_the_difference_stands_behind_it(board):
    shown = {model: cell.text for model, cell in cells(board).items()}
    assert shown == {
        "stdc1": "74.9 whole (+0.1)",
        "segformer_b0": "76.2 slide (-2.2)",
        "pidnet_s": "78.7 whole (-35.9)",
        "unet": "~69.1 whole (-35.7)",
        "encoder_decoder": "",
        "mean_label_map": "",
    }


def test_it_is_explained_and_never_ranked(board):
    (table,) = board.tables
    assert [line.row.model for line in table.lines][:3] == ["stdc1", "segformer_b0", "pidnet_s"]
    assert not any(cell.best for cell in cells(board).values())
    notes = " ".join(table.notes)
    assert "not measured here and not ranked; in brackets mIoU here minus it; ~ other weights" in notes
    assert "not the published mIoU of segformer_b0: read whole here, slide 1024x1024, stride 768 there" in notes
    assert "not the published mIoU of pidnet_s, unet: trained here for 200 steps" in notes


def test_a_difference_without_a_reason_is_said(records):
    made = records.make("stdc1", right=0.8, source="published", tag="mmseg", **REAL)
    (table,) = make_board(rows_of([made])).tables
    assert "not the published mIoU of stdc1, for no known reason" in table.notes


def test_of_other_images_there_is_no_difference(records):
    board = make_board(rows_of([records.make("unet", right=0.5), records.make("stdc1", right=None, p50_s=0.01)]))
    assert {model: cell.text for model, cell in cells(board).items()} == {"unet": "~69.1 whole", "stdc1": "74.9 whole"}
    assert "mIoU of other images is not held against it" in " ".join(board.tables[0].notes)


def test_without_accuracy_it_is_what_the_reader_has(records):
    board = make_board(rows_of([records.make("unet", right=None)]))
    assert cells(board)["unet"].text == "~69.1 whole"
    assert "published" not in render(make_board(rows_of([records.make("nobodys", right=None)])), plain=True)


def test_value_and_source_stand_in_json_and_csv(board):
    row = next(one for one in json.loads(render(board, "json")) if one["model"] == "segformer_b0")
    assert (row["published_miou"], row["published_weights"]) == (0.762, "published smp-hub")
    assert row["published_source"].startswith("https://")
    assert row["published_difference"] == pytest.approx(row["miou"] - 0.762)
    assert row["published_why"] == ["read whole here, slide 1024x1024, stride 768 there"]
    header, *lines = render(board, "csv").splitlines()
    assert "published_miou,published_protocol,published_weights,published_source" in header
    assert any("0.762" in line for line in lines)
