"""Whole commands, from the shell's call to the process's end: what a person waits for.

`first`: the first process after the records appeared, with an empty cache folder; `later`: each one after it. Targets
are held against seconds of a core, which a busy machine does not move as it moves the clock on the wall.
"""

import os
import subprocess
import sys
from statistics import median
from time import perf_counter

import pytest

ROUNDS = 5
PICK = "pick --device device-1 --input-size 256x256 --batch 1 --max-latency 100ms"
COMPARE = "compare model_1 model_2 --device device-1 --input-size 256x256 --runtime eager"
EIGHT = {
    "leaderboard": "leaderboard",
    "pick": f"{PICK} --runtime eager",
    "compare": COMPARE,
    "page": "leaderboard --html {folder}/page.html",
}
MOST_MIB = 500


LAUNCHER = """
import os, sys
process = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process in between: a peak begins with what the process that forks has, and pytest has much."""


def run(line, cache):
    """Wall seconds, CPU seconds and peak MiB of one process, and what it printed."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, "-m", "zoo.cli", *line.split()],
        check=False, capture_output=True, text=True, env=_environment(cache),
    )  # fmt: skip
    wall_s = perf_counter() - start
    assert done.returncode == 0, done.stderr
    cpu_s, peak_kib = done.stderr.splitlines()[-1].split()
    return wall_s, float(cpu_s), int(peak_kib) / 1024, done.stdout


def _environment(cache):
    """As a person has it: what was compiled once stays compiled."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
        "ZOO_CACHE": str(cache)
    }


def measure(benchmark, line, cache, target_s, words, *, rounds=ROUNDS, most_mib=None):
    runs = []
    line = line.format(folder=cache)
    benchmark.pedantic(lambda: runs.append(run(line, cache)), rounds=rounds)
    wall_s, cpu_s, peak_mib = (median(one[place] for one in runs) for place in range(3))
    benchmark.extra_info.update(target_s=target_s, seconds=cpu_s, wall_s=wall_s, peak_mib=peak_mib, most_mib=most_mib)
    assert words in runs[0][3]
    assert most_mib is None or peak_mib <= most_mib


@pytest.mark.parametrize(
    ("line", "target_s", "words"),
    [
        ("--help", 0.3, "usage: zoo"),
        ("list", 0.3, "fcn_resnet50"),
        ("leaderboard", 0.5, "model_49"),
        (PICK, 0.5, "model_"),
    ],
    ids=["help", "list", "leaderboard_of_1000_records", "pick_among_1000_records"],
)
def test_command(benchmark, results, tmp_path, line, target_s, words):
    reads = f" --results {results}" if line.startswith(("leaderboard", "pick")) else ""
    run(line + reads, tmp_path)
    measure(benchmark, line + reads, tmp_path, target_s, words)


@pytest.mark.parametrize("verb", ["leaderboard", PICK], ids=["leaderboard", "pick"])
@pytest.mark.parametrize("when", ["first", "later"])
def test_300_records(benchmark, few_results, tmp_path, verb, when):
    if when == "later":
        run(f"{verb} --results {few_results}", tmp_path)
    rounds = ROUNDS if when == "later" else 1
    measure(benchmark, f"{verb} --results {few_results}", tmp_path, 0.5, "model_", rounds=rounds)


@pytest.mark.parametrize("verb", EIGHT)
def test_first_of_10000_records(benchmark, eight_devices, tmp_path, verb):
    line, words = f"{EIGHT[verb]} --results {eight_devices}", "" if verb == "page" else "model_1"
    measure(benchmark, line, tmp_path, 2.0, words, rounds=1, most_mib=MOST_MIB)


@pytest.mark.parametrize("verb", EIGHT)
def test_later_of_10000_records(benchmark, eight_devices, later, verb):
    line, words = f"{EIGHT[verb]} --results {eight_devices}", "" if verb == "page" else "model_1"
    measure(benchmark, line, later(eight_devices), 2.0, words, rounds=3, most_mib=MOST_MIB)


@pytest.mark.parametrize("verb", EIGHT)
def test_first_of_100000_records(benchmark, many_records, tmp_path, verb):
    line, words = f"{EIGHT[verb]} --results {many_records}", "" if verb == "page" else "model_1"
    measure(benchmark, line, tmp_path, 15.0, words, rounds=1)


@pytest.mark.parametrize("verb", EIGHT)
def test_later_of_100000_records(benchmark, many_records, later, verb):
    line, words = f"{EIGHT[verb]} --results {many_records}", "" if verb == "page" else "model_1"
    measure(benchmark, line, later(many_records), 15.0, words, rounds=1)


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """A cache folder that knows a results folder's rows."""
    known = {}

    def cache(results):
        if results not in known:
            known[results] = tmp_path_factory.mktemp("later")
            for _ in range(2):  # the last files to be written have settled by then
                run(f"leaderboard --results {results}", known[results])
        return known[results]

    return cache
