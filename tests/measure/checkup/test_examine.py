"""`zoo doctor --machine` as a whole."""

from __future__ import annotations

import json

import pytest
import torch

from zoo.cli.main import main
from zoo.measure.checkup import examine as room
from zoo.measure.checkup import gpu, load, space
from zoo.report.machine import show_machine

CPU = "sys/devices/system/cpu"


@pytest.fixture
def examine(system, sensors, monkeypatch, tmp_path):
    """`examine(files, load=0.0)`: the report on a machine of these files."""

    def look(files=(), other=0.0):
        root = system(files)
        monkeypatch.setattr(load, "foreign_load", lambda *_: other)
        monkeypatch.setattr(load, "_programs", dict)
        monkeypatch.setattr(load, "_stolen_s", lambda: 0.0)
        monkeypatch.setattr(space, "spare_bytes", lambda: 2**40)
        monkeypatch.setattr(gpu, "gpus", tuple)
        return room.examine_machine(tmp_path / "results", cache=tmp_path, root=root, pause=lambda _: None)

    return look


def test_every_look_stands_in_the_report_once(examine):
    report = examine()
    names = [look.what for look in report.looks]
    assert len(names) == len(set(names))
    assert {"other load", "cores", "SMT", "governor", "turbo", "heat", "power", "kind", "memory", "runtimes"} < set(
        names
    )
    text = show_machine(report)
    assert all(name in text for name in names)
    assert "cannot be seen: no cpufreq" in text


def test_load_makes_it_unfit_and_comes_first(examine):
    files = {f"{CPU}/cpu{core}/cpufreq/scaling_governor": "powersave" for core in (0, 1)}
    report = examine(files, other=1.5)
    assert [finding.severity for finding in report.findings[:2]] == ["error", "warning"]
    assert not report.healthy
    lines = show_machine(report).splitlines()
    start = lines.index("! warning: the governor of cores 0-1 is powersave")
    assert lines[start + 1].strip().startswith("clocks follow the load")
    assert "→ `echo performance | sudo tee" in "".join(lines[start:])
    assert lines[-1].startswith("not fit to measure on as it is: 1 error, 1 warning")
    assert show_machine(examine(files)).splitlines()[-1].startswith("fit to measure on (1 warning")


def test_json_says_what_the_text_says(examine):
    report = examine(other=0.2)
    read = json.loads(show_machine(report, "json"))
    assert read["healthy"] is True
    assert read["cores"] == report.core_count
    assert {look["what"]: look["seen"] for look in read["looks"]}["governor"] is None
    assert read["findings"][0]["severity"] == "warning"
    assert all(finding["effect"] and finding["advice"] for finding in read["findings"])


@pytest.mark.parametrize(("other", "code"), [(0.0, 0), (1.2, 1)])
def test_exit_code_of_the_verb(examine, monkeypatch, capsys, other, code):
    report = examine(other=other)
    monkeypatch.setattr(room, "examine_machine", lambda **_: report)
    assert main(["doctor", "--machine"]) == code
    assert capsys.readouterr().out == show_machine(report)
    assert main(["doctor", "--machine", "--format", "json"]) == code
    assert json.loads(capsys.readouterr().out)["healthy"] is (code == 0)


@pytest.mark.parametrize("flags", [["--full"], ["--data", "streets"]])
def test_a_dataset_is_not_looked_at_by_the_way(flags, capsys):
    assert main(["doctor", "--machine", *flags]) == 2
    assert "--machine looks at the machine and at no dataset" in capsys.readouterr().err


def test_a_runtime_that_is_missing_says_what_to_install(monkeypatch):
    why = "runtime openvino needs openvino: pip install 'zoo-seg[runtimes]'"
    monkeypatch.setattr(room.table, "why_missing", lambda name, _: why if name == "openvino" else "")
    look = room.runtimes()
    assert "openvino" not in look.seen
    assert "eager" in look.seen
    assert "tensorrt" not in look.seen or torch.cuda.is_available()
    assert [finding.advice for finding in look.findings] == [why]
