"""One plan, many hands: shares run as processes of their own give what one process gives, times apart."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from zoo import store
from zoo.bench.job import RANDOM
from zoo.bench.pinning import chosen_of, weights_of
from zoo.bench.plan_file import read_plan, write_plan
from zoo.bench.request import Request, read
from zoo.bench.sweep import measure
from zoo.cli.main import main
from zoo.errors import UserError
from zoo.score.audit import faults_of
from zoo.score.rows import row
from zoo.weights.source import Brought

RUN = """
import sys
from zoo.bench import workshop
workshop.PRELOAD.append("brief_budgets")
from zoo.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
PRESET = """
quick = true
device = "cpu"
threads = 1
train_missing = true
keep_checkpoints = false
train_models = ["enet", "encoder_decoder"]

[train]
name = "tiny"
steps = 2
batch_size = 2
crop_size = [32, 64]
scale_range = [1.0, 1.0]
"""
MODELS = "enet,encoder_decoder,fast_scnn"


@pytest.fixture
def bench(streets, tmp_path):
    """`bench("shared", "--shard", "1/2")`: a sweep on a results folder, a process of its own; `bench.here` in ours."""

    def words(results, flags):
        where = {"data": streets, "results": tmp_path / results, "runs": tmp_path / f"{results}-runs"}
        return ["bench", *(word for name, path in where.items() for word in (f"--{name}", str(path))), *flags]

    def start(results, *flags):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([sys.executable, "-c", RUN, *words(results, flags)], **pipes)

    start.here = lambda results, *flags: main(words(results, flags))
    return start


@pytest.fixture
def plan(streets, tmp_path, capsys):
    """A plan of three models, two of which are trained first, in two precisions, of which eager refuses one."""
    file, preset = tmp_path / "plan.json", tmp_path / "tiny.toml"
    preset.write_text(textwrap.dedent(PRESET))
    where = ("--data", str(streets), "--results", str(tmp_path / "nothing"), "--runs", str(tmp_path / "nothing-runs"))
    asked = ("--preset", str(preset), "--models", MODELS, "--precision", "fp32,int8")
    assert main(["bench", *where, "--dry-run", "--plan", str(file), *asked]) == 0
    assert capsys.readouterr().out.endswith(f"plan: {file} (7 cells)\n")
    assert not (tmp_path / "nothing").exists()
    return file


def ends(process):
    """Its exit code and its last line."""
    output, _ = process.communicate(timeout=600)
    lines = output.splitlines(keepends=True)
    return process.returncode, lines[-1] if lines else ""


def table(folder):
    """What the records of a folder say, times and machine apart; each cell once, each record sound."""
    found = store.scan(folder, history=True)
    assert found.warnings == ()
    rows = {}
    for record in found.records:
        assert record.cell not in rows, "no cell twice"
        assert faults_of(record, store.samples(folder / store.result_path(record))) == ()
        shown = row(record)
        told = (record.status, record.artifact, record.dataset, record.quick, record.software, shown.miou, record.cost)
        counts = None if record.accuracy is None else np.array(record.accuracy.confusion).tolist()
        rows[record.cell] = (told, counts)
    return rows


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_shares_on_one_folder_and_on_two_that_are_merged_are_what_one_process_makes(bench, plan, tmp_path):
    assert bench.here("one", "--plan", str(plan)) == 0
    expected = table(tmp_path / "one")
    assert expected.keys() == {cell.id for cell in read_plan(plan).cells}
    assert Counter(told[0] for told, _ in expected.values()) == {"ok": 4, "unsupported": 3}

    for folders in (("shared",) * 3, ("own1", "own2")):
        shards = [
            bench(one, "--plan", str(plan), "--shard", f"{index}/{len(folders)}")
            for index, one in enumerate(folders, 1)
        ]
        assert {ends(shard)[0] for shard in shards} == {0}
    assert table(tmp_path / "shared") == expected
    assert main(["merge", str(tmp_path / "own1"), str(tmp_path / "own2"), "--into", str(tmp_path / "all")]) == 0
    assert table(tmp_path / "all") == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_free_is_taken_by_whoever_comes_and_what_a_killed_one_leaves_by_the_next(bench, plan, tmp_path):
    first = bench("shared", "--plan", str(plan))
    deadline = time.monotonic() + 200
    while not list((tmp_path / "shared").rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    second = bench("shared", "--plan", str(plan))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert ends(second)[0] == 0
    assert bench.here("shared", "--plan", str(plan)) == 0
    assert table(tmp_path / "shared").keys() == {cell.id for cell in read_plan(plan).cells}


def sources(request):
    """Where the weights of a plan lie on this machine."""
    wanted = read(request)
    return [
        chosen_of(wanted, spec, weights, lambda: Brought(None)).source
        for spec in wanted.specs
        for weights in weights_of(wanted.plan, spec.name)
    ]


def test_cells_are_handed_over_without_a_folder(plan, streets, tmp_path):
    """What a fleet's node does: no results folder, and records for one that is elsewhere."""
    whole = read_plan(plan)
    share = whole.only({cell.id for cell in whole.cells if cell.model in {"fast_scnn", "mean_label_map"}})
    request = Request(share.config, plan=share, data=streets, results=tmp_path / "none", runs=tmp_path / "runs")
    assert sources(request) == [RANDOM]
    found = list(measure(request, folder="elsewhere"))
    assert [id_ for id_, _, _ in found] == [cell.id for cell in share.cells]
    for id_, record, samples in found:
        assert (record.cell, record.folder) == (id_, "elsewhere")
        assert faults_of(record, samples) == ()
    assert not (tmp_path / "none").exists()


def test_weights_are_held_against_what_was_planned(bench, streets, tmp_path, capsys):
    """Found by their content: in the runs of this machine, in a copy, or refused in one line."""
    runs, file = tmp_path / "runs", tmp_path / "plan.json"
    recipe = tmp_path / "short.toml"
    recipe.write_text("steps = 2\nbatch_size = 2\ncrop_size = [32, 64]\nscale_range = [1.0, 1.0]\nval_every = 2\n")
    train = ["train", "encoder_decoder", "--config", str(recipe), "--data", str(streets), "--runs", str(runs)]
    assert main([*train, "--device", "cpu"]) == 0
    where = ["--data", str(streets), "--runs", str(runs), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert main(["bench", "--models", "encoder_decoder", *where, "--dry-run", "--plan", str(file)]) == 0
    plan = read_plan(file)
    (weights,) = {cell.weights for cell in plan.cells if cell.model == "encoder_decoder"}
    assert (weights.kind, weights.seed) == ("run", 0)
    request = Request(plan.config, plan=plan, data=streets, runs=runs)
    ((sha256, best),) = [(source.sha256, source.file) for source in sources(request)]
    assert sha256 == weights.sha256
    elsewhere = Request(plan.config, plan=plan, data=streets, runs=tmp_path / "none")
    with pytest.raises(UserError, match=r"the plan measures weights run short \(\w{12}\) of encoder_decoder, which"):
        sources(elsewhere)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(best.read_bytes())
    for here in ({"by_content": {sha256: copy}}, {"weights": [str(copy)]}):
        assert [source.file for source in sources(replace(elsewhere, **here))] == [copy]
    capsys.readouterr()
    changed = plan.model_copy(
        update={"cells": tuple(cell.model_copy(update={"weights": weights.model_copy(update={"sha256": "0" * 64})})
                               if cell.weights == weights else cell for cell in plan.cells)}
    )  # fmt: skip
    file = tmp_path / "changed.json"
    write_plan(changed, file)
    assert main(["bench", "--plan", str(file), *where]) == 2
    error = capsys.readouterr().err
    assert re.search(r"^zoo: encoder_decoder: the plan measures weights run short \(0{12}\), here are others", error)
    assert error.count("\n") == 1
