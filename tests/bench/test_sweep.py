"""A sweep end to end on tiny drawn streets: records, resuming, and everything that can go wrong in a cell."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from zoo import store
from zoo.bench import sweep
from zoo.bench.forecast import Forecast, Line
from zoo.bench.planning import plan_bench
from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.bench.workshop import Outcome, Workshop
from zoo.config import BenchConfig, TrainConfig
from zoo.data.synthetic import write_dataset
from zoo.errors import UserError
from zoo.report.board import make_board
from zoo.score.comparing import latest
from zoo.score.reading import rows_of
from zoo.score.rows import row

FRAME = (64, 256)  # wider than what an own model is tried on
TRAIN = TrainConfig(name="tiny", steps=2, batch_size=2, crop_size=(32, 64), scale_range=(1.0, 1.0))
QUICK = BenchConfig(
    name="tiny", quick=True, train_missing=True, keep_checkpoints=False, train=TRAIN, timeout_s=200, device="cpu"
)

# An own model that keeps the contract on the small image it is checked with and breaks on a real frame.
BROKEN = """
    import os, signal, time, torch

    class Net(torch.nn.Conv2d):
        def forward(self, image):
            logits = super().forward(image)
            if image.shape[-1] >= 256:
                {fault}
            return logits

    def build(num_classes):
        return Net(3, num_classes, 3, padding=1)
"""


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "streets"
    write_dataset(root, image_size=FRAME, train_count=4, val_count=2)
    return root


@pytest.fixture
def broken(tmp_path):
    def write(fault: str) -> str:
        (tmp_path / "net.py").write_text(textwrap.dedent(BROKEN).format(fault=fault))
        return f"{tmp_path / 'net.py'}:build"

    return write


def speed_only(model: str, **changes) -> BenchConfig:
    return BenchConfig(
        models=(model,), accuracy=False, image_size=FRAME, quick=True, timeout_s=200, device="cpu"
    ).model_copy(update=changes)


def test_a_sweep_trains_scores_measures_and_is_finished(streets, tmp_path):
    config = QUICK.model_copy(update={"models": ("encoder_decoder",)})
    events = []
    sweep = run_bench(
        Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"), events.append
    )
    baseline, record = sweep.records
    assert sweep.exit_code == 0
    assert baseline.is_baseline
    assert baseline.speed is None
    assert record.status == "ok"
    assert record.quick
    assert record.artifact.input_size == record.artifact.output_size == FRAME
    assert record.artifact.weights.recipe == "tiny"
    assert record.artifact.weights.step_count == 2
    assert record.cost.param_count == 160_403
    assert np.sum(record.accuracy.confusion) == np.sum(baseline.accuracy.confusion) > 0
    assert record.memory.weights_bytes == 4 * record.cost.param_count
    assert record.speed.state.training is False
    assert any("step 2/2" in event.note for event in events)
    (file,) = (tmp_path / "results").glob("**/encoder_decoder/*.json")
    counted = store.samples(file)
    assert len(counted["network_s"]) == record.speed.network.sample_count
    assert counted["true_positives"].shape == (2, 19)
    assert [stage.name for stage in record.speed.waterfall] == [
        *("copy_in", "preprocess", "network", "upsample_argmax", "copy_out")
    ]
    assert counted["pipeline_s"] == pytest.approx(sum(counted[f"stage_{s.name}_s"] for s in record.speed.waterfall))
    assert not list((tmp_path / "runs").glob(".zoo-draft-*")), "quick keeps no weights"
    assert str(tmp_path) not in store.to_json(record), "no path stands in a record"

    again = run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    assert (again.records, len(again.finished)) == ([], 2)
    more = config.model_copy(update={"precisions": ("fp32", "int8")})
    third = run_bench(Request(more, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    assert len(third.finished) == 2
    assert [(r.status, r.artifact.precision) for r in third.records] == [("unsupported", "int8")]
    assert third.exit_code == 0


def test_a_full_run_times_the_stages_of_a_call_too(tmp_path):
    config = speed_only("encoder_decoder", quick=False)
    (record,) = run_bench(Request(config, results=tmp_path / "results", runs=tmp_path / "runs")).records
    assert not record.quick
    counted = store.samples(next((tmp_path / "results").glob("**/*.json")))
    stages = sum(counted[f"stage_{stage.name}_s"] for stage in record.speed.waterfall)
    assert not np.array_equal(counted["pipeline_s"], stages), "these are calls of their own"
    assert [stage.name for stage in record.speed.waterfall] == [
        *("copy_in", "preprocess", "network", "upsample_argmax", "copy_out")
    ]


@pytest.fixture
def trained_beside(streets, tmp_path, monkeypatch):
    """`trained_beside(fault)`: a sweep whose two trainings wait for each other; fault(job) is what becomes of one."""
    real, both, jobs = Workshop.run, threading.Barrier(2, timeout=60), {}

    def sweep(fault=lambda _job: None, steps=2):
        def run(self, steps, job, **options):
            if steps != ["train"]:
                return real(self, steps, job, **options)
            jobs[job.spec.name] = job
            both.wait()
            return fault(job) or real(self, steps, job, **options)

        monkeypatch.setattr(Workshop, "run", run)
        recipe = TRAIN.model_copy(update={"steps": steps})
        changes = {"models": ("encoder_decoder", "contextnet"), "threads": 4, "trainings_at_once": 2, "train": recipe}
        request = Request(
            QUICK.model_copy(update=changes), data=streets, results=tmp_path / "results", runs=tmp_path / "runs"
        )
        return run_bench(request), jobs

    return sweep


def test_trainings_run_beside_each_other_each_on_its_share_of_the_threads(trained_beside):
    sweep, jobs = trained_beside()
    assert [record.status for record in sweep.records] == ["ok"] * 3
    assert {job.config.threads for job in jobs.values()} == {2}
    assert len({job.run_dir for job in jobs.values()}) == 2
    assert not any(job.run_dir.exists() for job in jobs.values()), "quick keeps no weights"
    assert {record.config["threads"] for record in sweep.records} == {4}
    assert all(record.artifact.weights.step_count == 2 for record in sweep.records if not record.is_baseline)


def test_of_trainings_beside_each_other_one_may_fail(trained_beside):
    def fail(job):
        return Outcome(status="failed", step="train", reason="diverged") if job.spec.name == "contextnet" else None

    records = {record.artifact.model: record for record in trained_beside(fail)[0].records}
    assert records["encoder_decoder"].status == "ok"
    assert records["contextnet"].failure.reason == "diverged"
    assert records["contextnet"].speed is None


def test_what_ends_one_training_ends_those_beside_it(trained_beside):
    """Else Ctrl-C, and a mistake that one of them finds, would wait for the others to finish."""
    began = time.monotonic()

    def refuse(job):
        if job.spec.name == "contextnet":
            raise UserError("nothing to learn")

    with pytest.raises(UserError, match="nothing to learn"):
        trained_beside(refuse, steps=1_000_000)
    assert time.monotonic() - began < QUICK.timeout_s, "the other was ended, and did not overstay"


def test_what_is_doubtful_about_trained_weights_is_told(streets, tmp_path, monkeypatch):
    real, events = Workshop.run, []

    def run(self, stages, job, **options):
        outcome = real(self, stages, job, **options)
        if stages == ["train"]:
            outcome.answers["train"] = dataclasses.replace(outcome.answers["train"], warnings=("stale",))
        return outcome

    monkeypatch.setattr(Workshop, "run", run)
    config = QUICK.model_copy(update={"models": ("encoder_decoder",)})
    run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"), events.append)
    assert [(event.model, event.note) for event in events].count(("", "stale")) == 1


def test_records_that_came_with_a_checkout_never_count_as_finished(tmp_path):
    config = speed_only("encoder_decoder")
    first = run_bench(Request(config, results=tmp_path / "a", runs=tmp_path / "runs"))
    store.save(first.records[0], {}, tmp_path / "clone")
    clone = run_bench(Request(config, results=tmp_path / "clone", runs=tmp_path / "runs"))
    assert (len(clone.records), clone.finished) == (1, [])
    assert clone.records[0].device.machine_id == first.records[0].device.machine_id


def test_a_finished_run_is_measured_whatever_its_recipe(streets, tmp_path):
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "keep_checkpoints": True})
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs"}
    trained = run_bench(Request(config, **where)).records[-1]
    assert "train" in trained.seconds
    found = run_bench(Request(config, **where, rerun=True)).records[-1]
    assert "train" not in found.seconds
    assert found.artifact.weights.sha256 == trained.artifact.weights.sha256
    other = config.model_copy(update={"train": TRAIN.model_copy(update={"steps": 3})})
    again = run_bench(Request(other, **where))
    assert again.records == [], "the newest run there is, and it was measured"
    assert again.finished[-1] == found
    none = other.model_copy(update={"train": None, "train_missing": False})
    events = []
    where = {**where, "runs": tmp_path / "none"}
    untrained = run_bench(Request(none, **where), events.append).records[-1]
    assert untrained.artifact.weights.source == "random"
    assert untrained.accuracy is None
    (said,) = (event.note for event in events if event.note.startswith("encoder_decoder: "))
    assert "train one with `zoo train encoder_decoder`" in said


def test_seeds_are_trained_and_measured_each_and_gone_on_with(streets, tmp_path):
    """Interrupted after the first of two seeds; what this device does not run is said once, not once a seed."""
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "seeds": 2, "precisions": ("fp32", "int8")})
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs"}

    def interrupt(event):
        assert event.total == 4, "baseline, int8, and fp32 of two seeds"
        if event.record is not None and event.record.status == "ok" and not event.record.is_baseline:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_bench(Request(config, **where), lambda event: event.model and interrupt(event))
    assert not list((tmp_path / "runs").glob(".zoo-draft-*"))
    sweep = run_bench(Request(config, **where))
    first = sweep.finished[-1]
    (second,) = sweep.records
    assert [record.status for record in sweep.finished] == ["ok", "unsupported", "ok"]
    assert [record.artifact.weights.seed for record in (first, second)] == [0, 1]
    assert first.artifact.weights.sha256 != second.artifact.weights.sha256
    assert first.artifact.weights.recipe == second.artifact.weights.recipe == "tiny"
    assert "train" in second.seconds
    assert None not in (second.speed, second.memory, second.accuracy), "each training is a whole record"
    (refused, one) = (row for row in latest(rows_of((*sweep.finished, second))) if not row.baseline)
    assert (one.status, one.seed_count, refused.status, refused.seed_count) == ("ok", 2, "unsupported", 0)
    assert one.miou_spread == pytest.approx(np.std([row(record).miou for record in (first, second)], ddof=1))


def test_seeds_of_kept_checkpoints_are_found_each_in_its_run(streets, tmp_path):
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "keep_checkpoints": True, "seeds": 2})
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs"}
    trained = run_bench(Request(config, **where)).records[1:]
    assert len({record.artifact.weights.sha256 for record in trained}) == 2
    found = run_bench(Request(config.model_copy(update={"train_missing": False}), **where, rerun=True)).records[1:]
    assert [record.artifact.weights for record in found] == [record.artifact.weights for record in trained]
    assert all("train" not in record.seconds for record in found)
    more = config.model_copy(update={"train_missing": False, "seeds": 3})
    with pytest.raises(UserError, match="no finished run of encoder_decoder on synthetic by recipe tiny with seed 2"):
        run_bench(Request(more, **where))


def test_several_seeds_of_what_is_trained_once_are_one_line(streets, tmp_path):
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "seeds": 3})
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs"}
    weights = tmp_path / "weights.pt"
    torch.save({}, weights)
    with pytest.raises(UserError, match="trainings of encoder_decoder and --weights names one; set seeds = 1"):
        run_bench(Request(config, **where, weights=[f"encoder_decoder={weights}"]))
    with pytest.raises(UserError, match="trainings of each model and a --file holds one; set seeds = 1"):
        run_bench(Request(config, **where, file=tmp_path / "unet.onnx"))
    assert not (tmp_path / "results").exists()


def test_a_seed_that_cannot_be_trained_does_not_hide_the_others(streets, tmp_path):
    recipe = TRAIN.model_copy(update={"sgd_learning_rate": 1e30, "grad_clip": None, "steps": 4, "precision": "fp32"})
    config = QUICK.model_copy(
        update={"models": ("encoder_decoder",), "train": recipe, "seeds": 2, "keep_checkpoints": True}
    )
    sweep = run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    failed = sweep.records[1:]
    assert [(record.failure.step, record.artifact.weights.seed) for record in failed] == [("train", 0), ("train", 1)]
    assert len({record.key for record in failed}) == 2
    assert len(store.scan(tmp_path / "results").records) == 3


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "failed", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "failed", "ended by SIGKILL"),
        ("os._exit(7)", "failed", "exit code 7"),
        ("time.sleep(600)", "timeout", "no answer within 10 s"),
        ("torch.empty(10**15)", "oom", "out of memory"),
        ("raise RuntimeError('score ' + open('/proc/self/oom_score_adj').read())", "failed", "score 1000"),
        ("raise FileNotFoundError('no /data/secret/weights.bin here')", "failed", "no weights.bin here"),
        ("print('see /data/secret/log', flush=True), os._exit(7)", "failed", "exit code 7"),
        ("logits = logits * float('nan')", "failed", "NaN or infinity"),
    ],
)
def test_a_cell_that_breaks_becomes_a_record_and_the_sweep_goes_on(fault, status, reason, broken, tmp_path):
    config = speed_only(
        broken(fault), models=(broken(fault), "encoder_decoder"), timeout_s=10 if status == "timeout" else 200
    )
    sweep = run_bench(Request(config, results=tmp_path / "results", runs=tmp_path / "runs"))
    good, bad = sweep.records
    assert (bad.status, bad.artifact.model) == (status, "net:build")
    assert reason in bad.failure.reason
    assert bad.failure.step == "measure"
    assert good.status == "ok"
    assert sweep.exit_code == 3
    assert "secret" not in store.to_json(bad), "no folder stands in a record"
    assert str(tmp_path) not in store.to_json(bad)
    workers = [child for server in psutil.Process().children() for child in server.children()]
    assert not workers, "no worker outlives its cell"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return (logits,)", "tuple"),
        ("return logits[:, :2]", r"\(1, 2, 64, 256\); return one float tensor \(N, 19, h, w\)"),
        ("raise ArithmeticError('odd')", "odd"),
    ],
)
def test_an_own_model_that_breaks_the_contract_is_one_line(body, reason, tmp_path):
    (tmp_path / "net.py").write_text(textwrap.dedent(BROKEN).format(fault="pass").replace("return logits", body))
    with pytest.raises(UserError, match=reason):
        run_bench(
            Request(speed_only(f"{tmp_path / 'net.py'}:build"), results=tmp_path / "results", runs=tmp_path / "runs")
        )


def test_a_model_that_cannot_be_trained_is_a_record_and_the_next_one_is_not_disturbed(streets, tmp_path):
    recipe = TRAIN.model_copy(update={"sgd_learning_rate": 1e30, "grad_clip": None, "steps": 4, "precision": "fp32"})
    config = QUICK.model_copy(update={"models": ("encoder_decoder", "segformer_b0"), "train": recipe})
    sweep = run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    _, diverged, trained = sweep.records
    assert (diverged.status, diverged.failure.step) == ("failed", "train")
    assert "the loss became" in diverged.failure.reason
    assert diverged.artifact.weights.recipe == "tiny", "it stands in the table it belongs to"
    assert trained.status == "ok", "adamw does not use that learning rate"


def test_auxiliary_heads_are_not_in_what_is_measured(tmp_path):
    sweep = run_bench(Request(speed_only("fcn_resnet50"), results=tmp_path / "results", runs=tmp_path / "runs"))
    record = sweep.records[0]
    assert record.speed.state.aux_heads == "off"
    counters_and_statistics = 4 * record.cost.param_count * 0.01
    assert abs(record.memory.weights_bytes - 4 * record.cost.param_count) < counters_and_statistics


def test_an_own_model_and_an_own_checkpoint(streets, broken, tmp_path):
    own = broken("pass")
    config = QUICK.model_copy(update={"models": (own,), "train": None, "train_missing": False})
    weights = tmp_path / "weights.pt"
    torch.save(torch.nn.Conv2d(3, 19, 3).state_dict(), weights)
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs"}
    record = run_bench(Request(config, **where, weights=[f"{own}={weights}"])).records[-1]
    assert record.status == "ok"
    assert record.artifact.weights.recipe == "external"
    assert record.accuracy is not None
    with pytest.raises(UserError, match="there is no file"):
        run_bench(Request(config, **where, weights=[f"net:build={tmp_path / 'none.pt'}"]))
    with pytest.raises(UserError, match="which is not measured"):
        run_bench(Request(config, **where, weights=[f"unet={weights}"]))
    with pytest.raises(UserError, match="does not fit unet"):
        run_bench(Request(config.model_copy(update={"models": ("unet",)}), **where, weights=[f"unet={weights}"]))


BY_SIZE = """
    import torch

    class Halves(torch.nn.Conv2d):
        def forward(self, x):
            half = super().forward(torch.nn.functional.avg_pool2d(x, 32))
            return torch.nn.functional.interpolate(half, scale_factor=32.0) + x[:, :1]

    class Placed(torch.nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + torch.zeros(1, 1, 50, 70)

    def halves(num_classes):
        return Halves(3, num_classes, 1)

    def placed(num_classes):
        return Placed(3, num_classes, 1)
"""


def test_an_own_model_is_measured_at_the_sizes_it_takes(tmp_path):
    (tmp_path / "net.py").write_text(textwrap.dedent(BY_SIZE))
    names = tuple(f"{tmp_path / 'net.py'}:{name}" for name in ("halves", "placed"))
    config = speed_only(names[0], models=names, input_sizes=((50, 70), (40, 60)), resize="stretch")
    events = []
    sweep = run_bench(Request(config, results=tmp_path / "results", runs=tmp_path / "runs"), events.append)
    found = {(one.artifact.model, one.artifact.input_size): one for one in sweep.records}
    assert [one.status for one in found.values()] == ["ok", "ok", "ok", "failed"]
    assert found["net:halves", (50, 70)].cost.mac_input_size == (64, 96)
    assert "forward fails on a (1, 3, 40, 60) image" in found["net:placed", (40, 60)].failure.reason
    notes = [event.note for event in events if not event.model and "found by trying" in event.note]
    assert len(notes) == 2, "once for a size, whatever the number of processes"
    assert "net:halves: its sides are padded to multiples of 32" in notes[0]


def test_a_folder_without_training_images_has_no_baseline(streets, tmp_path):
    for kind in ("leftImg8bit", "gtFine"):
        shutil.copytree(streets / kind / "val", tmp_path / "valonly" / kind / "val")
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "train_missing": False})
    sweep = run_bench(Request(config, data=tmp_path / "valonly", results=tmp_path / "results", runs=tmp_path / "runs"))
    assert [record.artifact.model for record in sweep.records] == ["encoder_decoder"]


def test_a_full_disk_is_noticed_before_the_start(tmp_path):
    with pytest.raises(UserError, match="GiB free and preset 'custom' needs"):
        run_bench(
            Request(speed_only("encoder_decoder", disk_bytes=10**18), results=tmp_path / "r", runs=tmp_path / "runs")
        )


def test_a_sweep_adds_to_a_folder_beside_a_merge(tmp_path):
    with store.locked(tmp_path / "results"):
        done = run_bench(Request(speed_only("encoder_decoder"), results=tmp_path / "results", runs=tmp_path / "runs"))
    assert [record.status for record in done.records] == ["ok"]


def test_a_sweep_over_runtimes_and_precisions(streets, tmp_path):
    """One training; each row its own artifact, scored and checked against fp32 eager."""
    config = QUICK.model_copy(
        update={
            "models": ("encoder_decoder",),
            "runtimes": ("eager", "onnxruntime", "openvino"),
            "precisions": ("fp32", "int8"),
        }
    )
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs", "cache": tmp_path / "cache"}
    sweep = run_bench(Request(config, **where))
    rows = {(r.artifact.runtime, r.artifact.precision): r for r in sweep.records if not r.is_baseline}
    assert rows.pop(("eager", "int8")).status == "unsupported"
    assert [r.status for r in rows.values()] == ["ok"] * 5, [r.failure for r in rows.values()]
    assert len({r.artifact.weights.sha256 for r in rows.values()}) == 1, "trained once"
    full = rows["onnxruntime", "fp32"]
    others = rows["onnxruntime", "int8"], rows["openvino", "fp32"]
    assert full.artifact.file_sha256 not in {r.artifact.file_sha256 for r in others}
    assert full.build.export_s > 0
    assert rows["onnxruntime", "int8"].build.calibration_image_count == 4
    assert full.software.runtime.startswith("onnxruntime ")
    assert full.artifact.memory_format == "own"
    for (runtime, _), r in rows.items():
        assert r.accuracy.image_count == 2
        assert np.sum(r.accuracy.confusion) == np.sum(full.accuracy.confusion), "mIoU at the ground truth's size"
        assert (r.agreement is None) == (runtime == "eager")
    assert full.agreement.max_logit_error < 1e-3
    again = run_bench(Request(config, **where))
    assert (again.records, len(again.finished)) == ([], 7)


FIVE_CLASSES = """
name = "five"
ignored = [0, 1, 2, 3, 4, 5, 6, 255]
mean = [0.4, 0.4, 0.4]
std = [0.3, 0.3, 0.3]
"""


def test_classes_of_your_own_are_trained_scored_and_ranked(streets, tmp_path):
    data = shutil.copytree(streets, tmp_path / "five")
    values = {"ground": range(7, 11), "built": range(11, 21), "nature": (21, 22), "sky": (23,), "moving": range(24, 34)}
    tables = [
        f'[[classes]]\nname = "{name}"\ncolor = [{index}, 0, 0]\nvalues = {list(of_class)}\n'
        for index, (name, of_class) in enumerate(values.items())
    ]
    (data / "classes.toml").write_text(FIVE_CLASSES + "".join(tables))
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "runtimes": ("eager", "onnxruntime")})
    sweep = run_bench(
        Request(config, data=data, results=tmp_path / "results", runs=tmp_path / "runs", cache=tmp_path / "cache")
    )
    baseline, eager, exported = sweep.records
    for record in sweep.records:
        assert record.status == "ok", record.failure
        assert record.accuracy.class_names == tuple(values)
        assert np.shape(record.accuracy.confusion) == (5, 6)
    assert row(baseline).miou > 1 / 5, "one map of these five classes"
    assert eager.cost.param_count < 160_403, "five channels"
    assert exported.agreement.max_logit_error < 1e-3, "fed with the same mean in both"
    (table,) = make_board(rows_of(sweep.records)).tables
    assert "five" in table.title
    assert {line.row.model for line in table.lines} == {"encoder_decoder", "mean_label_map"}


def test_input_sizes_and_growing_batches(streets, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.bench.cell.grows", lambda rates: len(rates) < 2)
    sizes = (FRAME, (32, 128))
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "input_sizes": sizes, "throughput": True})
    sweep = run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    rows = sweep.records[1:]
    assert [r.artifact.input_size for r in rows] == list(sizes)
    assert {r.artifact.output_size for r in rows} == {FRAME}
    assert rows[0].cost.mac_count > 3 * rows[1].cost.mac_count
    for r in rows:
        assert [rate.batch_size for rate in r.throughput.rates] == [1, 2]
        assert (r.throughput.largest_batch, r.throughput.largest_is_limit) == (2, False)
        assert r.seconds["throughput"] > 0


def test_one_image_of_the_split_is_said(streets, tmp_path):
    config = QUICK.model_copy(update={"models": ("encoder_decoder",), "accuracy_images": 1})
    sweep = run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    assert [r.accuracy.image_count for r in sweep.records] == [1, 1]
    assert {r.dataset.image_count for r in sweep.records} == {1}


def test_a_runtime_that_is_not_installed_is_one_line(tmp_path):
    config = speed_only("encoder_decoder", runtimes=("tensorrt",))
    with pytest.raises(UserError, match="runtime tensorrt needs tensorrt: pip install"):
        run_bench(Request(config, results=tmp_path / "results", runs=tmp_path / "runs"))
    with pytest.raises(UserError, match="Did you mean 'openvino'"):
        run_bench(
            Request(
                config.model_copy(update={"runtimes": ("openvin",)}),
                results=tmp_path / "results",
                runs=tmp_path / "runs",
            )
        )


def test_without_a_dataset_an_artifact_is_held_against_eager_on_random_images(tmp_path):
    config = speed_only("encoder_decoder", runtimes=("onnxruntime",))
    (record,) = run_bench(
        Request(config, results=tmp_path / "results", runs=tmp_path / "runs", cache=tmp_path / "cache")
    ).records
    assert record.agreement.max_logit_error < 1e-3
    assert record.agreement.equal_label_share is None, "random weights: the share would mean nothing"
    assert record.build.export_s > 0


@pytest.mark.parametrize(("fault", "is_limit"), [("raise MemoryError", True), ("raise RuntimeError('index')", False)])
def test_a_batch_that_does_not_run_ends_the_scenario_and_keeps_the_rest(fault, is_limit, broken, tmp_path):
    model = broken(f"if len(image) > 1: {fault}")
    config = speed_only(model, throughput=True)
    (record,) = run_bench(Request(config, results=tmp_path / "results", runs=tmp_path / "runs")).records
    assert record.status == "ok"
    assert [rate.batch_size for rate in record.throughput.rates] == [1]
    assert (record.throughput.largest_batch, record.throughput.largest_is_limit) == (1, is_limit)


def test_a_budget_says_first_what_fits_and_a_later_call_goes_on(tmp_path):
    config = speed_only("encoder_decoder", models=("encoder_decoder", "hrnet_w48"))
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    planned = {line.cell.spec.name: line for line in plan_bench(Request(config, **folders)).forecast.lines}
    assert planned["encoder_decoder"].is_rough
    assert planned["encoder_decoder"].seconds < planned["hrnet_w48"].seconds
    assert not (tmp_path / "results").exists(), "nothing is written"
    with pytest.raises(UserError, match="nothing fits"):
        run_bench(Request(config, budget_s=0.01, **folders))

    asked = {"budget_s": 60 + planned["encoder_decoder"].seconds, **folders}
    slow = {"encoder_decoder": Line(planned["encoder_decoder"].cell, finished=False, trains=False, seconds=1.0)}
    slow["hrnet_w48"] = dataclasses.replace(slow["encoder_decoder"], cell=planned["hrnet_w48"].cell, seconds=1e4)
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "forecast", lambda *_given: Forecast(tuple(slow.values())))
        done = run_bench(Request(config, **asked), told.append)
    assert [record.artifact.model for record in done.records] == ["encoder_decoder"]
    assert done.left_out == ["hrnet_w48"]
    assert done.exit_code == 0
    notes = [event.note for event in told]
    (said,) = [note for note in notes if "slowest last: hrnet_w48" in note]
    assert notes.index(said) < next(place for place, event in enumerate(told) if event.record is not None)

    again = run_bench(Request(config, **folders))
    assert ([record.artifact.model for record in again.records], again.left_out) == (["hrnet_w48"], [])
    assert len(again.finished) == 1


def test_what_is_not_begun_when_the_budget_is_over_is_left_out_by_name(tmp_path, monkeypatch):
    """The estimate was too low: of three cells the first takes all the time."""
    config = speed_only("enet", models=("enet", "encoder_decoder", "fast_scnn"))
    clock = [0.0]
    real = Workshop.run

    def run(self, steps, job, **options):
        clock[0] += 100.0 if steps[0] == "measure" else 0.0
        return real(self, steps, job, **options)

    monkeypatch.setattr(Workshop, "run", run)
    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    done = run_bench(Request(config, results=tmp_path / "results", runs=tmp_path / "runs", budget_s=90))
    assert len(done.records) == 1
    assert len(done.left_out) == 2
    assert {done.records[0].artifact.model, *done.left_out} == set(config.models)
