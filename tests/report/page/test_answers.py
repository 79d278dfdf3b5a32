"""What the page says of the committed records is what `zoo pick` and `zoo compare` say of them."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from zoo.cli.main import main
from zoo.errors import UserError
from zoo.picker.deciding import CHANCE
from zoo.report.leaderboard import leaderboard
from zoo.report.output import write
from zoo.score.filtering import newest_versions
from zoo.score.limits import read_value
from zoo.score.metrics import metric_of
from zoo.score.paired import Pairs
from zoo.store import save

pytestmark = pytest.mark.browser
RECORDS = Path(__file__).parents[3] / "results"
OBJECTIVES = ("miou", "pipeline_p50_s", "pipeline_p99_s", "latency_p99_s", "peak_memory_bytes", "iou.person")
LIMITS = (
    *OBJECTIVES,
    "param_count",
    "class-loss",
    *(f"{kind}.{name}" for kind in ("iou", "class-loss") for name in ("car", "vegetation", "pole")),
    "miou_lost",
    "memory_growth_bytes",
    "missed_share",
)
WORDS = ("", "", "net", "NET e", "seg 1", "e lite")
OF_THE_WINNER = r"its mIoU|it loses|val shares|the frames' names|int8: |measured with|the (95 % interval|spread over)"
"""How notes begin that speak of one row; the others speak of ties, of versions, of who takes no part."""
ASK = """([group, objective, limits, search, kinds, grade]) => {
  const touch = (box, value, event) => { box.value = value; box.dispatchEvent(new Event(event, { bubbles: true })); };
  const can = (id, value) => [...byId(id).options].some((one) => one.value === value);
  const choose = (id, value) => can(id, value) && touch(byId(id), value, "change");
  choose("device", DATA.groups[group].device);
  choose("group", String(group));
  byId("reset").click();
  choose("objective", objective);
  for (const [key, share] of limits) {
    if (!sliders.has(key)) choose("more", key);
    const { slider } = sliders.get(key) ?? {};
    if (slider) touch(slider, String(Math.round(share * slider.max)), "input");
  }
  touch(byId("search"), search, "input");
  const boxes = [...byId("kinds").querySelectorAll("[type=checkbox]:not(#sale)")];
  for (const share of kinds) boxes[Math.floor(share * boxes.length)]?.click();
  if (byId("grade")) choose("grade", grade);
  const command = document.querySelector(".as-command code");
  if (!named().length) return null; // the command may find a row of that name in another table
  if (!document.querySelector("#best .winner button")) return [command.textContent, null, 0, []];
  const name = document.querySelector("#best .winner button").textContent;
  const count = byId("best").textContent.match(/of (\\d+) that qualify/) ?? [0, 1];
  const said = [...document.querySelectorAll("#best .cautions li")].map((one) => one.textContent);
  const alone = byId("best").textContent.match(/IoU of ([^.]*) is told apart by intervals alone/);
  if (alone) said.push(`${alone[1]}: the command tells`);
  return [command.textContent, own("id", current().rows[current().names.indexOf(name)]), Number(count[1]), said];
}"""
HOLD = """([group, first, second]) => {
  showGroup(group);
  const rows = [first, second].map((share) => rowsHere()[Math.floor(share * rowsHere().length)]);
  const said = DATA.metrics.map((one) => [one.key, difference(one, rows[1], rows[0])]).filter(([, made]) => made);
  return [rows.map((row) => own("id", row)), said.map(([key, made]) => [key, made.className, made.textContent])];
}"""


@pytest.fixture(scope="module")
def board():
    return leaderboard(RECORDS)


@pytest.fixture(scope="module")
def page(browser, board, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "page.html"
    write(board, file, "html")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    page.close()


def by_miou_alone(pairs, one, other, key="miou", test=Pairs.test):
    if key != "miou":
        raise UserError("not on a page")
    return test(pairs, one, other, key)


def same(answer, capsys, results=RECORDS):
    """Hold the page's winner, its count and what is to be known of it to those of the command that it shows.

    Where nothing qualifies on the page, the command refuses. IoU of a class the page tells apart by intervals alone, as
    it says itself.
    """
    command, winner, count, cautions = answer
    if winner is None:
        assert main([*shlex.split(command)[1:], "--results", str(results)]) in {1, 2, 3}, command
        capsys.readouterr()
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pairs, "test", by_miou_alone)
        assert main([*shlex.split(command)[1:], "--results", str(results), "--format", "json"]) == 0, command
    said = json.loads(capsys.readouterr().out)
    kind, _, name = said["objective"].partition(".")
    assert (f"{name}: the command tells" in cautions) == (kind == "iou"), command
    qualify = 1 + sum(loser["kind"] in {"tie", "behind", "unknown"} for loser in said["losers"])
    assert (said["winner"]["key"][:8], qualify) == (winner[:8], count), command
    known = [note for note in said["notes"] if re.match(OF_THE_WINNER, note)]
    told = [text[0].lower() + text[1:-1] for text in cautions if CHANCE not in text and "the command tells" not in text]
    assert set(told) == set(known), command
    for title, few, _ in (note.partition(" rests on ") for note in said["notes"]):
        assert not few or f"How sure its {title} is, the command tells." in cautions, command
    unsure = any(CHANCE in why for loser in said["losers"] for why in loser["why"])
    assert unsure == any(CHANCE in text for text in cautions), command


def test_every_group_answers_as_the_command_beside_it(page, capsys):
    for group in range(page.evaluate("DATA.groups.length")):
        for objective in ("miou", "pipeline_p50_s"):
            same(page.evaluate(ASK, [group, objective, [], "", [], ""]), capsys)


def test_a_page_of_some_rows_answers_as_the_command_beside_it(browser, tmp_path, capsys):
    """Conditions and models that its rows were chosen by stand in the command, which else asks all records."""
    asked = {"device": ["intel-xeon-2c", "amd-epyc-zen4-2c"], "dataset": ["none"], "models": ["fast", "unet"]}
    write(leaderboard(RECORDS, **asked), tmp_path / "some.html", "html")
    page = browser.new_page()
    page.goto((tmp_path / "some.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    for group in range(page.evaluate("DATA.groups.length")):
        answer = page.evaluate(ASK, [group, "pipeline_p50_s", [], "", [], ""])
        assert " --models " in answer[0]
        assert " --dataset none" in answer[0]
        same(answer, capsys)
    page.close()


def test_the_page_answers_as_the_command_beside_it_whatever_is_asked(page, capsys):
    dice, groups = random.Random(12), page.evaluate("DATA.groups.length")
    answers = []
    while len(answers) < 25:
        limits = [(dice.choice(LIMITS), dice.choice((0, 1, dice.random()))) for _ in range(dice.choice((1, 2)))]
        kinds, grade = [dice.random() for _ in range(dice.choice((0, 2)))], dice.choice(("", "", "B"))
        asked = [dice.randrange(groups), dice.choice(OBJECTIVES), limits, dice.choice(WORDS), kinds, grade]
        if answer := page.evaluate(ASK, asked):
            same(answer, capsys)
            answers += [answer[0]] if answer[1] else []
    assert all(any(flag in one for one in answers) for flag in ("--max", "--min", "--models", "--where", "--runtime"))


def test_a_limit_is_the_number_that_the_command_reads(page):
    dice, keys = (
        random.Random(5),
        ("pipeline_p50_s", "miou", "peak_memory_bytes", "param_count", "mac_count", "class-loss"),
    )
    for key in keys:
        typed = [float(f"{dice.uniform(0.01, 99):.7g}") for _ in range(200)]
        found = page.evaluate("([key, typed]) => typed.map((one) => fromShown(metric(key), one))", [key, typed])
        metric = metric_of(key)
        assert found == [read_value(metric, f"{one}{metric.unit}".replace("points", "")) for one in typed], key


def test_the_row_at_a_slider_keeps_its_limit_in_the_command_too(page, board, capsys):
    asked = "nvidia-h200", None
    group = next(
        place for place, table in enumerate(board.tables) if (table.group.device, table.group.dataset) == asked
    )
    count = len(board.tables[group].lines)
    for step in range(count - 1):
        answer = page.evaluate(ASK, [group, "param_count", [("peak_memory_bytes", step / count)], "", [], ""])
        assert answer[2] == step + 1
        same(answer, capsys)


def test_the_ends_of_class_limits_are_kept_by_whom_the_command_finds_to_keep_them(page, board, capsys):
    dice = random.Random(1)
    losing = [place for place, table in enumerate(board.tables) if any(line.row.class_lost for line in table.lines)]
    for _ in range(12):
        group = dice.choice(losing)
        lost = [item for line in board.tables[group].lines for item in line.row.class_lost.items()]
        name = dice.choice([name for name, points in lost if points is not None])
        objective = dice.choice(("miou", "pipeline_p99_s", f"iou.{name}"))
        answer = page.evaluate(ASK, [group, objective, [(f"class-loss.{name}", 0)], "", [], ""])
        assert f"class-loss.{name}=" in answer[0]
        same(answer, capsys)


def test_a_class_is_told_from_its_equals_as_by_all_digits(browser, tmp_path, records, capsys):
    """IoU that differ by more than matters in their fifth digit, and by a pixel in their last."""

    def counted(hit, others):
        matrix = records.confusion(others, per_class=100_000)
        matrix[0] = [hit, *[0] * 18, 100_000 - hit]
        matrix[1:, 0] = 0
        return matrix

    made = (45_129, 0.6, 0.020), (45_220, 0.5, 0.010), (45_221, 0.5, 0.010)
    for place, (hit, others, seconds) in enumerate(made):
        save(records.make(f"net{place}", matrix=counted(hit, others), p50_s=seconds), {}, tmp_path / "results")
    page, _ = opened(browser, tmp_path / "results", tmp_path)
    answer = page.evaluate(ASK, [0, "iou.class 0", [], "", [], ""])
    same(answer, capsys, tmp_path / "results")
    page.close()


def opened(browser, results, folder):
    """A page of a results folder, ready, and its board."""
    board = leaderboard(results)
    write(board, folder / "page.html", "html")
    page = browser.new_page()
    page.goto((folder / "page.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    return page, board


@pytest.fixture
def odd(records, tmp_path):
    """Records of all that is to be known of a row: one that hurts a class, one under the baseline, bounds, seeds."""
    hurt = records.confusion(0.6)
    hurt[3] = np.roll(hurt[3], 1)
    same, made = {"weights_sha256": "a" * 64}, records.make
    for record in (
        made("alpha", right=0.6, p50_s=0.020, staged=True, **same),
        made("alpha", matrix=hurt, p50_s=0.005, runtime="openvino", precision="int8", equal_share=0.97, **same),
        made("under", right=0.1, p50_s=0.002, weights_sha256="b" * 64),
        made("counted", right=0.55, p50_s=0.015, uncounted_ops=("aten::odd",), weights_sha256="c" * 64, spread=0.2),
        *(made("seeds", right=right, p50_s=0.018, seed=seed) for seed, right in enumerate((0.58, 0.62, 0.64))),
        made("rates", right=0.4, p50_s=0.030, rates=(30, 50), largest_is_limit=True, energy_j=0.5, tag="d"),
        made("more rates", right=0.4, p50_s=0.030, rates=(30, 50, 90), energy_j=0.4, shared_sequences=("s",)),
        records.baseline(right=0.3),
        made("quick", right=0.9, quick=True, synthetic=True, dataset="drawn"),
    ):
        save(record, {}, tmp_path / "results")
    return tmp_path / "results"


def test_what_is_to_be_known_of_a_winner_is_what_the_command_says(browser, odd, tmp_path, capsys):
    page, _ = opened(browser, odd, tmp_path)
    all_said = set()
    for limits in ([], [("pipeline_p50_s", 0)], [("pipeline_p50_s", 0.5)], [("miou", 0.9)]):
        for objective in ("miou", "pipeline_p50_s", "mac_count", "energy_per_image_j"):
            answer = page.evaluate(ASK, [0, objective, limits, "", [], ""])
            same(answer, capsys, odd)
            all_said |= set(answer[3])
    for model in ("alpha", "under", "counted", "seeds", "rates", "more"):
        answer = page.evaluate(ASK, [0, "pipeline_p50_s", [("pipeline_p50_s", 0.9)], model, [], ""])
        same(answer, capsys, odd)
        all_said |= set(answer[3])
    for word in (
        "under the baseline",
        "of the mIoU it has in fp32",
        "points of IoU against fp32 on class 3",
        "grade B",
    ):
        assert any(word in text for text in all_said), (word, all_said)
    assert any(text.startswith("The 95 % interval of pipeline p50 reaches") for text in all_said)
    assert any(CHANCE in text for text in all_said)
    page.close()


CELLS = """(group) => {
  showGroup(group);
  const made = (key, row) => h("td", {}, numberColumn(metric(key)).node(row));
  return current().columns.filter(metric).map((key) => [key, current().rows.map((row) => {
    const cell = made(key, row);
    return [cell.textContent, Boolean(cell.querySelector("b"))];
  })]);
}"""


@pytest.mark.parametrize("which", ["committed", "odd"])
def test_a_cell_is_that_of_the_leaderboard(browser, request, which, tmp_path):
    results = RECORDS if which == "committed" else request.getfixturevalue("odd")
    page, board = opened(browser, results, tmp_path)
    for group, table in enumerate(board.tables):
        cells = {column.key: column_ for column, column_ in zip(table.columns, table.cells, strict=True)}
        for key, found in page.evaluate(CELLS, group):
            assert [(text, best) for text, best in found] == [tuple(cell) for cell in cells[key]], (table.title, key)
    page.close()


def test_of_several_versions_of_a_recipe_the_one_measured_last_takes_part(browser, records, tmp_path):
    old, new = {"recipe_hash": "1" * 12}, {"recipe_hash": "2" * 12, "minutes": 10}
    energy = {"energy_j": 0.5}
    for record in (
        records.make("best", right=0.9, p50_s=0.010, **old, **energy),
        records.make("good", right=0.8, p50_s=0.020, **old),
        records.make("good", right=0.7, p50_s=0.020, **new),
        records.make("fair", right=0.6, p50_s=0.030, **new),
        records.make("other", right=0.5, p50_s=0.040, recipe="camvid_fast", recipe_hash="3" * 12),
        records.make("random", right=None, p50_s=0.001),
    ):
        save(record, {}, tmp_path / "results")
    page, board = opened(browser, tmp_path / "results", tmp_path)
    (table,) = board.tables
    for objective in ("miou", "pipeline_p50_s", "energy_per_image_j"):
        page.evaluate(ASK, [0, objective, [], "", [], ""])
        having = [line.row for line in table.lines if line.row.value(objective) is not None]
        kept, notes = newest_versions(having)
        taken = page.evaluate(
            "rowsNow.filter((row) => valueOf(row, state.objective) !== null).map((row) => own('id', row))"
        )
        assert sorted(taken) == sorted(row.key[:8] for row in kept), objective
        assert bool(notes) == ("of older versions of their recipes" in page.inner_text("#count")), objective
    page.evaluate(ASK, [0, "miou", [], "", [], ""])
    assert page.inner_text("#best .winner button").startswith("good")
    assert "2 of older versions of their recipes left out" in page.inner_text("#count")
    page.close()


def test_only_what_a_comparison_tells_apart_is_coloured(page, board):
    dice, pairs = random.Random(3), Pairs(board.sources)
    rows = {line.row.key[:8]: line.row for table in board.tables for line in table.lines}
    coloured = set()
    for _ in range(40):
        group = dice.choice([place for place, table in enumerate(board.tables) if len(table.lines) > 20])
        (first, second), said = page.evaluate(HOLD, [group, dice.random(), dice.random()])
        if first == second:
            continue
        for key, name, text in said:
            metric, (one, other) = metric_of(key), (rows[first[:8]], rows[second[:8]])
            tie, gain = pairs.tie(one, other, key).tie, metric.beats(other.value(key), one.value(key))
            assert name == {False: "gain" if gain else "loss"}.get(tie, "same"), key
            assert text.endswith("?") == (tie is None), key
            coloured |= {name} - {"same"}
            assert name == "same" or not re.search(r"1\.00|\D0\.0 ", text), key
    assert coloured == {"gain", "loss"}


def test_on_a_phone_no_name_covers_a_mark(page, board):
    page.set_viewport_size({"width": 390, "height": 900})
    for group in range(len(board.tables)):
        page.evaluate(ASK, [group, "", [], "", [], ""])
        page.wait_for_timeout(50)
        covered = page.evaluate(
            """() => [...document.querySelectorAll("#plot .names text")].flatMap((text) => {
              const { x, y, width, height } = text.getBBox();
              return plot.points.filter(({ left }) => left > x - 2 && left < x + width + 2)
                .filter(({ top }) => top > y && top < y + height).map((point) => [text.textContent, nameOf(point.row)]);
            })"""
        )
        assert covered == []
