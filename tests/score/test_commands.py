"""`zoo.score.commands`: what a number rests on, and how it is measured, exported and loaded."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib

import pytest

from zoo.cli.main import make_parser
from zoo.config import BenchConfig, load_config, parse_set
from zoo.machine import Named
from zoo.presets import RECIPE_HASHES, frame_size, presets
from zoo.score.commands import how_to_export, how_to_have_weights, how_to_load, how_to_measure, rests_on
from zoo.score.comparing import latest
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


RANDOM = {"source": "random", "recipe": "none", "recipe_hash": None, "dataset": None, "right": None}


@pytest.mark.parametrize(
    ("changes", "preset", "unlike"),
    [
        (RANDOM, "latency", "--set image_size=512x1024 "),
        (RANDOM | {"output_size": (256, 512)}, "latency", ""),
        (RANDOM | {"output_size": (256, 512)}, "my own.toml", "--set image_size=256x512 "),
        ({"resize": "stretch", "thread_count": 1}, "camvid", "--threads 1 --set resize=stretch "),
        ({"device": "nvidia-h200", "thread_count": 16}, "camvid", ""),
    ],
)
def test_what_no_preset_asks_for_stands_in_the_command(records, changes, preset, unlike):
    one = row(records.make(**changes))._replace(preset=preset)
    command = how_to_measure(one)
    assert re.search(r"--input-size 256x512 (.*)--weights", command)[1] == unlike
    asked = make_parser().parse_args(shlex.split(command)[1:])
    if preset != "my own.toml":
        config = load_config(BenchConfig, preset, parse_set(asked.set))
        assert one.dataset or config.image_size == one.output_size
        assert config.resize == one.resize


def test_a_preset_makes_up_frames_of_the_size_that_it_states():
    for name, path in presets("bench").items():
        stated = tomllib.loads(path.read_text()).get("image_size")
        assert frame_size(name) == stated
    assert frame_size("no such") is None


def test_of_several_seeds_one_file_ships_and_all_are_measured(records):
    rows = [row(records.make(seed=seed, right=0.5 + seed / 10)) for seed in range(3)]
    (one,) = latest(rows)
    assert one.seed_count == 3
    assert "--seeds 3" in how_to_measure(one)
    assert "--weights" not in how_to_measure(one)
    assert how_to_export(one._replace(runtime="onnxruntime")).endswith(f"--weights run:camvid_cpu@abc123:{one.seed}")
    assert how_to_load(one).endswith(f":{one.seed}")
    make_parser().parse_args(shlex.split(how_to_measure(one))[1:])


def test_another_makers_file_is_measured_by_itself(records):
    one = row(records.make("theirs", source="file", runtime="onnxruntime", tag="theirs.onnx"))
    one = one._replace(file_sha256=one.weights_sha256, preset="latency", rate_hz=10.0)
    assert how_to_measure(one) == "zoo bench --file FILE --data DIR --preset latency --rate 10hz"
    assert (how_to_export(one), how_to_load(one)) == ("", "")
    make_parser().parse_args(shlex.split(how_to_measure(one))[1:])


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
