"""The leaderboard as one file that a browser opens: the board's contents and the assets beside this module.

The file asks nothing of any network, and its policy forbids it to: scripts and styles run by their hash alone, and
nothing is loaded. What rows are called reaches the page as packed data and is shown as text, never as markup.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from importlib.resources import files

from zoo.machine import here
from zoo.report.board import Board
from zoo.report.page.contents import page_json

SCRIPTS = ("data.js", "state.js", "form.js", "chart.js", "table.js", "card.js", "main.js")
"""In this order they are one script."""


def board_html(board: Board) -> str:
    """Return a board as one HTML file; the same board gives the same file on the same machine."""
    script = "\n".join(_asset(name) for name in SCRIPTS)
    style = _asset("page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    text = page_json(board, here()).encode()
    packed = base64.b64encode(gzip.compress(text, 7, mtime=0)).decode()  # of its 64 signs none is markup
    page = _asset("page.html")
    for name, part in {"policy": policy, "style": style, "data": packed, "script": script}.items():
        page = page.replace("{{" + name + "}}", part, 1)
    return page


def _asset(name: str) -> str:
    return (files("zoo.report.page") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names what stands between two tags."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
