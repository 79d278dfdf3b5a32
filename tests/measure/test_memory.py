"""Memory of a process of its own: what inference takes, not what building took."""

import multiprocessing
import sys

import pytest
import torch
from torch import nn

from zoo.measure import memory
from zoo.pipeline import Pipeline
from zoo.record import Memory
from zoo.runtimes import table
from zoo.spec import ModelSpec

CPU = torch.device("cpu")
MIB = 1 << 20


def measure(connection, width: int, waste: int) -> None:
    before = memory.baseline(CPU)
    garbage = torch.ones(waste * MIB // 4)  # building an artifact takes memory and gives it back
    del garbage
    model = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 19, 1))
    spec = ModelSpec(name="net", builder="tests:none", family="Net")
    size = (256, 512)
    pipeline = Pipeline(model, spec, image_size=size, input_size=size, output_size=size, resize="none")
    runnable = table.load_pipeline("eager", pipeline, device=CPU, precision="fp32")
    images = torch.zeros(1, *size, 3, dtype=torch.uint8)
    connection.send(memory.measure_memory(before, lambda _: runnable.predict(images), runnable, CPU))


class Artifact:
    """Stands in for a runtime that only tells how large its weights are."""

    weights_bytes = 7
    own_memory = False


def hold(connection, kept_bytes: int) -> None:
    """Calls that each keep a block and use another one, as large as the network's answer."""
    before, kept = memory.baseline(CPU), []

    def call(_):
        torch.ones(8 * MIB // 4)
        kept.append(torch.ones(kept_bytes // 4))

    connection.send(memory.measure_memory(before, call, Artifact(), CPU))


def in_its_own_process(target, *arguments: int) -> Memory:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(there, *arguments))
    process.start()
    process.join(60)
    assert here.poll(), f"the child ended with {process.exitcode}"
    return here.recv()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the peak")
def test_peak_is_what_inference_takes():
    narrow, wide = in_its_own_process(measure, 16, 0), in_its_own_process(measure, 256, 400)
    for found in (narrow, wide):
        assert found.peak_bytes == found.process_bytes - found.resident_before_bytes
        assert found.allocated_peak_bytes is None
        assert found.weights_bytes > 0
        assert abs(found.growth_bytes) < 2 * MIB
    activations = 128 * 256 * 256 * 4  # of the wide one's first layer
    assert wide.peak_bytes > activations
    assert wide.peak_bytes < activations * 3 + 60 * MIB, "what building gave back must not count"
    assert narrow.peak_bytes < wide.peak_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere freed memory is not given back")
def test_a_leak_shows():
    leaking, sound = in_its_own_process(hold, 2 * MIB), in_its_own_process(hold, 4)
    leaked = (memory.CALL_COUNT - memory.FIRST_COUNT) * 2 * MIB
    assert leaked <= leaking.growth_bytes < leaked + MIB
    assert abs(sound.growth_bytes) < MIB


def test_growth_is_counted_from_the_second_call():
    """What the first two allocate and keep, such as packed weights, is no leak; neither is a waiting cycle."""
    held = {"bytes": 100}

    class Cycle:
        def __init__(self):
            self.me = self
            held["bytes"] += 5

        def __del__(self):
            held["bytes"] -= 5

    def call(index):
        Cycle()
        held["bytes"] += (1000, 300, 20, 20, 20)[index]

    assert memory._run(call, lambda: held["bytes"]) == 60


def test_a_system_that_does_not_tell_gives_null(monkeypatch):
    monkeypatch.setattr(memory, "_reset_peak", lambda: False)
    calls = []
    found = memory.measure_memory(memory.baseline(CPU), calls.append, Artifact(), CPU)
    assert found.peak_bytes is None
    assert found.process_bytes is None
    assert found.weights_bytes == 7
    assert calls == list(range(memory.CALL_COUNT))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_peaks():
    there = torch.device("cuda:0")
    found = memory.measure_memory(
        memory.baseline(there), lambda _: torch.zeros(64 * MIB // 4, device=there), Artifact(), there
    )
    assert found.peak_bytes >= 64 * MIB
    assert found.reserved_peak_bytes >= found.allocated_peak_bytes
    assert found.growth_bytes == 0
    kept = []
    leaking = memory.measure_memory(
        memory.baseline(there), lambda _: kept.append(torch.zeros(2 * MIB // 4, device=there)), Artifact(), there
    )
    assert leaking.growth_bytes == (memory.CALL_COUNT - memory.FIRST_COUNT) * 2 * MIB
