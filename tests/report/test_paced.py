"""Paced rows in tables, beside each other and on the page: a table a rate, never beside calls one after the other."""

import json
import shlex

import pytest

from zoo.cli.main import make_parser
from zoo.errors import UserError
from zoo.report.board import make_board
from zoo.report.compare import compare
from zoo.report.compare_text import show_comparison
from zoo.report.info import standings
from zoo.report.leaderboard import leaderboard, render
from zoo.report.page.contents import page_contents
from zoo.score.commands import how_to_measure
from zoo.score.comparing import latest
from zoo.score.rows import row
from zoo.store import save


@pytest.fixture
def folder(records, tmp_path):
    """Two models, each one after the other and at 10 Hz, one of them at 30 Hz too; the newest last."""
    for minutes, (model, changes) in enumerate(
        [
            ("a", {"starts": [(2.0, 0.3, 0.1)]}),
            ("b", {}),
            ("a", {"rate_hz": 10.0}),
            ("b", {"rate_hz": 10.0, "missed": (2, 4)}),
            ("b", {"rate_hz": 30.0, "missed": (2, 4)}),
        ]
    ):
        save(records.make(model, minutes=minutes, **changes), {}, tmp_path)
    save(records.baseline(), {}, tmp_path)
    return tmp_path


def columns(table):
    return [column.title for column in table.columns]


def test_a_table_a_rate_those_not_paced_first(folder):
    board = leaderboard(folder)
    plain, slow, fast = board.tables
    assert [sorted(line.row.model for line in table.lines) for table in board.tables] == [
        ["a", "b", "mean_label_map"],
        ["a", "b", "mean_label_map"],
        ["b", "mean_label_map"],
    ], "a later run at a rate takes no other's place"
    assert "paced" not in plain.title
    assert slow.title == plain.title.replace("batch 1 · ", "batch 1 · paced at 10 Hz · ")
    assert "paced at 30 Hz" in fast.title
    paced = {"missed %", "late max ms", "frames asked", "pipeline p99 ms"}
    assert not paced & set(columns(plain))
    assert paced <= set(columns(slow))
    assert "cold start s" in columns(plain)
    assert "network p50 ms" not in columns(slow)
    assert any(note.startswith("paced: a frame is due every 100 ms") for note in slow.notes)
    assert not any("one graph" in note for note in slow.notes)
    assert not any("paced" in note for note in plain.notes)


def test_what_each_missed_is_shown(folder):
    slow = leaderboard(folder).tables[1]
    place = columns(slow).index("missed %")
    assert {line.row.model: cells[place].text for line, cells in slow.printed} == {
        "a": "0.0",
        "b": "5.0",
        "mean_label_map": "",
    }


@pytest.mark.parametrize("width", [80, 200])
def test_the_tables_fit(folder, width):
    text = render(leaderboard(folder), width=width, plain=True)
    assert max(map(len, text.splitlines())) <= width
    assert "5.0" in text


def test_json_has_the_parts(folder):
    found = {(one["model"], one["rate_hz"]): one for one in json.loads(render(leaderboard(folder), "json"))}
    assert found["a", None]["cold_start_s"] == pytest.approx(2.4)
    assert [found["a", None][f"cold_{part}_s"] for part in ("import", "load", "first_call")] == [2.0, 0.3, 0.1]
    assert found["b", 10.0]["missed_share"] == pytest.approx(0.05)
    assert found["b", 10.0]["protocol"] == "zoo-paced/1"
    assert found["b", None]["protocol"] == "zoo-lat/3"


def test_a_rate_chooses_the_rows(folder):
    assert [table.group.rate_hz for table in leaderboard(folder, rate_hz=30.0).tables] == [30.0]
    assert [table.group.rate_hz for table in leaderboard(folder, rate_hz="none").tables] == [None]


def test_a_cell_that_failed_at_a_rate_stands_with_that_rate(records):
    rows = [row(records.make("a", rate_hz=10.0)), row(records.failed("b", rate_hz=10.0)), row(records.make("a"))]
    paced = next(table for table in make_board(rows).tables if table.group.rate_hz)
    assert [reason for _, reason in paced.failed] == ["timeout: measure: no answer within 60 s"]
    assert len(latest(rows)) == 3


def test_paced_rows_are_compared_with_each_other_alone(folder):
    def first_of(*names):
        ((pair,),) = (against.pairs for against in compare(*names, results=folder).against)
        return pair.first

    assert first_of("a", "b").rate_hz is None, "unless a rate is named"
    text = show_comparison(compare("a,rate_hz=10hz", "b,rate_hz=10", results=folder), width=160, plain=True)
    assert "paced at 10 Hz" in text.splitlines()[0]
    assert "missed deadlines %" in text
    with pytest.raises(UserError, match=r"may not be compared: rate hz 10 vs none; protocol zoo-paced/1 vs zoo-lat/3"):
        compare("a,rate_hz=10", "b,rate_hz=none", results=folder)
    with pytest.raises(UserError, match=r"may not be compared: rate hz 10 vs 30"):
        compare("a,rate_hz=10", "b,rate_hz=30", results=folder)
    with pytest.raises(UserError, match=r"a rate is times a second, such as 10hz"):
        compare("a,rate_hz=often", "b", results=folder)


def test_two_devices_are_ranked_by_calls_of_one_kind(records, tmp_path):
    """Paced latencies, 3 times as long on one device, would change places with the others' if they were mixed."""
    for device, longer in (("here", 1), ("there", 3)):
        for place in range(6):
            same = {"device": device, "machine_id": device}
            save(records.make(f"model_{place}", p50_s=0.01 * (1 + place), **same), {}, tmp_path)
            save(records.make(f"model_{place}", p50_s=longer * 0.01 * (9 - place), rate_hz=10.0, **same), {}, tmp_path)
    (against,) = compare("here", "there", results=tmp_path).against
    assert len(against.pairs) == 12
    assert (against.ranks.tau_b, against.ranks.artifact_count, against.ranks.table_count) == (1.0, 12, 2)


def test_where_a_model_stands_says_at_which_rate(folder):
    found = standings("b", leaderboard(folder).rows)
    assert [one.table.group.rate_hz for one in found] == [None, 10.0, 30.0]


def test_the_page_has_a_group_a_rate_and_the_numbers_of_a_card(folder):
    page = page_contents(leaderboard(folder), ())
    assert [[flag for flag in group["flags"] if "--rate" in flag] for group in page["groups"]] == [
        [], ["--rate 10"], ["--rate 30"],
    ]  # fmt: skip
    assert {"missed_share", "lateness_max_s", "cold_start_s", "cold_load_s"} <= page["numbers"].keys()
    assert {"missed_share", "cold_start_s"} <= {metric["key"] for metric in page["metrics"]}
    commands = [command for pairs in page["pools"]["commands"] for _, command in pairs]
    assert any(" --rate 30hz" in command for command in commands)
    latencies = [one for one in page["columns"]["latency"] if one]
    assert sum("network" not in one for one in latencies) == 3, "paced calls have the pipeline scope alone"


def test_the_command_that_measures_a_paced_row_names_its_rate(records):
    words = shlex.split(how_to_measure(row(records.make(rate_hz=29.97))))
    asked = make_parser().parse_args(words[1:])
    assert asked.rate == "29.97hz"
    assert " --rate RATE" in how_to_measure(row(records.make()), "missed_share")
    assert " --rate" not in how_to_measure(row(records.make()), "cold_start_s")
