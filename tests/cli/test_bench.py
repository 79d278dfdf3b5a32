"""What `zoo bench` prints of a sweep that is over."""

from __future__ import annotations

import pytest

from zoo.bench import sweep
from zoo.cli.bench import _config
from zoo.cli.main import make_parser


@pytest.mark.parametrize("has_baseline", [False, True])
def test_where_others_measure_everything_it_says_who_and_what_to_do(call, monkeypatch, tmp_path, records, has_baseline):
    """Not that nothing is measured yet, and no table of the baseline alone."""
    monkeypatch.chdir(tmp_path)
    found = sweep.Sweep(
        finished=[records.baseline()] * has_baseline,
        claimed=["unet", "unet", "enet"],
        claimed_by=["process 7 on here", "process 8 on there"],
    )
    monkeypatch.setattr(sweep, "run_bench", lambda _request, _live: found)
    code, out, error = call("bench", "--models", "unet,enet")
    assert (code, error) == (0, "")
    assert out == (
        f"cells measured: 0, finished before: {int(has_baseline)}; 0.0 min; records: results\n"
        "claimed by other sweeps: 3 cells of unet, enet, by process 7 on here, process 8 on there; their records come "
        "to results, and the same command goes on with what they leave\n"
    )


@pytest.mark.parametrize("asked", [["--models", "unet", "--dry-run"], ["--pair", "unet", "enet"]])
@pytest.mark.parametrize(
    ("how", "size"),
    [
        (["--preset", "latency"], "256x512"),
        (["--preset", "latency", "--set", "image_size=64x128"], "64x128"),
        (["--preset", "quick", "--set", "accuracy=false"], "1024x2048"),
    ],
)
def test_without_accuracy_no_data_is_named(call, asked, how, size):
    code, out, error = call("bench", *asked, *how, "--data", "/nonexistent")
    assert (code, out) == (2, "")
    assert f"with accuracy = false reads no --data: its frames are made up, of {size}; leave --data away" in error
    assert "--set image_size=HxW, or take a preset with accuracy" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("preset", "change", "why"),
    [
        ("latency", "split=train", "preset latency with accuracy = false counts no mIoU; "),
        ("latency", "accuracy_images=5", "preset latency with accuracy = false counts no mIoU; "),
        (
            "quick",
            "image_size=128x256",
            "preset quick with accuracy = true takes frames as large as the dataset has them; ",
        ),
        ("quick", "image_size=[128, 256]", "preset quick with accuracy = true takes "),
        ("latency", 'train_models=["fast"]', "preset latency with train_missing = false trains nothing"),
        ("latency", "keep_checkpoints=false", "preset latency with train_missing = false trains nothing"),
        ("latency", "trainings_at_once=2", "preset latency with train_missing = false trains nothing"),
        (
            "latency",
            "compile_mode=max-autotune-no-cudagraphs",
            "preset latency with runtimes = ['eager'] compiles nothing",
        ),
    ],
)
def test_what_would_change_nothing_is_refused(call, preset, change, why):
    code, out, error = call("bench", "--models", "unet", "--preset", preset, "--set", change, "--dry-run")
    assert (code, out) == (2, "")
    assert error.startswith(f"zoo: {why}")
    assert error.endswith(f"; leave --set {change.partition('=')[0]} away\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (["--preset", "latency", "--runtimes", "compile"], ["compile_mode=max-autotune-no-cudagraphs"]),
        (["--preset", "quick"], ['train_models=["fast"]', "trainings_at_once=3", "keep_checkpoints=true"]),
    ],
)
def test_what_changes_something_is_taken(flags, changes):
    words = [word for change in changes for word in ("--set", change)]
    plain, changed = (_config(make_parser(["bench"]).parse_args(["bench", *flags, *more])) for more in ([], words))
    names = [change.partition("=")[0] for change in changes]
    assert all(getattr(plain, name) != getattr(changed, name) for name in names)


def test_without_accuracy_no_images_of_it_are_named(call):
    code, _, error = call("bench", "--models", "unet", "--preset", "latency", "--accuracy-images", "5", "--dry-run")
    assert (code, error) == (
        2,
        "zoo: preset latency with accuracy = false counts no mIoU; leave --accuracy-images away\n",
    )
