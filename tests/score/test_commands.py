"""`zoo.score.commands`: what a number rests on, and how it is measured, exported and loaded."""

from __future__ import annotations

import re
import shlex
import subprocess
from datetime import timedelta

import pytest

from zoo.cli.main import make_parser
from zoo.config import BenchConfig, load_config, parse_set
from zoo.machine import Named
from zoo.presets import RECIPE_HASHES, presets, sweep
from zoo.score.commands import (
    IMAGE_SIZE,
    SPLIT,
    how_to_export,
    how_to_have_weights,
    how_to_load,
    how_to_measure,
    preset_words,
    rests_on,
)
from zoo.score.comparing import latest
from zoo.score.rows import row

DAY = timedelta(days=1)
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
        (RANDOM, "latency", "--set image_size=512x1024 --input-size 256x512"),
        (RANDOM | {"output_size": (256, 512)}, "latency", "--input-size 256x512"),
        (RANDOM | {"output_size": (1024, 2048)}, "cityscapes", "--set accuracy=false --input-size 256x512"),
        (
            RANDOM | {"output_size": (256, 512)},
            "my own.toml",
            "--set accuracy=false --set image_size=256x512 --input-size 256x512",
        ),
        (
            {"resize": "stretch", "thread_count": 1},
            "camvid",
            "--input-size 256x512 --threads 1 --set resize=stretch",
        ),
        ({"accuracy_images": 10}, "camvid", "--accuracy-images 10 --input-size 256x512"),
        ({"split": "test"}, "camvid", "--set split=test --input-size 256x512"),
        ({"device": "nvidia-h200", "thread_count": 16}, "camvid", "--input-size 256x512"),
    ],
)
def test_what_no_preset_asks_for_stands_in_the_command(records, changes, preset, unlike):
    split = changes.pop("split", "val") if (changes := dict(changes)) else "val"
    one = row(records.make(**changes))._replace(preset=preset)
    one = one if one.dataset is None else one._replace(split=split)
    command = how_to_measure(one)
    assert re.search(r"--preset (?:'.*'|\S+) (.*) --weights", command)[1] == unlike
    asked = make_parser().parse_args(shlex.split(command)[1:])
    if preset != "my own.toml":
        config = load_config(BenchConfig, preset, parse_set(asked.set))
        assert one.dataset or (config.image_size == one.output_size and not config.accuracy)
        assert (config.resize, config.split) == (one.resize, split)


@pytest.mark.parametrize("weights", ["random", "published", "file", "own", "run"])
def test_accuracy_is_counted_by_a_preset_that_counts_it(records, weights):
    """A row that was timed alone says nothing of a dataset: that is named with what counts on it."""
    one = row(records.make("pidnet_s", source=weights, recipe="none", recipe_hash=None, dataset=None, right=None))
    for foreign in (one, one._replace(weights_source="file", file_sha256=one.weights_sha256)):
        command = how_to_measure(foreign._replace(preset="latency"), "miou")
        asked = make_parser().parse_args(shlex.split(command)[1:])
        assert asked.data is not None
        assert load_config(BenchConfig, asked.preset, parse_set(asked.set)).accuracy


def test_what_a_preset_does_not_state_is_what_a_sweep_takes():
    assert (BenchConfig().split, BenchConfig().image_size) == (SPLIT, IMAGE_SIZE)
    for name in presets("bench"):
        config, stated = load_config(BenchConfig, name), sweep(name)
        assert tuple(stated.get("image_size", IMAGE_SIZE)) == config.image_size
        assert stated.get("accuracy", True) == config.accuracy
    assert sweep("no such") == {}


def test_of_several_seeds_one_file_ships_and_all_are_measured(records):
    rows = [row(records.make(seed=seed, right=0.5 + seed / 10)) for seed in range(3)]
    (one,) = latest(rows)
    assert one.seed_count == 3
    assert "--seeds 3" in how_to_measure(one)
    assert "--weights" not in how_to_measure(one)
    assert how_to_export(one._replace(runtime="onnxruntime")).endswith(f"--weights run:camvid_cpu@abc123:{one.seed}")
    assert how_to_load(one).endswith(f":{one.seed}")
    make_parser().parse_args(shlex.split(how_to_measure(one))[1:])
    others = [one._replace(recipe="camvid_fast", recipe_hash="b" * 12) for one in rows]
    (of_another,) = latest(others)  # than the preset trains
    assert how_to_measure(of_another).endswith(f"--weights run:camvid_fast@bbbbbb:{of_another.seed}")


def test_another_makers_file_is_measured_by_itself(records):
    one = row(records.make("theirs", source="file", runtime="onnxruntime", tag="theirs.onnx"))
    one = one._replace(file_sha256=one.weights_sha256, preset="camvid", rate_hz=10.0)
    assert (
        how_to_measure(one)
        == "zoo bench --file FILE --runtimes onnxruntime --data DIR --preset camvid --input-size 256x512 --rate 10hz"
    )
    assert (how_to_export(one), how_to_load(one)) == ("", "")
    make_parser().parse_args(shlex.split(how_to_measure(one))[1:])


def test_a_command_for_many_models_is_how_the_best_known_was_measured(records):
    plain = [row(records.make(f"net{place}", minutes=-1)) for place in range(9)]
    last = row(records.make("net0", runtime="openvino", precision="int8"))
    theirs = row(records.make("theirs", source="file", runtime="onnxruntime", tag="theirs.onnx", minutes=1))
    theirs = theirs._replace(file_sha256=theirs.weights_sha256)
    words = preset_words([*plain[:2], last, row(records.failed("net9"))], [])
    assert words == ["--models net0,net1", "--runtimes openvino", "--precision int8", "--data DIR", "--preset camvid"]
    assert preset_words(plain, []) == ["--data DIR", "--preset camvid"], "of many the preset's own are meant"
    assert preset_words([plain[0], theirs], []) == ["--file FILE", "--runtimes onnxruntime", *words[-2:]]
    assert "theirs" not in " ".join(preset_words([plain[0]._replace(started_at=theirs.started_at + DAY), theirs], []))


def test_throughput_is_not_paced(records):
    assert "--rate" not in how_to_measure(row(records.make(rate_hz=10.0)), "throughput_per_s")


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
    assert " -o model-onnxruntime-fp32.onnx " in command


def test_a_recipe_that_zoo_has_changed_since_is_a_file(records):
    today, older = RECIPE_HASHES["camvid_cpu"], "0" * 12
    for digits, config in ((today, f"camvid_cpu@{today[:6]}"), (older, "FILE")):
        one = row(records.make(recipe="camvid_cpu", recipe_hash=digits))
        assert f"--config {config}" in how_to_have_weights(one)
