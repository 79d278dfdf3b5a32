"""The commands of a card are such as the command line takes."""

from __future__ import annotations

import ast
import inspect
import shlex
from dataclasses import replace

import pytest

import zoo
from zoo.cli.main import make_parser
from zoo.report.page.commands import commands_of
from zoo.score.rows import row


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"runtime": "onnxruntime", "precision": "int8"},
        {"runtime": "aoti", "batch_size": 4},
        {"runtime": "compile", "precision": "bf16", "source": "published", "tag": "mmseg"},
        {"source": "own"},
        {"source": "file", "tag": "my net.pth"},
        {"right": None, "dataset": None},
    ],
)
def test_they_can_be_typed(records, changes):
    found = commands_of(row(records.make("pidnet_s", **changes)))
    assert [what for what, _ in found][1] == "measure it here"
    for _, command in found:
        if command.startswith("zoo."):
            call = ast.parse(command, mode="eval").body
            asked = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
            inspect.signature(zoo.load_predictor).bind(*map(ast.literal_eval, call.args), **asked)
            assert asked["input_size"] == (256, 512)
        else:
            for line in command.split(" && "):
                make_parser().parse_args(shlex.split(line)[1:])


def test_another_makers_file_is_measured_as_a_file(records):
    foreign = row(records.make("net", source="file", tag="net.onnx", weights_sha256="f" * 64))
    foreign = replace(foreign, file_sha256=foreign.weights_sha256)
    assert commands_of(foreign) == [("measure it here", "zoo bench --file net.onnx --data DIR")]


def test_the_baseline_has_none(records):
    assert commands_of(row(records.baseline())) == []
