"""A progress bar at a terminal, lines elsewhere."""

import io
import re

import pytest
from rich.console import Console

from zoo.report import progress
from zoo.report.progress import LiveBytes, LiveImages
from zoo.train.live import LiveTraining


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


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_numbers_of_a_training_are_whole_in_every_terminal(width):
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with LiveTraining(terminal, "deeplabv3_mobilenet_v3_large", 40_000) as live:
        live(12_000, 2.931, 1234.5)
        live(12_001, 2.931, 1234.5)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.file.getvalue()))
    assert max(map(len, lines)) <= width
    assert any(
        re.search(r"deeplabv3.* 12001/40000 loss 2\.931, 1234\.5 images/s .*left +[\d:-]+ *$", line) for line in lines
    )
    assert not any("…" in line.partition("/40000")[2] for line in lines)
