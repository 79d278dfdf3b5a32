"""What the page says of the committed records is what `zoo pick` and `zoo compare` say of them."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import pytest

from zoo.cli.main import main
from zoo.report.leaderboard import leaderboard
from zoo.report.output import write
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
  if (!command) return null;
  const name = document.querySelector("#best .winner button").textContent;
  const count = byId("best").textContent.match(/of (\\d+) that qualify/) ?? [0, 1];
  return [command.textContent, own("id", current().rows[current().names.indexOf(name)]), Number(count[1])];
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


def same(answer, capsys, results=RECORDS):
    """Hold the page's winner and its count to those of the command that it shows."""
    command, winner, count = answer
    assert main([*shlex.split(command)[1:], "--results", str(results), "--format", "json"]) == 0, command
    said = json.loads(capsys.readouterr().out)
    qualify = 1 + sum(loser["kind"] in {"tie", "behind", "unknown"} for loser in said["losers"])
    assert (said["winner"]["key"][:8], qualify) == (winner[:8], count), command


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
            answers.append(answer[0])
    assert all(any(flag in one for one in answers) for flag in ("--max", "--min", "--models", "--where", "--runtime"))


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
        if answer := page.evaluate(ASK, [group, objective, [(f"class-loss.{name}", 0)], "", [], ""]):
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
    write(leaderboard(tmp_path / "results"), tmp_path / "page.html", "html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    answer = page.evaluate(ASK, [0, "iou.class 0", [], "", [], ""])
    same(answer, capsys, tmp_path / "results")
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
