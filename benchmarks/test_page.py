"""The page of 2,000 rows: making it, and how long a browser takes from a touch to the next picture."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.report.board import make_board
from zoo.report.page.build import board_html
from zoo.score.reading import rows_of

ROWS = 2000
TOUCH_S, MAKE_S = 0.1, 2.0
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOUCH = """async (what) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const slider = document.querySelector("#limits input[type=range]"), taken = [];
  for (let turn = 0; turn < 15; turn++) {
    await frame();
    const start = performance.now();
    if (what === "slider") {
      slider.value = String(Math.round(slider.max * (0.3 + 0.04 * turn)));
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    } else document.querySelectorAll("#table thead button")[3 + (turn % 6)].click();
    await frame();
    taken.push(performance.now() - start);
  }
  return taken.sort((one, other) => one - other)[7] / 1000;
}"""


@pytest.fixture(scope="module")
def board():
    path = Path(__file__).parent.parent / "tests" / "records.py"
    spec = importlib.util.spec_from_file_location("zoo_benchmark_varied", path)
    records = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(records)
    made = records.varied(ROWS)
    sources = {(one.key, one.started_at): SimpleNamespace(record=one, name=one.key, file=Path(one.key)) for one in made}
    return replace(make_board(rows_of(made)), sources=sources)


@pytest.mark.benchmark(timer=time.process_time)
def test_making_a_page_of_2000_rows(benchmark, board):
    page = benchmark.pedantic(lambda: board_html(board), rounds=3)
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info.update(
            target_s=MAKE_S, seconds=benchmark.stats.stats.median, byte_count=len(page.encode())
        )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("what", ["slider", "sort"])
def test_touching_a_page_of_2000_rows(benchmark, board, tmp_path, what):
    playwright = pytest.importorskip("playwright.sync_api")
    file = tmp_path / "page.html"
    file.write_text(board_html(board), encoding="utf-8")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM, args=root) as browser:
        page = browser.new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        seconds = benchmark.pedantic(lambda: page.evaluate(TOUCH, what), rounds=1)
    benchmark.extra_info.update(target_s=TOUCH_S, seconds=seconds, row_count=ROWS)
