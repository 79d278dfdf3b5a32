"""A progress bar at a terminal, lines elsewhere."""

import io

from rich.console import Console

from zoo.report import progress
from zoo.report.progress import LiveBytes, LiveImages


def test_progress_is_a_bar_or_lines_and_nothing_for_one_image():
    for terminal, total, expected in ((False, 3, "net: 3/3 images\n"), (False, 1, ""), (True, 3, "3/3")):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=100)
        with LiveImages(console, "net") as live:
            for done in range(1, total + 1):
                live(done, total)
        assert out.getvalue() == expected if not terminal else expected in out.getvalue()


def test_a_transfer_is_a_bar_or_lines(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    for total, whole in ((4 * 2**20, " of 4.0"), (None, "")):
        out = io.StringIO()
        with LiveBytes(Console(file=out, force_terminal=False, width=100), "net:lab") as live:
            live(2**20, total)
        assert out.getvalue() == f"net:lab: 1.0{whole} MiB\n"
        out = io.StringIO()
        with LiveBytes(Console(file=out, force_terminal=True, width=100), "net:lab") as live:
            live(2**20, total)
        assert "MiB" in out.getvalue()
