"""`zoo.advice`: commands that are advised go on with the folders that were given."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from zoo.advice import carried, carried_command, giving
from zoo.cli.flags import FOLDERS
from zoo.cli.main import main, make_parser
from zoo.cli.reference import verbs_of
from zoo.labels import CITYSCAPES
from zoo.report.doctor import Finding, Report, show_report
from zoo.report.machine import Look, MachineReport, show_machine
from zoo.store import save

VERBS = dict(verbs_of(make_parser()))
GIVEN = {
    "bench": {"--data": "D", "--results": "my records"},
    "doctor": {"--data": "D"},
    "weights list": {"--cache": "C"},
}


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("zoo bench", "zoo bench --data D --results 'my records'"),
        ("zoo bench --data DIR --preset camvid", "zoo bench --data D --preset camvid --results 'my records'"),
        ("zoo bench --data X --results Y", "zoo bench --data X --results Y"),
        (
            "zoo train unet --data DIR && zoo bench",
            "zoo train unet --data DIR && zoo bench --data D --results 'my records'",
        ),
        ("zoo weights list", "zoo weights list --cache C"),
        ("zoo weights fetch a:b", "zoo weights fetch a:b"),
        ("zoo bench … --rerun", "zoo bench … --rerun"),
        ("zoo doctor --machine", "zoo doctor --machine"),
    ],
)
def test_a_command_carries_what_its_verb_takes(command, whole):
    assert carried_command(command) == command, "nothing was given"
    with giving(lambda: GIVEN):
        assert carried_command(command) == carried_command(carried_command(command)) == whole
        assert carried(f"see `{command}`, or `--data`; not zoo bench") == f"see `{whole}`, or `--data`; not zoo bench"
    assert carried_command(command) == command


def test_a_command_for_another_machine_carries_no_folder_of_this_one():
    text = "not measured on nvidia-h200; there `zoo bench`, here `zoo bench`"
    with giving(lambda: GIVEN):
        assert carried(text) == f"{text[:-1]} --data D --results 'my records'`"


def advised(text):
    """Every command of an answer: in backticks, and those to be copied, which stand alone."""
    whole = text.replace("\\\n", " ")
    alone = re.findall(r"^    (zoo .*)$", whole, re.MULTILINE)
    found = [
        part
        for command in (*alone, *re.findall(r"`(zoo [^`]+)`", " ".join(whole.split())))
        for part in command.split(" && ")
    ]
    return [shlex.split(command) for command in found if "…" not in command]


def takes(words, flag):
    verb = VERBS.get(" ".join(words[1:3])) or VERBS.get(words[1])
    return verb is not None and flag in verb._option_string_actions


@pytest.mark.parametrize(
    "asked",
    [
        "pick",
        "pick --at 10hz",
        "pick --at 10hz --max p99=1ms",
        "pick --min energy=1J --minimize latency",
        "pick --max energy=1J --minimize latency",
        "pick --max missed=1%",
        "pick --device nobody",
        "pick --where quick=yes",
        "leaderboard",
        "leaderboard --where quick=yes",
        "leaderboard --models nobody",
        "info unet --no-parts",
        "compare a nobody",
        "compare mean_label_map a",
        "serve --port 70000",
        "share",
    ],
)
def test_what_is_advised_of_records_is_advised_of_the_same_folder(records, tmp_path, capsys, monkeypatch, asked):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for made in (records.make("a"), records.make("unet", right=None, samples=20), records.baseline()):
        save(made, {}, tmp_path / "mine")
    main([*asked.split(), "--results", "mine"])
    said = capsys.readouterr()
    for words in advised((said.out + said.err).replace("there `zoo bench`", "")):
        assert not takes(words, "--results") or words[words.index("--results") + 1] == "mine", words
        assert words[1:] in ([word] for word in VERBS) or make_parser().parse_args(words[1:])


def test_answers_as_json_carry_it_too(records, tmp_path, capsys):
    """The commands that have a key of their own, and those that notes name."""
    save(records.make("unet"), {}, tmp_path)
    save(records.make("fcn", rates=(100.0,)), {}, tmp_path)
    for asked, commands in (
        ("pick --at 10hz", lambda answer: [answer["measure"], answer["export"], answer["pace"]]),
        ("pick --price 2.49/h", lambda answer: _in_backticks(answer["notes"])),
        ("info unet --no-parts", lambda answer: answer["commands"].values()),
    ):
        assert main([*asked.split(), "--format", "json", "--results", str(tmp_path)]) == 0
        found = [shlex.split(command) for command in commands(json.loads(capsys.readouterr().out)) if command]
        assert found
        assert all("--results" in words for words in found if takes(words, "--results"))


def test_findings_as_json_carry_it_too():
    finding = Finding("note", "little room", "`zoo cache` shows what can go")
    dataset = Report(Path("d"), full=False, spec=CITYSCAPES, splits=(), findings=(finding,))
    looked = MachineReport((), 1, (Look("disk", "full", findings=(finding,)),))
    with giving(lambda: {"cache": {"--cache": "C"}}):
        for text in (show_report(dataset, "json"), show_machine(looked, "json")):
            assert json.loads(text)["findings"][0]["advice"] == "`zoo cache --cache C` shows what can go"


def _in_backticks(texts):
    return [command for text in texts for command in re.findall(r"`(zoo [^`]+)`", text)]


@pytest.mark.parametrize("nobody", ["run:camvid_cpu:0", "run:mine:2", "run"])
def test_what_is_not_here_is_made_with_the_folders_that_were_given(tmp_path, capsys, monkeypatch, nobody):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synth", "drawn", "--size", "64x128", "--train", "2", "--val", "2"]) == 0
    folders = ["--data", "drawn", "--runs", "my runs", "--cache", "c"]
    capsys.readouterr()
    for asked in (["export", "unet", "-o", "u.onnx"], ["predict", "unet", "drawn", "-o", "o"], ["eval", "unet"]):
        assert main([*asked, "--weights", nobody, *folders]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "--data drawn --runs 'my runs' --cache c`" in error
        (words,) = (words for words in advised(error) if words[1] == "train")
        make_parser().parse_args(words[1:])


def test_the_folders_are_flags_that_say_where():
    taken = {flag for verb in VERBS.values() for flag in verb._option_string_actions}
    assert {f"--{name}" for name in FOLDERS} <= taken
    known = [action for verb in VERBS.values() for action in verb._actions]
    others = {flag for action in known if action.metavar == "DIR" for flag in action.option_strings}
    assert others - {f"--{name}" for name in FOLDERS} == {"--into", "-o", "--output", "--predictions"}, (
        "a new folder is carried, or is here on purpose"
    )


def test_what_came_with_zoo_is_read_and_never_written_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["info", "fast_scnn", "--results", "shipped"]) == 0
    said = capsys.readouterr().out
    assert "zoo bench --models fast_scnn" in said
    assert "--results" not in said
    (tmp_path / "shipped").mkdir()
    main(["info", "fast_scnn", "--results", "shipped"])
    assert "--results shipped" in "".join(capsys.readouterr())
