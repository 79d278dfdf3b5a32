"""What the page knows of a board: whole, shared, and small."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shlex
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.cli.main import make_parser
from zoo.machine import Named
from zoo.presets import RECIPE_HASHES
from zoo.record import Witness
from zoo.report.board import make_board
from zoo.report.leaderboard import leaderboard
from zoo.report.marks import HURT
from zoo.report.page import build, contents
from zoo.report.page.cards import BINS
from zoo.report.page.contents import page_contents, page_json
from zoo.score import paired
from zoo.score.reading import rows_of
from zoo.score.trust import REMEDIES, Doubt
from zoo.store import save

MOST_BYTES = 1_500_000


def kept(tmp_path, *records, samples=None):
    for record in records:
        save(record, samples or {}, tmp_path)
    return leaderboard(tmp_path)


def card(page, place=0):
    """All columns of one row, with what they name in the pools."""
    pools = {
        "lost": "lost", "iou": "iou", "confusion": "confusion", "published": "published", "licences": "licences",
        "commands": "commands", "weights_of": "weights", "pixels": "pixels", "doubts": "doubts",
    }  # fmt: skip
    found = {name: column[place] for name, column in page["columns"].items()}
    return {
        name: page["pools"][pools[name]][value] if name in pools and value is not None else value
        for name, value in found.items()
    }


def test_every_row_of_every_table_stands_once(tmp_path, records):
    board = kept(
        tmp_path, records.make("a"), records.make("b", runtime="onnxruntime"), records.make("a", device="other"),
        records.make("a", quick=True), records.baseline(), records.failed("c"),
    )  # fmt: skip
    page = page_contents(board, ())
    told = [[page["facts"]["model"][row] for row in group["rows"]] for group in page["groups"]]
    assert told == [[line.row.model for line in table.lines] for table in board.tables]
    assert len({group["id"] for group in page["groups"]}) == len(board.tables)
    assert len(set(page["columns"]["id"])) == len(page["columns"]["id"])
    assert page["groups"][0]["failed"][0][0] == ("c eager",)
    assert {
        len(column) for column in (*page["facts"].values(), *page["numbers"].values(), *page["columns"].values())
    } == {len(page["columns"]["id"])}


def test_what_rows_share_stands_once(tmp_path, records):
    board = kept(tmp_path, records.make("a", right=0.5), records.make("a", right=0.5, runtime="onnxruntime"))
    page = page_contents(board, ())
    assert page["columns"]["confusion"] == [0, 0]
    assert len(page["pools"]["confusion"]) == len(page["pools"]["machine"]) == 1


def test_a_class_lost_is_held_against_fp32(tmp_path, records):
    matrix = records.confusion(0.8)
    hurt = matrix.copy()
    hurt[3] = np.roll(matrix[3], 1)
    reference = records.make("a", matrix=matrix, weights_sha256="w" * 64)
    board = kept(
        tmp_path, reference,
        records.make("a", matrix=hurt, runtime="onnxruntime", precision="int8", weights_sha256="w" * 64),
    )  # fmt: skip
    page = page_contents(board, ())
    place = page["facts"]["precision"].index("int8")
    lost = card(page, place)["lost"]
    assert lost[3] == page["numbers"]["class-loss"][place] > 0.6
    assert page["facts"]["worst_class"][place] == "class 3"
    assert [HURT in page["groups"][0]["marks"][one] for one in (place, 1 - place)] == [True, False]
    assert "class-loss" in page["groups"][0]["columns"]
    assert page["hurt"] == {"lost": 0.02, "pixels": 0.005}
    assert card(page, 1 - place)["lost"] == [0] * 19
    assert [card(page, one)["reference"] for one in (place, 1 - place)] == [0, 1]


def test_a_matrix_is_a_share_of_each_true_class(tmp_path, records):
    (flat,) = page_contents(kept(tmp_path, records.make("a", right=0.7)), ())["pools"]["confusion"]
    rows = np.array(flat).reshape(19, 20)
    assert (np.diag(rows) == 701).all()  # per 1,000
    assert (rows[~np.eye(19, 20, dtype=bool)].reshape(19, 19)[:, :-1] == 2).all()  # per cent, of 30 % each 1.67


def test_each_call_is_in_the_histogram(tmp_path, records):
    calls = np.linspace(0.018, 0.04, 120)
    record = records.make("a", p50_s=0.020)
    board = kept(tmp_path, record, samples={"network_s": calls, "pipeline_s": calls})
    drawn = card(page_contents(board, ()))["latency"]["network"]
    assert len(drawn["bins"]) == BINS + 1
    assert sum(drawn["bins"]) == 120
    assert drawn["of"][2] == pytest.approx(20_000)
    assert drawn["end"] == pytest.approx(1e6 * np.quantile(calls, 0.99), rel=1e-3)


@pytest.mark.parametrize("how", ["none", "damaged"])
def test_without_samples_percentiles_stand(tmp_path, records, how):
    samples = {} if how == "none" else {"network_s": np.full(120, 0.02)}
    path = save(records.make("a"), samples, tmp_path)
    if how == "damaged":
        path.with_suffix(".npz").write_bytes(b"no archive")
    drawn = card(page_contents(leaderboard(tmp_path), ()))["latency"]
    assert set(drawn) == {"network", "pipeline"}
    assert all("bins" not in scope and scope["of"][2] for scope in drawn.values())


def test_a_page_of_many_rows_reads_no_record(tmp_path, records, monkeypatch):
    monkeypatch.setattr(contents, "MOST_WHOLE", 0)
    page = page_contents(kept(tmp_path, records.make("a")), ())
    assert not page["whole"]
    assert card(page)["latency"] is card(page)["confusion"] is None
    assert card(page)["iou"]
    assert card(page)["file"].endswith(".json")


def test_the_intervals_of_classes_stand_on_a_page_of_not_too_many_rows(tmp_path, records, monkeypatch):
    record, samples = records.sampled("a", right=0.6)
    board = kept(tmp_path, record, samples=samples)
    page = page_contents(board, ())
    (row,) = board.rows
    known = paired.Pairs(board.sources).class_spans(row)
    found = page["pools"]["iou_span"][page["columns"]["iou_span"][0]]
    assert [tuple(span) for span in found] == [pytest.approx(span, abs=1e-4) for span in known.values()]
    assert len(found) == len(page["pools"]["classes"][page["columns"]["classes"][0]]) == 19
    monkeypatch.setattr(contents, "MOST_SPANNED", 0)
    assert page_contents(board, ())["columns"]["iou_span"] == [None]


def test_a_board_without_its_records_still_shows_its_tables(records):
    page = page_contents(make_board(rows_of([records.make("a"), records.make("b")])), ())
    assert len(page["groups"][0]["rows"]) == 2
    assert card(page)["latency"] is None


def test_every_doubt_comes_with_what_to_do(tmp_path, records):
    page = page_contents(kept(tmp_path, records.make("a", spread=0.2), records.make("b", right=0.3)), ())
    assert card(page)["doubts"] == (Doubt("network spread 20.0%", REMEDIES["spread"]),)
    assert card(page, 1)["doubts"] is None


def test_variables_that_change_threads_are_said(tmp_path, records):
    witness = Witness(environment={"OMP_WAIT_POLICY": "passive"})
    page = page_contents(kept(tmp_path, records.make("a", witness=witness)), ())
    (machine,) = page["pools"]["machine"]
    assert machine["variables"] == "OMP_WAIT_POLICY=passive"


def test_what_a_paired_test_tells_otherwise_than_intervals_is_known(tmp_path, records, monkeypatch):
    board = kept(tmp_path, records.make("a", right=0.5), records.make("b", right=0.51), records.make("c", right=0.9))
    monkeypatch.setattr(paired.Pairs, "tie", lambda *_: paired.Tie(False, paired.PAIRED))
    (group,) = page_contents(board, ())["groups"]
    models = page_contents(board, ())["facts"]["model"]
    told = [({models[one], models[other]}, tie) for one, other, tie in group["told"]]
    assert ({"a", "b"}, 0) in told
    monkeypatch.setattr(contents, "MOST_PAIRED", 2)
    assert page_contents(board, ())["groups"][0]["told"] is None


def test_published_miou_is_no_number_of_a_row(tmp_path, records):
    page = page_contents(kept(tmp_path, records.make("pidnet_s", right=None, dataset=None)), ())
    assert "miou" not in page["numbers"]
    assert page["groups"][0]["claims"] == [0]
    assert 0.7 < card(page)["published"]["miou"] < 0.8


def test_what_numbers_rest_on_is_seen_from_the_machine_that_makes_the_page(tmp_path, records):
    board = kept(tmp_path, records.make("a", machine_id="m" * 64))
    here = Named(name="INTEL-XEON-2C", slug="intel-xeon-2c", machine_id="m" * 64)
    assert page_contents(board, (here,))["facts"]["rests_on"] == [
        "measured on the machine that wrote this page (intel-xeon-2c)"
    ]
    assert page_contents(board, (here,))["writer"] == "intel-xeon-2c"
    assert page_contents(board, ())["facts"]["rests_on"] == ["measured on another machine"]


def test_equal_digits_of_two_keys_are_told_apart(tmp_path, records):
    board = kept(tmp_path, records.make("a", key="1234567890"), records.make("b", key="12345678ff"))
    ids = page_contents(board, ())["columns"]["id"]
    assert len(set(ids)) == 2


@pytest.fixture
def large(tmp_path, records, monkeypatch):
    """A board that counts as one of many rows, so that copies of this process make its parts, whatever threads run."""
    monkeypatch.setattr(contents, "MOST_WHOLE", 2)
    monkeypatch.setattr(contents.forked, "process_count", lambda: 2)
    return kept(tmp_path, records.make("a"), records.make("b", right=0.7), records.make("c", device="other"))


FORKS = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("dying", [(), ("_cards",), ("_numbers",), ("_numbers", "_cards")])
def test_copies_make_what_one_process_would(large, monkeypatch, dying):
    here, called = os.getpid(), []

    def in_turn(name, real):
        def make(*args):
            if os.getpid() == here:
                called.append(name)
            elif name in dying:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        return make

    alone = page_contents(large, ())
    for name in ("_groups", "_numbers", "_cards"):
        monkeypatch.setattr(contents, name, in_turn(name, getattr(contents, name)))
    found = page_json(large, ())
    assert json.loads(found) == json.loads(json.dumps(alone))
    assert called == ["_groups", *dying]


@FORKS
def test_where_no_copy_can_be_started_this_process_makes_all(large, monkeypatch):
    def none(*_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(contents.forked.os, "fork", none)
    assert json.loads(page_json(large, ())) == json.loads(json.dumps(page_contents(large, ())))


def unpacked(page):
    packed = re.search(r'<script id="data"[^>]*>([^<]*)</script>', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_2000_rows_stay_small(records, monkeypatch, tmp_path):
    """All different: matrices, class shares, latencies."""
    random, made = np.random.default_rng(0), records.varied(2000)
    rows = rows_of(made)
    sources = {
        row.identity: SimpleNamespace(record=one, name=one.key, file=tmp_path / one.key)
        for row, one in zip(rows, made, strict=True)
    }
    calls = {name: random.lognormal(-4, 0.1, 200) for name in ("network_s", "pipeline_s")}
    monkeypatch.setattr(
        paired, "samples", lambda *_: {name: np.roll(one, 3) * random.uniform(0.5, 2) for name, one in calls.items()}
    )
    page = build.board_html(replace(make_board(rows), sources=sources))
    known = unpacked(page)["columns"]
    assert len(known["id"]) == len(set(known["confusion"])) == 2000
    assert all("bins" in scopes["pipeline"] for scopes in known["latency"])
    assert len(page.encode()) < MOST_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"runtime": "onnxruntime", "precision": "int8"},
        {"runtime": "compile", "precision": "bf16", "source": "published", "tag": "mmseg"},
        {"source": "file", "tag": "my net.pth"},
        {"right": None, "dataset": None},
    ],
)
def test_its_commands_can_be_typed(tmp_path, records, changes):
    found = card(page_contents(kept(tmp_path, records.make("pidnet_s", **changes)), ()))["commands"]
    assert "measure it here" in dict(found)
    for _, command in found:
        for line in command.split(" && "):
            make_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize(
    ("changes", "train"),
    [
        ({}, "zoo train a --data DIR --config FILE"),
        (
            {"seed": 3, "recipe_hash": RECIPE_HASHES["camvid_cpu"]},
            f"zoo train a --data DIR --config camvid_cpu@{RECIPE_HASHES['camvid_cpu'][:6]} --seed 3",
        ),
        ({"source": "published"}, None),
        ({"right": None, "dataset": None}, None),
    ],
)
def test_a_card_trains_first_what_its_other_commands_need(tmp_path, records, changes, train):
    found = card(page_contents(kept(tmp_path, records.make("a", **changes)), ()))["commands"]
    what, first = found[0]
    assert (first == train) == what.startswith("first its weights") == bool(train)
    assert ("FILE is the recipe" in what) == ("FILE" in first.split())


def test_the_page_begins_with_the_machine_that_writes_it(tmp_path, records):
    board = kept(
        tmp_path, records.make("a", device="arm-2c"), records.make("b"), records.make("c", device="zen-2c", quick=True),
    )  # fmt: skip
    devices = [group["device"] for group in page_contents(board, ())["groups"]]
    for slug, first in (("intel-xeon-2c", "intel-xeon-2c"), ("zen-2c", devices[0]), ("elsewhere", devices[0])):
        assert devices[page_contents(board, (Named("", slug, "m"),))["first"]] == first
    assert page_contents(board, ())["first"] == 0
