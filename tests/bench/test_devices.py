"""Several GPUs in one machine, with a device layer that is none: what runs on which, and beside what."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest

from zoo import store
from zoo.bench.job import Measured, Survey
from zoo.bench.ledger import Ledger
from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.bench.workshop import Outcome, Workshop
from zoo.config import BenchConfig
from zoo.errors import UserError
from zoo.record import Build, Memory

MODELS = ("unet", "fpn_resnet18", "encoder_decoder", "enet", "erfnet", "cgnet", "edanet", "regseg")
STEP_S = 0.02


@dataclass(frozen=True)
class Span:
    """A step that ran."""

    steps: tuple[str, ...]
    device: str
    began: float
    ended: float
    model: str

    def meets(self, other):
        return self.began < other.ended and other.began < self.ended


@pytest.fixture
def machine(monkeypatch, records):
    """`machine(slug, ...)`: a machine with these GPUs, whose steps only take time; the list of those that ran."""
    lock = threading.Lock()

    def build(*slugs, fault=lambda _job: None):
        spans, made = [], records.make()

        def answer(steps, job):
            if steps == ["devices"]:
                return {"devices": tuple(f"cuda:{index}" for index in range(len(slugs)))}
            if steps == ["survey"]:
                index = int(job.device.partition(":")[2])
                device = made.device.model_copy(
                    update={"kind": "cuda", "slug": slugs[index], "machine_id": f"{index}" * 64}
                )
                return {"survey": Survey(job.device, device, {"eager": made.software}, frozenset(), {}, {})}
            (step,) = steps
            if step == "measure":
                measured = Measured(
                    weights=made.artifact.weights,
                    file_sha256=None,
                    file_bytes=None,
                    build=Build(),
                    cost=made.cost,
                    speed=made.speed,
                    paced=None,
                    samples={"pipeline_s": np.ones(50)},
                )
                return {step: measured}
            return {step: Memory(peak_bytes=1, weights_bytes=1)}

        def run(_self, steps, job, _timeout_s, _on_note):
            began = time.monotonic()
            if steps[0] in {"measure", "memory"}:
                fault(job)
                time.sleep(STEP_S)
            with lock:
                spans.append(Span(tuple(steps), job.device, began, time.monotonic(), job.spec.name))
            return Outcome(answers=answer(steps, job), seconds=dict.fromkeys(steps, STEP_S))

        monkeypatch.setattr(Workshop, "_run", run)
        return spans

    return build


def request(tmp_path, models=MODELS, **changes):
    config = BenchConfig(models=models, accuracy=False, image_size=(64, 128), device="cuda:all", quick=True, **changes)
    return Request(config, results=tmp_path / "results", runs=tmp_path / "runs")


def test_each_gpu_has_a_worker_and_no_cell_is_measured_twice(machine, tmp_path):
    spans = machine("nvidia-t4", "nvidia-t4", "nvidia-t4")
    events = []
    sweep = run_bench(request(tmp_path), events.append)
    assert Counter(record.artifact.model for record in sweep.records) == Counter(MODELS)
    assert sweep.finished == sweep.claimed == []
    assert len(store.scan(tmp_path / "results", history=True).records) == len(MODELS)
    measured = [span for span in spans if span.steps == ("measure",)]
    assert {span.device for span in measured} == {"cuda:0", "cuda:1", "cuda:2"}
    assert any(one.meets(two) for one in measured for two in measured if one.device != two.device), "side by side"
    assert not [
        (one, two)
        for one in measured
        for two in spans
        if two is not one and two.steps[0] in {"measure", "memory"} and one.device == two.device and one.meets(two)
    ], "a timed step has its GPU to itself"
    assert max(event.done for event in events) == len(MODELS) == max(event.total for event in events)
    again = run_bench(request(tmp_path))
    assert (again.records, len(again.finished)) == ([], len(MODELS))


def test_gpus_of_another_kind_measure_all_cells_too(machine, tmp_path):
    """A cell is an artifact on a device: two kinds of GPU are two tables."""
    machine("nvidia-t4", "nvidia-a100", "nvidia-t4")
    sweep = run_bench(request(tmp_path))
    expected = {(slug, model) for slug in ("nvidia-t4", "nvidia-a100") for model in MODELS}
    assert Counter((record.device.slug, record.artifact.model) for record in sweep.records) == Counter(expected)


def test_a_fault_on_one_gpu_ends_all_and_keeps_what_is_finished(machine, tmp_path):
    ready = threading.Event()

    def fault(job):
        if job.device == "cuda:1" and job.spec.name != MODELS[1]:
            ready.set()
            raise UserError("the disk is full")

    machine("nvidia-t4", "nvidia-t4", fault=fault)
    with pytest.raises(UserError, match="the disk is full"):
        run_bench(request(tmp_path))
    assert ready.is_set()
    kept = store.scan(tmp_path / "results", history=True)
    assert kept.warnings == ()
    machine("nvidia-t4", "nvidia-t4")
    again = run_bench(request(tmp_path))
    assert len(again.finished) == len(kept.records)
    assert len(again.records) + len(again.finished) == len(MODELS)


def test_ctrl_c_ends_all_and_keeps_what_is_finished(machine, tmp_path):
    machine("nvidia-t4", "nvidia-t4")
    seen = []

    def interrupt(event):
        if event.record is not None:
            seen.append(event.record)
            if len(seen) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_bench(request(tmp_path), interrupt)
    kept = len(store.scan(tmp_path / "results", history=True).records)
    assert 3 <= kept < len(MODELS)
    again = run_bench(request(tmp_path))
    assert (len(again.finished), len(again.records)) == (kept, len(MODELS) - kept)


def test_cpu_timing_waits_for_every_gpu(machine, tmp_path, monkeypatch):
    """Of another shell: this machine's CPU times nothing beside anything."""
    from zoo.bench import slots

    spans, cpu = machine("nvidia-t4", "nvidia-t4"), []
    done = threading.Event()

    def other_shell():
        while not done.is_set():
            with slots.held(["measure"], "cpu", "m" * 64):
                began = time.monotonic()
                time.sleep(STEP_S / 4)
                cpu.append(Span(("measure",), "cpu", began, time.monotonic(), ""))

    thread = threading.Thread(target=other_shell)
    thread.start()
    try:
        run_bench(request(tmp_path))
    finally:
        done.set()
        thread.join()
    steps = [span for span in spans if span.steps[0] in {"measure", "memory"}]
    assert len(cpu) > 1
    assert len(steps) == 2 * len(MODELS)
    assert not [(one, two) for one in cpu for two in steps if one.meets(two)]


def test_a_machine_without_gpus_is_one_line(machine, tmp_path):
    machine()
    with pytest.raises(UserError, match="device cuda:all was asked for, but torch finds none here: use --device cpu"):
        run_bench(request(tmp_path))


def test_a_second_sweep_says_who_has_claimed_what(machine, tmp_path):
    found = []

    def second(job):
        if job.spec.name == "unet" and not found:
            found.append(None)
            found[:] = [run_bench(request(tmp_path, models=("unet",)))]

    machine("nvidia-t4", fault=second)
    first = run_bench(request(tmp_path, models=("unet",)))
    assert [record.artifact.model for record in first.records] == ["unet"]
    assert first.claimed == first.claimed_by == []
    (other,) = found
    assert (other.records, other.finished) == ([], [])
    assert other.claimed == ["unet"]
    assert other.claimed_by == [f"process {os.getpid()} on {socket.gethostname()}"]


def test_what_another_kept_first_is_its_record(machine, tmp_path, monkeypatch):
    """A table shows what is in the folder."""
    machine("nvidia-t4")
    keep, theirs = Ledger.keep, []

    def late(ledger, record, samples):
        if record.artifact.model == "unet":
            theirs.append(record.model_copy(update={"started_at": record.started_at - timedelta(minutes=1)}))
            with Ledger.open(ledger.results) as other:
                assert keep(other, theirs[0], samples)
        return keep(ledger, record, samples)

    monkeypatch.setattr(Ledger, "keep", late)
    sweep = run_bench(request(tmp_path))
    assert [record.started_at for record in sweep.finished] == [theirs[0].started_at]
    assert {record.artifact.model for record in sweep.records} == {*MODELS} - {"unet"}
    stored = store.scan(tmp_path / "results", history=True).records
    assert {record.started_at for record in (*sweep.records, *sweep.finished)} == {one.started_at for one in stored}
