"""The reading rooms answer at once, and on a machine without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zoo.data.synthetic import write_dataset

BLOCKED = """
import sys
for name in {names}:
    sys.modules[name] = None
from zoo.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
TORCH = ("torch", "torchvision", "timm", "segmentation_models_pytorch")
POSIX = ("fcntl", "resource", "pwd", "grp", "termios")
"""What Python on Windows does not have."""


def without_torch(*arguments, names=TORCH, **options):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(names=names), *arguments],
        capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip


@pytest.fixture
def results(record, tmp_path):
    from zoo import store

    for name in ("unet", "fcn"):
        store.save(record(name), {}, tmp_path / "results")
    return str(tmp_path / "results")


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("--help", "usage: zoo [-h]"),
        ("bench --help", "usage: zoo bench [-h]"),
        ("list", "deeplabv3_resnet50"),
        ("list --format json", '"name": "fcn_resnet50"'),
        ("info pidnet_s --no-parts", "PIDNet (Xu et al., CVPR 2023"),
        ("weights list", "pidnet_s:mmseg"),
        ("weights list realtime --format json", '"id": "bisenetv2:coincheung"'),
    ],
)
def test_list_and_help(verb, words):
    done = without_torch(*verb.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout


def test_parts_are_left_out_with_a_word():
    done = without_torch("info", "unet")
    assert done.returncode == 0
    assert done.stderr == "zoo: parameters and MACs by part: PyTorch builds the network, and is not here\n"
    assert "unet: U-Net" in done.stdout


def test_leaderboard_pick_and_compare(results):
    for verb in ("leaderboard", "leaderboard --format json", "pick", "pick --objective latency", "compare unet fcn"):
        done = without_torch(*verb.split(), "--results", results)
        assert (done.returncode, done.stderr) == (0, "")
        assert "unet" in done.stdout


@pytest.mark.parametrize(
    ("verb", "arrays"),
    [
        ("leaderboard", ()),
        ("leaderboard --format csv", ()),
        ("pick --device intel-xeon-2c", ()),
        ("pick --device intel-xeon-2c --dataset camvid --max latency=50ms --minimize memory", ()),
        # How sure a p99 is stands in no record: the samples tell, of what is shown and of rows that tie before it.
        ("pick --device intel-xeon-2c --at 10hz", ("numpy",)),
    ],
)
def test_rows_that_were_kept_need_no_validation_and_no_arrays(verb, arrays, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    ask = (*verb.split(), "--results", str(Path(__file__).parents[1] / "results"))
    blocked = {*TORCH, "pydantic", "pydantic_core", "numpy", "pandas"} - {*arrays}
    first, later = without_torch(*ask), without_torch(*ask, names=tuple(sorted(blocked)))
    assert (first.returncode, first.stderr) == (later.returncode, later.stderr) == (0, "")
    assert first.stdout == later.stdout


def test_records_are_exchanged_and_verified(records, tmp_path):
    from zoo import store

    store.save(*records.sampled(), tmp_path / "results")
    for verb in ("merge results --into other", "verify --records --results other", "share --help"):
        done = without_torch(*verb.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "verb",
    [
        "list",
        "leaderboard",
        "leaderboard --format csv --output table.csv",
        "leaderboard --html page.html",
        "pick",
        "compare unet fcn",
        "doctor --data streets",
    ],
)
def test_reading_needs_nothing_that_windows_lacks(results, tmp_path, verb):
    if "doctor" in verb:
        write_dataset(tmp_path / "streets", image_size=(64, 128), train_count=2, val_count=2, seed=0)
    where = () if verb.startswith(("list", "doctor")) else ("--results", results)
    done = without_torch(*verb.split(), *where, names=(*TORCH, *POSIX), cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("looking at frames") if "doctor" in verb else not done.stderr
    said = (tmp_path / "table.csv").read_text() if "--output" in verb else done.stdout
    if "--html" in verb:
        assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
        return
    assert ("fit to train and score on" if "doctor" in verb else "unet") in said


def test_measuring_without_posix_is_refused_in_one_line(tmp_path):
    ask = ("bench", "--models", "encoder_decoder", "--preset", "latency", "--results", "r", "--runs", "u")
    done = without_torch(*ask, names=("fcntl",), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "measuring needs Linux or macOS" in done.stderr


def test_importing_zoo_imports_nothing_heavy():
    code = "import sys, zoo; zoo.list_models(); print(sorted({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_what_runs_a_network_does_not_bring_the_compiler():
    """Dynamo takes 1.6 s and 60 MiB; of a cold start it would be the half."""
    code = "import sys, zoo.artifact, zoo.measure.cold; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there():
    import zoo

    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = zoo.nothing
