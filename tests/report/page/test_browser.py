"""The page in a browser: what a person touches, with keys too, and that it asks no network."""

from __future__ import annotations

import csv
import io
import re
import shlex
from urllib.parse import parse_qsl

import numpy as np
import pytest

from zoo.cli.main import make_parser
from zoo.report.leaderboard import leaderboard
from zoo.report.output import write
from zoo.score.metrics import metric_of
from zoo.score.trust import REMEDIES
from zoo.store import save

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=alert(1)>"
WAIT_MS = 60_000
LATENCY = "#limit-pipeline-p50-s"


@pytest.fixture(scope="module")
def file(records, tmp_path_factory):
    """A page of two devices, three runtimes, int8 that hurts a class, a baseline, a failure, published figures."""
    folder = tmp_path_factory.mktemp("page")
    calls = np.random.default_rng(0).lognormal(-4, 0.1, 200)
    matrix = records.confusion(0.6)
    matrix[3] = np.roll(matrix[3], 1)
    same = {"weights_sha256": "a" * 64, "staged": True}
    for record in (
        records.make("small", right=0.4, p50_s=0.008, **same),
        records.make("small", right=0.4, p50_s=0.006, runtime="onnxruntime", **same),
        records.make("large", right=0.7, p50_s=0.080, spread=0.2, weights_sha256="b" * 64),
        records.make("middle", right=0.6, p50_s=0.020, weights_sha256="c" * 64),
        records.make(
            "middle", matrix=matrix, p50_s=0.010, runtime="openvino", precision="int8", weights_sha256="c" * 64
        ),
        records.make(EVIL, right=0.65, p50_s=0.030, weights_sha256="d" * 64),
        records.make("large", right=0.7, p50_s=0.004, device="nvidia-h200", kind="cuda", machine_id="g" * 64),
        records.make("pidnet_s", right=None, dataset=None, p50_s=0.012, device="nvidia-h200", kind="cuda"),
        records.failed("broken", reason="out of memory"),
        records.baseline(right=0.3),
        *(
            records.make(
                "small", right=0.9, p50_s=0.001, quick=True, synthetic=True, dataset="drawn", step_count=12, **device
            )
            for device in ({}, {"device": "nvidia-h200", "kind": "cuda"})
        ),
    ):
        save(record, {"pipeline_s": calls, "network_s": calls}, folder / "results")
    write(leaderboard(folder / "results"), folder / "page.html", "html")
    return folder / "page.html"


@pytest.fixture
def show(browser, file):
    """`show(fragment, **context)`: the page, ready; in the end it has said no error and asked for no other file."""
    said, asked, contexts = [], [], []

    def show(fragment="", **options):
        context = browser.new_context(reduced_motion="reduce", viewport={"width": 1300, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri() + (f"#{fragment}" if fragment else ""))
        page.wait_for_selector("html[data-ready]")
        return page

    yield show
    for context in contexts:
        context.close()
    assert said == []
    assert {url.partition("#")[0].partition(":")[0] for url in asked} <= {"file", "blob"}
    assert {url.partition("#")[0] for url in asked if url.startswith("file:")} <= {file.as_uri()}


def models(page):
    return page.locator("#table tbody:not(.fixed-map) th button").all_inner_texts()


def until(page, holds):
    """Wait for an expression to hold; the page's policy forbids the driver to poll inside of it."""
    for _ in range(WAIT_MS // 50):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never: {holds}")


def fragment(page, word):
    until(page, f"location.hash.includes('{word}')")
    return page.evaluate("location.hash.slice(1)")


def test_a_limit_moves_answer_plot_and_table_together(show):
    page = show()
    assert sorted(models(page)) == sorted(["small", "small", "large", "middle", "middle", EVIL])
    assert "large" in page.inner_text("#best .winner")
    page.fill(LATENCY, "30")
    assert sorted(models(page)) == ["middle", "middle", "small", "small"]
    assert "middle" in page.inner_text("#best .winner")
    assert page.inner_text("#count").startswith("4 of 6")
    assert "2 left out" in page.inner_text("#legend")
    command = page.inner_text(".as-command code")
    assert "--max latency=30ms" in command
    make_parser().parse_args(shlex.split(command)[1:])
    slider = page.locator(".limit", has=page.locator(LATENCY)).locator("input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext").startswith("at most")
    assert models(page) == ["small"]
    page.keyboard.press("End")
    assert len(models(page)) == 6
    assert page.input_value(LATENCY) == ""
    page.fill(LATENCY, "1")
    assert "Nothing qualifies" in page.inner_text("#best")
    assert "small" in page.inner_text("#best")


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("model=zzz", ""),
        ("runtime=openvino&precision=fp32", ""),
        ("limit.pipeline_p50_s=0", "small"),
        ("precision=int8&limit.class-loss=0", "middle"),
    ],
)
def test_where_nothing_qualifies_the_nearest_are_named(show, asked, nearest):
    said = show(asked).inner_text("#best")
    assert said.startswith("Nothing qualifies.")
    assert "null" not in said
    assert ("Nearest" in said) == bool(nearest) == ("“Only”" not in said)
    assert nearest in said


def where_speed_alone_is_known(page):
    """The table of the other device without a dataset: its row has no mIoU, no classes, no int8, no grade under B."""
    page.select_option("#device", "nvidia-h200")
    page.select_option("#group", page.locator("#group option", has_text="no dataset").get_attribute("value"))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("limit.miou=0.4", "mIoU is not known of any row here: it was not measured on nvidia-h200"),
        ("limit.iou.class%203=0.1&best=pipeline_p50_s", "IoU of class 3 is not known of any row here"),
        ("best=iou.class%203", "IoU of class 3 is not known of any row here"),
        ("limit.pipeline_p50_s=0.06", "mIoU is not known of any row here"),
        ("precision=int8&best=pipeline_p50_s", "No row here has precision int8"),
        ("runtime=openvino|onnxruntime&best=pipeline_p50_s", "No row here has runtime openvino or onnxruntime"),
    ],
)
def test_what_was_asked_stays_asked_where_it_is_not_known(show, asked, why):
    page = show(asked)
    form = "[...document.querySelectorAll('#limits input, #kinds :checked, #objective')].map((one) => one.value)"
    before = page.inner_text("#best"), models(page), page.evaluate(form)
    words = parse_qsl(fragment(page, "group="))[1:]
    assert dict(words) == {"best": "miou"} | dict(parse_qsl(asked))
    where_speed_alone_is_known(page)
    said = page.inner_text("#best")
    assert said.startswith("Nothing qualifies.")
    assert why in said
    assert "Other tables of this page have it: of intel-xeon-2c" in said
    assert parse_qsl(fragment(page, page.evaluate("current().id")))[1:] == words
    make_parser().parse_args(shlex.split(page.inner_text(".as-command code"))[1:])
    page.select_option("#device", "intel-xeon-2c")
    assert (page.inner_text("#best"), models(page), page.evaluate(form)) == before


def test_a_device_is_come_back_to_where_it_was_left(show):
    page = show()
    page.select_option("#group", index=1)
    where_speed_alone_is_known(page)
    for device, seen in (("intel-xeon-2c", "small"), ("nvidia-h200", "pidnet_s")) * 2:
        page.select_option("#device", device)
        assert models(page) == [seen]


def test_another_device_begins_with_a_table_that_knows_what_is_asked(show):
    """A smoke test that does, though more like the table before, comes after a full one."""
    page = show()
    page.select_option("#group", index=1)
    drawn = fragment(page, page.evaluate("current().id"))
    page = show(drawn.replace("best=miou", "best=pipeline_p50_s") + "&limit.miou=0.1")
    page.select_option("#device", "nvidia-h200")
    assert models(page) == ["large"]


def test_a_limit_that_no_row_can_keep_is_shown_and_can_be_taken_away(show):
    page = show("limit.miou=0.4&best=pipeline_p50_s&precision=int8")
    where_speed_alone_is_known(page)
    assert page.input_value("#limit-miou") == "40"
    limit = page.locator(".limit", has=page.locator("#limit-miou"))
    assert limit.locator("input[type=range]").is_disabled()
    assert "not known of any row here" in limit.inner_text()
    limit.get_by_role("button").click()
    assert page.locator("#limit-miou").count() == 0
    page.get_by_label("int8 (none here)").uncheck()
    assert models(page) == ["pidnet_s"]
    assert "pidnet_s" in page.inner_text("#best .winner")
    until(page, "!location.hash.includes('miou')")


def test_where_nothing_was_asked_each_table_has_what_is_best_of_its_own(show):
    for asked in ("", "best=miou"):
        page = show(asked)
        where_speed_alone_is_known(page)
        assert page.input_value("#objective") == "pipeline_p50_s"
        page.select_option("#device", "intel-xeon-2c")
        assert page.input_value("#objective") == "miou"
    page.select_option("#objective", "pipeline_p50_s")
    page.select_option("#objective", "miou")
    where_speed_alone_is_known(page)
    assert page.locator("#objective option:checked").inner_text() == "mIoU (not known here)"


def test_a_miss_is_told_from_its_limit_with_as_many_digits_as_it_takes(show):
    page = show()
    best = page.evaluate("Math.max(...rowsHere().map((row) => valueOf(row, 'miou')))")
    page = show(f"limit.miou={best + 2e-5:.7f}")
    value, limit = re.search(r"large[^(]*\(mIoU ([\d.]+) % < ([\d.]+) %\)", page.inner_text("#best")).groups()
    assert float(value) < float(limit)
    assert "0.0 % off" not in page.inner_text("#best")
    assert f"--min miou={100 * best + 2e-3:.5f}".rstrip("0") in page.inner_text(".as-command code")


@pytest.mark.parametrize(("key", "value", "other"), [("miou", 0.4799, 0.48), ("miou", 0.226, 0.4), ("miou", 0.4, 0.4),
    ("pipeline_p50_s", 0.0100001, 0.01), ("pipeline_p50_s", 0.0081256, 0.008125), ("cold_start_s", 0.1502, 0.15),
    ("pipeline_p50_s", 0.2, 1 / 30), ("param_count", 3e6, 123456789.0),
    ("peak_memory_bytes", 104857601, 104857600)])  # fmt: skip
def test_two_numbers_are_told_apart_as_in_python(show, key, value, other):
    found = show().evaluate("([key, ...values]) => apart(metric(key), ...values)", [key, value, other])
    assert tuple(found) == metric_of(key).apart(value, other)


@pytest.mark.parametrize("word", ["runtime=bogus", "limit.latencyy=0.01", "limit.miou=x", "limit.miou=", "best=cost",
    "row=zz", "compare=zz", "open=compare", "grade=Z", "sort=constructor:up", "x=__proto__", "nonsense=1",
    "constructor=1", "limit.iou.tram=0.1", "sale=yes", "limit.miou=-5", "limit.miou=0", "limit.latency=-1",
    "limit.latency=1e308", "precision=int9"])  # fmt: skip
def test_an_address_says_what_of_it_is_not_known(show, word):
    page = show(f"precision=fp32&{word}")
    assert f"cannot be read: {word}. The rest is asked" in page.inner_text("#unread")
    assert len(models(page)) == 5
    page.click("#reset")
    assert page.locator("#unread:visible").count() == 0


@pytest.mark.parametrize("name", ["latency", "Latency", "pipeline p50", "pipeline-p50-s", "pipeline_p50_s"])
def test_an_address_takes_the_names_of_the_command(show, name):
    page = show(f"limit.{name}=0.03&best=peak-memory&sort=latency:up")
    assert page.locator("#unread:visible").count() == 0
    assert (len(models(page)), page.input_value("#objective")) == (4, "peak_memory_bytes")
    fragment(page, "limit.pipeline_p50_s=0.03")


def test_a_long_address_that_is_not_known_stays_within_the_page(show):
    page = show("&".join(f"word{place}={'x' * 400}" for place in range(9)))
    page.set_viewport_size({"width": 390, "height": 900})
    said = page.inner_text("#unread")
    assert "… and 4 more. The rest" in said
    assert len(said) < 600
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_where_no_row_knows_all_that_is_asked_it_is_said(browser, records, tmp_path):
    save(records.make("a", right=0.5), {}, tmp_path)
    save(records.make("b", right=None, energy_j=0.5), {}, tmp_path)
    write(leaderboard(tmp_path), tmp_path / "page.html", "html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri() + "#limit.miou=0.1&limit.energy_per_image_j=1&best=pipeline_p50_s")
    page.wait_for_selector("html[data-ready]")
    said = page.inner_text("#best")
    page.close()
    assert "No row here has all of mIoU, energy per image, pipeline p50." in said


def test_the_form_shows_what_decides(show):
    page = show("best=class-loss.class 3")
    assert page.input_value("#objective") == "class-loss.class 3"


def test_what_forward_opened_is_closed_without_a_trace(show):
    """The entry that is come back to holds what was asked later."""
    page = show()
    for value in ("40", "20"):
        page.fill(LATENCY, value)
        if value == "40":
            until(page, "location.hash.includes('0.04')")
            page.locator("#table tbody th button").first.click()
            page.keyboard.press("Escape")
            until(page, "!isLeaving && !isOpen()")
    until(page, "location.hash.includes('0.02')")
    page.go_forward()
    until(page, "isOpen()")
    page.keyboard.press("Escape")
    until(page, "!isLeaving && !isOpen() && location.hash.includes('0.02')")
    assert page.input_value(LATENCY) == "20"


def test_a_limit_is_rounded_so_that_its_row_keeps_it(show):
    page = show()
    for key, value, limit in (
        ("pipeline_p50_s", 0.0079212, 0.007922),
        ("peak_memory_bytes", 252.104123 * 2**20, 252.2 * 2**20),
        ("miou", 0.48351, 0.483),
        ("miou", 0.0004, None),
        ("missed_share", 0, 0),
        ("class-loss", -0.01, 0),
    ):
        assert page.evaluate("([key, value]) => asLimit(key, value)", [key, value]) == pytest.approx(limit)


def test_numbers_are_rounded_as_python_rounds(show):
    values = [208.5, 209.5, -208.5, 0.25, 0.35, 48.25, 48.35, 2.675, 0.125, -0.04, 0.0, 1e-7, 56.99999999999999]
    found = show().evaluate(
        "(values) => values.flatMap((value) => [0, 1, 2].map((digits) => rounded(value, digits)))", values
    )
    assert found == [f"{round(value, digits) + 0.0:.{digits}f}" for value in values for digits in range(3)]


def test_a_shell_takes_a_command_as_it_is_meant(show):
    words = ["zoo", "compare", "it's a/b.json", "$HOME;`x`", '"', "a=1,b"]
    assert shlex.split(show().evaluate("(words) => typed(words)", words)) == words


def test_the_address_names_its_group_from_the_start(show):
    page = show()
    kept = fragment(page, "group=")
    assert f"group={page.evaluate('DATA.groups[0].id')}" in kept
    assert "best=miou" in kept


def test_on_a_phone_rows_stand_beside_each_other(show):
    page = show()
    page.set_viewport_size({"width": 390, "height": 900})
    page.evaluate("state.compare = current().rows.slice(0, 3); openCompare()")
    for box in page.locator("dialog .scroll").all():
        assert box.evaluate("(one) => one.scrollWidth <= one.clientWidth")


def test_a_header_sorts_and_what_others_published_does_not(show):
    page = show()
    head = page.locator("#table thead th", has_text="pipeline p50 ms")
    for way in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == way
    assert models(page)[0] == "large"
    page.select_option("#device", "nvidia-h200")
    page.select_option("#group", index=1)
    assert models(page) == ["pidnet_s"]
    page.select_option("#y", "miou")
    assert page.locator("#table thead th", has_text="published").get_by_role("button").count() == 0
    assert "not ranked" in page.inner_text("#legend")
    assert page.locator("#best").inner_text().count("mIoU") == 0


def test_groups_are_never_ranked_together(show):
    page = show()
    page.select_option("#device", "nvidia-h200")
    assert models(page) == ["large"]
    page.select_option("#device", "intel-xeon-2c")
    assert len(models(page)) == 6
    page.select_option("#group", index=1)
    assert models(page) == ["small"]
    assert page.inner_text("#caution").startswith("QUICK")


def test_nobody_chooses_by_a_smoke_test(show):
    page = show()
    assert page.locator("#table .on-front:visible").count()
    page.select_option("#group", index=1)
    assert page.inner_text("#caution").startswith("QUICK")
    assert page.locator("#table .on-front:visible").count() == 0
    assert "Pareto" not in page.inner_text("#legend")


def test_published_marks_are_named_and_leave_with_their_rows(show):
    page = show()
    page.select_option("#device", "nvidia-h200")
    page.locator("#group option", has_text="no dataset").wait_for(state="attached")
    page.select_option("#group", page.locator("#group option", has_text="no dataset").get_attribute("value"))
    assert models(page) == ["pidnet_s"]
    assert [page.locator(f"#{axis} option:checked").inner_text() for axis in "xy"] == ["pipeline p50", "peak memory"]
    page.select_option("#y", "miou")
    assert "not drawn: 1 of 1, without mIoU" in page.inner_text("#legend")
    assert page.locator("#plot .names text").all_text_contents() == ["pidnet_s"]
    assert page.locator("#plot .claim").get_attribute("d")
    page.fill("#search", "unet")
    until(page, "!document.querySelector('#plot .claim').getAttribute('d')")
    assert page.locator("#plot .names text").count() == 0


def test_a_name_that_is_markup_is_a_name(show):
    page = show()
    page.fill("#search", "<img")
    assert models(page) == [EVIL]
    page.get_by_role("button", name=EVIL).last.click()
    assert EVIL in page.inner_text("#card-title")
    assert page.locator("img").count() == 0


def test_keys_reach_every_point_and_its_card(show):
    page = show()
    page.focus("#plot svg")
    said = set()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        said.add(page.inner_text("#status"))
    assert len(said) == 6
    page.keyboard.press("Enter")
    card = page.locator("dialog[open]")
    card.wait_for()
    assert card.locator("h3").first.inner_text() == "Numbers"
    fragment(page, "row=")
    page.keyboard.press("Escape")
    until(page, "!location.hash.includes('row=')")
    page.locator("#table tbody th button").first.focus()
    page.keyboard.press("Enter")
    card.wait_for()


CLOSED, OPENED = "!byId('card').open", "byId('card').open"


def open_card(page):
    page.locator("#table tbody th button").first.click()


def open_comparison(page):
    for place in range(2):
        page.locator("#table tbody input").nth(place).check()
    page.locator("#compare .main").click()


@pytest.mark.parametrize("opening", [open_card, open_comparison])
def test_back_closes_what_was_opened_and_leaves_the_page_as_it_was(show, opening):
    page = show()
    page.fill(LATENCY, "30")
    page.evaluate("shownRows = 2; update()")
    opening(page)
    until(page, OPENED)
    kept = fragment(page, "row=" if opening is open_card else "open=compare")
    page.go_back()
    until(page, CLOSED)
    assert (page.input_value(LATENCY), page.evaluate("shownRows"), len(models(page))) == ("30", 2, 2)
    assert not {"row", "open"} & set(dict(parse_qsl(page.evaluate("location.hash.slice(1)"))))
    page.go_forward()
    until(page, OPENED)
    assert page.evaluate("location.hash.slice(1)") == kept
    page.reload()
    page.wait_for_selector("html[data-ready]")
    until(page, OPENED)
    page.go_back()
    until(page, CLOSED)


@pytest.mark.parametrize("way", ["Escape", "x", "beside it"])
@pytest.mark.parametrize("opening", [open_card, open_comparison])
def test_what_was_closed_is_not_opened_again_by_back(show, opening, way):
    page = show()
    page.evaluate("location.hash = addressOf({ ...state, search: 'l' })")  # where Back comes to
    until(page, "state.search === 'l'")
    length = page.evaluate("history.length")
    for limit in ("90", "40"):
        opening(page)
        until(page, OPENED)
        if way == "Escape":
            page.keyboard.press("Escape")
        elif way == "x":
            page.locator("dialog .close").click()
        else:
            page.mouse.click(5, 450)
        until(page, CLOSED)
        page.fill(LATENCY, limit)  # at once: what is asked meanwhile is not lost
        assert page.input_value(LATENCY) == limit
    fragment(page, "limit.pipeline_p50_s=0.04")
    assert page.input_value(LATENCY) == "40"
    assert page.evaluate("history.length") == length + 1  # what Forward would open
    page.go_back()
    until(page, "state.search === ''")
    assert page.evaluate(CLOSED)


def test_an_address_with_a_card_opens_it_and_closing_it_stays_on_the_page(show):
    page = show()
    open_card(page)
    other = show(fragment(page, "row="))
    until(other, OPENED)
    other.keyboard.press("Escape")
    until(other, "!location.hash.includes('row=')")
    assert other.evaluate(CLOSED)
    open_card(other)
    other.go_back()
    until(other, CLOSED)
    assert len(models(other)) == 6


def test_the_card_says_all_of_a_row(show):
    page = show("model=middle&precision=int8")
    page.locator("#table tbody th button").first.click()
    text = page.inner_text("dialog")
    for title in ("Numbers", "Latency of every call", "IoU of each class", "Confusion", "How it was fed",
                  "Weights and licences", "Where the numbers come from", "Commands"):  # fmt: skip
        assert title in text
    assert page.locator("dialog .classes tr.lost").all_inner_texts()[0].startswith("class 3")
    assert "zoo export middle -o middle-openvino-int8.onnx --runtime openvino --precision int8" in text
    assert "no legal advice" in text
    assert page.locator("dialog .confusion td.right").count() == 19
    assert page.locator("dialog rect.call").count() > 20


def test_bars_end_where_the_data_says_so_where_there_is_no_p99(show):
    few = {"n": 20, "of": [10, 11, 12, 14, 16, 18, None, None, 30], "bins": [*[1] * 19, 2, 1], "end": 25}
    drawn = """(few) => {
      const made = distribution(current().rows[0], "pipeline", few, 10, 25, false);
      const bars = [...made.querySelectorAll("rect")];
      const of = (name) => (bar) => Number(bar.getAttribute(name));
      return [of("x")(bars[0]), of("x")(bars.at(-1)) + of("width")(bars.at(-1)), of("x1")(made.querySelector(".p90"))];
    }"""
    first, last, p90 = show().evaluate(drawn, few)
    assert (p90 - first) / (last - first) == pytest.approx((16 - 10) / (25 - 10), rel=0.01)


def test_the_card_says_what_stands_against_the_timing_and_what_to_do(show):
    page = show()
    page.locator("#table tbody th button", has_text="large").first.click()
    part = page.locator("dialog section", has=page.locator("h3", has_text="Against the timing"))
    assert f"network spread 20.0% → {REMEDIES['spread']}" in part.inner_text()
    page.keyboard.press("Escape")
    page.locator("#table tbody th button", has_text="middle").first.click()
    assert "Against the timing" not in page.inner_text("dialog")


def test_the_address_holds_all_that_was_asked(show):
    page = show()
    page.fill(LATENCY, "60")
    page.select_option("#more", "iou.class 3")
    page.locator("#limits .limit").last.locator("input[type=number]").fill("10")
    page.get_by_label("eager", exact=True).check()
    page.select_option("#y", "peak_memory_bytes")
    page.locator("#log-x").uncheck()
    page.locator("#table thead button", has_text="params").click()
    page.locator("#table tbody input").nth(0).check()
    page.locator("#table tbody input").nth(1).check()
    page.locator("#compare .main").click()
    kept = fragment(page, "open=compare")
    other = show(kept)
    assert models(other) == models(page)
    assert other.locator("dialog[open]").inner_text() == page.locator("dialog[open]").inner_text()
    for box in (LATENCY, "#y", "#x", "#objective"):
        assert other.input_value(box) == page.input_value(box)
    assert not other.is_checked("#log-x")
    other.evaluate(
        "location.hash = 'group=nothing&limit.nonsense=1&x=__proto__&row=zz&sort=constructor:up&limit.miou=x'"
    )
    until(other, "document.querySelectorAll('#table tbody:not(.fixed-map) tr').length === 6")


def test_two_or_three_rows_beside_each_other(show):
    page = show()
    for place in range(4):
        page.locator("#table tbody:not(.fixed-map) input").nth(place).click()
    assert "three rows" in page.inner_text("#status").lower()
    page.get_by_role("button", name="Compare 3").click()
    assert page.locator("dialog[open] thead").first.locator("th").count() == 3
    assert page.locator("dialog .differs").count() > 5


def test_the_filtered_table_is_taken_along(show):
    page = show("limit.pipeline_p50_s=0.03", accept_downloads=True)
    with page.expect_download() as download:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["model"] for row in rows] == models(page)
    assert float(rows[0]["pipeline_p50_s"]) <= 0.03
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    until(page, "document.getElementById('status').textContent.includes('copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert [line.split("\t")[0] for line in copied.splitlines()] == ["model", *models(page)]


def test_class_columns_that_are_shown_are_taken_along(show):
    page = show("limit.iou.class 3=0.01&limit.class-loss.class 3=0.9", accept_downloads=True)
    with page.expect_download() as download:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == len(models(page)) > 0
    assert all(float(row["iou.class 3"]) >= 0.01 and float(row["class-loss.class 3"]) <= 0.9 for row in rows)


def test_an_address_of_a_table_that_is_not_here_says_so(show):
    page = show("group=ffffff&limit.pipeline_p50_s=0.03")
    assert "not on this page" in page.inner_text("#unread")
    assert len(models(page)) == 4
    page.select_option("#device", "nvidia-h200")
    assert page.locator("#unread:visible").count() == 0
    assert show("limit.pipeline_p50_s=0.03").locator("#unread:visible").count() == 0


def test_what_is_copied_from_a_card_is_said_in_it(show):
    page = show()
    page.locator("#table tbody th button").first.click()
    page.locator("dialog .commands button").first.click()
    until(page, "document.querySelector('dialog [role=status]').textContent === 'Copied.'")
    box = page.locator("dialog [role=status]").bounding_box()
    on_top = "([x, y]) => Boolean(document.elementFromPoint(x, y).closest('dialog [role=status]'))"
    assert page.evaluate(on_top, [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def test_focus_stays_where_something_was_pressed(show):
    page, focused = show(), "document.activeElement.closest('%s') !== null"
    page.evaluate("shownRows = 2; update()")
    page.locator("#rest button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('tr').rowIndex") == 3
    for place in range(2):
        page.locator("#table tbody input").nth(place).check()
    for where in ("#compare", "#table"):
        page.locator("#compare .chosen-row button").first.focus()
        page.keyboard.press("Enter")
        assert page.evaluate(focused % where)


def test_the_focus_of_the_plot_is_seen(show):
    page = show()
    page.locator("#intervals").focus()
    page.keyboard.press("Tab")
    ring = page.evaluate(
        "(({ outlineStyle, outlineOffset }) => [outlineStyle, outlineOffset])(getComputedStyle(plot.drawn))"
    )
    assert ring == ["solid", "-2px"]  # inside of the box that cuts what is drawn outside


def test_paper_holds_what_is_on_the_page(show):
    page = show("limit.pipeline_p50_s=0.03&runtime=eager|onnxruntime&best=miou")
    page.set_viewport_size({"width": 980, "height": 700})
    page.evaluate("shownRows = 1; update()")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    said = page.inner_text("#asked")
    for word in ("intel-xeon-2c", "streets val", "pipeline p50 at most 30 ms", "eager or onnxruntime", "best by mIoU"):
        assert word in said
    assert page.locator("#table tbody:not(.fixed-map) tr:visible").count() == 3
    assert page.locator("#said li:visible").count() == page.evaluate("current().notes.length + current().failed.length")
    assert page.evaluate("byId('table').scrollWidth <= byId('table').clientWidth")
    assert page.locator("#question:visible").count() == 0
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(models(page)) == 1
    assert page.locator("#said li:visible").count() == 0


@pytest.mark.parametrize("asked", ["", "best=cost&precision=int8&limit.energy-per-image=1"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 390)])
def test_nobody_is_shut_out(show, scheme, width, asked):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = show(asked, color_scheme=scheme)
    assert page.locator("#unread:visible, #limits :disabled").count() == (2 if asked else 0)
    page.set_viewport_size({"width": width, "height": 900})
    until(page, "document.querySelector('#plot svg').clientWidth <= document.documentElement.clientWidth")

    def violations():
        found = axe.run(page).response["violations"]
        return [(one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found]

    assert violations() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(
        "openCard(current().rows[0])" if width < 400 else "state.compare = current().rows.slice(0, 3); openCompare()"
    )
    assert violations() == []
