"""Paced cells and cold starts end to end, on a CPU."""

import numpy as np
import pytest

from zoo import store
from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.cli.main import main
from zoo.config import BenchConfig, load_config
from zoo.errors import UserError
from zoo.score.audit import audit
from zoo.score.rows import row

CONFIG = BenchConfig(
    models=("encoder_decoder",),
    accuracy=False,
    image_size=(64, 128),
    quick=True,
    timeout_s=200,
    device="cpu",
    threads=1,
)


def sweep(folder, **changes):
    return run_bench(Request(CONFIG.model_copy(update=changes), results=folder / "results", runs=folder / "runs"))


def test_a_paced_cell_stands_beside_the_one_that_is_not(tmp_path):
    plain = sweep(tmp_path)
    paced = sweep(tmp_path, rate_hz=50.0)
    (record,) = paced.records
    assert (paced.exit_code, record.status) == (0, "ok")
    assert paced.finished == [], "it is another cell"
    assert record.key != plain.records[0].key
    assert (record.protocol, plain.records[0].protocol) == ("zoo-paced/1", "zoo-lat/3")
    assert record.speed.network is None
    assert record.speed.waterfall == ()
    assert record.memory is not None
    assert record.paced.rate_hz == 50.0
    (file,) = (path for path in (tmp_path / "results").rglob("*.json") if store.load(path).key == record.key)
    counted = store.samples(file)
    assert set(counted) == {"pipeline_s", "paced_frames"}
    assert len(counted["pipeline_s"]) == record.speed.pipeline.sample_count >= 6
    assert record.paced.frame_count == counted["paced_frames"][-1] + 1
    assert np.sum(counted["pipeline_s"] > 1 / 50) == record.paced.late_count
    assert audit(tmp_path / "results").faults == ()
    again = sweep(tmp_path, rate_hz=50.0)
    assert (again.records, len(again.finished)) == ([], 1)
    assert len(sweep(tmp_path, rate_hz=25.0).records) == 1
    assert len(sweep(tmp_path).finished) == 1


def test_what_is_paced_is_scored_and_held_against_eager_as_ever(streets, tmp_path):
    config = CONFIG.model_copy(update={"accuracy": True, "runtimes": ("onnxruntime",), "rate_hz": 50.0})
    sweep = run_bench(Request(config, data=streets, results=tmp_path / "results", runs=tmp_path / "runs"))
    baseline, record = sweep.records
    assert (baseline.protocol, row(baseline).rate_hz) == ("zoo-lat/3", None), "a map takes no time at any rate"
    assert record.agreement is not None
    assert record.artifact.file_bytes > 0
    assert record.cold_start.loaded_by == "runtime"
    (start,) = record.cold_start.starts
    assert min(start.import_s, start.load_s, start.first_call_s) > 0
    assert "cold" in record.seconds


def test_a_full_row_has_its_cold_start_a_quick_one_of_this_packages_own_code_none(tmp_path):
    (full,) = sweep(tmp_path, quick=False).records
    assert full.status == "ok"
    assert full.cold_start.loaded_by == "zoo"
    assert full.cold_start.protocol == "zoo-cold/1"
    assert full.cold_start.typical.import_s > full.cold_start.typical.first_call_s, "torch is imported anew"
    assert row(full).value("cold_start_s") == full.cold_start.typical.total_s
    (quick,) = sweep(tmp_path).records
    assert quick.cold_start is None


def test_an_own_model_starts_cold_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "import torch\n\ndef build(num_classes):\n    return torch.nn.Conv2d(3, num_classes, 3, padding=1)\n"
    )
    (record,) = sweep(tmp_path, models=("net.py:build",), quick=False).records
    assert (record.status, record.cold_start.loaded_by) == ("ok", "zoo"), record.failure


def test_a_start_that_fails_is_a_record_with_its_reason(tmp_path, monkeypatch):
    """A model that cannot be built where it is built anew."""
    (tmp_path / "net.py").write_text(
        "import multiprocessing, torch\n\ndef build(num_classes):\n"
        "    assert multiprocessing.parent_process() is not None, 'not here'\n"
        "    return torch.nn.Conv2d(3, num_classes, 3, padding=1)\n"
    )
    (record,) = sweep(tmp_path, models=(f"{tmp_path / 'net.py'}:build",), quick=False).records
    assert (record.status, record.failure.step) == ("failed", "cold")
    assert record.failure.reason.startswith("a fresh process came to no label map: ")
    assert "not here" in record.failure.reason
    assert str(tmp_path) not in record.failure.reason
    assert record.speed is not None, "what was measured stays"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 2}, "rate_hz = 10 makes a call for each frame and batch_size = 2 asks for batches"),
        ({"throughput": True}, "rate_hz = 10 makes a call for each frame and throughput = true asks for batches"),
        ({"rate_hz": 2000.0}, "rate_hz: Input should be less than or equal to 1000; got 2000"),
        ({"rate_hz": 0.01}, "rate_hz: Input should be greater than or equal to 0.1; got 0.01"),
    ],
)
def test_what_no_rate_goes_with_is_one_line(changes, said):
    with pytest.raises(UserError, match=said) as caught:
        load_config(BenchConfig, "latency", {"rate_hz": 10.0, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rate", "often"], "a rate is times a second, such as 10hz, 30fps or 25/s; got 'often'"),
        (["--rate", "0hz"], "'0hz' is not a number above 0"),
        (["--rate", "10hz", "--batch", "4"], "rate_hz = 10 makes a call for each frame and batch_size = 4 asks for"),
        (["--rate", "10hz", "--pair", "unet", "enet"], "--pair times the two it names and nothing else; leave --rate"),
        (["--rate", "10hz", "--set", "rate_hz=5"], "rate_hz is given by its own flag and by --set rate_hz"),
    ],
)
def test_a_mistake_at_the_terminal_is_one_line(flags, said, capsys):
    assert main(["bench", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("zoo: ")
    assert said in error
    assert error.count("\n") == 1
