"""Ends `pytest benchmarks` with one line per target: a ratio to a peer measured in the same run, or seconds."""

import importlib.util
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """One process: side by side, benchmarks would time each other."""
    config.option.numprocesses = 0


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A results folder of 1,000 records."""
    path = Path(__file__).parent.parent / "tests" / "records.py"
    spec = importlib.util.spec_from_file_location("zoo_benchmark_records", path)
    records = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(records)
    folder = tmp_path_factory.mktemp("results")
    records.fill(folder, 1000)
    return folder


@pytest.fixture
def one_thread():
    with _threads(1):
        yield


@pytest.fixture
def two_threads():
    with _threads(2):
        yield


@contextmanager
def _threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    lines = [line for bench in getattr(session, "benchmarks", []) if (line := _line(bench.name, bench.extra_info))]
    if lines:
        terminalreporter.section("targets")
    for line in lines:
        terminalreporter.write_line(line)


def _line(name, info):
    if "ratio_to_peer" in info:
        ratio, target = info["ratio_to_peer"], info["target"]
        # a target is a number, or a text that says what it is
        verdict = "" if not isinstance(target, int | float) else "ok: " if ratio >= target else "MISSED: "
        return f"{verdict}{name}: {ratio:.2f} x {info['peer']} (target {target})"
    if "seconds" in info:
        seconds, target = info["seconds"], info["target_s"]
        return f"{'ok' if seconds <= target else 'MISSED'}: {name}: {seconds:.2f} s, target {target} s"
    if "share" in info:
        share, target = info["share"], info["target_share"]
        return f"{'ok' if share <= target else 'MISSED'}: {name}: {share:.1%}, target {target:.0%}"
    return None
