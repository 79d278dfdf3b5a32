"""`zoo leaderboard`: what stands in which table, how it is marked, and what each format promises."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from zoo.errors import UserError
from zoo.protocol import DEFAULT_WAY, SPEED_PROTOCOL
from zoo.quantisation import Attempt, Quantisation
from zoo.record import Mode
from zoo.report.board import make_board
from zoo.report.leaderboard import leaderboard, render
from zoo.report.marks import FASTEST, FRONT, HURT, LOST, UNDER
from zoo.report.output import write
from zoo.score.comparing import latest
from zoo.score.reading import rows_of
from zoo.score.rows import COLUMNS, row
from zoo.score.trust import REMEDIES
from zoo.store import save


@pytest.fixture
def rows(records):
    make = records.make
    return [
        row(record)
        for record in (
            make("small", right=0.4, p50_s=0.008),
            make("large", right=0.7, p50_s=0.080, spread=0.2),
            make("slow_and_bad", right=0.5, p50_s=0.2),
            make("hopeless", right=0.1, p50_s=0.001),
            records.failed("broken", status="oom", reason="too | big"),
            records.baseline(right=0.3),
            make("small", right=0.9, p50_s=0.004, quick=True, synthetic=True, dataset="drawn", step_count=12),
        )
    ]


def test_one_table_per_group_full_runs_first(rows):
    board = make_board(rows)
    full, quick = board.tables
    assert full.title == (
        "intel-xeon-2c · streets val · weights run camvid_cpu (300 steps) · "
        "input 256x512 → 512x1024 · batch 1 · eager · fp32"
    )
    assert full.caution == ""
    assert quick.title.startswith("QUICK · intel-xeon-2c · drawn (synthetic) val")
    assert quick.caution.startswith(
        "QUICK — a smoke test: mIoU after 12 training steps says nothing about the architecture."
    )


def test_best_first_and_the_baseline_where_it_belongs(rows):
    full = make_board(rows).tables[0]
    assert [line.row.model for line in full.lines] == ["large", "slow_and_bad", "small", "mean_label_map", "hopeless"]
    assert {line.row.model: line.marks for line in full.lines} == {
        "large": FRONT, "slow_and_bad": "", "small": FRONT, "mean_label_map": "", "hopeless": UNDER,
    }  # fmt: skip
    best = {line.row.model: [cell.text for cell in cells if cell.best] for line, cells in full.printed}
    assert best["large"] == ["53.9", "70.1"]
    assert best["hopeless"] == ["1.25", "1.00", "1.20"]
    assert best["mean_label_map"] == []
    assert any("under the baseline" in note and "hopeless" in note for note in full.notes)
    assert full.failed == ((("broken",), "oom: measure: too | big"),)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_files_changes_nothing(rows, order):
    assert render(make_board(rows[::order]), "md") == render(make_board(rows), "md")


def test_the_grade_stands_with_its_reason(rows):
    text = render(make_board(rows), plain=True)
    (line,) = [line for line in text.splitlines() if " large " in line]
    assert line.endswith("B      network spread 20.0%")


def test_no_miou_says_how_to_fill_it(records):
    board = make_board([row(records.make("a", right=None)), row(records.make("b", right=None))])
    (note,) = board.tables[0].notes
    assert "no mIoU for 2 of 2 models" in note
    assert "zoo train MODEL --data DIR --config RECIPE" in note
    assert "--weights MODEL=FILE" in note
    assert " · weights random · " in board.tables[0].title
    board = make_board([row(records.make("a", right=None, dataset=None))])
    assert board.tables[0].notes[0].startswith("no mIoU: accuracy was not asked for")
    theirs = row(records.make("theirs", right=None, dataset=None))._replace(weights_source="file")
    (note,) = make_board([theirs]).tables[0].notes
    assert note.startswith("no mIoU for theirs: `zoo bench --file FILE` counts it with --data"), "no MODEL to train"
    assert "--mean, --std and --classes" in note


def test_a_group_of_failures_still_has_its_table(records):
    (table,) = make_board([row(records.failed("a")), row(records.failed("b", status="unsupported"))]).tables
    assert table.lines == ()
    text = render(make_board([row(records.failed("a"))]), plain=True)
    assert "a · timeout: measure: no answer within 60 s" in text


def test_precisions_and_checkpoints_are_told_apart(records):
    (table,) = make_board([row(records.make(precision=precision)) for precision in ("fp32", "bf16")]).tables
    assert {line.label for line in table.lines} == {"unet fp32", "unet bf16"}
    assert table.title.endswith("batch 1 · eager")


def test_same_names_of_other_images_are_told_apart(records):
    board = make_board([row(records.make(fingerprint=digit * 64)) for digit in "ab"])
    for digit, table in zip("ab", board.tables, strict=True):
        assert table.title.endswith(f" · images {digit * 12}")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_model_names_are_whole_in_any_width(records, width):
    names = ["deeplabv3plus_mobilenet_v3_large", "unet:timm/convnext_tiny", "fcn"]
    board = make_board([row(records.make(name, right=0.3 + 0.1 * index)) for index, name in enumerate(names)])
    text = render(board, width=width, plain=True)
    for name in names:
        assert name in text
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert ("hidden in this width" in text) == (width < 160)


def test_the_table_that_matters_most_stands_last(records):
    quick = [row(records.make(name, quick=True)) for name in ("a", "b")]
    full = [row(records.make(name, right=right)) for name, right in (("a", 0.4), ("best", 0.6))]
    speed = [row(records.make("a", right=None, dataset=None))]
    board = make_board([*quick, *full, *speed, row(records.failed("c", reason="x" * 70))])
    lines = render(board, width=80, plain=True).splitlines()
    starts = ("intel-xeon-2c · streets val", "intel-xeon-2c · no dataset", "QUICK · intel-xeon-2c")
    titles = [next(index for index, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert titles == sorted(titles, reverse=True), "full runs with mIoU last, as they come first in a page"
    (failed,) = (index for index, line in enumerate(lines) if "xxx" in line)
    (noted,) = (index for index, line in enumerate(lines) if line.startswith("one seed each"))
    (best,) = (index for index, line in enumerate(lines) if line.split()[:2] == ["◆", "best"])
    assert titles[0] < failed < noted < best
    assert len(lines) - best < 6, "what stays on the screen"
    assert max(map(len, lines)) <= 80
    pages = render(board, "md")
    assert pages.index("`best`") < pages.index("one seed each"), "a page is read from its top"


def test_a_pipe_is_as_wide_as_columns_says(records, monkeypatch):
    rows = [row(records.make(name * 45, right=right)) for name, right in (("a", 0.4), ("b", 0.5))]
    files = render(make_board(rows), width=160, plain=True)
    for asked, width in (("80", 80), ("200", 200), ("", 160), ("wide", 160)):
        monkeypatch.setenv("COLUMNS", asked)
        text = render(make_board(rows))
        assert max(map(len, text.splitlines())) <= width
        assert ("hidden in this width" in text) == (width == 80)
        assert render(make_board(rows), plain=True) == files, "what goes into a file never varies"


def test_tables_are_sorted_by_what_was_asked(records):
    rows = [
        row(records.make("a", right=0.6, p50_s=0.03, memory_bytes=5 * 2**20)),
        row(records.make("b", right=0.5, p50_s=0.01, memory_bytes=9 * 2**20)),
        row(records.make("c", right=0.4, p50_s=0.02, memory_bytes=7 * 2**20)),
        row(records.baseline()),
    ]

    def order(sort):
        (table,) = make_board(rows, sort).tables
        return "".join(line.row.model[0] for line in table.lines)

    assert {sort: order(sort) for sort in ("miou", "latency", "memory", "pipeline_p50_s", "peak_memory_bytes")} == {
        "miou": "abcm",
        "latency": "bcam",
        "memory": "acbm",
        "pipeline_p50_s": "bcam",
        "peak_memory_bytes": "acbm",
    }
    with pytest.raises(UserError, match=r"no metric 'latancy'. Did you mean 'latency'\? Allowed: miou, "):
        make_board(rows, "latancy")


def test_no_colour_codes_without_a_terminal(rows, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b" not in render(make_board(rows), plain=True)
    assert "\x1b" not in render(make_board(rows))


def test_an_uncounted_operator_makes_a_lower_bound(records):
    text = render(make_board([row(records.make(uncounted_ops=("aten::odd",)))]), "md")
    assert "| ≥123 |" in text
    assert "does not know aten::odd" in text


def test_markdown(rows):
    text = render(make_board(rows), "md")
    assert "| ◆ | `large` | **" in text
    assert "> **QUICK — a smoke test" in text
    assert "`mean_label_map (baseline)`" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table[:7]}) == 1


def test_json_is_a_list_of_rows(rows):
    values = json.loads(render(make_board(rows), "json"))
    assert len(values) == len(rows)
    assert all(list(value) == list(COLUMNS) for value in values)
    (large,) = [value for value in values if value["model"] == "large"]
    assert (large["input_size"], large["latency_p50_s"], large["throughput_per_s"]) == ([256, 512], 0.08, None)
    assert {value["status"] for value in values} == {"ok", "oom"}


def test_csv_holds_raw_values(rows):
    values = list(csv.DictReader(io.StringIO(render(make_board(rows), "csv"))))
    assert list(values[0]) == list(COLUMNS)
    (large,) = [value for value in values if value["model"] == "large"]
    assert (large["input_size"], large["latency_p50_s"], large["quick"]) == ("256x512", "0.08", "false")
    (broken,) = [value for value in values if value["model"] == "broken"]
    assert (broken["miou"], broken["reason"]) == ("", "measure: too | big")


def test_a_folder_is_read_with_its_warnings(records, tmp_path):
    with pytest.raises(UserError, match="does not exist; make some with"):
        leaderboard(tmp_path / "none")
    save(records.make("a"), {}, tmp_path)
    save(records.make("b", dataset="camvid"), {}, tmp_path)
    save(records.make("c"), {}, tmp_path).write_text("{")
    board = leaderboard(tmp_path)
    assert len(board.tables) == 2
    assert len(board.warnings) == 1
    assert [table.group.dataset for table in leaderboard(tmp_path, dataset="camvid").tables] == ["camvid"]
    assert len(leaderboard(tmp_path, preset="camvid").tables) == 2
    with pytest.raises(UserError, match="no record with preset 'quick'"):
        leaderboard(tmp_path, preset="quick")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"thread_count": 1}, "threads {2 1}"),
        ({"resize": "stretch"}, "resize {fit stretch}"),
    ],
)
def test_titles_name_what_tells_their_tables_apart(records, changes, words):
    board = make_board([row(records.make("a", right=0.6)), row(records.make("b", **changes))])
    name, _, values = words.rstrip("}").partition(" {")
    titles = [table.title for table in board.tables]
    assert sorted(title.rpartition(" · ")[2] for title in titles) == sorted(
        f"{name} {value}" for value in values.split()
    )


def test_steps_are_those_of_the_rows_that_have_numbers(records):
    (table,) = make_board([row(records.make("a")), row(records.failed("b", step_count=None))]).tables
    assert "weights run camvid_cpu (300 steps)" in table.title


def test_machines_of_one_name_stand_side_by_side(records):
    (table,) = make_board([row(records.make(machine_id=name * 64)) for name in "ab"]).tables
    assert {line.label.partition("-")[0] for line in table.lines} == {"unet #aaaa", "unet #bbbb"}
    assert any("2 machines of this name" in note for note in table.notes)


def test_a_baseline_alone_says_that_no_model_is_measured(records, tmp_path):
    save(records.baseline(right=0.3, synthetic=True), {}, tmp_path)
    board = leaderboard(tmp_path)
    (table,) = board.tables
    assert [line.label for line in table.lines] == ["mean_label_map (baseline)"]
    assert table.notes == ("no model is measured yet, only the baseline; measure some with `zoo bench --models all`",)
    assert table.title == "intel-xeon-2c · streets (synthetic) val · input 256x512 → 512x1024 · batch 1"
    for form in ("table", "md"):
        text = render(board, form, plain=True)
        assert "no model is measured yet" in text
        assert "17.7" in text


def test_a_missing_p99_says_why_once(records):
    few = [row(records.make(name, samples=50)) for name in "ab"]
    text = render(make_board(few), plain=True)
    assert text.count("p99 needs 100 samples") == 1
    assert "p99 needs" not in render(make_board([row(records.make("a")), row(records.failed("b"))]), plain=True)


@pytest.fixture
def artifacts(records):
    make = records.make
    return rows_of(
        [
            make("a", right=0.60, p50_s=0.040),
            make("a", right=0.599, p50_s=0.010, runtime="openvino", one_graph=True, equal_share=0.9987),
            make("a", right=0.50, p50_s=0.005, runtime="openvino", precision="int8", one_graph=True),
            make("b", right=0.70, p50_s=0.050, rates=(20.0, 31.0), energy_j=1.5, file_bytes=2**20),
            *(records.failed(name, status="unsupported", runtime="aoti", reason="no compiler") for name in "ab"),
        ]
    )


def test_the_artifacts_of_a_model_stand_in_one_table(artifacts):
    (table,) = make_board(artifacts).tables
    assert {line.label: line.marks for line in table.lines} == {
        "b eager fp32": FRONT + FASTEST,
        "a eager fp32": FRONT,
        "a openvino fp32": FRONT + FASTEST,
        "a openvino int8": FRONT + LOST + HURT,
    }
    assert table.fastest == (
        ("model", "runtime", "precision", "pipeline p50 ms", "vs eager fp32"),
        ("a", "openvino", "fp32", "12.5", "4.00x"),
        ("b", "eager", "fp32", "62.5", "1.00x"),
    )
    assert table.failed == ((("a aoti fp32", "b aoti fp32"), "unsupported: measure: no compiler"),)
    for form in ("md", "table"):
        text = render(make_board(artifacts), form, plain=True)
        assert "Fastest artifact of each model" in text
        assert "4.00x" in text
        assert "● fastest artifact of its model" in text
        assert "▽ loses more than 1 % of its fp32 mIoU" in text
        assert "rows without network latency are one graph" in text
        assert "largest batch ≥: the rate stopped growing before memory ended" in text


def test_what_a_filter_hides_is_looked_for_only_where_it_hides_something(records, monkeypatch):
    """No row is held against itself, nor are the newest found twice."""
    rows = [
        row(records.make("a", p50_s=0.02, right=right, minutes=minutes, runtime=runtime, one_graph=True))
        for runtime in ("onnxruntime", "openvino")
        for minutes, right in ((0, 0.3), (5, 0.4))
    ]
    hidden, calls = [], []
    monkeypatch.setattr("zoo.report.board.notes", lambda *asked: hidden.extend(asked[-1]) or ())
    monkeypatch.setattr("zoo.report.board.latest", lambda rows: calls.append(1) or latest(rows))
    assert make_board(rows, among=rows).tables
    assert (hidden, len(calls)) == ([], 1)
    assert make_board(rows[:2], among=rows).tables
    assert hidden == [rows[3]], "the newest of what is hidden, and nothing that is shown"


@pytest.mark.parametrize(
    ("condition", "speedups"),
    [
        ({"precision": ["bf16", "int8"]}, {"a": "2.00x", "b": "2.00x", "c": "n/a"}),
        ({"runtime": "openvino"}, {"a": "2.00x", "b": "2.00x", "c": "n/a"}),
        ({}, {"a": "2.00x", "b": "2.00x", "c": "n/a"}),
    ],
)
def test_what_is_not_shown_is_still_what_others_are_held_against(records, tmp_path, condition, speedups):
    """A filter hides rows; ratios and notes stay those of the same conditions, whoever is asked."""
    for model in "abc":
        if model != "c":
            save(records.make(model, p50_s=0.02), {}, tmp_path)
            save(records.make(model, p50_s=0.01, device="other"), {}, tmp_path)
            save(records.make(model, p50_s=0.015, runtime="openvino", one_graph=True), {}, tmp_path)
        for precision, p50_s in (("bf16", 0.01), ("int8", 0.03)):
            artifact = {"runtime": "openvino", "precision": precision, "one_graph": True}
            save(records.make(model, p50_s=p50_s, **artifact), {}, tmp_path)
    (table,) = leaderboard(tmp_path, device="intel-xeon-2c", **condition).tables
    assert {line[0]: line[-1] for line in table.fastest[1:]} == speedups
    (slower,) = (note for note in table.notes if note.startswith("int8 is slower than fp32 here: "))
    assert [one.partition(" in ")[0][-1] for one in slower.split(", ")] == ["a", "b"], "in one note"
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- leaderboard:begin device=intel-xeon-2c runtime=openvino -->\n<!-- leaderboard:end -->\n", "utf-8"
    )
    write(leaderboard(tmp_path), page)
    assert page.read_text("utf-8").count("2.00x") == 2


def test_columns_are_those_that_have_a_value(records, artifacts):
    def titles(rows):
        return [column.title for column in make_board(rows).tables[0].columns]

    added = {"mIoU lost", "labels equal %", "images/s", "largest batch", "J/ image", "file MiB"}
    assert added <= set(titles(artifacts))
    plain = titles([row(records.make("a", samples=50)), row(records.make("b", samples=50))])
    assert not added & set(plain)
    assert not {"network p99 ms", "why not A"} & set(plain)
    reference = rows_of([records.make("a"), records.make("b")])
    assert "mIoU lost" not in titles(reference), "that the reference loses nothing says nothing"
    (table,) = make_board(artifacts).tables
    (found,) = [cells for line, cells in table.printed if line.label == "b eager fp32"]
    cells = dict(zip([column.title for column in table.columns], [cell.text for cell in found], strict=True))
    assert (cells["images/s"], cells["largest batch"], cells["J/ image"]) == ("31.0", "≥2", "1.50")
    assert (cells["mIoU lost"], cells["labels equal %"]) == ("0.0", "n/a")


def test_input_sizes_stand_on_one_surface(records):
    rows = rows_of([records.make(right=0.6), records.make(right=0.5, p50_s=0.005, input_size=(128, 256))])
    (table,) = make_board(rows).tables
    assert {line.label for line in table.lines} == {"unet 256x512", "unet 128x256"}
    assert " · output 512x1024 · batch 1 · eager · fp32" in table.title
    assert "several input sizes: mIoU is counted at the ground truth's full size for all" in table.notes
    assert table.fastest == (), "one artifact of each size"
    stretched = row(records.make(resize="stretch", input_size=(128, 256)))
    assert len(make_board([*rows, stretched]).tables) == 2


def test_the_fastest_of_each_size(records):
    sizes, runtimes = ((256, 512), (128, 256)), (("eager", 0.02), ("openvino", 0.01))
    rows = rows_of(
        records.make(runtime=runtime, p50_s=p50_s * size[0] / 256, input_size=size)
        for size in sizes
        for runtime, p50_s in runtimes
    )
    header, *lines = make_board(rows).tables[0].fastest
    assert header[3] == "input"
    assert [line[3:] for line in lines] == [("128x256", "6.25", "2.00x"), ("256x512", "12.5", "2.00x")]


def test_without_miou_the_fastest_is_named_unchecked(records):
    rows = rows_of(records.make(right=None, precision=precision) for precision in ("fp32", "bf16"))
    (table,) = make_board(rows).tables
    assert "".join(line.marks for line in table.lines) == FASTEST
    assert "● accuracy was not checked: no mIoU to hold against fp32" in table.notes
    assert "no mIoU for unet: no trained weights were found." in table.notes[0]


def test_rows_of_older_rules_have_a_table_of_their_own_that_says_so(records):
    old = [records.make(model).model_copy(update={"protocol": "zoo-lat/1"}) for model in ("a", "b")]
    older, newer = make_board([row(one) for one in (*old, records.make("a", runtime="compile"))]).tables
    assert older.title.endswith(" · protocol zoo-lat/1")
    assert [line.row.model for line in older.lines] == ["a", "b"]
    assert newer.title.endswith(f" · compile · fp32 · protocol {SPEED_PROTOCOL}"), "though the titles differ without it"


def test_int8_that_loses_miou_and_time_is_marked_and_named_without_an_eager_row(records):
    onnx = {"runtime": "onnxruntime", "width": 0.01}
    rows = rows_of(
        [records.make(right=0.6, **onnx), records.make(right=0.59, precision="int8", p50_s=0.03, **onnx)],
    )
    (table,) = make_board(rows).tables
    assert [LOST in line.marks for line in table.lines] == [False, True]
    assert "int8 is slower than fp32 here: unet in onnxruntime takes 37.5 ms against 25.0 ms" in table.notes


def test_a_row_that_hurts_a_class_is_marked_and_the_class_is_named(records):
    whole = records.confusion(0.8)
    hurt = whole.copy()
    hurt[3, 3] -= 400
    hurt[3, 4] += 400
    openvino = {"runtime": "openvino", "one_graph": True, "p50_s": 0.01}
    made = [records.make(matrix=whole), records.make(matrix=hurt, precision="int8", **openvino)]
    board = make_board(rows_of(made))
    marks = {line.row.precision: line.marks for line in board.tables[0].lines}
    assert HURT in marks["int8"]
    assert HURT not in marks["fp32"]
    assert LOST not in marks["int8"]
    assert FASTEST not in marks["int8"], "it loses accuracy"
    for form in ("md", "table"):
        text = render(board, form, plain=True)
        assert "worst" in text
        assert "class 3 3.3" in text
        assert "† unet openvino int8 loses points of IoU against fp32 on class 3 (3.3)" in " ".join(text.split())
        assert "† a class of ≥ 0.5% of the pixels loses over 2 points of IoU".replace(" ", "") in "".join(text.split())
    spared = make_board(rows_of([made[0], records.make(matrix=whole, precision="int8", **openvino)]))
    assert "worst class" not in render(spared, "md")
    (int8,) = [found for found in json.loads(render(board, "json")) if found["precision"] == "int8"]
    assert int8["class_lost"]["class 3"] == pytest.approx(0.0333, abs=1e-3)
    assert "class_lost" in next(csv.reader(io.StringIO(render(board, "csv"))))


def test_how_int8_was_made_is_said_where_the_default_did_not_do(records):
    tried = [Attempt(way=DEFAULT_WAY, miou_lost=0.03), Attempt(way="entropy calibration", miou_lost=0.002)]
    said = {}
    for model, count, way, holds in (
        ("a", 1, DEFAULT_WAY, True),
        ("b", 2, "entropy calibration", True),
        ("c", 0, DEFAULT_WAY, None),
    ):
        found = Quantisation(
            way=way, holds=holds, attempts=tried[:count], image_count=64, why_unmeasured="" if holds else "no labels"
        )
        record = records.make(model, runtime="openvino", precision="int8", build={"quantisation": found})
        assert type(record).model_validate_json(record.model_dump_json()).build.quantisation == found
        (table,) = make_board([row(record)]).tables
        said[model] = [note for note in table.notes if note.startswith("int8 of")]
        (values,) = json.loads(render(make_board([row(record)]), "json"))
        assert values["int8"].startswith(way)
    one = "entropy calibration: loses 0.2 points of mIoU on 64 train images; min-max calibration loses 3.0"
    assert said == {"a": [], "b": [f"int8 of b in openvino: {one}"], "c": []}
    assert values["int8"] == "min-max calibration, not held against fp32: no labels"


def test_part_of_the_images_is_said_in_the_title(records):
    (table,) = make_board([row(records.make(image_count=8, accuracy_images=8))]).tables
    assert " · 8 images of streets val · " in table.title
    (table,) = make_board([row(records.make(image_count=16, accuracy_images=500))]).tables
    assert " · streets val · " in table.title, "all there are"


@pytest.mark.parametrize(("known", "count", "said"), [(500, 2, "2 of 500 images of "), (500, 500, ""), (None, 8, "")])
def test_part_of_cityscapes_is_said_in_the_title(records, known, count, said):
    one = records.make(image_count=count)
    dataset = one.dataset.model_copy(update={"split_count": known})
    (table,) = make_board([row(one.model_copy(update={"dataset": dataset}))]).tables
    assert f" · {said}streets val · " in table.title


def test_of_an_older_record_cityscapes_published_counts_are_known(records):
    one = records.make(image_count=2)
    dataset = one.dataset.model_copy(update={"name": "cityscapes"})
    (table,) = make_board([row(one.model_copy(update={"dataset": dataset}))]).tables
    assert " · 2 of 500 images of cityscapes val · " in table.title


def test_memory_that_grows_is_named(records):
    (table,) = make_board(
        [row(records.make("a", growth_bytes=9 * 2**20)), row(records.make("b", growth_bytes=9))]
    ).tables
    assert table.notes[-1] == "memory grew from call to call: a"


def test_the_loss_is_the_same_in_every_format(artifacts):
    board = make_board(artifacts)
    lost = [value["miou_lost"] for value in json.loads(render(board, "json"))]
    assert lost == [row.miou_lost for row in board.rows]
    values = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    assert [float(value["miou_lost"] or "nan") for value in values][:3] == lost[:3]


def test_seeds_stand_in_one_row_and_one_seed_is_marked(records):
    make = records.make
    rows = rows_of(
        [
            *(make("a", right=right, p50_s=p50_s, seed=seed) for seed, (right, p50_s) in enumerate(
                [(0.60, 0.010), (0.62, 0.030), (0.64, 0.020)]
            )),
            make("b", right=0.63, miou_interval=(0.44, 0.48)),
            make("c", right=0.30),
            records.failed("a", seed=3),
            records.baseline(right=0.2),
        ]
    )  # fmt: skip
    (table,) = make_board(rows).tables
    titles = [column.title for column in table.columns]
    cells = {line.label: dict(zip(titles, [cell.text for cell in found], strict=True)) for line, found in table.printed}
    assert {label: (cell["mIoU %"], cell["seeds"]) for label, cell in cells.items()} == {
        "b": ("46.1 [44.0, 48.0]", "1"),
        "a 3 seeds": ("45.0 ± 2.1", "3"),
        "c": ("17.7", "1"),
        "mean_label_map (baseline)": ("11.1", ""),
    }
    assert cells["a 3 seeds"]["pipeline p50 ms"] == "25.0"
    assert table.failed == ((("a seed 3",), "timeout: measure: no answer within 60 s"),)
    assert any(note.startswith("±: mean and sample standard deviation of mIoU over the seeds") for note in table.notes)
    assert any(note.startswith("seeds 1: how far another training would be") for note in table.notes)
    assert "[ ]: 95 % interval of mIoU for these weights, by bootstrap over images" in table.notes
    (overlap,) = [note for note in table.notes if note.startswith("overlap: ")]
    assert "the mIoU of a is within interval or spread of the best, b's" in overlap
    values = json.loads(render(make_board(rows), "json"))
    (mean,) = [value for value in values if value["model"] == "a" and value["status"] == "ok"]
    assert (mean["seed_count"], mean["seed"]) == (3, 2)
    assert mean["miou_spread"] == pytest.approx(0.0209, abs=1e-4)
    (b,) = [value for value in values if value["model"] == "b"]
    assert (b["miou_low"], b["miou_high"], b["miou_resampled"], b["miou_spread"]) == (0.44, 0.48, "images", None)
    assert make_board(make_board(rows).rows).tables == make_board(rows).tables


def test_a_table_of_one_seed_each_has_a_note_instead_of_a_column(records):
    (table,) = make_board([row(records.make("a", right=0.6)), row(records.make("b"))]).tables
    assert "seeds" not in [column.title for column in table.columns]
    assert [note for note in table.notes if note.startswith("one seed each: how far another training would be")]
    assert not [note for note in table.notes if note.startswith("tie")], "no interval, no claim"
    for untrained in ({"right": None}, {"quick": True}):
        (table,) = make_board([row(records.make(**untrained))]).tables
        assert not [note for note in table.notes if "one seed" in note]


def test_shared_sequences_are_named_below_the_table(records):
    made = [row(records.make(name, shared_sequences=("cam0016e5",))) for name in "ab"]
    (table,) = make_board(made).tables
    said = "val shares the sequence cam0016e5 with training: its mIoU is optimistic"
    assert table.notes.count(said) == 1
    assert said in render(make_board(made), "md")


@pytest.fixture
def mixed(records):
    """Weights of every kind, of models that have them in common."""
    make = records.make
    return rows_of(
        [
            make("pidnet_s", right=0.70, source="published", tag="cityscapes"),
            make("pidnet_s", right=0.699, source="published", tag="cityscapes", runtime="openvino", p50_s=0.01),
            make("pidnet_s", right=0.66),
            make("deeplabv3plus_mobilenet_v3_large", right=0.64),
            make("deeplabv3plus_mobilenet_v3_large", right=0.61, source="file", tag="epoch_160.pth"),
            make("mynet", right=0.63, source="own"),
            make("mynet", right=None),
            records.failed("unet", reason="too slow"),
            records.baseline(right=0.3),
        ]
    )


def test_weights_stand_in_a_column_where_they_differ(mixed):
    (table,) = make_board(mixed).tables
    assert [column.title for column in table.columns][:2] == ["weights", "mIoU %"]
    assert [(line.label, cells[0].text) for line, cells in table.printed] == [
        ("pidnet_s eager", "published cityscapes"),
        ("pidnet_s openvino", "published cityscapes"),
        ("pidnet_s eager", "run camvid_cpu"),
        ("deeplabv3plus_mobilenet_v3_large eager", "run camvid_cpu"),
        ("mynet eager", "own"),
        ("deeplabv3plus_mobilenet_v3_large eager", "file epoch_160.pth"),
        ("mean_label_map (baseline)", ""),
        ("mynet eager", "random"),
    ]
    assert [line.name for line in table.lines][:3] == [
        *("pidnet_s eager published cityscapes", "pidnet_s openvino", "pidnet_s eager run camvid_cpu"),
    ]
    assert table.title == "intel-xeon-2c · streets val · input 256x512 → 512x1024 · batch 1 · fp32"
    assert table.caution == "The weights differ: a row speaks of its weights, not of the architecture."
    assert table.failed == ((("unet eager run camvid_cpu",), "timeout: measure: too slow"),)
    assert not any(note.startswith("no mIoU") for note in table.notes), "mynet has one, by its own weights"
    assert table.fastest[0] == ("model", "runtime", "precision", "weights", "pipeline p50 ms", "vs eager fp32")
    assert table.fastest[1] == ("pidnet_s", "openvino", "fp32", "published cityscapes", "12.5", "2.00x")
    text = render(make_board(mixed), "md")
    assert "> **The weights differ: a row speaks of its weights, not of the architecture.**" in text
    assert "|  | model | weights | mIoU % |" in text
    assert "| :-- | :-- | :-- | --: |" in text
    assert "| `pidnet_s eager` | run camvid_cpu | 49.4 |" in text
    labels = [value["weights"] for value in json.loads(render(make_board(mixed), "json"))]
    assert labels.count("run camvid_cpu") == 3, "that of the cell that failed too"
    assert {"published cityscapes", "file epoch_160.pth", "own", "random", ""} < set(labels)


def test_weights_that_all_rows_share_are_said_in_the_head_alone(mixed):
    (table,) = make_board([one for one in mixed if one.weights in {"run camvid_cpu", ""}]).tables
    assert "weights" not in [column.title for column in table.columns]
    assert " · weights run camvid_cpu (300 steps) · " in table.title
    assert table.caution == ""
    assert table.failed[0][0] == ("unet",)
    assert all(line.label == line.name for line in table.lines)


@pytest.mark.parametrize(("width", "full"), [(80, False), (120, True), (200, True)])
def test_weights_leave_room_for_numbers_in_any_width(mixed, width, full):
    text = render(make_board(mixed), width=width, plain=True)
    table = text[re.search("^ +model ", text, re.MULTILINE).start() :]
    assert max(len(line) for line in table.splitlines()) <= width
    (line,) = [line for line in table.splitlines() if line.split()[-1:] and " 49.4" in line]
    assert ("run camvid_cpu" in line) == full
    assert "60.0" not in line
    assert "49.4" in line
    said = "weights: w1 published cityscapes, w2 run camvid_cpu, w3 own, w4 file epoch_160.pth, w5 random"
    assert (said in " ".join(text.split())) == (not full)
    assert ("pidnet_s eager w2 " in line) == (not full)


def test_a_model_may_be_called_as_weights_are(records):
    rows = [row(records.make(name, source=source)) for name in ("own", "b") for source in ("own", None)]
    text = render(make_board([*rows, row(records.make("own", runtime="openvino", source="own"))]), width=40, plain=True)
    assert "weights: w1 " in text
    fastest = text[text.index("Fastest artifact") : text.index("hidden in")]
    assert sum(line.startswith("own ") for line in fastest.splitlines()) == 2


def test_what_reads_as_the_best_is_marked_as_the_best(records):
    one = row(records.make("a", right=0.5, p50_s=0.0113))
    text = render(make_board([one, row(records.make("b", right=0.5, p50_s=0.0081)).having(miou=one.miou - 1e-7)]))
    first, second = [line for line in text.splitlines() if re.search(r"^ *[◆●]* *[ab] ", line)]
    assert first.split()[:2] == ["◆", "b"], "the faster of two alike stands first, on the front alone"
    assert second.split()[0] == "a"
    assert first.split()[2] == second.split()[1]
    assert first.split()[2].endswith("★")


def test_cells_that_all_failed_with_other_weights_still_have_their_table(records):
    rows = [row(records.failed("a")), row(records.failed("b", source="published", tag="zh"))]
    text = render(make_board(rows), width=80, plain=True)
    assert "a run camvid_cpu, b published zh · timeout: measure: no answer within 60 s" in text


def test_what_was_scored_alone_reads_well_everywhere(records, tmp_path):
    scored = records.make("a", right=0.7, timed=False).model_copy(update={"preset": "eval"})
    rows = rows_of([scored, records.make("b", right=0.6), records.baseline(right=0.2)])
    (table,) = make_board(rows).tables
    titles = [column.title for column in table.columns]
    cells = dict(zip(titles, [cell.text for cell in table.printed[0][1]], strict=True))
    shown = [cells[title] for title in ("mIoU %", "pipeline p50 ms", "memory MiB", "grade")]
    assert shown == ["53.9", "n/a", "n/a", ""]
    assert table.failed == ()
    assert [line.row.model for line in table.points] == ["b"]
    assert "rows without latency were scored alone; `zoo bench` times them" in table.notes
    assert not any("not checked" in note or "p99" in note for note in table.notes)
    (alone,) = make_board(rows_of([scored])).tables
    assert [column.title for column in alone.columns] == ["mIoU %", "pixel acc. %"]
    board = make_board(rows_of([scored]))
    for form in ("table", "md", "csv", "json"):
        assert render(board, form, plain=True)
    assert not board.can_be_drawn


def test_a_mode_has_a_table_of_its_own_and_stands_in_its_head(records):
    mode = Mode(window=(64, 64), stride=(42, 42), flip=True)
    rows = rows_of(
        [records.make("a"), records.make("b", right=0.9, mode=mode, timed=False), records.baseline(right=0.2)]
    )
    whole, other = make_board(rows).tables
    assert [line.row.model for line in whole.lines] == ["a", "mean_label_map"]
    assert [line.row.model for line in other.lines] == ["b", "mean_label_map"]
    assert " · window 64x64 stride 42x42 + flip · " in other.title
    assert "window" not in whole.title
    assert "whole" not in whole.title


def test_one_seed_is_said_of_what_was_trained_here_alone(records):
    (table,) = make_board([row(records.make(source="published", tag="zh"))]).tables
    assert not [note for note in table.notes if "one seed" in note]


def test_class_iou_stands_in_json_and_csv(records):
    board = make_board([row(records.make(right=0.5))])
    (value,) = json.loads(render(board, "json"))
    assert value["class_iou"]["class 0"] == pytest.approx(value["miou"])
    (line,) = csv.DictReader(io.StringIO(render(board, "csv")))
    assert line["class_iou"].startswith(f"class 0 {value['class_iou']['class 0']}; class 1 ")


def test_a_smoke_test_ranks_nothing_that_is_under_the_baseline(records):
    drawn = {"quick": True, "synthetic": True, "dataset": "drawn", "recipe": "quick", "step_count": 100}
    made = [
        records.make("slow_noise", right=0.2, p50_s=0.2, **drawn),
        records.make("fast_noise", right=0.1, p50_s=0.1, **drawn),
        records.make("learned", right=0.6, p50_s=0.3, **drawn),
        records.make("unet", right=None, p50_s=0.05, **drawn),
        records.baseline(right=0.3, synthetic=True, dataset="drawn"),
    ]
    (table,) = make_board(rows_of(made)).tables
    assert [line.row.model for line in table.lines] == ["learned", "mean_label_map", "unet", "fast_noise", "slow_noise"]
    assert " · weights run quick (100 steps) · " in table.title, "the others' are random, and have no mIoU"
    assert "weights" not in [column.key for column in table.columns]
    marks = {line.row.model: line.marks for line in table.lines}
    assert marks == dict.fromkeys(("learned", "mean_label_map", "unet"), "") | dict.fromkeys(
        ("fast_noise", "slow_noise"), UNDER
    ), "nobody chooses by a smoke test"
    place = [column.key for column in table.columns].index("miou")
    assert not any(cell.best for cell in table.cells[place]), "one alone is the best of nothing"
    (note,) = [note for note in table.notes if note.startswith("no mIoU")]
    assert note.startswith("no mIoU for unet, not trained in quick: ")
    assert "zoo train MODEL" in note


def test_what_is_published_outlives_a_narrow_terminal(records):
    drawn = {"quick": True, "synthetic": True, "dataset": "drawn"}
    made = [
        records.make(name, right=right, **drawn) for name, right in (("unet", 0.5), ("lraspp_mobilenet_v3_large", None))
    ]
    header = render(make_board(rows_of(made)), width=80, plain=True)
    assert "mIoU %" in header.split("hidden in this width")[1]
    (line,) = [line for line in header.splitlines() if "lraspp" in line and "n/a" in line]
    assert "~69.5 whole" in line


def test_what_to_do_about_a_grade_stands_once_below_all_tables_for_what_occurs(records):
    """A table says why a grade is not A; every kind of it has its remedy at the end, in any width."""
    make = records.make
    rows = [row(one) for one in (make("a", spread=0.2), make("b", settled=False), make("c", spread=0.3, device="x"))]
    board = make_board(rows)
    assert len(board.tables) == 2
    for width in (80, 200):
        text = render(board, "table", width=width, plain=True)
        assert text.count("not A for spread: ") == text.count("not A for unsettled warm-up: ") == 1
        assert text.count("not A for ") == 2
        assert " ".join(text.split()).endswith("then measure anew: the same `zoo bench …` with `--rerun`")
        assert max(map(len, text.splitlines())) <= width
    quick = row(make("q", spread=0.2, quick=True))
    text = " ".join(render(make_board([quick]), "table", plain=True).split())
    assert text.endswith(f"not A for few samples: {REMEDIES['few samples']}")
    assert "--rerun" not in text, "the same would take as few"
    text = " ".join(render(make_board([*rows, quick]), "table", plain=True).split())
    assert "with `--rerun` not A for few samples: quick takes few: take a full preset, `--preset camvid`" in text
    assert "not A for" not in render(make_board([row(make("a"))]), "table", plain=True)
    assert "not A for" not in render(board, "md"), "a page's reader did not measure it"
    for one in json.loads(render(board, "json")):
        assert len(one["grade_reasons"]) == len(one["grade_remedies"]) == 1
