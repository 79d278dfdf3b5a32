"""The page as a file: nothing outside of it, nothing in it that a name could make run."""

from __future__ import annotations

import base64
import hashlib
import html
import re

import pytest

from zoo.report.board import make_board
from zoo.report.leaderboard import render
from zoo.report.page.build import SCRIPTS, _asset
from zoo.score.reading import rows_of

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(records):
    return render(make_board(rows_of([records.make(EVIL), records.make("b</script><script>alert(2)")])), "html")


def hashed(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def test_a_name_is_never_markup(page):
    assert "onerror" not in page
    assert "alert(" not in page
    assert page.count("<script") == page.count("</script>") == 2


def test_nothing_is_loaded_and_the_policy_forbids_it(page):
    markup = page.partition("<script")[0]
    assert set(re.findall(r"""(?:src|href|action)=["']?([^"'\s>]+)""", markup)) == {"data:,"}
    assert not re.search(r"url\(|@import", _asset("page.css"))
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src" not in policy
    style, script = (
        re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1],
        re.search(r"<script>(.*)</script>", page, re.DOTALL)[1],
    )
    assert f"style-src '{hashed(style)}'" in policy
    assert f"script-src '{hashed(script)}'" in policy


def test_scripts_ask_no_network_and_make_no_markup_of_text():
    script = "\n".join(map(_asset, SCRIPTS))
    for word in (
        *("fetch(", "XMLHttpRequest", "sendBeacon", "WebSocket", "EventSource", "import(", "localStorage"),
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"),
    ):
        assert word not in script


def test_the_same_board_gives_the_same_file(page, records):
    board = make_board(rows_of([records.make("b</script><script>alert(2)"), records.make(EVIL)]))
    assert render(board, "html") == page
