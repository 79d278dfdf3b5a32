"""Ends `pytest benchmarks` with one line per target: a ratio to a peer measured in the same run, or seconds."""

import importlib.util
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from zoo import store
from zoo.artifact import Wanted
from zoo.labels import CITYSCAPES


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """One process: side by side, benchmarks would time each other."""
    config.option.numprocesses = 0


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A results folder of 1,000 records."""
    folder = tmp_path_factory.mktemp("results")
    _records().fill(folder, 1000)
    return folder


@pytest.fixture(scope="session")
def few_results(tmp_path_factory):
    """A results folder of 300 records."""
    folder = tmp_path_factory.mktemp("few")
    _records().fill(folder, 300)
    return folder


@pytest.fixture(scope="session")
def eight_devices(tmp_path_factory):
    """A results folder of 10,000 records of eight devices, written without bringing each to the disk."""
    return _fill(tmp_path_factory.mktemp("eight"), 10_000)


@pytest.fixture(scope="session")
def many_records(tmp_path_factory):
    """The same of 100,000."""
    return _fill(tmp_path_factory.mktemp("many"), 100_000)


def _fill(folder, count):
    records = _records()
    for index in range(count):
        model, condition = index % 50, index // 50
        made = records.make(
            f"model_{model}",
            right=0.2 + 0.015 * (model % 40),
            p50_s=0.005 * (1 + model),
            device=f"device-{condition % 8}",
            input_size=(128 * (1 + condition // 8 % 3), 256),
            runtime=("eager", "compile", "onnxruntime", "openvino")[condition // 24 % 4],
            precision=("fp32", "bf16")[condition // 96 % 2],
            seed=condition // 192,
            minutes=condition,
            status="timeout" if index % 97 == 96 else "ok",
        )
        path = folder / store.result_path(made)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(store.to_json(made))
    return folder


@pytest.fixture
def wanted():
    """`wanted(spec, source, size, …)`: an artifact that sees frames of `size` as they are, batch 1."""

    def wanted(spec, source, size, *, runtime="eager", precision="fp32", device="cpu", dataset=None):
        return Wanted(
            spec=spec,
            classes=CITYSCAPES,
            source=source,
            dataset=dataset,
            runtime=runtime,
            precision=precision,
            device=torch.device(device),
            image_size=size,
            input_size=size,
            resize="none",
            batch_size=1,
            memory_format="channels_last",
            compile_mode="default",
            cache=None,
        )

    return wanted


def _records():
    """The factory of the tests."""
    path = Path(__file__).parent.parent / "tests" / "records.py"
    spec = importlib.util.spec_from_file_location("zoo_benchmark_records", path)
    records = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(records)
    return records


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
