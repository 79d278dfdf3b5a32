"""A sweep as a person sees it: the few numbers of each cell under their titles."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from zoo.bench.live import NAME_WIDTH, WIDTH, Live, header, print_note, row
from zoo.bench.sweep import Event
from zoo.record import Failure
from zoo.score.metrics import METRICS, SHOWN


def test_the_numbers_that_are_shown_stand_under_their_titles(records):
    record = records.make("unet", right=0.6, p50_s=0.020)
    _, titles, units = header(record).plain.splitlines()
    line = row(record).plain
    for place, key in enumerate(SHOWN):
        column = slice(NAME_WIDTH + place * WIDTH, NAME_WIDTH + (place + 1) * WIDTH)
        metric = METRICS[key]
        assert titles[column].strip() == metric.title
        assert units[column].strip() == metric.unit
        assert line[column].strip() == metric.show(metric.of(record))
    assert line.startswith("unet ")
    assert row(records.failed("unet", reason="too slow")).plain.endswith(" timeout: too slow")


def test_of_paced_calls_the_tail_and_what_was_missed_are_shown(records):
    record = records.make("unet", right=0.6, rate_hz=10.0, missed=(3, 3))
    first, titles, units = header(record).plain.splitlines()
    assert first.endswith(", paced at 10 Hz")
    words = [titles[NAME_WIDTH + place * WIDTH :][:WIDTH].strip() for place in range(len(SHOWN) + 1)]
    assert words[:4] == ["mIoU", "pipeline p50", "pipeline p99", "missed"]
    line, place = row(record).plain, NAME_WIDTH + 3 * WIDTH
    assert (line[place : place + WIDTH].strip(), units[place : place + WIDTH].strip()) == ("5.0", "%")


LONG = {"model": "deeplabv3_mobilenet_v3_large", "runtime": "onnxruntime", "precision": "int8", "right": 0.6}


def lines_of(console):
    """All that was ever on the terminal, line by line."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()))


@pytest.mark.parametrize("rate_hz", [None, 10.0])
@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_a_sweep_fits_its_terminal(records, width, rate_hz):
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    made = [records.make(**{**LONG, "rate_hz": rate_hz}), records.make("unet", rate_hz=rate_hz)]
    with Live(terminal) as live:
        for place, record in enumerate(made):
            live(Event(record.artifact.model, place, 1200, "build: exporting, compiling or calibrating"))
            live(Event(record.artifact.model, place + 1, 1200, record=record))
            live(Event(record.artifact.model, place + 1, 1200, "measure: waits for another step on this machine"))
        live(Event("unet", 3, 1200, record=records.failed("unet", reason="no answer " * 20)))
    lines = lines_of(terminal)
    assert max(map(len, lines)) <= width
    title = next(line for line in lines if line.startswith("model "))
    cells = [line for line in lines if re.fullmatch(r"(unet)? .* [\d.]+  [ABC]", line)]
    assert len(cells) == 2
    for place, record in enumerate(made):
        end = title.index("mIoU") + len("mIoU")
        assert cells[place][:end].split()[-1] == METRICS["miou"].show(METRICS["miou"].of(record)), "under its title"
        assert cells[place].index(cells[place].split()[-1]) == title.index("grade")
    assert any("/1200 0:00:0" in line for line in lines), "what is counted is never cut"


def test_in_a_file_a_cell_is_a_line(records):
    plain = Console(file=io.StringIO(), width=80, force_terminal=False)
    with Live(plain) as live:
        live(Event("unet", 1, 2, record=records.make("unet")))
        live(Event("unet", 2, 2, record=records.failed("unet", reason="no answer " * 20)))
    lines = plain.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["unet", "unet"]
    assert len(lines) == 5


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_refused_whatever_the_model_is_said_once(records, is_terminal):
    console = Console(file=io.StringIO(), width=80, force_terminal=is_terminal, color_system=None)
    why = Failure(step="plan", reason="tf32 needs a CUDA device")
    with Live(console) as live:
        for place, model in enumerate(("unet", "enet", "fpn")):
            refused = records.failed(model, status="unsupported", precision="tf32")
            live(Event(model, place, 6, record=refused.model_copy(update={"failure": why})))
            live(Event(model, place, 6, record=records.make(model)))
    lines = [line for line in lines_of(console) if "measured on" in line or "fpn" in line or "tf32" in line]
    assert [line.split()[0] for line in lines if "/6" not in line] == ["refused:", "measured", "fpn"]
    assert "refused: eager tf32: tf32 needs a CUDA device" in lines


def test_a_note_is_as_wide_as_a_terminal_and_one_line_in_a_file():
    note = "unet, enet: not trained in quick, which is long; train it with `zoo train MODEL --config quick`, or not"
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), width=80, force_terminal=is_terminal, color_system=None)
        print_note(console, note)
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= 80 or lines == [note]
        assert any("`zoo train MODEL --config quick`" in line for line in lines), "a command is not broken"
