"""`zoo.score.commands`: what a number rests on, and how it is measured, exported and loaded."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from zoo.cli.main import make_parser
from zoo.machine import Named
from zoo.presets import RECIPE_HASHES
from zoo.score.commands import how_to_export, how_to_have_weights, how_to_load, how_to_measure, rests_on
from zoo.score.rows import row

HERE = (Named("INTEL-XEON-2C", "intel-xeon-2c", "a" * 16),)


@pytest.mark.parametrize(
    ("changes", "basis"),
    [
        ({"machine_id": "a" * 16}, "measured here"),
        ({"machine_id": "b" * 16}, "measured on the same kind of machine"),
        ({"machine_id": "b" * 16, "device": "nvidia-h200"}, "measured on another machine"),
    ],
)
def test_what_a_number_rests_on(records, changes, basis):
    one = row(records.make(**changes))
    assert rests_on(one, "pipeline_p50_s", HERE) == basis
    assert rests_on(one, "grade", HERE) == basis
    assert rests_on(one, "energy_per_image_j", HERE) == "not known"
    accepted = one.having(miou=0.7)._replace(accepted=True)
    assert rests_on(accepted, "miou", HERE) == "published"
    assert rests_on(accepted, "pipeline_p50_s", HERE) == basis


@pytest.mark.parametrize(
    ("changes", "key", "command"),
    [
        (
            {"runtime": "openvino", "precision": "int8"},
            "pipeline_p50_s",
            (
                "zoo bench --models unet --runtimes openvino --precision int8 --data DIR --preset camvid "
                "--input-size 256x512 --weights run:camvid_cpu@abc123:0"
            ),
        ),
        (
            {"source": "random", "recipe": "none", "recipe_hash": None, "dataset": None, "right": None},
            "miou",
            (
                "zoo train unet --data DIR && zoo bench --models unet --runtimes eager --precision fp32 --data DIR "
                "--preset cityscapes --input-size 256x512"
            ),
        ),
        (
            {"model": "pidnet_s", "source": "random", "recipe": "none", "recipe_hash": None, "right": None},
            "miou",
            (
                "zoo bench --models pidnet_s --runtimes eager --precision fp32 --data DIR --preset cityscapes "
                "--input-size 256x512 --weights published:mmseg"
            ),
        ),
    ],
)
def test_the_command_that_would_measure_it(records, changes, key, command):
    one = row(records.make(**changes))._replace(preset="camvid")
    assert how_to_measure(one, key) == command
    for part in command.split(" && "):
        make_parser().parse_args(shlex.split(part)[1:])


@pytest.mark.parametrize("name", ["x;touch${IFS}pwned;", "a|b&c", "it's", "$(id)", "`id`", "two words", "müller"])
def test_a_name_is_one_word_to_the_shell_in_every_command(records, name):
    one = row(records.make(model=name, runtime="onnxruntime", recipe="camvid_cpu"))._replace(preset="a;b")
    for command in (how_to_measure(one), how_to_export(one), how_to_load(one), how_to_have_weights(one)):
        seen = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True)
        words = seen.stdout.splitlines()
        assert name in words
        assert not seen.stderr
        make_parser().parse_args(words[1:])


def test_a_runtime_is_one_word_to_the_shell(records):
    command = how_to_measure(row(records.make())._replace(runtime="x;touch pwned"))
    assert "x;touch pwned" in shlex.split(command)


def test_a_file_is_named_whatever_the_model_is_called(records):
    command = how_to_export(row(records.make(model="模型", runtime="onnxruntime")))
    assert " -o model-fp32.onnx " in command


def test_a_recipe_that_zoo_has_changed_since_is_a_file(records):
    today, older = RECIPE_HASHES["camvid_cpu"], "0" * 12
    for digits, config in ((today, f"camvid_cpu@{today[:6]}"), (older, "FILE")):
        one = row(records.make(recipe="camvid_cpu", recipe_hash=digits))
        assert f"--config {config}" in how_to_have_weights(one)
