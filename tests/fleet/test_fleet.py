"""A fleet for real: three nodes of a local Ray cluster, one of which is killed in the middle of a cell."""

from __future__ import annotations

import platform
import signal
from collections import Counter

import pytest

from zoo import store
from zoo.catalog import list_models
from zoo.train.journal import read_losses
from zoo.train.run import read_run

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL = ("--input-size", "32x64", "--set", "train.steps=2", "--set", "train.warmup_steps=0")
"""Quick, made smaller still."""


def test_core_in_quick_loses_a_node_and_no_record(cluster, zoo, tmp_path):
    where = ("--fleet", cluster.address, "--on", "cpu", "--results", tmp_path / "results")
    asked = ("bench", "--models", "core", *SMALL, *where)
    running, said = zoo(*asked), []
    for line in running.stdout:
        said.append(line)
        # Once the baseline is done, which takes no time, all three are in the middle of a cell of their own.
        if sum(" begins: " in one for one in said) == 3 and any(one.startswith("mean_label_map") for one in said):
            cluster.kill()
            break
    text = "".join([*said, running.communicate()[0]])
    assert running.returncode == 0, text
    assert "was lost while it measured" in text
    assert "try 1 of 3" in text

    records = store.scan(tmp_path / "results", history=True).records
    assert Counter(record.artifact.model for record in records) == Counter(["mean_label_map", *list_models(tag="core")])
    assert {record.status for record in records} == {"ok"}
    assert len({record.cell for record in records}) == len(records)
    assert sorted(record.tries for record in records) == [1, 1, 1, 1, 2]
    for record in records:
        path = tmp_path / "results" / store.result_path(record)
        assert store.samples(path), "each came with its samples"
        written = path.read_text()
        assert not [private for private in (str(tmp_path), "127.0.0.1", f'"{platform.node()}"') if private in written]

    again = zoo(*asked)
    out = again.communicate()[0]
    assert again.returncode == 0, out
    assert "cells measured: 0, finished before: 5" in out
    assert len(store.scan(tmp_path / "results", history=True).records) == len(records)


def test_an_interrupt_ends_the_fleet_and_keeps_what_is_finished(cluster, zoo, tmp_path):
    where = ("--fleet", cluster.address, "--results", tmp_path / "results")
    running = zoo("bench", "--models", "encoder_decoder", *SMALL, *where)
    for line in running.stdout:
        if line.startswith("mean_label_map"):
            running.send_signal(signal.SIGINT)
            break
    out = running.communicate(timeout=120)[0]
    assert running.returncode == 130, out
    assert "interrupted; everything finished is kept" in out
    assert "Traceback" not in out
    kept = store.scan(tmp_path / "results", history=True).records
    assert "mean_label_map" in {record.artifact.model for record in kept}


def test_training_on_two_nodes_is_the_training_of_one(cluster, zoo, tmp_path):
    (tmp_path / "tiny.toml").write_text("steps = 4\nbatch_size = 2\ncrop_size = [64, 64]\nimage_size = [64, 128]\n")
    train = ("train", "encoder_decoder", "--config", "tiny.toml")
    for where in (("--runs", "one"), ("--runs", "two", "--fleet", cluster.address, "--workers", "2")):
        process = zoo(*train, *where)
        out = process.communicate()[0]
        assert process.returncode == 0, out
        assert out.splitlines()[-1].endswith("best.safetensors")
    one, two = (next((tmp_path / name).rglob("run.json")).parent for name in ("one", "two"))
    assert (read_run(one).process_count, read_run(two).process_count) == (1, 2)
    assert read_losses(two) == pytest.approx(read_losses(one), rel=1e-2)
    assert one.relative_to(tmp_path / "one") == two.relative_to(tmp_path / "two")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bench", "--on", "H100"), "zoo: --on H100: the fleet has cpu. Name one of these, or add a node with it"),
        (("bench", "--preset", "camvid"), "zoo: a fleet measures the same weights on every device, and unet still "),
        (("train", "unet", "--workers", "9"), "zoo: the fleet has "),
    ],
    ids=["no such device", "untrained", "too many processes"],
)
def test_what_a_fleet_cannot_do_is_one_line(cluster, zoo, words, said):
    verb, *flags = words
    models = ("--models", "unet") if verb == "bench" else ()
    process = zoo(verb, *models, "--fleet", cluster.address, *flags)
    out = process.communicate()[0]
    assert process.returncode == 2, out
    assert out.splitlines()[-1].startswith(said)
    assert "Traceback" not in out
