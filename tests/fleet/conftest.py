"""A cluster for tests, and the command line in a process of its own: Ray's threads stay out of pytest's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def surroundings():
    """Environment of processes that are started here; Ray's sockets want a short path, nobody else's Ray in it."""
    path = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:  # Ray's agents end later
        yield {**os.environ, "PYTHONPATH": path, "COLUMNS": "120", "TMPDIR": folder}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Add what the processes said that Ray's head starts for clients: their files go with the cluster."""
    report = yield
    if report.failed and "surroundings" in getattr(item, "funcargs", ()):
        folder = Path(item.funcargs["surroundings"]["TMPDIR"])
        for file in sorted(folder.glob("ray/session_2*/logs/ray_client_server*.err")):
            report.sections.append((file.name, file.read_text(errors="replace")[-2000:]))
    return report


@pytest.fixture(scope="module")
def cluster(surroundings):
    """`cluster.address` of three nodes, and `cluster.kill()`, which ends one of them as a power cut does."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, HERE / "three_nodes.py"], env=surroundings, **pipes) as process:

        class Three:
            address = process.stdout.readline().strip()

            @staticmethod
            def kill():
                process.stdin.write("kill\n")
                process.stdin.flush()
                assert process.stdout.readline().strip() == "killed"

        assert Three.address.startswith("ray://")
        yield Three
        process.stdin.close()


@pytest.fixture
def zoo(surroundings, tmp_path):
    """`zoo("bench", …)`: the running command line, its output as text."""
    started = []

    def start(*words) -> subprocess.Popen:
        command = [sys.executable, "-m", "zoo.cli", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=surroundings, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
