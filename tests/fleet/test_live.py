"""The table of a fleet, on narrow and wide terminals and where there is none."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from zoo.fleet.live import LiveFleet, summary, table
from zoo.fleet.sweep import FleetEvent, SeatLine

SEATS = (
    SeatLine("10.20.30.40", "nvidia-t4", "ddrnet_23_slim tensorrt fp16", 61.0, 12, 0),
    SeatLine("10.20.30.41", "nvidia-a100-sxm4-40gb", "", None, 30, 2),
    SeatLine("10.20.30.42", "T4", "starts", 3.0, 0, 0),
)
EVENT = FleetEvent(SEATS, 42, 100, 2, 754.0)


def console(width=80, *, terminal=True) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False, color_system=None)


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_of_nodes_with_failures_and_the_time_left(width):
    terminal = console(width)
    terminal.print(table(EVENT, width, 40))
    lines = terminal.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split() == ["node", "device", "does", "for", "done", "failed"]
    assert lines[1].startswith("10.20.30.40")
    assert "nvidia-t4" in lines[1]
    assert ("ddrnet_23_slim tensorrt fp16" in lines[1]) == (width == 200)
    assert "ddrnet_23_s" in lines[1]
    assert lines[1].split()[-4:] == ["61", "s", "12", "0"]
    assert lines[2].split()[-2:] == ["30", "2"]
    assert summary(EVENT) == "42 of 100 cells, 2 failed, about 12.6 min left"


def test_a_table_is_no_longer_than_the_terminal():
    """Of a thousand devices more would be drawn for every record than anybody sees."""
    terminal = console(120)
    terminal.print(table(replace(EVENT, seats=SEATS * 300), 120, 8))
    lines = terminal.file.getvalue().splitlines()
    assert len(lines) == 1 + 8 + 1
    assert lines[-1].strip() == "and 892 more"


def test_a_terminal_shows_the_table_and_leaves_the_records(record):
    terminal = console(120)
    with LiveFleet(terminal) as live:
        live(EVENT)
        live(replace(EVENT, record=record("unet")))
    shown = terminal.file.getvalue()
    assert "10.20.30.40" in shown
    assert "unet" in shown.rpartition("10.20.30.40")[0], "above the table"


@pytest.mark.parametrize("width", [80, 120])
def test_a_fleet_fits_its_terminal_whatever_its_nodes_are_called(records, width):
    terminal = console(width)
    seats = (
        SeatLine("a-node-of-a-very-long-name.cluster.example.org", "nvidia-a100-sxm4-40gb", "starts", 3.0, 0, 0),
        *SEATS,
    )
    terminal.print(table(replace(EVENT, seats=seats), width, 20))
    with LiveFleet(terminal) as live:
        live(replace(EVENT, seats=(), note="node 10.20.30.43 T4 came, " * 6))
        made = records.make("deeplabv3_mobilenet_v3_large", runtime="onnxruntime", device="nvidia-a100-sxm4-40gb")
        live(replace(EVENT, seats=(), record=made))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.file.getvalue())
    lines = [line for line in shown.splitlines() if line.strip()]
    assert max(map(len, lines)) <= width
    assert lines[1].startswith("a-node-of-a-very-long…")
    assert lines[1].split()[-4:] == ["3", "s", "0", "0"]
    assert lines[-1].rstrip().endswith("  nvidia-a100-sxm4-40gb")


def test_without_a_terminal_there_are_records_and_notes_alone(record):
    noted, kept = replace(EVENT, note="node 10.20.30.43 T4 came"), replace(EVENT, record=record("unet"))
    plain = console(200, terminal=False)
    with LiveFleet(plain) as live:
        for event in (noted, EVENT, kept, EVENT, kept):
            live(event)
    lines = plain.file.getvalue().splitlines()
    assert lines[0] == "node 10.20.30.43 T4 came"
    assert lines[1].startswith("measured on ")
    assert [line.split()[0] for line in lines if line.startswith("unet")] == ["unet", "unet"]
    assert lines[-1].endswith(record("unet").device.slug)
    assert not any("10.20.30.40" in line for line in lines)
