"""Which weights a sweep takes, and that a set of weights has one mIoU whoever counts it."""

from __future__ import annotations

import json
import shutil
import textwrap

import numpy as np
import pytest
import torch

from zoo import store
from zoo.bench.planning import plan_bench
from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.cli.main import main
from zoo.config import BenchConfig, TrainConfig
from zoo.data.layout import open_dataset
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.score.accuracy import miou
from zoo.train.loop import train_model

RECIPE = TrainConfig(
    name="tiny", steps=2, batch_size=2, image_size=(32, 64), crop_size=(32, 64), val_every=2, precision="fp32"
)
BENCH = BenchConfig(models=("encoder_decoder",), quick=True, timeout_s=200, device="cpu")

HOLDS = """
    from pathlib import Path
    import torch

    def build(num_classes):
        net = torch.nn.Conv2d(3, num_classes, 3, padding=1)
        net.load_state_dict(torch.load(Path(__file__).with_name("held.pt")))
        return net
"""


@pytest.fixture
def where(streets, tmp_path):
    return {"data": streets, "runs": tmp_path / "runs", "cache": tmp_path / "cache"}


@pytest.fixture
def bench(where, tmp_path):
    """`bench(**changes of the config, weights=…)`: the records measured now, what was told, and what was finished."""

    def run(weights=(), **changes):
        events = []
        sweep = run_bench(
            Request(BENCH.model_copy(update=changes), **where, results=tmp_path / "results", weights=weights),
            events.append,
        )
        return [one for one in sweep.records if not one.is_baseline], [event.note for event in events], sweep.finished

    return run


def scores(record):
    return np.array(record.accuracy.confusion)


def test_one_checkpoint_has_one_miou(bench, where):
    trained = train_model("encoder_decoder", RECIPE, data=where["data"], runs=where["runs"], device="cpu")
    (record,), said, _ = bench()
    assert record.artifact.input_size == (32, 64), "as it was trained, not the frame's 64x128"
    assert record.artifact.weights.label == "run tiny"
    assert record.config["train"] is None, "whatever the preset would have trained"
    (line,) = (note for note in said if note.startswith("encoder_decoder: "))
    assert "weights of the run tiny" in line
    dataset = open_dataset(where["data"])
    counted = evaluate_model("encoder_decoder", dataset, "val", device="cpu", runs=where["runs"])
    np.testing.assert_array_equal(scores(record), counted.confusion)
    assert trained.miou == miou(scores(record)) > 0

    (named,), said, finished = bench(weights=[f"encoder_decoder={trained.best}"], runtimes=("eager", "onnxruntime"))
    assert finished[-1].artifact.weights == record.artifact.weights, "the same weights, whoever names them"
    assert named.artifact.runtime == "onnxruntime"
    (asked,), _, _ = bench(input_sizes=((64, 128),))
    assert asked.artifact.input_size == (64, 128)
    (other,), _, _ = bench(weights=["random"])
    assert (other.accuracy, other.artifact.weights.source) == (None, "random")


def test_only_what_is_missing_is_trained(bench, where):
    train = RECIPE.model_copy(update={"name": "preset"})
    train_model("encoder_decoder", RECIPE, data=where["data"], runs=where["runs"], device="cpu")
    models = ("encoder_decoder", "lraspp_mobilenet_v3_large")
    for keep in (True, False):
        found, said, _ = bench(models=models, train=train, train_missing=True, keep_checkpoints=keep)
        assert [one.artifact.weights.label for one in found] == (["run tiny", "run preset"] if keep else []), (
            "kept runs are found by the next"
        )
        if keep:
            assert "lraspp_mobilenet_v3_large: to be trained by the recipe preset (2 steps, seed 0)" in said
            assert ["train" in one.seconds for one in found] == [False, True]
            assert found[1].artifact.input_size == (32, 64), "the recipe's"


def test_a_model_that_brings_its_weights_is_scored_and_known_by_them(bench, where, tmp_path, streets):
    (tmp_path / "net.py").write_text(textwrap.dedent(HOLDS))
    net, held = f"{tmp_path / 'net.py'}:build", tmp_path / "held.pt"
    torch.save(torch.nn.Conv2d(3, 19, 3).state_dict(), held)
    asked = {"models": (net,), "runtimes": ("eager", "onnxruntime")}
    (eager, exported), said, _ = bench(**asked)
    assert [one.status for one in (eager, exported)] == ["ok", "ok"], (eager.failure, exported.failure)
    assert "net:build: the weights it brings itself" in said
    assert eager.artifact.weights.label == "own"
    assert eager.artifact.weights.sha256 == exported.artifact.weights.sha256 is not None
    assert exported.agreement.max_logit_error < 1e-3
    assert None not in (eager.accuracy, exported.accuracy)
    counted = evaluate_model(net, open_dataset(streets), "val", device="cpu", runs=where["runs"])
    np.testing.assert_array_equal(scores(eager), counted.confusion)
    assert bench(**asked)[0] == []

    torch.save(torch.nn.Conv2d(3, 19, 3).state_dict(), held)
    (changed, rebuilt), _, finished = bench(**asked)
    assert changed.artifact.weights.sha256 == rebuilt.artifact.weights.sha256 != eager.artifact.weights.sha256
    assert rebuilt.artifact.file_sha256 != exported.artifact.file_sha256
    assert len(finished) == 1, "the baseline"


FEWER = """
name = "fewer"
ignored = [0, 1, 2, 3, 4, 5, 6, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 255]
"""


def test_weights_of_more_classes_answer_for_fewer_by_their_names(bench, where, tmp_path, streets):
    trained = train_model("encoder_decoder", RECIPE, data=streets, runs=where["runs"], device="cpu")
    where["data"] = shutil.copytree(streets, tmp_path / "fewer")
    values = {"sky": (23,), "road": (7,), "vegetation": (21,), "building": (11,), "sidewalk": (8,)}
    values["car"] = tuple(range(24, 34))
    tables = [
        f'[[classes]]\nname = "{name}"\ncolor = [{index}, 0, 0]\nvalues = {list(of_class)}\n'
        for index, (name, of_class) in enumerate(values.items())
    ]
    (where["data"] / "classes.toml").write_text(FEWER + "".join(tables))
    (record,), said, _ = bench(weights=[str(trained.best)])
    assert record.status == "ok", record.failure
    assert record.accuracy.class_names == tuple(values)
    assert record.cost.param_count == 160_403, "19 channels, as it is deployed"
    assert any("matched to those of" in note for note in said)
    dataset = open_dataset(where["data"])
    counted = evaluate_model("encoder_decoder", dataset, "val", weights=trained.best, device="cpu")
    np.testing.assert_array_equal(scores(record), counted.confusion)


def test_what_is_not_there_is_one_line_before_anything_is_measured(bench, where, tmp_path):
    (tmp_path / "net.py").write_text("import torch\ndef build(n): return torch.nn.Conv2d(3, n, 1)\n")
    net = f"{tmp_path / 'net.py'}:build"
    for changes, weights, said in (
        ({}, "published", "encoder_decoder: no published weights are known"),
        ({}, "own", "encoder_decoder is a row of the zoo"),
        ({}, "run:camvid", "encoder_decoder: no finished run on"),
        ({"models": (net,)}, "own", "its weights are others from call to call"),
        ({}, "rnadom", "Did you mean 'random'"),
        ({}, "unet=random", "which is not measured"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            bench(weights=[weights], **changes)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="holds its weights; leave --weights away"):
        run_bench(Request(BENCH, **where, weights=["random"], file=tmp_path / "net.onnx"))
    assert store.scan(tmp_path / "results").records == ()


def test_why_a_model_of_ones_own_has_no_weights_is_said(bench, tmp_path):
    (tmp_path / "net.py").write_text("import torch\ndef build(n): return torch.nn.Conv2d(3, n, 1)\n")
    (record,), said, _ = bench(models=(f"{tmp_path / 'net.py'}:build",))
    assert record.artifact.weights.source == "random"
    assert any("built with are others from call to call (weight first)" in note for note in said)


def test_a_dry_run_tells_all_and_does_nothing(bench, where, tmp_path, capsys):
    trains = {"train": RECIPE, "train_missing": True}
    planned = plan_bench(Request(BENCH.model_copy(update=trains), **where, results=tmp_path / "results")).forecast
    assert [line.state for line in planned.lines] == ["to measure", "to train first"]
    baseline, model = planned.lines
    assert baseline.seconds is None
    assert model.is_rough
    assert model.seconds > 0
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "runs").exists()
    bench(**trains)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    planned = plan_bench(Request(BENCH.model_copy(update=trains), **where, results=tmp_path / "results")).forecast
    assert [line.state for line in planned.lines] == ["finished", "finished"]
    folders = [word for name in where for word in (f"--{name}", str(where[name]))]
    (tmp_path / "preset.toml").write_text('quick = true\ndevice = "cpu"\n')
    line = ["bench", "--preset", str(tmp_path / "preset.toml"), "--models", "encoder_decoder", *folders]
    kept[tmp_path / "preset.toml"] = (tmp_path / "preset.toml").stat().st_mtime_ns
    kept[tmp_path] = tmp_path.stat().st_mtime_ns
    assert main([*line, "--results", str(tmp_path / "results"), "--precision", "fp32,int8", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "encoder_decoder: weights of the run tiny" in out
    assert "refused: " in out
    assert "cells to measure: 0, finished before: 2, refused: 1; about 0.0 min" in out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == {
        path: time for path, time in kept.items() if path != tmp_path
    }


def test_a_pair_takes_the_weights_a_sweep_takes(where, capsys):
    train_model("encoder_decoder", RECIPE, data=where["data"], runs=where["runs"], device="cpu")
    folders = [word for name in where for word in (f"--{name}", str(where[name]))]
    line = ["bench", "--set", "train_missing=false", "--device", "cpu", *folders, "--pair", "encoder_decoder"]
    assert main([*line, "encoder_decoder,input_size=64x128"]) == 0
    out = capsys.readouterr().out
    assert "encoder_decoder: weights of the run tiny" in out
    assert "encoder_decoder eager fp32 32x64" in out, "as it was trained"
    assert "· weights: run tiny " in out
    assert "random weights" not in out
    assert main([*line, "encoder_decoder", "--weights", "random"]) == 0
    assert "· weights: random" in capsys.readouterr().out


def test_weights_are_named_in_the_record_with_no_folder_of_this_machine(bench, where, tmp_path):
    trained = train_model("encoder_decoder", RECIPE, data=where["data"], runs=where["runs"], device="cpu")
    (record,), _, _ = bench(weights=[str(trained.best)])
    assert str(tmp_path) not in store.to_json(record)
    assert json.loads(store.to_json(record))["folder"] == store.folder_ids(tmp_path / "results")[0]


PLACED = """
    import torch

    class Placed(torch.nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + torch.zeros(1, 1, 32, 64)

    def build(num_classes):
        return Placed(3, num_classes, 3, padding=1)

    build.divisor = 1
"""


def test_a_model_of_one_size_is_tried_at_the_one_it_was_trained_at(bench, where, tmp_path):
    (tmp_path / "net.py").write_text(textwrap.dedent(PLACED))
    net = f"{tmp_path / 'net.py'}:build"
    recipe = RECIPE.model_copy(update={"scale_range": (1.0, 1.0), "crop_size": (32, 64)})
    (record,), _, _ = bench(models=(net,), train=recipe, train_missing=True)
    assert (record.status, record.artifact.input_size) == ("ok", (32, 64)), record.failure
    assert record.accuracy is not None
