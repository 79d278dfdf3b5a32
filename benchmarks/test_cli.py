"""Whole commands, from the shell's call to the process's end: what a person waits for."""

import subprocess
import sys

import pytest

ROUNDS = 5


@pytest.mark.parametrize(
    ("line", "target_s", "words"),
    [
        ("--help", 0.5, "usage: zoo"),
        ("list", 0.5, "fcn_resnet50"),
        ("leaderboard", 1.0, "model_49"),
        ("pick --device device-1 --input-size 256x256 --batch 1 --max-latency 100ms", 1.0, "model_"),
    ],
    ids=["help", "list", "leaderboard_of_1000_records", "pick_among_1000_records"],
)
def test_command(benchmark, results, line, target_s, words):
    reads = line.startswith(("leaderboard", "pick"))
    command = [sys.executable, "-m", "zoo.cli", *line.split(), *(["--results", str(results)] if reads else [])]

    def run():
        return subprocess.run(command, capture_output=True, text=True, check=True)

    assert words in benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1).stdout
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info.update(target_s=target_s, seconds=benchmark.stats.stats.median)
