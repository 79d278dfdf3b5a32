"""Whatever is edited in a record or its samples, and can be told from the other, is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import store
from zoo.catalog import MODELS
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.identity import network_sha256
from zoo.machine import may_be_called
from zoo.question import hashes_of
from zoo.record import Failure
from zoo.score.audit import audit, faults_of

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def kept(records, tmp_path):
    """A sound record with everything that has samples, in a folder."""
    return store.save(*records.sampled(staged=True, right=0.6), tmp_path)


def edit(path, where, value):
    """Change one number of a record's JSON by hand."""
    record = json.loads(path.read_text())
    *parents, last = where
    place = record
    for name in parents:
        place = place[name]
    place[last] = value(place[last]) if callable(value) else value
    path.write_text(json.dumps(record))


def resample(path, name, change):
    """Change one array of a sidecar; `None` leaves it out."""
    arrays = store.samples(path)
    arrays[name] = change(arrays.get(name))
    left = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(path.with_suffix(".npz"), **left)


def test_every_committed_record_is_that_of_its_samples():
    found = audit(RESULTS)
    assert found.faults == ()
    assert found.record_count >= 138


def test_a_sound_record_passes_and_a_folder_without_any_is_said(kept, tmp_path):
    seen = []
    found = audit(tmp_path, lambda done, total: seen.append((done, total)))
    assert (found.record_count, found.faults, seen) == (1, (), [(1, 1)])
    with pytest.raises(UserError, match="holds no records to verify"):
        audit(tmp_path / "none")


def more(value):
    return 1.001 * value


@pytest.mark.parametrize("scope", ["network", "pipeline"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, more) for name in ("min_s", "p25_s", "p50_s", "p75_s", "p90_s", "p95_s", "p99_s", "max_s", "mean_s")),
        ("std_s", lambda std: 0.9 * std),
        ("sample_count", 1000),
        ("p99_s", None),
        ("p999_s", 0.5),
        ("p50_interval_s", lambda interval: [interval[0], more(interval[1])]),
        ("p90_interval_s", None),
    ],
)
def test_an_edited_latency_is_told(kept, tmp_path, scope, name, value):
    edit(kept, ("speed", scope, name), value)
    (fault,) = audit(tmp_path).faults
    by_samples, at_once = f"{kept}: speed.{scope}.{name}: ", f"{kept}: not a valid record (speed.{scope}: "
    assert fault.startswith((by_samples, at_once))
    assert name in fault
    assert ("by its samples" in fault) == fault.startswith(by_samples)


@pytest.mark.parametrize(("name", "value"), [("p50_s", more), ("p50_interval_s", lambda two: [two[0] / 2, two[1]])])
def test_an_edited_stage_is_told(kept, tmp_path, name, value):
    edit(kept, ("speed", "waterfall", 2, name), value)
    (fault,) = audit(tmp_path).faults
    assert f": speed.waterfall.network.{name}: " in fault


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("accuracy", "confusion", 3, 3), lambda hit: hit + 1, "accuracy.confusion: true positives of class 3"),
        (("accuracy", "confusion", 3, 4), lambda miss: miss - 1, "accuracy.confusion: false positives of class 4"),
        (("accuracy", "confusion", 3, 19), lambda miss: miss + 1, "accuracy.confusion: false negatives of class 3"),
        (("accuracy", "miou_interval", 0), lambda low: low - 0.01, "accuracy.miou_interval"),
        (("accuracy", "miou_interval"), None, "accuracy.miou_interval"),
        (("accuracy", "resampled"), "sequences", "accuracy.resampled"),
        (("accuracy", "image_count"), 500, "no counts of 500 images"),
        (("accuracy",), None, "the samples hold false_negatives, of which it says nothing"),
        (("speed",), None, "the samples hold network_s, of which it says nothing"),
        (("artifact", "model"), "fcn", "its name is not what it holds, which belongs at intel-xeon-2c/fcn/"),
        (("quick",), True, "its name is not what it holds"),
    ],
)
def test_an_edited_claim_is_told(kept, tmp_path, where, value, words):
    edit(kept, where, value)
    assert any(words in fault for fault in audit(tmp_path).faults)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("dataset", "image_count"), lambda n: n - 1, "dataset.image_count: 15 said, 16 by accuracy.image_count"),
        (("dataset", "synthetic"), True, "accuracy.dataset.synthetic: False said, True by dataset.synthetic"),
        (("accuracy", "dataset", "fingerprint"), "f" * 16, "accuracy.dataset.fingerprint: ffffffffffffffff said, "),
        (("dataset", "split_count"), 3, "dataset.image_count: 16 said, at most 3 by dataset.split_count"),
        (("config", "accuracy_images"), 5, "dataset.image_count: 16 said, at most 5 by config.accuracy_images"),
        (("config", "name"), "mine", "preset: camvid said, mine by config.name"),
        (("config", "quick"), True, "quick: False said, True by config.quick"),
        (("config", "batch_size"), 2, "artifact.batch_size: 1 said, 2 by config.batch_size"),
        (("config", "threads"), 1, "speed.state.thread_count: 2 said, 1 by config.threads"),
        (("memory", "peak_bytes"), 20_000_000, "memory.peak_bytes: 20000000 said, 200 by the process's memory before"),
    ],
)
def test_what_is_said_twice_is_said_alike(kept, tmp_path, where, value, words):
    record = json.loads(kept.read_text())
    record["config"] |= {"name": "camvid", "quick": False, "batch_size": 1, "threads": 2, "accuracy_images": None}
    record["memory"] |= {"peak_bytes": 200, "resident_before_bytes": 100, "process_bytes": 300}
    kept.write_text(json.dumps(record))
    assert audit(tmp_path).faults == ()
    edit(kept, where, value)
    (fault,) = [one for one in audit(tmp_path).faults if words in one]
    assert fault.startswith(f"{kept}: ")


@pytest.fixture
def trained(tmp_path):
    """A committed record of a trained network's file, which says all that was asked for."""
    (kept,) = (RESULTS / "amd-epyc-zen4-2c" / "cgnet").glob("openvino-bf16-b1-96x128-camvid-camvid_cpu-5ac88db1-*.json")
    for file in (kept, kept.with_suffix(".npz")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / kept.name


def faults(path):
    return faults_of(store.load(path), store.samples(path))


def failed_at(step):
    return {"step": step, "reason": "no answer within 60 s", "detail": ""}


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("status",), "failed", "status: failed said, and no step failed"),
        (("failure",), failed_at("measure"), "status: ok said, and its step measure failed"),
        (("failure",), failed_at("node"), "failure.step: node said, and speed is there"),
        (("failure",), failed_at("evaluate"), "failure.step: evaluate said, and accuracy is there"),
        (("failure",), failed_at("cold"), "failure.step: cold said, and cold_start is there"),
        (("artifact", "precision"), "int8", "artifact.precision: int8 said, bf16 by config.precisions"),
        (("config", "precisions"), None, "artifact.precision: bf16 said, none by config.precisions"),
        (("artifact", "runtime"), "eager", "artifact.runtime: eager said, openvino by config.runtimes"),
        (("artifact", "runtime"), "openvinox", "artifact.runtime: openvinox said, known: eager, compile, aoti, "),
        (("artifact", "input_size"), [48, 64], "cost.mac_input_size: (96, 128) said, (48, 64) by artifact.input_size"),
        (("artifact", "input_size"), [96, 96], "[96, 96] said, [96, 128] by artifact.weights.feeding"),
        (("config", "input_sizes"), [[64, 64]], "[96, 128] said, [64, 64] by config.input_sizes"),
        (("cost", "mac_input_size", 0), 64, "cost.mac_input_size: (64, 128) said, (96, 128) by artifact.input_size"),
        (("artifact", "resize"), "stretch", "artifact.resize: stretch said, fit, fit by config.resize"),
        (("artifact", "weights", "recipe"), "quick", "recipe: quick said, camvid_cpu by the recipe's hash"),
        (("artifact", "weights", "source"), "random", "source: random said, and accuracy is that of weights"),
        (("config", "split"), "test", "dataset.split: val said, test by config.split"),
        (("config", "rate_hz"), 10.0, "protocol: zoo-lat/3 said, 10.0 by config.rate_hz"),
        (("protocol",), "zoo-paced/1", "paced: nothing said, and its calls were timed by the rules of zoo-paced/1"),
        (("protocol",), "", "protocol: nothing said, known: zoo-lat/1, zoo-lat/2, zoo-lat/3, zoo-paced/1"),
        (("accuracy", "protocol"), "zoo-miou/9", "accuracy.protocol: zoo-miou/9 said, known: zoo-miou/1"),
        (("cold_start", "protocol"), "x", "cold_start.protocol: x said, known: zoo-cold/1"),
        (("accuracy", "mode", "scales"), [], "accuracy.mode.scales: none said"),
        (("artifact", "code_sha256"), "", "artifact.code_sha256: none said, and no file was measured"),
    ],
)
def test_one_word_that_something_else_denies_is_told(trained, where, value, words):
    assert faults(trained) == ()
    edit(trained, where, value)
    assert any(words in fault for fault in faults(trained)), faults(trained)


def test_a_recipe_of_ones_own_is_known_by_what_was_asked_for(trained):
    record = store.load(trained)
    recipe = TrainConfig.model_validate(record.config["train"] | {"name": "mine"})
    edit(trained, ("config", "train", "name"), "mine")
    edit(trained, ("artifact", "weights", "recipe_hash"), recipe.recipe_hash)
    assert "artifact.weights.recipe: camvid_cpu said, mine by the recipe's hash" in faults(trained)
    edit(trained, ("artifact", "weights", "recipe"), "mine")
    assert faults(trained) == ()


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("config", "precisions"), ["fp32", "bf16"]),
        (("config", "runtimes"), ["installed"]),
        (("config", "input_sizes"), [[64, 64], [96, 128]]),
        (("config", "resize"), "stretch"),
        (("config", "split"), "validation"),
    ],
)
def test_what_was_asked_for_may_be_more_or_by_another_name(trained, where, value):
    """Weights decide how they are fed where nobody asked."""
    edit(trained, where, value)
    assert faults(trained) == ()


@pytest.mark.parametrize("step", ["build", "memory", "cold", "agreement", "throughput", "train", "plan"])
def test_a_cell_may_fail_late_and_keeps_what_it_has(records, step):
    record, samples = records.sampled()
    late = {"memory": None, "failure": Failure(step=step, reason="no"), "status": "oom"}
    told = () if step not in {"train", "plan"} else (f"failure.step: {step} said, and speed is there",)
    assert faults_of(record.model_copy(update=late), samples) == told


def test_a_file_of_another_maker_has_neither_code_nor_cost(records):
    record, samples = records.sampled(source="file", tag="net.onnx", runtime="onnxruntime", file_bytes=9)
    artifact = record.artifact.model_copy(update={"code_sha256": ""})
    assert faults_of(record.model_copy(update={"artifact": artifact, "cost": None}), samples) == ()
    drawn = artifact.model_copy(update={"weights": artifact.weights.model_copy(update={"source": "random"})})
    assert faults_of(record.model_copy(update={"artifact": drawn, "cost": None}), samples) == ()
    nothing = artifact.model_copy(update={"file_sha256": None})
    (fault,) = faults_of(record.model_copy(update={"artifact": nothing, "cost": None}), samples)
    assert fault.startswith("artifact.code_sha256: none said")
    failed = records.failed(source="file", tag="net.onnx", runtime="onnxruntime")
    assert faults_of(failed.model_copy(update={"artifact": nothing}), {}) == ()


def test_sizes_that_a_network_pads_are_counted_padded(records):
    record, samples = records.sampled("pan_resnet18", input_size=(64, 100), right=None, dataset=None)
    made = {"code_sha256": network_sha256(MODELS["pan_resnet18"])}
    current = record.model_copy(update={"artifact": record.artifact.model_copy(update=made)})
    cost = current.cost.model_copy(update={"mac_input_size": (128, 128)})
    assert faults_of(current.model_copy(update={"cost": cost}), samples) == ()
    assert faults_of(record.model_copy(update={"cost": cost}), samples) == ()
    assert faults_of(current, samples) == ("cost.mac_input_size: (64, 100) said, (128, 128) by artifact.input_size",)


def test_a_model_that_is_anothers_code_is_told(records):
    made, samples = records.sampled("enet")
    code = made.artifact.model_copy(update={"code_sha256": network_sha256(MODELS["unet"])})
    swapped = made.model_copy(update={"artifact": code})
    assert faults_of(swapped, samples) == ("artifact.model: enet said, and its code is that of unet",)
    own = swapped.model_copy(update={"artifact": code.model_copy(update={"model": "unet"})})
    assert faults_of(own, samples) == ()


def test_what_its_hashes_are_made_of_is_told_where_it_is_another(tmp_path):
    """They are made again of a record without a dataset."""
    speed_alone = next(
        path
        for path in store.visible_files(RESULTS, ".json", pytest.fail)
        if (one := store.load(path)).cell and one.dataset is None and one.artifact.runtime == "eager"
    )
    for where, value, words in (
        (("artifact", "model"), "mine", "cell: "),
        (("device", "slug"), "nvidia-gtx-1", "device.slug: nvidia-gtx-1 said, and it is a "),
        (("device", "core_count"), 7, "key: "),
        (("device", "machine_id"), "0" * 16, "key: "),
        (("software", "torch"), "9.9", "key: "),
        (("key",), "0" * 32, "key: "),
        (("cell",), "0" * 16, "cell: "),
        (("artifact", "output_size"), [64, 64], "cell: "),
        (("config", "memory_format"), "contiguous", "cell: "),
    ):
        copy = tmp_path / "one.json"
        copy.write_bytes(speed_alone.read_bytes())
        assert faults_of(store.load(copy), store.samples(speed_alone)) == ()
        edit(copy, where, value)
        assert any(one.startswith(words) for one in faults_of(store.load(copy), store.samples(speed_alone))), words


def test_of_a_file_no_hash_is_made_again(records):
    """What is asked of one holds facts of its network."""
    one = records.make(source="random", recipe="none", recipe_hash=None, dataset=None, right=None)
    artifact = one.artifact.model_copy(update={"code_sha256": ""})
    assert hashes_of(one.model_copy(update={"cell": "0" * 16}))
    assert hashes_of(one.model_copy(update={"cell": "0" * 16, "artifact": artifact})) == {}


def test_samples_that_make_no_summary_are_a_fault(records):
    record, arrays = records.sampled(rate_hz=40.0, right=0.6)
    frames = arrays["paced_frames"].copy()
    frames.flat[-1] = 2**63 - 1
    assert any("its samples make no summary" in one for one in faults_of(record, {**arrays, "paced_frames": frames}))


@pytest.mark.parametrize(
    ("named", "is_it"),
    [
        (("nvidia-h200", "cuda", "NVIDIA H200", 16), True),
        (("nvidia-h100", "cuda", "NVIDIA H200", 16), False),
        (("intel-xeon-2c", "cpu", "Intel(R) Xeon(R) Processor", 2), True),
        (("intel-xeon-2c", "cpu", "Intel(R) Xeon(R) Processor", 4), False),
        (("intel-core-2c", "cpu", "Intel(R) Xeon(R) Processor", 2), False),
        (("amd-epyc-zen4-2c", "cpu", "AMD EPYC", 2), True),
        (("amd-zen1-4c", "cpu", "QEMU Virtual CPU version 2.5+", 4), True),
        (("apple-m2-gpu", "mps", "Apple M2", 8), True),
        (("apple-m2-8c", "cpu", "Apple M2", 8), True),
        (("apple-m3-8c", "cpu", "Apple M2", 8), False),
        (("", "cpu", "Apple M2", 8), False),
    ],
)
def test_a_device_is_called_by_what_it_is(named, is_it):
    assert may_be_called(*named) is is_it


def swapped(seconds):
    seconds = seconds.copy()
    seconds[0] = seconds[1]
    return seconds


def counted_more(counts):
    counts = counts.copy()
    counts[0, 0] += 1
    return counts


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("network_s", swapped, "speed.network."),
        ("pipeline_s", lambda seconds: seconds[1:], "speed.pipeline.sample_count: 120 said, 119 by its samples"),
        ("pipeline_s", lambda seconds: seconds * np.nan, "speed.pipeline: its samples are no seconds"),
        ("pipeline_s", lambda seconds: -seconds, "speed.pipeline: its samples are no seconds"),
        ("pipeline_s", lambda seconds: seconds[:5], "speed.pipeline: its samples are no seconds"),
        ("pipeline_s", lambda seconds: seconds[None], "speed.pipeline: its samples are no seconds"),
        ("pipeline_s", lambda seconds: seconds.astype(str), "speed.pipeline: its samples are no seconds"),
        ("stage_network_s", lambda seconds: 2 * seconds, "speed.waterfall.network."),
        ("stage_network_s", lambda seconds: seconds[:2], "speed.waterfall.network: its samples are no seconds"),
        ("true_positives", counted_more, "accuracy.confusion: true positives of class 0"),
        ("false_positives", counted_more, "accuracy.confusion: false positives of class 0"),
        ("false_negatives", counted_more, "accuracy.confusion: false negatives of class 0"),
        ("true_positives", lambda counts: counts[::-1], "accuracy.miou_interval"),
        ("true_positives", lambda counts: counts[1:], "accuracy: its samples are no counts"),
        ("true_positives", lambda counts: counts / 1, "accuracy: its samples are no counts"),
        ("true_positives", lambda counts: counts - 10**6, "below 0, or an image twice"),
        ("image_names", lambda names: np.array([names[0]] * len(names)), "below 0, or an image twice"),
        ("image_names", lambda names: names[1:], "accuracy: its samples are no counts"),
        ("network_s", lambda _: None, "speed.network has no samples beside it (network_s)"),
        ("false_negatives", lambda _: None, "accuracy has no samples beside it (false_negatives)"),
        ("hidden", lambda _: np.zeros(3), "the samples hold hidden, of which it says nothing"),
    ],
)
def test_edited_samples_are_told(kept, tmp_path, name, change, words):
    resample(kept, name, change)
    faults = audit(tmp_path).faults
    assert faults
    assert all(fault.startswith(f"{kept}: ") for fault in faults)
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize("size", [0, 60, -1])
def test_a_truncated_sidecar_is_told(kept, tmp_path, size):
    sidecar = kept.with_suffix(".npz")
    sidecar.write_bytes(sidecar.read_bytes()[:size])
    (fault,) = audit(tmp_path).faults
    assert str(sidecar) in fault
    assert "damaged" in fault


def test_a_missing_sidecar_and_one_of_no_record_are_told(kept, tmp_path):
    elsewhere = kept.with_name("elsewhere.npz")
    kept.with_suffix(".npz").rename(elsewhere)
    one, other = audit(tmp_path).faults
    assert one.startswith(f"{kept}: speed.network has no samples beside it (network_s, pipeline_s, ")
    assert other == f"{elsewhere}: samples of no record"


def test_a_file_that_is_no_record_is_told(kept, tmp_path):
    other = kept.with_name("other.json")
    other.write_text(kept.read_text()[:-200])
    (fault,) = audit(tmp_path).faults
    assert fault.startswith(f"{other}: damaged JSON")


def test_the_last_bit_of_another_machines_arithmetic_is_no_edit(kept, tmp_path):
    edit(kept, ("speed", "network", "mean_s"), lambda mean: mean * (1 + 1e-14))
    assert audit(tmp_path).faults == ()


def test_older_records_are_held_against_what_they_had(records):
    record, samples = records.sampled(right=0.6)
    accuracy = record.accuracy.model_copy(update={"miou_interval": None, "resampled": None})
    assert faults_of(record.model_copy(update={"accuracy": accuracy, "schema_version": 2}), samples) == ()
    assert len(faults_of(record.model_copy(update={"accuracy": accuracy}), samples)) == 2


def test_a_cell_without_numbers_needs_no_samples(records):
    assert faults_of(records.failed(), {}) == ()


@pytest.fixture
def paced(records, tmp_path):
    """A sound record of paced calls."""
    return store.save(*records.sampled(rate_hz=40.0, right=0.6), tmp_path)


def test_a_sound_paced_record_passes(paced, tmp_path):
    assert store.load(paced).paced.dropped_count > 0
    assert audit(tmp_path).faults == ()


@pytest.mark.parametrize("name", ["frame_count", "late_count", "dropped_count", "lateness_max_s"])
def test_edited_deadlines_are_told(paced, tmp_path, name):
    edit(paced, ("paced", name), 1)
    (fault,) = audit(tmp_path).faults
    assert fault.startswith((f"{paced}: paced.{name}: 1", f"{paced}: not a valid record (paced: "))
    assert name in fault


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: None, "paced has no samples beside it (paced_frames)"),
        (lambda frames: frames[:-1], "paced: its samples are no frame of each call"),
        (lambda frames: frames.astype(float), "paced: its samples are no frame of each call"),
        (lambda frames: frames[::-1].copy(), "paced: its frames do not ascend from 0"),
        (lambda frames: frames + 1, "paced: its frames do not ascend from 0"),
    ],
)
def test_edited_frames_are_told(paced, tmp_path, change, said):
    resample(paced, "paced_frames", change)
    assert audit(tmp_path).faults == (f"{paced}: {said}",)


def test_another_rate_than_was_asked_for_is_told(paced, tmp_path):
    edit(paced, ("config", "rate_hz"), 30.0)
    assert audit(tmp_path).faults == (f"{paced}: paced.rate_hz: 40.0 said, 30.0 asked for",)


def test_paced_calls_under_another_protocol_are_told(paced, tmp_path):
    edit(paced, ("protocol",), "zoo-lat/3")
    assert any("timed by the rules of zoo-lat/3" in fault for fault in audit(tmp_path).faults)
