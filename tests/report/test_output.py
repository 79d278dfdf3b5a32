"""`--output` and `--check`: files that say what the records say, and hand-written text that stays."""

from __future__ import annotations

import re

import pytest

from zoo.errors import UserError
from zoo.report.board import make_board
from zoo.report.output import stale, write
from zoo.report.plot import fingerprint, svg
from zoo.score.reading import rows_of
from zoo.score.rows import row


@pytest.fixture
def board(records):
    make = records.make
    return make_board(
        [
            row(record)
            for record in (
                make("small", right=0.4, p50_s=0.008),
                make("large", right=0.7, p50_s=0.080),
                records.baseline(right=0.3),
                make("fast", quick=True, synthetic=True, dataset="synthetic"),
            )
        ]
    )


@pytest.mark.parametrize("name", ["board.md", "board.csv", "board.json", "board.txt"])
def test_the_text_and_its_plot(board, tmp_path, name):
    output = tmp_path / "deep" / name
    assert write(board, output) == [output, output.with_suffix(".svg")]
    assert stale(board, output) == []
    assert "small" in output.read_text()
    assert output.with_suffix(".svg").read_text().startswith("<?xml")
    assert sorted(file.name for file in output.parent.iterdir()) == sorted([name, "board.svg"])


def test_the_plot_is_the_same_for_the_same_records(board):
    first = svg(board)
    assert first == svg(board)
    assert not re.search(r"\d{4}-\d\d-\d\dT", first), "no date stands in it"
    assert f"points {fingerprint(board)}" in first


def test_out_of_date_is_named(board, records, tmp_path):
    output = tmp_path / "board.md"
    assert stale(board, output) == [f"{output} is missing", f"{output.with_suffix('.svg')} is missing"]
    write(board, output)
    changed = make_board([*board.rows, row(records.make("new", right=0.8))])
    assert stale(changed, output) == [f"{output} is out of date", f"{output.with_suffix('.svg')} is out of date"]
    assert len(write(changed, output)) == 2
    assert stale(changed, output) == []


def test_no_numbers_no_plot(records, tmp_path):
    board = make_board([row(records.make("encoder_decoder", right=None))])
    assert svg(board) is None
    assert write(board, tmp_path / "board.md") == [tmp_path / "board.md"]
    assert stale(board, tmp_path / "board.md") == []
    assert ".svg" not in (tmp_path / "board.md").read_text()


PAGE = """# My project

Before.

<!-- leaderboard:begin quick=no plot=pictures/full.svg -->
leftover
<!-- leaderboard:end -->

Between, mine.

<!-- leaderboard:begin dataset=synthetic -->
<!-- leaderboard:end -->
After.
"""


def test_blocks_are_filled_and_the_rest_is_kept(board, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    assert write(board, page) == [page, tmp_path / "pictures" / "full.svg"]
    text = page.read_text()
    first, second = text.split("Between, mine.")
    assert text.startswith("# My project\n\nBefore.\n")
    assert text.endswith("<!-- leaderboard:end -->\nAfter.\n")
    assert "![mIoU over latency](pictures/full.svg)" in first
    assert "`large`" in first
    assert "`large`" not in second
    assert "QUICK" not in first
    assert "`fast`" in second
    assert "leftover" not in text
    assert stale(board, page) == []
    write(board, page)
    assert page.read_text() == text, "writing twice changes nothing"
    page.write_text(text.replace("`large`", "`larger`"))
    assert stale(board, page) == [f"{page} is out of date"]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<!-- leaderboard:begin -->\n", "1 leaderboard begin markers and 0 end markers"),
        ("<!-- leaderboard:end -->\n", "0 leaderboard begin markers and 1 end markers"),
        (
            "<!-- leaderboard:begin -->\n" * 2 + "<!-- leaderboard:end -->\n" * 2,
            "that pair 1 times",
        ),
        ("<!-- leaderboard:begin color=red -->\n<!-- leaderboard:end -->\n", "'color=red' is none of device="),
        ("<!-- leaderboard:begin models=huge -->\n<!-- leaderboard:end -->\n", "no record with model 'huge'"),
        (
            "<!-- leaderboard:begin waterfall=w.svg -->\n<!-- leaderboard:end -->\n",
            "no record for waterfall=w.svg knows the stages of its pipeline",
        ),
        ("<!-- leaderboard:begin quick=maybe -->\n<!-- leaderboard:end -->\n", "quick is yes or no; got 'quick=maybe'"),
        ("<!-- leaderboard:begin rows=all -->\n<!-- leaderboard:end -->\n", "rows is best, or left away"),
        ("<!-- leaderboard:begin columns=p90 -->\n<!-- leaderboard:end -->\n", "pipeline_p90_s is no column"),
        ("<!-- leaderboard:begin columns=beauty -->\n<!-- leaderboard:end -->\n", "no metric 'beauty'"),
        ("<!-- leaderboard:begin dataset=moon -->\n<!-- leaderboard:end -->\n", "no record with dataset 'moon'"),
        ("# Written by hand\n", "is left alone"),
    ],
)
def test_a_page_that_is_not_ours_is_left_alone(board, tmp_path, page, words):
    path = tmp_path / "README.md"
    path.write_text(page)
    with pytest.raises(UserError, match=re.escape(words)):
        write(board, path)
    assert path.read_text() == page


def test_an_unknown_suffix_and_an_unwritable_folder(board, tmp_path):
    with pytest.raises(UserError, match=r"takes a name that ends in .md, .csv, .json, .txt, .html, or add --format"):
        write(board, tmp_path / "board.xls")
    assert write(board, tmp_path / "board.xls", "csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*name another file$"):
        write(board, tmp_path / "file" / "board.csv")


def test_a_block_without_points_has_no_picture(records, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE.replace("dataset=synthetic", "quick=yes plot=quick.svg"))
    board = make_board([row(records.make("a")), row(records.make("b", right=None, quick=True))])
    assert write(board, page) == [page, tmp_path / "pictures" / "full.svg"]
    assert page.read_text().count("![") == 1
    assert stale(board, page) == []


def test_a_plot_of_other_intervals_is_another_plot(records):
    narrow, wide = (make_board([row(records.make(width=width))]) for width in (0.01, 0.3))
    assert fingerprint(narrow) != fingerprint(wide)


def test_a_latency_of_nothing_is_drawn(records):
    assert svg(make_board([row(records.make("a", p50_s=0.0)), row(records.make("b"))]))


@pytest.mark.parametrize("call", ["write_bytes", "replace"])
def test_a_full_disk_leaves_nothing_behind(board, tmp_path, monkeypatch, call):
    def full(path, *args, **kwargs):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), call, full)
    with pytest.raises(UserError, match=r"cannot write .*board\.csv: No space left on device"):
        write(board, tmp_path / "board.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_waterfall_block_is_a_picture_of_its_own(records, tmp_path):
    page = tmp_path / "README.md"
    marker = "<!-- leaderboard:begin models=a,b waterfall=pictures/stages.svg -->\n"
    page.write_text(f"{marker}<!-- leaderboard:end -->\n")

    def board(p50_s):
        return make_board(
            rows_of(
                records.make(name, p50_s=p50_s, staged=True, runtime=runtime)
                for name in "abc"
                for runtime in ("eager", "compile")
            )
        )

    picture = tmp_path / "pictures" / "stages.svg"
    assert write(board(0.02), page) == [page, picture]
    assert page.read_text() == (
        f"{marker}![Where the time of a frame goes](pictures/stages.svg)\n<!-- leaderboard:end -->\n"
    )
    assert stale(board(0.02), page) == []
    assert stale(board(0.03), page) == [f"{picture} is out of date"]


def test_a_block_may_ask_for_weights_by_their_name(records, tmp_path):
    page = tmp_path / "README.md"
    rows = rows_of(
        [records.make("a"), records.make("b", source="published", tag="zh320"), records.make("c", source="own")]
    )
    for asked, models in (
        ('weights="run camvid_cpu"', "a"),
        ("weights=published,own", "bc"),
        ("input_size=256X512", "abc"),
    ):
        page.write_text(f"<!-- leaderboard:begin {asked} -->\n<!-- leaderboard:end -->\n")
        write(make_board(rows), page)
        assert [name for name in "abc" if f"`{name}`" in page.read_text()] == list(models)
        assert stale(make_board(rows), page) == []
    page.write_text('<!-- leaderboard:begin weights="run -->\n<!-- leaderboard:end -->\n')
    with pytest.raises(UserError, match="cannot be read: No closing quotation"):
        write(make_board(rows), page)


def test_a_block_takes_a_condition_that_has_no_flag(records, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("<!-- leaderboard:begin output_size=64x128 -->\n<!-- leaderboard:end -->\n")
    made = [records.make("small"), records.make("large")]
    rows = [row(made[0])._replace(output_size=(64, 128)), row(made[1])._replace(output_size=(128, 256))]
    write(make_board(rows), page)
    assert "`small`" in page.read_text()
    assert "`large`" not in page.read_text()


def test_a_block_of_the_best_has_a_row_per_model_and_the_columns_it_names(records, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("<!-- leaderboard:begin rows=best columns=miou,latency,grade -->\n<!-- leaderboard:end -->\n")
    whole = {"right": 0.6, "one_graph": True}
    board = make_board(
        rows_of(
            [
                records.make("a", p50_s=0.08, **whole),
                records.make("a", p50_s=0.02, runtime="openvino", precision="bf16", **whole),
                records.make("a", p50_s=0.01, runtime="openvino", precision="int8", right=0.5, one_graph=True),
                records.make("b", p50_s=0.05, **whole),
                records.baseline(right=0.2),
            ]
        )
    )
    write(board, page)
    lines = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("|")]
    assert lines[0] == ["| ", "model", "mIoU %", "pipeline p50 ms", "grade |"]
    assert sorted(line[1] for line in lines[2:]) == [
        "`a openvino bf16`",
        "`b eager fp32`",
        "`mean_label_map (baseline)`",
    ]
    assert stale(board, page) == []


def test_a_page_of_ours_says_what_its_rows_speak_of(board, tmp_path):
    write(board, tmp_path / "board.md")
    text = (tmp_path / "board.md").read_text()
    assert text.index("A row speaks of its weights, not of the architecture.") < text.index("### ")
